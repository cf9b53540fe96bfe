"""Does a confidence of 0.9 mean nine in ten? Calibration, and the temperature that mends it.

The expected calibration error is the mean distance between confidence and accuracy over 15 bins of
equal width, weighted by their pixels (Guo et al. 2017, ICML). Pixels that are labelled with one
class count; confidence is what the map says, in its steps of 1/200.

The temperature T minimises the negative log likelihood of the labels under probabilities
p ** (1 / T), scaled to sum to one: of a softmax these are the probabilities with logits divided by
T. It is fitted to probabilities as the network gave them, before chips were merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.evaluation.scores import Floats, ratio
from agriseg.models import as_numpy
from agriseg.tiling import CONFIDENCE_STEPS

__all__ = [
    "BINS",
    "Calibration",
    "ProbabilitySample",
    "Reliability",
    "calibrate",
    "calibration_error",
    "fit_temperature",
    "log_likelihood",
    "reliability",
]

BINS = 15
_LOWEST, _HIGHEST = 0.05, 20.0
_FLOOR = 1e-7
"""What a probability is at least: bfloat16 and bytes round small ones to 0."""


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, bin by bin; NaN where a bin is empty.

    Args:
        edges: (bins + 1,) limits of the bins.
        pixels: (bins,) pixels.
        confidence: (bins,) their mean confidence.
        accuracy: (bins,) how many of them are right.
    """

    edges: Floats
    pixels: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be trusted.

    Args:
        error: Expected calibration error of the map.
        reliability: What it is made of.
        factor: What the temperature of the card should be multiplied by; None where nothing could
            be fitted.
        temperature: The temperature that results; None as above.
        error_after: Expected calibration error with it, on the sample it was fitted to.
        nll_before, nll_after: Negative log likelihood of a pixel of the sample, without and with.
        sampled: Pixels of the sample.
    """

    error: float
    reliability: Reliability
    factor: float | None = None
    temperature: float | None = None
    error_after: float | None = None
    nll_before: float | None = None
    nll_after: float | None = None
    sampled: int = 0


def reliability(counts: NDArray[np.number], bins: int = BINS) -> Reliability:
    """Bins of counts of confidence.

    Args:
        counts: (steps + 1, 2) pixels by confidence, in steps of equal width from 0 to 1: wrong ones
            and right ones.
        bins: How many.
    """
    steps = len(counts) - 1
    confidence = np.arange(steps + 1) / steps
    # Bins are open below and closed above, as Guo's; 0 is in the first.
    where = np.clip(np.ceil(confidence * bins - 1e-9).astype(int) - 1, 0, bins - 1)
    both = np.asarray(counts, float).sum(axis=1)
    pixels, sure, right = (
        np.bincount(where, weights, bins).astype(float)
        for weights in (both, both * confidence, np.asarray(counts, float)[:, 1])
    )
    return Reliability(
        np.linspace(0, 1, bins + 1),
        pixels.astype(np.int64),
        ratio(sure, pixels),
        ratio(right, pixels),
    )


def calibration_error(found: Reliability) -> float:
    """The expected calibration error; NaN without a pixel."""
    total = found.pixels.sum()
    if not total:
        return float("nan")
    gap = np.abs(found.accuracy - found.confidence)
    return float(np.nansum(gap * found.pixels) / total)


class ProbabilitySample:
    """A sample of labelled pixels with the probabilities that the network gave them.

    It stays below a size: when it is full, half of it is dropped and half as many are taken.

    Args:
        allowed: (256, model classes) True where a pixel with this code may be of this class.
        most: Pixels that are kept at most.
        each: Pixels that are taken from a chip at first.
    """

    def __init__(self, allowed: NDArray[np.bool_], most: int = 1 << 18, each: int = 4096) -> None:
        self._allowed = allowed
        self._tells: NDArray[np.bool_] = np.asarray(~allowed.all(axis=1))
        self._most, self._each = most, each
        self._kept: list[tuple[NDArray[np.float32], NDArray[np.uint8]]] = []
        self._size = 0
        self._rng = np.random.default_rng(1)

    def add(self, probabilities: Any, codes: NDArray[np.uint8]) -> None:
        """Take some pixels of a chip: probabilities (classes, h, w), on any device, and codes."""
        places = np.flatnonzero(self._tells[codes])
        if len(places) > self._each:
            places = self._rng.choice(places, self._each, replace=False)
        if not len(places):
            return
        # Only what is taken comes from the device.
        taken = as_numpy(probabilities.reshape(len(probabilities), -1)[:, places])
        self._kept.append((taken.T, codes.ravel()[places]))
        self._size += len(places)
        if self._size > self._most:
            self._halve()

    def _halve(self) -> None:
        probabilities, codes = self.arrays()
        keep = self._rng.choice(len(codes), len(codes) // 2, replace=False)
        self._kept = [(probabilities[keep], codes[keep])]
        self._size, self._each = len(keep), max(self._each // 2, 1)

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Probabilities (pixels, classes) and codes (pixels,)."""
        if not self._kept:
            empty = np.zeros((0, self._allowed.shape[1]), np.float32)
            return empty, np.zeros(0, np.uint8)
        parts = list(zip(*self._kept, strict=True))
        return np.concatenate(parts[0]), np.concatenate(parts[1])

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """(256, model classes) True where a pixel with this code may be of this class."""
        return self._allowed


