"""How an index varies within a field: sums over a coarse grid, and what they come to when smooth.

The grid is coarser than the pixels and finer than the scale of interest, so that a field fits into
memory whatever the size of its pixels. An average over the crop alone is a quotient: the smoothed
sum of the index where it counts, by the smoothed number of pixels that count (normalised
convolution; Knutsson and Westin 1993, CVPR). Soil between the rows changes neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from agriseg.arrays import among, block_sums
from agriseg.fields.given import GivenField, bands_of
from agriseg.geobox import GeoBox, Window
from agriseg.indices import Index, Values, compute
from agriseg.raster.reader import SceneReader
from agriseg.raster.source import gdal_settings
from agriseg.threads import in_threads
from agriseg.vector.source import ClassReader, ClassRows

__all__ = ["CoarseGrid", "Vigour", "coarse_grid", "read_vigour", "smoothed"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Cells over the width of the smoothing: four would do for a Gaussian, but borders would show them.
_CELLS = 8
# Full width at half maximum of a Gaussian by its standard deviation.
_FWHM = 2 * math.sqrt(2 * math.log(2))
# Where less of the ground than this part of the field's own mean is crop, it has none to speak of.
_SPARSE = 0.1
# A cell counts as part of the map where at least this share of its pixels does.
_HALF = 0.5


@dataclass(frozen=True)
class CoarseGrid:
    """Cells of whole pixels over a field, counted from the raster's own corner.

    Args:
        box: The grid of cells; the last row and column may reach out of the raster.
        pixels: Pixels of a cell: (columns, rows).
        first: Column and row of the first cell.
    """

    box: GeoBox
    pixels: tuple[int, int]
    first: tuple[int, int]


@dataclass(frozen=True)
class Vigour:
    """What the cells of a field hold; all (h, w).

    Args:
        sums: Sum of the index over the pixels that count.
        counts: Number of these pixels, in the field.
        usable: Pixels in the field for which map and index have a value.
        valid: Where at least half of the cell has, in the field or not.
    """

    sums: Floats
    counts: Ints
    usable: Ints
    valid: Bools


def coarse_grid(box: GeoBox, window: Window, smooth_m: float) -> CoarseGrid:
    """The cells for a field and a scale of smoothing.

    Args:
        box: The raster's grid; it has a CRS.
        window: The field's pixels.
        smooth_m: Width of the smoothing.
    """
    gsd = box.crop(window).gsd_m
    assert gsd is not None
    across, down = (max(int(smooth_m / _CELLS / side), 1) for side in gsd)
    col, row = window.col_off // across, window.row_off // down
    width = -(-window.col_end // across) - col
    height = -(-window.row_end // down) - row
    transform = box.transform @ Affine.translation(col * across, row * down)
    coarse = GeoBox(box.crs, transform @ Affine.scale(across, down), width, height)
    return CoarseGrid(coarse, (across, down), (col, row))


def read_vigour(
    scene: SceneReader,
    classes: ClassReader,
    field: GivenField,
    index: Index,
    grid: CoarseGrid,
    kinds: Sequence[int] | None,
) -> Vigour:
    """Read a field by bands of rows.

    Args:
        scene: Reads the index's bands, on the grid of the classes.
        classes: Reads the classes.
        field: Which field.
        index: What is looked at.
        grid: The cells.
        kinds: Classes whose pixels count; None: all.
    """
    box, (across, down) = scene.scene.geobox, grid.pixels
    shape = grid.box.shape
    sums, counts = np.zeros(shape), np.zeros(shape, np.int64)
    usable, known = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    # Whole cells, so that those along the field's edge know how much of them is on the map.
    col, row = grid.first[0] * across, grid.first[1] * down
    right = min((grid.first[0] + shape[1]) * across, box.width)
    bottom = min((grid.first[1] + shape[0]) * down, box.height)
    environment = gdal_settings()

    def look(band: Window) -> tuple[Values, ClassRows]:
        with rasterio.Env(**environment):
            return compute(index, scene.read(band), index.keys), classes.read_window(band)

    # One thread reads ahead, where there is more than a band.
    bands = list(bands_of(Window(col, row, right - col, bottom - row), down))
    for band, (values, rows) in in_threads(look, bands, 1, "zones"):
        valid = values.valid & rows.valid
        inside = valid & field.covers(box, band)
        counted = inside if kinds is None else inside & among(rows.classes, kinds)
        at = (band.row_off - row) // down
        starts = np.arange(0, band.height, down), np.arange(0, band.width, across)
        where = slice(at, at + len(starts[0]))
        for total, plane in (
            (sums, np.where(counted, values.data, np.float32(0))),
            (counts, counted),
            (usable, inside),
            (known, valid),
        ):
            total[where] += block_sums(plane, *starts, total.dtype)
    size = np.outer(_lengths(bottom - row, down), _lengths(right - col, across))
    return Vigour(sums, counts, usable, known >= _HALF * size)


def _lengths(pixels: int, cell: int) -> Ints:
    """Pixels of each cell along a side, of which the last may reach out of the raster."""
    return np.diff(np.append(np.arange(0, pixels, cell), pixels))


def smoothed(vigour: Vigour, grid: CoarseGrid, smooth_m: float) -> tuple[Floats, Bools]:
    """The index averaged around each cell (h, w), and where there is enough crop to tell.

    Args:
        vigour: What was read; at least one pixel counts.
        grid: Its cells.
        smooth_m: Full width at half maximum of the Gaussian, in metres; 0: cells as they are.
    """
    from scipy.ndimage import gaussian_filter

    gsd = grid.box.gsd_m
    assert gsd is not None
    sigma = [smooth_m / _FWHM / side for side in (gsd[1], gsd[0])]
    total, count, ground = (
        gaussian_filter(plane.astype(np.float64), sigma, mode="constant")
        for plane in (vigour.sums, vigour.counts, vigour.usable)
    )
    cover = vigour.counts.sum() / max(int(vigour.usable.sum()), 1)
    enough = (count > _SPARSE * cover * ground) & (count > 1e-9)
    return np.where(enough, total / np.where(enough, count, 1), np.nan), enough
