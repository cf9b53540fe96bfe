"""What is true of a simulated field besides its labels and plants: rows, outline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray

from agriseg.legend import NODATA
from agriseg.simulate.field import LEGEND
from agriseg.simulate.plants import Rect, Rows
from agriseg.simulate.rasters import CACHE_BYTES
from agriseg.simulate.recipe import FieldRecipe
from agriseg.vector.files import PolygonBatch, write_polygons

__all__ = ["Truth", "write_truth"]

# The outline is put together from parts of so many rows.
_PART_ROWS = 512
# Distance of the vertices of a row; rows bend over metres.
_VERTEX_M = 0.25
# Vertices of the rows that are cut at the outline at one time.
_VERTICES = 1 << 18


@dataclass(frozen=True)
class Truth:
    """What was written: the number of rows, pixels of each class by name."""

    rows: int
    pixels: dict[str, int]


def write_truth(recipe: FieldRecipe, labels: Path, folder: Path) -> Truth:
    """Write rows.gpkg and field.gpkg.

    Args:
        recipe: The field.
        labels: Its labels, as `rasters.write_rasters` wrote them; read strip by strip.
        folder: Where the files go.

    Raises:
        OutputError: A file cannot be written.
    """
    crs = recipe.geobox.crs
    outline, pixels = _outline(recipe, labels)
    area = np.array([shapely.area(outline) * recipe.gsd_m**2])
    squares = {f"{n}_m2": np.array([pixels[n] * recipe.gsd_m**2]) for n in LEGEND.names}
    field = PolygonBatch(_on_map(recipe, [outline]), {"area_m2": area, **squares})
    write_polygons(folder / "field.gpkg", [field], crs, layer="field")
    rows = write_polygons(folder / "rows.gpkg", _rows(recipe, outline), crs, layer="rows")
    return Truth(rows, pixels)


def _on_map(recipe: FieldRecipe, pixels: object) -> NDArray[np.object_]:
    """Shapes from pixels to the map."""
    a, b, c, d, e, f = recipe.geobox.transform[:6]
    assert b == d == 0

    def turn(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([c + a * xy[:, 0], f + e * xy[:, 1]], axis=1)

    return np.asarray(shapely.transform(np.asarray(pixels, dtype=object), turn))


def _outline(recipe: FieldRecipe, labels: Path) -> tuple[shapely.MultiPolygon, dict[str, int]]:
    """The valid pixels as one shape along their edges, in pixels, and the pixels of each class."""
    parts: list[shapely.Geometry] = []
    total = np.zeros(NODATA + 1, dtype=np.int64)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), rasterio.open(labels) as raster:
        for row in range(0, recipe.height, _PART_ROWS):
            rows = min(_PART_ROWS, recipe.height - row)
            classes = raster.read(1, window=((row, row + rows), (0, recipe.width)))
            total += np.bincount(classes.ravel(), minlength=len(total))
            valid = classes != NODATA
            found = rasterio.features.shapes(
                valid.astype(np.uint8), mask=valid, transform=Affine.translation(0, row)
            )
            parts.extend(shapely.geometry.shape(geometry) for geometry, _ in found)
    # Whole numbers: the strips fit each other exactly.
    whole = shapely.normalize(shapely.union_all(parts))
    pixels = {label.name: int(total[label.value]) for label in LEGEND}
    return shapely.MultiPolygon(list(shapely.get_parts(whole))), pixels


def _rows(recipe: FieldRecipe, outline: shapely.MultiPolygon) -> Iterator[PolygonBatch]:
    """The centre lines of the crop rows inside the outline, by their numbers."""
    frame, spacing = Rows(recipe), recipe.row_spacing_m
    u0, u1, v0, v1 = frame.ranges(Rect(0.0, 0.0, *recipe.size_m))
    u = np.arange(np.floor(u0 / _VERTEX_M), np.ceil(u1 / _VERTEX_M) + 1) * _VERTEX_M
    numbers = np.arange(int(np.floor(v0 / spacing)), int(np.ceil(v1 / spacing)) + 1)
    shapely.prepare(outline)
    yield _row_batch(recipe, {})
    many = max(_VERTICES // len(u), 1)
    for start in range(0, len(numbers), many):
        some = numbers[start : start + many]
        x, y = frame.to_xy(
            np.tile(u, len(some)), np.repeat((some + 0.5) * spacing, len(u)).astype(np.float64)
        )
        xy = (np.stack([x, y], axis=1) / recipe.gsd_m).reshape(len(some), len(u), 2)
        lines = shapely.multilinestrings(shapely.linestrings(xy))
        inside = shapely.get_parts(shapely.intersection(lines, outline))
        # Where a row only touches the outline there are points too.
        inside = inside[shapely.get_type_id(inside) == shapely.GeometryType.LINESTRING]
        inside = shapely.get_parts(shapely.line_merge(shapely.multilinestrings(inside)))
        middle = shapely.line_interpolate_point(inside, 0.5, normalized=True)
        _, v = frame.to_uv(
            shapely.get_x(middle) * recipe.gsd_m, shapely.get_y(middle) * recipe.gsd_m
        )
        of = np.floor(v / spacing).astype(np.int64)
        begin = shapely.get_coordinates(middle) @ np.array(frame.axis)
        order = np.lexsort((begin, of))
        yield _row_batch(
            recipe, {int(k): [inside[n] for n in order if of[n] == k] for k in np.unique(of)}
        )


def _row_batch(recipe: FieldRecipe, lines: dict[int, list[shapely.LineString]]) -> PolygonBatch:
    shapes = np.empty(len(lines), dtype=object)
    shapes[:] = [shapely.MultiLineString(parts) for parts in lines.values()]
    lengths = np.asarray(shapely.length(shapes), dtype=np.float64) * recipe.gsd_m
    numbers = np.array(list(lines), dtype=np.int64)
    columns = {"row": numbers, "length_m": lengths}
    return PolygonBatch(_on_map(recipe, shapes), columns, "MultiLineString")
