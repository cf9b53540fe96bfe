"""`agriseg health`: the fields of runs and how they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer, records
from agriseg.cli.groups import ClassKinds, OutlineColumns
from agriseg.cli.screen import MOST_ROWS, console, new_table
from agriseg.errors import AgrisegError, BatchError, InputError, OptionError

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["health"]

_WIDEST = 24
_SAID = ("date", "crop", "growth_stage", "farm", "client")


def health(
    results: opt.Results,
    *,
    out: Annotated[
        str | None,
        opt.to_file(
            "Write the table here too: .gpkg, .fgb, .parquet, .geojson, or .csv. For one run.",
            *opt.VECTORS,
            ".csv",
        ),
    ] = None,
    csv_sep: opt.CsvSep = ",",
    fields: Annotated[
        str | None, opt.outlines("those that the run was given, else they are found on the map.")
    ] = None,
    columns: OutlineColumns,
    rows: Annotated[
        bool,
        opt.flag(
            "--rows",
            "Measure the crop rows of these too, which takes longer than all else.",
            opt.FIELDS,
        ),
    ] = False,
    indices: Annotated[
        str | None, opt.index_list(" The first is the vigour; 'none' for none.")
    ] = None,
    param: opt.Param = None,
    pixels: opt.Pixels = None,
    scene: Annotated[
        str | None,
        opt.value(
            "--scene",
            "PATH",
            "Where the scene is now, if it was moved: the file, or the folder of its files.",
            opt.INDICES,
        ),
    ] = None,
    zones: Annotated[
        int,
        opt.value(
            "--zones", "N", "Zones of vigour in each field, at most: 2 to 5; 0 for none.", opt.ZONES
        ),
    ] = 4,
    smooth_m: opt.SmoothM = None,
    kinds: ClassKinds,
    growth_stage: opt.GrowthStage = None,
    answer: Answer,
) -> None:
    """Say how each field of a run is: cover, shade, and how vigorous and even its crop is.

    An index is looked at in the pixels of crop only, or in all where they are larger than plants;
    pixels on the edge of a field count by the share inside. The table goes to RUN/fields.gpkg,
    zones of vigour in the fields to RUN/zones.gpkg. What an index tells is vigour: the same value
    means another thing for each crop and growth stage.

    Examples:

    - `agriseg health out/field`

    - `agriseg health out --parcels parcels.gpkg`

    - `agriseg health out/field --parcels parcels.gpkg --id-col parcel -o fields.csv`

    - `agriseg health out/trial --parcels plots.gpkg --inset-m 0.5 -i NDRE -o plots.csv`
    """
    from agriseg.farm.health import field_health
    from agriseg.publish import refresh_project
    from agriseg.runs.record import run_folders

    meant = [run_folders(Path(given)) for given in results]
    runs = [str(one) for some in meant for one in some]
    if not runs:
        raise InputError(f"{results[0]} holds no run; give OUT/SCENE, or OUT for all of them")
    if out is not None and len(runs) > 1:
        raise OptionError("-o is for one run; each run gets its own fields.gpkg without it")
    if scene is not None and len(runs) > 1:
        raise OptionError("--scene is for one run; several were given")
    options: dict[str, Any] = {
        "indices": said.some_or_none(indices, "--indices"),
        "params": said.constants(param),
        "scene": scene,
        "pixels": pixels,
        "rows": rows,
        "zones": zones,
        "smooth_m": smooth_m,
        "about": {} if growth_stage is None else {"growth_stage": growth_stage},
        "out": out,
        "csv_sep": csv_sep,
        **columns.keywords(),
        **kinds.keywords(),
    }
    told: list[dict[str, Any]] = []
    failed: dict[str, Exception] = {}
    for run in runs:
        try:
            found = field_health(run, fields, **options)
        except AgrisegError as error:
            if len(runs) == 1:
                raise
            failed[run] = error
            continue
        if not answer.quiet:
            _show(run, found, out)
        refresh_project(run)
        told.append({"run": run, "notes": found.attrs["notes"], "fields": records(found)})
    for given, some in zip(results, meant, strict=True):
        if some != [Path(given)]:  # a folder of many scenes has a project of its own
            refresh_project(given)
    answer.give(told)
    if failed:
        words = "; ".join(f"{run}: {error}" for run, error in failed.items())
        raise (BatchError if told else InputError)(
            f"{len(failed)} of {len(runs)} runs could not be looked at: {words}"
        )


def _show(run: str, found: gpd.GeoDataFrame, out: str | None) -> None:
    from rich.text import Text

    screen = console(soft_wrap=False)
    about = found.attrs["about"]
    words = [f"{key.replace('_', ' ')} {about[key]}" for key in _SAID if about.get(key)]
    screen.print(Text(f"{run}{': ' + ', '.join(words) if words else ''}"), soft_wrap=True)
    columns = _columns(found)
    shown = found.head(MOST_ROWS)
    grid = new_table(*(title for title, _, _ in columns), left=("field", "name"))
    for column, (title, name, form) in zip(grid.columns, columns, strict=True):
        if title in ("field", "name"):
            width = max((len(_cell(value, form)) for value in shown[name]), default=1)
            column.min_width = min(width, _WIDEST)
    for _, row in shown.iterrows():
        grid.add_row(*(Text(_cell(row[name], form)) for _, name, form in columns))
    screen.print(grid)
    if len(found) > MOST_ROWS:
        screen.print(f"... and {len(found) - MOST_ROWS} more")
    for note in found.attrs["notes"]:
        screen.print(Text(f"note: {note}"), soft_wrap=True)
    also = f" and {out}" if out else ""
    screen.print(Text(f"written: {Path(run) / 'fields.gpkg'}{also}"), soft_wrap=True)


def _columns(found: gpd.GeoDataFrame) -> list[tuple[str, str, str]]:
    """Title, column and format of what is shown."""
    from agriseg.farm.field_table import index_stem

    shown = [("field", "field_id", "")]
    if found["name"].notna().any():
        shown.append(("name", "name", ""))
    shown.append(("ha", "area_ha", ".4f" if found["area_ha"].max() < 1 else ".2f"))
    covers = [name for name in found.columns if str(name).startswith("cover_")]
    for name in covers:
        title = name.removeprefix("cover_").removesuffix("_percent").replace("_", " ")
        shown.append((f"{title} %", name, ".1f"))
    shown.append(("shade %", "shadow_percent", ".1f"))
    for index in found.attrs["indices"]:
        shown.append((f"{index} median", f"{index_stem(index)}_median", ".3f"))
    if found.attrs["indices"]:
        shown.append(("vigour %", "vigour_percent", ".0f"))
        shown.append(("uniform %", "uniformity_percent", ".0f"))
    return shown


def _cell(value: Any, form: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return format(value, form) if form else str(value)
