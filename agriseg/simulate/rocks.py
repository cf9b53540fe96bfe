"""Clods and stones with edges: blocks between a few planes, as ground breaks and stones split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats, Ints, cos_sin, normal, uniform
from agriseg.simulate.table import Table

__all__ = ["Rocks", "rock_surface", "rocks"]

Float32 = NDArray[np.float32]

# Planes around a block; one more lies on top.
_SIDES = 5
# How far off the middle a side stands, and how steep it falls, in half lengths of the block.
_OFF, _STEEP = (0.70, 0.28), (0.9, 2.6)
# Tilt of the top.
_TILT = 0.45


@dataclass(frozen=True)
class Rocks(Table):
    """Blocks, one a line: the highest points under some planes, long axis along (cx, cy).

    Metres throughout. `base_m` is how high its foot stands, below 0 for a block that is half
    buried. Plane k falls by `fall_a[:, k]` and `fall_b[:, k]` for a half length along and a half
    width across from `top[:, k]`, in heights of the block.
    """

    material: Ints
    x: Floats
    y: Floats
    cx: Floats
    cy: Floats
    long_m: Floats
    short_m: Floats
    height_m: Floats
    base_m: Floats
    round: Floats
    pale: Floats
    bright: Floats
    top: Floats
    fall_a: Floats
    fall_b: Floats


def rocks(
    seed: int,
    name: str,
    material: Ints,
    places: tuple[Ints, Ints, Floats, Floats],
    long_m: Floats,
    flat: tuple[float, float],
    buried: tuple[float, float],
    rounded: float,
) -> Rocks:
    """Blocks at `places`.

    Args:
        seed: The field's seed.
        name: Which blocks.
        material: Of each, `spectra.CLOD` or `STONE`.
        places: Two numbers of each, x and y in metres.
        long_m: Half their length.
        flat: Least width over length, and height over width.
        buried: Least and greatest share of the height that lies in the ground.
        rounded: 0 for sharp edges, 1 for a lump.
    """
    i, j, x, y = places
    cx, cy = cos_sin(uniform(seed, f"{name}.angle", i, j))
    width = flat[0] + (1.0 - flat[0]) * uniform(seed, f"{name}.width", i, j)
    height = long_m * width * flat[1]
    sunk = buried[0] + (buried[1] - buried[0]) * uniform(seed, f"{name}.sunk", i, j)
    side, own = np.arange(_SIDES), uniform(seed, f"{name}.shape", i, j)[:, None] * 2.0**31
    lot = own.astype(np.int64)
    askew = uniform(seed, f"{name}.side", lot, side)
    c, s = cos_sin((side + 0.75 * askew) / _SIDES)
    steep = _STEEP[0] + (_STEEP[1] - _STEEP[0]) * uniform(seed, f"{name}.steep", lot, side) ** 2
    off = _OFF[0] + _OFF[1] * uniform(seed, f"{name}.off", lot, side)
    tilt = [_TILT * (uniform(seed, f"{name}.tilt", lot, k) - 0.5) for k in (0, 1)]
    return Rocks(
        material=material,
        x=x,
        y=y,
        cx=cx,
        cy=cy,
        long_m=long_m,
        short_m=long_m * width,
        height_m=height,
        base_m=-sunk * height,
        round=np.full(len(x), rounded),
        pale=uniform(seed, f"{name}.pale", i, j),
        bright=1.0 + 0.13 * normal(seed, f"{name}.bright", i, j),
        top=np.concatenate([off * steep, np.ones_like(tilt[0])], axis=1),
        fall_a=np.concatenate([c * steep, tilt[0]], axis=1),
        fall_b=np.concatenate([s * steep, tilt[1]], axis=1),
    )


def rock_surface(
    rocks: Rocks, n: Ints, a: Float32, b: Float32
) -> tuple[Ints, Float32, Float32, Float32]:
    """Where samples meet blocks.

    Args:
        rocks: A batch of blocks.
        n: The block of each sample.
        a: Its distance from the block's middle along, in half lengths.
        b: Across, in half widths.

    Returns:
        The samples that a block covers; for each the height in heights of the block, 0 at the
        foot, and how the surface falls along and across.
    """
    planes = [
        [values[:, k].astype(np.float32) for values in (rocks.top, rocks.fall_a, rocks.fall_b)]
        for k in range(_SIDES + 1)
    ]
    top, fall_a, fall_b = planes[-1]
    fall_a, fall_b = fall_a.take(n), fall_b.take(n)
    height = top.take(n) - fall_a * a - fall_b * b
    for off, along, across in planes[:-1]:
        down_a, down_b = along.take(n), across.take(n)
        side = off.take(n) - down_a * a - down_b * b
        lower = side < height
        height = np.where(lower, side, height)
        fall_a, fall_b = np.where(lower, down_a, fall_a), np.where(lower, down_b, fall_b)
    inside = np.flatnonzero(height > 0)
    height, fall_a, fall_b = (v.take(inside) for v in (height, fall_a, fall_b))
    # Weathered edges: partly the slope of a lump.
    soft = rocks.round.astype(np.float32).take(n.take(inside))
    hard = np.float32(1) - soft
    soft *= np.float32(1.4)
    fall_a = hard * fall_a + soft * a.take(inside)
    fall_b = hard * fall_b + soft * b.take(inside)
    return inside, height, fall_a, fall_b
