"""Where to cut the range of a value into classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["natural_breaks", "quantile_breaks", "weighted_quantiles"]

Floats = NDArray[np.float64]

# The range is looked at in so many steps: a step is far below what smoothing leaves uncertain.
_BINS = 256


def weighted_quantiles(values: Floats, weights: Floats, shares: Floats) -> Floats:
    """Values below which the given shares (0..1) of the weight lie.

    Args:
        values: (n,), n at least 1.
        weights: (n,) not negative, not all zero.
        shares: Any number of shares.
    """
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    # The middle of each value's own weight, so that the half of two equal ones lies between them.
    middle = (total - weights[order] / 2) / total[-1]
    return np.interp(shares, middle, values[order])


def quantile_breaks(values: Floats, weights: Floats, classes: int) -> Floats:
    """Breaks (classes - 1,) between classes of equal weight."""
    return weighted_quantiles(values, weights, np.arange(1, classes) / classes)


def natural_breaks(values: Floats, weights: Floats, classes: int) -> Floats:
    """Breaks (classes - 1,) between classes that are as alike within as they can be.

    The least sum of squared distances to the mean of a class: Fisher (1958), J. Am. Stat. Assoc.
    53, known as natural breaks (Jenks 1967); it is k-means of one value, solved exactly. The value
    is counted in 256 steps; the first and last 0.5 % of the weight count at the end of the rest.
    """
    low, high = weighted_quantiles(values, weights, np.array([0.005, 0.995])).tolist()
    if not high > low:
        return np.full(classes - 1, high)
    edges = np.linspace(low, high, _BINS + 1)
    kept = np.clip(values, low, high)
    count = np.histogram(kept, edges, weights=weights)[0]
    middle = np.arange(_BINS) + 0.5
    sums = [np.concatenate([[0.0], np.cumsum(count * middle**power)]) for power in (0, 1, 2)]
    # within[i, j]: of a class of the bins i to j - 1.
    n, s, q = (total[None, :] - total[:, None] for total in sums)
    within = np.where(n > 0, q - s**2 / np.where(n > 0, n, 1), 0)
    within[np.tril_indices(_BINS + 1)] = np.inf
    best = within[0]
    froms = []
    for _ in range(classes - 1):
        through = best[:, None] + within
        froms.append(through.argmin(axis=0))
        best = through.min(axis=0)
    at, places = _BINS, []
    for before in reversed(froms):
        at = int(before[at])
        places.append(at)
    return np.asarray(edges[places[::-1]])
