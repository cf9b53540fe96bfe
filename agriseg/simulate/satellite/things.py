"""What stands or runs on the land: roads, tracks and streams, rows of trees, houses; as quads.

A quad is four corners on the map, metres, in the order of `polygons`, with its entry: a number in
`MATERIALS`. Later ones lie on top of earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats, cos_sin, noise_at, uniform
from agriseg.simulate.satellite.frame import VERTEX_M, to_map
from agriseg.simulate.satellite.landuse import BUILT, KINDS, LINES, MATERIALS
from agriseg.simulate.satellite.parcels import Lines, Parcels, is_wooded
from agriseg.simulate.satellite.polygons import Index, chains
from agriseg.simulate.satellite.recipe import SatelliteRecipe

__all__ = ["Quads", "things_on"]

_ENTRY: Final = {name: number for number, name in enumerate(MATERIALS)}


@dataclass(frozen=True)
class Row:
    """Trees along a line: metres from one to the next, share that stands, metres off the line at
    most, and half the width of the least and the widest crown."""

    step_m: float
    share: float
    off_m: float
    crown_m: tuple[float, float]


_ROWS: Final = {
    "hedge": Row(8.0, 0.85, 2.5, (3.5, 6.5)),
    "treeline": Row(13.0, 0.55, 4.0, (4.5, 8.5)),
    "stream": Row(8.0, 0.80, 13.0, (4.5, 8.0)),
    "road": Row(21.0, 0.13, 7.0, (3.5, 6.0)),
    "track": Row(26.0, 0.08, 4.0, (3.5, 7.0)),
    "woodside": Row(6.0, 0.75, 11.0, (4.5, 8.5)),
    "margin": Row(45.0, 0.06, 2.0, (4.0, 8.0)),
}
# Trees come in clumps: side of the lattice of this noise, metres.
_CLUMP_M: Final = 130.0

# Plots with a house, metres; the share with a house and with a tree; houses, long and wide.
_PLOT_M: Final = (26.0, 22.0)
_HOUSES, _TREES = 0.62, 0.4
_HOUSE_M: Final = ((9.0, 17.0), (8.0, 12.0))
# Share of parcels with halls in place of houses, and how much larger these are.
_HALLS, _HALL = 0.11, 2.3
_ROOFS: Final = (("red roof", 0.56), ("dark roof", 0.30), ("bright roof", 0.14))
_FROM_EDGE_M: Final = 7.0


@dataclass(frozen=True)
class Quads:
    """Convex quadrangles: corners (quads, 4, 2) and entries (quads,)."""

    corners: Floats
    entry: Index


def things_on(recipe: SatelliteRecipe, parcels: Parcels, lines: Lines) -> Quads:
    """All things between and on parcels."""
    starts, ends, kind = _pieces(recipe, lines)
    parts = [_houses(recipe, parcels)]
    for name, line in LINES.items():
        here = kind == KINDS[name]
        if line.half_m > 0:
            parts.append(_strips(recipe, starts[here], ends[here], line.half_m, line.side))
        if line.core_m > 0:
            parts.append(_strips(recipe, starts[here], ends[here], line.core_m, line.core))
    for name, row in _ROWS.items():
        here = kind == KINDS[name]
        parts.append(_trees(recipe, starts[here], ends[here], name, row))
    return Quads(
        np.concatenate([part.corners for part in parts]),
        np.concatenate([part.entry for part in parts]),
    )


def _pieces(recipe: SatelliteRecipe, lines: Lines) -> tuple[Floats, Floats, Index]:
    """Short pieces of lines: where they start and end, and their kind. Woods hide some."""
    starts, count = chains(lines.starts, lines.ends, VERTEX_M)
    kind = np.repeat(lines.kind, count)
    step = np.repeat((lines.ends - lines.starts) / count[:, None], count, axis=0)
    wooded = is_wooded(recipe, starts + 0.5 * step)
    seen = ~wooded | np.isin(kind, [KINDS[name] for name in ("road", "stream", "woodside")])
    return starts[seen], (starts + step)[seen], kind[seen]


def _strips(
    recipe: SatelliteRecipe, starts: Floats, ends: Floats, half: float, material: str
) -> Quads:
    along = ends - starts
    length = np.sqrt((along**2).sum(axis=1, keepdims=True))
    off = np.stack([-along[:, 1], along[:, 0]], axis=1) * (half / np.maximum(length, 1e-6))
    corners = np.stack([starts - off, ends - off, ends + off, starts + off], axis=1)
    return Quads(to_map(recipe, corners), np.full(len(corners), _ENTRY[material], dtype=np.intp))


def _trees(recipe: SatelliteRecipe, starts: Floats, ends: Floats, name: str, row: Row) -> Quads:
    seed = recipe.seed
    place, _ = chains(starts, ends, row.step_m)
    i, j = (np.floor(place[:, k] * 8.0).astype(np.int64) for k in (0, 1))
    u, v = place.T.copy()
    dense = noise_at(seed, f"clump.{name}", u, v, _CLUMP_M)
    there = uniform(seed, f"tree.{name}", i, j) < row.share * (1.0 + 0.9 * dense)
    i, j, place = i[there], j[there], place[there]
    jump = [uniform(seed, f"tree.{name}.{k}", i, j) * 2.0 - 1.0 for k in (0, 1)]
    low, high = row.crown_m
    radius = low + (high - low) * uniform(seed, f"crown.{name}", i, j)
    return _crowns(to_map(recipe, place + row.off_m * np.stack(jump, axis=1)), radius)


def _crowns(middle: Floats, radius: Floats) -> Quads:
    """Diamonds with the area of round crowns."""
    reach = 1.25 * radius[:, None, None]
    around = np.array([[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    corners = middle[:, None] + reach * around
    return Quads(corners, np.full(len(corners), _ENTRY["trees"], dtype=np.intp))


def _houses(recipe: SatelliteRecipe, parcels: Parcels) -> Quads:
    """Gardens' trees, and houses in rows, of all built parcels."""
    seed, shapes = recipe.seed, parcels.shapes
    cell, i, j = _plots(parcels)
    key = parcels.key[cell]
    hall = uniform(seed, "halls", key) < _HALLS
    off = [0.35 + 0.3 * uniform(seed, f"house.at.{k}", i, j) for k in (0, 1)]
    place = np.stack([(i + off[0]) * _PLOT_M[0], (j + off[1]) * _PLOT_M[1]], axis=1)
    corner, end = shapes.corners[cell], shapes.ends[cell]
    along, to = end - corner, place[:, None] - corner
    length = np.maximum(np.sqrt((along**2).sum(axis=2)), 1e-6)
    depth = (along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]) / length
    depth = np.where(shapes.used[cell], depth, np.inf).min(axis=1)
    chance = uniform(seed, "house", i, j)
    house = (depth > _FROM_EDGE_M) & (chance < np.where(hall, 0.25, _HOUSES))
    tree = (depth > 2.0) & ~house & (chance > 1.0 - _TREES)
    crowns = _crowns(
        to_map(recipe, place[tree]), 3.0 + 3.5 * uniform(seed, "garden.tree", i[tree], j[tree])
    )
    i, j, place, key, hall = i[house], j[house], place[house], key[house], hall[house]
    half = [
        (low + (high - low) * uniform(seed, f"house.{k}", i, j)) * np.where(hall, _HALL, 1.0) / 2
        for k, (low, high) in enumerate(_HOUSE_M)
    ]
    c, s = cos_sin(0.06 * (uniform(seed, "house.turn", key) - 0.5) + 0.03)
    east = np.stack([c * half[0], s * half[0]], axis=1)
    south = np.stack([-s * half[1], c * half[1]], axis=1)
    corners = np.stack(
        [place - east - south, place + east - south, place + east + south, place - east + south], 1
    )
    colour = uniform(seed, "house.roof", i, j)
    colour = np.where(hall, 0.6 + 0.4 * colour, colour)
    pick = np.searchsorted(np.cumsum([share for _, share in _ROOFS])[:-1], colour, side="right")
    roofs = np.array([_ENTRY[name] for name, _ in _ROOFS], dtype=np.intp)[pick]
    return Quads(
        np.concatenate([crowns.corners, to_map(recipe, corners)]),
        np.concatenate([crowns.entry, roofs]),
    )


def _plots(parcels: Parcels) -> tuple[Index, NDArray[np.int64], NDArray[np.int64]]:
    """Plots of a lattice that can lie in built parcels: the parcel of each, column and row."""
    built = np.flatnonzero((parcels.use == BUILT) & (parcels.shapes.size > 0))
    shapes = parcels.shapes[built]
    used = shapes.used[..., None]
    low = np.where(used, shapes.corners, np.inf).min(axis=1)
    high = np.where(used, shapes.corners, -np.inf).max(axis=1)
    first = np.floor(low / np.array(_PLOT_M)).astype(np.int64)
    count = np.floor(high / np.array(_PLOT_M)).astype(np.int64) - first + 1
    total = count[:, 0] * count[:, 1]
    row = np.repeat(np.arange(len(built)), total)
    number = np.arange(len(row)) - np.repeat(np.cumsum(total) - total, total)
    j, i = np.divmod(number, count[row, 0])
    return built[row], first[row, 0] + i, first[row, 1] + j
