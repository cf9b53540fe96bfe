"""What simulated images share: their numbers, the names of bands, the strips they grow by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetWriter

from agriseg.geobox import Window
from agriseg.simulate.grid_recipe import GridRecipe

__all__ = [
    "REFLECTANCE_NODATA",
    "REFLECTANCE_SCALE",
    "STRIP",
    "blocks",
    "describe_image",
    "in_steps",
    "profile",
]

REFLECTANCE_SCALE = 1e-4
"""Reflectance of one count in an image file."""
REFLECTANCE_NODATA = 65535

STRIP = 512
"""Rows that are held in memory at a time: one row of tiles."""


def blocks(recipe: GridRecipe, height: int, width: int) -> Iterator[Window]:
    """Windows of at most this size that cover the raster once, strip by strip."""
    for strip in range(0, recipe.height, STRIP):
        end = min(strip + STRIP, recipe.height)
        for row in range(strip, end, height):
            for column in range(0, recipe.width, width):
                columns = min(width, recipe.width - column)
                yield Window(column, row, columns, min(height, end - row))


def profile(recipe: GridRecipe, bands: int) -> dict[str, Any]:
    """How the file is made that an image's COG comes from, but for its tiles."""
    return {
        "driver": "GTiff",
        "count": bands,
        "height": recipe.height,
        "width": recipe.width,
        "dtype": "uint16",
        "crs": recipe.geobox.crs,
        "transform": recipe.geobox.transform,
        "nodata": REFLECTANCE_NODATA,
        "interleave": "band",
        "compress": "zstd",
        "zstd_level": 1,
        "predictor": 2,
        "bigtiff": "if_safer",
    }


def describe_image(raster: DatasetWriter, bands: Sequence[tuple[str, float]]) -> None:
    """Write what the bands are: (name, wavelength in nm) of each."""
    raster.descriptions = tuple(name for name, _ in bands)
    raster.scales = (REFLECTANCE_SCALE,) * len(bands)
    raster.offsets = (0.0,) * len(bands)
    raster.units = ("reflectance",) * len(bands)
    for number, (_, nm) in enumerate(bands, start=1):
        raster.update_tags(number, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"{nm / 1000:.3f}")


def in_steps(counts: NDArray[np.float32], step: int) -> NDArray[np.uint16]:
    """Counts rounded to multiples of `step`, above 0 and below nodata."""
    rounded = np.rint(counts * np.float32(1 / step))
    rounded *= np.float32(step)
    np.clip(rounded, np.float32(step), np.float32(REFLECTANCE_NODATA - step), out=rounded)
    return np.asarray(rounded.astype(np.uint16))
