"""Which plants stand where: tables of instances, the same for every window that looks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from agriseg.simulate.crops import CROPS
from agriseg.simulate.noise import (
    Floats,
    Ints,
    cos_sin,
    hash_u32,
    noise_at,
    normal,
    smoothstep,
    uniform,
)
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.spectra import CROP, GRASS_WEED, LEAFY_WEED

__all__ = [
    "WHEEL_HALF_WIDTH_M",
    "Plants",
    "Rect",
    "Rows",
    "cells",
    "crop_plants",
    "field_plants",
    "largest_plant_m",
    "weed_plants",
]

# The rows swing to both sides of a straight line, as a driver steers.
_SWAY_M = 0.30
_SWAY_LENGTH_M = 9.0

# Weeds: one place a cell; the cell must be smaller than the mean distance in a dense patch.
_WEED_CELL_M = 0.2

_WEED_MOST_M = 0.25
# Least size of each kind in metres, and by how much the largest exceed it.
_WEED_SIZES_M = ((0.035, 0.135), (0.08, 0.17), (0.07, 0.18), (0.05, 0.18))

# Two wheels of a tractor, this far apart, in the passes' middle; a pass every so many rows.
_PASS_ROWS = 24
_PASS_FIRST_ROW = 13
_WHEELS_ROWS = 2
# Where rows stand closer than this the drill leaves room for the wheels: metres in place of rows.
_DRILLED_M = 0.3
_PASS_M, _PASS_FIRST_M, _WHEELS_M = 18.0, 9.75, 1.5
WHEEL_HALF_WIDTH_M = 0.19
"""Half the width of the track that a wheel leaves."""


@dataclass(frozen=True)
class Rect:
    """A rectangle in field coordinates, metres; y grows southwards."""

    left: float
    top: float
    right: float
    bottom: float

    def grown(self, metres: float) -> Rect:
        return Rect(
            self.left - metres, self.top - metres, self.right + metres, self.bottom + metres
        )

    def holds(self, x: Floats, y: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which of the points lie inside."""
        return (x >= self.left) & (x < self.right) & (y >= self.top) & (y < self.bottom)


