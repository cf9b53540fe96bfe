"""Which plant a pixel shows, and numbers for all that show one, found strip by strip."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import DatasetWriter

from agriseg.geobox import Window
from agriseg.raster.writer import copy_cog
from agriseg.simulate.drawing import gdal_cache
from agriseg.simulate.noise import Ints
from agriseg.simulate.plants import Plants, largest_plant_m
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.shapes import leaf_reach

__all__ = ["CROP_CLASS", "WEED_CLASS", "Instances", "Numbering", "plants_of_pixels", "reach_px"]

CROP_CLASS, WEED_CLASS = 1, 2
"""The values of `field.LEGEND` that stand for plants."""

# Half the width of a leaf at its tip, and the pixel that it covers only in part.
_SLACK_M, _SLACK_PX = 0.05, 2


def reach_px(recipe: FieldRecipe) -> int:
    """No plant shows a pixel more rows or columns than this away from its stem."""
    metres = leaf_reach(recipe) * largest_plant_m(recipe) + _SLACK_M
    return math.ceil(metres / recipe.gsd_m) + _SLACK_PX


def plants_of_pixels(
    seen: NDArray[np.int32],
    labels: NDArray[np.uint8],
    plants: Plants,
    classes: NDArray[np.uint8],
    samples: int,
) -> Ints:
    """The plant of each pixel: of those of its label's class, the one that most samples show.

    At a draw it is the one whose sample comes first in reading order.

    Args:
        seen: (height x samples, width x samples) lines of `plants`, -1 for none.
        labels: (height, width) classes.
        plants: The table.
        classes: Of the plants.
        samples: Along a pixel's side.

    Returns:
        (height, width) of `Plants.identity`, 0 where the label is no plant.
    """
    found = np.zeros(labels.shape, dtype=np.int64)
    at = np.flatnonzero((labels == CROP_CLASS) | (labels == WEED_CLASS))
    row, column = np.divmod(at, labels.shape[1])
    parts = [seen[r::samples, c::samples] for r in range(samples) for c in range(samples)]
    shown = np.stack([part[row, column] for part in parts])
    # The last one is for -1.
    fits = np.append(classes, np.uint8(0))[shown] == labels.ravel()[at]
    votes = np.zeros(shown.shape, dtype=np.uint8)
    for one in shown:
        votes += one == shown
    best = np.argmax(votes * fits, axis=0)
    found.ravel()[at] = plants.identity[shown[best, np.arange(len(at))]]
    return found


@dataclass(frozen=True)
class Instances:
    """The plants that show a pixel, numbered from 1 by the first one in reading order.

    Args:
        raster: A file with the number that each pixel shows, 0 for none, uint32.
        table: A file with `Plants.identity` and the column of the first pixel of each, int64.
        starts: (height + 1,) how many plants show their first pixel above each row.
    """

    raster: Path
    table: Path
    starts: Ints

    def __len__(self) -> int:
        return int(self.starts[-1])

    def between(self, row: int, end: int) -> tuple[int, Ints, Ints]:
        """Those whose first pixel lies in the rows from `row` to before `end`.

        Returns:
            How many come before them, their identities, and the columns of their first pixels.
        """
        height = len(self.starts) - 1
        first, last = (int(self.starts[min(max(r, 0), height)]) for r in (row, end))
        lines = np.fromfile(self.table, np.int64, 2 * (last - first), offset=16 * first)
        return first, lines[0::2], lines[1::2]

    def copy_to(self, path: Path) -> None:
        """Write the raster as a Cloud Optimized GeoTIFF."""
        with gdal_cache():
            copy_cog(self.raster, path, LEVEL="6", PREDICTOR="NO", OVERVIEW_RESAMPLING="NEAREST")


class Numbering(contextlib.AbstractContextManager["Numbering"]):
    """Numbers the plants of a field while its strips come in from top to bottom.

    Args:
        recipe: The field.
        nest: A folder for the two files.
    """

    def __init__(self, recipe: FieldRecipe, nest: Path) -> None:
        self._recipe = recipe
        self._paths = nest / "numbers.tif", nest / "identities.bin"
        self._stack = contextlib.ExitStack()
        self._span = 2 * reach_px(recipe)
        # Plants that the next rows may show again: identity (rising), number, end of their strip.
        self._open = np.zeros((3, 0), dtype=np.int64)
        self._counts = np.zeros(recipe.height + 1, dtype=np.int64)
        self._total = 0

    def __enter__(self) -> Self:
        recipe, (raster, table) = self._recipe, self._paths
        self._raster: DatasetWriter = self._stack.enter_context(
            rasterio.open(
                raster,
                "w",
                driver="GTiff",
                count=1,
                height=recipe.height,
                width=recipe.width,
                dtype="uint32",
                crs=recipe.geobox.crs,
                transform=recipe.geobox.transform,
                nodata=0,
                tiled=True,
                blockxsize=512,
                blockysize=512,
                compress="zstd",
                zstd_level=1,
                bigtiff="if_safer",
            )
        )
        self._raster.set_band_description(1, "instance")
        self._raster.update_tags(
            TIFFTAG_IMAGEDESCRIPTION="Plants, numbered as `instance` in plants.gpkg; 0 for none"
        )
        self._table: IO[bytes] = self._stack.enter_context(table.open("wb"))
        return self

    def __exit__(self, *fault: object) -> None:
        self._stack.close()

    def add(self, window: Window, identities: Ints) -> None:
        """Take the next strip: (rows, width) of `Rendering.instances`."""
        flat = identities.ravel()
        begins = np.append(True, flat[1:] != flat[:-1])
        starts = np.flatnonzero(begins)
        runs = flat[starts]
        found, first, which = np.unique(runs, return_index=True, return_inverse=True)
        known, known_numbers, _ = self._open
        place = np.searchsorted(known, found)
        is_known = np.append(known, -1)[np.minimum(place, len(known))] == found
        is_new = ~is_known & (found > 0)
        order = np.flatnonzero(is_new)[np.argsort(first[is_new])]
        numbers = np.zeros(len(found), dtype=np.int64)
        numbers[is_known] = known_numbers[place[is_known]]
        numbers[order] = self._total + 1 + np.arange(len(order))
        assert self._total + len(order) < 1 << 32
        self._total += len(order)
        row, column = np.divmod(starts[first[order]], window.width)
        self._table.write(np.stack([found[order], column], axis=1).tobytes())
        np.add.at(self._counts, window.row_off + row + 1, 1)
        values = numbers[which].astype(np.uint32)
        raster = np.repeat(values, np.diff(np.append(starts, len(flat))))
        self._raster.write(raster.reshape(1, window.height, window.width), window=_span(window))
        self._keep(found, numbers, window.row_end)

    def _keep(self, found: Ints, numbers: Ints, end: int) -> None:
        shows = found > 0
        seen = np.stack([found[shows], numbers[shows], np.full(int(shows.sum()), end)])
        rest = ~np.isin(self._open[0], seen[0]) & (self._open[2] + self._span >= end)
        both = np.concatenate([seen, self._open[:, rest]], axis=1)
        self._open = both[:, np.argsort(both[0])]

    def done(self) -> Instances:
        """All of them; the files are closed."""
        self._stack.close()
        return Instances(*self._paths, np.cumsum(self._counts))


def _span(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.row_off, window.row_end), (window.col_off, window.col_end)
