"""Which parcel or thing eight samples of each pixel see, by scanning polygons line by line.

A pixel has four lines of two samples: no two samples in one column, as rooks on a chess board, so
that an edge in any direction is met in steps. Where an edge of a polygon crosses a line depends on
the polygon and the line alone, so a sample sees the same in every window.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.simulate.noise import Floats
from agriseg.simulate.satellite.polygons import Index
from agriseg.simulate.satellite.things import Quads

__all__ = ["CENTRE", "PER_PIXEL", "Samples", "lay_things", "paint_cells"]

Samples = NDArray[np.int32]

PER_PIXEL: Final = (4, 2)
"""Lines and samples a line of a pixel."""

CENTRE: Final = (2, 1)
"""The sample that lies nearest to a pixel's centre."""

_LINES, _COLUMNS = PER_PIXEL
# Where the first sample of each line lies, pixels.
_FIRST: Final = np.array([1.0, 5.0, 3.0, 7.0]) / 16.0


def paint_cells(
    points: Floats, count: Index, entry: Samples, window: Window, gsd: float
) -> Samples:
    """Entries of samples, from parcels that fill the window.

    Args:
        points: Outlines one after the other, (points, 2) metres on the map.
        count: Points of each parcel.
        entry: Of each parcel.
        window: Pixels.
        gsd: Metres a pixel.

    Returns:
        (4 x height, 2 x width).
    """
    shape = _LINES * window.height, _COLUMNS * window.width
    out = np.zeros(shape, dtype=np.int32)
    first = np.cumsum(count) - count
    following = np.arange(1, len(points) + 1)
    following[first + count - 1] = first
    x0, y0 = points.T
    x1, y1 = x0[following], y0[following]
    owner = np.repeat(np.arange(len(count)), count)
    # Clockwise, as the raster is looked at, edges that go up have their parcel on the right.
    up, down = np.flatnonzero(y1 < y0), np.flatnonzero(y1 > y0)
    edge, row, x = _crossings(x0[up], y0[up], x1[up], y1[up], window, gsd)
    cell, start = owner[up].take(edge), _columns(x, row, window, gsd)
    edge, last_row, last_x = _crossings(x1[down], y1[down], x0[down], y0[down], window, gsd)
    last_cell, last = owner[down].take(edge), _columns(last_x, last_row, window, gsd)
    # The line and the parcel of each end, to find it from the start.
    height = np.zeros(len(count), dtype=np.int64)
    np.maximum.at(height, last_cell, last_row + 1)
    np.maximum.at(height, cell, row + 1)
    offset = np.cumsum(height) - height
    ends = np.full(int(height.sum()), -1, dtype=np.int64)
    np.maximum.at(ends, offset[last_cell] + last_row, np.maximum(last, 0))
    inside = start < shape[1]
    row, start, x, cell = row[inside], start[inside], x[inside], cell[inside]
    flat = row * shape[1] + np.maximum(start, 0)
    began = np.full(out.size, -1, dtype=np.int32)
    number = np.arange(len(cell), dtype=np.int32)
    began[flat] = number
    # Of several that begin at one sample, or left of the window, the last counts.
    late = np.flatnonzero(x > x.take(began[flat]))
    late = late[np.argsort(x[late], kind="stable")]
    began[flat[late]] = number[late]
    where = np.flatnonzero(began >= 0)
    length = np.diff(where, append=out.size)
    seen = began[where]
    out.ravel()[int(where[0]) if where.size else 0 :] = np.repeat(entry[cell[seen]], length)
    _close(out, where, length, row[seen], ends.take(offset[cell[seen]] + row[seen]))
    return out


def _close(out: Samples, where: Index, length: Index, row: Index, end: Index) -> None:
    """Fill gaps: neighbours bend by some decimetres otherwise where another one's corner is.

    Runs of samples begin at `where` on the line `row` and have a `length`; their parcel ends before
    the column `end`, -1 where it is not known. What lies beyond sees what the line above sees.
    """
    width = out.shape[1]
    gap = np.flatnonzero((where + length > row * width + end) & (end >= 0) & (row > 0))
    begin = np.maximum(row[gap] * width + end[gap], where[gap])
    count = np.minimum(where[gap] + length[gap], (row[gap] + 1) * width) - begin
    count = np.maximum(count, 0)
    flat = np.arange(int(count.sum())) + np.repeat(begin - (np.cumsum(count) - count), count)
    samples = out.ravel()
    for _ in range(2):
        samples[flat] = samples[flat - width]


