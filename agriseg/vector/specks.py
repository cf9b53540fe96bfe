"""Merging specks: regions too small to be kept go to a neighbour.

On the labels, before there are polygons: the smallest region first (of equal ones the first in
reading order), into the neighbour with the longest common border (of equal ones the one of the
lower class). What is merged takes that neighbour's class, joins all regions of that class which it
touches, and is itself merged on while it is too small. Pixels without a class are no neighbour; a
speck that touches nothing else stays.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agriseg.vector.network import Network, Split, dissolve, divide
from agriseg.vector.ragged import Ints, offsets_of

__all__ = ["merge_specks"]


def merge_specks(
    network: Network, min_pixels: int, split: Split | None = None, scratch: Path | None = None
) -> Network:
    """Dissolve all regions of fewer than `min_pixels` pixels into their neighbours.

    Args:
        network: What was joined.
        min_pixels: Regions of so many pixels stay.
        split: How large regions are split, when specks are merged.
        scratch: A folder for what does not fit into memory.
    """
    regions = network.regions
    target, value = np.arange(len(regions)), regions.value
    small = regions.pixels < min_pixels
    if small.any():
        one, other, length = _borders(network)
        islands = _islands(one, other, small)
        target = np.where(islands >= 0, islands, target)
        merger = _Merger(network, min_pixels, small & (islands < 0))
        merger.learn(one, other, length)
        merger.run()
        target = merger.roots()[target]
        value = merger.values()
        kept, target = np.unique(target, return_inverse=True)
        value = value[kept]
    if split is not None:
        return divide(network, target, value, split, scratch)
    return dissolve(network, target, value, scratch)


def _borders(network: Network) -> tuple[Ints, Ints, Ints]:
    """All pairs of neighbours, each in both directions, and the pixel edges between them."""
    arcs, count = network.arcs, len(network.regions)
    between = np.flatnonzero((arcs.left >= 0) & (arcs.right >= 0) & (arcs.left != arcs.right))
    left, right = arcs.left[between], arcs.right[between]
    length = arcs.lengths()[between]
    key = np.concatenate([left * count + right, right * count + left])
    pairs, found = np.unique(key, return_inverse=True)
    total = np.zeros(len(pairs), np.int64)
    np.add.at(total, found, np.concatenate([length, length]))
    one, other = np.divmod(pairs, count)
    return one, other, total


def _islands(one: Ints, other: Ints, small: NDArray[np.bool_]) -> Ints:
    """Where specks lie within one large region alone: that region, elsewhere -1.

    Most specks do. Nothing that happens to others can change where these go.
    """
    neighbours = np.bincount(one, minlength=len(small))
    found = np.full(len(small), -1)
    at = offsets_of(neighbours)[:-1]
    alone = np.flatnonzero(small & (neighbours == 1))
    only = other[at[alone]]
    found[alone] = np.where(small[only], -1, only)
    return found


class _Merger:
    """Merges specks one after the other.

    Only specks remember their neighbours, under the names these had at first: a large region may
    have a hundred thousand, and is never asked.
    """

    def __init__(self, network: Network, min_pixels: int, small: NDArray[np.bool_]) -> None:
        regions = network.regions
        self._min = min_pixels
        self._small = small
        self._pixels, self._first = regions.pixels.tolist(), regions.first.tolist()
        self._value = regions.value.tolist()
        self._parent = list(range(len(regions)))
        self._beside: dict[int, dict[int, int]] = defaultdict(dict)

    def learn(self, one: Ints, other: Ints, length: Ints) -> None:
        """Note the neighbours of all specks."""
        mine = np.flatnonzero(self._small[one])
        rows = zip(one[mine].tolist(), other[mine].tolist(), length[mine].tolist(), strict=True)
        for region, neighbour, edges in rows:
            self._beside[region][neighbour] = edges

    def run(self) -> None:
        heap = [(self._pixels[k], self._first[k], k) for k in np.flatnonzero(self._small).tolist()]
        heapq.heapify(heap)
        while heap:
            pixels, first, region = heapq.heappop(heap)
            is_stale = self._find(region) != region or self._pixels[region] != pixels
            if is_stale or self._first[region] != first:
                continue
            root = self._merge(region)
            if root is not None and self._pixels[root] < self._min:
                heapq.heappush(heap, (self._pixels[root], self._first[root], root))

    def _merge(self, region: int) -> int | None:
        """Merge one speck; the region it is part of now, or None where it has no neighbour."""
        beside = self._neighbours(region)
        if not beside:
            return None
        best = min(beside, key=lambda other: (-beside[other], self._value[other]))
        value = self._value[best]
        members = [region, *(other for other in beside if self._value[other] == value)]
        pixels = sum(self._pixels[member] for member in members)
        root = max(members, key=lambda member: self._pixels[member])
        if pixels < self._min:
            # Still a speck, as are all its parts: it must know its neighbours.
            together: dict[int, int] = defaultdict(int)
            for member in members:
                for other, edges in self._neighbours(member).items():
                    if other not in members:
                        together[other] += edges
            self._beside[root] = together
        for member in members:
            self._parent[member] = root
            if member != root or pixels >= self._min:
                self._beside.pop(member, None)
        self._first[root] = min(self._first[member] for member in members)
        self._pixels[root], self._value[root] = pixels, value
        return root

    def _neighbours(self, region: int) -> dict[int, int]:
        """Neighbours as they are now, and the pixel edges shared with each."""
        found: dict[int, int] = defaultdict(int)
        for other, edges in self._beside[region].items():
            found[self._find(other)] += edges
        found.pop(region, None)
        return found

    def _find(self, region: int) -> int:
        parent = self._parent
        while parent[region] != region:
            parent[region] = parent[parent[region]]
            region = parent[region]
        return region

    def roots(self) -> Ints:
        return np.array([self._find(region) for region in range(len(self._parent))], np.int64)

    def values(self) -> NDArray[np.int64]:
        return np.array(self._value, np.int64)
