"""Blocks between lanes, cut into parcels: convex polygons by straight cuts, again and again.

A block is a binary tree of cuts; a parcel is a leaf of it. It depends on the seed and the block's
number only, so any window finds its parcels by itself. Coordinates are those of `frame`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, repeat
from typing import Final

import numpy as np

from agriseg.simulate.noise import Floats, hash_u32, noise_at, normal, uniform
from agriseg.simulate.satellite.frame import grid_of_scene
from agriseg.simulate.satellite.landuse import BUILT, CROP_SHARES, GRASS, LINES, WOOD
from agriseg.simulate.satellite.lattice import across_lines, block_size, strip_lines
from agriseg.simulate.satellite.recipe import SatelliteRecipe

__all__ = ["Block", "Cut", "Leaf", "Polygon", "area_of", "block_at", "field_polygon"]

Polygon = list[tuple[float, float]]

# Cells larger than this times the median field are cut on; found by trial, so that the median
# field has the recipe's size.
_CUT_ABOVE: Final = 2.05
# Spread of that limit (of its logarithm) from block to block and from cell to cell.
_SPREAD: Final = (0.35, 0.45)
_PLOT_M2: Final = 9000.0
# Nothing is cut deeper: 2^14 parcels of one block.
_DEEPEST: Final = 14
# Side of the lattice of the noise that woods and villages follow, metres.
_WOOD_M: Final = (1900.0, 610.0)
_VILLAGE_M: Final = (1300.0, 400.0)


@dataclass(frozen=True)
class Cut:
    """A line through a block: a u + b v = c with a^2 + b^2 = 1; `kind` is a key of `LINES`."""

    a: float
    b: float
    c: float
    kind: str


Path = tuple[tuple[Cut, int], ...]


@dataclass
class Leaf:
    """A parcel.

    Args:
        outline: The whole cell, to the middle of the lines around it.
        path: The cuts that made it, each with the side on which it lies, 1 or -1.
        key: 32 bits that its own random numbers come from.
        use: Its class, a value of `LEGEND`.
        farm: Whether it holds the buildings of a farm.
    """

    outline: Polygon
    path: Path
    key: int
    use: int = BUILT
    farm: bool = False


@dataclass
class Block:
    """A tree of cuts. A node >= 0 is a cut, a node < 0 is the leaf -1 - node.

    Args:
        rectangle: u0, v0, u1, v1, to the middle of the lanes around it.
        sides: What the lanes at u0, v0, u1, v1 are, keys of `LINES`.
        cuts: In no special order.
        below: For each cut the nodes on its side -1 and on its side 1.
        leaves: The parcels.
        root: The node of the whole block.
    """

    rectangle: tuple[float, float, float, float]
    sides: tuple[str, str, str, str]
    cuts: list[Cut] = field(default_factory=list)
    below: list[tuple[int, int]] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    root: int = -1


@lru_cache(maxsize=1024)
def block_at(recipe: SatelliteRecipe, strip: int, number: int) -> Block:
    """The block of a strip between its lanes `number` and `number` + 1."""
    (v0, v1), (top, bottom) = strip_lines(recipe, strip, 2)
    (u0, u1), (left, right) = across_lines(recipe, strip, number, 2)
    block = Block(
        (float(u0), float(v0), float(u1), float(v1)),
        (left, top, right, bottom),
    )
    key = int(hash_u32(recipe.seed, "block", strip, number)[0])
    cutter = _Cutter(recipe, key, block)
    block.root = cutter.begin()
    _use(recipe, block.leaves)
    cutter.cut_villages()
    return block


def field_polygon(block: Block, leaf: Leaf) -> Polygon:
    """The parcel without the lines around it; empty where they leave nothing."""
    (u0, v0, u1, v1), half = block.rectangle, [LINES[kind].half_m for kind in block.sides]
    u0, v0, u1, v1 = u0 + half[0], v0 + half[1], u1 - half[2], v1 - half[3]
    polygon = [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]
    for cut, side in leaf.path:
        edge = cut.c + side * LINES[cut.kind].half_m
        polygon = _side(polygon, cut.a, cut.b, edge, side)
        if len(polygon) < 3:
            return []
    return polygon


def area_of(polygon: Polygon) -> float:
    """Area of a polygon, square metres of the frame."""
    total = 0.0
    for (u0, v0), (u1, v1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        total += (u0 - polygon[0][0]) * (v1 - v0) - (u1 - u0) * (v0 - polygon[0][1])
    return abs(total) / 2.0


def _side(polygon: Polygon, a: float, b: float, c: float, side: int) -> Polygon:
    """The part of a convex polygon on one side of a line."""
    out: Polygon = []
    distance = [side * (a * u + b * v - c) for u, v in polygon]
    for k, here in enumerate(distance):
        before = distance[k - 1]
        if (here > 0) != (before > 0):
            part = before / (before - here)
            (u0, v0), (u1, v1) = polygon[k - 1], polygon[k]
            out.append((u0 + (u1 - u0) * part, v0 + (v1 - v0) * part))
        if here > 0:
            out.append(polygon[k])
    return out


class _Cutter:
    """Cuts one block."""

    def __init__(self, recipe: SatelliteRecipe, key: int, block: Block) -> None:
        self._recipe, self._key, self._block = recipe, key, block
        numbers = np.arange(1024, dtype=np.int64)
        # More than a block uses; behind them the middle, so that any block ends.
        self._draws = chain(uniform(recipe.seed, "cut", key, numbers).tolist(), repeat(0.5))
        self._bells = chain(normal(recipe.seed, "cut.size", key, numbers).tolist(), repeat(0.0))
        self._limit = recipe.field_ha * 1e4 * _CUT_ABOVE * self._spread(_SPREAD[0])
        self._lean = 0.22 * (next(self._draws) - 0.5)

    def begin(self) -> int:
        u0, v0, u1, v1 = self._block.rectangle
        outline = [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]
        if next(self._draws) >= min(0.45, 8.0 * self._recipe.settlement_share):
            return self._divide(outline, ())
        # A farm in the upper left corner, at the crossing of two lanes.
        draw = self._draws
        down = Cut(1.0, 0.0, u0 + 75.0 + 70.0 * next(draw), "edge")
        over = Cut(0.0, 1.0, v0 + 60.0 + 60.0 * next(draw), "margin")
        left, right = _side(outline, 1.0, 0.0, down.c, -1), _side(outline, 1.0, 0.0, down.c, 1)
        upper, lower = _side(left, 0.0, 1.0, over.c, -1), _side(left, 0.0, 1.0, over.c, 1)
        if min(len(upper), len(lower), len(right)) < 3:
            return self._divide(outline, ())
        farm = self._leaf(upper, ((down, -1), (over, -1)))
        self._block.leaves[-1].farm = True
        rest = self._divide(lower, ((down, -1), (over, 1)))
        return self._node(down, self._node(over, farm, rest), self._divide(right, ((down, 1),)))

    def cut_villages(self) -> None:
        """Part each parcel of a village into plots, with streets."""
        leaves = self._block.leaves
        for number in range(len(leaves)):
            leaf = leaves[number]
            if leaf.use != BUILT or leaf.farm or area_of(leaf.outline) < 2 * _PLOT_M2:
                continue
            first = len(leaves)
            self._limit = 2 * _PLOT_M2
            node = self._divide(leaf.outline, leaf.path, street=True)
            self._replace(-1 - number, node)
            for plot in leaves[first:]:
                chance = next(self._draws)
                plot.use = WOOD if chance < 0.07 else GRASS if chance < 0.25 else BUILT
            # No point finds it any more; `leaves` keeps its numbers.
            leaves[number] = Leaf([], (), leaf.key)

    def _replace(self, old: int, new: int) -> None:
        block = self._block
        if block.root == old:
            block.root = new
        for k, (minus, plus) in enumerate(block.below):
            if old in (minus, plus):
                block.below[k] = (new if minus == old else minus, new if plus == old else plus)

    def _divide(self, cell: Polygon, path: Path, street: bool = False) -> int:
        """Cut a cell until its parts are small enough; the node that stands for it."""
        limit = self._limit * self._spread(_SPREAD[1])
        if area_of(cell) < limit or len(path) >= _DEEPEST:
            return self._leaf(cell, path)
        cut = self._cut(cell, len(path), street)
        minus = _side(cell, cut.a, cut.b, cut.c, -1)
        plus = _side(cell, cut.a, cut.b, cut.c, 1)
        if len(minus) < 3 or len(plus) < 3:
            return self._leaf(cell, path)
        return self._node(
            cut,
            self._divide(minus, (*path, (cut, -1)), street),
            self._divide(plus, (*path, (cut, 1)), street),
        )

    def _cut(self, cell: Polygon, depth: int, street: bool) -> Cut:
        """A cut across a cell, such that its halves come near the usual form of a field."""
        us, vs = [u for u, _ in cell], [v for _, v in cell]
        long, high = max(us) - min(us), max(vs) - min(vs)
        draw = self._draws
        wanted = self._recipe.elongation * (0.6 + 0.8 * next(draw))
        # How far the form of half a cell would be off, cut across its length or its height.
        across = _off(long / 2, high, wanted) <= _off(long, high / 2, wanted)
        share = 0.36 + 0.28 * next(draw)
        tilt = self._lean + 0.10 * (next(draw) - 0.5)
        middle_u, middle_v = min(us) + share * long, min(vs) + share * high
        norm = math.sqrt(1.0 + tilt * tilt)
        a, b = (1.0 / norm, tilt / norm) if across else (-tilt / norm, 1.0 / norm)
        if across:
            middle_v = (min(vs) + max(vs)) / 2
        else:
            middle_u = (min(us) + max(us)) / 2
        chance = next(draw)
        if street:
            kind = "street" if chance < 0.55 else "edge"
        elif depth < 2:
            kind = "track" if chance < 0.4 else "margin" if chance < 0.7 else "edge"
        else:
            kind = "hedge" if chance < 0.025 else "margin" if chance < 0.3 else "edge"
        return Cut(a, b, a * middle_u + b * middle_v, kind)

    def _leaf(self, cell: Polygon, path: Path) -> int:
        leaves = self._block.leaves
        leaves.append(Leaf(cell, path, (self._key + len(leaves) * 2654435761) % 2**32))
        return -len(leaves)

    def _node(self, cut: Cut, minus: int, plus: int) -> int:
        self._block.cuts.append(cut)
        self._block.below.append((minus, plus))
        return len(self._block.cuts) - 1

    def _spread(self, width: float) -> float:
        return round(math.exp(width * next(self._bells)), 9)


def _off(one: float, other: float, wanted: float) -> float:
    form = max(one, other) / min(one, other)
    return max(form / wanted, wanted / form)


def _use(recipe: SatelliteRecipe, leaves: list[Leaf]) -> None:
    """Say what each parcel is used for."""
    key = np.array([leaf.key for leaf in leaves], dtype=np.int64)
    middle = np.array([np.mean(leaf.outline, axis=0) for leaf in leaves])
    taken = recipe.wood_share + recipe.settlement_share
    is_grass = uniform(recipe.seed, "use.grass", key) < recipe.grass_share / (1.0 - taken)
    edges = np.cumsum(list(CROP_SHARES.values()))
    crops = np.array(list(CROP_SHARES))
    draw = uniform(recipe.seed, "use.crop", key) * edges[-1]
    place = np.minimum(np.searchsorted(edges, draw, side="right"), len(crops) - 1)
    use = np.where(is_grass, GRASS, crops[place])
    # Woods take their share of what villages leave.
    wood = _rise(recipe, "wood", middle, _WOOD_M)
    village = _rise(recipe, "village", middle, _VILLAGE_M)
    left = 1.0 - recipe.settlement_share
    use[wood >= _level(recipe, "wood", recipe.wood_share / left)] = WOOD
    use[village >= _level(recipe, "village", recipe.settlement_share)] = BUILT
    for leaf, value in zip(leaves, use, strict=True):
        leaf.use = BUILT if leaf.farm else int(value)


def _rise(recipe: SatelliteRecipe, name: str, places: Floats, sizes: tuple[float, float]) -> Floats:
    rise = np.zeros(len(places))
    scale = max(block_size(recipe)[0] / 1060.0, 0.5)
    for k, (size, weight) in enumerate(zip(sizes, (1.0, 0.5), strict=True)):
        u, v = places[:, 0], places[:, 1]
        rise += weight * noise_at(recipe.seed, f"{name}.{k}", u, v, size * scale)
    return rise


@lru_cache(maxsize=64)
def _level(recipe: SatelliteRecipe, name: str, share: float) -> float:
    """The height above which `share` of the scene lies."""
    if share <= 0.0:
        return math.inf
    sizes = _WOOD_M if name == "wood" else _VILLAGE_M
    rise = np.sort(_rise(recipe, name, grid_of_scene(recipe, 96), sizes))
    return float(rise[min(int((1.0 - share) * len(rise)), len(rise) - 1)])
