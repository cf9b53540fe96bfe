"""From plants, clods, stones and straws to the shapes that are drawn: blades and domes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from agriseg.simulate.foliage import coloured, pinnate
from agriseg.simulate.forms import Form
from agriseg.simulate.leaf_detail import of_variety, skin, stalks, tinted
from agriseg.simulate.noise import Floats, Ints, cos_sin, noise_at, normal, uniform
from agriseg.simulate.plants import Plants, Rect, cells
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.spectra import CLOD, RESIDUE, STONE
from agriseg.simulate.stands import forms_of
from agriseg.simulate.table import Table

__all__ = [
    "STONES_PER_M2",
    "STRAW_PER_M2",
    "Blades",
    "Domes",
    "Leaves",
    "clods",
    "domes",
    "leaf_reach",
    "leaves",
    "stones",
    "straw",
    "straws",
]

# What one place a cell gives.
STONES_PER_M2, STRAW_PER_M2 = 0.6, 3.5


@dataclass(frozen=True)
class Blades(Table):
    """Leaves and straws, one a line: a strip from (x, y) along (cx, cy), arched and folded.

    Metres throughout; `rise_m` is the height of the arch's top above `base_m`, `peak` the share of
    the length at which it stands; `bend` is sideways metres at the tip for a metre of length.
    `plant` is the line of its plant in the table that it was made from, -1 for straws.
    """

    material: Ints
    plant: Ints
    x: Floats
    y: Floats
    cx: Floats
    cy: Floats
    length_m: Floats
    half_m: Floats
    petiole: Floats
    egg: Floats
    lobes: Floats
    lobe_depth: Floats
    phase: Floats
    base_m: Floats
    rise_m: Floats
    peak: Floats
    fold: Floats
    bend: Floats
    rib_m: Floats
    pale: Floats
    bright: Floats
    linear: Floats


@dataclass(frozen=True)
class Leaves(Blades):
    """Leaves with all that shows on them close up; see `leaf_detail.Skin`."""

    slant: Floats
    teeth: Floats
    tooth: Floats
    veins: Floats
    vein: Floats
    blotch: Floats
    dried: Floats
    eaten: Floats
    gloss: Floats
    tilt: Floats
    twist: Floats


@dataclass(frozen=True)
class Domes(Table):
    """Clods and stones, one a line: a lumpy half ellipsoid with its long axis along (cx, cy).

    `lumps` is how far its outline leaves the ellipse: 0 for a pebble, 0.6 for a broken clod.
    """

    material: Ints
    x: Floats
    y: Floats
    cx: Floats
    cy: Floats
    long_m: Floats
    short_m: Floats
    height_m: Floats
    phase: Floats
    lumps: Floats
    pale: Floats
    bright: Floats


def leaf_reach(recipe: FieldRecipe) -> float:
    """No leaf of the field reaches farther from its plant's middle, in sizes of the plant."""
    return max(form.reach for form in forms_of(recipe))


def _leaf_counts(recipe: FieldRecipe, plants: Plants) -> Ints:
    """How many leaves each plant has."""
    least, most = np.array([form.leaves for form in forms_of(recipe)]).T[:, plants.species]
    spread = most - least + 1
    extra = np.floor(uniform(recipe.seed, "plant.leaves", plants.key) * spread)
    return np.asarray(least + extra.astype(np.int64))


