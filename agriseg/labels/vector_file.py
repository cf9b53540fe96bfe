"""Reading the polygons of a vector file that meet a scene, in the scene's CRS."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import LabelError, nearest, said_by
from agriseg.geobox import GeoBox
from agriseg.raster.reader import crs_words

__all__ = ["VectorFile", "VectorShapes", "read_vector", "words_of"]

# How people call the column with the class, the likeliest first.
_COLUMNS = ("class_name", "class", "classname", "label", "category", "type", "name", "class_id")


@dataclass(frozen=True)
class VectorFile:
    """Which part of a vector file is wanted.

    Args:
        path: The file.
        layer: Its layer; None for the only one.
        column: The column with the class; None for the one that is called so.
        needs_class: Whether a class is wanted at all.
    """

    path: str
    layer: str | None
    column: str | None
    needs_class: bool


@dataclass(frozen=True, eq=False)
class VectorShapes:
    """What was read.

    Args:
        shapes: (n,) shapely geometries in the scene's CRS, of any type, None among them.
        classes: (n,) entries of the column; None where none is wanted.
        note: What to say of the file, or nothing.
    """

    shapes: NDArray[Any]
    classes: NDArray[Any] | None
    note: str = ""


def read_vector(file: VectorFile, grid: GeoBox, name: str) -> VectorShapes:
    """Read what meets a scene, by the file's spatial index where it has one.

    Args:
        file: What to read.
        grid: The scene's grid.
        name: The scene's name, for messages.

    Raises:
        LabelError: It cannot be read, has no such column, or lies nowhere or elsewhere.
    """
    layer, info = _looked_at(file)
    column = _column(file, [str(field) for field in info["fields"]])
    crs = _crs(file, info["crs"], grid, name)
    box = _box(grid, crs)
    frame = _frame(file, layer, column, box)
    here = frame.crs
    note = ""
    if not len(frame) and info["features"]:
        _refuse_elsewhere(file, info, grid, crs, name)
    if here is not None and grid.crs is not None and not here.equals(_pyproj(grid)):
        words = here.to_string()
        note = f"{file.path} is in {words[:40]}: its polygons were brought into that of {name}"
        frame = _moved(file, frame, grid)
    classes = None if column is None else frame[column].to_numpy(dtype=object)
    return VectorShapes(frame.geometry.to_numpy(), classes, note)


def words_of(file: VectorFile) -> set[str]:
    """All words in the class column.

    Raises:
        LabelError: It cannot be read, or has no such column.
    """
    layer, info = _looked_at(file)
    column = _column(file, [str(field) for field in info["fields"]])
    if _is_parquet(file.path):
        frame = _frame(file, layer, column, None)
    else:
        frame = _pyogrio(file, "read_dataframe", layer=layer, columns=[column], read_geometry=False)
    return {word for word in frame[column].unique() if isinstance(word, str)}


def _is_parquet(path: str) -> bool:
    return Path(path).suffix.lower() in (".parquet", ".geoparquet")


def _pyogrio(file: VectorFile, what: str, **how: Any) -> Any:
    """Call pyogrio; what its drivers raise becomes one line."""
    import pyogrio

    if not os.path.exists(file.path) and not file.path.startswith("/vsi"):
        raise LabelError(f"{file.path}: there is no such file; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(pyogrio, what)(file.path, **how)
    except Exception as error:  # pyogrio and its drivers raise many kinds
        raise LabelError(
            f"{file.path} cannot be read as a vector file: {said_by(error)}; give a GeoPackage, "
            "GeoJSON or Shapefile with polygons"
        ) from error


def _looked_at(file: VectorFile) -> tuple[str | None, dict[str, Any]]:
    """The layer to read and the facts of it."""
    if _is_parquet(file.path):
        frame = _frame(file, None, None, None)
        fields = [column for column in frame.columns if column != frame.geometry.name]
        facts = {"fields": fields, "crs": frame.crs, "features": len(frame)}
        return None, facts | {"total_bounds": frame.total_bounds}
    layers = [str(row[0]) for row in _pyogrio(file, "list_layers") if row[1] is not None]
    layer = file.layer
    if layer is not None and layer not in layers:
        raise LabelError(f"{file.path} has no layer {layer!r}; {nearest(layer, layers)}")
    if layer is None and len(layers) > 1:
        raise LabelError(
            f"{file.path} has {len(layers)} layers ({', '.join(layers[:6])}); say which: layer: "
            f"{layers[0]}"
        )
    if not layers:
        raise LabelError(f"{file.path} has no layer with shapes; polygons are needed")
    layer = layer or layers[0]
    return layer, _pyogrio(file, "read_info", layer=layer, force_total_bounds=False)


def _column(file: VectorFile, fields: list[str]) -> str | None:
    if not file.needs_class:
        return None
    if file.column is not None:
        if file.column in fields:
            return file.column
        has = f"it has {', '.join(fields[:8])}" if fields else "it has none"
        near = nearest(file.column, fields) if fields else ""
        hint = f"; {near}" if near.startswith("did") else ""
        raise LabelError(f"{file.path} has no column {file.column!r}; {has}{hint}")
    folded = {field.casefold(): field for field in reversed(fields)}
    for word in _COLUMNS:
        if word in folded:
            return folded[word]
    has = f"has the columns {', '.join(fields[:8])}" if fields else "has no columns"
    raise LabelError(
        f"{file.path} {has}; say which holds the class with column:, or what all polygons are, as "
        "values: weed"
    )


def _crs(file: VectorFile, crs: Any, grid: GeoBox, name: str) -> Any:
    if crs is None and grid.crs is not None:
        extra = " (a Shapefile's lies in a .prj file beside it)"
        lacking = extra if file.path.lower().endswith(".shp") else ""
        raise LabelError(
            f"{file.path} has no CRS{lacking}, so where its polygons lie is unknown; assign it: "
            f'ogr2ogr -a_srs EPSG:... labels.gpkg "{file.path}"'
        )
    if grid.crs is None and not (crs is None and grid.is_georeferenced):
        raise LabelError(
            f"{name} has no CRS, so polygons of {file.path} cannot be laid onto it; assign one "
            "with gdal_edit.py -a_srs, or give polygons in pixels as COCO annotations (kind: coco)"
        )
    import pyproj

    return None if crs is None else pyproj.CRS.from_user_input(crs)


def _pyproj(grid: GeoBox) -> Any:
    import pyproj

    assert grid.crs is not None
    return pyproj.CRS.from_wkt(grid.crs.to_wkt())


def _box(grid: GeoBox, crs: Any) -> tuple[float, float, float, float] | None:
    """The scene's bounds in the file's CRS; None where it cannot tell them."""
    if crs is None or grid.crs is None:
        return grid.bounds
    import pyproj

    to = pyproj.Transformer.from_crs(_pyproj(grid), crs, always_xy=True)
    left, bottom, right, top = to.transform_bounds(*grid.bounds, densify_pts=21)
    # Over the date line the left lies right of the right.
    finite = bool(np.isfinite([left, bottom, right, top]).all()) and left <= right
    return (left, bottom, right, top) if finite else None


def _frame(
    file: VectorFile,
    layer: str | None,
    column: str | None,
    box: tuple[float, float, float, float] | None,
) -> Any:
    if not _is_parquet(file.path):
        columns = [] if column is None else [column]
        frame = _pyogrio(file, "read_dataframe", layer=layer, columns=columns, bbox=box)
        if not hasattr(frame, "crs"):
            raise LabelError(f"{file.path} has no geometry column; polygons are needed")
        return frame
    import geopandas

    try:
        frame = geopandas.read_parquet(file.path)
    except Exception as error:  # pyarrow and geopandas raise many kinds
        raise LabelError(
            f"{file.path} cannot be read as GeoParquet: {said_by(error)}; give a GeoPackage"
        ) from error
    return frame if box is None else frame.cx[box[0] : box[2], box[1] : box[3]]


def _refuse_elsewhere(
    file: VectorFile, info: dict[str, Any], grid: GeoBox, crs: Any, name: str
) -> None:
    """Refuse labels of another place; a scene without polygons among others may well be."""
    bounds = info.get("total_bounds")
    if bounds is None or not np.isfinite(bounds).all():
        bounds = _pyogrio(file, "read_info", layer=_looked_at(file)[0], force_total_bounds=True)[
            "total_bounds"
        ]
    box = _box(grid, crs)
    if bounds is None or box is None or not np.isfinite(bounds).all():
        return
    if bounds[0] < box[2] and bounds[2] > box[0] and bounds[1] < box[3] and bounds[3] > box[1]:
        return
    spans = [", ".join(f"{value:.8g}" for value in each) for each in (bounds, box)]
    raise LabelError(
        f"{file.path} spans {spans[0]} (left, bottom, right, top), {name} {spans[1]} in the same "
        f"CRS ({crs_words(grid) if crs is None else crs.to_string()[:40]}): the labels lie outside "
        "of the scene; give those of the same place, or check the CRS of both"
    )


def _moved(file: VectorFile, frame: Any, grid: GeoBox) -> Any:
    """The frame in the scene's CRS, all of its coordinates finite."""
    import shapely
    from pyproj.exceptions import ProjError

    said = "some of its points lie outside of what the scene's CRS can show"
    try:
        moved = frame.to_crs(_pyproj(grid))
        if np.isfinite(shapely.get_coordinates(moved.geometry.dropna().to_numpy())).all():
            return moved
    except ProjError as error:
        said = said_by(error)
    raise LabelError(
        f"{file.path} cannot be brought into the scene's CRS: {said}; check the CRS of both"
    )
