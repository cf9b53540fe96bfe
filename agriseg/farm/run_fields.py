"""The fields of a run, and outlines that name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agriseg.errors import InputError, OutputError
from agriseg.runs import Run

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["FIELDS_LAYER", "ZONES_LAYER", "outlines_from", "read_run_fields", "spare"]

FIELDS_LAYER, ZONES_LAYER = "fields", "zones"
"""The layers in fields.gpkg and zones.gpkg of a run."""


def read_run_fields(run: Run) -> gpd.GeoDataFrame:
    """The fields of a run with their numbers.

    Raises:
        InputError: There are none; the message holds the command that makes them.
    """
    import geopandas

    path = run.folder.fields
    if not path.is_file():
        raise InputError(
            f"{run.path} has no {path.name}, the fields with their numbers; make it first: "
            f'agriseg health "{run.path}"'
        )
    try:
        frame = geopandas.read_file(path, layer=FIELDS_LAYER)
    except Exception as error:  # pyogrio and its drivers raise many kinds
        said = " ".join(str(error).split())
        raise InputError(
            f'{path} cannot be read: {said}; make it anew: agriseg health "{run.path}"'
        ) from error
    if not isinstance(frame, geopandas.GeoDataFrame) or "field_id" not in frame:
        raise InputError(
            f"{path} has no outlines with a column field_id; make it anew: agriseg health "
            f'"{run.path}"'
        )
    return frame


def outlines_from(fields: str | Path | gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Outlines with a `field_id`, from a vector file or a frame; numbers from 1 where it lacks.

    Raises:
        InputError: They cannot be read.
    """
    import geopandas

    if isinstance(fields, geopandas.GeoDataFrame):
        frame, where = fields, "the given frame"
    else:
        where = f"--fields {fields}"
        if not Path(fields).exists():
            raise InputError(f"{where}: there is no such file; check the path")
        try:
            # Few builds of GDAL know GeoParquet.
            is_parquet = Path(fields).suffix.lower() in (".parquet", ".geoparquet")
            read = geopandas.read_parquet if is_parquet else geopandas.read_file
            frame = read(fields)
        except Exception as error:  # pyogrio and its drivers raise many kinds
            said = " ".join(str(error).split())
            raise InputError(
                f"{where} cannot be read as a vector file: {said}; give a GeoPackage, GeoParquet, "
                "GeoJSON or Shapefile with polygons"
            ) from error
    if not isinstance(frame, geopandas.GeoDataFrame) or not len(frame):
        raise InputError(f"{where} holds no outlines; give a vector file with polygons")
    frame = frame if frame.geometry.name == "geometry" else frame.rename_geometry("geometry")
    ids = frame.get("field_id", range(1, len(frame) + 1))
    return frame.assign(field_id=[str(value) for value in ids])


def spare(fields: str | Path | gpd.GeoDataFrame | None, out: Path) -> None:
    """See that a result does not take the place of the outlines that it is made with.

    Raises:
        OutputError: It would.
    """
    if isinstance(fields, str | Path) and Path(fields).resolve() == out.resolve():
        raise OutputError(
            f"{out} holds the outlines and would be replaced by the result; give another place "
            "with -o"
        )
