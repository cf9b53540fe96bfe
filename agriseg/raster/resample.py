"""Resampling between grids that differ by scale and shift, aware of invalid pixels.

The rule: where the source is coarser, bilinear between pixel centres; where it is finer, the mean
over each target pixel's area. Both are separable, so each is two matrix products. Invalid source
pixels carry no weight; a target pixel is valid where at least half of its weight is.

The weights depend on the position in the raster alone, so windows read apart agree with the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axis", "resample"]

_TOLERANCE = 0.01
"""Grids that agree to a hundredth of a pixel are the same grid."""


@dataclass(frozen=True)
class Axis:
    """Maps target pixel edges to source pixel edges along one axis: source = factor * t + shift."""

    factor: float
    shift: float

    def is_whole(self, length: int) -> bool:
        """Whether `length` target pixels are source pixels, moved by a whole number of them."""
        drift = abs(self.factor - 1) * length
        return drift < _TOLERANCE and abs(self.shift - round(self.shift)) < _TOLERANCE

    def meets(self, target_length: int, source_length: int) -> bool:
        """Whether any of `target_length` target pixels lies over the source."""
        a, b = self.shift, self.factor * target_length + self.shift
        return min(a, b) < source_length and max(a, b) > 0

    def source_range(self, start: int, stop: int, length: int) -> tuple[int, int]:
        """The source pixels (first, end) that targets [start, stop) need, clipped to `length`."""
        a, b = self.factor * start + self.shift, self.factor * stop + self.shift
        low, high = min(a, b), max(a, b)
        margin = 1 if abs(self.factor) < 1 else 0
        first = min(max(math.floor(low) - margin, 0), length)
        return first, max(min(math.ceil(high) + margin, length), first)

    def weights(
        self, start: int, stop: int, first: int, end: int, length: int
    ) -> NDArray[np.float32]:
        """Weights (targets, sources) of source pixels [first, end) in targets [start, stop)."""
        edges = self.factor * np.arange(start, stop + 1) + self.shift
        low = np.minimum(edges[:-1], edges[1:])
        high = np.maximum(edges[:-1], edges[1:])
        pixels = np.arange(first, end)
        if abs(self.factor) > 1:
            shared = np.minimum(high[:, None], pixels + 1) - np.maximum(low[:, None], pixels)
            area: NDArray[np.float32] = (shared.clip(0, None) / abs(self.factor)).astype(np.float32)
            return area
        centres = (low + high) / 2
        inside = (centres >= 0) & (centres <= length)
        # Beyond the outermost centres the edge pixel's value holds on.
        position = (centres - 0.5).clip(0, length - 1)
        weights = (1 - np.abs(position[:, None] - pixels)).clip(0, None)
        bounded: NDArray[np.float32] = np.where(inside[:, None], weights, 0).astype(np.float32)
        return bounded

    def covered(self, start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """For each target in [start, stop) the source pixels [first, end) that stand for it.

        Where the source is finer, all that the target covers; else the one under its centre.
        """
        if abs(self.factor) <= 1 + _TOLERANCE:
            centres = self.factor * (np.arange(start, stop) + 0.5) + self.shift
            first = np.floor(centres).astype(np.intp)
            return first, first + 1
        edges = self.factor * np.arange(start, stop + 1) + self.shift
        low = np.minimum(edges[:-1], edges[1:])
        high = np.maximum(edges[:-1], edges[1:])
        first = np.floor(low + _TOLERANCE).astype(np.intp)
        return first, np.ceil(high - _TOLERANCE).astype(np.intp)


def resample(
    data: NDArray[np.float32],
    valid: NDArray[np.bool_],
    down: NDArray[np.float32],
    across: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample `data` (bands, h, w) under `valid` (h, w) with weights (H, h) and (W, w).

    Returns:
        Values (bands, H, W) and where they are valid (H, W).
    """
    weight = down @ valid.astype(np.float32) @ across.T
    good = weight >= 0.5
    values = down @ np.where(valid, data, np.float32(0)) @ across.T
    values /= np.where(good, weight, np.float32(1))
    return values, good
