"""Counting patches of weeds band by band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PatchCounter", "Patches"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Patches:
    """Patches (n,): 4-connected sets of pixels.

    Args:
        pixels: Pixels of each.
        col, row: Its centre of gravity.
        first: Column and row (n, 2) of its first pixel in reading order.
    """

    pixels: Ints
    col: Floats
    row: Floats
    first: Ints


class PatchCounter:
    """Finds patches in bands of rows that come one after the other, without a gap."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._below = np.zeros(width, np.int64)
        self._count = 0
        self._sums: list[Ints] = []
        self._links: list[Ints] = []

    def add(self, shown: NDArray[np.bool_], row_off: int) -> None:
        """Count a band of rows.

        Args:
            shown: (h, w) where there is a patch.
            row_off: The band's first row.
        """
        from scipy.ndimage import label

        labels, found = label(shown)
        rows, cols = np.nonzero(labels)
        own = labels[rows, cols] - 1
        flat = (rows + row_off) * self._width + cols
        first = np.full(found, np.iinfo(np.int64).max)
        np.minimum.at(first, own, flat)
        sums = [np.bincount(own, minlength=found)]
        for place in (cols, rows + row_off):
            total = np.zeros(found, np.int64)
            np.add.at(total, own, place)
            sums.append(total)
        self._sums.append(np.stack([*sums, first]))
        # Numbers from 1 on, over all bands; 0 is none.
        top, bottom = (np.where(edge > 0, edge + self._count, 0) for edge in labels[[0, -1]])
        touch = (top > 0) & (self._below > 0)
        self._links.append(np.unique(np.stack([self._below[touch], top[touch]]), axis=1))
        self._below = bottom.astype(np.int64)
        self._count += found

    def patches(self, min_pixels: int) -> Patches:
        """All patches of at least so many pixels."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = self._count
        sums = np.concatenate([np.zeros((4, 0), np.int64), *self._sums], axis=1)
        links = np.concatenate([np.zeros((2, 0), np.int64), *self._links], axis=1) - 1
        graph = coo_array((np.ones(links.shape[1]), (links[0], links[1])), (count, count))
        whole, owner = connected_components(graph, directed=False) if count else (0, sums[0])
        pixels, cols, rows = (np.zeros(whole, np.int64) for _ in range(3))
        for total, part in zip((pixels, cols, rows), sums[:3], strict=True):
            np.add.at(total, owner, part)
        first = np.full(whole, np.iinfo(np.int64).max)
        np.minimum.at(first, owner, sums[3])
        kept = pixels >= min_pixels
        pixels, first = pixels[kept], first[kept]
        places = np.stack([first % self._width, first // self._width], axis=1)
        return Patches(pixels, cols[kept] / pixels, rows[kept] / pixels, places)
