"""Fields with their numbers in files: GeoPackage, GeoParquet and their like, or CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rasterio.crs

from agriseg.farm.run_fields import FIELDS_LAYER
from agriseg.farm.tables import check_table, write_table
from agriseg.fields.table import batch_of
from agriseg.vector.files import check_format, write_polygons

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["check_field_file", "write_fields"]


def check_field_file(path: Path, crs: rasterio.crs.CRS | None, csv_sep: str = ",") -> None:
    """See, before any work, that fields can be written to a file.

    Raises:
        OutputError: They cannot.
        OptionError: `csv_sep` can stand between no columns.
    """
    if path.suffix.lower() == ".csv":
        check_table(path, csv_sep)
    else:
        check_format(path, crs)


def write_fields(
    table: gpd.GeoDataFrame, path: Path, *, csv_sep: str = ",", layer: str = FIELDS_LAYER
) -> None:
    """Write fields, or parts of them; into a .csv without their outlines.

    Raises:
        OutputError: They cannot be written.
    """
    if path.suffix.lower() == ".csv":
        write_table(table.drop(columns=table.geometry.name), path, csv_sep=csv_sep)
        return
    crs = None if table.crs is None else rasterio.crs.CRS.from_wkt(table.crs.to_wkt())
    write_polygons(path, [batch_of(table)], crs, layer=layer)
