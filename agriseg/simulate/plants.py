"""Which plants stand where: tables of instances, the same for every window that looks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.crops import CROPS
from agriseg.simulate.noise import (
    Floats,
    Ints,
    hash_u32,
    noise_at,
    normal,
    smoothstep,
    uniform,
)
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.rows import WHEEL_HALF_WIDTH_M, Rect
from agriseg.simulate.spectra import CROP, GRASS_WEED, LEAFY_WEED
from agriseg.simulate.stands import Stand, layout_of
from agriseg.simulate.table import Table

__all__ = [
    "Plants",
    "Rect",
    "cells",
    "crop_plants",
    "field_plants",
    "largest_plant_m",
    "margin_plants",
    "row_of",
    "weed_plants",
]

# Weeds: one place a cell; the cell must be smaller than the mean distance in a dense patch.
_WEED_CELL_M = 0.2
# More than their cells hold are a carpet of small ones, in cells of their own; beyond so many on a
# square metre fewer and fewer of the others have room.
_WEEDS_APART, _CARPET_CELL_M = 40.0, 0.03
# Their rows are numbered from here, so that none is called as one of the others.
_CARPET_FROM = 1 << 21

_WEED_MOST_M = 0.25
_FIRST_KINDS = 8
# Least size of each kind in metres, and by how much the largest exceed it.
_WEED_SIZES_M = (
    *((0.035, 0.135), (0.08, 0.17), (0.07, 0.18), (0.05, 0.18)),
    *((0.03, 0.09), (0.015, 0.045), (0.04, 0.12), (0.04, 0.16)),
    *((0.04, 0.17), (0.04, 0.18), (0.04, 0.15), (0.02, 0.08), (0.05, 0.16), (0.03, 0.10)),
)

# The grass of margins grows in tufts, one a cell, thinner here and there.
_TUFT_CELL_M = 0.12


@dataclass(frozen=True)
class Plants(Table):
    """Plants, one a line: all arrays of one length, in an order that no window changes.

    Args:
        material: What the plant is (`spectra.CROP`, ...).
        species: Its form, an index into `crops.field_forms`: 0 the crop, then the weeds.
        x: Metres east of the field's upper left corner.
        y: Metres south of it.
        size_m: Reach of the longest leaves, metres.
        angle: Direction of the first leaf, in turns.
        pale: How pale it is, 0 (healthy) to 1.
        key: The plant's own number, from which its leaves are drawn.
        stand: The stand that it grows in, a place in `stands.Layout.stands`; one more for margins.
        i: With `j`, `stand` and its being crop or not, what no other plant of the field has: its
            place in the row; for weeds the column of their cell.
        j: The row of its stand; for weeds the row of their cell.
    """

    material: Ints
    species: Ints
    x: Floats
    y: Floats
    size_m: Floats
    angle: Floats
    pale: Floats
    key: Ints
    stand: Ints
    i: Ints
    j: Ints

    @cached_property
    def identity(self) -> Ints:
        """A number above 0 for each plant, which no other plant of the scene has.

        16 bits for the stand, one for weeds, 23 for either place: 84 km of plants 2 cm apart.
        """
        half = 1 << 22
        assert (np.abs(np.stack([self.i, self.j])) < half).all()
        assert ((self.stand >= 0) & (self.stand < 1 << 16)).all()
        kind = self.stand * 2 + np.isin(self.material, (LEAFY_WEED, GRASS_WEED))
        return np.asarray((kind << 46) + ((self.i + half) << 23) + (self.j + half))


def cells(rect: Rect, side_m: float) -> tuple[Ints, Ints]:
    """Column and row numbers of all cells of `side_m` that touch `rect`, row by row."""
    columns = np.arange(np.floor(rect.left / side_m) - 1, np.ceil(rect.right / side_m) + 1)
    rows = np.arange(np.floor(rect.top / side_m) - 1, np.ceil(rect.bottom / side_m) + 1)
    i, j = np.meshgrid(columns.astype(np.int64), rows.astype(np.int64))
    return i.ravel(), j.ravel()


def field_plants(recipe: FieldRecipe, rect: Rect) -> Plants:
    """All plants that stand inside `rect`: the crops, the weeds, then the grass of margins."""
    plants = crop_plants(recipe, rect) + weed_plants(recipe, rect)
    if _weeds_here(recipe.weeds_per_m2, 1.0) * _WEED_CELL_M**2 > 1:
        plants += carpet_plants(recipe, rect)
    return plants if layout_of(recipe).endless else plants + margin_plants(recipe, rect)


def largest_plant_m(recipe: FieldRecipe) -> float:
    """Size that no plant of the field exceeds, metres."""
    stands = layout_of(recipe).stands
    return max(
        _WEED_MOST_M, *(CROPS[stand.crop].sizes[1] * stand.plant_radius_m for stand in stands)
    )


def row_of(recipe: FieldRecipe, plants: Plants) -> tuple[Ints, Floats]:
    """The nearest row of each plant's stand, as rows.gpkg counts them, and metres off its middle.

    In margins there are no rows: 0, and NaN.
    """
    row, off = np.zeros(len(plants), dtype=np.int64), np.full(len(plants), np.nan)
    for stand in layout_of(recipe).stands:
        here = plants.stand == stand.number
        if here.any():
            _, v = stand.rows.to_uv(plants.x[here], plants.y[here])
            row[here], off[here] = stand.rows.numbers(v)
            row[here] += stand.first_row
    return row, off


def crop_plants(recipe: FieldRecipe, rect: Rect) -> Plants:
    """The crop plants inside `rect`, stand after stand and row after row."""
    layout = layout_of(recipe)
    near = layout.near(rect)
    plants = _stand_plants(recipe, near[0] if near else layout.stands[0], rect)
    for stand in near[1:]:
        plants += _stand_plants(recipe, stand, rect)
    if layout.endless:
        return plants
    # A plant right on an edge belongs to the first stand, as in `Layout.at`.
    return plants.take(layout.at(plants.x, plants.y) == plants.stand)


def _stand_plants(recipe: FieldRecipe, stand: Stand, rect: Rect) -> Plants:
    """The crop plants of a stand inside `rect`, as if the stand had no end."""
    seed, rows, crop = stand.seed, stand.rows, CROPS[stand.crop]
    spacing = stand.plant_spacing_m
    u0, u1, v0, v1 = rows.ranges(stand.within(rect))
    lines = np.arange(np.floor(v0 / rows.spacing_m) - 1, v1 / rows.spacing_m + 1)
    # Outer arcs are longer, and bear more plants.
    ends = np.outer([u0, u1], rows.stretch(np.array([v0 - rows.spacing_m, v1 + rows.spacing_m])))
    room = 3 if recipe.broadcast else 2
    places = np.arange(np.floor(ends.min() / spacing) - room, ends.max() / spacing + room)
    grid = np.meshgrid(places.astype(np.int64), lines.astype(np.int64))
    j, k = grid[0].ravel(), grid[1].ravel()
    u = (j + 0.5 + crop.stray * normal(seed, "crop.along", j, k)) * spacing
    if rows.radius_m:
        u = u / rows.stretch(np.asarray((k + 0.5) * rows.spacing_m))
    v = (k + 0.5) * rows.spacing_m + crop.aside_m * normal(seed, "crop.across", j, k)
    if recipe.broadcast:
        u = u + recipe.broadcast * (uniform(seed, "crop.thrown", j, k) - 0.5) * spacing
        v = v + recipe.broadcast * (uniform(seed, "crop.cast", j, k) - 0.5) * rows.spacing_m
    x, y = rows.to_xy(u, v)
    # Half of the gaps are single plants, half are runs of four: a blocked drill, a slug's night.
    stays = (1.0 - stand.gap_share) ** 0.5
    keep = rect.holds(x, y) & (uniform(seed, "crop.gap", j, k) < stays)
    keep &= uniform(seed, "crop.run", j // 4, k) < stays
    j, k, x, y, v = j[keep], k[keep], x[keep], y[keep], v[keep]
    keep = stand.wheel_distance(x, y, v) > WHEEL_HALF_WIDTH_M
    j, k, x, y = j[keep], k[keep], x[keep], y[keep]
    vigour = noise_at(seed, "crop.vigour", x, y, 4.5)
    late = uniform(seed, "crop.late", j, k) < 0.08
    size = 1.0 + 0.17 * normal(seed, "crop.size", j, k) + 0.18 * vigour
    if recipe.patchiness:
        lush = noise_at(seed, "crop.lush", x, y, 7.0) + 0.4 * noise_at(seed, "crop.poor", x, y, 1.9)
        size += recipe.patchiness * (0.36 * lush + 0.12 * normal(seed, "crop.uneven", j, k))
        vigour += 0.8 * recipe.patchiness * lush
    size = np.clip(np.where(late, 0.6 * size, size), *crop.sizes)
    pale = 0.22 - 0.20 * vigour + 0.09 * normal(seed, "crop.pale", j, k)
    own = stand.material == CROP
    return Plants(
        material=np.full(len(x), stand.material, dtype=np.int64),
        species=np.full(len(x), 0 if own else recipe.weed_kinds + 1, dtype=np.int64),
        x=x,
        y=y,
        size_m=size * stand.plant_radius_m,
        angle=uniform(seed, "crop.angle", j, k),
        pale=np.clip(pale, 0.0, 0.85),
        key=hash_u32(seed, "crop.key", j, k).astype(np.int64),
        stand=np.full(len(x), stand.number, dtype=np.int64),
        i=j,
        j=k,
    )


def weed_plants(recipe: FieldRecipe, rect: Rect) -> Plants:
    """The weeds inside `rect`: a thin scatter everywhere, many in patches, none under wheels."""
    seed, layout = recipe.seed, layout_of(recipe)
    i, j = cells(rect, _WEED_CELL_M)
    x = (i + uniform(seed, "weed.x", i, j)) * _WEED_CELL_M
    y = (j + uniform(seed, "weed.y", i, j)) * _WEED_CELL_M
    patch, stand = _weed_patch(recipe, x, y), layout.at(x, y)
    weediness = layout.column("weediness", 0.0).astype(np.float64)[stand]
    chance = _apart(recipe) * weediness * _WEED_CELL_M**2 * (0.35 + 2.6 * patch)
    keep = rect.holds(x, y) & (uniform(seed, "weed.here", i, j) < chance)
    i, j, x, y, patch, stand = i[keep], j[keep], x[keep], y[keep], patch[keep], stand[keep]
    alive = layout.wheel_distance(x, y) > WHEEL_HALF_WIDTH_M * 1.2
    i, j, x, y, patch, stand = i[alive], j[alive], x[alive], y[alive], patch[alive], stand[alive]
    kind = noise_at(seed, "weed.kind", x, y, 3.1) * (1.0 - 0.7 * recipe.weed_mat)
    kind = kind + 0.9 * uniform(seed, "weed.odd", i, j) - 0.45
    grassy = kind > 0.08
    grown = uniform(seed, "weed.size", i, j)
    size = grown * grown * (0.75 + 0.25 * patch)
    size += recipe.weed_mat * (0.2 + 0.8 * grown - size)
    return _weeds(recipe, "weed", (i, j, x, y, stand), grassy, size)


def _weeds_here(mean: float, patch: Floats | float) -> Floats | float:
    """Weeds on a square metre in and between patches, where there are `mean` on the average."""
    return mean * (0.35 + 2.6 * patch)


def _apart(recipe: FieldRecipe) -> float:
    """Mean number of weeds on a square metre that are wanted in the wide cells."""
    apart = min(recipe.weeds_per_m2, _WEEDS_APART**2 / max(recipe.weeds_per_m2, 1.0))
    # In a mat all find room.
    room = min(recipe.weeds_per_m2, 1.0 / _WEED_CELL_M**2)
    return apart + recipe.weed_mat * (max(room, apart) - apart) if recipe.weed_mat else apart


def _weed_patch(recipe: FieldRecipe, x: Floats, y: Floats) -> Floats:
    """Where weeds stand close: 0 between patches, 1 inside."""
    patch = 0.7 * noise_at(recipe.seed, "weed.patch", x, y, 2.6)
    patch = smoothstep((patch + 0.3 * noise_at(recipe.seed, "weed.clump", x, y, 0.8) - 0.1) / 0.4)
    # As many on the whole where they stand evenly.
    return patch + recipe.weed_mat * (0.25 - patch) if recipe.weed_mat else patch


def carpet_plants(recipe: FieldRecipe, rect: Rect) -> Plants:
    """Weeds in `rect` beyond what the wide cells hold: most are small, and half are grasses."""
    seed, layout, side = recipe.seed, layout_of(recipe), _CARPET_CELL_M
    i, j = cells(rect, side)
    x = (i + uniform(seed, "carpet.x", i, j)) * side
    y = (j + uniform(seed, "carpet.y", i, j)) * side
    stand = layout.at(x, y)
    weediness = layout.column("weediness", 0.0).astype(np.float64)[stand]
    patch = _weed_patch(recipe, x, y)
    apart = _weeds_here(_apart(recipe), patch) * weediness
    chance = _weeds_here(recipe.weeds_per_m2, patch) * weediness
    chance = (chance - np.minimum(apart, 1.0 / _WEED_CELL_M**2)) * side**2
    keep = rect.holds(x, y) & (uniform(seed, "carpet.here", i, j) < chance)
    i, j, x, y, stand = i[keep], j[keep], x[keep], y[keep], stand[keep]
    alive = layout.wheel_distance(x, y) > WHEEL_HALF_WIDTH_M
    i, j, x, y, stand = i[alive], j[alive], x[alive], y[alive], stand[alive]
    kind = noise_at(seed, "carpet.kind", x, y, 0.9) + uniform(seed, "carpet.odd", i, j) - 0.5
    grown = uniform(seed, "carpet.size", i, j)
    places = (i, j + _CARPET_FROM, x, y, stand)
    size = 0.65 * grown * grown * grown
    size += recipe.weed_mat * (0.1 + 0.6 * grown - size)
    return _weeds(recipe, "carpet", places, kind > 0, size)


def margin_plants(recipe: FieldRecipe, rect: Rect) -> Plants:
    """The plants of margins inside `rect`: tufts of grass close together, a few herbs."""
    seed, layout = recipe.seed, layout_of(recipe)
    i, j = cells(rect, _TUFT_CELL_M)
    x = (i + uniform(seed, "tuft.x", i, j)) * _TUFT_CELL_M
    y = (j + uniform(seed, "tuft.y", i, j)) * _TUFT_CELL_M
    keep = rect.holds(x, y) & (layout.at(x, y) == layout.margin)
    i, j, x, y = i[keep], j[keep], x[keep], y[keep]
    lush = noise_at(seed, "tuft.lush", x, y, 2.1)
    keep = uniform(seed, "tuft.here", i, j) < 0.85 + 0.3 * lush
    keep &= layout.rut_distance(x, y) > WHEEL_HALF_WIDTH_M * 1.2
    i, j, x, y, lush = i[keep], j[keep], x[keep], y[keep], lush[keep]
    stand = np.full(len(x), layout.margin, dtype=np.int64)
    herb = 0.4 * noise_at(seed, "tuft.kind", x, y, 1.4) + uniform(seed, "tuft.odd", i, j)
    grown = uniform(seed, "tuft.size", i, j) * (0.7 + 0.3 * lush)
    return _weeds(recipe, "tuft", (i, j, x, y, stand), herb < 0.85, grown)


def _weeds(
    recipe: FieldRecipe,
    name: str,
    places: tuple[Ints, Ints, Floats, Floats, Ints],
    grassy: NDArray[np.bool_],
    grown: Floats,
) -> Plants:
    """Weeds in the cells and at the points `places` of stands; `grown` (0..1) gives their size."""
    seed = recipe.seed
    i, j, x, y, stand = places
    material = np.where(grassy, GRASS_WEED, LEAFY_WEED).astype(np.int64)
    species = np.where(grassy, 2, 1)
    other = noise_at(seed, f"{name}.flora", x, y, 2.3)
    other = other + 0.8 * uniform(seed, f"{name}.other", i, j) - 0.4
    for number, here in ((3, other > 0.12), (4, other < -0.12)):
        if number <= recipe.weed_kinds:
            species = np.where(here & ~grassy, number, species)
    form = uniform(seed, f"{name}.form", i, j)
    for number, here in (
        (5, grassy & (form < 0.6)),
        (6, ~grassy & (form < 0.4)),
        (7, ~grassy & (form > 0.8)),
        (8, grassy & (form > 0.45) & (form < 0.93)),
    ):
        if number <= recipe.weed_kinds:
            species = np.where(here, number, species)
    if recipe.weed_kinds > _FIRST_KINDS:
        species = _more_kinds(recipe, name, places, grassy, species)
    least, more = np.array(_WEED_SIZES_M)[species - 1].T
    size = least + more * grown
    if name != "tuft":
        size *= recipe.weed_size
    pale = 0.25 + 0.16 * normal(seed, f"{name}.pale", i, j)
    return Plants(
        material=material,
        species=species.astype(np.int64),
        x=x,
        y=y,
        size_m=np.minimum(size, _WEED_MOST_M),
        angle=uniform(seed, f"{name}.angle", i, j),
        pale=np.clip(pale, 0.0, 0.9),
        key=hash_u32(seed, f"{name}.key", i, j).astype(np.int64),
        stand=stand,
        i=i,
        j=j,
    )


def _more_kinds(
    recipe: FieldRecipe,
    name: str,
    places: tuple[Ints, Ints, Floats, Floats, Ints],
    grassy: NDArray[np.bool_],
    species: Ints,
) -> Ints:
    """`species` with the kinds beyond the first ones among them: each stands in groups."""
    i, j, x, y, _ = places
    kin = 0.5 * noise_at(recipe.seed, f"{name}.kin", x, y, 1.7)
    kin = kin + uniform(recipe.seed, f"{name}.kind", i, j)
    kin -= np.floor(kin)
    for number, least in ((9, 0.0), (10, 0.13), (11, 0.28), (12, 0.38), (14, 0.48), (13, 0.65)):
        if number <= recipe.weed_kinds:
            here = (kin >= least) & (kin < least + 0.13) & (grassy == (number == 13))
            species = np.where(here, number, species)
    return species
