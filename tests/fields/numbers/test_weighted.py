"""Weighted statistics against numpy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agriseg.fields.numbers.weighted import Summary, Values


def summary_of(values: NDArray[np.float32], weights: NDArray[np.float64], *cuts: int) -> Summary:
    kept = Values()
    for some, theirs in zip(np.split(values, cuts), np.split(weights, cuts), strict=True):
        kept.add(some, theirs)
    return kept.summary()


def quantile(values: NDArray[np.float32], weights: NDArray[np.float64], q: float) -> float:
    return float(np.quantile(values, q, weights=weights, method="inverted_cdf"))


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([3, 1000]))
def test_it_is_what_numpy_says(seed: int, count: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    values = (random.integers(-levels, levels, count) / levels).astype(np.float32)
    # Eighths, so that sums of weights are exact in whichever order numpy takes them.
    weights = random.integers(1, 9, count) / 8
    found = summary_of(values, weights, count // 3)
    mean = np.average(values.astype(float), weights=weights)
    assert found.weight == weights.sum()
    assert found.mean == pytest.approx(mean, abs=1e-12)
    assert found.std == pytest.approx(
        math.sqrt(np.average((values - mean) ** 2, weights=weights)), abs=1e-12
    )
    for name, q in (("p10", 0.1), ("median", 0.5), ("p90", 0.9)):
        assert getattr(found, name) == quantile(values, weights, q)
    # The lowest quarter, in eighths.
    eighths = np.sort(np.repeat(values.astype(float), (weights * 8).astype(int)))
    split = np.repeat(eighths, 4)[: len(eighths)]
    assert found.low_quarter == pytest.approx(split.mean(), abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_pieces_and_their_order_do_not_matter(seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=40).astype(np.float32)
    weights = np.where(random.random(40) < 0.5, 1, random.integers(1, 2**20, 40) / 2**20)
    order = random.permutation(40)
    assert summary_of(values, weights) == summary_of(values[order], weights[order], cut)


def test_compacted_values_are_nearly_the_same() -> None:
    random = np.random.default_rng(3)
    values = random.uniform(-0.3, 0.95, 200_000).astype(np.float32)
    weights = np.where(
        random.random(len(values)) < 0.9, 1, random.integers(1, 2**20, len(values)) / 2**20
    )
    exact = summary_of(values, weights)
    kept = Values()
    for part in np.split(np.arange(len(values)), 10):
        kept.add(values[part], weights[part])
        kept.compact()
    assert len(kept) < len(values)
    found = kept.summary()
    assert found.weight == pytest.approx(exact.weight, rel=1e-12)
    for name in ("mean", "std", "p10", "median", "p90", "low_quarter"):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=8e-6)
    assert found != exact


def test_nothing_is_not_zero() -> None:
    kept = Values()
    kept.add(np.empty(0, np.float32), np.empty(0))
    kept.compact()
    found = kept.summary()
    assert found.weight == 0
    assert all(map(math.isnan, (found.mean, found.std, found.median, found.cv_percent)))


def test_ratios_to_a_mean_below_zero_say_nothing() -> None:
    below = summary_of(np.array([-3, -1], np.float32), np.ones(2))
    assert math.isnan(below.cv_percent)
    assert math.isnan(below.uniformity_percent)
    even = summary_of(np.full(8, 0.7, np.float32), np.ones(8))
    assert even.uniformity_percent == pytest.approx(100)
    assert even.cv_percent == pytest.approx(0)
    # 0, 0, 4, 4: the low quarter has nothing.
    assert summary_of(np.array([4, 0, 4, 0], np.float32), np.ones(4)).uniformity_percent == 0
