"""A sheet of training chips as the network gets them, each beside its labels."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agriseg.evaluation.page import INK, PALE, STYLE
from agriseg.labels import IGNORE, Codes
from agriseg.models import ModelCard
from agriseg.raster.whole_file import write_bytes
from agriseg.training.augment import Augment
from agriseg.training.chips import Chips, stack

__all__ = ["SheetChip", "draw_sheet", "sheet_chips"]

_CHIPS = 12
_COLUMNS = 3
_MOST_BATCHES = 40
# So many pixels of a class show it.
_SHOWN = 12
_GAMMA = 1 / 1.8
# Red, green and blue of the picture, the best that a chip has first.
_VIEWS = (
    ("red", "green", "blue"), ("nir", "red", "green"), ("nir", "red", "red"),
    ("red", "green", "green"),
)  # fmt: skip
_NOTHING = (0.92, 0.92, 0.92)
# Pixels across.
_STRIPE = 5


@dataclass(frozen=True)
class SheetChip:
    """A chip after augmentation.

    Args:
        name: Of its scene.
        image: (bands, h, w) as the network gets it: normalised, 0 where nothing is known.
        codes: (h, w) labels.
    """

    name: str
    image: NDArray[np.float32]
    codes: NDArray[np.uint8]


def sheet_chips(chips: Chips, augment: Augment, codes: Codes, seed: int) -> list[SheetChip]:
    """The first chips of a training, some of them exchanged for others with its rare classes."""
    kinds = len(codes.legend)
    kept: list[SheetChip] = []
    missing = set(range(kinds))
    for step in range(_MOST_BATCHES):
        for chip in _batch(chips, augment, step, seed):
            there = set(np.flatnonzero(np.bincount(chip.codes.ravel(), minlength=256) >= _SHOWN))
            if len(kept) < _CHIPS - len(missing - there) or missing & there:
                kept.append(chip)
                missing -= there
            if len(kept) == _CHIPS:
                return kept
        if len(kept) == _CHIPS - len(missing) and step > _MOST_BATCHES // 2:
            break
    return kept


def _batch(chips: Chips, augment: Augment, step: int, seed: int) -> list[SheetChip]:
    samples = chips.samples(step)
    torch.manual_seed(seed * 2_000_003 + step)
    with torch.no_grad():
        ready = augment(stack(samples))
    pairs = zip(samples, ready["image"].numpy(), ready["codes"].numpy(), strict=True)
    return [SheetChip(sample["name"], image, codes) for sample, image, codes in pairs]


def draw_sheet(
    shown: Sequence[SheetChip], card: ModelCard, codes: Codes, title: str, path: Path
) -> None:
    """Draw chips and their labels as a PNG.

    Args:
        shown: The chips.
        card: Of the model: what its bands are.
        codes: What the labels mean.
        title: What stands above.
        path: Where to.

    Raises:
        OutputError: It cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = math.ceil(len(shown) / _COLUMNS)
    views = [_view(chip, card.keys) for chip in shown]
    with rc_context(STYLE):
        figure = Figure(figsize=(15, 2.62 * rows + 1.0), dpi=110, facecolor="white")
        figure.text(0.012, 1 - 0.14 / (2.62 * rows + 1), title, va="top", fontsize=12)
        axes: Any = figure.subplots(
            rows,
            _COLUMNS * 3 - 1,
            squeeze=False,
            width_ratios=([1, 1, 0.06] * _COLUMNS)[:-1],
        )
        top = 1 - 0.75 / (2.62 * rows + 1)
        figure.subplots_adjust(0.008, 0.01, 0.992, top, wspace=0.02, hspace=0.12)
        for axis in axes.ravel():
            axis.set_axis_off()
        limits = _limits(shown, views, card)
        for place, (chip, view) in enumerate(zip(shown, views, strict=True)):
            row, column = divmod(place, _COLUMNS)
            image = _picture(chip, view, card, limits[view])
            left, right = axes[row, 3 * column], axes[row, 3 * column + 1]
            left.imshow(image, interpolation="nearest")
            right.imshow(_labels(image, chip.codes, codes), interpolation="nearest")
            words = f"{chip.name[:30]}  {_view_words(view, chip, card)}"
            left.set_title(words, fontsize=8, color=PALE, weight="normal", pad=3)
        _key(figure, codes)
        data = io.BytesIO()
        figure.savefig(data, format="png")
    write_bytes(path, data.getvalue())


