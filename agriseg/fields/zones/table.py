"""The table of zones: what each of them says, and how much of a field is weak."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.errors import InputError, OptionError
from agriseg.fields.given import GivenField, turned
from agriseg.fields.weeds.lattice import only_polygons
from agriseg.fields.zones.shapes import Tiles
from agriseg.fields.zones.vigour import CoarseGrid, Vigour
from agriseg.geobox import GeoBox
from agriseg.indices import Index
from agriseg.vector.files import PolygonBatch
from agriseg.vector.measure import measure_polygons

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

__all__ = ["no_zones", "stressed_ha", "zone_rows"]

_ZONE_NAMES = {
    1: ("whole field",),
    2: ("low", "high"),
    3: ("low", "medium", "high"),
    4: ("low", "medium low", "medium high", "high"),
    5: ("very low", "low", "medium", "high", "very high"),
}


def stressed_ha(zones: gpd.GeoDataFrame, *, below_percent: float = 90.0) -> pd.DataFrame:
    """How much of each field is clearly weaker than the field is as a rule.

    A zone counts as stressed where its mean index lies below a share of the field's median. The
    usual 90 % is a convention of ours: what it means for a crop, its stage and an index must be
    seen on the ground.

    Args:
        zones: From `make_zones`.
        below_percent: That share.

    Returns:
        A field a row: `field_id`, `area_ha`, `stressed_ha` and `stressed_percent`; NaN where the
        field's median is not above 0, or nothing is known.

    Raises:
        OptionError: The share makes no sense.
        InputError: The table is not one of zones.
    """
    import pandas as pd

    if not 0 < below_percent <= 100:
        raise OptionError(f"below_percent {below_percent:g}: more than 0 and at most 100 is needed")
    medians = [column for column in zones.columns if column.endswith("_field_median")]
    if len(medians) != 1:
        raise InputError("the table has no column <index>_field_median; give that of make_zones")
    mean, median = zones[medians[0].replace("_field_median", "_mean")], zones[medians[0]]
    area = zones["area_ha"]
    told = (median > 0) & mean.notna()
    stressed = area.where(mean < median * below_percent / 100, 0.0).where(told)
    table = pd.DataFrame({"field_id": zones["field_id"], "area_ha": area, "stressed_ha": stressed})
    found = table.groupby("field_id", sort=False).sum(min_count=1).reset_index()
    found["stressed_percent"] = 100 * found["stressed_ha"] / found["area_ha"]
    return found


def zone_rows(
    field: GivenField,
    index: Index,
    grid: CoarseGrid,
    vigour: Vigour,
    tiles: Tiles,
    facts: tuple[float, float, str],
) -> PolygonBatch:
    """The table of one field."""
    median, smooth_m, note = facts
    left = np.unique(tiles.zones).tolist()
    flat = np.array([tiles.shape_of(zone) for zone in left], object)
    of_cell = _zone_of_cells(flat, vigour.usable > 0)
    count = len(left)
    pixels, usable, sums = (
        np.bincount(of_cell[of_cell >= 0], plane[of_cell >= 0], count)
        for plane in (vigour.counts, vigour.usable, vigour.sums)
    )
    whole = vigour.sums.sum() / vigour.counts.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, cover = sums / pixels, 100 * pixels / usable
    if count == 1 and not note:
        note = "no zone reaches the least area"
    names = _ZONE_NAMES[count]
    shapes = shapely.orient_polygons(turned(flat, grid.box.transform))
    areas = measure_polygons(shapes, grid.box).areas_m2
    columns = {
        "zone": np.arange(1, count + 1),
        "zone_name": np.array(names, object),
        "area_ha": areas / 1e4,
        "share_percent": 100 * areas / areas.sum(),
        "mean": mean,
        "relative_percent": 100 * mean / whole if whole > 0 else np.full(count, np.nan),
        "median": np.full(count, median),
        "cover": cover,
        "smooth_m": np.full(count, float(smooth_m)),
        "note": np.full(count, note, object),
    }
    return _batch(field, index, shapes, columns)


def _zone_of_cells(shapes: NDArray[np.object_], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which of the shapes, in cells, each cell (h, w) belongs to; -1 where it is not wanted.

    Cells whose centre lies beyond the field's edge go with the nearest one.
    """
    from rasterio.features import rasterize
    from scipy.ndimage import distance_transform_edt

    numbered = [(shape, number + 1) for number, shape in enumerate(shapes)]
    found = rasterize(numbered, wanted.shape, dtype="int16").astype(np.int64) - 1
    if (found < 0).all():
        return np.where(wanted, 0, -1)
    nearest = distance_transform_edt(found < 0, return_distances=False, return_indices=True)
    return np.where(wanted, found[tuple(nearest)], -1)


def no_zones(
    field: GivenField,
    index: Index,
    box: GeoBox,
    note: str,
    smooth_m: float = math.nan,
    *,
    cover: float = math.nan,
) -> PolygonBatch:
    """A field of which nothing is known: zone 0."""
    shapes = only_polygons(np.array([field.shape], object))
    nothing = np.full(1, np.nan)
    columns = {
        "zone": np.zeros(1, np.int64),
        "zone_name": np.array(["none"], object),
        "area_ha": measure_polygons(shapes, box).areas_m2 / 1e4,
        "share_percent": np.full(1, 100.0),
        "mean": nothing,
        "relative_percent": nothing,
        "median": nothing,
        "cover": np.full(1, cover),
        "smooth_m": np.full(1, smooth_m),
        "note": np.array([note], object),
    }
    return _batch(field, index, shapes, columns)


def _batch(
    field: GivenField,
    index: Index,
    shapes: NDArray[np.object_],
    columns: Mapping[str, NDArray[Any]],
) -> PolygonBatch:
    word = index.name.lower().replace("@", "_")
    renamed = {"mean": f"{word}_mean", "median": f"{word}_field_median", "cover": "crop_percent"}
    named = {renamed.get(name, name): values for name, values in columns.items()}
    ids = np.full(len(shapes), field.field_id, object)
    return PolygonBatch(shapes, {"field_id": ids, **named})
