"""The plants of a simulated field as files: the pixels of each as a polygon, and its stem."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from agriseg.geobox import Window
from agriseg.legend import NODATA
from agriseg.simulate.drawing import gdal_cache
from agriseg.simulate.field import CLASS_OF, LEGEND
from agriseg.simulate.instances import WEED_CLASS, Instances, reach_px
from agriseg.simulate.noise import Floats, Ints
from agriseg.simulate.plants import Plants, Rect, field_plants, row_of
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.stands import layout_of
from agriseg.vector.files import PolygonBatch, write_polygons
from agriseg.vector.measure import placed
from agriseg.vector.network import Network
from agriseg.vector.rings import assemble
from agriseg.vector.shapes import Shapes
from agriseg.vector.smooth import Lines, exact
from agriseg.vector.strip import trace

__all__ = ["WEED_NAMES", "traced_pixels", "write_plants", "write_stems"]

WEED_NAMES: Final = (
    *("rosette weed", "grass weed", "creeping weed", "tall weed"),
    *("fine grass weed", "seedling weed", "feathery weed", "flat grass weed"),
    *("lobed weed", "broad weed", "narrow weed", "clover weed", "cereal weed", "fleshy weed"),
)
"""What the weeds of `crops.WEEDS` are called in the files."""

# Rows and columns in which the plants begin that are traced at a time.
_TRACED_ROWS, _TRACED_COLUMNS = 1024, 2048
# Plants are looked up in parts of this size; it fixes the order of the stems.
_PART_ROWS, _PART_COLUMNS = 512, 4096


def write_plants(path: Path, recipe: FieldRecipe, instances: Instances) -> int:
    """Write the pixels of each plant that shows any, in the order of their numbers.

    The polygons run along the pixel edges and tile the pixels of the plants' classes: stems beyond
    the raster or the outline are in it with the leaves that reach inside.

    Returns:
        How many.

    Raises:
        OutputError: The file cannot be written.
    """
    return _written(path, _polygons(recipe, instances), recipe, "plants")


def write_stems(path: Path, recipe: FieldRecipe, instances: Instances, labels: Path) -> int:
    """Write a point for each plant that stands inside the outline, hidden ones too.

    Returns:
        How many.

    Raises:
        OutputError: The file cannot be written.
    """
    return _written(path, _stems(recipe, instances, labels), recipe, "stems")


def _written(path: Path, batches: Generator[PolygonBatch], recipe: FieldRecipe, layer: str) -> int:
    """Write a layer; GDAL's settings are this thread's, so `batches` must not outlive the call."""
    with gdal_cache(), contextlib.closing(batches):
        return write_polygons(path, batches, recipe.geobox.crs, layer=layer)


def traced_pixels(recipe: FieldRecipe) -> int:
    """How many pixels `write_plants` looks at at a time."""
    span = 2 * reach_px(recipe)
    rows = min(_TRACED_ROWS + span, recipe.height)
    return rows * min(_TRACED_COLUMNS + 2 * span, recipe.width)


def _columns(recipe: FieldRecipe, plants: Plants, number: Ints) -> dict[str, NDArray[Any]]:
    """What both files say of plants, given their numbers, in the order of the plants."""
    class_id = CLASS_OF[plants.material].astype(np.int64)
    names, layout = np.array(LEGEND.names, dtype=object), layout_of(recipe)
    species = layout.column("crop", "")[plants.stand]
    weeds = class_id == WEED_CLASS
    species[weeds] = np.array(WEED_NAMES, dtype=object)[plants.species[weeds] - 1]
    row, off_row_m = row_of(recipe, plants)
    return {
        "instance": number,
        "class_id": class_id,
        "class_name": names[class_id],
        "species": species,
        "size_m": plants.size_m,
        "field": layout.column("field", 0).astype(np.int64)[plants.stand],
        "part": layout.column("part", "margin")[plants.stand],
        "row": row,
        "off_row_m": off_row_m,
        "key": plants.key,
    }


def _on_map(recipe: FieldRecipe, plants: Plants) -> Floats:
    """Where the stems stand: (n, 2) in map coordinates."""
    xy = np.stack([plants.x, plants.y], axis=1) / recipe.gsd_m
    return placed(xy, recipe.geobox.transform)


# Polygons --------------------------------------------------------------------------------------


def _polygons(recipe: FieldRecipe, instances: Instances) -> Generator[PolygonBatch]:
    """All plants that show a pixel, band by band.

    The numbers of the plants that begin in a band of rows follow each other. None of them shows a
    pixel farther below or to a side than twice the reach of a plant: each is traced in one piece.
    """
    with rasterio.open(instances.raster) as raster:
        for row in range(0, recipe.height, _TRACED_ROWS):
            end = min(row + _TRACED_ROWS, recipe.height)
            before, wanted, column = instances.between(row, end)
            shapes = np.empty(len(wanted), dtype=object)
            pixels = np.zeros(len(wanted), dtype=np.int64)
            for start in range(0, recipe.width, _TRACED_COLUMNS):
                here = (column >= start) & (column < start + _TRACED_COLUMNS)
                shapes[here], pixels[here] = _traced(recipe, raster, (row, start), before, here)
            plants = _matching(recipe, Window(0, row, recipe.width, end - row), wanted)
            stem = _on_map(recipe, plants)
            columns = _columns(recipe, plants, before + 1 + np.arange(len(wanted)))
            columns["area_m2"] = pixels * recipe.gsd_m**2
            columns |= {"stem_x": stem[:, 0], "stem_y": stem[:, 1]}
            yield PolygonBatch(shapes, columns)


def _traced(
    recipe: FieldRecipe,
    raster: DatasetReader,
    place: tuple[int, int],
    before: int,
    wanted: NDArray[np.bool_],
) -> tuple[NDArray[np.object_], Ints]:
    """The pixels of some plants as MultiPolygons, and how many they are, by rising numbers.

    Args:
        recipe: The field.
        raster: The number that each pixel shows, 0 for none.
        place: Row and column from which on the plants begin.
        before: How many numbers come before the first of `wanted`.
        wanted: Which of the numbers after these are asked for.
    """
    if not wanted.any():
        return np.empty(0, dtype=object), np.zeros(0, dtype=np.int64)
    span = 2 * reach_px(recipe)
    # With the row above: neighbours have the same vertices along their border.
    top, left = max(place[0] - 1, 0), max(place[1] - span, 0)
    below = min(place[0] + _TRACED_ROWS + span, recipe.height)
    right = min(place[1] + _TRACED_COLUMNS + span, recipe.width)
    numbers = raster.read(1, window=((top, below), (left, right)))
    # Between rows of nothing no border is cut off.
    numbers = np.pad(numbers, ((1, 1), (0, 0)))
    strip = trace(numbers, numbers > 0)
    lines = exact(strip.arcs)
    # Moved in whole (half) pixels: a corner is the same on the map, whatever part it comes from.
    lines = Lines(lines.xy + np.array([2 * left, 2 * (top - 1)], np.int32), lines.offsets)
    network = Network(strip.height, strip.width, strip.regions, strip.arcs)
    shapes = Shapes(lines, assemble(network, lines), recipe.geobox.transform)
    number = strip.regions.value - before - 1
    inside = (number >= 0) & (number < len(wanted))
    mine = np.flatnonzero(inside)[wanted[number[inside]]]
    # Regions come in reading order, so the parts of a plant do.
    mine = mine[np.argsort(number[mine], kind="stable")]
    _, which = np.unique(number[mine], return_inverse=True)
    whole = shapely.multipolygons(shapes.parts(mine), indices=which)
    pixels = np.bincount(which, weights=strip.regions.pixels[mine])
    return whole, pixels.astype(np.int64)


def _matching(recipe: FieldRecipe, band: Window, wanted: Ints) -> Plants:
    """The plants of the identities `wanted`, all of which show a pixel in `band`."""
    reach = reach_px(recipe)
    found = []
    for column in range(0, band.width, _PART_COLUMNS):
        end = min(column + _PART_COLUMNS, band.width)
        left, right = column - reach * (column == 0), end + reach * (end == band.width)
        plants = field_plants(
            recipe, _rect(recipe, left, band.row_off - reach, right, band.row_end + reach)
        )
        found.append(plants.take(np.isin(plants.identity, wanted)))
    plants = found[0]
    for more in found[1:]:
        plants += more
    order = np.argsort(plants.identity)
    return plants.take(order[np.searchsorted(plants.identity[order], wanted)])


def _rect(recipe: FieldRecipe, left: int, top: int, right: int, bottom: int) -> Rect:
    return Rect(*(pixels * recipe.gsd_m for pixels in (left, top, right, bottom)))


# Stems -----------------------------------------------------------------------------------------


def _stems(recipe: FieldRecipe, instances: Instances, labels: Path) -> Generator[PolygonBatch]:
    """The plants whose stem lies inside the outline, part by part of the field."""
    reach = reach_px(recipe)
    with rasterio.open(labels) as raster:
        for row in range(0, recipe.height, _PART_ROWS):
            end = min(row + _PART_ROWS, recipe.height)
            before, shown, _ = instances.between(row - reach, end + reach)
            order = np.argsort(shown)
            for column in range(0, recipe.width, _PART_COLUMNS):
                width = min(_PART_COLUMNS, recipe.width - column)
                part = Window(column, row, width, end - row)
                classes = raster.read(1, window=((row, end), (column, column + width)))
                plants = field_plants(recipe, _rect(recipe, column, row, part.col_end, end))
                plants = plants.take(_inside(recipe, plants, part, classes))
                yield _stem_batch(recipe, plants, shown[order], before + 1 + order)


def _stem_batch(recipe: FieldRecipe, plants: Plants, shown: Ints, numbers: Ints) -> PolygonBatch:
    """Stems, of which those in `shown` (rising) have `numbers`."""
    place = np.searchsorted(shown, plants.identity)
    is_shown = np.append(shown, 0)[place] == plants.identity
    number = np.where(is_shown, np.append(numbers, 0)[place], 0)
    columns = _columns(recipe, plants, number)
    points = np.asarray(shapely.points(_on_map(recipe, plants)), dtype=object)
    return PolygonBatch(points, columns | {"visible": is_shown.astype(np.int64)}, "Point")


def _inside(
    recipe: FieldRecipe, plants: Plants, part: Window, classes: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Which of the plants that stand in `part` stand inside the outline."""
    column = np.floor(plants.x / recipe.gsd_m).astype(np.int64) - part.col_off
    line = np.floor(plants.y / recipe.gsd_m).astype(np.int64) - part.row_off
    # The quotient of a centre right on an edge can fall to the other side.
    column, line = np.clip(column, 0, part.width - 1), np.clip(line, 0, part.height - 1)
    return np.asarray(classes[line, column] != NODATA)
