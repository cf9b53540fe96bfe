"""Fields on a class map, or the user's own parcels, with their areas and rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import shapely

from agriseg.errors import InputError
from agriseg.fields.kinds import Kinds, kinds_of
from agriseg.fields.managed.outlines import find_outlines
from agriseg.fields.parcel_file import crs_of
from agriseg.fields.parcels import ParcelOptions, read_parcels
from agriseg.fields.rows.lines import RowLine, row_lines
from agriseg.fields.rows.measuring import Rows, measure_rows
from agriseg.threads import in_threads
from agriseg.vector.measure import measure_polygons
from agriseg.vector.source import ClassRaster, open_classes

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["ClassMap", "Fields", "find_fields", "lines_of", "open_map"]

Path_ = str | os.PathLike[str]
_FIELD = "field"  # the class of maps that are made for fields
_LEAST_PARTED_HA = 0.1


@dataclass(frozen=True, eq=False)
class Fields:
    """The fields of a map.

    Args:
        frame: In the map's CRS, a row a field: `field_id` (text, each once), `name` (text or
            None), the user's own columns, `area_ha` (true ground area of the whole outline),
            `row_direction_deg`, `row_spacing_m`, `row_strength` (NaN where no rows were found; see
            `Rows`), and the outline as MultiPolygon.
        notes: What a person should know, a sentence each.
    """

    frame: gpd.GeoDataFrame
    notes: list[str]


@dataclass(frozen=True)
class ClassMap:
    """A class map and what its classes are for a farm."""

    raster: ClassRaster
    kinds: Kinds


def open_map(
    classes: Path_ | Any,
    *,
    crop: Iterable[str] = (),
    weed: Iterable[str] = (),
    ground: Iterable[str] = (),
) -> ClassMap:
    """Open a class map for its fields.

    Args:
        classes: A class raster, the folder of a run, or a run.
        crop: Names of classes that are crops; on a map without names, their numbers.
        weed: Those of weeds.
        ground: Those of bare ground.

    Raises:
        InputError: It is no class raster, has no CRS, or no class of it can be a crop.
        OptionError: There is no such class.
    """
    path = Path(os.fspath(getattr(classes, "classes", classes)))
    if path.is_dir():
        if not (path / "classes.tif").is_file():
            raise InputError(
                f"the folder {path} holds no classes.tif; give the folder of one scene that "
                "agriseg segment made, or a class raster"
            )
        path = path / "classes.tif"
    where = path if path.exists() else getattr(classes, "classes", classes)
    raster = open_classes(where, confidence=False, needs_crs=False)
    crs_of(raster.geobox, raster.path)
    names = dict(raster.names)
    if not names:
        said = [word for words in (crop, weed, ground) for word in words]
        names = {int(word): word for word in said if word.isdecimal()}
    kinds = kinds_of(names, crop=crop, weed=weed, ground=ground)
    if not kinds.crop:
        known = ", ".join(names[value] for value in sorted(names))
        raise InputError(
            f"{raster.path} has no class that is a crop"
            + (f" among {known}" if known else ", since it does not name its classes")
            + f"; say which is with --crop {known.split(', ')[0] if known else '1'}"
        )
    return ClassMap(raster, kinds)


def find_fields(
    classes: Path_ | ClassMap | Any,
    *,
    parcels: Path_ | gpd.GeoDataFrame | None = None,
    layer: str | None = None,
    id_col: str | None = None,
    name_col: str | None = None,
    inset_m: float = 0.0,
    min_field_ha: float | None = None,
    gap_m: float | None = None,
    rows: bool = True,
    crop: Iterable[str] = (),
    weed: Iterable[str] = (),
    ground: Iterable[str] = (),
) -> Fields:
    """Find the fields of a class map, or take the user's parcels, and measure their rows.

    A map with a class "field" was made for fields: they are parted at their boundaries, as in
    `agriseg.fields.delineation`, and have no rows.

    Args:
        classes: A class raster, the folder of a run, a run, or what `open_map` opened.
        parcels: Vector file or GeoDataFrame with parcels, in any CRS; None: the fields are
            outlined on the map (see `find_outlines`).
        layer: Layer of `parcels`.
        id_col: Column of `parcels` that becomes `field_id`.
        name_col: Column of `parcels` that becomes `name`.
        inset_m: Metres that are cut off all around each parcel.
        min_field_ha: Smaller outlines are left out; not with `parcels`.
        gap_m: Outlines end where crop is farther apart; not with `parcels`.
        rows: Measure the rows, which takes longer than all else where there are many fields.
        crop: Names of classes that are crops, where their names do not tell.
        weed: Those of weeds.
        ground: Those of bare ground.

    Raises:
        InputError: The map or the parcels cannot be used.
        OptionError: An option makes no sense.
    """
    options = ParcelOptions(layer, id_col, name_col, inset_m)
    if not isinstance(classes, ClassMap):
        classes = open_map(classes, crop=crop, weed=weed, ground=ground)
    box, path = classes.raster.geobox, classes.raster.path
    is_parted = parcels is None and _FIELD in classes.raster.names.values()
    if is_parted:
        frame, notes = _parted(classes, min_field_ha)
    elif parcels is None:
        frame, notes = _outlined(classes, gap_m, min_field_ha)
    else:
        found = read_parcels(parcels, box, path, options)
        frame, notes = found.frame, list(found.notes)
    shapes = np.asarray(frame.geometry.array, object)
    frame["area_ha"] = measure_polygons(shapes, box).areas_m2 / 1e4
    if not rows or is_parted:
        return Fields(frame, notes)
    measured = _rows(classes, shapes)
    for column in ("direction_deg", "spacing_m", "strength"):
        values = [np.nan if row is None else getattr(row, column) for row in measured]
        frame[f"row_{column}"] = np.array(values, np.float64)
    without = sum(row is None for row in measured)
    if without:
        notes.append(
            f"no rows were found in {without} of {len(measured)} fields: the crop does not stand "
            "in rows there, closes over them, or pixels are too coarse"
        )
    return Fields(frame, notes)


def lines_of(classes: ClassMap, fields: Fields) -> Iterator[tuple[str, list[RowLine]]]:
    """The id of each field that has rows, and their lines.

    Raises:
        ReadError: Pixels cannot be read.
    """
    frame = fields.frame
    if "row_direction_deg" not in frame:
        return
    columns = ("field_id", "row_direction_deg", "row_spacing_m", "row_strength")
    table = zip(*(frame[name].tolist() for name in columns), frame.geometry.array, strict=True)
    for field_id, direction, spacing, strength, shape in table:
        if not np.isnan(direction):
            rows = Rows(direction, spacing, strength)
            yield field_id, list(row_lines(classes.raster, classes.kinds, rows, shape))


def _parted(classes: ClassMap, min_field_ha: float | None) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Fields of a map of fields and their boundaries."""
    from agriseg.fields.delineation import delineate

    path = classes.raster.path
    least = _LEAST_PARTED_HA if min_field_ha is None else min_field_ha
    frame = delineate(path, field=_FIELD, min_field_ha=least)
    notes = [] if len(frame) else [f"{path} shows no field of that size"]
    return frame.drop(columns=["area_ha", "confidence"]), notes