def _view(chip: SheetChip, keys: Sequence[str]) -> tuple[str, ...]:
    """Which bands are shown as red, green and blue: those that the chip has."""
    there = [key for key, plane in zip(keys, chip.image, strict=True) if plane.any()]
    for view in _VIEWS:
        if all(key in there for key in view):
            return view
    return ((there or list(keys))[0],) * 3


def _view_words(view: tuple[str, ...], chip: SheetChip, card: ModelCard) -> str:
    words = "true colour" if view == _VIEWS[0] else f"shown: {', '.join(dict.fromkeys(view))}"
    gone = [key for key, plane in zip(card.keys, chip.image, strict=True) if not plane.any()]
    return words + (f"; without {', '.join(gone)}" if gone else "")


def _planes(chip: SheetChip, view: tuple[str, ...], card: ModelCard) -> NDArray[np.float64]:
    """(h, w, 3) reflectance."""
    at = [card.keys.index(key) for key in view]
    planes = chip.image[at] * card.stds[at, None, None] + card.means[at, None, None]
    return np.moveaxis(planes, 0, -1).astype(np.float64)


def _known(chip: SheetChip, view: tuple[str, ...], card: ModelCard) -> NDArray[np.bool_]:
    planes = chip.image[[card.keys.index(key) for key in view]]
    known: NDArray[np.bool_] = np.any(planes != 0, axis=0)
    return known


def _limits(
    shown: Sequence[SheetChip], views: Sequence[tuple[str, ...]], card: ModelCard
) -> dict[tuple[str, ...], NDArray[np.float64]]:
    """(2, 3) darkest and brightest value of each view, the same for all chips: light differs."""
    found = {}
    for view in set(views):
        values = np.concatenate(
            [
                _planes(chip, view, card)[_known(chip, view, card)]
                for chip, mine in zip(shown, views, strict=True)
                if mine == view
            ]
        )
        if not len(values):
            values = np.array([[0.0] * 3, [1.0] * 3])
        # One stretch for all visible bands keeps the colour of soil; infrared is far brighter.
        ends = np.percentile(values, (0.5, 99.5), axis=None if view == _VIEWS[0] else 0)
        found[view] = np.broadcast_to(ends.reshape(2, -1), (2, 3))
    return found


def _picture(
    chip: SheetChip, view: tuple[str, ...], card: ModelCard, limits: NDArray[np.float64]
) -> NDArray[np.float64]:
    low, high = limits
    planes = _planes(chip, view, card)
    image: NDArray[np.float64] = ((planes - low) / np.maximum(high - low, 1e-9)).clip(
        0, 1
    ) ** _GAMMA
    image[~_known(chip, view, card)] = _NOTHING
    return image


def _colors(given: NDArray[np.uint8], codes: Codes) -> NDArray[np.float64]:
    """(h, w, 3) the colour of each pixel's class; of several classes, stripes of theirs."""
    table = np.ones((256, 3))
    table[: len(codes.legend)] = np.array([label.rgb for label in codes.legend]) / 255
    height, width = given.shape
    stripe = (np.arange(height)[:, None] + np.arange(width)) // _STRIPE
    classes = given.astype(np.intp)
    for place, members in enumerate(codes.sets):
        there = given == len(codes.legend) + place
        classes[there] = np.array(members)[stripe[there] % len(members)]
    colors: NDArray[np.float64] = table[classes]
    return colors


def _labels(
    image: NDArray[np.float64], given: NDArray[np.uint8], codes: Codes
) -> NDArray[np.float64]:
    """The image in grey under the colours of its labels, with their borders drawn."""
    grey = np.repeat(0.35 + 0.6 * image.mean(axis=2, keepdims=True), 3, axis=2)
    colors = _colors(given, codes)
    mixed = 0.45 * grey + 0.55 * colors
    border = np.zeros(given.shape, bool)
    border[:, 1:] |= given[:, 1:] != given[:, :-1]
    border[1:] |= given[1:] != given[:-1]
    mixed[border] = colors[border]
    shown: NDArray[np.float64] = np.where((given == IGNORE)[..., None], grey, mixed)
    return shown


def _key(figure: Any, codes: Codes) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=label.color, label=label.name) for label in codes.legend]
    for place, members in enumerate(codes.sets):
        first, second = (codes.legend.classes[k].color for k in members[:2])
        name = codes.name(len(codes.legend) + place)
        handles.append(Patch(facecolor=first, edgecolor=second, hatch="////", label=name))
    handles.append(Patch(facecolor="#b0b0b0", edgecolor=INK, label="not labelled: grey"))
    figure.legend(
        handles=handles, loc="upper right", ncols=min(len(handles), 9), bbox_to_anchor=(0.995, 1.0)
    )
