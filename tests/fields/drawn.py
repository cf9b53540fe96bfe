"""Class maps with rows whose direction and spacing are known, drawn in metres on the ground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.fields.kinds import Kinds
from tests.support import UTM

KINDS = Kinds(frozenset({1}), frozenset({2}), frozenset({0}))
NAMES = ("soil", "crop", "weed")
EAST, NORTH = 360_000.0, 5_350_000.0


def placed(a: float, b: float, d: float, e: float) -> Affine:
    """A grid in UTM whose pixels have these sides."""
    return Affine(a, b, EAST, d, e, NORTH)


def rows_of(
    height: int,
    width: int,
    per_pixel: NDArray[np.float64],
    direction_deg: float,
    spacing_m: float,
    *,
    band: float = 0.4,
    gaps: float = 0.1,
    weeds: float = 0.02,
    sway_m: float = 0.0,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Rows of plants: soil 0, crop 1, weed 2.

    Args:
        height: Pixels.
        width: Pixels.
        per_pixel: (2, 2) metres east and north of a step of a column, and of a row.
        direction_deg: Clockwise from north.
        spacing_m: Metres.
        band: Width of the crop over the spacing.
        gaps: Share of the plants that are missing.
        weeds: Share of the soil's pixels that are weed, and as much that is wrongly crop.
        sway_m: Rows swing this far to both sides over 12 m.
        seed: Of what is random.
    """
    random = np.random.default_rng(seed)
    row, col = np.mgrid[:height, :width] + 0.5
    east = per_pixel[0, 0] * col + per_pixel[0, 1] * row
    north = per_pixel[1, 0] * col + per_pixel[1, 1] * row
    turn = np.radians(direction_deg)
    along = east * np.sin(turn) + north * np.cos(turn)
    across = east * np.cos(turn) - north * np.sin(turn)
    across = (across - sway_m * np.sin(along * 2 * np.pi / 12)) / spacing_m
    number = np.floor(across + 0.5)
    plant = np.floor(along / (0.7 * spacing_m) + 0.37 * number)
    table = random.random((997, 991))
    there = table[number.astype(int) % 997, plant.astype(int) % 991] >= gaps
    classes = ((np.abs(across - number) < band / 2) & there).astype(np.uint8)
    spots = random.random(classes.shape)
    classes[(classes == 0) & (spots < weeds)] = 2
    classes[(classes == 0) & (spots > 1 - weeds)] = 1
    return classes


def matrix_of(transform: Affine) -> NDArray[np.float64]:
    """The metres of a pixel's sides on a map in metres."""
    return np.array([[transform.a, transform.b], [transform.d, transform.e]])


def write_classes(
    path: Path,
    classes: NDArray[Any],
    transform: Affine,
    crs: CRS | None = UTM,
    names: tuple[str, ...] = NAMES,
) -> Path:
    """A class raster as a run leaves it: names, and 255 for nodata."""
    height, width = classes.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        height=height,
        width=width,
        crs=crs,
        transform=transform,
        nodata=255,
    ) as dataset:
        dataset.write(classes.astype(np.uint8), 1)
    if names:
        listed = "".join(f"<Category>{name}</Category>" for name in names)
        Path(f"{path}.aux.xml").write_text(
            f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{listed}</CategoryNames>'
            "</PAMRasterBand></PAMDataset>"
        )
    return path
