"""What hides pixels of a scene: alpha bands, cloud classes, the outside of an area."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.errors import InputError, OptionError
from agriseg.geobox import GeoBox

__all__ = [
    "AreaMask",
    "BandMask",
    "ClassMask",
    "Mask",
    "area_points",
    "parse_class_mask",
    "read_area",
]


@dataclass(frozen=True)
class BandMask:
    """An alpha band: 0 marks pixels with nothing in them."""

    path: str
    index: int


@dataclass(frozen=True)
class ClassMask:
    """A class raster, such as Sentinel-2's scene classification, with the values to hide.

    Args:
        path: The class raster; its grid may be coarser than the scene's.
        values: Classes to hide.
        grow_m: Hide everything within this many metres of them too.
        band: Which band holds the classes; None: the only one.
    """

    path: str
    values: frozenset[int]
    grow_m: float = 0.0
    band: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.grow_m) and self.grow_m >= 0):
            raise OptionError(f"--mask-grow-m {self.grow_m}: 0 or a positive number is needed")
        if not self.values:
            raise OptionError(f"--mask {self.path}: no class values were given")


@dataclass(frozen=True)
class AreaMask:
    """Polygons in the scene's CRS, as WKB: pixels whose centre lies outside them are hidden."""

    wkb: tuple[bytes, ...]
    label: str = ""

    def inside(self, geobox: GeoBox) -> NDArray[np.bool_]:
        """(height, width) True where the pixel's centre lies in a polygon."""
        import shapely
        from rasterio.features import geometry_mask

        window = shapely.Polygon(geobox.corners)
        # A tree, because a cutline may hold all fields of a region, and every chip asks.
        tree = _tree(self.wkb)
        polygons = tree.geometries[np.sort(tree.query(window, predicate="intersects"))]
        if not polygons.size:
            return np.zeros(geobox.shape, bool)
        inside: NDArray[np.bool_] = geometry_mask(
            polygons, out_shape=geobox.shape, transform=geobox.transform, invert=True
        )
        return inside


@lru_cache(maxsize=4)
def _tree(wkb: tuple[bytes, ...]) -> Any:
    import shapely

    return shapely.STRtree(shapely.from_wkb(list(wkb)))


Mask = BandMask | ClassMask | AreaMask


def area_points(wkb: bytes) -> list[tuple[float, float]]:
    """The corner points of a polygon's outline."""
    import shapely

    points: list[tuple[float, float]] = shapely.get_coordinates(shapely.from_wkb(wkb)).tolist()
    return points


def parse_class_mask(text: str, grow_m: float = 0.0) -> ClassMask:
    """Read `SCL.tif:0,1,3,8`, or `clouds.tif:2:1,2` for the second band, as a class mask.

    Raises:
        OptionError: It is not a path, perhaps a band, and whole numbers, with colons between.
    """
    path, colon, values = text.rpartition(":")
    rest, mark, number = path.rpartition(":")
    band = None
    if mark and rest and number.isdecimal():
        path, band = rest, int(number)
    try:
        numbers = frozenset(int(value) for value in values.split(","))
    except ValueError:
        numbers = frozenset()
    if not colon or not path or not numbers:
        raise OptionError(
            f"--mask {text!r}: expected a class raster and the values to hide, such as "
            "SCL.tif:0,1,3,8,9,10,11, or clouds.tif:2:1,2 for its second band"
        )
    return ClassMask(path, numbers, grow_m, band)


def read_area(path: str | os.PathLike[str], crs: CRS | None) -> AreaMask:
    """Read the polygons of a vector file, in any CRS, as the area of interest.

    Raises:
        InputError: It cannot be read, holds no polygon, or its CRS or the scene's is unknown.
    """
    import geopandas
    import shapely

    if not Path(path).exists():
        raise InputError(f"--cutline {path}: there is no such file; check the path")
    try:
        frame = geopandas.read_file(path)
    except Exception as error:  # pyogrio and its drivers raise many kinds
        said = " ".join(str(error).split())
        raise InputError(
            f"--cutline {path} cannot be read as a vector file: {said}; give a GeoPackage, "
            "GeoJSON or Shapefile with polygons"
        ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(f"--cutline {path} has no geometry column; polygons are needed")
    if (frame.crs is None) != (crs is None):
        which = f"{path} has" if frame.crs is None else "the scene has"
        raise InputError(
            f"--cutline {path}: {which} no CRS, so the two cannot be laid together; assign it one "
            "first (gdal_edit.py -a_srs for rasters, ogr2ogr -a_srs for vectors)"
        )
    if frame.crs is not None:
        assert crs is not None
        frame = _in_crs(frame, crs, path)
    shapes = shapely.make_valid(frame.geometry.dropna().to_numpy())
    parts = shapely.get_parts(shapely.get_parts(shapes))
    polygons = [p for p in parts if shapely.get_type_id(p) == 3 and not p.is_empty]
    if not polygons:
        raise InputError(f"--cutline {path} holds no polygon; draw the area as a polygon")
    return AreaMask(tuple(shapely.to_wkb(p) for p in polygons), str(path))


def _in_crs(frame: Any, crs: CRS, path: str | os.PathLike[str]) -> Any:
    """The frame's geometries in `crs`, all of their coordinates finite."""
    import shapely
    from pyproj.exceptions import ProjError

    said = "some of its points lie outside of what the scene's CRS can show"
    try:
        moved = frame.to_crs(crs.to_wkt())
        if np.isfinite(shapely.get_coordinates(moved.geometry.dropna().to_numpy())).all():
            return moved
    except ProjError as error:
        said = " ".join(str(error).split())
    raise InputError(
        f"--cutline {path} cannot be brought into the scene's CRS: {said}; check the CRS of both, "
        "or give the polygons in the scene's own"
    )
