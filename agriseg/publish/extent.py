"""Where the data lie: what a project shows when it opens."""

from __future__ import annotations

from collections.abc import Sequence

import rasterio.crs
from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from agriseg.errors import InputError
from agriseg.publish.geopackage import read_tables
from agriseg.publish.layers import geobox_of
from agriseg.runs import Run

__all__ = ["around"]

Bounds = tuple[float, float, float, float]
# Around the data, of its width or height.
_MARGIN = 0.03


def around(runs: Sequence[Run], crs: rasterio.crs.CRS | None) -> Bounds:
    """(left, bottom, right, top) around the data of runs in a CRS, with a margin."""
    found = [bounds for run in runs if (bounds := _in(crs, run)) is not None]
    found = found or [_bounds(run) for run in runs[:1]]
    left, bottom = min(b[0] for b in found), min(b[1] for b in found)
    right, top = max(b[2] for b in found), max(b[3] for b in found)
    dx, dy = (right - left) * _MARGIN, (top - bottom) * _MARGIN
    return left - dx, bottom - dy, right + dx, top + dy


def _in(crs: rasterio.crs.CRS | None, run: Run) -> Bounds | None:
    own, bounds = geobox_of(run).crs, _bounds(run)
    if own == crs:
        return bounds
    if own is None or crs is None:
        return None
    try:
        left, bottom, right, top = transform_bounds(own, crs, *bounds)
    except RasterioError:
        return None
    return left, bottom, right, top


def _bounds(run: Run) -> Bounds:
    """Where the polygons are, which leave out the nodata around them; else the whole grid."""
    box = geobox_of(run)
    if not box.is_georeferenced:
        # So QGIS places what has no place.
        return 0.0, -float(box.height), float(box.width), 0.0
    if run.segments:
        try:
            tables = read_tables(run.segments)
        except InputError:
            tables = []
        if tables and tables[0].bounds:
            return tables[0].bounds
    return box.bounds
