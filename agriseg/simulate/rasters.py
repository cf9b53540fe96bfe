"""A simulated field drawn strip by strip, and put together as Cloud Optimized GeoTIFFs."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter

from agriseg.geobox import Window
from agriseg.raster.writer import ByteLayer, Piece, copy_cog, write_cog, write_rows
from agriseg.simulate.drawing import Work, gdal_cache
from agriseg.simulate.field import LEGEND, render
from agriseg.simulate.instances import Numbering
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.spectra import SENSORS, BandInfo
from agriseg.simulate.strips import (
    REFLECTANCE_NODATA,
    REFLECTANCE_SCALE,
    STRIP,
    blocks,
    describe_image,
    in_steps,
    profile,
)

__all__ = ["Drawn", "draw_strips", "to_counts"]

# Overviews are halved until they fit one tile.
_SMALLEST_OVERVIEW = 512
# Fields of so many pixels are packed as small as can be: 12 Mpixel take 41 MB in 31 s at level 9,
# 49 MB in 3 s at level 3; level 2 is a quarter quicker and 4 % larger.
_SMALL = 2_000_000
# A TIFF tile has sides of multiples of 16.
_LEAST_TILE = 16

_COLORS = {"blue": ColorInterp.blue, "green": ColorInterp.green, "red": ColorInterp.red}


@dataclass(frozen=True)
class Drawn:
    """A field whose strips are drawn, and are to be put together.

    Args:
        recipe: The field.
        plain: Its reflectance, with overviews beside it.
        pieces: Its labels.
    """

    recipe: FieldRecipe
    plain: Path
    pieces: list[Piece]

    def write_image(self, path: Path) -> None:
        """Write the reflectance: uint16, scale 1e-4, nodata 65535.

        Raises:
            OutputError: It cannot be written.
        """
        is_small = self.recipe.width * self.recipe.height <= _SMALL
        with gdal_cache():
            copy_cog(self.plain, path, LEVEL="9" if is_small else "2", PREDICTOR="YES")

    def write_labels(self, path: Path, image: str) -> None:
        """Write the labels: uint8 with a palette, nodata 255, and an .aux.xml beside it.

        Args:
            path: Where to.
            image: Name of the image that they belong to.

        Raises:
            OutputError: It cannot be written.
        """
        names = {f"class_{label.value}": label.name for label in LEGEND}
        tags = {"TIFFTAG_IMAGEDESCRIPTION": f"Labels of {image}, drawn with it", **names}
        layers = [ByteLayer("class", 0, legend=LEGEND)]
        with gdal_cache():
            write_cog(path, self.pieces, self.recipe.geobox, layers, tags=tags)


def draw_strips(
    recipe: FieldRecipe, nest: Path, work: Work, numbering: Numbering | None = None
) -> Drawn:
    """Render a field into strips.

    Memory is that of one strip of `STRIP` rows (21 bytes a pixel with five bands) and of a block
    for each that is drawn at a time, whatever the height. The pixels depend on nothing but the
    recipe.

    Args:
        recipe: The field.
        nest: An empty folder for the strips, on the disk that the files go to.
        work: How to draw, and whom to tell.
        numbering: Is given what plants the pixels show, strip by strip.

    Raises:
        OSError, RasterioError: From GDAL: a strip cannot be written.
        AgrisegError: A worker process died.
    """
    plain = nest / "plain.tif"
    pieces = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(gdal_cache())
        levels = _open_levels(recipe, plain, stack)
        strips = stack.enter_context(contextlib.closing(_strips(recipe, work)))
        for window, strip in strips:
            piece = Piece(window, nest / f"labels-{window.row_off}.tif")
            write_rows(piece.path, strip.classes[None])
            pieces.append(piece)
            _write_levels(levels, window.row_off, strip.counts, SENSORS[recipe.sensor])
            if numbering is not None:
                numbering.add(window, strip.instances)
    return Drawn(recipe, plain, pieces)


def to_counts(
    reflectance: NDArray[np.float32], valid: NDArray[np.bool_], bands: tuple[BandInfo, ...]
) -> NDArray[np.uint16]:
    """Reflectance (bands, height, width) as the counts of the image file."""
    out = np.full(reflectance.shape, REFLECTANCE_NODATA, dtype=np.uint16)
    # A mask that lets all pass takes as long as all the rest.
    seen = ... if valid.all() else valid
    for band, info in enumerate(bands):
        counts = reflectance[band][seen] * np.float32(1 / REFLECTANCE_SCALE)
        out[band][seen] = in_steps(counts, _step(info))
    return out


def _step(band: BandInfo) -> int:
    """Counts between two values that are written.

    The sample has 5.0 MB in place of 13.1 MB with single counts, for an error of at most 0.0016
    (visible) to 0.0064 (near infrared). Powers of two, because deflate packs bytes: steps of 64
    leave the low byte four values and make 4.3 MB, steps of 50 make 5.1 MB.
    """
    if band.wavelength_nm < 690:
        return 32
    return 64 if band.wavelength_nm < 780 else 128


@dataclass(frozen=True)
class _Block:
    """A block or a strip, drawn: counts (bands, rows, columns), the others (rows, columns)."""

    counts: NDArray[np.uint16]
    classes: NDArray[np.uint8]
    instances: NDArray[np.int64]


def _drawn(recipe: FieldRecipe, window: Window) -> _Block:
    part = render(recipe, window)
    counts = to_counts(part.reflectance, part.valid, SENSORS[recipe.sensor])
    return _Block(counts, part.labels, part.instances)


def _strips(recipe: FieldRecipe, work: Work) -> Generator[tuple[Window, _Block], None, None]:
    """One strip after the other, and where it lies.

    Blocks of the next strips are drawn while one is used; the arrays are new for each strip.
    """
    bands = SENSORS[recipe.sensor]
    # Memory of numpy, and what its threads wait for each other, is least at this size: 512 gave
    # 0.97 Mpixel/s with two threads on two cores, 256 gave 0.59, 1024 gave 0.81.
    drawn = work.each(partial(_drawn, recipe), blocks(recipe, work.block, work.block))
    try:
        for row in range(0, recipe.height, STRIP):
            strip = Window(0, row, recipe.width, min(STRIP, recipe.height - row))
            whole = _Block(
                np.empty((len(bands), *strip.shape), dtype=np.uint16),
                np.empty(strip.shape, dtype=np.uint8),
                np.empty(strip.shape, dtype=np.int64),
            )
            missing = whole.classes.size
            while missing:
                window, part = next(drawn)
                rows = slice(window.row_off - row, window.row_end - row)
                columns = slice(window.col_off, window.col_end)
                whole.counts[:, rows, columns] = part.counts
                whole.classes[rows, columns] = part.classes
                whole.instances[rows, columns] = part.instances
                missing -= part.classes.size
                work.advance(part.classes.size)
            yield strip, whole
    finally:
        drawn.close()


def _open_levels(
    recipe: FieldRecipe, plain: Path, stack: contextlib.ExitStack
) -> list[DatasetWriter]:
    """The file that the COG is made from, and its overviews.

    GDAL takes overviews from files named for what they shrink: .ovr, .ovr.ovr. Their tiles are as
    high as what one strip leaves of them, so that none is written twice.
    """
    box, bands = recipe.geobox, SENSORS[recipe.sensor]
    width, height = recipe.width, recipe.height
    levels: list[DatasetWriter] = []
    while not levels or max(2 * width, 2 * height) > 2 * _SMALLEST_OVERVIEW:
        number = len(levels)
        if number:
            width, height = -(-width // 2), -(-height // 2)
        rows = max(STRIP >> number, 1)
        tiled = rows >= _LEAST_TILE
        shape = {"blockxsize": STRIP, "blockysize": rows} if tiled else {"blockysize": rows}
        grid = {
            "height": height,
            "width": width,
            "transform": box.transform @ Affine.scale(2**number),
        }
        settings = profile(recipe, len(bands)) | grid | {"tiled": tiled, **shape}
        raster = rasterio.open(str(plain) + ".ovr" * number, "w", **settings)
        levels.append(stack.enter_context(raster))
        if number == 0:
            _describe_image(raster, bands)
    return levels


def _write_levels(
    levels: list[DatasetWriter],
    row: int,
    counts: NDArray[np.uint16],
    bands: tuple[BandInfo, ...],
) -> None:
    """Write a strip that begins at `row`, and what it is in each overview."""
    for number, raster in enumerate(levels):
        if number:
            counts = _half(counts, bands)
        _, height, width = counts.shape
        raster.write(counts, window=((row >> number, (row >> number) + height), (0, width)))


def _half(counts: NDArray[np.uint16], bands: tuple[BandInfo, ...]) -> NDArray[np.uint16]:
    """The overview of half the size: means of the valid pixels, rounded as the pixels are.

    GDAL's own averages would be rounded to single counts, and take as much room as the image.
    """
    count, height, width = counts.shape
    padded = np.full((count, height + height % 2, width + width % 2), REFLECTANCE_NODATA, np.uint16)
    padded[:, :height, :width] = counts
    quarters = [padded[:, r::2, c::2] for r in (0, 1) for c in (0, 1)]
    out = np.full(quarters[0].shape, REFLECTANCE_NODATA, dtype=np.uint16)
    for band, info in enumerate(bands):
        total: NDArray[np.float32] = np.zeros(out.shape[1:], dtype=np.float32)
        number: NDArray[np.float32] = np.zeros(out.shape[1:], dtype=np.float32)
        for quarter in quarters:
            valid = quarter[band] != REFLECTANCE_NODATA
            total += np.where(valid, quarter[band], 0)
            number += valid
        seen = number > 0
        out[band][seen] = in_steps((total[seen] / number[seen]).astype(np.float32), _step(info))
    return out


def _describe_image(raster: DatasetWriter, bands: tuple[BandInfo, ...]) -> None:
    describe_image(raster, [(band.title, band.wavelength_nm) for band in bands])
    raster.colorinterp = tuple(_COLORS.get(b.role, ColorInterp.undefined) for b in bands)
    raster.update_tags(TIFFTAG_IMAGEDESCRIPTION="Simulated field, drawn by agriseg.simulate")