def _outlined(
    classes: ClassMap, gap_m: float | None, min_field_ha: float | None
) -> tuple[gpd.GeoDataFrame, list[str]]:
    import geopandas as gpd

    raster = classes.raster
    found = find_outlines(raster, classes.kinds, gap_m=gap_m, min_field_ha=min_field_ha)
    notes = []
    if gap_m is None and len(found.shapes):
        why = "from the rows on the map" if found.is_sown else "no rows were found on the map"
        notes.append(f"fields end where crop is more than {found.gap_m:.3g} m apart ({why})")
    if found.left_out:
        notes.append(
            f"areas of less than {found.least_ha:.2g} ha: {found.left_out}, which are left out"
        )
    if not len(found.shapes):
        notes.append(f"{raster.path} shows no field: crop stands nowhere close enough")
    crs = crs_of(raster.geobox, raster.path)
    ids = np.array([str(number) for number in range(1, len(found.shapes) + 1)], object)
    columns = {"field_id": ids, "name": np.full(len(ids), None, object)}
    return gpd.GeoDataFrame(columns, geometry=list(found.shapes), crs=crs), notes


def _rows(classes: ClassMap, shapes: Iterable[shapely.Geometry]) -> list[Rows | None]:
    def work(shape: shapely.Geometry) -> Rows | None:
        with rasterio.Env():
            return measure_rows(classes.raster, classes.kinds, shape)

    return [rows for _, rows in in_threads(work, shapes, name="rows")]
