"""Constants that go into the card: how bright each band is, and how sure the network may be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from agriseg.training.losses import set_nll

__all__ = ["band_statistics", "fit_temperature"]

_SMALLEST_STD = 1e-6
_TEMPERATURES = (0.2, 10.0)


def band_statistics(
    batches: Iterable[dict[str, Tensor]], bands: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean and standard deviation of each band over all valid pixels, and how many there are.

    Args:
        batches: As `stack` makes them; only one is held at a time.
        bands: How many there are.
    """
    count = np.zeros(bands, np.int64)
    total, squares = np.zeros(bands), np.zeros(bands)
    for batch in batches:
        known = batch["valid"][:, None] & batch["present"][:, :, None, None]
        values = batch["image"].double().masked_fill(~known, 0.0)
        count += known.sum((0, 2, 3)).numpy()
        total += values.sum((0, 2, 3)).numpy()
        squares += (values**2).sum((0, 2, 3)).numpy()
    mean = total / np.maximum(count, 1)
    variance = squares / np.maximum(count, 1) - mean**2
    return mean, np.sqrt(np.maximum(variance, _SMALLEST_STD**2)), count


def fit_temperature(logits: Tensor, allowed: Tensor) -> float:
    """What to divide logits by so that probabilities are right (Guo et al. 2017, arXiv:1706.04599).

    Args:
        logits: (n, classes).
        allowed: (n, classes) bool, which classes each pixel may be of.
    """
    if not len(logits):
        return 1.0
    logits = logits.double()

    def nll(log_temperature: float) -> float:
        scaled = logits / float(np.exp(log_temperature))
        return float(set_nll(torch.log_softmax(scaled, 1), allowed).mean())

    low, high = np.log(_TEMPERATURES)
    with torch.inference_mode():
        found = minimize_scalar(nll, bounds=(low, high), method="bounded")
    return round(float(np.exp(found.x)), 4)