def leaves(recipe: FieldRecipe, plants: Plants) -> Blades:
    """All leaves of `plants`; the youngest of a plant, number 0, stands in its middle."""
    seed, forms = recipe.seed, forms_of(recipe)
    leaflets = np.array([form.leaflets for form in forms])[plants.species]
    count = _leaf_counts(recipe, plants)
    blades = count * leaflets
    plant = np.repeat(np.arange(len(plants)), blades)
    number = np.arange(len(plant)) - np.repeat(np.cumsum(blades) - blades, blades)
    leaf, part = np.divmod(number, leaflets[plant])
    key, row = plants.key[plant], plants.species[plant]
    of = {
        field.name: np.array([float(getattr(form, field.name)) for form in forms])[row]
        for field in fields(Form)
        if field.name != "leaves"
    }
    if recipe.plant_variety:
        of = of_variety(recipe, of, row, key)

    def chance(stream: str) -> Floats:
        return normal(seed, stream, key, number)

    age = (leaf + 0.5) / count[plant]
    turns = plants.angle[plant] + leaf * of["turn"] + of["unrest"] * chance("leaf.angle")
    # Leaflet 0 goes on as the stalk does, 1 and 2 stand off to its sides.
    cx, cy = cos_sin(turns + np.array([0.0, 0.22, -0.22])[np.minimum(part, 2)])
    size = plants.size_m[plant]
    length = size * (of["inner"] + (1.0 - of["inner"]) * age) * (1.0 + 0.11 * chance("leaf.long"))
    out = of["stalk"] * size * (0.25 + 0.75 * age)
    stem_x, stem_y = cos_sin(plants.angle[plant] + leaf * of["turn"])
    length = np.maximum(length * (1.0 - of["stalk"]), 0.012)
    grass, tall = of["linear"] > 0.5, size * of["height"]
    ratio = of["ratio"] * (1.0 + 0.12 * chance("leaf.wide"))
    # A grass blade keeps its width while it grows; a rosette's young leaves are short and wide.
    half = np.where(
        grass, of["blade_m"] + of["blade_share"] * size, length * ratio * (1.15 - 0.15 * age)
    )
    grown = Blades(
        material=plants.material[plant],
        plant=plant,
        x=plants.x[plant] + of["scatter"] * size * chance("leaf.x") + out * stem_x,
        y=plants.y[plant] + of["scatter"] * size * chance("leaf.y") + out * stem_y,
        cx=cx,
        cy=cy,
        length_m=length,
        half_m=half,
        petiole=of["petiole"] * (0.5 + 0.6 * age),
        egg=of["egg"] * (1.0 + 0.25 * chance("leaf.egg")),
        lobes=of["lobes"] * (1.0 + 0.15 * chance("leaf.lobes")),
        lobe_depth=of["lobe_depth"] * (1.0 + 0.25 * chance("leaf.depth")),
        phase=uniform(seed, "leaf.phase", key, number),
        base_m=0.012 + tall * 0.42 * (1.0 - age),
        rise_m=tall * (0.55 - 0.12 * age) * (1.0 + 0.2 * chance("leaf.rise")),
        peak=np.where(grass, of["peak"], 0.80 - 0.22 * age) + 0.04 * chance("leaf.peak"),
        fold=of["fold"] * (1.0 + 0.3 * chance("leaf.fold")) * (1.1 - 0.5 * age),
        bend=np.clip(of["bend"] * chance("leaf.bend"), -0.6, 0.6),
        rib_m=of["rib_m"] * (0.6 + 0.4 * age),
        pale=np.clip(
            plants.pale[plant] + 0.30 * (0.5 - age) + 0.07 * chance("leaf.pale"), 0.0, 1.0
        ),
        bright=1.0 + 0.07 * chance("leaf.bright"),
        linear=of["linear"],
    )
    if (of["pair_long"] > 0).any():
        grown = pinnate(seed, grown, of, part, key)
    grown = coloured(recipe, plants, grown, plant, leaf, age)
    if recipe.plant_variety:
        grown = tinted(recipe, plants, grown, plant, leaf, age)
    return _close_up(recipe, plants, grown, of, number, age) if recipe.leaf_detail else grown


def _close_up(
    recipe: FieldRecipe,
    plants: Plants,
    grown: Blades,
    of: Mapping[str, Floats],
    number: Ints,
    age: Floats,
) -> Leaves:
    """`grown` with what shows on leaves close up, and with the stalks that bear leaflets."""
    key = plants.key[grown.plant]
    depth = grown.lobe_depth
    cut = np.where(of["cut"] > 0, of["cut"] + 0.25 * (depth - of["lobe_depth"]), depth)
    columns: dict[str, Any] = {field.name: getattr(grown, field.name) for field in fields(Blades)}
    columns["lobe_depth"] = depth + recipe.leaf_detail * (np.minimum(cut, 0.95) - depth)
    close = Leaves(**columns, **skin(recipe, of, key, number, age).columns())
    first = np.flatnonzero((of["stalk"] > 0) & (number % np.maximum(of["leaflets"], 1) == 0))
    return close + stalks(close, plants, first) if len(first) else close


def straws(recipe: FieldRecipe, rect: Rect) -> Blades:
    """Pieces of stalk of the last crop in `rect`, up to `STRAW_PER_M2`; see `litter` for more."""
    seed, side = recipe.seed, 0.36
    i, j = cells(rect, side)
    x = (i + uniform(seed, "straw.x", i, j)) * side
    y = (j + uniform(seed, "straw.y", i, j)) * side
    drift = 0.45 + 0.5 * noise_at(seed, "straw.drift", x, y, 2.2)
    drift *= min(recipe.straw_per_m2 / STRAW_PER_M2, 1.0)
    keep = rect.holds(x, y) & (uniform(seed, "straw.here", i, j) < drift)
    i, j, x, y = i[keep], j[keep], x[keep], y[keep]
    long = uniform(seed, "straw.long", i, j)
    half = 0.005 + 0.005 * uniform(seed, "straw.wide", i, j)
    if recipe.roughness:
        # Stalks that a tool has broken and split.
        half *= 0.4
    return straw(recipe, (i, j, x, y), 0.03 + 0.13 * long * long, half)


