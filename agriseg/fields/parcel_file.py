"""Opening what a user gives as parcels."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agriseg.errors import InputError, OptionError, nearest, said_by
from agriseg.geobox import GeoBox

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["crs_of", "read_frame"]

_PARQUET = (".parquet", ".geoparquet")
# Of more parcels than this, as in a land register, only those around the map are read.
_MANY = 50_000


def crs_of(box: GeoBox, name: str) -> Any:
    """The map's CRS, as pyproj has it.

    Raises:
        InputError: It has none.
    """
    import pyproj

    if box.crs is None:
        raise InputError(
            f"{name} has no CRS, so parcels cannot be laid onto it, nor its fields measured; "
            f"assign the right one: gdal_edit.py -a_srs EPSG:... {name}"
        )
    return pyproj.CRS.from_wkt(box.crs.to_wkt())


def read_frame(
    source: str | os.PathLike[str] | gpd.GeoDataFrame, box: GeoBox, name: str, layer: str | None
) -> tuple[str, gpd.GeoDataFrame, int]:
    """What it is called; what may meet the map, as it stands there; features in all.

    Of very many only those around the map, by the file's spatial index. The index of the frame
    counts features as the file does.

    Raises:
        InputError: It cannot be read, has no shapes or no CRS.
        OptionError: There is no such layer, or several.
    """
    if not isinstance(source, str | os.PathLike):
        if not hasattr(source, "to_crs") or getattr(source, "_geometry_column_name", None) is None:
            raise InputError(
                f"parcels are a {type(source).__name__}; give the path of a vector file, or a "
                "GeoDataFrame with a geometry column"
            )
        return "the parcels", _with_crs(source, "the parcels"), len(source)
    path = os.fspath(source)
    if not os.path.exists(path) and not path.startswith("/vsi") and "://" not in path:
        raise InputError(f"{path}: there is no such file; check the path of the parcels")
    if Path(path).suffix.lower() in _PARQUET:
        frame = _with_crs(_parquet(path), path)
        return path, frame, len(frame)
    layer = _layer(path, layer)
    info = _pyogrio(path, "read_info", layer=layer, force_feature_count=True)
    if info["geometry_type"] is None:
        raise InputError(f"{path} is a table without shapes; parcels are polygons")
    features = int(info["features"])
    bounds = None
    if features > _MANY and info["crs"] is not None:
        bounds = _bounds(box, info["crs"], name)
    how = {"layer": layer, "fid_as_index": True, "on_invalid": "fix"}
    frame = _pyogrio(path, "read_dataframe", bbox=bounds, **how)
    if bounds is not None and not len(frame):
        # What is there instead is needed to say where that is.
        frame = _pyogrio(path, "read_dataframe", max_features=_MANY, **how)
    return path, _with_crs(frame, path), features


def _bounds(box: GeoBox, crs: Any, name: str) -> tuple[float, float, float, float] | None:
    """The map's bounds in the CRS of the parcels; None where it cannot tell them."""
    import pyproj

    to = pyproj.Transformer.from_crs(crs_of(box, name), crs, always_xy=True)
    left, bottom, right, top = to.transform_bounds(*box.bounds, densify_pts=21)
    # Over the date line the left lies right of the right.
    fine = bool(np.isfinite([left, bottom, right, top]).all()) and left <= right
    return (left, bottom, right, top) if fine else None


def _with_crs(frame: Any, path: str) -> Any:
    if frame.crs is None:
        lacking = " (a Shapefile's lies in a .prj file beside it)" if path.endswith(".shp") else ""
        raise InputError(
            f"{path} has no CRS{lacking}, so where the parcels lie is unknown; assign the right "
            f'one: ogr2ogr -a_srs EPSG:... parcels.gpkg "{path}"'
        )
    return frame


def _layer(path: str, asked: str | None) -> str:
    layers = [str(row[0]) for row in _pyogrio(path, "list_layers") if row[1] is not None]
    if not layers:
        raise InputError(f"{path} has no layer with shapes; parcels are polygons")
    if asked is None and len(layers) > 1:
        raise OptionError(
            f"{path} has {len(layers)} layers ({', '.join(layers[:6])}); say which: --layer "
            f"{layers[0]}"
        )
    if asked is not None and asked not in layers:
        raise OptionError(f"--layer {asked}: {path} has no such layer; {nearest(asked, layers)}")
    return asked or layers[0]


def _pyogrio(path: str, what: str, **how: Any) -> Any:
    """Call pyogrio; what its drivers raise becomes one line."""
    import pyogrio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(pyogrio, what)(path, **how)
    except Exception as error:  # pyogrio and its drivers raise many kinds
        raise InputError(
            f"{path} cannot be read as a vector file: {said_by(error)}; give parcels as a "
            "GeoPackage, Shapefile or GeoJSON"
        ) from error


def _parquet(path: str) -> Any:
    import geopandas as gpd

    try:
        return gpd.read_parquet(path)
    except Exception as error:  # pyarrow and geopandas raise many kinds
        raise InputError(
            f"{path} cannot be read as GeoParquet: {said_by(error)}; give a GeoPackage"
        ) from error
