"""Tables of fields on their way into a file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agriseg.errors import OutputError
from agriseg.geobox import GeoBox
from agriseg.vector.files import PolygonBatch, check_format, write_polygons

if TYPE_CHECKING:
    import geopandas as gpd

    from agriseg.vector.source import ClassRaster

__all__ = ["check_output", "frame_of", "write_table"]


def check_output(out: str | os.PathLike[str], box: GeoBox, inputs: Iterable[object]) -> None:
    """Make sure, before any work, that a table can be written and replaces none of its inputs.

    Args:
        out: The file to write.
        box: The grid whose CRS it will have.
        inputs: What the table is made of; those that are paths are looked at.

    Raises:
        OutputError: It cannot, or would.
    """
    path = Path(out)
    check_format(path, box.crs)
    for one in inputs:
        if isinstance(one, str | os.PathLike) and Path(one).resolve() == path.resolve():
            raise OutputError(
                f"{path} is one of the inputs, which the result would replace; give another file "
                "with -o"
            )


def write_table(
    out: str | os.PathLike[str], batches: Iterable[PolygonBatch], box: GeoBox, layer: str
) -> int:
    """Write a table, the same bytes again for the same polygons; how many rows it has.

    Raises:
        OutputError: The file cannot be written.
    """
    return write_polygons(Path(out), batches, box.crs, layer=layer)


def frame_of(batches: Iterable[PolygonBatch], raster: ClassRaster) -> gpd.GeoDataFrame:
    """All batches as one table."""
    import geopandas as gpd

    held = list(batches)
    columns = {
        name: np.concatenate([batch.columns[name] for batch in held]) for name in held[0].columns
    }
    geometry = np.concatenate([batch.geometry for batch in held])
    crs = raster.geobox.crs
    return gpd.GeoDataFrame(columns, geometry=geometry, crs=crs and crs.to_wkt())
