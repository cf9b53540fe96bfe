"""Fields as the user gives them, on the map of a raster."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from agriseg.fields.parcels import read_parcels
from agriseg.geobox import GeoBox, Window
from agriseg.vector.measure import placed

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["GivenField", "GivenFields", "bands_of", "fields_on", "turned"]

_log = logging.getLogger(__name__)

# Pixels of a band of rows: what is read and weighed at once takes about 80 bytes for each.
_BAND_PIXELS = 1 << 20


@dataclass(frozen=True)
class GivenField:
    """One field on the map of a raster.

    Args:
        field_id: What tables call it.
        shape: Its polygons, in the CRS of the raster.
        window: The pixels that it meets.
        row_direction_deg: Of its crop rows, clockwise from north on the ground; None: unknown.
        row_spacing_m: Between its crop rows; None: unknown.
    """

    field_id: str
    shape: shapely.MultiPolygon
    window: Window
    row_direction_deg: float | None = None
    row_spacing_m: float | None = None

    def __repr__(self) -> str:
        return f"field {self.field_id}"

    def covers(self, box: GeoBox, window: Window) -> NDArray[np.bool_]:
        """(h, w) whether the centre of each pixel of a window lies in the field."""
        from rasterio.features import rasterize

        # In pixels of the window, so that turned and tilted grids are as any other.
        flat = self.in_pixels(box, window)
        found: NDArray[np.uint8] = rasterize([(flat, 1)], window.shape, dtype="uint8")
        return found.astype(bool)

    def in_pixels(self, box: GeoBox, window: Window) -> Any:
        """The field's shape in columns and rows of a window."""
        return turned(self.shape, ~box.crop(window).transform)


@dataclass(frozen=True)
class GivenFields:
    """Fields that meet a raster, and what a person should know of them."""

    fields: tuple[GivenField, ...]
    notes: tuple[str, ...] = ()

    def logged(self) -> tuple[GivenField, ...]:
        """The fields, after the notes went to the log."""
        for note in self.notes:
            _log.warning("%s", note)
        return self.fields


def fields_on(
    box: GeoBox, fields: gpd.GeoDataFrame | str | os.PathLike[str], name: str
) -> GivenFields:
    """Read fields and lay them onto the map of a raster, as `read_parcels` does.

    Args:
        box: The raster's grid; it has a CRS.
        fields: Polygons, or a vector file with some: a table of `agriseg.fields`, or any. The
            columns `field_id`, `row_direction_deg` and `row_spacing_m` are used where they are
            there; without ids fields are numbered from 1.
        name: What messages call the raster.

    Raises:
        InputError: They cannot be read or brought onto the map, or none of them meets the raster.
    """
    parcels = read_parcels(fields, box, name)
    frame = parcels.frame
    columns = [_column(frame, column) for column in ("row_direction_deg", "row_spacing_m")]
    shapes = np.asarray(frame.geometry.array, object)
    found = []
    for field_id, shape, *rows in zip(frame["field_id"], shapes, *columns, strict=True):
        window = box.covering(map(tuple, shapely.get_coordinates(shape).tolist()))
        assert window is not None, "read_parcels leaves out what does not meet the raster"
        found.append(GivenField(field_id, shape, window, *map(_number, rows)))
    # What was renamed are the columns that are read here, and field_id is what anyone expects.
    told = (n for n in parcels.notes if "renamed" not in n and not n.endswith(" field_id"))
    return GivenFields(tuple(found), tuple(told))


def turned(shapes: Any, by: Affine) -> Any:
    """Shapes with their corners taken elsewhere: the same corner to the same place, exactly."""
    return shapely.transform(shapes, lambda xy: placed(xy, by))


def bands_of(window: Window, rows: int = 1) -> Iterator[Window]:
    """Cut a window into bands of rows of bounded size.

    Args:
        window: What to cut.
        rows: Bands end at multiples of so many rows of the raster.
    """
    height = max(_BAND_PIXELS // window.width // rows, 1) * rows
    row = window.row_off
    while row < window.row_end:
        end = min(row - row % rows + height, window.row_end)
        yield Window(window.col_off, row, window.width, end - row)
        row = end


def _column(frame: gpd.GeoDataFrame, name: str) -> list[Any]:
    """A column as the user has it: `read_parcels` renames what is called as ours are."""
    for column in (f"{name}_given", name):
        if column in frame.columns:
            return list(frame[column])
    return [None] * len(frame)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
