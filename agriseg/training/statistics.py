"""Constants that go into the card: how bright each band is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["band_statistics"]

_SMALLEST_STD = 1e-6


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
