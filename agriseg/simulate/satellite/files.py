"""A landscape as Cloud Optimized GeoTIFFs, drawn and written block by block."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import DatasetWriter

from agriseg.geobox import Window
from agriseg.raster.writer import ByteLayer, Piece, copy_cog, write_cog, write_rows
from agriseg.simulate.drawing import Work, gdal_cache
from agriseg.simulate.satellite.landuse import BOUNDARIES, CLOUDS, LEGEND
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.satellite.render import render
from agriseg.simulate.spectra import SENSORS
from agriseg.simulate.strips import (
    REFLECTANCE_SCALE,
    STRIP,
    blocks,
    describe_image,
    in_steps,
    profile,
)

__all__ = ["PLANES", "assembly", "draw_rasters"]

_PLAIN: Final = "plain.tif"
# A third of the usual noise: files shrink by a fifth and are written in less time.
_STEP: Final = 4

PLANES: Final = 4
"""Byte planes of a block: labels, boundaries, clouds of both dates."""


def draw_rasters(
    recipe: SatelliteRecipe, nest: Path, work: Work
) -> tuple[NDArray[np.int64], list[Piece]]:
    """Draw all rasters into files that `assembly` makes the final ones from.

    Memory is that of a strip of byte planes over the raster's width and of a block for each that is
    drawn at a time.

    Returns:
        Pixels of each class of `LEGEND`, and the files of byte planes.

    Raises:
        OutputError: A file cannot be written.
        OSError, RasterioError: As above, from GDAL itself.
        AgrisegError: A worker process died.
    """
    plain = nest / _PLAIN
    pieces: list[Piece] = []
    found = np.zeros(len(LEGEND), dtype=np.int64)

    with contextlib.ExitStack() as stack:
        stack.enter_context(gdal_cache())
        raster = stack.enter_context(_open(recipe, plain))
        # Twice as wide as high: fewer blocks of land are cut for two of them.
        windows = blocks(recipe, work.block, 2 * work.block)
        drawn = work.each(partial(_drawn, recipe), windows)
        stack.enter_context(contextlib.closing(drawn))
        for row in range(0, recipe.height, STRIP):
            strip = Window(0, row, recipe.width, min(STRIP, recipe.height - row))
            planes = np.empty((PLANES, strip.height, strip.width), dtype=np.uint8)
            missing = strip.height * strip.width
            while missing:
                window, (counts, part) = next(drawn)
                rows = slice(window.row_off - row, window.row_end - row)
                columns = slice(window.col_off, window.col_end)
                planes[:, rows, columns] = part
                place = ((window.row_off, window.row_end), (window.col_off, window.col_end))
                raster.write(counts, window=place)
                missing -= window.width * window.height
                work.advance(window.width * window.height)
            pieces.append(Piece(strip, nest / f"planes-{row}.tif"))
            write_rows(pieces[-1].path, planes)
            found += np.bincount(planes[0].ravel(), minlength=len(LEGEND))
    return found, pieces


def _drawn(recipe: SatelliteRecipe, window: Window) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Counts (bands, rows, columns) and byte planes of a block."""
    part = render(recipe, window)
    counts = part.reflectance * np.float32(1 / REFLECTANCE_SCALE)
    planes = np.concatenate([part.labels[None], part.boundaries[None], part.clouds])
    return in_steps(counts, _STEP), planes


def _open(recipe: SatelliteRecipe, plain: Path) -> DatasetWriter:
    """The file that the image's COG is made from."""
    bands = SENSORS[recipe.sensor]
    tiled = min(recipe.width, recipe.height) >= STRIP
    shape = {"blockxsize": STRIP, "blockysize": STRIP} if tiled else {}
    settings = profile(recipe, 2 * len(bands)) | {"tiled": tiled, **shape}
    raster = rasterio.open(plain, "w", **settings)
    stack = [(f"{b.title}@{date}", b.wavelength_nm) for date in (1, 2) for b in bands]
    describe_image(raster, stack)
    raster.update_tags(
        TIFFTAG_IMAGEDESCRIPTION="Simulated farmland on two dates, drawn by agriseg.simulate",
        day_of_year_1=str(recipe.first_date),
        day_of_year_2=str(recipe.second_date),
    )
    return raster


def assembly(recipe: SatelliteRecipe, nest: Path, pieces: list[Piece]) -> list[Callable[[], None]]:
    """What is left to do to make the final files: each can run beside the others."""
    layers = {
        "labels": ([ByteLayer("class", 0, legend=LEGEND)], LEGEND),
        "boundaries": ([ByteLayer("boundary", 1, legend=BOUNDARIES)], BOUNDARIES),
        "clouds": (
            [ByteLayer(f"clouds@{date}", 1 + date, legend=CLOUDS) for date in (1, 2)],
            CLOUDS,
        ),
    }

    def image() -> None:
        with gdal_cache():
            copy_cog(
                nest / _PLAIN,
                nest / "scene.tif",
                LEVEL="1",
                PREDICTOR="YES",
                OVERVIEW_RESAMPLING="AVERAGE",
            )

    def truth(name: str) -> None:
        planes, legend = layers[name]
        tags = {f"class_{label.value}": label.name for label in legend}
        tags["TIFFTAG_IMAGEDESCRIPTION"] = f"{name.capitalize()} of scene.tif, drawn with it"
        with gdal_cache():
            write_cog(nest / f"{name}.tif", pieces, recipe.geobox, planes, tags=tags)

    return [image, *(partial(truth, name) for name in layers)]
