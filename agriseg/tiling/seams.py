"""Do chips show in the map? A figure for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agriseg.legend import NODATA
from agriseg.tiling.grid import ChipGrid

__all__ = ["SeamCounter", "seam_score"]


def seam_score(classes: NDArray[np.uint8], grid: ChipGrid) -> float:
    """How much more often classes change where chips meet than inside of them.

    Args:
        classes: (height, width) class map, 255 where there is none.
        grid: The chips that it was made of.

    Returns:
        The share of neighbouring pixels of different classes in the strips that chips share (and
        over their borders, where they share nothing), divided by that share elsewhere: 1 where the
        chips leave no trace, infinite where classes change at the seams alone, NaN where there is
        nothing to compare.
    """
    counter = SeamCounter()
    counter.start(grid)
    counter.add(classes)
    return counter.score


class SeamCounter:
    """`seam_score` of maps that come in rows, one map after another."""

    def __init__(self) -> None:
        # At seams or inside; changes and pairs.
        self._found = np.zeros((2, 2), np.int64)
        self._above: NDArray[np.uint8] | None = None
        self._row = 0

    def start(self, grid: ChipGrid) -> None:
        """The next map begins, made of these chips."""
        self._at_seam = [
            _seams(grid, grid.rows, grid.height),
            _seams(grid, grid.cols, grid.width),
        ]
        self._above, self._row = None, 0

    def add(self, classes: NDArray[np.uint8]) -> None:
        """Take the next rows (h, width) of the map, 255 where there is none."""
        self._count(classes[:, :-1], classes[:, 1:], self._at_seam[1], axis=0)
        first = self._row
        if self._above is not None:
            classes, first = np.concatenate([self._above, classes]), first - 1
        at_seam = self._at_seam[0][first : first + len(classes) - 1]
        self._count(classes[:-1], classes[1:], at_seam, axis=1)
        self._above, self._row = classes[-1:], first + len(classes)

    def _count(
        self,
        before: NDArray[np.uint8],
        after: NDArray[np.uint8],
        at_seam: NDArray[np.bool_],
        axis: int,
    ) -> None:
        both = (before != NODATA) & (after != NODATA)
        changes = ((before != after) & both).sum(axis=axis)
        pairs = both.sum(axis=axis)
        for index, where in enumerate((at_seam, ~at_seam)):
            self._found[index] += changes[where].sum(), pairs[where].sum()

    @property
    def score(self) -> float:
        """The score of all maps together."""
        with np.errstate(divide="ignore", invalid="ignore"):
            seams, inside = self._found[:, 0] / self._found[:, 1]
            return float(seams / inside)


def _seams(grid: ChipGrid, chips: int, length: int) -> NDArray[np.bool_]:
    """(length - 1,) True for pairs of neighbouring pixels that lie where chips meet."""
    at_seam = np.zeros(max(length - 1, 0), bool)
    for place in range(1, chips):
        start = place * grid.step  # the first pixel that two chips see
        at_seam[max(start - 1, 0) : start + grid.overlap] = True
    return at_seam
