"""Clouds and their shadows, from noise at a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats, cos_sin, noise_grid, uniform
from agriseg.simulate.satellite.recipe import SatelliteRecipe

__all__ = ["CLEAR", "CLOUD", "SHADOW", "Sky", "shift_m", "sky_over"]

Float32 = NDArray[np.float32]

CLEAR, CLOUD, SHADOW = range(3)

# Side of the lattice of each noise, metres, and its weight.
_BILLOWS: Final = ((4300.0, 1.0), (1700.0, 0.55), (700.0, 0.32), (290.0, 0.2), (130.0, 0.1))
# How thick a cloud is, 0..1, rises over this much of the noise; it hides the ground from here on.
_EDGE, _HIDES = 0.30, 0.25
_LOW_M, _HIGH_M = 700.0, 1700.0
# Places along each side where the noise is looked at for the threshold.
_PLACES: Final = 160


@dataclass(frozen=True)
class Sky:
    """The sky over a window on one date; arrays (height, width).

    Args:
        thick: 0..1, share of the view that cloud takes.
        shade: 0..1, the same of the sun.
        mask: CLEAR, CLOUD or SHADOW, uint8.
    """

    thick: Float32
    shade: Float32
    mask: NDArray[np.uint8]


def shift_m(recipe: SatelliteRecipe, date: int) -> tuple[float, float]:
    """Metres (east, south) from a cloud of the first (0) or second (1) date to its shadow."""
    height = _LOW_M + (_HIGH_M - _LOW_M) * float(uniform(recipe.seed, "cloud.height", date)[0])
    c, s = (float(part) for part in cos_sin(recipe.sun_elevation_deg / 360.0))
    east, north = (float(a) for a in cos_sin((90.0 - recipe.sun_azimuth_deg) / 360.0))
    return -east * height * c / s, north * height * c / s


def sky_over(recipe: SatelliteRecipe, date: int, xs: Floats, ys: Floats) -> Sky:
    """The sky over the grid `ys` by `xs`, metres, on the first (0) or second (1) date."""
    if recipe.cloud_share == 0:
        none = np.zeros((len(ys), len(xs)), dtype=np.float32)
        return Sky(none, none, np.zeros(none.shape, dtype=np.uint8))
    level = np.float32(_level(recipe, date))
    east, south = shift_m(recipe, date)
    thick = _thick(_billows(recipe, date, xs, ys), level)
    shade = _thick(_billows(recipe, date, xs - east, ys - south), level)
    mask = np.where(shade > _HIDES, SHADOW, CLEAR)
    mask = np.where(thick > _HIDES, CLOUD, mask)
    return Sky(thick, shade, mask.astype(np.uint8))


def _thick(rise: Float32, level: np.float32) -> Float32:
    part = np.clip((rise - level) * np.float32(1 / _EDGE) + np.float32(_HIDES), 0.0, 1.0)
    return np.asarray(part, dtype=np.float32)


def _billows(recipe: SatelliteRecipe, date: int, xs: Floats, ys: Floats) -> Float32:
    total = np.zeros((len(ys), len(xs)), dtype=np.float32)
    for size, weight in _BILLOWS:
        if size < recipe.gsd_m * 1.5:
            continue
        total += np.float32(weight) * noise_grid(
            recipe.seed, f"cloud.{date}.{size:g}", xs, ys, size
        )
    return total


@lru_cache(maxsize=64)
def _level(recipe: SatelliteRecipe, date: int) -> float:
    """The height of the noise above which `cloud_share` of the scene lies."""
    width, height = recipe.size_m
    part = (np.arange(_PLACES) + 0.5) / _PLACES
    rise = np.sort(_billows(recipe, date, part * width, part * height).ravel())
    return float(rise[min(int((1.0 - recipe.cloud_share) * rise.size), rise.size - 1)])
