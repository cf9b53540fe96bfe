"""A landscape as Cloud Optimized GeoTIFFs, drawn and written block by block."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import DatasetWriter
from rasterio.shutil import copy as copy_raster

from agriseg.geobox import Window
from agriseg.raster.writer import ByteLayer, Piece, write_cog, write_rows
from agriseg.simulate.drawing import CACHE_BYTES, Work
from agriseg.simulate.rasters import REFLECTANCE_NODATA, REFLECTANCE_SCALE, STRIP
from agriseg.simulate.satellite.landuse import BOUNDARIES, CLOUDS, LEGEND
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.satellite.render import Rendering, render
from agriseg.simulate.spectra import SENSORS
from agriseg.threads import in_threads

__all__ = ["PLANES", "to_counts", "write_rasters"]

PLANES: Final = 4
"""Byte planes of a block: labels, boundaries, clouds of both dates."""


def write_rasters(recipe: SatelliteRecipe, nest: Path, work: Work) -> NDArray[np.int64]:
    """Draw and write scene.tif, labels.tif, boundaries.tif and clouds.tif.

    Memory is that of a strip of byte planes over the raster's width and of a block for each thread.

    Returns:
        Pixels of each class of `LEGEND`.

    Raises:
        OutputError: A file cannot be written.
        OSError, RasterioError: As above, from GDAL itself.
    """
    plain = nest / "plain.tif"
    pieces: list[Piece] = []
    found = np.zeros(len(LEGEND), dtype=np.int64)

    def draw(window: Window) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        part = render(recipe, window)
        return to_counts(part.reflectance), _planes(part)

    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES))
        raster = stack.enter_context(_open(recipe, plain))
        drawn = in_threads(draw, _blocks(recipe, work.block), work.threads, "simulate")
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
    work.assembling()
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        copy_raster(
            str(plain),
            str(nest / "scene.tif"),
            driver="COG",
            COMPRESS="DEFLATE",
            LEVEL="4",
            PREDICTOR="YES",
            BLOCKSIZE="512",
            BIGTIFF="IF_SAFER",
            OVERVIEW_RESAMPLING="AVERAGE",
            NUM_THREADS="ALL_CPUS",
        )
        _write_truth(recipe, nest, pieces)
    return found


def to_counts(reflectance: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Reflectance as the counts of the image file: 1 at least, below nodata."""
    counts = np.rint(reflectance * np.float32(1 / REFLECTANCE_SCALE))
    return np.asarray(np.clip(counts, 1, REFLECTANCE_NODATA - 1).astype(np.uint16))


def _planes(part: Rendering) -> NDArray[np.uint8]:
    return np.concatenate([part.labels[None], part.boundaries[None], part.clouds])


def _blocks(recipe: SatelliteRecipe, side: int) -> list[Window]:
    """Windows that cover the raster once, strip by strip."""
    return [
        Window(column, row, min(side, recipe.width - column), min(side, end - row))
        for strip in range(0, recipe.height, STRIP)
        for end in (min(strip + STRIP, recipe.height),)
        for row in range(strip, end, side)
        for column in range(0, recipe.width, side)
    ]


def _open(recipe: SatelliteRecipe, plain: Path) -> DatasetWriter:
    """The file that the image's COG is made from."""
    box, bands = recipe.geobox, SENSORS[recipe.sensor]
    tiled = min(recipe.width, recipe.height) >= STRIP
    shape = {"blockxsize": STRIP, "blockysize": STRIP} if tiled else {}
    raster = rasterio.open(
        plain,
        "w",
        driver="GTiff",
        count=2 * len(bands),
        height=recipe.height,
        width=recipe.width,
        dtype="uint16",
        crs=box.crs,
        transform=box.transform,
        nodata=REFLECTANCE_NODATA,
        tiled=tiled,
        interleave="band",
        compress="zstd",
        zstd_level=1,
        predictor=2,
        bigtiff="if_safer",
        **shape,
    )
    stack = [(date, band) for date in (1, 2) for band in bands]
    raster.descriptions = tuple(f"{band.title}@{date}" for date, band in stack)
    raster.scales = (REFLECTANCE_SCALE,) * len(stack)
    raster.offsets = (0.0,) * len(stack)
    raster.units = ("reflectance",) * len(stack)
    for number, (_, band) in enumerate(stack, start=1):
        raster.update_tags(
            number, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"{band.wavelength_nm / 1000:.3f}"
        )
    raster.update_tags(
        TIFFTAG_IMAGEDESCRIPTION="Simulated farmland on two dates, drawn by agriseg.simulate",
        day_of_year_1=str(recipe.first_date),
        day_of_year_2=str(recipe.second_date),
    )
    return raster


def _write_truth(recipe: SatelliteRecipe, nest: Path, pieces: list[Piece]) -> None:
    layers = {
        "labels": ([ByteLayer("class", 0, legend=LEGEND)], LEGEND),
        "boundaries": ([ByteLayer("boundary", 1, legend=BOUNDARIES)], BOUNDARIES),
        "clouds": (
            [ByteLayer(f"clouds@{date}", 1 + date, legend=CLOUDS) for date in (1, 2)],
            CLOUDS,
        ),
    }
    for name, (planes, legend) in layers.items():
        tags = {f"class_{label.value}": label.name for label in legend}
        tags["TIFFTAG_IMAGEDESCRIPTION"] = f"{name.capitalize()} of scene.tif, drawn with it"
        write_cog(nest / f"{name}.tif", pieces, recipe.geobox, planes, tags=tags)
