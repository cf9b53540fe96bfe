"""The borders of a whole raster: strips joined over their seams, and merged regions dissolved.

The network of a raster is the same however the raster was cut into strips: regions are numbered by
their first pixel, arcs run from meeting point to meeting point and are sorted by their first
corners.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agriseg.vector.pile import Pile
from agriseg.vector.ragged import Ints, chunks, components, follow, offsets_of, positions, spread
from agriseg.vector.strip import OUTSIDE, Arcs, Regions, Strip

__all__ = ["Network", "Split", "Stack", "dissolve", "divide", "join"]

# Corners that are worked on at a time.
_CHUNK = 1 << 20
_NO_CORNERS = np.zeros((0, 2), np.int32)


@dataclass(frozen=True)
class Split:
    """How large regions are split: those with more pixel edges around than `edges`, at every
    `rows` rows."""

    rows: int
    edges: int


@dataclass(frozen=True)
class Parts:
    """What the regions of a network were before strips were joined.

    Args:
        regions: The regions of all strips.
        whole: The region of the network that each is part of.
        left, right: Those beside each arc, or `OUTSIDE`.
    """

    regions: Regions
    whole: Ints
    left: Ints
    right: Ints


@dataclass(frozen=True)
class Network:
    """Regions and the arcs between them, over a raster of `height` x `width` pixels."""

    height: int
    width: int
    regions: Regions
    arcs: Arcs
    parts: Parts | None = None

    def nodes(self) -> tuple[Ints, Ints]:
        """The corner where each arc begins and ends, as row x (width + 1) + column."""
        return _keys(self.arcs, self.width)

    @property
    def rings(self) -> NDArray[np.bool_]:
        """Whether an arc closes upon itself where no other arc meets it."""
        start, end = self.nodes()
        _, place, uses = np.unique(
            np.concatenate([start, end]), return_inverse=True, return_counts=True
        )
        closes: NDArray[np.bool_] = (start == end) & (uses[place[: len(start)]] == 2)
        return closes


def join(strips: Iterable[Strip], scratch: Path | None = None) -> Network:
    """Join strips that cover a raster from top to bottom.

    Arcs still end at the seams, and those between parts of one region are still there, until
    `dissolve` mends both.

    Args:
        strips: In order.
        scratch: A folder for what does not fit into memory.
    """
    return Stack.of(strips, scratch).joined()


@dataclass(frozen=True)
class Stack:
    """Strips laid under each other, their regions numbered through, and the seams between them.

    Args:
        width: Of the raster.
        rows: The rows at which strips begin, and the one behind the last strip.
        regions: Of all strips.
        arcs: Of all strips, and along all seams.
        pairs: For each of `rows` the pairs (2, n) of regions that touch there and are one.
    """

    width: int
    rows: Sequence[int]
    regions: Regions
    arcs: Arcs
    pairs: Sequence[Ints]

    @classmethod
    def of(cls, strips: Iterable[Strip], scratch: Path | None = None) -> Stack:
        """Take strips one after the other; nothing holds on to them."""
        pile, parts, tables = Pile(scratch), list[Arcs](), list[Regions]()
        tops, bottoms, rows = list[Ints](), list[Ints](), [0]
        base = 0
        for strip in strips:
            pile.add(strip.arcs.xy)
            left, right = _shifted(strip.arcs.left, base), _shifted(strip.arcs.right, base)
            parts.append(Arcs(_NO_CORNERS, strip.arcs.offsets, left, right))
            tops.append(_shifted(strip.top, base))
            bottoms.append(_shifted(strip.bottom, base))
            tables.append(strip.regions)
            rows.append(strip.row_off + strip.height)
            base += len(strip.regions)
        width = len(tops[0])
        regions = Regions(
            *(
                np.concatenate([getattr(table, field.name) for table in tables])
                for field in fields(Regions)
            )
        )
        outside = np.full(width, OUTSIDE, np.int64)
        seams = list(zip(rows, [outside, *bottoms], [*tops, outside], strict=True))
        for seam in seams:
            parts.append(_seam(*seam))
            pile.add(parts[-1].xy)
        pairs = [_touching(above, below, regions.value) for _, above, below in seams]
        return cls(width, rows, regions, _stacked(pile.done(), parts), pairs)

    def joined(self) -> Network:
        """Unite the regions that touch over seams; see `join`."""
        regions, arcs = self.regions, self.arcs
        links = np.concatenate(self.pairs, axis=1)
        whole = components(len(regions), links[0], links[1])
        value = np.zeros(int(whole.max(initial=-1)) + 1, np.int64)
        value[whole] = regions.value
        left, right = _renamed(arcs.left, whole), _renamed(arcs.right, whole)
        return Network(
            self.rows[-1],
            self.width,
            regions.merged(whole, value),
            Arcs(arcs.xy, arcs.offsets, left, right),
            Parts(regions, whole, arcs.left, arcs.right),
        )


def divide(
    network: Network, target: Ints, value: Ints, split: Split, scratch: Path | None = None
) -> Network:
    """`dissolve`, but leave large regions in parts, cut at every so many rows.

    Args:
        network: What was joined from strips that were cut at these rows.
        target: The region that each region becomes part of.
        value: Class of each of those.
        split: Which are large, and where they are cut.
        scratch: A folder for what does not fit into memory.
    """
    arcs, parts = network.arcs, network.parts
    left, right = _renamed(arcs.left, target), _renamed(arcs.right, target)
    edges = np.zeros(len(value), np.int64)
    is_border = left != right
    lengths = arcs.lengths()[is_border]
    for side in (left[is_border], right[is_border]):
        np.add.at(edges, side[side >= 0], lengths[side >= 0])
    is_large = edges > split.edges
    if parts is None or not is_large.any():
        return dissolve(network, target, value, scratch)
    region = target[parts.whole]
    # Parts of a large region hold together where they touch but along a line of the split; those of
    # any other region anyhow.
    start, end = _ends(arcs)
    is_cut = (start[:, 1] == end[:, 1]) & (start[:, 1] % split.rows == 0) & (arcs.counts == 2)
    holds = np.flatnonzero(~is_border & (left >= 0) & ~is_cut)
    by_region = np.argsort(region, kind="stable")
    follows = (region[by_region[1:]] == region[by_region[:-1]]) & ~is_large[region[by_region[1:]]]
    one = np.concatenate([parts.left[holds], by_region[:-1][follows]])
    other = np.concatenate([parts.right[holds], by_region[1:][follows]])
    piece = components(len(region), one, other)
    values = np.zeros(int(piece.max(initial=-1)) + 1, np.int64)
    values[piece] = value[region]
    apart = Arcs(arcs.xy, arcs.offsets, parts.left, parts.right)
    whole = Network(network.height, network.width, parts.regions, apart)
    return dissolve(whole, piece, values, scratch)


def dissolve(network: Network, target: Ints, value: Ints, scratch: Path | None = None) -> Network:
    """Merge regions, and make arcs run from meeting point to meeting point.

    Args:
        network: What was joined.
        target: The region that each region becomes part of.
        value: Class of each of those.
        scratch: A folder for what does not fit into memory.
    """
    regions = network.regions.merged(target, value)
    # Numbered by first pixel, so that the numbers do not depend on how the raster was cut.
    rank = np.empty(len(regions), np.int64)
    rank[np.argsort(regions.first)] = np.arange(len(regions))
    regions = regions.merged(rank, value[np.argsort(rank)])
    target = rank[target]
    arcs = network.arcs
    left, right = _renamed(arcs.left, target), _renamed(arcs.right, target)
    kept = np.flatnonzero(left != right)
    backward = left[kept] < right[kept]
    pair = np.sort(np.stack([left[kept], right[kept]]), axis=0)
    start, end = (key[kept] for key in _keys(arcs, network.width))
    start, end = np.where(backward, end, start), np.where(backward, start, end)
    node = np.unique(np.concatenate([start, end]), return_inverse=True)[1]
    degree = np.bincount(node)
    start, end = node[: len(kept)], node[len(kept) :]
    leaves = np.full(len(degree), -1)
    leaves[start] = np.arange(len(kept))
    after = np.where(degree[end] == 2, leaves[end], -1)
    order, chains, is_closed = follow(after)
    first = order[chains[:-1]]
    # Every arc gives all its corners but the last, which the next one begins with.
    counts = arcs.counts[kept][order] - 1
    pile, lengths = Pile(scratch), list[Ints]()
    for part in chunks(_lengths_of(counts, chains), _CHUNK):
        some = slice(chains[part.start], chains[part.stop])
        within = chains[part.start : part.stop + 1] - chains[part.start]
        take = _corner_positions(
            arcs, kept[order[some]], backward[order[some]], counts[some], within
        )
        xy = np.asarray(arcs.xy[take])
        offsets = _lengths_of(counts[some], within)
        xy, offsets = _without_straight(_turned(xy, offsets, is_closed[part]), offsets)
        pile.add(xy)
        lengths.append(np.diff(offsets))
    offsets = offsets_of(np.concatenate(lengths) if lengths else counts)
    joined = Arcs(pile.done(), offsets, pair[1][first], pair[0][first])
    return Network(network.height, network.width, regions, _sorted(joined, scratch))


def _lengths_of(counts: Ints, chains: Ints) -> Ints:
    """Where chains of arcs begin, counted in corners; each has one more than its arcs give."""
    total = offsets_of(counts)[chains]
    return total + np.arange(len(total))


# Joining --------------------------------------------------------------------------------------


def _shifted(region: Ints, by: int) -> Ints:
    return np.where(region < 0, OUTSIDE, region + by)


def _renamed(region: Ints, target: Ints) -> Ints:
    if not len(target):
        return region
    return np.where(region < 0, OUTSIDE, target[region])


def _stacked(xy: NDArray[np.int32], parts: Sequence[Arcs]) -> Arcs:
    base = offsets_of(np.array([part.offsets[-1] for part in parts]))
    offsets = [part.offsets[:-1] + base[k] for k, part in enumerate(parts)]
    left, right = [part.left for part in parts], [part.right for part in parts]
    ends = np.concatenate([*offsets, base[-1:]])
    return Arcs(xy, ends, np.concatenate(left), np.concatenate(right))


def _seam(row: int, above: Ints, below: Ints) -> Arcs:
    """The borders along a lattice row, given the regions of the pixels above and below it."""
    width = len(above)
    changes = np.ones(width + 1, bool)
    changes[1:-1] = (above[1:] != above[:-1]) | (below[1:] != below[:-1])
    x = np.flatnonzero(changes)
    left, right = above[x[:-1]], below[x[:-1]]
    kept = left != right
    xy = np.empty((2 * int(kept.sum()), 2), np.int32)
    xy[::2, 0], xy[1::2, 0], xy[:, 1] = x[:-1][kept], x[1:][kept], row
    return Arcs(xy, np.arange(0, len(xy) + 1, 2), left[kept], right[kept])


def _touching(above: Ints, below: Ints, value: NDArray[np.int64]) -> Ints:
    """Pairs (2, n) of regions of one class that touch over a seam."""
    both = (above >= 0) & (below >= 0)
    up, down = above[both], below[both]
    same = value[up] == value[down]
    return np.unique(np.stack([up[same], down[same]]), axis=1)


# Dissolving -----------------------------------------------------------------------------------


def _keys(arcs: Arcs, width: int) -> tuple[Ints, Ints]:
    start, end = (at[:, 1] * (width + 1) + at[:, 0] for at in _ends(arcs))
    return start, end


def _ends(arcs: Arcs) -> tuple[Ints, Ints]:
    """The first and the last corner (n, 2) of each arc."""
    first, last = arcs.offsets[:-1], arcs.offsets[1:] - 1
    return np.asarray(arcs.xy[first], np.int64), np.asarray(arcs.xy[last], np.int64)


def _corner_positions(
    arcs: Arcs, which: Ints, backward: NDArray[np.bool_], counts: Ints, chains: Ints
) -> Ints:
    """Positions in `arcs.xy` of the corners of chains of arcs."""
    starts = arcs.offsets[which] + backward  # a backward arc leaves out its first corner
    ends = chains[1:]
    last, is_back = which[ends - 1], backward[ends - 1]
    closing = np.where(is_back, arcs.offsets[last], arcs.offsets[last + 1] - 1)
    # The last corner of a chain is a list of its own.
    return positions(
        np.insert(starts, ends, closing),
        np.insert(counts, ends, 1),
        np.insert(backward, ends, False),
    )


def _turned(
    xy: NDArray[np.int32], offsets: Ints, is_closed: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Let every closed arc begin at its uppermost, then leftmost corner."""
    which = np.flatnonzero(is_closed)
    if not len(which):
        return xy
    counts = np.diff(offsets)[which] - 1
    owner, place = spread(counts)
    flat = offsets[which][owner] + place
    x, y = xy[flat, 0].astype(np.int64), xy[flat, 1].astype(np.int64)
    key = y * (int(x.max()) + 1) + x
    starts = offsets_of(counts)[:-1]
    smallest = np.minimum.reduceat(key, starts)
    at = np.zeros(len(which), np.int64)
    hit = key == smallest[owner]
    at[owner[hit]] = place[hit]
    turned = xy.copy()
    turned[flat] = xy[offsets[which][owner] + (place + at[owner]) % counts[owner]]
    ends = offsets[which + 1] - 1
    turned[ends] = turned[offsets[which]]
    return turned


def _without_straight(xy: NDArray[np.int32], offsets: Ints) -> tuple[NDArray[np.int32], Ints]:
    """Leave out corners at which an arc goes straight on."""
    kept = np.ones(len(xy), bool)
    moves = xy[1:] != xy[:-1]
    kept[1:-1] = ~(moves[:-1] & moves[1:]).any(axis=1)
    kept[offsets[:-1]] = True
    kept[offsets[1:] - 1] = True
    total = offsets_of(kept)
    return xy[kept], total[offsets]


def _sorted(arcs: Arcs, scratch: Path | None) -> Arcs:
    """By first corner, then by second: no two arcs begin with the same two."""
    start = arcs.offsets[:-1]
    (x, y), (next_x, next_y) = np.asarray(arcs.xy[start]).T, np.asarray(arcs.xy[start + 1]).T
    order = np.lexsort((next_x, next_y, x, y))
    offsets = offsets_of(arcs.counts[order])
    pile = Pile(scratch)
    for part in chunks(offsets, _CHUNK):
        some = order[part]
        take = positions(start[some], arcs.counts[some], np.zeros(len(some), bool))
        pile.add(np.asarray(arcs.xy[take]))
    return Arcs(pile.done(), offsets, arcs.left[order], arcs.right[order])
