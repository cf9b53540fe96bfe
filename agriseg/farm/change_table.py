"""The table of a comparison: a row a field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.errors import InputError
from agriseg.farm.change import Side, Sums
from agriseg.farm.run_fields import outlines_from, read_run_fields
from agriseg.fields.dates.overlay import outline
from agriseg.geobox import GeoBox
from agriseg.runs import Run
from agriseg.vector.measure import measure_polygons

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["Outlines", "change_table", "compared_outlines"]

Floats = NDArray[np.float64]

WHOLE = "all"
"""The id of the only field where there are no outlines."""


@dataclass(frozen=True)
class Outlines:
    """The fields of a comparison.

    Args:
        ids: Of each of the n fields.
        names: Of each.
        shapes: (n + 1,) polygons in the CRS of the common grid; the last one is all of it.
        row_spacing_m: Median distance of the rows, where the runs know it.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    shapes: NDArray[np.object_]
    row_spacing_m: float | None = None


def compared_outlines(
    runs: tuple[Run, Run], fields: str | Path | gpd.GeoDataFrame | None, grid: GeoBox
) -> Outlines:
    """The outlines to compare in: those given, else those of the first run that has some, else all.

    Raises:
        InputError: They cannot be read, or none of them meets the common ground.
    """
    whole = shapely.Polygon(outline(grid))
    frame, where = None, f"--fields {fields}"
    if fields is not None:
        frame = outlines_from(fields)
    else:
        for run in runs:
            if run.folder.fields.is_file():
                frame, where = read_run_fields(run), str(run.folder.fields)
                break
    if frame is None:
        return Outlines((WHOLE,), ("",), np.array([whole, whole], dtype=object))
    if frame.crs is None:
        raise InputError(
            f"{where} has no CRS, so where the fields lie is unknown; assign it with ogr2ogr -a_srs"
        )
    assert grid.crs is not None
    frame = frame.to_crs(grid.crs.to_wkt())
    shapes = np.asarray(frame.geometry.to_numpy(), dtype=object).copy()
    wrong = shapely.is_missing(shapes) | ~shapely.is_valid(shapes)
    shapes[wrong] = [
        shapely.make_valid(s) if s is not None else shapely.Polygon() for s in shapes[wrong]
    ]
    meets = shapely.intersects(shapes, whole)
    if not meets.any():
        raise InputError(
            f"none of the {len(shapes)} fields of {where} lies on ground that both runs show; give "
            "outlines of that ground with --fields"
        )
    frame, shapes = frame[meets], shapes[meets]
    names = ["" if n is None or n != n else str(n) for n in frame.get("name", [""] * len(frame))]
    spacing = None
    if "row_spacing_m" in frame and frame["row_spacing_m"].notna().any():
        spacing = float(frame["row_spacing_m"].median())
    return Outlines(
        tuple(str(one) for one in frame["field_id"]),
        tuple(names),
        np.array([*shapes, whole], dtype=object),
        spacing,
    )


def change_table(
    outlines: Outlines,
    sums: Sums,
    sides: tuple[Side, Side],
    dates: tuple[str | None, str | None],
    grid: GeoBox,
) -> tuple[gpd.GeoDataFrame, list[str]]:
    """The table, and what it lacks; columns as `agriseg.farm.compare.compare` says."""
    import geopandas

    count = len(outlines.ids)
    shapes, pixels = outlines.shapes[:count], sums.pixels[:count]
    areas = measure_polygons(shapes, grid).areas_m2
    pixel_m2 = (grid.area_m2 or np.nan) / (grid.width * grid.height)
    columns: dict[str, Any] = {
        "field_id": list(outlines.ids),
        "name": list(outlines.names),
        "area_ha": areas / 1e4,
        "compared_percent": np.minimum(_ratio(pixels * pixel_m2, areas) * 100, 100.0),
        "date_a": [dates[0]] * count,
        "date_b": [dates[1]] * count,
    }
    covers = [
        {label.name: _ratio(shares[:count, label.value], pixels) * 100 for label in side.legend}
        for side, shares in zip(sides, (sums.cover_a, sums.cover_b), strict=True)
    ]
    for name in dict.fromkeys((*covers[0], *covers[1])):
        columns |= _three(f"cover_{_word(name)}_percent", covers[0].get(name), covers[1].get(name))
    for k, index in enumerate(sides[0].indices):
        known = sums.known[:count, k]
        columns |= _three(
            f"{_word(index.name)}_mean",
            _ratio(sums.index_a[:count, k], known),
            _ratio(sums.index_b[:count, k], known),
        )
    assert grid.crs is not None
    table = geopandas.GeoDataFrame(columns, geometry=shapes, crs=grid.crs.to_wkt())
    unseen = [name for name, n in zip(outlines.ids, pixels, strict=True) if not n]
    notes = []
    if unseen:
        some = ", ".join(unseen[:5]) + (", ..." if len(unseen) > 5 else "")
        notes.append(f"{len(unseen)} of {count} fields were not seen by both runs: {some}")
    return table, notes


def _three(name: str, a: Floats | None, b: Floats | None) -> dict[str, Floats]:
    """Before, after and the change, as far as there are any."""
    found = {f"{name}_a": a} if a is not None else {}
    if b is not None:
        found[f"{name}_b"] = b
    if a is not None and b is not None:
        found[f"{name}_change"] = b - a
    return found


def _word(name: str) -> str:
    """A name as part of a column's."""
    return "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Quotients, NaN where there is nothing to divide by."""
    found = np.full(len(part), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found
