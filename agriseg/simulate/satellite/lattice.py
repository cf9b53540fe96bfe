"""The lattice of lanes: strips of land between lanes, parted into blocks as a wall into bricks.

Coordinates are those of `frame`. Each lane depends on the seed and its number only.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from agriseg.simulate.noise import Floats, uniform
from agriseg.simulate.satellite.recipe import SatelliteRecipe

__all__ = ["OFF_PLACE", "across_lines", "block_size", "strip_lines"]

# A block holds about this many fields of median size.
_FIELDS_A_BLOCK: Final = 30
# Its length over its height.
_BLOCK_FORM: Final = 1.7
OFF_PLACE: Final = 0.27
"""How far a lane is off its place in the lattice at most, of the lattice's step."""


def block_size(recipe: SatelliteRecipe) -> tuple[float, float]:
    """(length, height) of a middling block, metres of the frame."""
    height = math.sqrt(recipe.field_ha * 1e4 * _FIELDS_A_BLOCK / _BLOCK_FORM)
    return height * _BLOCK_FORM, height


def strip_lines(recipe: SatelliteRecipe, first: int, count: int) -> tuple[Floats, list[str]]:
    """v of the lanes from number `first`, and what they are; strip k lies between k and k + 1."""
    k = np.arange(first, first + count, dtype=np.int64)
    off = OFF_PLACE * (2.0 * uniform(recipe.seed, "lane.off", k) - 1.0)
    chance = uniform(recipe.seed, "lane.kind", k)
    kinds = ["stream" if p < 0.12 else "road" if p < 0.5 else "track" for p in chance]
    return (k + off) * block_size(recipe)[1], kinds


def across_lines(
    recipe: SatelliteRecipe, strip: int, first: int, count: int
) -> tuple[Floats, list[str]]:
    """u of the lanes across a strip from number `first`, and what they are."""
    m = np.arange(first, first + count, dtype=np.int64)
    shift = float(uniform(recipe.seed, "across.shift", strip)[0])
    off = OFF_PLACE * (2.0 * uniform(recipe.seed, "across.off", strip, m) - 1.0)
    chance = uniform(recipe.seed, "across.kind", strip, m)
    kinds = ["road" if p < 0.28 else "hedge" if p < 0.4 else "track" for p in chance]
    return (m + shift + off) * block_size(recipe)[0], kinds
