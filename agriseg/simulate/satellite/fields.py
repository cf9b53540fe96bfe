"""The fields of a landscape as polygons, with what grows there and how it stands on both dates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats
from agriseg.simulate.satellite.canopy import reflectance
from agriseg.simulate.satellite.frame import frame_bounds, to_xy
from agriseg.simulate.satellite.landuse import GRASS, LEGEND
from agriseg.simulate.satellite.lattice import across_lines, block_size, strip_lines
from agriseg.simulate.satellite.parcels import Leaf, Polygon, block_at, field_polygon
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.satellite.season import CALENDARS, state_on, traits_of
from agriseg.simulate.spectra import SENSORS
from agriseg.vector.files import PolygonBatch, write_polygons

__all__ = ["write_fields"]

# Fields that are made at a time; it fixes nothing, their order is that of the blocks.
_AT_ONCE: Final = 4096
# Straight edges of the frame bend on the map: vertices so far apart leave 0.2 m.
_VERTEX_M: Final = 75.0
# Corners of fields that the raster's edge cuts off are left out below this.
_LEAST_M2: Final = 1.0


def write_fields(recipe: SatelliteRecipe, path: Path) -> int:
    """Write each field, cut at the raster's edge; how many there are.

    Raises:
        OutputError: The file cannot be written.
    """
    return write_polygons(path, _batches(recipe), recipe.geobox.crs, layer="fields")


def _batches(recipe: SatelliteRecipe) -> Iterator[PolygonBatch]:
    count = 0
    batch = _batch(recipe, [], [], count)
    yield batch
    leaves: list[Leaf] = []
    polygons: list[Polygon] = []
    for leaf, polygon in _fields(recipe):
        leaves.append(leaf)
        polygons.append(polygon)
        if len(leaves) == _AT_ONCE:
            batch = _batch(recipe, leaves, polygons, count)
            count += len(batch.geometry)
            yield batch
            leaves, polygons = [], []
    yield _batch(recipe, leaves, polygons, count)


def _fields(recipe: SatelliteRecipe) -> Iterator[tuple[Leaf, Polygon]]:
    """All fields of blocks that can reach the raster, with their polygons in the frame."""
    u0, v0, u1, v1 = frame_bounds(recipe)
    long, high = block_size(recipe)
    first, strips = int(np.floor(v0 / high)) - 1, int(np.ceil((v1 - v0) / high)) + 4
    lane0, lanes = int(np.floor(u0 / long)) - 3, int(np.ceil((u1 - u0) / long)) + 6
    lines, _ = strip_lines(recipe, first, strips + 1)
    for k in range(strips):
        if lines[k + 1] < v0 or lines[k] > v1:
            continue
        across, _ = across_lines(recipe, first + k, lane0, lanes + 1)
        for m in range(lanes):
            if across[m + 1] < u0 or across[m] > u1:
                continue
            block = block_at(recipe, first + k, lane0 + m)
            for leaf in block.leaves:
                polygon = field_polygon(block, leaf) if leaf.use >= GRASS else []
                if polygon:
                    yield leaf, polygon


def _batch(
    recipe: SatelliteRecipe, leaves: list[Leaf], polygons: list[Polygon], count: int
) -> PolygonBatch:
    shapes, kept = _on_map(recipe, polygons)
    key = np.array([leaf.key for leaf in leaves], dtype=np.int64)[kept]
    use = np.array([leaf.use for leaf in leaves], dtype=np.int64)[kept]
    traits = traits_of(recipe.seed, key, use)
    names = np.array(LEGEND.names, dtype=object)
    sown = np.array([CALENDARS[k].sown if k in CALENDARS else np.nan for k in use.tolist()])
    columns: dict[str, NDArray[Any]] = {
        "field": np.arange(count + 1, count + 1 + len(key), dtype=np.int64),
        "class_id": use,
        "class_name": names[use],
        "area_m2": np.asarray(shapely.area(shapes), dtype=np.float64),
        "sown_day": np.round(sown + traits.late).astype(np.float64),
    }
    roles = [band.role for band in SENSORS[recipe.sensor]]
    for number, day in enumerate(recipe.dates, start=1):
        state = state_on(day, traits)
        columns[f"stage_{number}"] = state.stage
        columns[f"lai_{number}"] = state.green.round(3)
        if "nir" in roles:
            seen = reflectance(recipe, traits, state)
            red, nir = seen[:, roles.index("red")], seen[:, roles.index("nir")]
            columns[f"ndvi_{number}"] = ((nir - red) / (nir + red)).round(3)
    return PolygonBatch(shapes, columns)


def _on_map(
    recipe: SatelliteRecipe, polygons: list[Polygon]
) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Multipolygons in the CRS, cut at the raster's edge, and which of `polygons` they are."""
    shapes = np.array([shapely.polygons(polygon) for polygon in polygons], dtype=object)
    shapes = np.asarray(shapely.segmentize(shapes, _VERTEX_M), dtype=object)
    width, height = recipe.size_m

    def turn(uv: Floats) -> Floats:
        return np.stack(to_xy(recipe, uv[:, 0], uv[:, 1]), axis=1).round(2)

    shapes = np.asarray(shapely.transform(shapes, turn), dtype=object)
    frame = shapely.box(0.0, 0.0, width, height)
    cut = ~shapely.contains_properly(frame, shapes)
    shapes[cut] = shapely.intersection(shapes[cut], frame)
    kept = np.flatnonzero(shapely.area(shapes) >= _LEAST_M2)
    whole = np.empty(len(kept), dtype=object)
    whole[:] = [
        shapely.MultiPolygon([part for part in shapely.get_parts(shape) if part.area > 0])
        for shape in shapes[kept]
    ]

    def move(xy: Floats) -> Floats:
        return np.stack([recipe.left_m + xy[:, 0], recipe.top_m - xy[:, 1]], axis=1)

    # Turned over by the map's y, rings come back into the usual order.
    return np.asarray(shapely.normalize(shapely.transform(whole, move)), dtype=object), kept
