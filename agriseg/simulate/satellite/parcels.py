"""Blocks between lanes, cut into parcels: convex polygons by straight cuts, again and again.

First a block falls into a few groups, each with a direction of its own, then these into fields
that lie side by side. Every cell draws its numbers from a key of its own, so any window finds the
same parcels. All cells of a window are cut at once, round by round. Coordinates are those of
`frame`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats, cos_sin, hash_u32, noise_at, normal, uniform
from agriseg.simulate.satellite.frame import frame_grid
from agriseg.simulate.satellite.landuse import BUILT, CROP_SHARES, GRASS, HALF_M, KINDS, WOOD
from agriseg.simulate.satellite.lattice import Blocks, block_size
from agriseg.simulate.satellite.polygons import Convex, Index, clip, joined
from agriseg.simulate.satellite.recipe import SatelliteRecipe

__all__ = ["Lines", "Parcels", "cut_blocks", "inset", "is_wooded"]

Keys = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Cells larger than this times the median field are cut on; found by trial, so that the median
# field has the recipe's size. A group of fields is larger than this times the limit of its fields.
_CUT_ABOVE: Final = 2.55
_GROUP_ABOVE: Final = 5.0
# Spread of that limit (of its logarithm) from group to group and from cell to cell, and of forms.
_SPREAD: Final = (0.55, 0.38)
_FORMS: Final = 0.42
_PLOT_M2: Final = 16000.0
_ROUNDS: Final = 16
# Wood and village end where noise has a level: cells are cut along it if both parts have this size.
_LEAST_M2: Final = 700.0
# Lattices of these noises, metres, along the frame's u and v, and their weights.
_NOISES: Final = {
    "wood": ((2600.0, 2100.0, 1.0), (900.0, 800.0, 0.5), (340.0, 330.0, 0.26)),
    "village": ((1500.0, 850.0, 1.0), (420.0, 300.0, 0.6)),
}
_UNKNOWN: Final = -1


@dataclass(frozen=True)
class Lines:
    """What runs between parcels: `starts` and `ends` (lines, 2), `kind` numbers of `KINDS`."""

    starts: Floats
    ends: Floats
    kind: Index


@dataclass(frozen=True)
class Parcels:
    """Parcels, or cells on the way there; arrays (parcels,).

    Args:
        shapes: To the middle of the lines around them.
        key: 32 bits that their own random numbers come from.
        use: Class, a value of `LEGEND`.
        lean: Direction of the cuts, turns.
        limit: Square metres above which a cell is cut on.
        form: Length over width that is wished for.
        free: Whether a cell still falls into groups.
    """

    shapes: Convex
    key: Keys
    use: Index
    lean: Floats
    limit: Floats
    form: Floats
    free: Mask

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, at: Index | Mask) -> Self:
        return type(self)(*(getattr(self, f.name)[at] for f in fields(self)))


def _joined(parts: list[Parcels]) -> Parcels:
    first, *rest = (f.name for f in fields(Parcels))
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in rest)
    return Parcels(joined([getattr(part, first) for part in parts]), *arrays)


def cut_blocks(recipe: SatelliteRecipe, blocks: Blocks) -> tuple[Parcels, Lines]:
    """All parcels of blocks, and the lines between and around them."""
    cells = _whole(recipe, blocks)
    u0, v0, u1, v1 = blocks.rectangle.T
    lines = [
        Lines(np.stack([u0, v0], 1), np.stack([u1, v0], 1), blocks.sides[:, 1]),
        Lines(np.stack([u0, v0], 1), np.stack([u0, v1], 1), blocks.sides[:, 0]),
    ]
    cells = _farms(recipe, cells, lines)
    cells = _cut(recipe, cells, lines)
    left = 1.0 - recipe.settlement_share
    cells = _split(recipe, cells, "wood", WOOD, recipe.wood_share / left, lines)
    cells = _split(recipe, cells, "village", BUILT, recipe.settlement_share, lines)
    village = cells.use == BUILT
    plots = replace(
        cells[village],
        limit=np.full(int(village.sum()), 2.0 * _PLOT_M2),
        form=np.full(int(village.sum()), 1.6),
        free=np.zeros(int(village.sum()), dtype=bool),
    )
    farm = plots.shapes.area < _PLOT_M2
    plots = _cut(recipe, plots, lines, street=True)
    chance = uniform(recipe.seed, "plot", plots.key)
    green = (len(farm) > 0) & (plots.shapes.area > 0.3 * _PLOT_M2)
    use = np.where(green & (chance < 0.07), WOOD, np.where(green & (chance < 0.2), GRASS, BUILT))
    cells = _joined([cells[~village], replace(plots, use=use)])
    cells = replace(cells, use=_crops(recipe, cells))
    kinds = np.concatenate([line.kind for line in lines])
    wide = kinds != KINDS["edge"]
    starts, ends = (
        np.concatenate([getattr(line, name) for line in lines])[wide] for name in ("starts", "ends")
    )
    return cells, Lines(starts, ends, kinds[wide])


def inset(shapes: Convex) -> Convex:
    """Parcels without the lines around them; of size 0 where these leave nothing."""
    out, half = shapes, np.array(HALF_M)[shapes.edge]
    along = shapes.ends - shapes.corners
    length = np.sqrt((along**2).sum(axis=2))
    for k in range(shapes.corners.shape[1]):
        at = np.flatnonzero((shapes.size > k) & (half[:, k] > 0) & (length[:, k] > 0))
        du, dv = (along[at, k] / length[at, k, None]).T
        u, v = shapes.corners[at, k].T
        part, _, _ = clip(out[at], -dv, du, du * v - dv * u + half[at, k], 0)
        keep = np.ones(len(out), dtype=bool)
        keep[at] = False
        order = np.argsort(np.concatenate([np.flatnonzero(keep), at]), kind="stable")
        out = joined([out[keep], part])[order]
    return out


def is_wooded(recipe: SatelliteRecipe, places: Floats) -> Mask:
    """Whether points of the frame (points, 2) lie in a wood."""
    share = recipe.wood_share / (1.0 - recipe.settlement_share)
    return _rise(recipe, "wood", places) > _level(recipe, "wood", share)


def _whole(recipe: SatelliteRecipe, blocks: Blocks) -> Parcels:
    """Whole blocks as cells."""
    corners = np.stack([blocks.rectangle[:, [0, 2, 2, 0]], blocks.rectangle[:, [1, 1, 3, 3]]], -1)
    shapes = Convex(corners, np.full(len(corners), 4, dtype=np.intp), blocks.sides[:, [1, 2, 3, 0]])
    count, key = len(corners), blocks.key
    return Parcels(
        shapes,
        key,
        np.full(count, _UNKNOWN, dtype=np.intp),
        0.025 * normal(recipe.seed, "block.lean", key),
        np.full(count, recipe.field_ha * 1e4 * _CUT_ABOVE),
        np.full(count, recipe.elongation),
        np.ones(count, dtype=bool),
    )


def _farms(recipe: SatelliteRecipe, cells: Parcels, lines: list[Lines]) -> Parcels:
    """Some blocks have a farm in their upper left corner, at the crossing of two lanes."""
    seed, key = recipe.seed, cells.key
    with_farm = uniform(seed, "farm", key) < min(0.35, 8.0 * recipe.settlement_share)
    here = cells[with_farm]
    size = [60.0 + 80.0 * uniform(seed, f"farm.{k}", here.key) for k in (0, 1)]
    none, one = np.zeros(len(here)), np.ones(len(here))
    u, v = (here.shapes.corners[:, 0, k] + size[k] for k in (0, 1))
    left, right = _halves(seed, here, one, none, u, KINDS["edge"], lines)
    upper, lower = _halves(seed, left, none, one, v, KINDS["treeline"], lines)
    upper = replace(
        upper, use=np.full(len(upper), BUILT, dtype=np.intp), limit=one[: len(upper)] * np.inf
    )
    parts = _joined([cells[~with_farm], upper, lower, right])
    return parts[parts.shapes.size > 0]


def _cut(
    recipe: SatelliteRecipe, cells: Parcels, lines: list[Lines], street: bool = False
) -> Parcels:
    """Cut cells until they are small enough."""
    seed, done = recipe.seed, []
    for number in range(_ROUNDS):
        area, key = cells.shapes.area, cells.key
        spread = np.exp(_SPREAD[1] * normal(seed, "cut.limit", key)).round(9)
        large = area > cells.limit * (1.0 if street else spread)
        done.append(cells[~large])
        cells, area = cells[large], area[large]
        if len(cells) == 0:
            break
        if not street:
            cells = _grouped(recipe, cells, area)
        a, b, c = _line(seed, cells)
        chance = uniform(seed, "cut.kind", cells.key)
        if street:
            names, edges = ["street", "edge"], [0.5]
        elif number < 2:
            names, edges = ["track", "treeline", "hedge", "margin", "edge"], [0.22, 0.3, 0.33, 0.6]
        else:
            names, edges = ["hedge", "treeline", "margin", "edge"], [0.02, 0.07, 0.25]
        kinds = np.array([KINDS[name] for name in names])[np.searchsorted(edges, chance)]
        cells = _joined(list(_halves(seed, cells, a, b, c, kinds, lines)))
        cells = cells[cells.shapes.size > 0]
    else:
        done.append(cells)
    return _joined(done)


def _grouped(recipe: SatelliteRecipe, cells: Parcels, area: Floats) -> Parcels:
    """Cells that have become groups of fields get their own size, form and direction of fields."""
    seed, key = recipe.seed, cells.key
    fresh = cells.free & (area < _GROUP_ABOVE * recipe.field_ha * 1e4 * _CUT_ABOVE)
    size = np.exp(_SPREAD[0] * normal(seed, "group.size", key)).round(9)
    form = np.exp(_FORMS * normal(seed, "group.form", key)).round(9)
    turn = 0.028 * normal(seed, "group.lean", key)
    # Some lie across the others.
    turn = turn + np.where(uniform(seed, "group.over", key) < 0.45, 0.25, 0.0)
    return replace(
        cells,
        limit=np.where(fresh, cells.limit * size, cells.limit),
        form=np.where(fresh, np.maximum(cells.form * form, 1.0), cells.form),
        lean=np.where(fresh, cells.lean + turn, cells.lean),
        free=cells.free & ~fresh,
    )


def _line(seed: int, cells: Parcels) -> tuple[Floats, Floats, Floats]:
    """a, b, c of cuts such that the halves come near the form that is wished for."""
    key, (c, s) = cells.key, cos_sin(cells.lean)
    along0, along1, over0, over1 = cells.shapes.extent(c, s)
    long, high = np.maximum(along1 - along0, 1e-3), np.maximum(over1 - over0, 1e-3)
    # Fields are long along the direction of their group; what is not yet one is cut anyhow.
    wanted = np.where(cells.free, 1.5, cells.form)
    either = cells.free | (cells.use == BUILT)
    off = []
    for length, height in ((long / 2, high), (long, high / 2)):
        form = length / height
        form = np.where(either, np.maximum(form, 1.0 / form), form)
        off.append(np.maximum(form / wanted, wanted / form))
    across = off[0] <= off[1]
    room = np.where(cells.free, 0.28, 0.40)
    share = 0.5 + room * (uniform(seed, "cut.at", key) - 0.5)
    tilt = np.where(cells.free, 0.30, 0.05) * (uniform(seed, "cut.tilt", key) - 0.5)
    p = np.where(across, along0 + share * long, (along0 + along1) / 2)
    q = np.where(across, (over0 + over1) / 2, over0 + share * high)
    norm = np.sqrt(1.0 + tilt * tilt)
    n, m = np.where(across, 1.0, tilt) / norm, np.where(across, tilt, 1.0) / norm
    return n * c - m * s, n * s + m * c, n * p + m * q


def _halves(
    seed: int,
    cells: Parcels,
    a: Floats,
    b: Floats,
    c: Floats,
    kind: Index | int,
    lines: list[Lines],
) -> tuple[Parcels, Parcels]:
    """The parts of cells before and behind lines; adds the cuts to `lines`."""
    before, starts, ends = clip(cells.shapes, -a, -b, -c, kind)
    behind, _, _ = clip(cells.shapes, a, b, c, kind)
    lines.append(Lines(starts, ends, np.broadcast_to(np.asarray(kind, np.intp), (len(cells),))))
    keys = [hash_u32(seed, "half", cells.key, side).astype(np.int64) for side in (0, 1)]
    return (
        replace(cells, shapes=before, key=keys[0]),
        replace(cells, shapes=behind, key=keys[1]),
    )


def _split(
    recipe: SatelliteRecipe, cells: Parcels, name: str, use: int, share: float, lines: list[Lines]
) -> Parcels:
    """Give the land where a noise is high to a use, and cut the cells that it ends in."""
    level = _level(recipe, name, share)
    if math.isinf(level):
        return cells
    shapes = cells.shapes
    above = np.full(shapes.used.shape, -1.0)
    above[shapes.used] = _rise(recipe, name, shapes.corners[shapes.used]) - level
    there = np.take_along_axis(above, shapes.after, axis=1)
    crossing = ((above > 0) != (there > 0)) & shapes.used
    open_ = cells.use == _UNKNOWN
    mixed = np.flatnonzero(crossing.any(axis=1) & open_)
    whole = (_rise(recipe, name, shapes.middle) > level) & open_
    part = np.where(crossing, above / np.where(crossing, above - there, 1.0), 0.0)[..., None]
    met = (shapes.corners + (shapes.ends - shapes.corners) * part)[mixed]
    # Where the level is met on the outline: the first way in, the first way out.
    inward = (crossing & (above <= 0))[mixed].argmax(axis=1)
    outward = (crossing & (above > 0))[mixed].argmax(axis=1)
    row = np.arange(len(mixed))
    p, q = met[row, outward], met[row, inward]
    du, dv = (q - p).T
    length = np.sqrt(du * du + dv * dv)
    length[length == 0] = np.inf
    # Clockwise from `inward` to `outward` lies the land above the level.
    a, b = -dv / length, du / length
    c = a * p[:, 0] + b * p[:, 1]
    kind = KINDS["woodside" if use == WOOD else "edge"]
    outside, inside = _halves(recipe.seed, cells[mixed], a, b, c, kind, lines)
    enough = np.minimum(outside.shapes.area, inside.shapes.area) > _LEAST_M2
    cut = np.zeros(len(cells), dtype=bool)
    cut[mixed[enough]] = True
    rest = replace(cells, use=np.where(whole, use, cells.use))[~cut]
    inside = replace(inside, use=np.full(len(inside), use, dtype=np.intp))
    return _joined([rest, outside[enough], inside[enough]])


def _crops(recipe: SatelliteRecipe, cells: Parcels) -> Index:
    """Classes, for cells without one those of fields."""
    key = cells.key
    taken = recipe.wood_share + recipe.settlement_share
    is_grass = uniform(recipe.seed, "use.grass", key) < recipe.grass_share / (1.0 - taken)
    edges = np.cumsum(list(CROP_SHARES.values()))
    draw = uniform(recipe.seed, "use.crop", key) * edges[-1]
    place = np.minimum(np.searchsorted(edges, draw, side="right"), len(edges) - 1)
    fields_ = np.where(is_grass, GRASS, np.array(list(CROP_SHARES))[place])
    return np.where(cells.use == _UNKNOWN, fields_, cells.use)


def _rise(recipe: SatelliteRecipe, name: str, places: Floats) -> Floats:
    rise = np.zeros(len(places))
    scale = max(block_size(recipe)[0] / 1060.0, 0.5)
    u, v = (np.ascontiguousarray(places[:, k]) for k in (0, 1))
    for k, (along, over, weight) in enumerate(_NOISES[name]):
        rise += weight * noise_at(recipe.seed, f"{name}.{k}", u / along, v / over, scale)
    return rise


@lru_cache(maxsize=64)
def _level(recipe: SatelliteRecipe, name: str, share: float) -> float:
    """The height above which `share` of the scene lies."""
    if share <= 0.0:
        return math.inf
    rise = np.sort(_rise(recipe, name, frame_grid(recipe, 128)))
    return float(rise[min(int((1.0 - share) * len(rise)), len(rise) - 1)])
