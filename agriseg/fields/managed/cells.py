"""A class map in coarse cells: how much of each is crop, and how much is known at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from agriseg.arrays import block_sums
from agriseg.fields.frame import Frame, frame_at
from agriseg.fields.rows.patches import CropReader, tiles
from agriseg.geobox import GeoBox, Window

__all__ = ["Cells", "count_cells"]

Floats32 = NDArray[np.float32]

# Cells of a map at most: the closing takes about 60 bytes for each.
_MOST = 1 << 22
# Rows and columns of pixels that are read at a time, about.
_ROWS, _COLUMNS = 512, 8192


@dataclass(frozen=True)
class Cells:
    """A map in cells of whole pixels; those of the last row and column may hold fewer.

    Args:
        crop: (h, w) share of the pixels that are crop, of those with a class.
        known: (h, w) share of the pixels that have a class.
        box: The grid of the cells.
        size_m: Metres (width, height) of a cell on the ground.
    """

    crop: Floats32
    known: Floats32
    box: GeoBox
    size_m: tuple[float, float]

    @property
    def cell_m2(self) -> float:
        return self.size_m[0] * self.size_m[1]


def count_cells(reader: CropReader, side_m: float) -> Cells:
    """Count crop in cells of about `side_m` metres a side, by bands of rows.

    Cells are larger where there would be more than about four million of them.

    Args:
        reader: Reads the map; all of it.
        side_m: Metres.

    Raises:
        InputError: The map has no CRS, or reaches off the globe.
        ReadError: Pixels cannot be read.
    """
    box = reader.raster.geobox
    frame = frame_at(box, box.width / 2, box.height / 2)
    col, row = _sides(box, frame, side_m)
    shape = -(-box.height // row), -(-box.width // col)
    crop, known = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    size = max(_COLUMNS // col, 1) * col, max(_ROWS // row, 1) * row
    for tile in tiles(Window(0, 0, box.width, box.height), *size):
        is_crop, counts = reader.read(tile)
        at = tile.row_off // row, tile.col_off // col
        rows, cols = np.arange(0, tile.height, row), np.arange(0, tile.width, col)
        part = slice(at[0], at[0] + len(rows)), slice(at[1], at[1] + len(cols))
        for values, total in ((is_crop, crop), (counts, known)):
            total[part] = block_sums(values, rows, cols, np.int32)
    np.divide(crop, known, out=crop, where=known > 0)
    heights = np.minimum(row, box.height - np.arange(shape[0]) * row)
    widths = np.minimum(col, box.width - np.arange(shape[1]) * col)
    known /= (heights[:, None] * widths).astype(np.float32)
    width, height = frame.pixel_m
    grid = GeoBox(box.crs, box.transform @ Affine.scale(col, row), shape[1], shape[0])
    return Cells(crop, known, grid, (width * col, height * row))


def _sides(box: GeoBox, frame: Frame, side_m: float) -> tuple[int, int]:
    """Columns and rows of pixels that make a cell."""
    many = box.width * box.height / _MOST
    col, row = (max(round(side_m / metres), 1) for metres in frame.pixel_m)
    grown = max((many / (col * row)) ** 0.5, 1.0)
    return max(int(np.ceil(col * grown)), 1), max(int(np.ceil(row * grown)), 1)
