"""The broken surface of rough ground: clods of every size, from crumbs to fists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from agriseg.simulate.cover import crust_at
from agriseg.simulate.noise import Floats, Ints, noise_at, smoothstep, uniform
from agriseg.simulate.plants import Rect, cells
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.rocks import Rocks, rocks
from agriseg.simulate.rows import track
from agriseg.simulate.shapes import Domes, domes
from agriseg.simulate.spectra import CLOD
from agriseg.simulate.stands import layout_of

__all__ = ["CLOD_MOST_M", "broken"]

CLOD_MOST_M = 0.05
"""Half the length of the largest clod, metres."""

# Half the length of the smallest clod; each class of sizes is so many times the one before. Every
# class covers about the same share of the ground: numbers fall with the square of the size.
_LEAST_M, _CLASS = 0.0018, 1.55
# Finer than pixels, clods would be noise.
_LEAST_PIXELS = 0.6
# Side of a cell, which holds one clod at most, in half lengths.
_CELL = 3.1


def broken(recipe: FieldRecipe, rect: Rect) -> Iterator[Rocks | Domes]:
    """Clods of each class of sizes whose middles lie in `rect` grown by what the class needs.

    Rain rounds clods: the more of the ground is crusted, the more are `Domes`.
    """
    rough = recipe.roughness
    if rough == 0:
        return
    least, number = _LEAST_M, 0
    largest = 0.007 + (CLOD_MOST_M - 0.007) * rough * rough
    while least < largest:
        if least > _LEAST_PIXELS * recipe.gsd_m:
            # The largest class is rare.
            share = min(1.0, 0.4 + 0.8 * rough) * min(1.0, 0.3 + 0.7 * (largest / least - 1.0))
            yield from _class(recipe, rect.grown(1.3 * _CLASS * least), number, least, share)
        least, number = _CLASS * least, number + 1


def _class(
    recipe: FieldRecipe, rect: Rect, number: int, least_m: float, share: float
) -> Iterator[Rocks | Domes]:
    seed, name, side = recipe.seed, f"broken.{number}", _CELL * least_m
    i, j = cells(rect, side)
    x = (i + uniform(seed, f"{name}.x", i, j)) * side
    y = (j + uniform(seed, f"{name}.y", i, j)) * side
    # Heaps beside smooth, crusted ground; fine crumbs lie everywhere.
    heaps = 0.55 * noise_at(seed, "broken.heap", x, y, 0.23)
    heaps += 0.45 * noise_at(seed, "broken.land", x, y, 1.1)
    heaps = smoothstep(0.5 + 1.3 * (heaps + 0.5 * (recipe.roughness - 0.5)))
    # A crumb that is lost in a heap still lies between its clods.
    fine = 0.012 / (0.012 + least_m)
    chance = share * (0.12 + 0.5 * fine + (0.83 - 0.5 * fine) * heaps)
    if recipe.crust:
        chance *= 1.0 - 0.88 * crust_at(recipe, x, y)
    keep = rect.holds(x, y) & (uniform(seed, f"{name}.here", i, j) < chance)
    i, j, x, y = i[keep], j[keep], x[keep], y[keep]
    keep = uniform(seed, f"{name}.smeared", i, j) > 0.85 * track(
        layout_of(recipe).wheel_distance(x, y)
    )
    i, j, x, y = i[keep], j[keep], x[keep], y[keep]
    long = least_m * (1.0 + (_CLASS - 1.0) * uniform(seed, f"{name}.size", i, j))
    if recipe.crust:
        washed = uniform(seed, f"{name}.washed", i, j) < min(recipe.crust, 0.75)
        some = np.flatnonzero(washed)
        yield _worn(recipe, name, (i[some], j[some], x[some], y[some]), long[some])
        i, j, x, y, long = i[~washed], j[~washed], x[~washed], y[~washed], long[~washed]
    kind = np.full(len(x), CLOD, dtype=np.int64)
    yield rocks(seed, name, kind, (i, j, x, y), long, (0.62, 1.0), (-0.1, 0.45), 0.5)


def _worn(
    recipe: FieldRecipe, name: str, places: tuple[Ints, Ints, Floats, Floats], long_m: Floats
) -> Domes:
    """Clods that rain has rounded and sunk."""
    laid = domes(recipe, name, CLOD, places, long_m, (0.62, 1.0), 0.3)
    stands = 0.4 + 0.7 * uniform(recipe.seed, f"{name}.sunk", *places[:2])
    return replace(laid, height_m=stands * laid.height_m, bright=1.5 * laid.bright - 0.5)