def straw(
    recipe: FieldRecipe, places: tuple[Ints, Ints, Floats, Floats], length_m: Floats, half_m: Floats
) -> Blades:
    """Pieces of straw at `places`: two numbers of each, x and y in metres."""
    seed, (i, j, x, y) = recipe.seed, places
    cx, cy = cos_sin(uniform(seed, "straw.angle", i, j))
    ones = np.ones(len(x))
    return Blades(
        material=np.full(len(x), RESIDUE, dtype=np.int64),
        plant=np.full(len(x), -1),
        x=x,
        y=y,
        cx=cx,
        cy=cy,
        length_m=length_m,
        half_m=half_m,
        petiole=0.0 * ones,
        egg=0.0 * ones,
        lobes=ones,
        lobe_depth=0.0 * ones,
        phase=0.0 * ones,
        base_m=0.008 * ones,
        rise_m=0.004 * ones,
        peak=0.5 * ones,
        fold=-0.3 * ones,
        bend=0.08 * normal(seed, "straw.bend", i, j),
        rib_m=0.002 * ones,
        pale=uniform(seed, "straw.pale", i, j),
        bright=1.0 + 0.08 * normal(seed, "straw.bright", i, j),
        linear=ones,
    )


def clods(recipe: FieldRecipe, rect: Rect) -> Domes:
    """Clods of soil in `rect`, small ones everywhere and coarse ones where the seedbed is rough."""
    seed, side = recipe.seed, 0.12
    i, j = cells(rect, side)
    x = (i + uniform(seed, "clod.x", i, j)) * side
    y = (j + uniform(seed, "clod.y", i, j)) * side
    rough = 0.5 + 0.5 * noise_at(seed, "clod.rough", x, y, 3.7)
    keep = rect.holds(x, y) & (uniform(seed, "clod.here", i, j) < 0.15 + 0.75 * rough)
    i, j, x, y, rough = i[keep], j[keep], x[keep], y[keep], rough[keep]
    size = uniform(seed, "clod.size", i, j)
    long = 0.011 + 0.042 * size * size * size * (0.4 + 1.0 * rough)
    return domes(recipe, "clod", CLOD, (i, j, x, y), long, (0.55, 0.8))


def stones(recipe: FieldRecipe, rect: Rect) -> Domes:
    """Stones on the ground in `rect`, up to `STONES_PER_M2`; see `litter` for more."""
    seed, side = recipe.seed, 0.7
    i, j = cells(rect, side)
    x = (i + uniform(seed, "stone.x", i, j)) * side
    y = (j + uniform(seed, "stone.y", i, j)) * side
    chance = 0.3 * min(recipe.stones_per_m2 / STONES_PER_M2, 1.0)
    keep = rect.holds(x, y) & (uniform(seed, "stone.here", i, j) < chance)
    i, j, x, y = i[keep], j[keep], x[keep], y[keep]
    size = uniform(seed, "stone.size", i, j)
    return domes(recipe, "stone", STONE, (i, j, x, y), 0.014 + 0.03 * size * size, (0.5, 0.6))


def domes(
    recipe: FieldRecipe,
    name: str,
    material: int,
    places: tuple[Ints, Ints, Floats, Floats],
    long_m: Floats,
    flat: tuple[float, float],
    lumps: float = 0.6,
) -> Domes:
    """Domes at `places`; `flat` is least width over length, and height over width."""
    i, j, x, y = places
    cx, cy = cos_sin(uniform(recipe.seed, f"{name}.angle", i, j))
    width = flat[0] + (1.0 - flat[0]) * uniform(recipe.seed, f"{name}.width", i, j)
    return Domes(
        material=np.full(len(x), material, dtype=np.int64),
        x=x,
        y=y,
        cx=cx,
        cy=cy,
        long_m=long_m,
        short_m=long_m * width,
        height_m=long_m * width * flat[1],
        phase=uniform(recipe.seed, f"{name}.phase", i, j),
        lumps=np.full(len(x), lumps),
        pale=uniform(recipe.seed, f"{name}.pale", i, j),
        bright=1.0 + 0.07 * normal(recipe.seed, f"{name}.bright", i, j),
    )
