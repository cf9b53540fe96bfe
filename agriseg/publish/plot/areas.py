"""Polygons as maps: fields, zones, weeds, and any other table of areas."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.errors import InputError
from agriseg.publish.colors import GROWTH, INFESTATION, pick
from agriseg.publish.plot.given import PathLike, column_of, table_of
from agriseg.publish.plot.maps import Entry, frame_around, key, map_axes, map_of, outlined
from agriseg.publish.words import SMALL_HA, area_words, pretty_breaks, range_words
from agriseg.runs import Run

if TYPE_CHECKING:
    import geopandas as gpd
    from matplotlib.axes import Axes

__all__ = ["areas", "fields", "weeds", "zone_colors", "zones"]

_INK, _NOTHING = "#1a1a1a", "#d9d9d9"
# PuOr of ColorBrewer 2.0 without its ends: less is orange, more is purple, none is pale.
_CHANGE = ("#b35806", "#f1a340", "#f7f7f7", "#998ec3", "#542788")
# Percent of a cell under weeds, as in the QGIS project.
_WEED_BREAKS = (0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0)
# More names than these hide the map.
_MOST_NAMES = 60
_PER_HA = 1e4


def fields(
    what: Run | PathLike | gpd.GeoDataFrame,
    column: str | None = None,
    *,
    names: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw fields: their outlines and names, or filled by a number of theirs.

    Args:
        what: A run with fields, a vector file, or a frame.
        column: A number such as "ndvi_median"; by default outlines only.
        names: Whether `name`, or else `field_id`, stands in each.
        title: Above it.
        ax: Axes to draw on; on a map it lies upon what is there, in its CRS.

    Raises:
        InputError: There are no fields.
        OptionError: There is no such column.
    """
    frame = table_of(what, "fields")
    if column is not None:
        ax = areas(frame, column, title=title, ax=ax)
    shapes, ax = _placed(frame, ax, title)
    _paint(ax, shapes, ["none"] * len(shapes), line=1.2)
    if names and len(frame) <= _MOST_NAMES:
        _names(ax, shapes, _names_of(frame))
    return ax


