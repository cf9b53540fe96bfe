"""The table of fields: its columns, ids and names, and how it goes into a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.errors import InputError
from agriseg.vector.files import PolygonBatch

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["COLUMNS", "batch_of", "ids_of", "named_apart", "texts_of"]

COLUMNS = ("field_id", "name", "area_ha", "row_direction_deg", "row_spacing_m", "row_strength")
"""The columns of every table of fields; a user's own ones stand between name and area_ha."""

# Names that formats have for themselves.
_TAKEN = ("fid", "geometry", "geom", "bbox", "ogc_fid")


def texts_of(column: Any) -> list[str | None]:
    """Values of a column as text; None where there is none, and whole numbers without a point."""
    return [_text(value) for value in column.tolist()]


def _text(value: Any) -> str | None:
    import pandas as pd

    if value is None or (not isinstance(value, list | dict) and pd.isna(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value).strip() or None


def ids_of(own: Any, id_col: str | None, path: str) -> tuple[list[str], Any]:
    """Ids of the parcels, and the column that they came from, or None.

    Raises:
        InputError: Two parcels have the same id in `id_col`, or one has none.
    """
    column = id_col
    if column is None:
        column = next((c for c in own.columns if str(c).casefold() == "field_id"), None)
    numbers = [str(number) for number in range(1, len(own) + 1)]
    if column is None:
        return numbers, None
    seen: dict[str, Any] = {}
    for feature, text in zip(own.index.tolist(), texts_of(own[column]), strict=True):
        if text is None or text in seen:
            if id_col is None:
                return numbers, None
            what = f"features {seen[text]} and {feature} have" if text else f"feature {feature} has"
            said = f"the same id {text}" if text else "no id"
            raise InputError(
                f"{path}: {what} {said} in column {id_col}; ids must be there and differ: mend the "
                "column, give another with --id-col, or leave it out to number the parcels"
            )
        seen[text] = feature
    return list(seen), column


def named_apart(own: Any, ours: Collection[str]) -> tuple[Any, dict[str, str]]:
    """Columns that share no name with ours, the formats' or each other, whatever the case."""
    taken = {name.casefold() for name in (*ours, *_TAKEN)}
    renamed: dict[str, str] = {}
    names = []
    for column in own.columns:
        name = str(column)
        while name.casefold() in taken:
            name += "_given"
        taken.add(name.casefold())
        names.append(name)
        if name != str(column):
            renamed[str(column)] = name
    own = own.copy()
    own.columns = names
    return own, renamed


def batch_of(frame: gpd.GeoDataFrame) -> PolygonBatch:
    """A table as it is written: truth as 0 and 1, dates and all else as text."""
    columns: Mapping[str, NDArray[Any]] = {
        str(name): _plain(frame[name]) for name in frame.columns if name != frame.geometry.name
    }
    shapes = np.asarray(frame.geometry.array, object)
    parts = [shapely.MultiPolygon(list(shapely.get_parts(shape))) for shape in shapes]
    return PolygonBatch(np.array([*parts, None], object)[:-1], columns)


def _plain(column: Any) -> NDArray[Any]:
    import pandas.api.types as kinds

    whole = not column.isna().any()
    if kinds.is_bool_dtype(column.dtype) and whole:
        return np.asarray(column.to_numpy(np.int64))
    if kinds.is_integer_dtype(column.dtype) and whole:
        values = column.to_numpy()
        if values.dtype.kind != "u" or not len(values) or values.max() <= np.iinfo(np.int64).max:
            return np.asarray(values, np.int64)
    if kinds.is_numeric_dtype(column.dtype):
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan))
    return np.array([*texts_of(column), None], object)[:-1]
