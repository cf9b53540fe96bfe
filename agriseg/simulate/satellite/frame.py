"""The bent frame in which lanes are straight: turned and warped onto the map.

Parcels are convex polygons of the frame's (u, v). On the map their long sides bend as lanes do.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from agriseg.simulate.noise import Floats, cos_sin, noise_at
from agriseg.simulate.satellite.recipe import SatelliteRecipe

__all__ = ["PUSH_M", "VERTEX_M", "frame_grid", "to_map", "turned_to_frame", "turned_to_map"]

# Bends: size of their lattice and how far they push, metres. The slope of the warp is at most
# 3 x push / size for each, 0.5 in all: nothing folds.
_BENDS: Final = ((3100.0, 240.0), (1250.0, 75.0), (430.0, 12.0))

PUSH_M: Final = sum(push for _, push in _BENDS)
"""How far a point of the frame is from where the turn alone puts it, along x or y, at most."""

VERTEX_M: Final = 50.0
"""Edges of the frame bend on the map: vertices so far apart leave a decimetre."""


def to_map(recipe: SatelliteRecipe, uv: Floats) -> Floats:
    """Metres east and south of the raster's upper left corner, of points of the frame (.., 2)."""
    u, v = (np.ascontiguousarray(uv[..., k]) for k in (0, 1))
    x, y = turned_to_map(recipe, u, v)
    for size, push in _BENDS:
        x = x + push * noise_at(recipe.seed, f"bend.x.{size:g}", u, v, size)
        y = y + push * noise_at(recipe.seed, f"bend.y.{size:g}", u, v, size)
    return np.stack([x, y], axis=-1)


def turned_to_map(recipe: SatelliteRecipe, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Points or directions of the frame on the map, without the bends."""
    c, s = _turn(recipe)
    return u * c - v * s, u * s + v * c


def turned_to_frame(recipe: SatelliteRecipe, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The way back from `turned_to_map`."""
    c, s = _turn(recipe)
    return x * c + y * s, y * c - x * s


def frame_grid(recipe: SatelliteRecipe, side: int) -> Floats:
    """`side` x `side` points of the frame spread over the raster, (points, 2)."""
    width, height = recipe.size_m
    part = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(part * width, part * height)
    return np.stack(turned_to_frame(recipe, x.ravel(), y.ravel()), axis=1)


def _turn(recipe: SatelliteRecipe) -> tuple[float, float]:
    c, s = cos_sin(recipe.landscape_direction_deg / 360.0)
    return float(c), float(s)
