"""Basins become fields: neighbours without a boundary between them are one field.

The graph of regions is merged step by step. In each round every region names the neighbour that it
would rather be one with, and those that name each other become one (so the closest pair of all
always does): the order of the regions plays no part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.fields.delineation.basins import NO_FIELD, Basins

__all__ = ["CERTAIN", "Borders", "Limits", "Regions", "borders_of"]

Ints = NDArray[np.int64]

CERTAIN = 200
"""The evidence of a pixel that is boundary for certain; 0 is none."""

# A passage between two basins that is so wide, beside the narrower of them, is no narrows. To join
# such basins first finds 78 instead of 74 % of the fields where half of the boundaries are missing.
_OPEN = 0.8
# Heights rise by so much from one pixel to the next where they rise at all.
_RISE = 8
# Weight of an edge that counts; others have 1, for borders that have no better ones.
_MUCH = 1000
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Borders:
    """The common borders of regions, a row for each pair.

    Args:
        one, other: (n,) regions, `one` < `other`.
        length: Pixel edges along the border, each by its weight.
        wall: Sum over them of weight times the evidence for a boundary, 0..`CERTAIN`.
        passage: The height at the widest place of the border, as in `Basins`.
    """

    one: Ints
    other: Ints
    length: Ints
    wall: Ints
    passage: Ints

    def __len__(self) -> int:
        return len(self.one)

    @property
    def strength(self) -> NDArray[np.float64]:
        """Mean evidence for a boundary along each border, 0..1."""
        return self.wall / (self.length * float(CERTAIN))

    def between(self, part: Ints) -> Borders:
        """The borders that are left where region k is now part of `part[k]`."""
        return replace(self, one=part[self.one], other=part[self.other]).grouped()

    def grouped(self) -> Borders:
        """One row for each pair, of rows that may name a pair more than once, either way round."""
        low, high = np.minimum(self.one, self.other), np.maximum(self.one, self.other)
        apart = low != high
        key = (low[apart] << 32) | high[apart]
        order = np.argsort(key, kind="stable")
        key = key[order]
        starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else order
        sums = [
            np.add.reduceat(values[apart][order], starts) if len(key) else values[apart]
            for values in (self.length, self.wall)
        ]
        passage = self.passage[apart][order]
        if len(key):
            passage = np.maximum.reduceat(passage, starts)
        return Borders(key[starts] >> 32, key[starts] & 0xFFFFFFFF, sums[0], sums[1], passage)


def borders_of(basins: Basins, evidence: NDArray[np.uint8]) -> Borders:
    """Find all common borders.

    Args:
        basins: The regions.
        evidence: (h, w) how much speaks for a boundary, 0..`CERTAIN`.
    """
    label, height = basins.label, basins.height
    found = []
    for turned in (False, True):
        if turned:
            label, height, evidence = label.T, height.T, evidence.T
        step = max(_CHUNK // label.shape[1], 1)
        for row in range(0, len(label), step):
            rows = slice(row, row + step)
            found.append(_borders_across(label[rows], height[rows], evidence[rows]))
    return _stacked(found).grouped()


def _borders_across(
    label: NDArray[np.int32], height: NDArray[np.int16], evidence: NDArray[np.uint8]
) -> Borders:
    """Borders between neighbours in a row.

    A border that ends at the boundary of a third field runs across that boundary. It is no evidence
    for this border: only where the heights rise to both sides does the boundary run along it.
    """
    y, x = np.nonzero(
        (label[:, :-1] != label[:, 1:]) & (label[:, :-1] != NO_FIELD) & (label[:, 1:] != NO_FIELD)
    )
    low, high = height[y, x].astype(np.int64), height[y, x + 1].astype(np.int64)
    last = label.shape[1] - 1
    runs_along = [
        (mine > 0) | (height[y, beyond] - mine >= _RISE)
        for mine, beyond in ((low, np.maximum(x - 1, 0)), (high, np.minimum(x + 2, last)))
    ]
    counts = runs_along[0] & runs_along[1]
    sure = np.maximum(evidence[y, x], evidence[y, x + 1]).astype(np.int64)
    weight = np.where(counts, _MUCH, 1)
    return Borders(
        label[y, x].astype(np.int64),
        label[y, x + 1].astype(np.int64),
        weight,
        sure * weight,
        np.minimum(low, high),
    ).grouped()


@dataclass(frozen=True)
class Limits:
    """When two regions are one field.

    Measured on simulated landscapes, see `tests/fields/test_delineate.py`.

    Args:
        weak: The mean evidence along a border is smaller: there is no boundary.
        doubtful: It is smaller, and one of both is small: neither.
        small: Pixels; regions of fewer are small.
    """

    weak: float = 0.4
    doubtful: float = 0.65
    small: int = 0


class Regions:
    """What basins have become part of, step by step.

    Args:
        summit: (n,) height of each basin.
        pixels: (n,) size of each basin.
        borders: All borders between them.
    """

    def __init__(
        self, summit: NDArray[np.integer], pixels: NDArray[np.integer], borders: Borders
    ) -> None:
        self.part: Ints = np.arange(len(summit))
        self.borders = borders
        self._top, self._pixels = summit.astype(np.int64), pixels.astype(np.int64)

    def merge(self, limits: Limits) -> None:
        """Merge what no boundary parts."""
        # What is all boundary goes to whom it touches most widely; then basins without a narrows
        # between them, the widest first; then across the weakest borders first.
        self._while(lambda b: (self._lower(b) <= 0, -b.passage))
        self._while(
            lambda b: (
                (b.passage >= _OPEN * self._lower(b)) & (b.strength < limits.weak),
                -b.passage,
            )
        )
        self._while(lambda b: (b.strength < limits.weak, b.strength))
        self._while(
            lambda b: (
                (self._smaller(b) < limits.small) & (b.strength < limits.doubtful),
                b.strength,
            )
        )

    def border_strength(self) -> NDArray[np.float64]:
        """(n,) mean evidence along all borders of each region; NaN where it has none."""
        length, wall = np.zeros((2, len(self.part)))
        for side in (self.borders.one, self.borders.other):
            np.add.at(length, side, self.borders.length)
            np.add.at(wall, side, self.borders.wall)
        found = np.full(len(length), np.nan)
        np.divide(wall, length * CERTAIN, out=found, where=length > 0)
        return found

    def _lower(self, borders: Borders) -> Ints:
        return np.minimum(self._top[borders.one], self._top[borders.other])

    def _smaller(self, borders: Borders) -> Ints:
        return np.minimum(self._pixels[borders.one], self._pixels[borders.other])

    def _while(self, wish: Callable[[Borders], tuple[NDArray[np.bool_], NDArray[Any]]]) -> None:
        """Merge in rounds; `wish` tells which borders may go, and their rank, the lowest first."""
        while len(self.borders):
            may, rank = wish(self.borders)
            pair = _mutual(self.borders, may, rank, len(self.part))
            if not len(pair):
                return
            one, other = self.borders.one[pair], self.borders.other[pair]
            into = np.arange(len(self.part))
            into[other] = one
            self._top[one] = np.maximum(self._top[one], self._top[other])
            self._pixels[one] += self._pixels[other]
            self.part = into[self.part]
            self.borders = self.borders.between(into)


def _mutual(borders: Borders, may: NDArray[np.bool_], rank: NDArray[Any], count: int) -> Ints:
    """Borders between regions that like each other best: the lowest rank, then the longest."""
    some = np.flatnonzero(may)
    # Pairs are in order, and the sorting keeps it: the last tie goes to the first of them.
    order = some[np.lexsort((-borders.length[some], rank[some]))]
    place = np.arange(len(order))
    best = np.full(count, len(order))
    np.minimum.at(best, borders.one[order], place)
    np.minimum.at(best, borders.other[order], place)
    both = (best[borders.one[order]] == place) & (best[borders.other[order]] == place)
    pairs: Ints = order[both]
    return pairs


def _stacked(parts: list[Borders]) -> Borders:
    names = ("one", "other", "length", "wall", "passage")
    return Borders(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
