"""Fields from a map of fields and boundaries: neighbours stay apart, however broken the boundary.

Polygons of the class "field" alone are no fields: one missing pixel of boundary makes two of them
one, and the boundary's own width is missing from all. So farmland is cut into basins first, which
meet in the middle of boundaries and close their gaps (`basins`), and basins without a boundary
between them are put together again (`merging`).

The whole map is worked on at once, so nothing depends on the chips or strips that it was made in.
9 million pixels with 29,000 fields took 7 s and 36 million 27 s on one core of a Xeon.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import OptionError
from agriseg.fields.delineation.basins import NO_FIELD, Basins, basins_of, heights_of
from agriseg.fields.delineation.farmland import (
    BACKGROUND,
    BOUNDARY,
    FIELD,
    Farmland,
    Mapped,
    Path_,
    read_farmland,
)
from agriseg.fields.delineation.merging import CERTAIN, Limits, Regions, borders_of
from agriseg.fields.delineation.outlines import outlines_of

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["delineate"]

OnStage = Callable[[str], None]

# A boundary belongs to fields so far away, in metres, and at least so many pixels.
_REACH_M, _REACH_PIXELS = 25.0, 3.0
# Below this multiple of the smallest field a piece goes to its neighbour across a doubtful border.
_SMALL = 4
# Borders with less mean evidence are none. Classes know nothing between certain and gap; odds show
# noise too, along whose ridges basins part. Found on simulated landscapes and a network's maps of
# them, where 0.05 more or less changed 1 in 100 fields.
_WEAK_CLASSES, _WEAK_ODDS = 0.4, 0.5
# Odds from which a pixel is boundary.
_EVEN = 0.5
# Rows that are renumbered at a time.
_ROWS = 512
_COLUMNS = ("field_id", "name", "area_ha", "perimeter_m", "confidence", "border_seen")


def delineate(
    classes: Path_ | Mapped,
    *,
    probabilities: Path_ | bool | None = None,
    field: str = "field",
    boundary: str | None = None,
    min_field_ha: float = 0.1,
    simplify_m: float | None = None,
    nodata: float | None = None,
    on_stage: OnStage | None = None,
) -> gpd.GeoDataFrame:
    """Draw the fields on a map with a class for fields and one for their boundaries.

    Fields that touch meet in the middle of their boundary; what parts them may be one pixel wide,
    broken, or faint. Each is in one piece, and none overlap. The map is worked on in memory, with
    about 28 bytes a pixel: 3.4 GB for a Sentinel-2 tile of 10,980 x 10,980 pixels.

    Args:
        classes: A run (`agriseg.segment` or `read_run`), its folder, or a class raster with names.
        probabilities: A raster with a band for each class, which also shows boundaries that are
            not the likeliest class anywhere. By default probabilities.tif beside a classes.tif;
            False for none.
        field: The class of fields.
        boundary: The class of boundaries; by default the one named "boundary" or "field boundary".
            A map without gives one field for each connected area.
        min_field_ha: Smaller fields are left out, and smaller holes closed.
        simplify_m: As in `agriseg.vectorize`; by default outlines move by less than half a pixel.
        nodata: A value of the raster that is no class, beside those that it declares.
        on_stage: Called with the name of each stage of the work as it begins.

    Returns:
        A row for each field, in the CRS of the map, from north to south: `field_id` (a number as
        text), `name` (None), `area_ha` and `perimeter_m` on the ground, `confidence` (mean of
        confidence.tif beside the map over its pixels, else NaN), `border_seen` (0..1, how much of
        its border with other fields was seen; NaN where it has none).

    Raises:
        InputError: A raster cannot be used, or does not fit into memory.
        OptionError: A class is not there, or an option makes no sense.
    """
    if not (math.isfinite(min_field_ha) and min_field_ha >= 0):
        raise OptionError(f"--min-field-ha {min_field_ha}: hectares are needed, 0 or more")
    tell = on_stage or (lambda stage: None)
    tell("reading")
    land = read_farmland(
        classes, probabilities=probabilities, field=field, boundary=boundary, nodata=nodata
    )
    fewest = _fewest(land, min_field_ha)
    tell("holes")
    _close_holes(land, fewest)
    tell("fields")
    number, seen = _numbered(land, fewest)
    tell("outlines")
    found = outlines_of(number, land.kind, land.source, simplify_m)
    import geopandas as gpd

    count = len(found.number)
    columns = {
        "field_id": np.arange(1, count + 1).astype(str).astype(object),
        "name": np.full(count, None, object),
        "area_ha": found.measures.areas_m2 / 1e4,
        "perimeter_m": found.measures.perimeters_m,
        "confidence": found.confidence,
        "border_seen": seen[found.number - 1],
    }
    crs = land.source.geobox.crs
    assert tuple(columns) == _COLUMNS
    return gpd.GeoDataFrame(columns, geometry=found.geometry, crs=crs and crs.to_wkt())


def _fewest(land: Farmland, min_field_ha: float) -> int:
    """Pixels of the smallest field."""
    box = land.source.geobox
    assert box.area_m2 is not None  # a map without a CRS was refused
    pixel = box.area_m2 / (box.width * box.height)
    return max(math.ceil(min_field_ha * 1e4 / pixel - 1e-6), 1)


def _close_holes(land: Farmland, fewest: int) -> None:
    """Make specks of background part of the farmland around them.

    A speck that a boundary touches becomes boundary, so that it opens no way between two fields.
    """
    from scipy.ndimage import label

    if fewest < 2:
        return
    background = land.kind == BACKGROUND
    piece = np.empty(background.shape, np.int32)
    count = label(background, np.ones((3, 3), bool), output=piece)
    small = np.bincount(piece.ravel(), minlength=count + 1) < fewest
    small[0] = False
    y, x = np.nonzero(small[piece])
    owner = piece[y, x]
    del piece, background
    padded = np.pad(land.kind, 1, mode="edge")
    touches = np.zeros((count + 1, 2), bool)
    for down in range(3):
        for right in range(3):
            beside = padded[y + down, x + right]
            for column, kind in enumerate((FIELD, BOUNDARY)):
                touches[owner[beside == kind], column] = True
    closed = touches[owner].any(axis=1)
    y, x, walled = y[closed], x[closed], touches[owner[closed], 1]
    land.kind[y, x] = np.where(walled, BOUNDARY, FIELD)
    land.evidence[y, x] = np.where(walled, CERTAIN, 0)


def _numbered(land: Farmland, fewest: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Field of each pixel (h, w), from 1, 0 for none; and how much is seen of each one's border."""
    basins = _basins(land)
    label, summit = basins.label, basins.summit
    pixels = np.bincount(label[label != NO_FIELD], minlength=len(summit))
    regions = Regions(summit, pixels, borders_of(basins, land.evidence))
    del basins
    weak = _WEAK_ODDS if land.has_odds else _WEAK_CLASSES
    regions.merge(Limits(weak=weak, small=_SMALL * fewest))
    part, count = regions.part, len(regions.part)
    # A region goes by one of its basins; the others have no size left, and no height.
    size = np.bincount(part, pixels, minlength=count)
    top = np.zeros(count, np.int64)
    np.maximum.at(top, part, summit)
    fields = np.flatnonzero((size >= fewest) & (top > 0))
    number = np.zeros(count, np.int32)
    number[fields] = np.arange(1, len(fields) + 1)
    # The last entry is that of -1, `NO_FIELD`.
    table = np.append(number[part], np.int32(0))
    for row in range(0, len(label), _ROWS):
        label[row : row + _ROWS] = table[label[row : row + _ROWS]]
    return label, regions.border_strength()[fields]


def _basins(land: Farmland) -> Basins:
    gsd = land.source.geobox.gsd_m
    assert gsd is not None  # a map without a CRS was refused
    across, down = gsd
    unit = min(across, down)
    farmland = (land.kind == FIELD) | (land.kind == BOUNDARY)
    interior = (land.kind == FIELD) & (land.evidence < _EVEN * CERTAIN)
    reach = max(_REACH_M / unit, _REACH_PIXELS)
    return basins_of(heights_of(interior, farmland, (down / unit, across / unit), reach))