def zones(
    what: Run | PathLike | gpd.GeoDataFrame, *, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw zones of vigour, light where it is low, with the hectares of each.

    Args:
        what: A run with zones, a vector file, or what `agriseg.make_zones` gave.
        title: Above it.
        ax: Axes to draw on.

    Raises:
        InputError: There are no zones.
        OptionError: The table has no column `zone`.
    """
    frame = table_of(what, "zones")
    words, colors = zone_colors(frame)
    texts = np.array(words, dtype=object)
    shapes, ax = _placed(frame, ax, title)
    _paint(ax, shapes, [colors[text] for text in words], line=0.4)
    parts = [(text, color, texts == text) for text, color in colors.items()]
    key(ax, _entries(frame, parts))
    return ax


def zone_colors(frame: gpd.GeoDataFrame) -> tuple[list[str], dict[str, str]]:
    """What each zone is called, and the colour of each name, the lowest first.

    A field of two zones has "low" and "high", one of three "medium" too: names say the same in all
    fields, numbers do not.

    Raises:
        OptionError: The table has no column `zone`.
    """
    numbers = frame[column_of(frame, "zone")].to_numpy(float)
    has_names = "zone_name" in frame
    words = [
        str(name) if has_names else f"zone {number:g}"
        for name, number in zip(frame["zone_name"] if has_names else numbers, numbers, strict=True)
    ]
    ranks, texts = _ranks(frame, numbers), np.array(words, dtype=object)
    found = sorted(set(words), key=lambda text: (float(np.mean(ranks[texts == text])), text))
    return words, dict(zip(found, pick(GROWTH, max(len(found), 1)), strict=False))


def _ranks(frame: gpd.GeoDataFrame, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where each zone stands among those of its field: 0 the lowest, 1 the highest."""
    ids = frame["field_id"].to_numpy() if "field_id" in frame else np.zeros(len(frame))
    ranks = np.full(len(frame), 0.5)
    for one in set(ids):
        mine = ids == one
        low, high = numbers[mine].min(), numbers[mine].max()
        if high > low:
            ranks[mine] = (numbers[mine] - low) / (high - low)
    return ranks


def weeds(
    what: Run | PathLike | gpd.GeoDataFrame,
    column: str = "weed_percent",
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw cells by how much of them is weed, on a fixed scale, so that dates compare.

    Args:
        what: What `agriseg.weed_grid` gave, a vector file, or a run with weeds.gpkg.
        column: Percent of each cell.
        title: Above it.
        ax: Axes to draw on; cells without weeds let through what is there.

    Raises:
        InputError: There are no cells.
        OptionError: There is no such column.
    """
    frame = table_of(what, "weeds")
    values = frame[column_of(frame, column)].to_numpy(float)
    colors = pick(INFESTATION, len(_WEED_BREAKS) - 1)
    place = np.digitize(values, _WEED_BREAKS[1:-1], right=True)
    fills = [
        _NOTHING if np.isnan(value) else "none" if value <= 0 else colors[k]
        for value, k in zip(values, place, strict=True)
    ]
    shapes, ax = _placed(frame, ax, title)
    _paint(ax, shapes, fills, line=0.15, alpha=0.8)
    parts: list[tuple[str, str | None, NDArray[np.bool_]]] = [("no weeds", None, values <= 0)]
    for k, (lower, upper) in enumerate(pairwise(_WEED_BREAKS)):
        mine = (values > 0) & (place == k)
        if mine.any():
            words = "up to 1 %" if k == 0 else range_words(lower, upper, "%")
            parts.append((words, colors[k], mine))
    if np.isnan(values).any():
        parts.append(("no class", _NOTHING, np.isnan(values)))
    key(ax, _entries(frame, parts), "weeds, share of the ground")
    return ax


def areas(
    what: Run | PathLike | gpd.GeoDataFrame,
    column: str,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw polygons by a number of theirs, in ranges between round numbers.

    Numbers on both sides of zero, such as changes, get a ramp with a pale middle.

    Args:
        what: A frame, a vector file, or a run with fields.
        column: Of the numbers.
        title: Above it.
        ax: Axes to draw on.

    Raises:
        InputError: There are no polygons.
        OptionError: There is no such column.
    """
    frame = table_of(what, "fields")
    values = frame[column_of(frame, column)].to_numpy(float)
    known = np.isfinite(values)
    there = values[known]
    shapes, ax = _placed(frame, ax, title)
    low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 0.0)
    is_change = low < 0 < high or column.endswith("_change")
    if is_change:
        high = max(abs(low), abs(high))
        low = -high
    breaks = pretty_breaks(low, high, 6 if is_change else 5)
    colors = pick(_CHANGE if is_change else GROWTH, len(breaks) - 1)
    place = np.digitize(np.where(known, values, low), breaks[1:-1])
    fills = [colors[k] if ok else _NOTHING for ok, k in zip(known, place, strict=True)]
    _paint(ax, shapes, fills, line=0.6)
    unit = "%" if column.endswith("_percent") else ""
    parts = [
        (range_words(*ends, unit), color, known & (place == k))
        for k, (ends, color) in enumerate(zip(pairwise(breaks), colors, strict=True))
    ]
    if not known.all():
        parts.append(("no value", _NOTHING, ~known))
    key(ax, _entries(frame, parts), column)
    return ax


def _placed(
    frame: gpd.GeoDataFrame, ax: Axes | None, title: str | None
) -> tuple[NDArray[np.object_], Axes]:
    """The shapes in the CRS of the map, and the map, made where there is none."""
    there = map_of(ax)
    if there is not None and there.crs is not None and frame.crs is not None:
        frame = frame.to_crs(there.crs.to_wkt())
    shapes: NDArray[np.object_] = np.asarray(frame.geometry.to_numpy(), dtype=object)
    if there is None:
        if not np.isfinite(shapely.total_bounds(shapes)).all():
            raise InputError("the table holds no shapes, so there is nothing to draw")
        crs = None if frame.crs is None else CRS.from_wkt(frame.crs.to_wkt())
        there = frame_around(shapes, crs)
    return shapes, map_axes(ax, there, title)


def _paint(
    ax: Axes, shapes: NDArray[np.object_], fills: list[str], *, line: float, alpha: float = 1.0
) -> None:
    """Draw polygons; geopandas would bring in pyplot."""
    from matplotlib.collections import PathCollection

    limits = ax.get_xlim(), ax.get_ylim()
    paths, colors = [], []
    for shape, fill in zip(shapes, fills, strict=True):
        if shape is not None and not shape.is_empty:
            paths.append(_path(shape))
            colors.append(fill)
    if paths:
        drawn = PathCollection(
            paths, facecolors=colors, edgecolors=_INK, linewidths=line, alpha=alpha, zorder=1.0
        )
        drawn.set_transform(ax.transData)
        ax.add_collection(drawn, autolim=False)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])


def _path(shape: Any) -> Any:
    """All rings of a shape in one path, so that holes are holes."""
    from matplotlib.path import Path

    rings = shapely.get_rings(shapely.orient_polygons(shapely.get_parts(shape)))
    parts = [Path(shapely.get_coordinates(ring), closed=True) for ring in rings]
    return Path.make_compound_path(*parts)


def _names_of(frame: gpd.GeoDataFrame) -> list[str]:
    texts = [""] * len(frame)
    for column in ("field_id", "name"):
        if column in frame:
            some = [None if v is None or v != v else str(v) for v in frame[column]]
            texts = [new or old for new, old in zip(some, texts, strict=True)]
    return texts


def _names(ax: Axes, shapes: NDArray[np.object_], texts: list[str]) -> None:
    for shape, text in zip(shapes, texts, strict=True):
        if text and shape is not None and not shape.is_empty:
            at = shape.representative_point()
            outlined(ax.text(at.x, at.y, text, ha="center", va="center", fontsize=9, clip_on=True))


def _hectares(frame: gpd.GeoDataFrame) -> NDArray[np.float64] | None:
    """Of each row; None where the table does not tell."""
    for column, factor in (("area_ha", 1.0), ("area_m2", 1 / _PER_HA)):
        if column in frame:
            found: NDArray[np.float64] = frame[column].to_numpy(float) * factor
            return found
    return None


def _entries(
    frame: gpd.GeoDataFrame,
    parts: Sequence[tuple[str, str | None, NDArray[np.bool_]]],
) -> list[Entry]:
    """Lines of a legend with the area of their rows, all in one unit.

    Args:
        frame: The table.
        parts: (text, colour, which rows) of each line.
    """
    areas_ha = _hectares(frame)
    if areas_ha is None:
        return [Entry(text, color) for text, color, _ in parts]
    in_m2 = float(np.nansum(areas_ha)) < SMALL_HA
    return [
        Entry(f"{text}  {area_words(float(np.nansum(areas_ha[rows])), in_m2=in_m2)}", color)
        for text, color, rows in parts
    ]
