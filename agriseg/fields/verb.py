"""The verb `fields`: outlines of fields, or the user's parcels, as a table or a file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

import numpy as np

from agriseg.errors import OutputError
from agriseg.fields.find import ClassMap, Fields, find_fields, lines_of, open_map
from agriseg.fields.table import batch_of
from agriseg.vector.files import PolygonBatch, check_format, write_polygons

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["Written", "fields", "make_fields"]

_LOG = logging.getLogger(__name__)

Path_ = str | os.PathLike[str]


class _Options(TypedDict, total=False):
    parcels: Path_ | gpd.GeoDataFrame | None
    layer: str | None
    id_col: str | None
    name_col: str | None
    inset_m: float
    min_field_ha: float | None
    gap_m: float | None
    crop: Iterable[str]
    weed: Iterable[str]
    ground: Iterable[str]


@dataclass(frozen=True, eq=False)
class Written:
    """What was found, and how many rows were written."""

    fields: Fields
    rows: int = 0


@overload
def fields(
    classes: Path_ | Any,
    out: None = None,
    *,
    rows: Path_ | None = None,
    **options: Unpack[_Options],
) -> gpd.GeoDataFrame: ...


@overload
def fields(
    classes: Path_ | Any, out: Path_, *, rows: Path_ | None = None, **options: Unpack[_Options]
) -> Path: ...


def fields(
    classes: Path_ | Any,
    out: Path_ | None = None,
    *,
    parcels: Path_ | gpd.GeoDataFrame | None = None,
    layer: str | None = None,
    id_col: str | None = None,
    name_col: str | None = None,
    inset_m: float = 0.0,
    min_field_ha: float | None = None,
    gap_m: float | None = None,
    crop: Iterable[str] = (),
    weed: Iterable[str] = (),
    ground: Iterable[str] = (),
    rows: Path_ | None = None,
) -> gpd.GeoDataFrame | Path:
    """Outline the fields on a class map, or take your parcels, and measure their crop rows.

    A field is crop and the soil between its rows; it ends at tracks and other land. Its rows are
    measured from the crop's pixels, whatever the grid's direction and CRS.

    Args:
        classes: A class raster (`classes.tif`), the folder of a run, or a run.
        out: A file to write: .gpkg, .fgb, .parquet or .geojson. Without it a table is returned.
        parcels: Your own parcels instead: a vector file in any format and CRS, or a GeoDataFrame.
            All of their columns are kept.
        layer: Layer of `parcels`.
        id_col: Column of `parcels` that becomes `field_id`; its values must differ.
        name_col: Column of `parcels` that becomes `name`.
        inset_m: Metres on the ground that are cut off all around each parcel, for trial plots.
        min_field_ha: Smaller outlines are left out; by default those of less than a fiftieth of
            the largest.
        gap_m: Outlines end where crop is farther apart; by default what the rows ask for, 1 m at
            least.
        crop: Names of classes that are crops, where their names do not tell; on a map without
            names their numbers, as text.
        weed: Those of weeds.
        ground: Those of bare ground.
        rows: A file to write the rows to, as lines with `field_id`, `row` and `length_m`.

    Returns:
        Without `out` a GeoDataFrame with `field_id`, `name`, your own columns, `area_ha` (on the
        ground), `row_direction_deg` (clockwise from north), `row_spacing_m`, `row_strength` (0..1;
        all three NaN where there are no rows); what there is to know besides stands in its
        `attrs["notes"]`. Else the path of `out`.

    Raises:
        InputError: The map or the parcels cannot be used.
        OptionError: An option makes no sense.
        OutputError: A file cannot be written.
    """
    found = make_fields(
        classes,
        out,
        rows,
        parcels=parcels,
        layer=layer,
        id_col=id_col,
        name_col=name_col,
        inset_m=inset_m,
        min_field_ha=min_field_ha,
        gap_m=gap_m,
        crop=tuple(crop),
        weed=tuple(weed),
        ground=tuple(ground),
    ).fields
    for note in found.notes:
        _LOG.info("%s", note)
    if out is not None:
        return Path(out)
    found.frame.attrs["notes"] = list(found.notes)
    return found.frame


def make_fields(
    classes: Path_ | Any, out: Path_ | None, rows: Path_ | None, **options: Unpack[_Options]
) -> Written:
    """What `fields` does, with what there is to say of it.

    Raises:
        InputError, OptionError, OutputError: As in `fields`.
    """
    kinds = {name: options.get(name, ()) for name in ("crop", "weed", "ground")}
    opened = open_map(classes, **kinds)  # type: ignore[arg-type]
    _check_places(opened, out, rows, options.get("parcels"))
    crs = opened.raster.geobox.crs
    found = find_fields(opened, **options)
    if out is not None:
        write_polygons(Path(out), [batch_of(found.frame)], crs, layer="fields")
    count = 0
    if rows is not None:
        count = write_polygons(Path(rows), _row_batches(opened, found), crs, layer="rows")
    return Written(found, count)


def _check_places(opened: ClassMap, out: Path_ | None, rows: Path_ | None, parcels: Any) -> None:
    """Refuse, before any work, files that cannot be written, or would replace an input."""
    inputs = [opened.raster.path]
    if isinstance(parcels, str | os.PathLike):
        inputs.append(os.fspath(parcels))
    taken = {Path(path).resolve(): path for path in inputs}
    for option, path in (("-o", out), ("--rows", rows)):
        if path is None:
            continue
        check_format(Path(path), opened.raster.geobox.crs)
        place = Path(path).resolve()
        if place in taken:
            raise OutputError(
                f"{option} {path} is {taken[place]} itself, which it would replace; give another "
                "file"
            )
        taken[place] = f"the file of {option}"


def _row_batches(opened: ClassMap, found: Fields) -> Iterator[PolygonBatch]:
    yield _row_batch("", [])
    for field_id, lines in lines_of(opened, found):
        yield _row_batch(field_id, lines)


def _row_batch(field_id: str, lines: list[Any]) -> PolygonBatch:
    shapes = np.array([*(line.line for line in lines), None], object)[:-1]
    columns: dict[str, np.ndarray[Any, Any]] = {
        "field_id": np.full(len(lines), field_id, object),
        "row": np.array([line.number for line in lines], np.int64),
        "length_m": np.array([line.length_m for line in lines], np.float64),
    }
    return PolygonBatch(shapes, columns, "MultiLineString")
