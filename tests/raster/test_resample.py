"""Resampling against plain loops over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agriseg.raster.resample import Axis, resample

FACTORS = st.one_of(
    st.sampled_from([0.5, 2.0, 1.0, 3.0, 1 / 3, 0.25]),
    st.floats(0.11, 7.0, allow_nan=False),
)
AXES = st.builds(
    lambda factor, flip, shift: Axis(-factor if flip else factor, shift),
    FACTORS,
    st.booleans(),
    st.floats(-9, 30, allow_nan=False),
)


def plain_weights(axis: Axis, targets: int, length: int) -> NDArray[np.float64]:
    """The rule in words of single pixels."""
    weights = np.zeros((targets, length))
    for t in range(targets):
        a, b = axis.factor * t + axis.shift, axis.factor * (t + 1) + axis.shift
        low, high = min(a, b), max(a, b)
        if high - low > 1:  # the mean over the target's area
            for s in range(length):
                weights[t, s] = max(min(high, s + 1) - max(low, s), 0) / (high - low)
            continue
        centre = (low + high) / 2
        if not 0 <= centre <= length:
            continue
        # Bilinear between pixel centres; beyond the outermost, the edge pixel's value.
        position = min(max(centre - 0.5, 0), length - 1)
        first = min(math.floor(position), length - 1)
        weights[t, first] += 1 - (position - first)
        if first + 1 < length:
            weights[t, first + 1] += position - first
    return weights


def axis_weights(axis: Axis, start: int, stop: int, length: int) -> NDArray[np.float64]:
    """What the axis gives for targets [start, stop), laid out over the whole source."""
    first, end = axis.source_range(start, stop, length)
    full = np.zeros((stop - start, length))
    full[:, first:end] = axis.weights(start, stop, first, end, length)
    return full


@given(axis=AXES, targets=st.integers(1, 12), length=st.integers(1, 25))
def test_weights_are_those_of_the_plain_loop(axis: Axis, targets: int, length: int) -> None:
    # A hair off 1, area mean and bilinear are the same to within that hair.
    expected = plain_weights(axis, targets, length)
    np.testing.assert_allclose(axis_weights(axis, 0, targets, length), expected, atol=2e-5)


@given(axis=AXES, length=st.integers(1, 25), start=st.integers(0, 9), size=st.integers(1, 9))
def test_a_part_has_the_weights_of_the_whole(
    axis: Axis, length: int, start: int, size: int
) -> None:
    whole = axis_weights(axis, 0, 20, length)
    part = axis_weights(axis, start, start + size, length)
    np.testing.assert_allclose(part, whole[start : start + size], atol=2e-6)


@given(axis=AXES, targets=st.integers(1, 12), length=st.integers(1, 25))
def test_grids_meet_where_there_are_weights(axis: Axis, targets: int, length: int) -> None:
    edges = (axis.shift, axis.factor * targets + axis.shift)
    # Grids that touch meet in nothing; leave out those that touch but for rounding.
    assume(min(abs(min(edges) - length), abs(max(edges))) > 1e-6)
    if not axis.meets(targets, length):
        assert not plain_weights(axis, targets, length).any()
    elif abs(axis.factor) > 1:
        assert plain_weights(axis, targets, length).any()


@given(axis=AXES, length=st.integers(1, 25), targets=st.integers(1, 12))
def test_the_pixels_that_stand_for_a_target(axis: Axis, length: int, targets: int) -> None:
    first, end = axis.covered(3, 3 + targets)
    for k in range(targets):
        if abs(axis.factor) <= 1.01:
            assert first[k] == math.floor(axis.factor * (3 + k + 0.5) + axis.shift)
            assert end[k] == first[k] + 1
            continue
        edges = sorted(axis.factor * (3 + k + side) + axis.shift for side in (0, 1))
        # All of the target, but for the hundredth of a pixel to which grids are taken as equal.
        assert first[k] <= edges[0] + 0.01 < first[k] + 1
        assert end[k] - 1 < edges[1] - 0.01 <= end[k]


@pytest.mark.parametrize(("factor", "shift"), [(0.5, 0.0), (0.25, 0.5), (0.4, -0.2), (-0.5, 9.5)])
def test_a_ramp_stays_a_ramp(factor: float, shift: float) -> None:
    """Bilinear is exact where values grow evenly, up to the outermost centres."""
    axis = Axis(factor, shift)
    length, targets = 10, 18
    values = 3.0 + 2.0 * (np.arange(length) + 0.5)
    got = axis_weights(axis, 0, targets, length) @ values
    centres = factor * (np.arange(targets) + 0.5) + shift
    inner = (centres > 0.5) & (centres < length - 0.5)
    assert inner.sum() >= 7
    np.testing.assert_allclose(got[inner], 3.0 + 2.0 * centres[inner], rtol=1e-5)


@given(
    factor=st.sampled_from([2.0, 2.5, 3.0, 4.25]),
    flip=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_mean_conserves_the_sum(factor: float, flip: bool, seed: int) -> None:
    length, targets = 17, 4 * 17
    axis = Axis(-factor, length) if flip else Axis(factor, 0.0)
    values = np.random.default_rng(seed).random(length)
    means = axis_weights(axis, 0, targets, length) @ values
    assert (means * factor).sum() == pytest.approx(values.sum(), rel=1e-5)


def plain_resample(
    data: NDArray[np.float32],
    valid: NDArray[np.bool_],
    down: NDArray[np.float64],
    across: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted means over valid pixels, and the share of weight that they have."""
    height, width = len(down), len(across)
    values = np.zeros((len(data), height, width))
    share = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            weight = np.outer(down[i], across[j]) * valid
            share[i, j] = weight.sum()
            if share[i, j] > 0:
                for band in range(len(data)):
                    sum_ = (weight[valid] * data[band][valid]).sum()
                    values[band, i, j] = sum_ / share[i, j]
    return values, share


@given(
    rows=AXES,
    cols=AXES,
    seed=st.integers(0, 999),
    holes=st.floats(0, 1),
)
def test_pixels_against_the_plain_loop(rows: Axis, cols: Axis, seed: int, holes: float) -> None:
    random = np.random.default_rng(seed)
    data = random.random((2, 7, 9), np.float32)
    valid = random.random((7, 9)) >= holes
    data[:, ~valid] = np.nan  # what is invalid must not leak, whatever it holds
    down, across = plain_weights(rows, 5, 7), plain_weights(cols, 6, 9)
    values, good = resample(data, valid, down.astype(np.float32), across.astype(np.float32))
    expected, share = plain_resample(data, valid, down, across)
    clear = np.abs(share - 0.5) > 1e-4  # half of the weight: on either side by rounding
    assert (good == (share >= 0.5))[clear].all()
    sure = good & clear
    np.testing.assert_allclose(values[:, sure], expected[:, sure], rtol=1e-4, atol=1e-5)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("axis", "length", "whole"),
    [
        (Axis(1.0, 0.0), 100, True),
        (Axis(1.0, -7.0), 100, True),
        (Axis(1.0, 3.005), 100, True),
        (Axis(1.0, 3.02), 100, False),
        (Axis(1.00005, 0.0), 100, True),
        # A drift that adds up to half a pixel over the raster is no rounding.
        (Axis(1.00005, 0.0), 10_000, False),
        (Axis(-1.0, 100.0), 100, False),
        (Axis(2.0, 0.0), 100, False),
    ],
)
def test_when_grids_are_the_same(axis: Axis, length: int, whole: bool) -> None:
    assert axis.is_whole(length) == whole
