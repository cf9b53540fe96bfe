"""Writing a simulated field as the two GeoTIFFs of `sample_data`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.shutil import copy as copy_raster

from agriseg.errors import OutputError
from agriseg.geobox import Window
from agriseg.legend import NODATA
from agriseg.simulate.field import LEGEND, render
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.spectra import BANDS

__all__ = [
    "REFLECTANCE_NODATA",
    "REFLECTANCE_SCALE",
    "blocks",
    "to_counts",
    "write_field",
    "write_sample",
]

REFLECTANCE_SCALE = 1e-4
"""Reflectance of one count in the image file."""
REFLECTANCE_NODATA = 65535

# Counts between two values that are written, per band: 5.0 MB for the sample in place of 13.1 MB
# with single counts, for an error of at most 0.0016 (blue, green, red) to 0.0064 (NIR). Powers of
# two, because deflate packs bytes: steps of 64 leave the low byte four values and make 4.3 MB,
# steps of 50 make 5.1 MB.
_STEPS = (32, 32, 32, 64, 128)

# Overviews are halved until they fit one tile.
_SMALLEST_OVERVIEW = 512

_COLORS = {"blue": ColorInterp.blue, "green": ColorInterp.green, "red": ColorInterp.red}


def write_sample(folder: str | Path, recipe: FieldRecipe | None = None) -> Path:
    """Write `field.tif` and `field_labels.tif` into `folder`, which is made where it is missing.

    Args:
        folder: Where to.
        recipe: The field; by default the one that agriseg ships.

    Returns:
        Path of the image.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    folder = Path(folder)
    image = folder / "field.tif"
    write_field(recipe or FieldRecipe(), image, folder / "field_labels.tif")
    return image


def write_field(recipe: FieldRecipe, image: Path, labels: Path) -> None:
    """Render a field and write it as two cloud-optimised GeoTIFFs on one grid.

    Args:
        recipe: The field; its pixels are held in memory, 11 bytes each.
        image: Where the reflectance goes: uint16, scale 1e-4, nodata 65535.
        labels: Where the labels go: uint8 with a palette, nodata 255.

    Raises:
        OutputError: A file cannot be written.
    """
    counts = np.empty((len(BANDS), recipe.height, recipe.width), dtype=np.uint16)
    classes = np.empty((recipe.height, recipe.width), dtype=np.uint8)
    for window in blocks(recipe):
        part = render(recipe, window)
        rows, columns = window.slices
        counts[:, rows, columns] = to_counts(part.reflectance, part.valid)
        classes[rows, columns] = part.labels
    levels = [counts]
    while max(levels[-1].shape[1:]) > _SMALLEST_OVERVIEW:
        levels.append(_half(levels[-1]))
    _write_cog(image, recipe, levels, REFLECTANCE_NODATA, _describe_image)
    _write_cog(labels, recipe, [classes[None]], NODATA, _describe_labels)


def blocks(recipe: FieldRecipe, side: int = 512) -> Iterator[Window]:
    """Windows of at most `side` by `side` pixels that cover the field once, row by row."""
    for row in range(0, recipe.height, side):
        for column in range(0, recipe.width, side):
            width, height = min(side, recipe.width - column), min(side, recipe.height - row)
            yield Window(column, row, width, height)


