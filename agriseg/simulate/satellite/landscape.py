"""All that lies in a rectangle of the map: parcels with their outlines, and things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agriseg.simulate.noise import Floats
from agriseg.simulate.satellite.frame import PUSH_M, VERTEX_M, to_map, turned_to_map
from agriseg.simulate.satellite.lattice import blocks_in
from agriseg.simulate.satellite.parcels import Lines, Parcels, cut_blocks
from agriseg.simulate.satellite.polygons import Convex, Index, chains
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.satellite.things import Quads, things_on

__all__ = ["Landscape", "landscape_in", "outlines"]

# Trees reach so far from their line, metres.
_REACH_M = 30.0


@dataclass(frozen=True)
class Landscape:
    """What lies in a window.

    Args:
        parcels: In the frame.
        points: Their outlines on the map one after the other, (points, 2) metres.
        count: Points of each.
        things: What lies on them.
    """

    parcels: Parcels
    points: Floats
    count: Index
    things: Quads


def landscape_in(recipe: SatelliteRecipe, x0: float, y0: float, x1: float, y1: float) -> Landscape:
    """The landscape of a rectangle, metres east and south of the upper left corner."""
    box = x0, y0, x1, y1
    parcels, lines = cut_blocks(recipe, blocks_in(recipe, *box))
    shapes = parcels.shapes
    # What does not count of a row is put where its first corner is.
    corners = np.where(shapes.used[..., None], shapes.corners, shapes.corners[:, :1])
    parcels = parcels[(shapes.size > 0) & _near(recipe, corners, box)]
    ends = np.stack([lines.starts, lines.ends], axis=1)
    near = _near(recipe, ends, box)
    lines = Lines(lines.starts[near], lines.ends[near], lines.kind[near])
    points, count = outlines(recipe, parcels.shapes)
    return Landscape(parcels, points, count, things_on(recipe, parcels, lines))


def outlines(recipe: SatelliteRecipe, shapes: Convex) -> tuple[Floats, Index]:
    """Outlines on the map one after the other, (points, 2) metres, and the points of each."""
    used = shapes.used
    points, pieces = chains(shapes.corners[used], shapes.ends[used], VERTEX_M)
    owner = np.repeat(np.nonzero(used)[0], pieces)
    return to_map(recipe, points), np.bincount(owner, minlength=len(shapes))


def _near(
    recipe: SatelliteRecipe, corners: Floats, box: tuple[float, float, float, float]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of some shapes (shapes, corners, 2) of the frame can reach a rectangle."""
    x, y = turned_to_map(recipe, corners[..., 0], corners[..., 1])
    reach = PUSH_M + _REACH_M
    near = (x.max(axis=1) > box[0] - reach) & (x.min(axis=1) < box[2] + reach)
    near &= (y.max(axis=1) > box[1] - reach) & (y.min(axis=1) < box[3] + reach)
    return np.asarray(near)
