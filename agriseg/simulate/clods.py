"""The broken surface of rough ground: clods of every size, from crumbs to fists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agriseg.simulate.noise import noise_at, smoothstep, uniform
from agriseg.simulate.plants import Rect, cells
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.rocks import Rocks, rocks
from agriseg.simulate.rows import track
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


def broken(recipe: FieldRecipe, rect: Rect) -> Iterator[Rocks]:
    """Clods of each class of sizes whose middles lie in `rect` grown by what the class needs."""
    rough = recipe.roughness
    if rough == 0:
        return
    least, number = _LEAST_M, 0
    largest = 0.007 + (CLOD_MOST_M - 0.007) * rough * rough
    while least < largest:
        if least > _LEAST_PIXELS * recipe.gsd_m:
            # The largest class is rare.
            share = min(1.0, 0.4 + 0.8 * rough) * min(1.0, 0.3 + 0.7 * (largest / least - 1.0))
            yield _class(recipe, rect.grown(1.3 * _CLASS * least), number, least, share)
        least, number = _CLASS * least, number + 1


def _class(recipe: FieldRecipe, rect: Rect, number: int, least_m: float, share: float) -> Rocks:
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
    keep = rect.holds(x, y) & (uniform(seed, f"{name}.here", i, j) < chance)
    i, j, x, y = i[keep], j[keep], x[keep], y[keep]
    keep = uniform(seed, f"{name}.smeared", i, j) > 0.85 * track(
        layout_of(recipe).wheel_distance(x, y)
    )
    i, j, x, y = i[keep], j[keep], x[keep], y[keep]
    long = least_m * (1.0 + (_CLASS - 1.0) * uniform(seed, f"{name}.size", i, j))
    kind = np.full(len(x), CLOD, dtype=np.int64)
    return rocks(seed, name, kind, (i, j, x, y), long, (0.62, 1.0), (-0.1, 0.45), 0.5)
