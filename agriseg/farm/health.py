"""The verb `field_health`: how the fields of a run are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agriseg.errors import InputError, OutputError
from agriseg.farm.field_files import check_field_file, write_fields
from agriseg.farm.map_health import FieldMap, FieldOptions, FieldTables, map_health
from agriseg.farm.run_fields import ZONES_LAYER
from agriseg.farm.scene_of import grid_of, scene_of
from agriseg.fields.pixels import PixelChoice
from agriseg.raster import Scene
from agriseg.runs import Run, read_run

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["field_health"]

Path_ = str | os.PathLike[str]


def field_health(
    run: Run | Path_,
    fields: Path_ | gpd.GeoDataFrame | None = None,
    *,
    indices: Sequence[str] | str | None = None,
    params: Mapping[str, float] | None = None,
    scene: Scene | Path_ | None = None,
    pixels: PixelChoice | None = None,
    id_col: str | None = None,
    name_col: str | None = None,
    inset_m: float = 0.0,
    rows: bool = False,
    zones: int = 4,
    smooth_m: float | None = None,
    crop: Iterable[str] = (),
    weed: Iterable[str] = (),
    ground: Iterable[str] = (),
    about: Mapping[str, str] | None = None,
    out: Path_ | Literal[False] | None = None,
    csv_sep: str = ",",
) -> gpd.GeoDataFrame:
    """Say how the fields of a run are: cover, shade, and how vigorous and even their crop is.

    Each field gets the cover of each class, the share in the shade, the mean confidence, and the
    spread of spectral indices over the pixels of its crop; pixels on its edge count by the share
    inside. What an index tells is vigour, and it means another thing for each crop and stage.
    `agriseg.farm.field_table` lists the columns.

    The table goes to RUN/fields.gpkg, layer "fields", and zones of vigour within the fields to
    RUN/zones.gpkg; see `agriseg.make_zones`. Notes for a person are in `.attrs["notes"]`.

    Args:
        run: A run, or its folder.
        fields: Polygons in any CRS. By default the run's own parcels, or fields found in its map.
        indices: Which spectral indices, the first of which is the vigour; by default NDVI and NDRE,
            or what the bands allow. () for none: then the scene is not needed.
        params: Constants of their formulas that shall have another value, such as {"L": 0.25}.
        scene: Where the scene is now, if it was moved: file, folder, or the open scene.
        pixels: Of "crop", "plants" (weeds too), or "all"; None: crop, or all beyond 1 m a pixel.
        id_col, name_col: Columns of `fields` that tell them apart, and name them.
        inset_m: Leave out so many metres along the edge of each field.
        rows: Measure the rows of the given `fields` too, which takes longer than all else.
        zones: Zones of vigour in each field, at most; 0 for none. `stressed_ha` comes from them.
        smooth_m: Width of their smoothing; by default from field, rows and pixels.
        crop, weed, ground: Names of classes that are crops, weeds, or bare.
        about: Facts that the run does not tell, such as {"growth_stage": "BBCH 32"}.
        out: Another file for the same table, by its ending; .csv goes without outlines. False:
            write nothing, RUN/fields.gpkg neither.
        csv_sep: Between columns of a .csv; with ";" numbers have a decimal comma.

    Raises:
        InputError: The run, its scene, or the fields cannot be used.
        BandError: The scene lacks the bands of an index.
        OptionError: An option makes no sense.
        OutputError: The table cannot be written.
    """
    run = run if isinstance(run, Run) else read_run(Path(run), only_rasters=True)
    options = FieldOptions(
        parcels=fields,
        id_col=id_col,
        name_col=name_col,
        inset_m=inset_m,
        indices=indices,
        params=params or {},
        rows=rows,
        pixels=pixels,
        zones=zones,
        smooth_m=smooth_m,
        crop=tuple(crop),
        weed=tuple(weed),
        ground=tuple(ground),
    )
    options, told = _with_parcels(options, run)
    files = _files(run, out, csv_sep, options.parcels)
    opened, notes = _scene(run, scene, indices)
    tables = map_health(_map(run, opened, about or {}), options)
    tables.fields.attrs["notes"][:0] = told + notes
    _put(run, tables, files, csv_sep)
    return tables.fields


def _with_parcels(options: FieldOptions, run: Run) -> tuple[FieldOptions, list[str]]:
    """The options, with the parcels that the run was given where no others are; and a note."""
    asked: Mapping[str, Any] = run.record.get("options", {})
    if options.parcels is not None or not isinstance(asked.get("fields"), str):
        return options, []
    parcels = str(asked["fields"])
    if not Path(parcels).is_file():
        raise InputError(
            f"{run.path} was made with the parcels of {parcels}, which are not there; say where "
            f"they are with --fields, or take those of the run: --fields {run.folder.fields}"
        )
    found = replace(
        options,
        parcels=parcels,
        id_col=options.id_col or asked.get("id_col"),
        name_col=options.name_col or asked.get("name_col"),
        inset_m=options.inset_m or float(asked.get("inset_m") or 0),
    )
    return found, [f"the fields are those of {parcels}, as the run had them"]


def _map(run: Run, scene: Scene | None, about: Mapping[str, str]) -> FieldMap:
    return FieldMap(run.classes, _names(run), scene, {**run.record.get("about", {}), **about})


def _put(run: Run, tables: FieldTables, files: Sequence[Path], csv_sep: str) -> None:
    """Write what is asked for; zones of other fields do not stay beside the new ones."""
    for path in files:
        write_fields(tables.fields, path, csv_sep=csv_sep)
    if not files:
        return
    path = run.folder.zones
    if tables.zones is None:
        path.unlink(missing_ok=True)
    else:
        write_fields(tables.zones, path, layer=ZONES_LAYER)


def _files(
    run: Run, out: Path_ | Literal[False] | None, csv_sep: str, fields: object
) -> list[Path]:
    """Where the table goes, once it is sure that it can, and that nothing else is lost."""
    grid = _grid(run)
    if out is False:
        return []
    files = [run.folder.fields]
    if out is not None and Path(out).resolve() != files[0].resolve():
        files.append(Path(out))
        kept = [*run.folder.outputs, *([fields] if isinstance(fields, str | os.PathLike) else [])]
        if Path(out).resolve() in [Path(path).resolve() for path in kept]:
            raise OutputError(f"-o {out} is there already and is needed; give another file")
    for path in files:
        check_field_file(path, grid.crs, csv_sep)
    return files


def _grid(run: Run) -> Any:
    try:
        grid = grid_of(run)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{run.folder.record} does not tell the grid of its map; run agriseg segment again"
        ) from error
    if grid.crs is None:
        raise InputError(
            f"{run.path} was made from a raster without a CRS, so neither the place nor the size "
            "of its fields is known; assign the right one with gdal_edit.py -a_srs EPSG:... and "
            "run agriseg segment again"
        )
    return grid


def _names(run: Run) -> dict[int, str]:
    return {int(label["value"]): str(label["name"]) for label in run.record["classes"]}


def _scene(
    run: Run, scene: Scene | Path_ | None, indices: Sequence[str] | str | None
) -> tuple[Scene | None, list[str]]:
    """The scene, and what there is to say of it; None where no index needs it and it is gone."""
    if isinstance(scene, Scene):
        grid = grid_of(run)
        if scene.geobox != grid:
            raise InputError(
                f"the scene {scene.name} has {scene.geobox.width} x {scene.geobox.height} pixels "
                f"on another grid than the map of {run.path}, {grid.width} x {grid.height}; open "
                "the raster that the map was made from, with the same part and --gsd"
            )
        return scene, []
    needed = indices is None or len(indices) > 0 or scene is not None
    try:
        return scene_of(run, scene), []
    except InputError as error:
        if needed:
            raise
        return None, [f"without the scene nothing is known of shade ({error})"]
