"""Mean, spread and quantiles of values that count in part.

The quantile of q is the smallest value up to which a share q of the weight lies: that of
`numpy.quantile(values, q, weights=weights, method="inverted_cdf")`. It is a value that some pixel
has, and does not depend on how equal values are lumped together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Summary", "Values"]

Floats = NDArray[np.float32]

# Bits that `compact` takes from the 24 of a float32.
_DROPPED = 7
_PART = 2**20


@dataclass(frozen=True)
class Summary:
    """What some weighted values are like; NaN where there are none.

    Args:
        weight: Sum of the weights.
        mean: Weighted mean.
        std: Weighted standard deviation, of these values and not of a population behind them
            (divided by the weight, not by less).
        p10: 10 % of the weight lies up to here.
        median: 50 %.
        p90: 90 %.
        low_quarter: Mean of the lowest quarter of the weight.
    """

    weight: float = 0.0
    mean: float = math.nan
    std: float = math.nan
    p10: float = math.nan
    median: float = math.nan
    p90: float = math.nan
    low_quarter: float = math.nan

    @property
    def cv_percent(self) -> float:
        """Coefficient of variation; NaN unless the mean is positive, where it says nothing."""
        return 100 * self.std / self.mean if self.mean > 0 else math.nan

    @property
    def uniformity_percent(self) -> float:
        """Distribution uniformity of the low quarter: its mean in percent of the mean of all.

        As irrigation is judged (Burt et al. 1997, J. Irrig. Drain. Eng. 123, 423-442): 100 where
        all values are equal. NaN unless the mean is positive; not below 0.
        """
        return max(100 * self.low_quarter / self.mean, 0.0) if self.mean > 0 else math.nan


@dataclass
class Values:
    """Values that come in pieces, and their weights; what comes out does not depend on the pieces.

    Most pixels count in full. Those are kept without a weight: four bytes each.
    """

    _whole: list[Floats] = field(default_factory=list)
    _partial: list[tuple[Floats, NDArray[np.float64]]] = field(default_factory=list)

    def __len__(self) -> int:
        """How many values are kept."""
        return sum(map(len, self._whole)) + sum(len(values) for values, _ in self._partial)

    def add(self, values: Floats, weights: NDArray[np.float64] | None) -> None:
        """Take (n,) finite values of weights in (0, 1]; None: of 1."""
        if weights is None:
            self._whole.append(values)
            return
        is_whole = weights == 1
        self._whole.append(values[is_whole])
        self._partial.append((values[~is_whole], weights[~is_whole]))

    def compact(self) -> None:
        """Round the values to 17 binary digits (a relative 8e-6), and keep each of them once.

        NDVI of 0.1 to 0.9 then takes 4 MB, however many pixels there are.
        """
        whole, partial, weights = self._sorted()
        if not len(whole) + len(partial):
            return
        # Rounding keeps their order, so equal ones lie side by side: no other array of their size.
        whole = _rounded(whole)
        starts = np.concatenate([[True], whole[1:] != whole[:-1]])[: len(whole)].nonzero()[0]
        counts = np.diff(starts, append=len(whole))
        rounded = np.concatenate([whole[starts], _rounded(partial)])
        both = np.concatenate([counts, weights])
        values, places = np.unique(rounded, return_inverse=True)
        self._whole = []
        self._partial = [(values, np.bincount(places, both).astype(np.float64))]

    def summary(self) -> Summary:
        """What the values are like."""
        whole, partial, weights = self._sorted()
        total = len(whole) + float(weights.sum())
        if not total:
            return Summary()
        share = weights * partial
        mean = (float(whole.sum(dtype=np.float64)) + float(share.sum())) / total
        around = _sum_of_squares(whole, mean)
        around += float((weights * np.square(partial - np.float64(mean))).sum())
        both = _Sorted(whole, partial, weights)
        quarter = both.quantile(0.25)
        below = both.below(quarter)
        rest = total / 4 - below[0] - float(weights[: below[1]].sum())
        low = float(whole[: below[0]].sum(dtype=np.float64)) + float(share[: below[1]].sum())
        return Summary(
            weight=total,
            mean=mean,
            std=math.sqrt(around / total),
            p10=both.quantile(0.1),
            median=both.quantile(0.5),
            p90=both.quantile(0.9),
            low_quarter=(low + rest * quarter) / (total / 4),
        )

    def _sorted(self) -> tuple[Floats, Floats, NDArray[np.float64]]:
        """Values of weight 1, the others, and their weights; sorted, so in the same order ever."""
        whole = np.concatenate([np.empty(0, np.float32), *self._whole])
        whole.sort()
        self._whole = [whole]
        values = np.concatenate([np.empty(0, np.float32), *(v for v, _ in self._partial)])
        weights = np.concatenate([np.empty(0), *(w for _, w in self._partial)])
        order = np.lexsort((weights, values))
        self._partial = [(values[order], weights[order])]
        return whole, *self._partial[0]


@dataclass(frozen=True)
class _Sorted:
    """Sorted values of weight 1, and sorted others with their weights."""

    whole: Floats
    partial: Floats
    weights: NDArray[np.float64]

    @cached_property
    def _sums(self) -> NDArray[np.float64]:
        """Weight of the others before each, and of all."""
        return np.concatenate([np.zeros(1), np.cumsum(self.weights)])

    @cached_property
    def _up_to(self) -> NDArray[np.float64]:
        """Weight of all values up to each of the others."""
        found: NDArray[np.float64] = (
            np.searchsorted(self.whole, self.partial, "right")
            + (self._sums[np.searchsorted(self.partial, self.partial, "right")])
        )
        return found

    def below(self, value: float) -> tuple[int, int]:
        """How many of the two are smaller."""
        at = np.float32(value)
        return int(np.searchsorted(self.whole, at)), int(np.searchsorted(self.partial, at))

    def quantile(self, q: float) -> float:
        """The smallest value up to which a share `q` of the weight lies."""
        wanted = q * (len(self.whole) + float(self._sums[-1]))
        # The first of the others up to which there is enough; those before it count, as far as
        # they go, and the rest is made up of so many whole ones, where these are smaller.
        place = int(np.searchsorted(self._up_to, wanted))
        rank = math.ceil(wanted - float(self._sums[place]))
        found = [float(self.partial[place])] if place < len(self.partial) else []
        if 1 <= rank <= len(self.whole):
            found.append(float(self.whole[rank - 1]))
        return min(found)


def _sum_of_squares(values: Floats, mean: float) -> float:
    """Of the distances to the mean; a part at a time, since float64 takes twice the memory."""
    parts = (values[start : start + _PART] for start in range(0, len(values), _PART))
    return sum(float(np.square(part - np.float64(mean)).sum()) for part in parts)


def _rounded(values: Floats) -> Floats:
    """The nearest numbers that end in so many zero bits."""
    half, kept = np.uint32(1 << (_DROPPED - 1)), np.uint32(2**32 - 2**_DROPPED)
    found: Floats = ((values.view(np.uint32) + half) & kept).view(np.float32)
    return found
