"""What is true of a scene's ground: its fields and their rows, cut at the mosaic's edge."""

from __future__ import annotations

import math
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
from agriseg.simulate.drawing import gdal_cache
from agriseg.simulate.field import LEGEND
from agriseg.simulate.noise import Ints
from agriseg.simulate.parcels import Edge, part_of
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.rows import Rect
from agriseg.simulate.stands import Stand, layout_of
from agriseg.vector.files import PolygonBatch, write_polygons
from agriseg.vector.measure import placed

__all__ = ["Truth", "outline_of", "write_truth"]

# Rows of labels that are read at one time, and columns in which they are counted.
_PART_ROWS, _PART_COLUMNS = 512, 2048
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
        labels: Its labels, as `rasters.Drawn` writes them them; read strip by strip.
        folder: Where the files go.

    Raises:
        OutputError: A file cannot be written.
    """
    crs = recipe.geobox.crs
    outline, pixels = outline_of(recipe, labels)
    fields = [field_batch(recipe, outline, pixels)]
    write_polygons(folder / "field.gpkg", fields, crs, layer="field")
    rows = write_polygons(folder / "rows.gpkg", row_batches(recipe, outline), crs, layer="rows")
    total = pixels.sum(axis=0)
    return Truth(rows, {label.name: int(total[label.value]) for label in LEGEND})


def _on_map(recipe: FieldRecipe, pixels: object) -> NDArray[np.object_]:
    """Shapes from pixels to the map."""
    shapes = np.asarray(pixels, dtype=object)
    return np.asarray(shapely.transform(shapes, lambda xy: placed(xy, recipe.geobox.transform)))


def outline_of(recipe: FieldRecipe, labels: Path) -> tuple[shapely.MultiPolygon, Ints]:
    """The valid pixels as one shape, and how many of each class lie in each field.

    Args:
        recipe: The scene.
        labels: Its labels, read strip by strip.

    Returns:
        The shape along the pixels' edges, in pixels; and counts (fields + 1, 256), the margins
        first. A pixel belongs to the field that holds its centre.
    """
    layout = layout_of(recipe)
    of_stand = layout.column("field", 0).astype(np.uint16)
    counts = np.zeros((len(layout.fields) + 1) << 8, dtype=np.int64)
    parts: list[shapely.Geometry] = []
    xs = (np.arange(recipe.width, dtype=np.float64) + 0.5) * recipe.gsd_m
    with gdal_cache(), rasterio.open(labels) as raster:
        for row in range(0, recipe.height, _PART_ROWS):
            rows = min(_PART_ROWS, recipe.height - row)
            classes = raster.read(1, window=((row, row + rows), (0, recipe.width)))
            ys = (np.arange(row, row + rows, dtype=np.float64) + 0.5) * recipe.gsd_m
            for start in range(0, recipe.width, _PART_COLUMNS):
                part = slice(start, start + _PART_COLUMNS)
                cell = classes[:, part].astype(np.uint16)
                cell += of_stand[layout.at(xs[None, part], ys[:, None])] << 8
                counts += np.bincount(cell.ravel(), minlength=len(counts))
            parts.extend(_valid_parts(classes != NODATA, row))
    # Whole numbers: the strips fit each other exactly.
    whole = shapely.normalize(shapely.simplify(shapely.union_all(parts), 0))
    outline = shapely.MultiPolygon(list(shapely.get_parts(whole)))
    return outline, counts.reshape(len(layout.fields) + 1, NODATA + 1)


def _valid_parts(valid: NDArray[np.bool_], row: int) -> Iterator[shapely.Geometry]:
    """Shapes in pixels that together are the valid pixels of some rows from `row` on."""
    left, right = 0, valid.shape[1]
    gaps = np.flatnonzero(~valid.all(axis=0))
    if len(gaps):
        # Tracing takes time, and only the border is ragged: one box for the widest whole part.
        edges = np.concatenate([[-1], gaps, [right]])
        widest = int(np.argmax(np.diff(edges)))
        left, right = int(edges[widest]) + 1, int(edges[widest + 1])
    if right > left:
        yield shapely.box(left, row, right, row + len(valid))
    for start, part in ((0, valid[:, :left]), (right, valid[:, right:])):
        if part.any():
            found = rasterio.features.shapes(
                part.astype(np.uint8), mask=part, transform=Affine.translation(start, row)
            )
            yield from (shapely.geometry.shape(geometry) for geometry, _ in found)


def field_batch(recipe: FieldRecipe, outline: shapely.MultiPolygon, pixels: Ints) -> PolygonBatch:
    """One shape a field that can be seen: its ground with its headlands, inside the outline.

    Args:
        recipe: The scene.
        outline: Its valid pixels.
        pixels: Of each class in each field, as `outline_of` counts them.
    """
    layout = layout_of(recipe)
    shapes = [_inside(recipe, ground.edges, outline) for ground in layout.fields]
    seen = [k for k, shape in enumerate(shapes) if not shape.is_empty]
    first = {stand.field - 1: stand for stand in layout.stands if stand.part == "field"}
    square = recipe.gsd_m**2
    columns: dict[str, NDArray[np.generic]] = {
        "area_m2": shapely.area([shapes[k] for k in seen]) * square,
        "field": np.array([k + 1 for k in seen], dtype=np.int64),
        "crop": np.array([first[k].crop for k in seen], dtype=object),
        "row_direction_deg": np.array([_direction_deg(recipe, first[k]) for k in seen]),
    }
    for label in LEGEND:
        columns[f"{label.name}_m2"] = pixels[[k + 1 for k in seen], label.value] * square
    return PolygonBatch(_on_map(recipe, [shapes[k] for k in seen]), columns)


def row_batches(recipe: FieldRecipe, outline: shapely.MultiPolygon) -> Iterator[PolygonBatch]:
    """The centre lines of the rows of every stand inside the outline, by their numbers."""
    yield _row_batch(recipe, None, {})
    for stand in layout_of(recipe).stands:
        area = _inside(recipe, stand.edges, outline)
        if not area.is_empty:
            yield from _stand_rows(recipe, stand, area)


def _stand_rows(
    recipe: FieldRecipe, stand: Stand, area: shapely.MultiPolygon
) -> Iterator[PolygonBatch]:
    frame, spacing, gsd = stand.rows, stand.rows.spacing_m, recipe.gsd_m
    u0, u1, v0, v1 = frame.ranges(stand.within(Rect(0.0, 0.0, *recipe.size_m)))
    u = np.arange(np.floor(u0 / _VERTEX_M), np.ceil(u1 / _VERTEX_M) + 1) * _VERTEX_M
    numbers = np.arange(int(np.floor(v0 / spacing)), int(np.ceil(v1 / spacing)) + 1)
    shapely.prepare(area)
    many = max(_VERTICES // len(u), 1)
    for start in range(0, len(numbers), many):
        some = numbers[start : start + many]
        x, y = frame.to_xy(
            np.tile(u, len(some)), np.repeat((some + 0.5) * spacing, len(u)).astype(np.float64)
        )
        xy = (np.stack([x, y], axis=1) / gsd).reshape(len(some), len(u), 2)
        lines = shapely.multilinestrings(shapely.linestrings(xy))
        inside = shapely.get_parts(shapely.intersection(lines, area))
        # Where a row only touches the outline there are points too.
        inside = inside[shapely.get_type_id(inside) == shapely.GeometryType.LINESTRING]
        inside = shapely.get_parts(shapely.line_merge(shapely.multilinestrings(inside)))
        middle = shapely.line_interpolate_point(inside, 0.5, normalized=True)
        begin, v = frame.to_uv(shapely.get_x(middle) * gsd, shapely.get_y(middle) * gsd)
        of, _ = frame.numbers(v)
        order = np.lexsort((begin, of))
        yield _row_batch(
            recipe, stand, {int(k): [inside[n] for n in order if of[n] == k] for k in np.unique(of)}
        )


def _row_batch(
    recipe: FieldRecipe, stand: Stand | None, lines: dict[int, list[shapely.LineString]]
) -> PolygonBatch:
    shapes = np.empty(len(lines), dtype=object)
    shapes[:] = [shapely.MultiLineString(parts) for parts in lines.values()]
    lengths = np.asarray(shapely.length(shapes), dtype=np.float64) * recipe.gsd_m
    numbers = np.array(list(lines), dtype=np.int64) + (stand.first_row if stand else 0)
    columns: dict[str, NDArray[np.generic]] = {
        "row": numbers,
        "length_m": lengths,
        "field": np.full(len(lines), stand.field if stand else 0, dtype=np.int64),
        "part": np.full(len(lines), stand.part if stand else "", dtype=object),
    }
    return PolygonBatch(_on_map(recipe, shapes), columns, "MultiLineString")


def _inside(
    recipe: FieldRecipe, edges: tuple[Edge, ...], outline: shapely.MultiPolygon
) -> shapely.MultiPolygon:
    """The part of the outline that lies inside all `edges`, in pixels."""
    if not edges:
        return outline
    corners = part_of(Rect(0.0, 0.0, *recipe.size_m).corners, edges)
    if not corners:
        return shapely.MultiPolygon([])
    ground = shapely.Polygon(np.array(corners) / recipe.gsd_m)
    found = shapely.get_parts(shapely.normalize(shapely.intersection(ground, outline)))
    # Where the two only touch there are lines and points too.
    found = found[shapely.get_type_id(found) == shapely.GeometryType.POLYGON]
    return shapely.MultiPolygon(list(found))


def _direction_deg(recipe: FieldRecipe, stand: Stand) -> float:
    """Direction of a field's rows in its middle, as recipes count it: -90..90."""
    box = stand.within(Rect(0.0, 0.0, *recipe.size_m))
    c, s = stand.rows.axis_at(0.5 * (box.left + box.right), 0.5 * (box.top + box.bottom))
    degrees = float(np.degrees(np.arctan2(s, c)).round(3))
    return degrees - 180.0 * math.floor((degrees + 90.0) / 180.0)
