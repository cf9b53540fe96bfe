"""Basins: a map of farmland falls apart into pieces, each around a place far from all boundaries.

Every pixel of farmland has a height: inside fields the distance to their edge, on boundaries the
negative distance to the nearest field. It belongs to that of its four neighbours, or itself, which
is highest (of equal ones the first in reading order), and so on upwards to a summit: a watershed in
the rain-falling form (Stoev & Strasser 2000, "Extracting regions of interest applying a local
watershed transformation"; Mortensen & Barrett 1999). Where two fields touch, their basins meet in
the middle of the boundary; where the boundary is broken, on the line across the gap.

A pixel's choice depends on its height and its neighbours' alone, and a height on what lies within
about `FAR` pixels alone. So it makes no difference in which strips all this is computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAR", "NO_FIELD", "Basins", "basins_of", "distances", "heights_of", "smoothed"]

FAR = 96
"""Distances are told apart up to here, in pixels: fields twice as wide are flat in their middle."""

NO_FIELD = -1
"""The number of pixels that are no farmland."""

# Heights are whole numbers of this part of a pixel.
_STEPS = 64
_OUTSIDE = np.iinfo(np.int16).min
# Standard deviation in pixels. Of simulated fields with 30 % of their boundaries missing, 81 % were
# found with 0, 86 % with 0.7, and 75 % with 1.5.
_RIPPLE = 0.7
# Pixels that are worked on at a time; it changes nothing.
_CHUNK = 1 << 22

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Basins:
    """The pieces of a map.

    Args:
        label: (h, w) int32, the basin of each pixel, or `NO_FIELD`; numbered by their summits in
            reading order.
        height: (h, w) int16.
        summit: (n,) the height of each basin's highest pixel; not above 0: all of it is boundary.
    """

    label: NDArray[np.int32]
    height: NDArray[np.int16]
    summit: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.summit)


def distances(inside: Bools, spacing: tuple[float, float], most: float) -> NDArray[np.float32]:
    """Distance of each pixel that is inside to the nearest one that is not, at most `most`.

    What lies beyond the raster counts as inside: a field does not end where the image does.

    Args:
        inside: (h, w).
        spacing: Height and width of a pixel.
        most: In the unit of `spacing`.
    """
    from scipy.ndimage import distance_transform_edt

    height, width = inside.shape
    found = np.empty((height, width), np.float32)
    # Whatever is nearer than `most` lies within so many rows.
    halo = math.ceil(most / spacing[0])
    rows = max(_CHUNK // max(width, 1), 2 * halo)
    for row in range(0, height, rows):
        first, end = max(row - halo, 0), min(row + rows + halo, height)
        part = inside[first:end]
        if part.all():
            found[row : row + rows] = most
            continue
        far = distance_transform_edt(part, sampling=spacing)
        np.minimum(far[row - first :][:rows], most, out=found[row : row + rows], casting="unsafe")
    return found


def heights_of(
    interior: Bools, farmland: Bools, spacing: tuple[float, float], reach: float
) -> NDArray[np.int16]:
    """Height of each pixel; boundaries that are farther than `reach` from any field are left out.

    Args:
        interior: (h, w) True where a pixel is field, and no boundary.
        farmland: (h, w) True where it is field or boundary.
        spacing: Height and width of a pixel, the smaller one 1.
        reach: In the unit of `spacing`.
    """
    height = np.full(interior.shape, _OUTSIDE, np.int16)
    away = distances(~interior, spacing, reach + 1)
    border = farmland & ~interior & (away <= reach)
    height[border] = np.rint(away[border] * -_STEPS)
    del away, border
    far = distances(interior, spacing, FAR)
    # Ripples along the middle of a field would make summits; the boundaries keep their heights.
    far = smoothed(far, _RIPPLE)
    height[interior] = np.rint(np.maximum(far[interior], 1 / _STEPS) * _STEPS)
    return height


def smoothed(values: NDArray[np.float32], pixels: float) -> NDArray[np.float32]:
    """Gaussian means of a plane (h, w), of `pixels` standard deviation; in place."""
    from scipy.ndimage import gaussian_filter

    height, width = values.shape
    halo = math.ceil(4 * pixels)
    rows = max(_CHUNK // max(width, 1), 2 * halo)
    above = values[:0].copy()
    for row in range(0, height, rows):
        part = np.concatenate([above, values[row : row + rows + halo]])
        kept = len(above)
        above = values[max(row + rows - halo, 0) : row + rows].copy()
        values[row : row + rows] = gaussian_filter(part, pixels)[kept : kept + rows]
    return values


def basins_of(height: NDArray[np.int16]) -> Basins:
    """Let every pixel run up to its summit."""
    rows, width = height.shape
    parent = _parents(height)
    flat = parent.ravel()
    # Each round doubles how far everybody has come.
    while True:
        moved = False
        for part in _chunks(flat.size):
            before = flat[part]
            after = flat[before]
            moved = moved or not np.array_equal(before, after)
            flat[part] = after
        if not moved:
            break
    land = height.ravel() != _OUTSIDE
    is_summit = land.copy()
    for part in _chunks(flat.size):
        is_summit[part] &= flat[part] == np.arange(part.start, part.stop)
    number = np.cumsum(is_summit, dtype=np.int32)
    number -= 1
    summit = height.ravel()[is_summit]
    for part in _chunks(flat.size):
        flat[part] = np.where(land[part], number[flat[part]], NO_FIELD)
    return Basins(parent.reshape(rows, width), height, summit)


def _chunks(size: int) -> list[slice]:
    return [slice(at, min(at + _CHUNK, size)) for at in range(0, size, _CHUNK)]


def _parents(height: NDArray[np.int16]) -> NDArray[np.int32]:
    """Flat index of the pixel that each one belongs to: one of its neighbours, or itself."""
    rows, width = height.shape
    parent = np.empty((rows, width), np.int32)
    step = max(_CHUNK // max(width, 1), 1)
    for row in range(0, rows, step):
        end = min(row + step, rows)
        # One row and column around, of which nobody becomes a part.
        around = np.full((end - row + 2, width + 2), _OUTSIDE, np.int16)
        low, high = max(row - 1, 0), min(end + 1, rows)
        around[low - row + 1 : high - row + 1, 1:-1] = height[low:high]
        here = np.arange(row * width, end * width, dtype=np.int32).reshape(-1, width)
        best, take = around[:-2, 1:-1].copy(), here - width
        # In reading order, and only what is higher: the first of equal ones.
        for values, index in (
            (around[1:-1, :-2], here - 1),
            (around[1:-1, 1:-1], here),
            (around[1:-1, 2:], here + 1),
            (around[2:, 1:-1], here + width),
        ):
            higher = values > best
            best[higher] = values[higher]
            take[higher] = index[higher]
        outside = height[row:end] == _OUTSIDE
        take[outside] = here[outside]
        parent[row:end] = take
    return parent
