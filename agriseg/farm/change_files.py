"""The files of a comparison."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import shapely

from agriseg.errors import OutputError
from agriseg.farm.change import Outputs
from agriseg.farm.tables import write_table
from agriseg.farm.transitions import Transitions
from agriseg.geobox import GeoBox
from agriseg.legend import NODATA
from agriseg.raster.floats import FloatLayer, float_cog
from agriseg.raster.writer import ByteLayer, Piece, write_cog
from agriseg.vector.files import PolygonBatch, check_format, write_polygons

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = [
    "INDICES_FILE",
    "RECORD_FILE",
    "TABLE_FILES",
    "TRANSITIONS_FILE",
    "write_change_table",
    "writing",
]

RECORD_FILE = "compare.json"
INDICES_FILE, TRANSITIONS_FILE = "change.tif", "transitions.tif"
TABLE_FILES = ("change.gpkg", "change.csv")
_LAYER = "change"
_BLOCK = 512


@contextlib.contextmanager
def writing(
    folder: Path, grid: GeoBox, transitions: Transitions | None, indices: Sequence[str]
) -> Iterator[Outputs]:
    """Open the maps of a comparison; they come to their names when all went well.

    Maps of an earlier comparison that this one does not make are removed: they would tell of
    another pair.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix=".compare-")
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be written to: {error.strerror}; give another one with -o"
        ) from error
    check_format(folder / TABLE_FILES[0], grid.crs)
    with scratch as place, contextlib.ExitStack() as stack:
        outputs = Outputs()
        if indices:
            layers = [FloatLayer(name, {"what": "second less first"}) for name in indices]
            outputs.indices = stack.enter_context(float_cog(folder / INDICES_FILE, grid, layers))
        plain = Path(place) / TRANSITIONS_FILE
        if transitions is not None:
            outputs.transitions = stack.enter_context(rasterio.open(plain, "w", **_profile(grid)))
        yield outputs
        stack.close()
        if transitions is not None:
            layer = ByteLayer("transition", 0, legend=transitions.legend)
            write_cog(folder / TRANSITIONS_FILE, [Piece(grid.window, plain)], grid, [layer])
    for name, made in ((INDICES_FILE, bool(indices)), (TRANSITIONS_FILE, transitions is not None)):
        for path in (folder / name, folder / f"{name}.aux.xml"):
            if not made:
                path.unlink(missing_ok=True)


def _profile(grid: GeoBox) -> dict[str, Any]:
    tiled = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    return {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "height": grid.height,
        "width": grid.width,
        "nodata": NODATA,
        "crs": grid.crs,
        "transform": grid.transform,
        "compress": "zstd",
        "zstd_level": 1,
        "bigtiff": "if_safer",
        **(tiled if min(grid.shape) >= _BLOCK else {}),
    }


def write_change_table(folder: Path, table: gpd.GeoDataFrame, grid: GeoBox) -> None:
    """Write the table as a GeoPackage and as .csv.

    Raises:
        OutputError: It cannot be written.
    """
    shapes = np.array([_multi(shape) for shape in table.geometry], dtype=object)
    plain = table.drop(columns="geometry")
    drawn = ~shapely.is_empty(shapes)
    columns = {}
    for name in plain:
        values = plain[name].to_numpy()
        if values.dtype.kind != "f":
            values = np.array([None if v is None or v != v else str(v) for v in values], object)
        columns[str(name)] = values[drawn]
    write_polygons(
        folder / TABLE_FILES[0], [PolygonBatch(shapes[drawn], columns)], grid.crs, layer=_LAYER
    )
    write_table(plain, folder / TABLE_FILES[1])


def _multi(shape: Any) -> shapely.MultiPolygon:
    """The polygons of a shape; lines and points of a repaired outline enclose nothing."""
    parts = shapely.get_parts(shapely.get_parts([shape]))
    return shapely.MultiPolygon([part for part in parts if shapely.get_type_id(part) == 3])
