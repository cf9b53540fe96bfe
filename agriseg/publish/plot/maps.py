"""Axes that are maps: their CRS and proportions, a scale bar, an arrow to the north, a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import shapely
from affine import Affine

from agriseg.geobox import GeoBox
from agriseg.publish.words import length_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rasterio.crs import CRS

__all__ = ["Entry", "frame_around", "key", "map_axes", "map_of", "new_axes", "outlined"]

_INK, _PAPER = "#1a1a1a", "#ffffff"
_SIDE_IN = 6.5
# Of the map's width: the longest scale bar.
_BAR_SHARE = 0.3
# Each length along the longer axis is so many of a metre's round numbers.
_STEPS = (1.0, 2.0, 5.0)
_MANY = 6

# What the axes show, so that a second layer is laid onto the first.
_MAPS: WeakKeyDictionary[Axes, GeoBox] = WeakKeyDictionary()


@dataclass(frozen=True)
class Entry:
    """A line of a legend; `color` None: an outline only."""

    text: str
    color: str | None


def new_axes(width: float = _SIDE_IN, height: float = _SIDE_IN) -> Axes:
    """Axes in a figure of their own, in inches. Only here pyplot comes in."""
    from matplotlib import pyplot

    _, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    return axes


def map_of(ax: Axes | None) -> GeoBox | None:
    """What the axes show already."""
    return None if ax is None else _MAPS.get(ax)


def map_axes(ax: Axes | None, frame: GeoBox, title: str | None = None) -> Axes:
    """Make a map of axes: proportions, limits, scale bar and north arrow.

    Args:
        ax: Axes to draw on; None: new ones. Those that are a map stay as they are.
        frame: What they show: a grid that is north up.
        title: Above them.
    """
    if ax is None:
        high = frame.height * -frame.transform.e * _stretch(frame)
        wide = frame.width * frame.transform.a
        share = abs(high / wide)
        # A strip of a field is no line, and what is around the map needs its place.
        ax = new_axes(_SIDE_IN * min(1.0, 1 / share) + 0.4, _SIDE_IN * min(1.0, share) + 1.2)
    if title is not None:
        ax.set_title(title)
    if ax in _MAPS:
        return ax
    _MAPS[ax] = frame
    left, bottom, right, top = frame.bounds
    ax.set_xlim(left, right)
    # Without a place, rows count downwards.
    ax.set_ylim(*((bottom, top) if frame.transform.e < 0 else (top, bottom)))
    ax.set_aspect(_stretch(frame))
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    if frame.crs is not None:
        _scale_bar(ax, frame)
        _north(ax)
    return ax


def frame_around(shapes: Any, crs: CRS | None) -> GeoBox:
    """A frame that holds shapes, with a margin."""
    left, bottom, right, top = map(float, shapely.total_bounds(shapes))
    side = max(right - left, top - bottom) or 1.0
    margin = 0.03 * side
    wide, high = right - left + 2 * margin, top - bottom + 2 * margin
    # The size in pixels means nothing here, but lengths on the ground are measured at its centre.
    transform = Affine(wide / 1000, 0, left - margin, 0, -high / 1000, top + margin)
    return GeoBox(crs, transform, 1000, 1000)


def _stretch(frame: GeoBox) -> float:
    """Length on the paper of a unit of y, over that of a unit of x."""
    gsd = frame.gsd_m
    if gsd is None:
        return 1.0
    return (gsd[1] / abs(frame.transform.e)) / (gsd[0] / abs(frame.transform.a))


def _scale_bar(ax: Axes, frame: GeoBox) -> None:
    """A bar of a round length, lower left."""
    gsd = frame.gsd_m
    if gsd is None:
        return
    from matplotlib.patches import Rectangle
    from matplotlib.transforms import blended_transform_factory

    per_unit = gsd[0] / abs(frame.transform.a)
    left, _, right, _ = frame.bounds
    length_m = round_length((right - left) * per_unit * _BAR_SHARE)
    start, length = left + 0.03 * (right - left), length_m / per_unit
    # Along x it grows with the map where somebody zooms; its height is of the paper.
    mixed = blended_transform_factory(ax.transData, ax.transAxes)
    pad = 0.12 * length
    ax.add_patch(
        Rectangle(
            (start - pad, 0.012),
            length + 2 * pad,
            0.085,
            transform=mixed,
            facecolor=_PAPER,
            edgecolor="none",
            alpha=0.75,
            zorder=9,
        )
    )
    for offset, color in ((0.0, _INK), (0.5, _PAPER)):
        bar = Rectangle(
            (start + offset * length, 0.03),
            length / 2,
            0.012,
            transform=mixed,
            facecolor=color,
            edgecolor=_INK,
            linewidth=0.8,
            zorder=10,
        )
        ax.add_patch(bar)
    ax.text(
        start + length / 2,
        0.05,
        length_words(length_m),
        transform=mixed,
        ha="center",
        va="bottom",
        fontsize=9,
        color=_INK,
        zorder=10,
    )


def _north(ax: Axes) -> None:
    """An arrow to the top, upper right: maps are drawn so."""
    arrow = ax.annotate(
        "N",
        xy=(0.965, 0.975),
        xytext=(0.965, 0.875),
        xycoords="axes fraction",
        ha="center",
        va="center",
        fontsize=10,
        color=_INK,
        arrowprops={"arrowstyle": "-|>", "color": _INK, "linewidth": 1.2},
        zorder=10,
    )
    outlined(arrow)
    if arrow.arrow_patch is not None:
        outlined(arrow.arrow_patch)


def round_length(most_m: float) -> float:
    """The longest 1, 2 or 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(most_m) + 1e-9)
    step = max(step for step in _STEPS if step * power <= most_m * (1 + 1e-9))
    return step * power


def outlined(artist: Any, width: float = 2.5) -> None:
    """Put white around a text or a line, so that it is read on any ground."""
    from matplotlib.patheffects import withStroke

    artist.set_path_effects([withStroke(linewidth=width, foreground=_PAPER, alpha=0.85)])


def key(ax: Axes, entries: Sequence[Entry], title: str | None = None) -> None:
    """A legend below the map, so that it hides nothing, and maps side by side keep their width."""
    from matplotlib.patches import Patch

    handles = [
        Patch(
            facecolor=one.color or "none",
            edgecolor=_INK if one.color is None else one.color,
            label=one.text,
        )
        for one in entries
    ]
    before = ax.get_legend()
    found = ax.legend(
        handles=handles,
        title=title,
        alignment="left",
        # A second layer's beside the first one's.
        loc="upper left" if before is None else "upper right",
        bbox_to_anchor=(0.0 if before is None else 1.0, -0.01),
        borderaxespad=0.0,
        ncols=1 if len(entries) <= _MANY else 2,
        frameon=False,
        fontsize=9,
    )
    if before is not None:
        ax.add_artist(before)
    found.set_in_layout(True)
