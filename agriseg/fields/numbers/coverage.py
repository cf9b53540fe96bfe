"""Which pixels a polygon covers, and how much of each.

exactextract finds the share of a pixel that lies inside a polygon by tracing its outline through
the grid. It knows grids along the axes only, so polygons are brought into pixel coordinates, where
every grid is one: turned, south-up and non-square rasters are no special cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.geobox import GeoBox, Window

__all__ = ["WEIGHT_STEPS", "Block", "Covered", "bands_of_rows", "covered", "in_pixels"]

WEIGHT_STEPS = 2**20
"""Weights are whole numbers of such parts of a pixel: sums of them are exact, in any order."""

# Tiles of most files have sides that divide it: rows cut at its multiples are decoded once.
_ROWS = 512
_FEWEST_ROWS = 64
# Pixels of a band of rows: ten planes of float32 take 320 MB.
_PIXELS = 2**23
# Side of the squares of pixels that a large polygon is looked at by, and how many such are large.
_SQUARE, _LARGE = 64, 64
# Of an outline; to cut holes into one of 20,000 takes 30 ms, of 200,000 1.6 s.
_MOST_POINTS = 50_000


Block = tuple[slice, slice]
"""Rows and columns of a window."""


@dataclass(frozen=True)
class Covered:
    """The pixels of a window that one polygon covers.

    Args:
        index: Which polygon.
        cells: (n,) places in the window, counted row by row.
        weights: (n,) share of each pixel inside the polygon, in (0, 1].
        inner: Further pixels, all of which lie inside.
    """

    index: int
    cells: NDArray[np.int64]
    weights: NDArray[np.float64]
    inner: tuple[Block, ...] = ()


def in_pixels(shapes: NDArray[np.object_], box: GeoBox) -> NDArray[np.object_]:
    """Polygons (n,) in columns (x) and rows (y) of a grid, from map coordinates.

    Edges stay straight. What is no polygon, or empty, becomes an empty polygon; self-intersections
    are resolved (`shapely.make_valid`), since inside and outside have no meaning with them.
    """
    inverse = ~box.transform

    def turn(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy.T
        return np.column_stack(
            [
                inverse.a * x + inverse.b * y + inverse.c,
                inverse.d * x + inverse.e * y + inverse.f,
            ]
        )

    found: NDArray[np.object_] = shapely.transform(shapely.force_2d(shapes), turn)
    broken = ~shapely.is_valid(found) & ~shapely.is_missing(found)
    if broken.any():
        found[broken] = shapely.make_valid(found[broken], method="structure", keep_collapsed=False)
    unusable = ~np.isin(shapely.get_type_id(found), (3, 6))
    found[unusable] = shapely.Polygon()
    return found


def bands_of_rows(
    box: GeoBox, shapes: NDArray[np.object_]
) -> Iterator[tuple[Window, Sequence[int]]]:
    """Windows from the top to the bottom of a grid that hold all of the polygons, and which.

    Where they are cut depends on the grid alone.

    Args:
        box: The grid.
        shapes: Polygons (n,) of `in_pixels`.
    """
    bounds = shapely.bounds(shapes)
    rows = _ROWS
    while rows > _FEWEST_ROWS and rows * box.width > _PIXELS:
        rows //= 2
    for top in range(0, box.height, rows):
        band = Window(0, top, box.width, min(rows, box.height - top))
        left, upper, right, lower = bounds.T
        # NaN of an empty polygon compares as False.
        meets = (upper < band.row_end) & (lower > top) & (left < box.width) & (right > 0)
        mine = np.flatnonzero(meets)
        if not mine.size:
            continue
        first = max(int(np.floor(left[mine].min())), 0)
        end = min(int(np.ceil(right[mine].max())), box.width)
        start = max(int(np.floor(upper[mine].min())), top)
        stop = min(int(np.ceil(lower[mine].max())), band.row_end)
        yield Window(first, start, end - first, stop - start), mine.tolist()


def covered(window: Window, shapes: NDArray[np.object_], which: Sequence[int]) -> Iterator[Covered]:
    """What each polygon covers of a window; those that cover nothing are left out.

    Args:
        window: Pixels of the grid.
        shapes: Polygons (n,) of `in_pixels`.
        which: Those to look at.
    """
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    # exactextract counts cells from the upper left, and y from the bottom.
    def turn(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([xy[:, 0] - window.col_off, window.row_end - xy[:, 1]])

    # Its values do not count: one byte that stands for all of the window.
    raster = NumPyRasterSource(np.broadcast_to(np.uint8(0), window.shape))
    for some in _groups(window, shapes, which):
        parted = [_without_inner(window, shapes[index]) for index in some]
        rest = np.array([shape for shape, _ in parted], object)
        wkb = shapely.to_wkb(shapely.transform(rest, turn))
        found = exact_extract(raster, _source(wkb), ["cell_id", "coverage"])
        for index, (_, inner), feature in zip(some, parted, found, strict=True):
            properties = feature["properties"]
            steps = np.rint(properties["coverage"] * WEIGHT_STEPS)
            cells = properties["cell_id"]
            is_some = steps > 0
            if not is_some.all():
                steps, cells = steps[is_some], cells[is_some]
            if steps.size or inner:
                yield Covered(index, cells, steps / WEIGHT_STEPS, inner)


def _without_inner(window: Window, shape: Any) -> tuple[Any, tuple[Block, ...]]:
    """Take from a large polygon the blocks of pixels of a window that lie well inside it.

    Nearly all pixels of a large field do; to trace and weigh each of them takes longer than to
    read it. No vertex of the outline moves, so the shares of all other pixels stay what they are.
    """
    left, top, right, bottom = shapely.bounds(shape)
    width = min(right, window.col_end) - max(left, window.col_off)
    height = min(bottom, window.row_end) - max(top, window.row_off)
    is_large = width * height >= _LARGE * _SQUARE**2  # NaN of an empty polygon compares as False
    if not is_large or shapely.get_num_coordinates(shape) > _MOST_POINTS:
        return shape, ()
    rows, cols = (
        np.append(np.arange(0, length, _SQUARE), length) for length in (window.height, window.width)
    )
    x, y = cols + window.col_off, (rows + window.row_off)[:, None]
    shapely.prepare(shape)
    inside = shapely.contains_properly(shape, shapely.box(x[:-1], y[:-1], x[1:], y[1:]))
    blocks = []
    for row, here in enumerate(inside):
        ends = np.flatnonzero(np.diff(here, prepend=False, append=False)).reshape(-1, 2)
        at = slice(int(rows[row]), int(rows[row + 1]))
        blocks += [(at, slice(int(cols[first]), int(cols[end]))) for first, end in ends]
    if not blocks:
        return shape, ()
    corners = np.array([(c.start, r.start, c.stop, r.stop) for r, c in blocks], float)
    corners += np.tile([window.col_off, window.row_off], 2)
    return shapely.difference(shape, shapely.union_all(shapely.box(*corners.T))), tuple(blocks)


def _groups(
    window: Window, shapes: NDArray[np.object_], which: Sequence[int]
) -> Iterator[list[int]]:
    """Polygons whose pixels together fit into memory, where many overlap."""
    around = shapely.box(window.col_off, window.row_off, window.col_end, window.row_end)
    held: list[int] = []
    pixels = 0.0
    for index in which:
        more = shapely.area(shapely.intersection(shapely.envelope(shapes[index]), around))
        if held and pixels + more > _PIXELS:
            yield held
            held, pixels = [], 0.0
        held.append(index)
        pixels += more
    if held:
        yield held


def _source(wkb: Sequence[bytes]) -> Any:
    """Polygons as exactextract asks for them, without a detour through text."""
    from exactextract.feature import Feature, FeatureSource

    class _Polygon(Feature):  # type: ignore[misc]
        def __init__(self, wkb: bytes) -> None:
            super().__init__()
            self._wkb = wkb

        def geometry(self) -> bytes:
            return self._wkb

        def fields(self) -> list[str]:
            return []

    class _Polygons(FeatureSource):  # type: ignore[misc]
        def __iter__(self) -> Iterator[_Polygon]:
            return map(_Polygon, wkb)

        def count(self) -> int:
            return len(wkb)

        def srs_wkt(self) -> None:
            return None

    return _Polygons()
