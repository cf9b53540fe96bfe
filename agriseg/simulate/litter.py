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
from agriseg.simulate.spectra import CLOD, RESIDUE, STONE

__all__ = ["crumbs", "fibres", "more_stones", "more_straws", "pebbles"]

_CELL_M = 0.12
# Mean chance of a piece in a cell of a full layer; drifts and bare spots lie around it.
_FULL = 0.5

# A crumb of four millimetres is two pixels wide.
_CRUMBS_BELOW_M, _CRUMBS_PER_M2 = 0.005, 2500.0

# Fibres thinner than a tenth of a pixel are left to `cover`.
_FIBRES_BELOW_M, _FIBRES_PER_M2 = 0.008, 800.0

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


def fibres(recipe: FieldRecipe, rect: Rect) -> Blades:
    """Roots, split stalks and bits of leaf, thin and bent, most of them dark."""
    seed = recipe.seed
    per_m2 = _FIBRES_PER_M2 * recipe.debris if recipe.gsd_m < _FIBRES_BELOW_M else 0.0
    i, j, x, y = _join(list(_layers(recipe, rect, "fibre", per_m2, 0.4)))
    long = uniform(seed, "fibre.long", i, j)
    half = 0.0004 + 0.0011 * uniform(seed, "fibre.wide", i, j) ** 2
    laid = straw(recipe, (i, j, x, y), 0.004 + 0.034 * long * long * long, half)
    kind = uniform(seed, "fibre.kind", i, j)
    return replace(
        laid,
        material=np.where(kind > 0.9, STONE, RESIDUE),
        pale=np.where(kind < 0.75, 0.1, 0.5) * laid.pale,
        bright=laid.bright * np.where(kind < 0.75, 0.2 + 0.6 * kind, 0.8),
        base_m=laid.base_m * uniform(seed, "fibre.lies", i, j),
        bend=5.0 * laid.bend,
    )


def more_stones(recipe: FieldRecipe, rect: Rect) -> Rocks:
    """Stones with edges in `rect` beyond those of `shapes.stones`: much gravel, the odd cobble.

    Grey ones, few white ones, and as many in the colour of the soil: dusty, or of the same rock.
    """
    seed, places = recipe.seed, _stones(recipe, rect, rounded=False)
    lot = uniform(seed, "stone.kind", *places[:2])
    earthy = lot < 0.45
    material = np.where(earthy, CLOD, STONE)
    long = _stone_long(recipe, places)
    laid = rocks(seed, "stone", material, places, long, (0.55, 0.6), (0.1, 0.7), 0.35)
    material, pale = _stone_colours(recipe, places, material, laid.pale)
    bright = laid.bright * np.where(earthy, 1.05 + 1.7 * lot, 1.0)
    return replace(laid, material=material, pale=pale, bright=bright)


def pebbles(recipe: FieldRecipe, rect: Rect) -> Domes:
    """Round stones: part of all, where the soil is not just of its kind (`soil_variety`)."""
    places = _stones(recipe, rect, rounded=True)
    long = _stone_long(recipe, places)
    laid = domes(recipe, "stone", STONE, places, long, (0.55, 0.45), 0.3)
    material, pale = _stone_colours(recipe, places, laid.material, laid.pale)
    return replace(laid, material=material, pale=pale)


def _stones(recipe: FieldRecipe, rect: Rect, *, rounded: bool) -> _Places:
    """Places of the stones with edges, or of the round ones."""
    rest = recipe.stones_per_m2 - STONES_PER_M2
    if rounded and not recipe.soil_variety:
        return _join([])
    places = _join(list(_layers(recipe, rect, "stone", rest, 1.7)))
    if not recipe.soil_variety:
        return places
    # Rivers and ice have rounded the stones of some fields, and not those of others.
    share = 0.1 + 0.8 * float(uniform(recipe.seed, "stone.rounded", 0)[0])
    own = uniform(recipe.seed, "stone.round", *places[:2]) < share * recipe.soil_variety
    i, j, x, y = (part[own == rounded] for part in places)
    return i, j, x, y


def _stone_long(recipe: FieldRecipe, places: _Places) -> Floats:
    """Half the length of each stone, metres."""
    size = uniform(recipe.seed, "stone.size", *places[:2])
    return np.asarray(0.0035 + 0.028 * size * size * size)


def _stone_colours(
    recipe: FieldRecipe, places: _Places, material: Ints, pale: Floats
) -> tuple[Ints, Floats]:
    """Material and paleness of stones: ochre and white ones among the grey."""
    lot = uniform(recipe.seed, "stone.colour", *places[:2])
    other = (lot < 0.65 * recipe.soil_variety) & (material == STONE)
    # Straw and iron stain alike: residue is the nearest to ochre that there is.
    material = np.where(other & (lot < 0.35 * recipe.soil_variety), RESIDUE, material)
    # Stone at paleness 1 is nearly white, which is rare.
    return material, np.where(other, 0.3 + 0.7 * pale, pale * pale * pale)


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
