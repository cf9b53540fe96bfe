"""Polygons in longitude and latitude, as GeoJSON wants them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio.crs
import shapely
from numpy.typing import NDArray

from agriseg.errors import OutputError

__all__ = ["Turn", "to_lonlat", "wkt_of"]

Turn = Callable[[NDArray[np.object_]], NDArray[np.object_]]


def to_lonlat(path: Path, crs: rasterio.crs.CRS | None) -> Turn:
    """What turns polygons into those of RFC 7946: WGS 84, x to the east, exteriors leftwards.

    Raises:
        OutputError: There is no way from the CRS to longitude and latitude.
    """
    import pyproj

    def refusal(why: str) -> OutputError:
        return OutputError(
            f"{path} cannot be written: GeoJSON holds longitude and latitude, and {why}; give a "
            "name that ends in .gpkg instead, which keeps the coordinate system"
        )

    if not crs:
        raise refusal("the polygons have no coordinate system")
    try:
        source = pyproj.CRS.from_wkt(wkt_of(crs))
        transformer = pyproj.Transformer.from_crs(source, "OGC:CRS84", always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise refusal("nothing leads there from the coordinate system of the polygons") from error

    def turn(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(xy[:, 0], xy[:, 1], errcheck=True))

    def turned(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
        try:
            lonlat = shapely.transform(geometry, turn)
        except pyproj.exceptions.ProjError as error:
            raise refusal("some polygons lie outside the area of their projection") from error
        west, _, east, _ = shapely.bounds(lonlat).T
        if not source.is_geographic and (east - west > 180).any():
            raise refusal(
                "polygons on both sides of the 180th meridian would reach around the whole Earth"
            )
        oriented: NDArray[np.object_] = shapely.orient_polygons(lonlat)
        return oriented

    return turned


def wkt_of(crs: rasterio.crs.CRS) -> str:
    """A CRS in the words that GDAL, pyproj and QGIS share."""
    return str(crs.to_wkt(version="WKT2_2019"))
