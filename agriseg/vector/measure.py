"""Area and perimeter of polygons on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from agriseg.geobox import GeoBox
from agriseg.vector.ground import Ground
from agriseg.vector.rings import Rings, by_line, half_pixel_areas, sum_by_region, twice_areas
from agriseg.vector.smooth import Lines

__all__ = ["Measures", "measure", "measure_polygons", "placed"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measures:
    """Of each polygon, as it is drawn; NaN where the map has no CRS.

    Args:
        areas_m2: Square metres on the ground.
        perimeters_m: Metres on the ground along all its rings, holes too.
    """

    areas_m2: Floats
    perimeters_m: Floats


def measure(lines: Lines, rings: Rings, box: GeoBox, count: int) -> Measures:
    """Measure `count` regions by their lines, each of which is measured once."""
    if box.crs is None:
        return Measures(np.full(count, np.nan), np.full(count, np.nan))
    ground = Ground(box)

    def lengths(part: Lines) -> Floats:
        xy = placed(part.xy / 2, box.transform)
        steps = np.zeros(len(xy))
        steps[:-1] = ground.lengths(xy[:-1], xy[1:])
        steps[part.offsets[1:] - 1] = 0
        return np.add.reduceat(steps, part.offsets[:-1])

    def areas(part: Lines) -> Floats:
        flat = ground.flatten(placed(part.xy / 2, box.transform))
        return np.asarray(twice_areas(flat, part.offsets), np.float64)

    perimeters = sum_by_region(np.repeat(by_line(lines, lengths), 2), rings, count)
    if box.is_true_to_scale:
        # In whole half pixels, so exact.
        metre = float(box.crs.units_factor[1])
        pixel = abs(box.transform.determinant) * metre**2
        whole = sum_by_region(half_pixel_areas(lines), rings, count)
        return Measures(whole.astype(np.float64) * (pixel / 8), perimeters)
    return Measures(np.abs(sum_by_region(by_line(lines, areas), rings, count)) / 2, perimeters)


def measure_polygons(shapes: NDArray[np.object_], box: GeoBox) -> Measures:
    """Measure polygons (n,) in map coordinates."""
    if box.crs is None:
        return Measures(np.full(len(shapes), np.nan), np.full(len(shapes), np.nan))
    ground = Ground(box)
    parts = shapely.get_parts(shapes, return_index=True)
    rings, part_of = shapely.get_rings(parts[0], return_index=True)
    xy, ring_of = shapely.get_coordinates(rings, return_index=True)
    inside = ring_of[1:] == ring_of[:-1]
    steps = ground.lengths(xy[:-1], xy[1:])
    owner = parts[1][part_of][ring_of][:-1]
    along = np.bincount(owner[inside], steps[inside], minlength=len(shapes))
    perimeters: Floats = along.astype(np.float64)
    areas = shapely.area(shapely.transform(shapes, ground.flatten))
    return Measures(areas, perimeters)


def placed(xy: Floats, t: Affine) -> Floats:
    """Columns and rows (n, 2) on the map: the same for the same corner, to the last bit."""
    found = np.empty_like(xy)
    found[:, 0] = t.c + t.a * xy[:, 0] + t.b * xy[:, 1]
    found[:, 1] = t.f + t.d * xy[:, 0] + t.e * xy[:, 1]
    return found
