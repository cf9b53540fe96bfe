"""Windows of an evaluation: image, labels and map side by side, and the mistakes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.evaluation.legends import Matched
from agriseg.evaluation.pictures import Picture, read_image
from agriseg.legend import Legend

__all__ = ["colored", "draw_pictures", "pictures_height"]

_UNKNOWN = (0.93, 0.93, 0.93)
_AMBIGUOUS = (0.75, 0.75, 0.75)
# Inches.
_WIDTH, _GAP, _TITLES = 2.8, 0.12, 0.55


def pictures_height(pictures: Sequence[Picture]) -> float:
    """Inches that they take, with the titles above them."""
    return sum(map(_row_height, pictures)) + _TITLES if pictures else 0.0


def _row_height(picture: Picture) -> float:
    return _WIDTH * min(picture.window.height / picture.window.width, 1.6) + _GAP


def draw_pictures(figure: Any, matched: Matched, pictures: Sequence[Picture]) -> None:
    """Draw each picture in a row: image, labels, map, and where the map is wrong."""
    heights = [_row_height(one) for one in pictures]
    axes = figure.subplots(len(pictures), 4, squeeze=False, height_ratios=heights)
    top = 1 - _TITLES / (sum(heights) + _TITLES)
    figure.subplots_adjust(0.09, 0.01, 0.97, top, wspace=0.03, hspace=0.05)
    legend = matched.scored
    truth_of = np.full(256, 255, np.uint8)
    truth_of[: matched.known_codes] = np.where(matched.decided < 0, 254, matched.decided)
    for row, one in zip(axes, pictures, strict=True):
        truth = truth_of[one.codes]
        known = truth < len(legend)
        image = read_image(one.task.labelled.scene, one.window)
        shown = (
            image,
            colored(truth, legend),
            colored(one.classes, legend),
            _mistakes(image, known, truth != one.classes, one.classes, legend),
        )
        for place, picture in zip(row, shown, strict=True):
            place.imshow(picture, interpolation="nearest")
            place.set_xticks([])
            place.set_yticks([])
            for spine in place.spines.values():
                spine.set_visible(False)
        name = textwrap.fill(one.task.labelled.name, 14)
        row[0].set_ylabel(
            f"{one.kind}\n{name}\n{100 * one.error:.1f} % wrong",
            rotation=0,
            ha="right",
            va="center",
            fontsize=9,
            labelpad=6,
        )
    for place, title in zip(
        axes[0], ("image", "labels", "map", "mistakes, as mapped"), strict=True
    ):
        place.set_title(title)
    _key(figure, legend)


def colored(classes: NDArray[np.uint8], legend: Legend) -> NDArray[np.float64]:
    """(h, w, 3) of 0..1: classes in the legend's colours, pale grey where there is none."""
    table = np.tile(_UNKNOWN, (256, 1)).astype(float)
    table[254] = _AMBIGUOUS
    for label in legend:
        table[label.value] = np.array(label.rgb) / 255
    shown: NDArray[np.float64] = table[classes]
    return shown


def _mistakes(
    image: NDArray[np.float64],
    known: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    classes: NDArray[np.uint8],
    legend: Legend,
) -> NDArray[np.float64]:
    """The image in pale grey, and what the map says where it is wrong."""
    grey = image.mean(axis=2, keepdims=True)
    shown = np.repeat(0.55 + 0.4 * grey, 3, axis=2)
    at = known & wrong
    shown[at] = colored(classes, legend)[at]
    return shown


def _key(figure: Any, legend: Legend) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=label.color, label=label.name) for label in legend]
    handles.append(Patch(color=_UNKNOWN, label="no label or data"))
    figure.legend(
        handles=handles,
        loc="upper right",
        ncols=len(handles),
        fontsize=8.5,
        bbox_to_anchor=(0.97, 1.005),
    )
