"""Borders against distances that scipy measures, and the same whatever the windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, distance_transform_edt

from agriseg.evaluation.boundaries import (
    boundary_counts,
    boundary_scores,
    halo_of,
    near,
)
from agriseg.labels import Codes
from tests.evaluation.material import blobs
from tests.support import LEGEND

ALLOWED = Codes(LEGEND).allowed[:3]


def everything(shape: tuple[int, int]) -> tuple[slice, slice]:
    return slice(0, shape[0]), slice(0, shape[1])


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 25),
    width=st.integers(1, 25),
    radius=st.floats(1, 30),
    density=st.floats(0, 0.2),
    seed=st.integers(0, 99),
)
def test_near_is_the_distance_between_centres(
    height: int, width: int, radius: float, density: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < density
    expected = np.zeros_like(mask)
    if mask.any():
        # Squares of whole numbers are exact, so the comparison with the radius is too.
        distance = distance_transform_edt(~mask)
        expected = np.rint(distance**2) <= radius**2
    np.testing.assert_array_equal(near(mask, radius), expected)


def by_hand(truth: np.ndarray, guess: np.ndarray, radius: float) -> tuple[float, float]:
    """Boundary F1 and IoU from distance transforms; the raster's edge is no border."""

    def contour(mask: np.ndarray) -> np.ndarray:
        return mask & ~binary_erosion(mask, border_value=1)

    def within(mask: np.ndarray) -> np.ndarray:
        return distance_transform_edt(~mask) <= radius + 1e-9

    a, b = contour(truth), contour(guess)
    precision, recall = within(a)[b].mean(), within(b)[a].mean()
    band_a, band_b = truth & within(~truth), guess & within(~guess)
    iou = (band_a & band_b).sum() / (band_a | band_b).sum()
    return 2 * precision * recall / (precision + recall), iou


@pytest.mark.parametrize("radius", [1.0, 2.0, 3.7])
def test_scores_by_hand(radius: float) -> None:
    truth, guess = blobs(60, 47, 3, 1), blobs(60, 47, 3, 1)
    guess[:, 3:] = guess[:, :-3].copy()
    counts = boundary_counts(truth, guess, ALLOWED, radius, everything(truth.shape))[0, 0]
    f1, iou = boundary_scores(counts)
    for value in range(3):
        expected = by_hand(truth == value, guess == value, radius)
        assert (f1[value], iou[value]) == pytest.approx(expected)


def test_windows_with_a_margin_add_up_to_the_whole() -> None:
    truth, guess, radius = blobs(50, 61, 3, 2), blobs(50, 61, 3, 3), 4.3
    truth[10:20, 5:30] = 255
    whole = boundary_counts(truth, guess, ALLOWED, radius, everything(truth.shape))
    halo = halo_of(radius)
    total = np.zeros_like(whole)
    for top in range(0, 50, 17):
        for left in range(0, 61, 20):
            rows, cols = (
                slice(max(top - halo, 0), top + 17 + halo),
                slice(max(left - halo, 0), left + 20 + halo),
            )
            core = (
                slice(top - rows.start, min(top + 17, 50) - rows.start),
                slice(left - cols.start, min(left + 20, 61) - cols.start),
            )
            total += boundary_counts(truth[rows, cols], guess[rows, cols], ALLOWED, radius, core)
    np.testing.assert_array_equal(total, whole)


def test_blocks_add_up_to_the_whole() -> None:
    truth, guess = blobs(40, 30, 3, 5), blobs(40, 30, 3, 6)
    at = everything(truth.shape)
    whole = boundary_counts(truth, guess, ALLOWED, 2.0, at)
    parts = boundary_counts(truth, guess, ALLOWED, 2.0, at, ([0, 7, 20], [0, 16]))
    assert parts.shape[:2] == (3, 2)
    np.testing.assert_array_equal(parts.sum(axis=(0, 1), keepdims=True), whole)


def test_neither_edge_nor_end_of_labels_is_a_border() -> None:
    truth = np.zeros((12, 12), np.uint8)
    truth[:, 6:] = 255
    counts = boundary_counts(truth, np.zeros_like(truth), ALLOWED, 2.0, everything(truth.shape))
    assert not counts.any()
    f1, iou = boundary_scores(counts[0, 0])
    assert np.isnan([f1, iou]).all()


def test_a_border_that_was_missed_scores_nothing() -> None:
    truth, guess = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    truth[3:6, 3:6] = 1
    f1, iou = boundary_scores(
        boundary_counts(truth, guess, ALLOWED, 1.0, everything(truth.shape))[0, 0]
    )
    assert f1[1] == 0
    assert iou[1] == 0
