"""Closing, opening and rounding of areas with discs in metres, on cells of any form.

Cells without a class are no obstacle: where an area meets them, it neither grows into them nor is
eaten from them, as if it went on beyond. The same holds at the raster's edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["closed", "distance", "opened", "rounded", "without_holes"]

Bools = NDArray[np.bool_]
Size = tuple[float, float]


def closed(
    area: Bools, unknown: Bools, radius_m: float, rim_m: float, edge_m: float, size_m: Size
) -> Bools:
    """`area` with all gaps closed that no disc of `radius_m` fits into, grown by `rim_m`.

    Args:
        area: (h, w) cells.
        unknown: (h, w) cells without a class.
        radius_m: Metres.
        rim_m: Metres that are left standing around.
        edge_m: Strips as wide as this between the area and what is unknown are closed too.
        size_m: Width and height of a cell.
    """
    pad = _padding(radius_m, size_m)
    wide, free = _padded(area, pad), _padded(unknown, pad, True)
    reach = distance(~wide, size_m)
    grown = reach <= radius_m
    # What is unknown beside the area may be more of it.
    wide = grown | (free & (reach <= radius_m + edge_m))
    found = distance(wide, size_m) > max(radius_m - rim_m, 0.0)
    found &= reach <= radius_m + rim_m
    return np.asarray(_cut(found, pad) & ~unknown, bool) | (area & ~unknown)


def opened(area: Bools, unknown: Bools, radius_m: float, size_m: Size) -> Bools:
    """`area` without all that is narrower than a disc of `radius_m`."""
    pad = _padding(radius_m, size_m)
    wide, free = _padded(area, pad), _padded(unknown, pad, True)
    near = free & (distance(~wide, size_m) <= 2 * radius_m)
    core = distance(wide | near, size_m) > radius_m
    return np.asarray(_cut(distance(~core, size_m) <= radius_m, pad) & area, bool)


def rounded(area: Bools, unknown: Bools, sigma_m: float, size_m: Size) -> Bools:
    """`area` with small notches and teeth along its border evened out, inside what is known."""
    from scipy.ndimage import gaussian_filter

    sigma = [sigma_m / size for size in size_m[::-1]]
    known = (~unknown).astype(np.float32)
    share = gaussian_filter(area * known, sigma, mode="constant", truncate=3.0)
    whole = gaussian_filter(known, sigma, mode="constant", truncate=3.0)
    # Holes without a class that lie in the area belong to it.
    return np.asarray((share > 0.5 * whole) & (~unknown | area), bool)


def without_holes(area: Bools, cells: float) -> Bools:
    """`area` with all holes filled that have fewer than `cells` cells, known or not."""
    from scipy.ndimage import label

    outside = np.pad(~area, 1, constant_values=True)
    labels, count = label(outside, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    small = sizes < cells
    small[[0, labels[0, 0]]] = False
    return np.asarray(area | small[labels][1:-1, 1:-1], bool)


def _padding(radius_m: float, size_m: Size) -> tuple[int, int]:
    across, down = (int(np.ceil(2 * radius_m / size)) + 2 for size in size_m)
    return down, across


def _padded(cells: Bools, pad: tuple[int, int], value: bool = False) -> Bools:
    return np.pad(cells, ((pad[0],) * 2, (pad[1],) * 2), constant_values=value)


def _cut(cells: Bools, pad: tuple[int, int]) -> Bools:
    return cells[pad[0] : -pad[0], pad[1] : -pad[1]]


def distance(cells: Bools, size_m: Size) -> NDArray[np.float64]:
    """Metres from each of `cells` to the nearest that is none; infinite where all are."""
    from scipy.ndimage import distance_transform_edt

    if cells.all():
        return np.full(cells.shape, np.inf)
    return np.asarray(distance_transform_edt(cells, sampling=size_m[::-1]), np.float64)
