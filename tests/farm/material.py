"""Runs made on the spot: classes and reflectance that are known, and fields with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

import agriseg
from agriseg.legend import Legend
from tests.support import LEGEND, NORTH_UP, UTM, Identity, identity_card, write_raster


def make_run(
    folder: Path,
    name: str,
    classes: NDArray[Any],
    *,
    nir: NDArray[Any] | float = 0.5,
    date: str | None = None,
    crs: CRS = UTM,
    transform: Affine = NORTH_UP,
    scale: float | None = 1.0,
    legend: Legend = LEGEND,
    **about: str,
) -> agriseg.Run:
    """Segment a raster whose red band holds the classes; 255 is nodata.

    With `scale` the numbers are reflectance, without they are digital numbers.
    """
    red = classes.astype(np.float32)
    red[classes == 255] = -9
    bands = np.stack([red, np.broadcast_to(np.float32(nir), red.shape)])
    place = folder / "scenes"
    place.mkdir(parents=True, exist_ok=True)
    path = write_raster(
        place / f"{name}.tif",
        bands,
        crs=crs,
        transform=transform,
        descriptions=["Red", "NIR"],
        nodata=-9,
    )
    card = identity_card(legend=legend)
    facts = about if date is None else {"date": date, **about}
    run = agriseg.segment(
        path,
        folder,
        model=Identity(card),
        name=name,
        about=facts,
        polygons=False,
        fields=False,
        qgis=False,
        **({} if scale is None else {"scale": scale}),
    )
    assert isinstance(run, agriseg.Run)
    return run


def write_fields(
    run: agriseg.Run,
    boxes: Sequence[tuple[float, float, float, float]],
    *,
    crs: CRS = UTM,
    transform: Affine = NORTH_UP,
    **columns: Sequence[Any],
) -> gpd.GeoDataFrame:
    """Leave fields.gpkg in a run: rectangles in (left, top, right, bottom) pixels of a grid."""
    shapes = []
    for left, top, right, bottom in boxes:
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        shapes.append(shapely.Polygon([transform @ corner for corner in corners]))
    ids = columns.pop("field_id", [str(k) for k in range(1, len(boxes) + 1)])
    frame = gpd.GeoDataFrame(
        {"field_id": list(ids), **{key: list(values) for key, values in columns.items()}},
        geometry=shapes,
        crs=crs.to_wkt(),
    )
    frame.to_file(run.path / "fields.gpkg", layer="fields", driver="GPKG")
    return frame
