"""What somebody wants to see: a run, a path, a scene or a table, and what is to be drawn of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agriseg.errors import InputError, OptionError, shown
from agriseg.farm.scene_of import scene_of
from agriseg.geobox import GeoBox, Window
from agriseg.legend import NODATA, ClassLabel, Legend
from agriseg.publish.layers import legend_of
from agriseg.raster import Inputs, Scene, open_scene
from agriseg.raster.opener import open_raster
from agriseg.raster.source import RasterFile, inspect
from agriseg.runs import Run, open_run
from agriseg.vector.names import read_names

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = [
    "ClassMap",
    "PathLike",
    "class_map_of",
    "column_of",
    "run_of",
    "scene_given",
    "table_of",
]

PathLike = str | os.PathLike[str]

# Okabe and Ito (2008), "Color universal design": eight colours that all eyes tell apart.
_COLORS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#000000",
)
# Pixels of more than this are not counted for a legend: a few seconds.
_MOST_COUNTED = 1 << 26
_STRIP_PIXELS = 1 << 22


@dataclass(frozen=True)
class ClassMap:
    """A class raster that is to be drawn.

    Args:
        path: Of the raster.
        legend: Its classes.
        areas: (hectares or None, percent) of each class by its value; of those that have some.
        nodata: A value that is no class, beside 255.
    """

    path: str
    legend: Legend
    areas: Mapping[int, tuple[float | None, float]]
    nodata: int | None = None


def run_of(what: object) -> Run | None:
    """The run that is meant, if it is one: a run, its folder, or its class map."""
    if isinstance(what, Run):
        return what
    if not isinstance(what, str | os.PathLike):
        return None
    path = Path(what)
    if path.name == "classes.tif" and (path.parent / "run.json").is_file():
        path = path.parent
    return open_run(path) if (path / "run.json").is_file() else None


def scene_given(what: Run | Scene | Inputs) -> Scene:
    """The image: an open scene, that of a run, or what `open_scene` opens.

    Raises:
        InputError: It cannot be opened, or that of a run is gone.
    """
    if isinstance(what, Scene):
        return what
    run = run_of(what)
    return open_scene(what) if run is None else scene_of(run)  # type: ignore[arg-type]


def class_map_of(what: Run | PathLike) -> ClassMap:
    """The class map of a run, or any class raster of bytes.

    Raises:
        InputError: It is none.
    """
    run = run_of(what)
    if run is None and Path(what).is_dir():  # type: ignore[arg-type]
        run = open_run(what)  # type: ignore[arg-type]
    if run is not None:
        rows = run.record.get("classes", ())
        areas = {row["value"]: (row.get("area_ha"), row["percent"]) for row in rows}
        return ClassMap(str(run.classes), legend_of(run), areas)
    return _foreign(os.fspath(what))  # type: ignore[arg-type]


def _foreign(path: str) -> ClassMap:
    """A class raster that is of no run: names and colours from the file."""
    source = inspect(path)
    if source.dtypes[0] != "uint8":
        raise InputError(
            f"{path} holds {source.dtypes[0]} numbers, and classes that can be drawn are bytes "
            "(0 to 254); give the classes.tif of a run, or agriseg.plot.scene or .index for values"
        )
    declared = source.nodata[0]
    nodata = None if declared is None or declared == NODATA else int(declared)
    counts = _counted(path, source.geobox)
    names = read_names(path)
    with open_raster(path) as dataset:
        try:
            palette = dataset.colormap(1)
        except ValueError:
            palette = {}
    there = [k for k in range(NODATA) if counts[k] and k != nodata]
    known = {*there, *(value for value in names if value < NODATA and value != nodata)}
    labels, used = [], set()
    for value in range(max(known, default=0) + 1):
        name = names.get(value, f"class {value}")
        name = f"{name} ({value})" if name in used else name
        used.add(name)
        red, green, blue = palette.get(value, (0, 0, 0))[:3]
        color = f"#{red:02x}{green:02x}{blue:02x}" if value in palette else _COLORS[value % 8]
        labels.append(ClassLabel(value, name, color))
    total = int(counts[there].sum())
    box = source.geobox
    pixel_ha = None if box.area_m2 is None else box.area_m2 / (box.width * box.height) / 1e4
    areas = {
        k: (None if pixel_ha is None else float(counts[k]) * pixel_ha, 100 * counts[k] / total)
        for k in there
    }
    too_large = box.width * box.height > _MOST_COUNTED
    return ClassMap(path, Legend(tuple(labels)), {} if too_large else areas, nodata)


def _counted(path: str, box: GeoBox) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(256,) pixels of each value; of a very large raster, of its overview."""
    with RasterFile(path) as file:
        if box.width * box.height > _MOST_COUNTED:
            shape = (min(box.height, 2000), min(box.width, 2000))
            values = file.read_shrunk([1], shape)
            return np.bincount(values.ravel(), minlength=256)
        counts = np.zeros(256, np.int64)
        step = max(_STRIP_PIXELS // box.width, 1)
        for row in range(0, box.height, step):
            window = Window(0, row, box.width, min(step, box.height - row))
            counts += np.bincount(file.read([1], window).ravel(), minlength=256)
    return counts


def table_of(what: Run | PathLike | gpd.GeoDataFrame, name: str) -> gpd.GeoDataFrame:
    """The polygons of a table: a frame, a file, or NAME.gpkg of a run.

    Raises:
        InputError: There are none.
    """
    import geopandas

    if isinstance(what, geopandas.GeoDataFrame):
        return what
    run = run_of(what)
    if run is None and isinstance(what, str | os.PathLike) and Path(what).is_dir():
        run = open_run(what)
    path = Path(os.fspath(what)) if run is None else run.path / f"{name}.gpkg"  # type: ignore[arg-type]
    if not path.exists():
        raise InputError(
            f"{path}: there is no such file; agriseg health makes fields and zones of a run"
        )
    try:
        # The style that lies beside the table is a table, too.
        layer = _layer(path, name) if path.suffix.lower() == ".gpkg" else None
        frame = (
            geopandas.read_file(path) if layer is None else geopandas.read_file(path, layer=layer)
        )
    except Exception as error:  # pyogrio and its drivers raise many kinds
        said = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a vector file: {said}") from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(f"{path} holds no shapes; give a vector file with polygons")
    return frame


def _layer(path: Path, name: str) -> str:
    """The layer of that name, else the first: the styles for QGIS are a layer too."""
    import pyogrio

    names: list[str] = pyogrio.list_layers(path)[:, 0].tolist()
    return name if name in names else names[0]


def column_of(frame: gpd.GeoDataFrame, column: str) -> str:
    """A column that is there.

    Raises:
        OptionError: It is not; the message says which are.
    """
    if column not in frame.columns:
        numbers = [str(n) for n in frame.select_dtypes("number").columns]
        raise OptionError(
            f"column {shown(column)}: the table has no such column; numbers are in "
            f"{', '.join(numbers) or 'none'}"
        )
    return column
