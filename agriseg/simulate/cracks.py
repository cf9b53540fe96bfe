"""Cracks of dried ground: the borders of a net of cells, wide ones and fine ones between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats, noise_grid, smoothstep, uniform
from agriseg.simulate.recipe import FieldRecipe

__all__ = ["crack_light"]

Float32 = NDArray[np.float32]

# Side of a cell and greatest width of a crack, metres.
_NETS = ((0.19, 0.008), (0.062, 0.003))
_ROWS = 64


def crack_light(recipe: FieldRecipe, xs: Floats, ys: Floats) -> Float32:
    """Share of the light that comes back from the ground between and in cracks.

    Args:
        recipe: The field.
        xs: x of the columns, metres.
        ys: y of the rows, metres.

    Returns:
        (height, width).
    """
    out = np.ones((len(ys), len(xs)), dtype=np.float32)
    for number, (cell, widest) in enumerate(_NETS):
        if widest * recipe.cracks < 0.1 * recipe.gsd_m:
            continue  # a tenth of a pixel is seen as a little less light, if at all
        for start in range(0, len(ys), _ROWS):
            part = slice(start, start + _ROWS)
            out[part] *= _net(recipe, xs, ys[part], number, cell, widest)
    return out


def _net(
    recipe: FieldRecipe, xs: Floats, ys: Floats, number: int, cell_m: float, widest_m: float
) -> Float32:
    seed, name, gsd = recipe.seed, f"cracks.{number}", recipe.gsd_m
    # Cracks run ragged.
    warp = [noise_grid(seed, f"{name}.{axis}", xs, ys, 0.31 * cell_m) for axis in "xy"]
    u = (xs / cell_m)[None, :] + 0.16 * warp[0]
    v = (ys / cell_m)[:, None] + 0.16 * warp[1]
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    i0, j0 = int(i.min()) - 1, int(j.min()) - 1
    columns = np.arange(i0, int(i.max()) + 2)
    rows = np.arange(j0, int(j.max()) + 2)[:, None]
    at_x = columns + uniform(seed, f"{name}.at.x", columns[None, :], rows)
    at_y = rows + uniform(seed, f"{name}.at.y", columns[None, :], rows)
    flat = (j - j0) * len(columns) + (i - i0)
    near = np.full(u.shape, np.inf)
    next_near = np.full(u.shape, np.inf)
    for dj in (-1, 0, 1):
        for di in (-1, 0, 1):
            here = flat + (dj * len(columns) + di)
            du, dv = u - at_x.take(here), v - at_y.take(here)
            far = du * du + dv * dv
            np.minimum(next_near, np.maximum(near, far), out=next_near)
            np.minimum(near, far, out=near)
    # Half the difference is the distance from the border, nearly.
    aside = (0.5 * cell_m) * (np.sqrt(next_near) - np.sqrt(near))
    drawn = noise_grid(seed, f"{name}.open", xs, ys, 1.6 * cell_m).astype(np.float64)
    opened = smoothstep(0.9 * drawn + 1.4 * recipe.cracks - 0.1)
    width = widest_m * recipe.cracks * opened
    inside = np.clip((0.5 * width - aside) / gsd + 0.5, 0.0, np.minimum(width / gsd, 1.0))
    return np.asarray(1.0 - 0.88 * inside, dtype=np.float32)
