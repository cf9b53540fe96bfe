"""Fields as fiboa has them: Field Boundaries for Agriculture, https://github.com/fiboa/specification."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from agriseg.errors import OptionError

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["FIBOA_METHODS", "to_fiboa"]

FIBOA_METHODS = (
    "manual",
    "driven",
    "surveyed",
    "administrative",
    "auto-operation",
    "auto-imagery",
    "unknown",
)
"""How the outlines of fields can have been found, in fiboa's words."""


def to_fiboa(
    fields: gpd.GeoDataFrame,
    *,
    when: date | datetime | None = None,
    method: str = "auto-imagery",
) -> gpd.GeoDataFrame:
    """Fields under fiboa's names, for `to_parquet`.

    Args:
        fields: As `delineate` gives them.
        when: Day or moment of the image, in UTC where it names no zone.
        method: One of `FIBOA_METHODS`.

    Returns:
        `id`, `geometry`, `area` (hectares), `perimeter` (metres), `determination:method`, and
        `determination:datetime` where `when` is known.

    Raises:
        OptionError: fiboa has no such method.
    """
    import geopandas as gpd
    import pandas as pd

    if method not in FIBOA_METHODS:
        raise OptionError(f"method {method!r}: fiboa knows {', '.join(FIBOA_METHODS)}")
    columns = {
        "id": fields["field_id"].astype(str),
        "area": fields["area_ha"],
        "perimeter": fields["perimeter_m"],
        "determination:method": method,
    }
    if when is not None:
        moment = when if isinstance(when, datetime) else datetime.combine(when, time())
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        columns["determination:datetime"] = pd.Timestamp(moment).tz_convert("UTC")
    return gpd.GeoDataFrame(columns, geometry=fields.geometry, crs=fields.crs)
