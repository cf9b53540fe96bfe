"""How the fields of one class map are: from map and scene to tables, without a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio

from agriseg.errors import OptionError
from agriseg.farm.field_table import field_table
from agriseg.fields.kinds import kinds_of
from agriseg.fields.numbers.planes import Layers
from agriseg.fields.numbers.statistics import count_fields
from agriseg.fields.pixels import PixelChoice, choose_pixels
from agriseg.raster import Scene
from agriseg.vector import open_classes

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["FieldMap", "FieldOptions", "FieldTables", "map_health"]

Path_ = str | os.PathLike[str]
_BESIDE = "uniformity_percent"
# For blocks of two bands of rows, which several indices look at; GDAL would take twice as much.
_CACHE_BYTES = 512 << 20


@dataclass(frozen=True)
class FieldMap:
    """A class map and what belongs to it.

    Args:
        classes: The class raster.
        names: Names of its classes by value.
        scene: What it was made from, on the same grid; None where that is not there.
        about: Facts about the scene.
    """

    classes: Path
    names: Mapping[int, str]
    scene: Scene | None
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FieldOptions:
    """Which fields, and what is to be said of them.

    Args:
        parcels: The user's own outlines; None: fields are found in the map.
        id_col: Column of `parcels` that tells them apart.
        name_col: Column of `parcels` with their names.
        inset_m: Leave out so many metres along the edge of each field.
        indices: The first is the vigour; None: what the bands allow.
        params: Constants of their formulas that shall have another value.
        rows: Measure the rows of `parcels` too; those that are found have them anyway.
        pixels: Where to look at the indices: "crop", "plants" or "all"; None: those of crop, or all
            where pixels are larger than plants.
        zones: Zones of vigour a field, at most; 0: none are made.
        most_zoned: Of more fields none are divided; None: all are.
        smooth_m: Width of their smoothing; None: from field, rows and pixels.
        crop, weed, ground: Names of classes, where they do not tell what they are.
    """

    parcels: Any | None = None
    id_col: str | None = None
    name_col: str | None = None
    inset_m: float = 0.0
    indices: Sequence[str] | str | None = None
    params: Mapping[str, float] = field(default_factory=dict)
    rows: bool = False
    pixels: PixelChoice | None = None
    zones: int = 4
    most_zoned: int | None = None
    smooth_m: float | None = None
    crop: tuple[str, ...] = ()
    weed: tuple[str, ...] = ()
    ground: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.zones not in (0, 2, 3, 4, 5):
            raise OptionError(f"--zones {self.zones}: 2 to 5 zones can be made, or 0 for none")


@dataclass(frozen=True, eq=False)
class FieldTables:
    """What is said of the fields of a map.

    Args:
        fields: A field a row; `.attrs` holds "notes", "indices" and "about".
        zones: A zone a row; None where none were asked for, or no index can be had.
    """

    fields: gpd.GeoDataFrame
    zones: gpd.GeoDataFrame | None


def map_health(of: FieldMap, options: FieldOptions) -> FieldTables:
    """Find the fields of a map, or read them, and say how they are.

    Raises:
        InputError, BandError, OptionError: Map, scene, fields and options do not fit.
    """
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        return _map_health(of, options)


def _map_health(of: FieldMap, options: FieldOptions) -> FieldTables:
    from agriseg.fields.find import find_fields

    kinds = kinds_of(of.names, crop=options.crop, weed=options.weed, ground=options.ground)
    raster = open_classes(of.classes, names=of.names)
    pixels = choose_pixels(options.pixels, raster.geobox)
    chosen, notes = _indices(options, of.scene)
    layers = Layers(raster, of.scene, chosen, dict(options.params))
    found = find_fields(
        of.classes,
        parcels=options.parcels,
        id_col=options.id_col,
        name_col=options.name_col,
        inset_m=options.inset_m,
        rows=options.parcels is None or options.rows,
        crop=options.crop,
        weed=options.weed,
        ground=options.ground,
    )
    outlines = found.frame.geometry.to_numpy()
    counts = count_fields(outlines, layers, kinds=kinds, pixels=pixels)
    names = [index.name for index in chosen]
    table = field_table(
        found.frame,
        counts,
        names=raster.names,
        indices=names,
        about=of.about,
        pixels=pixels,
    )
    if names and options.pixels is None and pixels == "all":
        notes.append(
            f"pixels of {raster.geobox.mean_gsd_m:.3g} m hold plants and soil: the "
            "indices are those of all pixels of a field (--pixels crop: of crop only)"
        )
    zones = None
    if options.most_zoned is not None and len(table) > options.most_zoned:
        notes.append(f"{len(table):,} fields are not divided into zones; agriseg health does it")
    elif options.zones and names and len(table):
        zones = _zones(layers, table, names[0], options)
        table = _with_stress(table, zones)
    table.attrs["notes"] = [*notes, *found.notes, *_of_all(table, names, of.about)]
    table.attrs["indices"] = names
    table.attrs["about"] = {str(key): str(value) for key, value in of.about.items()}
    return FieldTables(table, zones)


def _zones(
    layers: Layers, fields: gpd.GeoDataFrame, index: str, options: FieldOptions
) -> gpd.GeoDataFrame:
    from agriseg.fields.given import fields_on
    from agriseg.fields.output import frame_of
    from agriseg.fields.zones.making import ZoneOptions, zone_basis, zone_batches

    assert layers.scene is not None
    how = ZoneOptions(
        index=index,
        zones=options.zones,
        smooth_m=options.smooth_m,
        pixels=options.pixels,
        crop=options.crop,
        weed=options.weed,
        ground=options.ground,
        params=options.params,
        uncalibrated=True,  # the table of the same index says what that means
    )
    raster = layers.classes
    basis = zone_basis(layers.scene, raster, how)
    given = fields_on(raster.geobox, fields, raster.path)
    return frame_of(zone_batches(basis, given.fields), raster)


def _with_stress(table: gpd.GeoDataFrame, zones: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The table with the area of zones that are clearly weaker than their field."""
    from agriseg.fields.zones.table import stressed_ha

    stressed = stressed_ha(zones).set_index("field_id")
    at = list(table.columns).index(_BESIDE) + 1
    for column in ("stressed_percent", "stressed_ha"):
        if column in table.columns:  # the user's own
            continue
        table.insert(at, column, table["field_id"].map(stressed[column]).astype(float))
    return table


