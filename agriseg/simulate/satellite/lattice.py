"""The lattice of lanes: strips of land between lanes, parted into blocks as a wall into bricks.

Coordinates are those of `frame`. Each lane depends on the seed and its number only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats, hash_u32, uniform
from agriseg.simulate.satellite.frame import PUSH_M, turned_to_frame, turned_to_map
from agriseg.simulate.satellite.landuse import KINDS
from agriseg.simulate.satellite.polygons import Index
from agriseg.simulate.satellite.recipe import SatelliteRecipe

__all__ = ["Blocks", "block_size", "blocks_in"]

# A block holds about this many fields of median size.
_FIELDS_A_BLOCK: Final = 24
# Its length over its height.
_BLOCK_FORM: Final = 1.5
# How far a lane is off its place in the lattice at most, of the lattice's step.
_OFF_PLACE: Final = 0.38
# Trees and roads reach so far over the edge of their block, metres.
_REACH_M: Final = 40.0
# What lanes along and across are, and how often; most are no more than where fields end.
_ALONG: Final = {"stream": 0.11, "road": 0.27, "track": 0.30, "treeline": 0.10, "margin": 0.22}
_ACROSS: Final = {"road": 0.2, "track": 0.26, "hedge": 0.05, "treeline": 0.09, "edge": 0.4}


@dataclass(frozen=True)
class Blocks:
    """Blocks and the lanes around them.

    Args:
        rectangle: u0, v0, u1, v1, to the middle of the lanes, (blocks, 4).
        sides: What the lanes at u0, v0, u1, v1 are, numbers of `KINDS`, (blocks, 4).
        key: 32 bits each.
    """

    rectangle: Floats
    sides: Index
    key: NDArray[np.int64]


def block_size(recipe: SatelliteRecipe) -> tuple[float, float]:
    """(length, height) of a middling block, metres of the frame."""
    height = math.sqrt(recipe.field_ha * 1e4 * _FIELDS_A_BLOCK / _BLOCK_FORM)
    return height * _BLOCK_FORM, height


def blocks_in(recipe: SatelliteRecipe, x0: float, y0: float, x1: float, y1: float) -> Blocks:
    """All blocks that can reach a rectangle of the map, metres from the upper left corner."""
    long, high = block_size(recipe)
    reach = PUSH_M + _REACH_M
    x = np.array([x0 - reach, x1 + reach] * 2)
    y = np.array([y0 - reach] * 2 + [y1 + reach] * 2)
    us, vs = turned_to_frame(recipe, x, y)
    strip = np.arange(math.floor(vs.min() / high) - 1, math.ceil(vs.max() / high) + 1)
    lane = np.arange(math.floor(us.min() / long) - 3, math.ceil(us.max() / long) + 3)
    along, along_kind = _along(recipe, np.append(strip, strip[-1] + 1))
    across, across_kind = _across(recipe, strip[:, None], np.append(lane, lane[-1] + 1)[None])
    shape = len(strip), len(lane)
    v0, v1 = (np.broadcast_to(a[:, None], shape) for a in (along[:-1], along[1:]))
    rectangle = np.stack([across[:, :-1], v0, across[:, 1:], v1], axis=-1).reshape(-1, 4)
    top, bottom = (np.broadcast_to(a[:, None], shape) for a in (along_kind[:-1], along_kind[1:]))
    sides = np.stack([across_kind[:, :-1], top, across_kind[:, 1:], bottom], axis=-1)
    key = hash_u32(recipe.seed, "block", strip[:, None], lane[None]).astype(np.int64).ravel()
    u, v = rectangle[:, [0, 2, 2, 0]], rectangle[:, [1, 1, 3, 3]]
    mx, my = turned_to_map(recipe, u, v)
    near = (mx.max(axis=1) >= x.min()) & (mx.min(axis=1) <= x.max())
    near &= (my.max(axis=1) >= y.min()) & (my.min(axis=1) <= y.max())
    return Blocks(rectangle[near], sides.reshape(-1, 4)[near], key[near])


def _along(recipe: SatelliteRecipe, k: NDArray[np.int64]) -> tuple[Floats, Index]:
    """v of lanes along, and what they are; strip k lies between k and k + 1."""
    off = _OFF_PLACE * (2.0 * uniform(recipe.seed, "lane.off", k) - 1.0)
    kind = _drawn(_ALONG, uniform(recipe.seed, "lane.kind", k))
    return (k + off) * block_size(recipe)[1], kind


def _across(
    recipe: SatelliteRecipe, strip: NDArray[np.int64], m: NDArray[np.int64]
) -> tuple[Floats, Index]:
    """u of the lanes across strips, and what they are."""
    shift = uniform(recipe.seed, "across.shift", strip)
    off = _OFF_PLACE * (2.0 * uniform(recipe.seed, "across.off", strip, m) - 1.0)
    kind = _drawn(_ACROSS, uniform(recipe.seed, "across.kind", strip, m))
    return (m + shift + off) * block_size(recipe)[0], kind


def _drawn(shares: dict[str, float], chance: Floats) -> Index:
    """Numbers of `KINDS`, as often as `shares` says."""
    kinds = np.array([KINDS[name] for name in shares], dtype=np.intp)
    place = np.searchsorted(np.cumsum(list(shares.values())), chance, side="right")
    return kinds[np.minimum(place, len(kinds) - 1)]
