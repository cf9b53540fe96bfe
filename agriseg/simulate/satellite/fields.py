"""The fields of a landscape as polygons, with what grows there and how it stands on both dates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats
from agriseg.simulate.satellite.canopy import reflectance
from agriseg.simulate.satellite.frame import PUSH_M, turned_to_map
from agriseg.simulate.satellite.landscape import outlines
from agriseg.simulate.satellite.landuse import GRASS, LEGEND
from agriseg.simulate.satellite.lattice import Blocks, block_size, blocks_in
from agriseg.simulate.satellite.parcels import Parcels, cut_blocks, inset
from agriseg.simulate.satellite.polygons import Index
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.satellite.season import CALENDARS, state_on, traits_of
from agriseg.simulate.spectra import SENSORS
from agriseg.threads import in_threads
from agriseg.vector.files import PolygonBatch, write_polygons

__all__ = ["write_fields"]

# Blocks that are cut at a time; it fixes nothing.
_AT_ONCE: Final = 256
# Corners of fields that the raster's edge cuts off are left out below this.
_LEAST_M2: Final = 1.0


def write_fields(recipe: SatelliteRecipe, path: Path, threads: int) -> int:
    """Write each field, cut at the raster's edge; how many there are.

    Raises:
        OutputError: The file cannot be written.
    """
    return write_polygons(path, _batches(recipe, threads), recipe.geobox.crs, layer="fields")


def _batches(recipe: SatelliteRecipe, threads: int) -> Iterator[PolygonBatch]:
    count = 0
    for _, batch in in_threads(lambda b: _batch(recipe, b), _blocks(recipe), threads, "fields"):
        number = np.arange(count + 1, count + 1 + len(batch.geometry), dtype=np.int64)
        count += len(number)
        yield PolygonBatch(batch.geometry, {"field": number, **batch.columns})


def _blocks(recipe: SatelliteRecipe) -> Iterator[Blocks]:
    """All blocks of the raster, each once: in bands from north to south."""
    width, height = recipe.size_m
    step = 2.0 * sum(block_size(recipe))
    top = -PUSH_M - step
    while top < height + PUSH_M + step:
        blocks = blocks_in(recipe, 0.0, top, width, top + step)
        _, y = turned_to_map(recipe, *blocks.rectangle[:, :2].T)
        at = np.flatnonzero((y >= top) & (y < top + step))
        for first in range(0, len(at), _AT_ONCE):
            some = at[first : first + _AT_ONCE]
            yield Blocks(blocks.rectangle[some], blocks.sides[some], blocks.key[some])
        top += step


def _batch(recipe: SatelliteRecipe, blocks: Blocks) -> PolygonBatch:
    parcels, _ = cut_blocks(recipe, blocks)
    parcels = parcels[parcels.use >= GRASS]
    parcels = replace(parcels, shapes=inset(parcels.shapes))
    parcels = parcels[parcels.shapes.size > 0]
    shapes, kept = _on_map(recipe, parcels)
    key, use = parcels.key[kept], parcels.use[kept].astype(np.int64)
    traits = traits_of(recipe.seed, key, use)
    names = np.array(LEGEND.names, dtype=object)
    sown = np.array([CALENDARS[k].sown if k in CALENDARS else np.nan for k in use.tolist()])
    columns: dict[str, NDArray[Any]] = {
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


def _on_map(recipe: SatelliteRecipe, parcels: Parcels) -> tuple[NDArray[np.object_], Index]:
    """Multipolygons in the CRS, cut at the raster's edge, and which of `parcels` they are."""
    points, count = outlines(recipe, parcels.shapes)
    owner = np.repeat(np.arange(len(count)), count)
    width, height = recipe.size_m
    first = np.cumsum(count) - count
    x, y = points.T
    inside = np.ones(len(count), dtype=bool)
    near = np.ones(len(count), dtype=bool)
    if len(count):
        low_x, high_x = np.minimum.reduceat(x, first), np.maximum.reduceat(x, first)
        low_y, high_y = np.minimum.reduceat(y, first), np.maximum.reduceat(y, first)
        near = (high_x > 0) & (low_x < width) & (high_y > 0) & (low_y < height)
        inside = (low_x >= 0) & (high_x <= width) & (low_y >= 0) & (high_y <= height)
    number = np.cumsum(near) - 1
    used = near[owner]
    rings = shapely.linearrings(points[used].round(2), indices=number[owner[used]])
    shapes = np.asarray(shapely.polygons(rings), dtype=object)
    cut = ~inside[near]
    shapes[cut] = shapely.intersection(shapes[cut], shapely.box(0.0, 0.0, width, height))
    large = shapely.area(shapes) >= _LEAST_M2
    parts, whole = shapely.get_parts(shapes[large], return_index=True)
    flat = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    multi = np.asarray(shapely.multipolygons(parts[flat], indices=whole[flat]), dtype=object)

    def move(xy: Floats) -> Floats:
        return np.stack([recipe.left_m + xy[:, 0], recipe.top_m - xy[:, 1]], axis=1)

    # Turned over by the map's y, rings come back into the usual order.
    moved = np.asarray(shapely.normalize(shapely.transform(multi, move)), dtype=object)
    return moved, np.flatnonzero(near)[large]