def _indices(options: FieldOptions, scene: Scene | None) -> tuple[tuple[Any, ...], list[str]]:
    """The indices that are wanted, each once, and what to beware of."""
    from agriseg.indices import default_indices, find_index
    from agriseg.indices.compute import check_params, fits_units

    if scene is None:
        return (), []
    asked = options.indices
    names = default_indices(scene) if asked is None else asked
    names = [names] if isinstance(names, str) else names
    found = {index.name: index for index in (find_index(name, scene) for name in names)}
    chosen = tuple(found.values())
    check_params(options.params, chosen)
    notes = [note for index in chosen if (note := fits_units(index, scene, options.params))]
    if asked is None and not chosen:
        notes.append(f"{scene.name} has no bands for an index of vigour; {scene.band_summary()}")
    return chosen, notes


def _of_all(table: Any, indices: Sequence[str], about: Mapping[str, Any]) -> list[str]:
    """What to say of the table as a whole."""
    notes = []
    empty = table["note"].astype(str).str.startswith(("lies outside", "the map has no class"))
    if empty.any():
        ids = ", ".join(table["field_id"][empty].astype(str).head(5))
        more = f" and {int(empty.sum()) - 5} more" if empty.sum() > 5 else ""
        notes.append(f"without a class on the map: {ids}{more}")
    unsaid = [key for key in ("crop", "growth_stage") if not about.get(key)]
    unsaid = [key for key in unsaid if key not in table.columns]
    if indices and unsaid:
        words = " and ".join(key.replace("_", " ") for key in unsaid)
        notes.append(
            f"{words} not said: the same {indices[0]} is much for one crop or stage and "
            "little for another"
        )
    return notes
