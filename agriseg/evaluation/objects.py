"""Are small plants found? Recall of connected pieces of the truth, by their size.

An object is a 4-connected set of pixels that are labelled with one class; it is found where at
least half of its pixels are called that class. Rows stream through: only the objects that reach the
last row are open, so memory holds a row of them at most.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agriseg.vector.ragged import components

__all__ = ["ObjectTracker", "SizeBin", "size_edges"]

FOUND = 0.5
"""Share of its pixels that must be of its class."""

_NONE = 0


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
        objects: How many there are.
        found: How many were found.
    """

    class_name: str
    low: float
    high: float
    unit: str
    objects: int
    found: int

    @property
    def recall(self) -> float:
        return self.found / self.objects


@dataclass
class ObjectTracker:
    """Follows objects from strip to strip of one scene.

    Args:
        unit_area: Area of a pixel, in the unit of sizes.
        counts: (class, size bin) to (objects, found), shared by all scenes.
    """

    unit_area: float
    counts: Counter[tuple[int, int, bool]] = field(default_factory=Counter)
    _above: NDArray[np.int32] | None = None
    _above_value: NDArray[np.int64] | None = None
    _open: NDArray[np.int64] | None = None

    def add(self, truth: NDArray[np.uint8], guess: NDArray[np.uint8], classes: int) -> None:
        """Take the next rows, over the whole width.

        Args:
            truth: (h, w) scored class of each pixel; `classes` and above where it is not known.
            guess: (h, w) scored class that was predicted.
            classes: Number of scored classes.
        """
        from skimage.measure import label

        # Zero is the background of `label`.
        known = np.where(truth < classes, truth + np.uint8(1), np.uint8(_NONE))
        pieces = np.asarray(label(known, background=_NONE, connectivity=1), np.int32)  # type: ignore[no-untyped-call]
        count = int(pieces.max(initial=0))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        hits = np.bincount(pieces[guess == truth], minlength=count + 1)
        value = np.zeros(count + 1, np.int64)
        value[pieces.ravel()] = truth.ravel()
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
    counts: Counter[tuple[int, int, bool]], names: tuple[str, ...], unit: str
) -> tuple[SizeBin, ...]:
    """The sizes that occur, by class, from small to large."""
    found = []
    for value, place in sorted({(value, place) for value, place, _ in counts}):
        hit, missed = counts[value, place, True], counts[value, place, False]
        low = float(_EDGES[place - 1]) if place else 0.0
        high = float(_EDGES[place]) if place < len(_EDGES) else math.inf
        found.append(SizeBin(names[value], low, high, unit, hit + missed, hit))
    return tuple(found)
