"""Do chips show in the map? A figure for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agriseg.legend import NODATA
from agriseg.tiling.grid import ChipGrid

__all__ = ["seam_score"]


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
    found = np.zeros((2, 2), np.int64)  # at seams or inside; changes and pairs
    for axis in (0, 1):
        length = grid.height if axis == 0 else grid.width
        at_seam = np.zeros(max(length - 1, 0), bool)
        for place in range(1, grid.rows if axis == 0 else grid.cols):
            start = place * grid.step  # the first pixel that two chips see
            at_seam[max(start - 1, 0) : start + grid.overlap] = True
        before, after = np.delete(classes, -1, axis), np.delete(classes, 0, axis)
        both = (before != NODATA) & (after != NODATA)
        changes = ((before != after) & both).sum(axis=1 - axis)
        pairs = both.sum(axis=1 - axis)
        for index, where in enumerate((at_seam, ~at_seam)):
            found[index] += changes[where].sum(), pairs[where].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        seams, inside = found[:, 0] / found[:, 1]
        return float(seams / inside)
