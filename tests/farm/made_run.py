"""Finished runs of small scenes, made on the spot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS

from agriseg import segment
from agriseg.geobox import GeoBox
from agriseg.runs import Run
from tests.support import UTM, Identity, write_raster

HEIGHT, WIDTH = 40, 60
GRID = Affine(0.5, 0, 360000, 0, -0.5, 5350000)


@dataclass(frozen=True)
class Farm:
    """A run, and what it was made from."""

    run: Run
    scene: Path
    box: GeoBox
    data: np.ndarray[Any, Any]

    def parcels(
        self, *rects: tuple[float, float, float, float], **columns: Any
    ) -> gpd.GeoDataFrame:
        """Parcels from (first column, first row, last column, last row)."""
        shapes = [
            shapely.Polygon([self.box.transform @ corner for corner in ring])
            for a, b, c, d in rects
            for ring in [((a, b), (c, b), (c, d), (a, d))]
        ]
        return gpd.GeoDataFrame(columns, geometry=shapes, crs=self.box.crs)


def make_farm(
    folder: Path,
    *,
    crs: CRS | None = UTM,
    transform: Affine = GRID,
    bands: tuple[str, ...] = ("green", "red", "nir"),
    about: dict[str, str] | None = None,
    seed: int = 7,
) -> Farm:
    """A run whose classes are the red band: soil 0, crop 1, weed 2; nodata at the right."""
    random = np.random.default_rng(seed)
    data = random.uniform(0.2, 3, (len(bands), HEIGHT, WIDTH)).astype(np.float32)
    data[bands.index("red")] = random.choice([0, 1, 1, 2], (HEIGHT, WIDTH))
    data[:, :, -9:] = -1
    (folder / "flights").mkdir()
    path = write_raster(
        folder / "flights" / "field.tif",
        data,
        crs=crs,
        transform=transform,
        nodata=-1,
        descriptions=bands,
    )
    run = segment(
        str(path),
        folder / "out",
        model=Identity(),
        scale=1.0,
        about=about,
        polygons=False,
        fields=False,
        qgis=False,
    )
    assert isinstance(run, Run)
    return Farm(run, path, GeoBox(crs, transform, WIDTH, HEIGHT), data)
