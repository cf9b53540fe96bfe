"""Regions and borders of a band of rows, found without its neighbours.

A *region* is a 4-connected set of valid pixels of one class. Borders run along pixel edges, on the
lattice of pixel corners (x = column, y = row). An *arc* is a piece of border with the same two
regions beside it all along; it ends where three or more borders meet, or where the band ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agriseg.vector.ragged import Ints, chunks, components, follow, offsets_of

__all__ = ["OUTSIDE", "SPLIT_ROWS", "Arcs", "Regions", "Strip", "trace", "trace_band"]

OUTSIDE = -1
"""The region of pixels without a class, and of what lies beyond the raster."""

SPLIT_ROWS = 1024
"""Large polygons may be cut at every so many rows of the raster; so strips always are."""

_Bools = NDArray[np.bool_]
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Regions:
    """A table of regions, one row each.

    Args:
        value: Class.
        pixels: Number of pixels.
        steps: Sum of the confidence over its pixels, in whole steps: exact, whatever the order.
        known: Number of pixels whose confidence is known.
        first: Its first pixel in reading order, as row x raster width + column.
    """

    value: NDArray[np.int64]
    pixels: Ints
    steps: Ints
    known: Ints
    first: Ints

    def __len__(self) -> int:
        return len(self.value)

    def merged(self, target: Ints, value: Ints) -> Regions:
        """The table after region k became part of region `target[k]`, whose class is `value`."""
        count = len(value)
        first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first, target, self.first)
        sums = [_sum_by(target, column, count) for column in (self.pixels, self.steps, self.known)]
        return Regions(value, sums[0], sums[1], sums[2], first)


@dataclass(frozen=True)
class Arcs:
    """Borders. Travelling along an arc, `left` lies on the left hand of a reader of the map.

    Args:
        xy: (m, 2) corners of all arcs, one arc after the other, first and last corner included.
        offsets: (n + 1,) where each arc begins in `xy`.
        left, right: (n,) regions beside each arc, or `OUTSIDE`.
    """

    xy: NDArray[np.int32]
    offsets: Ints
    left: Ints
    right: Ints

    def __len__(self) -> int:
        return len(self.left)

    @property
    def counts(self) -> Ints:
        """Corners of each arc."""
        return np.diff(self.offsets)

    def lengths(self) -> Ints:
        """Pixel edges along each arc."""
        found = [np.zeros(0, np.int64)]
        for part in chunks(self.offsets, _CHUNK):
            offsets = self.offsets[part.start : part.stop + 1]
            xy = self.xy[offsets[0] : offsets[-1]]
            total = offsets_of(np.abs(np.diff(xy, axis=0)).sum(axis=1, dtype=np.int64))
            # What leads from the end of one arc to the start of the next one is passed over.
            offsets = offsets - offsets[0]
            found.append(total[offsets[1:] - 1] - total[offsets[:-1]])
        return np.concatenate(found)


@dataclass(frozen=True)
class Strip:
    """What is known of a band of rows.

    Args:
        row_off, height, width: Where it lies, and the width of the raster.
        regions: Its regions, in reading order.
        arcs: Its borders, but for those along its upper and lower edge.
        top, bottom: (width,) region of each pixel of its first and last row.
    """

    row_off: int
    height: int
    width: int
    regions: Regions
    arcs: Arcs
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]


def _sum_by(owner: Ints, values: Ints, count: int) -> Ints:
    total = np.zeros(count, np.int64)
    np.add.at(total, owner, values)
    return total


def trace_band(
    classes: NDArray[np.integer],
    valid: _Bools,
    row_off: int = 0,
    *,
    steps: NDArray[np.integer] | None = None,
    known: _Bools | None = None,
) -> list[Strip]:
    """`trace`, cut at every `SPLIT_ROWS` rows of the raster."""
    end = row_off + len(classes)
    marks = [row_off, *range(row_off - row_off % SPLIT_ROWS + SPLIT_ROWS, end, SPLIT_ROWS), end]
    parts = [(first, slice(first - row_off, last - row_off)) for first, last in pairwise(marks)]
    return [
        trace(
            classes[rows],
            valid[rows],
            first,
            steps=None if steps is None else steps[rows],
            known=None if known is None else known[rows],
        )
        for first, rows in parts
    ]


def trace(
    classes: NDArray[np.integer],
    valid: _Bools,
    row_off: int = 0,
    *,
    steps: NDArray[np.integer] | None = None,
    known: _Bools | None = None,
) -> Strip:
    """Find the regions and borders of a band of rows.

    Args:
        classes: (height, width) class of each pixel.
        valid: (height, width) whether a pixel has a class.
        row_off: Row of the raster at which the band begins.
        steps: (height, width) confidence in whole steps.
        known: (height, width) where `steps` counts; None: everywhere.
    """
    height, width = classes.shape
    codes, none = _coded(classes, valid)
    padded = np.full((height, width + 2), none, codes.dtype)
    padded[:, 1:-1] = codes
    upright = padded[:, 1:] != padded[:, :-1]
    level = codes[1:] != codes[:-1]
    run_of, runs = _runs(codes, upright[:, :width])
    region_of_run, regions = _regions(codes, level, run_of, runs, none, row_off, (steps, known))
    arcs = _arcs(padded, upright, level)
    xy, offsets, pixel_left, pixel_right = arcs
    sides = [
        np.where(flat < 0, OUTSIDE, region_of_run[run_of.ravel()[flat]])
        for flat in (pixel_left, pixel_right)
    ]
    xy[:, 1] += row_off
    return Strip(
        row_off,
        height,
        width,
        regions,
        Arcs(xy, offsets, sides[0], sides[1]),
        region_of_run[run_of[0]],
        region_of_run[run_of[-1]],
    )


def _coded(classes: NDArray[np.integer], valid: _Bools) -> tuple[NDArray[np.integer], int]:
    """Classes with one value that stands for no class."""
    if classes.dtype == np.uint8:
        if valid.all() and not (classes == 255).any():
            return classes, 255
        if not (classes[valid] == 255).any():
            return np.where(valid, classes, np.uint8(255)), 255
    none = int(np.iinfo(np.int64).min)
    return np.where(valid, classes.astype(np.int64), none), none


def _runs(codes: NDArray[np.integer], upright: _Bools) -> tuple[NDArray[np.int32], Ints]:
    """Runs of equal pixels along rows: the run of each pixel, and the first pixel of each run."""
    starts = upright.copy()
    starts[:, 0] = True
    run_of = np.cumsum(starts.ravel(), dtype=np.int32).reshape(codes.shape)
    run_of -= 1
    return run_of, np.flatnonzero(starts)


def _regions(
    codes: NDArray[np.integer],
    level: _Bools,
    run_of: NDArray[np.int32],
    runs: Ints,
    none: int,
    row_off: int,
    confidence: tuple[NDArray[np.integer] | None, _Bools | None],
) -> tuple[Ints, Regions]:
    """Join runs of neighbouring rows into regions: region of each run, and the table."""
    height, width = codes.shape
    value = codes.ravel()[runs]
    has_class = value != none
    # Two runs touch where neither has a border between: seen where either of them begins.
    begins = np.zeros((height, width), bool)
    begins.ravel()[runs] = True
    lower = np.flatnonzero(~level & (begins[1:] | begins[:-1])) + width
    flat = run_of.ravel()
    lower = lower[has_class[flat[lower]]]
    parts = components(len(runs), flat[lower - width], flat[lower])
    # Numbered in reading order, with the runs that have no class left out.
    is_first = np.zeros(len(runs), bool)
    is_first[np.unique(parts, return_index=True)[1]] = True
    number = np.cumsum(has_class & is_first) - 1
    first_run = np.flatnonzero(is_first)
    region_of_run = np.where(has_class, number[first_run[parts]], OUTSIDE)
    owner, classed = region_of_run[has_class], np.flatnonzero(has_class)
    count = int(number[-1]) + 1
    lengths = np.diff(np.append(runs, height * width))[classed]
    steps, known = confidence
    sums = []
    if steps is None:
        zero = np.zeros(count, np.int64)
        sums = [zero, zero]
    else:
        counted = np.ones(codes.shape, bool) if known is None else known
        for plane in (np.where(counted, steps, 0), counted):
            per_run = np.add.reduceat(plane.ravel(), runs, dtype=np.int64)[classed]
            sums.append(_sum_by(owner, per_run, count))
    heads = first_run[has_class[first_run]]
    return region_of_run, Regions(
        value[heads].astype(np.int64),
        _sum_by(owner, lengths, count),
        sums[0],
        sums[1],
        runs[heads] + row_off * width,
    )


def _arcs(
    padded: NDArray[np.integer], upright: _Bools, level: _Bools
) -> tuple[NDArray[np.int32], Ints, Ints, Ints]:
    """Borders inside the band, as corners, offsets, and one pixel beside each arc.

    Args:
        padded: (h, w + 2) classes with a column of no class on either side.
        upright: (h, w + 1) whether a pixel edge between columns is a border.
        level: (h - 1, w) whether a pixel edge between rows is a border.

    Returns:
        Corners (m, 2), offsets (n + 1,), and the flat index of the pixel on the left and on the
        right of each arc's first pixel edge, -1 beyond the raster.
    """
    height, width = upright.shape[0], upright.shape[1] - 1
    # Corners where borders turn or meet; on the band's edges, all where a border arrives.
    west = np.zeros((height - 1, width + 1), bool)
    west[:, 1:] = level
    east = np.zeros((height - 1, width + 1), bool)
    east[:, :-1] = level
    stop = np.empty((height + 1, width + 1), bool)
    stop[0], stop[-1] = upright[0], upright[-1]
    stop[1:-1] = (upright[:-1] | upright[1:]) & (west | east)
    at = np.flatnonzero(stop)
    y, x = np.divmod(at, width + 1)
    inner = (y > 0) & (y < height)
    has = {
        "north": _at(upright, y - 1, x, y > 0),
        "south": _at(upright, y, x, y < height),
        "west": _at(west, y - 1, x, inner),
        "east": _at(east, y - 1, x, inner),
    }
    is_turn = inner & (sum(flag.astype(np.int8) for flag in has.values()) == 2)
    # Eastwards the next corner in reading order, southwards the next one of the column.
    tail_e = np.flatnonzero(has["east"])
    by_column = np.argsort(x * (height + 1) + y, kind="stable")
    below = np.empty(len(at), np.int64)
    below[by_column[:-1]] = by_column[1:]
    tail_s = np.flatnonzero(has["south"])
    tail = np.concatenate([tail_e, tail_s])
    head = np.concatenate([tail_e + 1, below[tail_s]])
    # On the left of an eastward edge lies the pixel above, of a southward one that to the east.
    down = np.arange(len(tail)) >= len(tail_e)
    row, col = y[tail], x[tail]
    left_row, left_col = row - ~down, col
    right_row, right_col = row, col - down
    swap = (
        padded[left_row, left_col + 1] < padded[right_row, right_col + 1]
    )  # one direction for all edges of an arc: the larger class on the left
    tail, head = np.where(swap, head, tail), np.where(swap, tail, head)
    flats = [
        np.where((c < 0) | (c >= width), -1, r * width + c)
        for r, c in ((left_row, left_col), (right_row, right_col))
    ]
    leaves = np.full(len(at), -1)
    leaves[tail] = np.arange(len(tail))
    after = np.where(is_turn[head], leaves[head], -1)
    order, offsets, _ = follow(after)
    first = order[offsets[:-1]]
    sides = [np.where(swap[first], flats[1 - k][first], flats[k][first]) for k in (0, 1)]
    # Corners: where each edge begins, and where the last one of each arc ends.
    counts = np.diff(offsets)
    ends = offsets[1:] + np.arange(len(counts))
    corners = np.empty(len(order) + len(counts), np.int64)
    is_end = np.zeros(len(corners), bool)
    is_end[ends] = True
    corners[~is_end] = tail[order]
    corners[ends] = head[order[offsets[1:] - 1]]
    xy = np.stack([x[corners], y[corners]], axis=1).astype(np.int32)
    return xy, offsets_of(counts + 1), sides[0], sides[1]


def _at(flags: _Bools, y: Ints, x: Ints, where: _Bools) -> _Bools:
    found = np.zeros(len(y), bool)
    found[where] = flags[y[where], x[where]]
    return found
