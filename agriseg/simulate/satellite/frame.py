"""The bent frame in which lanes are straight: a turn and a smooth warp of the raster's metres.

Parcels are convex polygons of the frame's (u, v). On the map their long sides bend as lanes do.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from agriseg.geobox import Window
from agriseg.simulate.noise import Floats, cos_sin, noise_at, noise_grid
from agriseg.simulate.satellite.recipe import SatelliteRecipe

__all__ = ["STRETCH", "corners", "frame_bounds", "grid_of_scene", "to_uv", "to_xy"]

# Bends: size of their lattice and how far they push, metres. The slope of the warp is at most
# 3 x push / size for each, 0.3 in all: it can be turned back by iteration.
_BENDS: Final = ((3100.0, 170.0), (520.0, 13.0))

STRETCH: Final = 1.15
"""How much longer a short distance is in the frame than on the map, but for rare places."""

# Each step shortens the error to a third or less; after these 200 m are
# decimetres at the very worst, and millimetres in most places.
_STEPS: Final = 6


def corners(recipe: SatelliteRecipe, window: Window) -> tuple[Floats, Floats]:
    """(u, v) of the corners of a window's pixels, each (height + 1, width + 1), metres."""
    xs = np.arange(window.col_off, window.col_end + 1, dtype=np.float64) * recipe.gsd_m
    ys = np.arange(window.row_off, window.row_end + 1, dtype=np.float64) * recipe.gsd_m
    c, s = _turn(recipe)
    u = (xs * c)[None, :] + (ys * s)[:, None]
    v = (ys * c)[:, None] - (xs * s)[None, :]
    for size, push in _BENDS:
        u += push * noise_grid(recipe.seed, f"bend.u.{size:g}", xs, ys, size)
        v += push * noise_grid(recipe.seed, f"bend.v.{size:g}", xs, ys, size)
    return u, v


def to_uv(recipe: SatelliteRecipe, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(u, v) of points, metres east and south of the raster's upper left corner."""
    c, s = _turn(recipe)
    u, v = x * c + y * s, y * c - x * s
    for size, push in _BENDS:
        u = u + push * noise_at(recipe.seed, f"bend.u.{size:g}", x, y, size)
        v = v + push * noise_at(recipe.seed, f"bend.v.{size:g}", x, y, size)
    return u, v


def grid_of_scene(recipe: SatelliteRecipe, side: int) -> Floats:
    """(u, v) of `side` x `side` points spread over the raster, (points, 2)."""
    width, height = recipe.size_m
    part = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(part * width, part * height)
    return np.stack(to_uv(recipe, x.ravel(), y.ravel()), axis=1)


def frame_bounds(recipe: SatelliteRecipe) -> tuple[float, float, float, float]:
    """u0, v0, u1, v1 that hold the whole raster."""
    width, height = recipe.size_m
    c, s = _turn(recipe)
    push = sum(push for _, push in _BENDS)
    us = [x * c + y * s for x in (0.0, width) for y in (0.0, height)]
    vs = [y * c - x * s for x in (0.0, width) for y in (0.0, height)]
    return min(us) - push, min(vs) - push, max(us) + push, max(vs) + push


def to_xy(recipe: SatelliteRecipe, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Metres east and south of the raster's upper left corner, of points of the frame."""
    c, s = _turn(recipe)
    du, dv = np.zeros_like(u), np.zeros_like(v)
    for _ in range(_STEPS):
        x, y = (u - du) * c - (v - dv) * s, (u - du) * s + (v - dv) * c
        du, dv = np.zeros_like(u), np.zeros_like(v)
        for size, push in _BENDS:
            du += push * noise_at(recipe.seed, f"bend.u.{size:g}", x, y, size)
            dv += push * noise_at(recipe.seed, f"bend.v.{size:g}", x, y, size)
    return (u - du) * c - (v - dv) * s, (u - du) * s + (v - dv) * c


def _turn(recipe: SatelliteRecipe) -> tuple[float, float]:
    c, s = cos_sin(recipe.landscape_direction_deg / 360.0)
    return float(c), float(s)
