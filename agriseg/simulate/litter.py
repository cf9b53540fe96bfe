"""What lies thick on the ground: straw of a field that was not ploughed, gravel.

`shapes` lays one piece at most into each of its wide cells. What a recipe asks for beyond that lies
here, in cells of a hand's width and in as many layers as it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from agriseg.simulate.noise import Floats, Ints, noise_at, uniform
from agriseg.simulate.plants import Rect, cells
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.rocks import Rocks, rocks
from agriseg.simulate.shapes import STONES_PER_M2, STRAW_PER_M2, Blades, Domes, domes, straw
from agriseg.simulate.spectra import CLOD, STONE

__all__ = ["crumbs", "more_stones", "more_straws"]

_CELL_M = 0.12
# Mean chance of a piece in a cell of a full layer; drifts and bare spots lie around it.
_FULL = 0.5

# A crumb of four millimetres is two pixels wide.
_CRUMBS_BELOW_M, _CRUMBS_PER_M2 = 0.005, 2500.0

_Places = tuple[Ints, Ints, Floats, Floats]


def more_straws(recipe: FieldRecipe, rect: Rect) -> Blades:
    """Pieces of straw in `rect` beyond those of `shapes.straws`, thinner and longer than they."""
    seed, rest = recipe.seed, recipe.straw_per_m2 - STRAW_PER_M2
    i, j, x, y = _join(list(_layers(recipe, rect, "straw", rest, 1.1)))
    long = uniform(seed, "straw.long", i, j)
    # Half of it is chaff and chips.
    chips = np.where(uniform(seed, "straw.chip", i, j) < 0.5, 0.25, 1.0)
    length = 0.006 + 0.22 * long * long * chips
    half = 0.0010 + 0.0022 * uniform(seed, "straw.wide", i, j)
    laid = straw(recipe, (i, j, x, y), length, half)
    # Weathered straw is grey, as stones are.
    grey = uniform(seed, "straw.grey", i, j)
    return replace(
        laid,
        material=np.where(grey < 0.3, STONE, laid.material),
        pale=np.where(grey < 0.3, 0.35 * laid.pale, laid.pale),
        bend=2.0 * laid.bend,
    )


def crumbs(recipe: FieldRecipe, rect: Rect) -> Domes:
    """Crumbs of soil, which only a camera closer than any drone's shows one by one."""
    # Rough ground has crumbs of its own (see `clods`).
    fine = recipe.gsd_m < _CRUMBS_BELOW_M and recipe.roughness == 0
    per_m2 = _CRUMBS_PER_M2 if fine else 0.0
    places = _join(list(_layers(recipe, rect, "crumb", per_m2, 0.5)))
    size = uniform(recipe.seed, "crumb.size", *places[:2])
    size *= size
    return domes(recipe, "crumb", CLOD, places, 0.002 + 0.011 * size * size, (0.5, 0.7), 0.45)


def more_stones(recipe: FieldRecipe, rect: Rect) -> Rocks:
    """Stones in `rect` beyond those of `shapes.stones`: much gravel, and the odd cobble.

    Grey ones, few white ones, and as many in the colour of the soil: dusty, or of the same rock.
    """
    rest = recipe.stones_per_m2 - STONES_PER_M2
    places = _join(list(_layers(recipe, rect, "stone", rest, 1.7)))
    size = uniform(recipe.seed, "stone.size", *places[:2])
    lot = uniform(recipe.seed, "stone.kind", *places[:2])
    earthy = lot < 0.45
    laid = rocks(
        recipe.seed,
        "stone",
        np.where(earthy, CLOD, STONE),
        places,
        0.0035 + 0.028 * size * size * size,
        (0.55, 0.6),
        (0.1, 0.7),
        0.35,
    )
    # Stone at paleness 1 is nearly white, which is rare.
    return replace(
        laid,
        pale=laid.pale * laid.pale * laid.pale,
        bright=laid.bright * np.where(earthy, 1.05 + 1.7 * lot, 1.0),
    )


def _layers(
    recipe: FieldRecipe, rect: Rect, name: str, per_m2: float, drift_m: float
) -> Iterator[_Places]:
    """Places of each layer; the numbers of its cells are offset, so that none repeats another."""
    seed, layer = recipe.seed, 0
    chance = per_m2 * _CELL_M**2
    while chance > 0:
        i, j = cells(rect, _CELL_M)
        own = j + (layer + 1) * 10_000_019
        x = (i + uniform(seed, f"{name}.x", i, own)) * _CELL_M
        y = (j + uniform(seed, f"{name}.y", i, own)) * _CELL_M
        drift = min(chance, _FULL) * (1.0 + 0.9 * noise_at(seed, f"{name}.drift", x, y, drift_m))
        keep = rect.holds(x, y) & (uniform(seed, f"{name}.here", i, own) < drift)
        yield i[keep], own[keep], x[keep], y[keep]
        chance -= _FULL
        layer += 1


def _join(parts: list[_Places]) -> _Places:
    if not parts:
        none = np.zeros(0)
        return none.astype(np.int64), none.astype(np.int64), none, none
    i, j, x, y = (np.concatenate([part[k] for part in parts]) for k in range(4))
    return i, j, x, y
