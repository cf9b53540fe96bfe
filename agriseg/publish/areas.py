"""Areas of a GeoPackage on the frame of a picture: painted by a value, or as outlines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import InputError, said_by
from agriseg.geobox import GeoBox
from agriseg.publish.geopackage import Table

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["BARE", "Outline", "Painted", "outlines", "painted", "rows_of"]

BARE = 255
"""What no area covers, or one without a value."""
# Areas that are held at once: a grid of weeds has a million cells.
_BATCH = 20_000
_M2_PER_HA = 1e4


@dataclass(frozen=True)
class Painted:
    """Areas painted by the range that their value lies in.

    Args:
        codes: (h, w) uint8 number of the range, `BARE` where there is none.
        area_ha: Of each range together; None where the file does not tell areas.
    """

    codes: NDArray[np.uint8]
    area_ha: tuple[float, ...] | None


@dataclass(frozen=True)
class Outline:
    """The outline of an area, in pixels of the frame.

    Args:
        rings: Each (n, 2) of (column, row), exteriors and holes alike.
        at: A place inside.
        name: What it is called; may be empty.
    """

    rings: tuple[NDArray[np.float64], ...]
    at: tuple[float, float]
    name: str


def painted(
    path: Path, table: Table, column: str, breaks: Sequence[float], frame: GeoBox
) -> Painted:
    """Paint areas by the range of `breaks` that their value lies in.

    A range holds its lower end, the last one its upper end too; values outside count to the nearest
    range. An area that covers the middle of no pixel of the frame is not seen, but its area counts.

    Raises:
        InputError: The file cannot be read.
    """
    from rasterio.features import rasterize

    codes = np.full((frame.height, frame.width), BARE, np.uint8)
    size = next((name for name in ("area_ha", "area_m2") if name in table.columns), None)
    total = np.zeros(max(len(breaks) - 1, 1))
    for rows in _batches(path, table, [column, *([size] if size else [])], frame):
        values = rows[column].to_numpy(float, na_value=np.nan)
        known = np.isfinite(values) & ~(rows.geometry.isna() | rows.geometry.is_empty).to_numpy()
        at = np.clip(np.searchsorted(breaks, values[known], side="right") - 1, 0, len(total) - 1)
        if size:
            area = rows[size].to_numpy(float, na_value=np.nan)[known]
            there = np.isfinite(area)
            np.add.at(total, at[there], area[there])
        if known.any():
            shapes = zip(rows.geometry[known], at.tolist(), strict=True)
            rasterize(shapes, out=codes, transform=frame.transform, dtype="uint8")
    if size is None:
        return Painted(codes, None)
    return Painted(codes, tuple(total / (1 if size == "area_ha" else _M2_PER_HA)))


def outlines(path: Path, table: Table, frame: GeoBox, *, most: int = 2000) -> list[Outline]:
    """Outlines of the first `most` areas, as finely as the frame can show them.

    Raises:
        InputError: The file cannot be read.
    """
    import shapely

    names = [name for name in ("name", "field_id") if name in table.columns]
    inverse = ~frame.transform
    found = []
    for rows in _batches(path, table, names, frame, most=most):
        texts = [_first(row) for row in zip(*(rows[name] for name in names), strict=True)]
        for shape, name in zip(rows.geometry, texts or [""] * len(rows), strict=True):
            if shape is None or shape.is_empty:
                continue
            on_frame = shapely.transform(shape, lambda xy: np.column_stack(inverse @ xy.T))
            slim = shapely.simplify(on_frame, 0.4)
            lines = shapely.get_parts(shapely.boundary(slim if not slim.is_empty else on_frame))
            rings = tuple(shapely.get_coordinates(line) for line in lines)
            (at,) = shapely.get_coordinates(shapely.point_on_surface(on_frame))
            found.append(Outline(rings, (float(at[0]), float(at[1])), name))
    return found


def rows_of(path: Path, table: Table, *, most: int) -> list[dict[str, Any]]:
    """The first rows of a table, without shapes; what is missing in one is None.

    Raises:
        InputError: The file cannot be read.
    """
    import pyogrio

    try:
        rows = pyogrio.read_dataframe(
            path, layer=table.name, read_geometry=False, max_features=most
        )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise _unreadable(path, error) from error
    found: list[dict[str, Any]] = rows.astype(object).where(rows.notna(), None).to_dict("records")
    return found


def _first(values: Sequence[Any]) -> str:
    """The first of some values that says something."""
    known = (str(value) for value in values if value is not None and value == value)
    return next((text for text in known if text.strip()), "")


def _batches(
    path: Path, table: Table, columns: Sequence[str], frame: GeoBox, *, most: int | None = None
) -> Iterator[gpd.GeoDataFrame]:
    """Areas with some columns, in the CRS of the frame, not too many at a time."""
    import pyogrio

    start = 0
    while most is None or start < most:
        size = _BATCH if most is None else min(_BATCH, most - start)
        try:
            rows = pyogrio.read_dataframe(
                path, layer=table.name, columns=columns, skip_features=start, max_features=size
            )
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise _unreadable(path, error) from error
        if table.crs is not None and frame.crs is not None and table.crs != frame.crs:
            rows = rows.to_crs(frame.crs.to_wkt())
        if len(rows):
            yield rows
        if len(rows) < size:
            return
        start += size


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read ({said_by(error)}); make it anew")
