"""Calibration against torchmetrics, and temperatures that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from agriseg.evaluation.calibration import (
    ProbabilitySample,
    calibration_error,
    fit_temperature,
    log_likelihood,
    reliability,
)
from agriseg.labels import Codes
from tests.support import LEGEND


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def drawn(logits: np.ndarray, seed: int = 0) -> np.ndarray:
    """Classes drawn with the probabilities of the logits."""
    noise = np.random.default_rng(seed).gumbel(size=logits.shape)
    return (logits + noise).argmax(axis=-1)


def test_error_as_torchmetrics() -> None:
    rng = np.random.default_rng(3)
    probabilities = softmax(rng.normal(size=(4000, 3)) * 2)
    truth = drawn(np.log(probabilities) / 2)
    # As the map has them: in steps of 1/200, and none on the limit of a bin.
    steps = np.rint(probabilities.max(axis=1) * 200).astype(int)
    off = steps * 15 % 200 != 0
    steps, guess, truth = steps[off], probabilities.argmax(axis=1)[off], truth[off]
    counts = np.zeros((201, 2), np.int64)
    np.add.at(counts, (steps, (guess == truth).astype(int)), 1)
    sure = np.full((len(steps), 3), 0.0)
    sure[np.arange(len(steps)), guess] = steps / 200
    sure[np.arange(len(steps)), (guess + 1) % 3] = 1 - steps / 200
    keep = steps > 100  # below one half the other class would be surer
    expected = multiclass_calibration_error(
        torch.from_numpy(sure[keep]), torch.from_numpy(truth[keep]), 3, n_bins=15
    )
    counts[:101] = 0
    assert calibration_error(reliability(counts)) == pytest.approx(float(expected), abs=1e-6)


def test_no_pixel_has_no_error() -> None:
    assert np.isnan(calibration_error(reliability(np.zeros((201, 2)))))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found(temperature: float) -> None:
    logits = np.random.default_rng(1).normal(size=(20_000, 3)) * 2
    truth = drawn(logits / temperature)
    allowed = np.eye(3, dtype=bool)[truth]
    assert fit_temperature(softmax(logits), allowed) == pytest.approx(temperature, rel=0.05)


def test_likelihood_of_sets_of_classes() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2]])
    codes = Codes.of(LEGEND, ["soil or weed"])
    assert log_likelihood(probabilities, codes.allowed[[3]], 1.0) == pytest.approx(np.log(0.7))
    assert log_likelihood(probabilities, codes.allowed[[255]], 2.0) == pytest.approx(0.0)


def test_certainty_of_the_wrong_class_is_finite() -> None:
    assert np.isfinite(log_likelihood(np.array([[1.0, 0.0]]), np.array([[False, True]]), 1.0))


def test_a_sample_keeps_probability_and_code_together_and_stays_small() -> None:
    sample = ProbabilitySample(Codes(LEGEND).allowed, most=500, each=200)
    rng = np.random.default_rng(0)
    for _ in range(20):
        codes = rng.choice([0, 1, 2, 255], (16, 16)).astype(np.uint8)
        probabilities = (codes == np.arange(3)[:, None, None]).astype(np.float32)
        sample.add(torch.from_numpy(probabilities), codes)
    probabilities, codes = sample.arrays()
    assert 200 <= len(codes) <= 700
    assert set(codes) == {0, 1, 2}
    np.testing.assert_array_equal(probabilities.argmax(axis=1), codes)