@dataclass(frozen=True)
class Plants:
    """Plants, one a line: all arrays of one length, in an order that no window changes.

    Args:
        material: What the plant is (`spectra.CROP`, ...).
        species: Its form, an index into `crops.field_forms`: 0 the crop, then the weeds.
        x: Metres east of the field's upper left corner.
        y: Metres south of it.
        size_m: Reach of the longest leaves, metres.
        angle: Direction of the first leaf, in turns.
        pale: How pale it is, 0 (healthy) to 1.
        key: The plant's own number, from which its leaves are drawn. Few plants share one.
        stand: Which field of the scene it stands in, from 0.
        i: Its place along its row; the column of a weed's cell.
        j: Its row; that of a weed's cell.
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

    def __len__(self) -> int:
        return len(self.x)

    def take(self, which: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | Ints) -> Plants:
        """The plants marked in `which`, in the same order; or those numbered, in that order."""
        return Plants(*(getattr(self, field.name)[which] for field in fields(self)))

    @cached_property
    def identity(self) -> Ints:
        """A number above 0 for each plant, which no other plant of the scene has.

        16 bits for the field, one for weeds, 23 for either place: 84 km of plants 2 cm apart.
        """
        half = 1 << 22
        assert (np.abs(np.stack([self.i, self.j])) < half).all()
        assert ((self.stand >= 0) & (self.stand < 1 << 16)).all()
        kind = self.stand * 2 + (self.material != CROP)
        return np.asarray((kind << 46) + ((self.i + half) << 23) + (self.j + half))

    def __add__(self, other: Plants) -> Plants:
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Plants(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Rows:
    """The frame of the rows: u metres along them, v metres across, both bent with the sway."""

    recipe: FieldRecipe

    @property
    def axis(self) -> tuple[float, float]:
        """Unit vector along the rows, in field coordinates."""
        c, s = cos_sin(self.recipe.row_direction_deg / 360.0)
        return float(c), float(s)

    def sway(self, u: Floats) -> Floats:
        """Metres by which all rows lie to the side at `u`."""
        lines = np.zeros_like(u)
        return _SWAY_M * noise_at(self.recipe.seed, "rows.sway", u, lines, _SWAY_LENGTH_M)

    def to_uv(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        c, s = self.axis
        u = x * c + y * s
        return u, y * c - x * s - self.sway(u)

    def to_xy(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        c, s = self.axis
        across = v + self.sway(u)
        return u * c - across * s, u * s + across * c

    def ranges(self, rect: Rect) -> tuple[float, float, float, float]:
        """(least u, greatest u, least v, greatest v) that `rect` can hold."""
        c, s = self.axis
        corners = [(x, y) for x in (rect.left, rect.right) for y in (rect.top, rect.bottom)]
        us = [x * c + y * s for x, y in corners]
        vs = [y * c - x * s for x, y in corners]
        return min(us), max(us), min(vs) - _SWAY_M, max(vs) + _SWAY_M

    def wheel_distance(self, v: Floats) -> Floats:
        """Metres from the middle of the nearest wheel track; wheels run between the rows."""
        spacing = self.recipe.row_spacing_m
        pass_rows, first_row, wheels_rows = _PASS_ROWS, _PASS_FIRST_ROW, _WHEELS_ROWS
        if spacing < _DRILLED_M:
            lengths = (_PASS_M, _PASS_FIRST_M, _WHEELS_M)
            pass_rows, first_row, wheels_rows = (round(metres / spacing) for metres in lengths)
        period = pass_rows * spacing
        first = first_row * spacing
        distances = []
        for wheel in (0, wheels_rows):
            offset = (v - first - wheel * spacing) / period
            distances.append(np.abs(offset - np.floor(offset + 0.5)) * period)
        return np.minimum(distances[0], distances[1])


def cells(rect: Rect, side_m: float) -> tuple[Ints, Ints]:
    """Column and row numbers of all cells of `side_m` that touch `rect`, row by row."""
    columns = np.arange(np.floor(rect.left / side_m) - 1, np.ceil(rect.right / side_m) + 1)
    rows = np.arange(np.floor(rect.top / side_m) - 1, np.ceil(rect.bottom / side_m) + 1)
    i, j = np.meshgrid(columns.astype(np.int64), rows.astype(np.int64))
    return i.ravel(), j.ravel()


def field_plants(recipe: FieldRecipe, rect: Rect) -> Plants:
    """All plants that stand inside `rect`: the crop, then the weeds."""
    return crop_plants(recipe, rect) + weed_plants(recipe, rect)


def largest_plant_m(recipe: FieldRecipe) -> float:
    """Size that no plant of the field exceeds, metres."""
    return max(CROPS[recipe.crop].sizes[1] * recipe.plant_radius_m, _WEED_MOST_M)


def crop_plants(recipe: FieldRecipe, rect: Rect) -> Plants:
    """The crop plants inside `rect`, row after row."""
    seed, rows, crop = recipe.seed, Rows(recipe), CROPS[recipe.crop]
    u0, u1, v0, v1 = rows.ranges(rect)
    places = np.arange(np.floor(u0 / recipe.plant_spacing_m) - 2, u1 / recipe.plant_spacing_m + 2)
    lines = np.arange(np.floor(v0 / recipe.row_spacing_m) - 1, v1 / recipe.row_spacing_m + 1)
    grid = np.meshgrid(places.astype(np.int64), lines.astype(np.int64))
    j, k = grid[0].ravel(), grid[1].ravel()
    u = (j + 0.5 + crop.stray * normal(seed, "crop.along", j, k)) * recipe.plant_spacing_m
    v = (k + 0.5) * recipe.row_spacing_m + crop.aside_m * normal(seed, "crop.across", j, k)
    x, y = rows.to_xy(u, v)
    # Half of the gaps are single plants, half are runs of four: a blocked drill, a slug's night.
    stays = (1.0 - recipe.gap_share) ** 0.5
    keep = rect.holds(x, y) & (uniform(seed, "crop.gap", j, k) < stays)
    keep &= uniform(seed, "crop.run", j // 4, k) < stays
    keep &= rows.wheel_distance(v) > WHEEL_HALF_WIDTH_M
    j, k, x, y = j[keep], k[keep], x[keep], y[keep]
    vigour = noise_at(seed, "crop.vigour", x, y, 4.5)
    late = uniform(seed, "crop.late", j, k) < 0.08
    size = 1.0 + 0.17 * normal(seed, "crop.size", j, k) + 0.18 * vigour
    size = np.clip(np.where(late, 0.6 * size, size), *crop.sizes)
    pale = 0.22 - 0.20 * vigour + 0.09 * normal(seed, "crop.pale", j, k)
    return Plants(
        material=np.full(len(x), CROP, dtype=np.int64),
        species=np.zeros(len(x), dtype=np.int64),
        x=x,
        y=y,
        size_m=size * recipe.plant_radius_m,
        angle=uniform(seed, "crop.angle", j, k),
        pale=np.clip(pale, 0.0, 0.85),
        key=hash_u32(seed, "crop.key", j, k).astype(np.int64),
        stand=np.zeros(len(x), dtype=np.int64),
        i=j,
        j=k,
    )


def weed_plants(recipe: FieldRecipe, rect: Rect) -> Plants:
    """The weeds inside `rect`: a thin scatter everywhere, many in patches, none under wheels."""
    seed = recipe.seed
    i, j = cells(rect, _WEED_CELL_M)
    x = (i + uniform(seed, "weed.x", i, j)) * _WEED_CELL_M
    y = (j + uniform(seed, "weed.y", i, j)) * _WEED_CELL_M
    patch = 0.7 * noise_at(seed, "weed.patch", x, y, 2.6)
    patch = smoothstep((patch + 0.3 * noise_at(seed, "weed.clump", x, y, 0.8) - 0.1) / 0.4)
    chance = recipe.weeds_per_m2 * _WEED_CELL_M**2 * (0.35 + 2.6 * patch)
    keep = rect.holds(x, y) & (uniform(seed, "weed.here", i, j) < chance)
    i, j, x, y, patch = i[keep], j[keep], x[keep], y[keep], patch[keep]
    _, v = Rows(recipe).to_uv(x, y)
    alive = Rows(recipe).wheel_distance(v) > WHEEL_HALF_WIDTH_M * 1.2
    i, j, x, y, patch = i[alive], j[alive], x[alive], y[alive], patch[alive]
    kind = noise_at(seed, "weed.kind", x, y, 3.1) + 0.9 * uniform(seed, "weed.odd", i, j) - 0.45
    material = np.where(kind > 0.08, GRASS_WEED, LEAFY_WEED).astype(np.int64)
    grown = uniform(seed, "weed.size", i, j)
    grown = grown * grown * (0.75 + 0.25 * patch)
    species = np.where(material == GRASS_WEED, 2, 1)
    other = noise_at(seed, "weed.flora", x, y, 2.3) + 0.8 * uniform(seed, "weed.other", i, j) - 0.4
    for number, here in ((3, other > 0.12), (4, other < -0.12)):
        if number <= recipe.weed_kinds:
            species = np.where(here & (material == LEAFY_WEED), number, species)
    least, more = np.array(_WEED_SIZES_M)[species - 1].T
    size = least + more * grown
    pale = 0.25 + 0.16 * normal(seed, "weed.pale", i, j)
    return Plants(
        material=material,
        species=species.astype(np.int64),
        x=x,
        y=y,
        size_m=np.minimum(size, _WEED_MOST_M),
        angle=uniform(seed, "weed.angle", i, j),
        pale=np.clip(pale, 0.0, 0.9),
        key=hash_u32(seed, "weed.key", i, j).astype(np.int64),
        stand=np.zeros(len(x), dtype=np.int64),
        i=i,
        j=j,
    )
