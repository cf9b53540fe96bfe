"""Crop pixels of a class map, read by windows inside a field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from agriseg.arrays import among
from agriseg.geobox import GeoBox, Window
from agriseg.vector.source import ClassRaster, ClassReader

__all__ = ["CropReader", "Patch", "in_pixels", "tiles"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Patch:
    """A window of the map in cells of `step` x `step` pixels.

    Args:
        share: (h, w) share of each cell's counted pixels that are crop.
        counted: (h, w) share of its pixels that have a class and lie in the field.
        window: The pixels it was read from.
        step: Side of a cell in pixels.
    """

    share: Floats
    counted: Floats
    window: Window
    step: int

    @property
    def crop(self) -> float:
        """Share of the counted pixels that are crop."""
        total = float(self.counted.sum())
        return float((self.share * self.counted).sum()) / total if total else 0.0


class CropReader:
    """Reads where the crop stands, inside a field or all over the map. Used in a `with` block.

    Args:
        raster: The class map.
        crop: Values of the crop classes.
        area: The field in columns and rows (`in_pixels`); None for the whole map.
    """

    def __init__(
        self, raster: ClassRaster, crop: frozenset[int], area: shapely.Geometry | None = None
    ) -> None:
        self.raster = raster
        self._crop = sorted(crop)
        self._area = area
        self._reader = ClassReader(raster)

    def __enter__(self) -> CropReader:
        self._reader.__enter__()
        return self

    def __exit__(self, *fault: Any) -> None:
        self._reader.__exit__(*fault)

    @property
    def extent(self) -> Window | None:
        """The window around the field; None where it lies outside the map."""
        box = self.raster.geobox.window
        if self._area is None:
            return box
        if self._area.is_empty:
            return None
        left, top, right, bottom = self._area.bounds
        col, row = int(np.floor(left)), int(np.floor(top))
        width, height = int(np.ceil(right)) - col, int(np.ceil(bottom)) - row
        return Window(col, row, max(width, 1), max(height, 1)).intersection(box)

    def read(self, window: Window) -> tuple[Bools, Bools]:
        """Which pixels (h, w) of a window are crop, and which count at all."""
        classes, counts = self._reader.window(window)
        if self._area is not None:
            counts = counts & self._inside(window)
        return among(classes, self._crop) & counts, counts

    def patch(self, window: Window, step: int) -> Patch:
        """A window in cells; the rows and columns that fill no cell are left out."""
        rows, cols = window.height // step, window.width // step
        window = Window(window.col_off, window.row_off, cols * step, rows * step)
        crop, counts = self.read(window)
        cells = (rows, step, cols, step)
        counted = counts.reshape(cells).mean(axis=(1, 3))
        share = crop.reshape(cells).mean(axis=(1, 3))
        np.divide(share, counted, out=share, where=counted > 0)
        return Patch(share, counted, window, step)

    def _inside(self, window: Window) -> Bools:
        from rasterio.features import rasterize

        assert self._area is not None
        part = shapely.clip_by_rect(
            self._area, window.col_off, window.row_off, window.col_end, window.row_end
        )
        flat = [one for one in shapely.get_parts(part) if one.geom_type.endswith("Polygon")]
        if not flat:
            return np.zeros(window.shape, bool)
        burnt = rasterize(
            flat,
            window.shape,
            transform=Affine.translation(window.col_off, window.row_off),
            dtype="uint8",
        )
        return np.asarray(burnt, bool)


def in_pixels(area: shapely.Geometry, box: GeoBox) -> shapely.Geometry:
    """A shape of the map in columns and rows of its grid."""
    back = ~box.transform
    matrix = np.array([[back.a, back.d], [back.b, back.e]])
    found = shapely.transform(area, lambda xy: xy @ matrix + (back.c, back.f))
    return found if shapely.is_valid(found) else shapely.make_valid(found)


def tiles(extent: Window, width: int, height: int) -> Iterator[Window]:
    """Windows of at most `width` x `height` that tile `extent`, row by row."""
    for row in range(extent.row_off, extent.row_end, height):
        for col in range(extent.col_off, extent.col_end, width):
            found = Window(col, row, width, height).intersection(extent)
            assert found is not None
            yield found