def log_likelihood(
    probabilities: NDArray[np.floating], allowed: NDArray[np.bool_], temperature: float
) -> float:
    """Mean log probability (pixels) that each pixel is one of the classes it may be.

    Args:
        probabilities: (pixels, classes).
        allowed: (pixels, classes).
        temperature: Applied to the probabilities.
    """
    from scipy.special import logsumexp

    logits = np.log(np.maximum(probabilities, _FLOOR, dtype=np.float64)) / temperature
    among = logsumexp(np.where(allowed, logits, -np.inf), axis=1)
    return float(np.mean(among - logsumexp(logits, axis=1)))


def fit_temperature(probabilities: NDArray[np.floating], allowed: NDArray[np.bool_]) -> float:
    """The temperature under which the labels are most likely, between 0.05 and 20.

    Args:
        probabilities: (pixels, classes), one pixel at least.
        allowed: (pixels, classes) True where the pixel may be of this class.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda power: -log_likelihood(probabilities, allowed, float(np.exp(power))),
        bounds=(np.log(_LOWEST), np.log(_HIGHEST)),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(found.x))


def calibrate(
    counts: NDArray[np.int64],
    sample: ProbabilitySample,
    groups: NDArray[np.bool_],
    decided: NDArray[np.int64],
    temperature: float,
    *,
    single: bool = True,
) -> Calibration:
    """All there is to tell.

    Args:
        counts: (steps + 1, 2) as in `reliability`.
        sample: Probabilities.
        groups: (scored classes, model classes) True where a class of the model is scored as one.
        decided: (codes,) scored class of each code, -1 where it is not one alone.
        temperature: The card's.
        single: Whether nearly all labels are of one class; else those that are tell of some classes
            only, and no error is given.
    """
    found = reliability(counts)
    error = calibration_error(found) if single else float("nan")
    probabilities, codes = sample.arrays()
    if not len(codes):
        return Calibration(error, found)
    allowed = sample.allowed[codes]
    factor = fit_temperature(probabilities, allowed)
    if not 1.05 * _LOWEST < factor < _HIGHEST / 1.05:
        return Calibration(error, found)  # the labels ask for certainty, or for none at all
    powered = np.maximum(probabilities, _FLOOR, dtype=np.float64) ** (1 / factor)
    powered /= powered.sum(axis=1, keepdims=True)
    table = np.full(256, -1)
    table[: len(decided)] = decided
    truth = table[codes]
    # The map decides by the most likely class of the model, which is then scored as another.
    guess = groups[:, powered.argmax(axis=1)].argmax(axis=0)
    sure = (powered @ groups.T.astype(float))[np.arange(len(guess)), guess]
    steps = np.rint(sure * CONFIDENCE_STEPS).astype(int)[truth >= 0]
    after = np.zeros_like(counts)
    np.add.at(after, (steps, (guess == truth)[truth >= 0].astype(int)), 1)
    return Calibration(
        error,
        found,
        factor,
        min(max(temperature * factor, 1e-3), 1e3),
        calibration_error(reliability(after)) if single else float("nan"),
        -log_likelihood(probabilities, allowed, 1.0),
        -log_likelihood(probabilities, allowed, factor),
        len(codes),
    )
