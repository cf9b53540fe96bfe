"""How well borders are met: boundary F1 and boundary IoU at a tolerance.

For each class, on the pixels where it is known whether they are of the class:

- the *contour* of a mask is its pixels with a neighbour, up, down, left or right, outside the mask.
  Boundary precision is the share of the prediction's contour within the tolerance of the truth's,
  boundary recall the share of the truth's within the tolerance of the prediction's, and boundary F1
  their harmonic mean (Csurka et al. 2013, BMVC);
- the *band* of a mask is its pixels within the tolerance of a pixel outside the mask. Boundary IoU
  is the intersection of the two bands over their union (Cheng et al. 2021, CVPR).

Distances are between pixel centres. Neither the raster's edge nor that of the labelled area is a
border: nobody knows what lies beyond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agriseg.arrays import block_sums
from agriseg.evaluation.scores import Floats, ratio

__all__ = [
    "COUNTS",
    "MOST_PIXELS",
    "Cuts",
    "boundary_counts",
    "boundary_scores",
    "halo_of",
    "near",
]

Bools = NDArray[np.bool_]
Cuts = tuple[Sequence[int], Sequence[int]]

COUNTS = 6
"""Numbers that are kept: contour pixels of prediction and of truth, each with how many were met;
then intersection and union of the bands."""

MOST_PIXELS = 128
"""The largest tolerance, in pixels: windows have a margin of this width."""


def halo_of(radius: float) -> int:
    """Pixels around a window that its counts depend on."""
    # A contour within the radius, and the neighbour that makes it one.
    return math.floor(radius) + 1


def near(mask: Bools, radius: float) -> Bools:
    """Pixels whose centre is within `radius` pixels of that of a pixel of the mask (h, w)."""
    reach = min(math.floor(radius), max(mask.shape))
    found = np.zeros_like(mask)
    wide, width = mask.copy(), 0
    # From the outermost row of the disk inwards: the rows only grow wider.
    for rows in range(min(reach, mask.shape[0] - 1), -1, -1):
        target = math.floor(math.sqrt(radius * radius - rows * rows))
        target = min(target, mask.shape[1] - 1)
        while width < target:
            # Two runs that overlap or touch make one of any length up to twice.
            more = min(target - width, width + 1)
            grown = wide.copy()
            grown[:, more:] |= wide[:, :-more]
            grown[:, :-more] |= wide[:, more:]
            wide, width = grown, width + more
        if rows:
            found[rows:] |= wide[:-rows]
            found[:-rows] |= wide[rows:]
        else:
            found |= wide
    return found


def boundary_counts(
    codes: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    allowed: Bools,
    radius: float,
    core: tuple[slice, slice],
    cuts: Cuts = ((0,), (0,)),
) -> NDArray[np.int64]:
    """Count contours and bands of a window.

    Args:
        codes: (h, w) codes, with a margin of `halo_of(radius)` where the raster goes on; codes from
            `len(allowed)` on say nothing.
        classes: (h, w) scored classes that were predicted; 255 where there is none.
        allowed: (codes, classes) True where a pixel with this code may be of this class.
        radius: Tolerance in pixels.
        core: The window itself, without its margin.
        cuts: Rows and columns of the core at which blocks begin, which are counted apart.

    Returns:
        (blocks down, blocks across, classes, `COUNTS`).
    """
    found = np.zeros((len(cuts[0]), len(cuts[1]), allowed.shape[1], COUNTS), np.int64)
    single = allowed.sum(axis=1) == 1
    predicted = classes < allowed.shape[1]
    for value in range(allowed.shape[1]):
        # Of each code: this class, not this class, or nobody knows.
        table = np.zeros((2, 256), bool)
        table[0, : len(allowed)] = single & allowed[:, value]
        table[1, : len(allowed)] = ~allowed[:, value]
        is_true, is_other = table[0][codes], table[1][codes]
        known = (is_true | is_other) & predicted
        truth = is_true & known
        guess = (classes == value) & known
        if not truth.any() and not guess.any():
            continue
        for place, mask in enumerate(_of_class(truth, guess, known, radius, core)):
            found[:, :, value, place] = block_sums(mask, *cuts, np.int64)
    return found


def _of_class(
    truth: Bools, guess: Bools, known: Bools, radius: float, core: tuple[slice, slice]
) -> tuple[Bools, ...]:
    off_truth, off_guess = known & ~truth, known & ~guess
    edge_truth, edge_guess = truth & near(off_truth, 1), guess & near(off_guess, 1)
    at_truth, at_guess = near(edge_truth, radius)[core], near(edge_guess, radius)[core]
    band_truth = (truth & near(off_truth, radius))[core]
    band_guess = (guess & near(off_guess, radius))[core]
    edge_truth, edge_guess = edge_truth[core], edge_guess[core]
    return (
        edge_guess,
        edge_guess & at_truth,
        edge_truth,
        edge_truth & at_guess,
        band_truth & band_guess,
        band_truth | band_guess,
    )


def boundary_scores(counts: NDArray[np.number]) -> tuple[Floats, Floats]:
    """Boundary F1 and boundary IoU, each (..., classes), of (..., classes, `COUNTS`).

    NaN where the truth has no border of the class.
    """
    values = np.asarray(counts, float)
    guessed, met, there, found, both, either = np.moveaxis(values, -1, 0)
    has = there > 0
    precision, recall = ratio(met, guessed), ratio(found, there)
    # No contour was predicted where there is one: nothing was met.
    precision = np.where(has & (guessed == 0), 0.0, precision)
    f1 = np.where(precision + recall > 0, ratio(2 * precision * recall, precision + recall), 0.0)
    return np.where(has, f1, np.nan), np.where(has, ratio(both, either), np.nan)
