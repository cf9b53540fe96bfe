"""Rings of polygons, put together from shared lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.vector.network import Network
from agriseg.vector.ragged import Ints, chunks, follow, offsets_of, positions
from agriseg.vector.smooth import Lines

__all__ = ["Rings", "assemble", "by_line", "half_pixel_areas", "sum_by_region", "twice_areas"]


_Bools = NDArray[np.bool_]
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Rings:
    """The rings of all regions: one region after the other, its shell before its holes.

    A *side* is a line with the region on its left: line k forward is side 2k, backward 2k + 1.

    Args:
        sides: Sides, ring by ring.
        offsets: (n + 1,) where each ring begins in `sides`.
        region: (n,) the region of each ring.
    """

    sides: Ints
    offsets: Ints
    region: Ints


def assemble(network: Network, lines: Lines) -> Rings:
    """Find the rings of all regions.

    Where a region touches itself at a corner, each ring turns right: so it goes round one hole, or
    round the outside, and passes no point twice.
    """
    arcs = network.arcs
    count = len(arcs)
    region = np.stack([arcs.left, arcs.right], axis=1).ravel()
    first, last = arcs.offsets[:-1], arcs.offsets[1:] - 1
    leaving = _direction(arcs.xy[first + 1] - arcs.xy[first])
    arriving = _direction(arcs.xy[last] - arcs.xy[last - 1])
    start, end = network.nodes()
    node = np.unique(np.concatenate([start, end]), return_inverse=True)[1]
    start, end = node[:count], node[count:]
    from_node = np.stack([start, end], axis=1).ravel()
    to_node = np.stack([end, start], axis=1).ravel()
    departs = np.stack([leaving, (arriving + 2) % 4], axis=1).ravel()
    arrives = np.stack([arriving, (leaving + 2) % 4], axis=1).ravel()
    table = np.full((int(node.max(initial=-1)) + 1) * 4, -1)
    table[from_node * 4 + departs] = np.arange(2 * count)
    after = np.full(2 * count, -1)
    for turn in (1, 0, 3):  # right, straight on, left
        side = table[to_node * 4 + (arrives + turn) % 4]
        fits = (after < 0) & (side >= 0) & (region[side] == region)
        after[fits] = side[fits]
    order, offsets, _ = follow(after)
    heads = order[offsets[:-1]]
    is_shell = _signed(lines, order, offsets) > 0
    ring_order = np.lexsort((heads, ~is_shell, region[heads]))
    ring_order = ring_order[region[heads][ring_order] >= 0]
    counts = np.diff(offsets)[ring_order]
    take = positions(offsets[:-1][ring_order], counts, np.zeros(len(counts), bool))
    return Rings(order[take], offsets_of(counts), region[heads][ring_order])


def _direction(step: NDArray[np.int32]) -> Ints:
    """East 0, south 1, west 2, north 3."""
    dx, dy = step[:, 0].astype(np.int64), step[:, 1].astype(np.int64)
    return np.where(dx != 0, 1 - np.sign(dx), 2 - np.sign(dy)).astype(np.int64)


def _signed(lines: Lines, sides: Ints, offsets: Ints) -> Ints:
    """Twice the area of each ring in square half pixels; negative for holes."""
    values = half_pixel_areas(lines)[sides]
    return np.add.reduceat(values, offsets[:-1]) if len(sides) else values


def by_line(lines: Lines, work: Callable[[Lines], NDArray[Any]]) -> NDArray[Any]:
    """What `work` finds for each line, a million vertices at a time."""
    found = [work(lines.part(part)) for part in chunks(lines.offsets, _CHUNK)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def twice_areas(xy: NDArray[Any], offsets: Ints) -> NDArray[Any]:
    """What each side of lines (m, 2) adds to twice the area of the region on its left: (2n,).

    In the units of `xy` and with y running southwards, as rows do.
    """
    cross = np.zeros(len(xy), xy.dtype)
    cross[:-1] = xy[1:, 0] * xy[:-1, 1] - xy[:-1, 0] * xy[1:, 1]
    cross[offsets[1:] - 1] = 0
    forward = np.add.reduceat(cross, offsets[:-1]) if len(xy) else cross
    return np.stack([forward, -forward], axis=1).ravel()


def half_pixel_areas(lines: Lines) -> Ints:
    """The same of whole lines, in square half pixels: exact."""
    return by_line(lines, lambda part: twice_areas(part.xy.astype(np.int64), part.offsets))


def sum_by_region(values: NDArray[Any], rings: Rings, count: int) -> NDArray[Any]:
    """Sum what is known of each side (2n,) over all sides of each of `count` regions."""
    owner = np.repeat(rings.region, np.diff(rings.offsets))
    total = np.zeros(count, values.dtype)
    np.add.at(total, owner, values[rings.sides])
    return total