def to_counts(reflectance: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Reflectance (bands, height, width) as the counts of the image file."""
    out = np.full(reflectance.shape, REFLECTANCE_NODATA, dtype=np.uint16)
    for band, step in enumerate(_STEPS):
        counts = reflectance[band][valid] * np.float32(1 / REFLECTANCE_SCALE)
        out[band][valid] = _in_steps(counts, step)
    return out


def _in_steps(counts: NDArray[np.float32], step: int) -> NDArray[np.uint16]:
    """Counts rounded to multiples of `step`, above 0 and below nodata."""
    rounded = np.rint(counts * np.float32(1 / step)) * step
    bounded = np.clip(rounded, step, REFLECTANCE_NODATA - step)
    return np.asarray(bounded.astype(np.uint16))


def _half(counts: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The overview of half the size: means of the valid pixels, rounded as the pixels are.

    GDAL's own averages would be rounded to single counts, and take as much room as the image.
    """
    bands, height, width = counts.shape
    padded = np.full((bands, height + height % 2, width + width % 2), REFLECTANCE_NODATA, np.uint16)
    padded[:, :height, :width] = counts
    quarters = [padded[:, r::2, c::2] for r in (0, 1) for c in (0, 1)]
    total = np.zeros(quarters[0].shape, dtype=np.float32)
    number = np.zeros(quarters[0].shape, dtype=np.float32)
    for quarter in quarters:
        valid = quarter != REFLECTANCE_NODATA
        total += np.where(valid, quarter, 0)
        number += valid
    out = np.full(total.shape, REFLECTANCE_NODATA, dtype=np.uint16)
    for band, step in enumerate(_STEPS):
        seen = number[band] > 0
        out[band][seen] = _in_steps(total[band][seen] / number[band][seen], step)
    return out


def _describe_image(raster: DatasetWriter) -> None:
    raster.descriptions = tuple(band.title for band in BANDS)
    raster.scales = (REFLECTANCE_SCALE,) * len(BANDS)
    raster.offsets = (0.0,) * len(BANDS)
    raster.units = ("reflectance",) * len(BANDS)
    raster.colorinterp = tuple(_COLORS.get(b.role, ColorInterp.undefined) for b in BANDS)
    for number, band in enumerate(BANDS, start=1):
        raster.update_tags(
            number, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"{band.wavelength_nm / 1000:.3f}"
        )
    raster.update_tags(TIFFTAG_IMAGEDESCRIPTION="Simulated field, drawn by agriseg.simulate")


def _describe_labels(raster: DatasetWriter) -> None:
    raster.descriptions = ("class",)
    raster.write_colormap(1, {label.value: (*label.rgb, 255) for label in LEGEND})
    names = {f"class_{label.value}": label.name for label in LEGEND}
    raster.update_tags(TIFFTAG_IMAGEDESCRIPTION="Labels of field.tif, drawn with it", **names)


def _write_cog(
    path: Path,
    recipe: FieldRecipe,
    levels: Sequence[NDArray[np.uint16] | NDArray[np.uint8]],
    nodata: int,
    describe: Callable[[DatasetWriter], None],
) -> None:
    """Write a COG beside its place, then rename it into it.

    Args:
        path: Where the file goes.
        recipe: The field, for its grid.
        levels: The pixels (bands, height, width), then overviews, each half as large; without
            overviews GDAL makes them, by the most frequent value.
        nodata: The value of pixels outside the mosaic.
        describe: Names bands and values.
    """
    box = recipe.geobox
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as nest:
            # GDAL takes overviews from files named for what they shrink: .ovr, .ovr.ovr.
            plain = f"{nest}/plain.tif"
            for number, data in enumerate(levels):
                bands, height, width = data.shape
                with rasterio.open(
                    plain + ".ovr" * number,
                    "w",
                    driver="GTiff",
                    count=bands,
                    height=height,
                    width=width,
                    dtype=data.dtype.name,
                    crs=box.crs,
                    transform=box.transform @ Affine.scale(2**number),
                    nodata=nodata,
                ) as raster:
                    if number == 0:
                        describe(raster)
                    raster.write(data)
            copy_raster(
                plain,
                f"{nest}/{path.name}",
                driver="COG",
                COMPRESS="DEFLATE",
                LEVEL="9",
                PREDICTOR="YES" if levels[0].dtype == np.uint16 else "NO",
                BLOCKSIZE="512",
                OVERVIEW_RESAMPLING="MODE",
            )
            os.replace(f"{nest}/{path.name}", path)
    except (OSError, RasterioError) as error:
        raise OutputError(
            f"{path} cannot be written ({error}); choose a folder that can be written"
        ) from error