def lay_things(samples: Samples, quads: Quads, window: Window, gsd: float) -> None:
    """Lay convex quads over samples, the last on top."""
    left, top = window.col_off * gsd, window.row_off * gsd
    right, bottom = window.col_end * gsd, window.row_end * gsd
    low, high = quads.corners.min(axis=1), quads.corners.max(axis=1)
    near = (high[:, 0] > left) & (low[:, 0] < right) & (high[:, 1] > top) & (low[:, 1] < bottom)
    corners, entry = quads.corners[near], quads.entry[near]
    line_m = gsd / _LINES
    first = np.ceil(low[near, 1] / line_m - 0.5).astype(np.int64)
    last = np.ceil(high[near, 1] / line_m - 0.5).astype(np.int64)
    begin = window.row_off * _LINES
    first, last = np.maximum(first, begin), np.minimum(last, begin + len(samples))
    lines = np.maximum(last - first, 0)
    quad = np.repeat(np.arange(len(lines)), lines)
    line = np.arange(len(quad)) + np.repeat(first - (np.cumsum(lines) - lines), lines)
    y = (line + 0.5) * line_m
    x_low, x_high = np.full(len(quad), np.inf), np.full(len(quad), -np.inf)
    for k in range(4):
        (x0, y0), (x1, y1) = corners[:, k].T, corners[:, (k + 1) % 4].T
        steep = np.where(y1 != y0, y1 - y0, 1.0)
        part = (y - y0.take(quad)) / steep.take(quad)
        x = x0.take(quad) + part * (x1 - x0).take(quad)
        met = (y0.take(quad) <= y) != (y1.take(quad) <= y)
        np.minimum(x_low, np.where(met, x, np.inf), out=x_low)
        np.maximum(x_high, np.where(met, x, -np.inf), out=x_high)
    met = x_high > x_low
    quad, row, x_low, x_high = quad[met], line[met] - begin, x_low[met], x_high[met]
    width = samples.shape[1]
    start = np.clip(_columns(x_low, row, window, gsd), 0, width)
    count = np.clip(_columns(x_high, row, window, gsd), 0, width) - start
    flat = np.arange(int(count.sum())) + np.repeat(
        row * width + start - (np.cumsum(count) - count), count
    )
    samples.ravel()[flat] = np.repeat(entry[quad], count)


def _crossings(
    x0: Floats, y0: Floats, x1: Floats, y1: Floats, window: Window, gsd: float
) -> tuple[Index, Index, Floats]:
    """Where edges that go up cross the window's lines: edge, line of the window, and x."""
    line_m = gsd / _LINES
    begin = window.row_off * _LINES
    first = np.maximum(np.ceil(y1 / line_m - 0.5).astype(np.int64), begin)
    last = np.ceil(y0 / line_m - 0.5).astype(np.int64)
    count = np.maximum(np.minimum(last, begin + window.height * _LINES) - first, 0)
    slope = (x1 - x0) / (y1 - y0)
    edge = np.repeat(np.arange(len(count)), count)
    line = np.arange(len(edge)) + np.repeat(first - (np.cumsum(count) - count), count)
    x = (line + 0.5) * line_m
    x -= y0.take(edge)
    x *= slope.take(edge)
    x += x0.take(edge)
    line -= begin
    return edge, line, x


def _columns(x: Floats, row: Index, window: Window, gsd: float) -> Index:
    """The first sample of a line that lies at x or right of it."""
    out = x / gsd
    out -= _FIRST.take(row % _LINES)
    out *= _COLUMNS
    np.ceil(out, out=out)
    return np.asarray(out.astype(np.int64) - window.col_off * _COLUMNS)
