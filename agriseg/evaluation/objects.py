"""Are small plants found, and is there one where the map says so? Connected pieces, by their size.

An object is a 4-connected set of pixels that are labelled with one class; it is found where at
least half of its pixels are called that class. The other way round, an object on the map is one of
pixels that are called one class, and right where at least half of them are labelled so. Pixels of
which nobody knows whether they are right are left out, and may divide an object.

Specks on the map that are smaller than all objects of the truth (by the classes of sizes) are not
counted: a map has any number of them, and what they cost is seen in pixels.

Rows stream through: only the objects that reach the last row are open, so memory holds a row of
them at most.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agriseg.vector.ragged import components

__all__ = ["Counts", "ObjectTracker", "SizeBin", "of_all_sizes", "size_bins", "size_edges"]

FOUND = 0.5
"""Share of its pixels that must be of its class."""

_NONE = 0
_COUNTED = ("objects", "found", "called", "right")

Counts = Counter[tuple[int, int, bool]]
"""Class, size and whether it was found (or is right) to objects."""


def size_edges(low: int = -8, high: int = 24) -> NDArray[np.float64]:
    """Limits between sizes: 1, 3, 10, 30, ... times powers of ten."""
    return np.array([(1, 3)[k % 2] * 10.0 ** (k // 2) for k in range(low, high + 1)])


@dataclass(frozen=True)
class SizeBin:
    """Objects of one class and about one size.

    Args:
        class_name: The class.
        low, high: From and below, in `unit`.
        unit: "m2" or "pixels".
        objects: How many the truth has.
        found: How many of them were found.
        called: How many the map has.
        right: How many of them are right.
    """

    class_name: str
    low: float
    high: float
    unit: str
    objects: int
    found: int
    called: int = 0
    right: int = 0

    @property
    def recall(self) -> float:
        """Share of the truth's objects that were found; NaN where it has none."""
        return self.found / self.objects if self.objects else math.nan

    @property
    def precision(self) -> float:
        """Share of the map's objects that are right; NaN where it has none."""
        return self.right / self.called if self.called else math.nan


@dataclass
class ObjectTracker:
    """Follows objects from strip to strip of one scene.

    Args:
        unit_area: Area of a pixel, in the unit of sizes.
        counts: Class, size and whether it was found to objects, shared by all scenes.
    """

    unit_area: float
    counts: Counts = field(default_factory=Counter)
    _above: NDArray[np.int32] | None = None
    _above_value: NDArray[np.int64] | None = None
    _open: NDArray[np.int64] | None = None

    def add(self, mine: NDArray[np.uint8], other: NDArray[np.uint8], classes: int) -> None:
        """Take the next rows, over the whole width.

        Args:
            mine: (h, w) scored class of each pixel, whose objects are followed: the truth, or what
                was predicted; `classes` and above where it is not known.
            other: (h, w) scored class of the other of the two.
            classes: Number of scored classes.
        """
        from skimage.measure import label

        # Zero is the background of `label`.
        known = np.where(mine < classes, mine + np.uint8(1), np.uint8(_NONE))
        pieces = np.asarray(label(known, background=_NONE, connectivity=1), np.int32)  # type: ignore[no-untyped-call]
        count = int(pieces.max(initial=0))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        hits = np.bincount(pieces[other == mine], minlength=count + 1)
        value = np.zeros(count + 1, np.int64)
        value[pieces.ravel()] = mine.ravel()
        rows = np.stack([value, sizes, hits], axis=1)[1:]
        joined, owner = self._join(pieces, rows, known)
        last = pieces[-1]
        self._close_all_but(joined, owner, last, known[-1])

    def finish(self) -> None:
        """The scene ends: what is open is closed."""
        if self._open is not None:
            self._count(self._open)
        self._above = self._above_value = self._open = None

    def _join(
        self, pieces: NDArray[np.int32], rows: NDArray[np.int64], known: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Objects of the open ones and the pieces of this strip; and the object of each piece."""
        if self._open is None or self._above is None or self._above_value is None:
            return rows, np.arange(len(rows))
        opened = len(self._open)
        meet = (self._above_value == known[0]) & (known[0] != _NONE)
        upper = self._above[meet].astype(np.int64)
        lower = pieces[0][meet].astype(np.int64) - 1 + opened
        owner = np.asarray(components(opened + len(rows), upper, lower), np.int64)
        total = np.zeros((int(owner.max(initial=-1)) + 1, 3), np.int64)
        everything = np.concatenate([self._open, rows])
        np.add.at(total[:, 1:], owner, everything[:, 1:])
        total[owner, 0] = everything[:, 0]
        return total, owner[opened:]

    def _close_all_but(
        self,
        objects: NDArray[np.int64],
        owner: NDArray[np.int64],
        last: NDArray[np.int32],
        values: NDArray[np.uint8],
    ) -> None:
        there = last > 0
        kept, places = np.unique(owner[last[there] - 1], return_inverse=True)
        is_open = np.zeros(len(objects), bool)
        is_open[kept] = True
        self._count(objects[~is_open])
        self._open = objects[kept]
        self._above = np.zeros(len(last), np.int32)
        self._above[there] = places.ravel()
        self._above_value = values.astype(np.int64)

    def _count(self, objects: NDArray[np.int64]) -> None:
        if not len(objects):
            return
        place = np.searchsorted(_EDGES, objects[:, 1] * self.unit_area * (1 + 1e-9), side="right")
        found = objects[:, 2] >= FOUND * objects[:, 1]
        keys = np.stack([objects[:, 0], place, found], axis=1)
        unique, times = np.unique(keys, axis=0, return_counts=True)
        for (value, size, is_found), many in zip(unique.tolist(), times.tolist(), strict=True):
            self.counts[value, size, bool(is_found)] += many


_EDGES = size_edges()


def size_bins(
    truth: Counts, called: Counts, names: tuple[str, ...], unit: str
) -> tuple[SizeBin, ...]:
    """The sizes that occur, by class, from small to large; none below the smallest of the truth.

    Args:
        truth: Of the objects that are labelled, as `ObjectTracker` counts them.
        called: Of the objects on the map.
        names: The classes.
        unit: Of sizes.
    """
    smallest: dict[int, int] = {}
    for value, place, _ in truth:
        smallest[value] = min(place, smallest.get(value, place))
    sizes = {(value, place) for value, place, _ in (*truth, *called) if value in smallest}
    return tuple(
        SizeBin(
            names[value],
            float(_EDGES[place - 1]) if place else 0.0,
            float(_EDGES[place]) if place < len(_EDGES) else math.inf,
            unit,
            truth[value, place, True] + truth[value, place, False],
            truth[value, place, True],
            called[value, place, True] + called[value, place, False],
            called[value, place, True],
        )
        for value, place in sorted(sizes)
        if place >= smallest[value]
    )


def of_all_sizes(bins: Sequence[SizeBin], name: str) -> SizeBin | None:
    """The sizes of a class in one, or None where it has none."""
    mine = [one for one in bins if one.class_name == name]
    if not mine:
        return None
    sums = (sum(getattr(one, key) for one in mine) for key in _COUNTED)
    return SizeBin(name, mine[0].low, mine[-1].high, mine[0].unit, *sums)
