"""`agriseg health`: the fields of runs and how they are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agriseg.cli import options as opt
from agriseg.cli.project import refresh_project

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["health"]

_FIELDS, _INDICES, _CLASSES = "Fields", "Indices", "Classes"
_MOST_ROWS = 40
_WIDEST = 24


def health(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Folders that agriseg segment left: OUT/SCENE.",
            metavar="RUN...",
            show_default=False,
        ),
    ],
    fields: Annotated[
        str | None,
        typer.Option(
            help="Vector file with the outlines of fields or plots, in any CRS. Default: they are "
            "found in the map.",
            metavar="FILE",
            show_default=False,
            rich_help_panel=_FIELDS,
        ),
    ] = None,
    id_col: Annotated[
        str | None,
        typer.Option(
            help="Its column that tells them apart.", metavar="NAME", rich_help_panel=_FIELDS
        ),
    ] = None,
    name_col: Annotated[
        str | None,
        typer.Option(help="Its column with their names.", metavar="NAME", rich_help_panel=_FIELDS),
    ] = None,
    inset_m: Annotated[
        float,
        typer.Option(
            help="Leave out so much along the edges, as of plots.",
            metavar="METRES",
            rich_help_panel=_FIELDS,
        ),
    ] = 0.0,
    rows: Annotated[
        bool,
        typer.Option(
            "--rows",
            help="Measure the crop rows of these too, which takes longer than all else.",
            rich_help_panel=_FIELDS,
        ),
    ] = False,
    indices: Annotated[
        str | None,
        typer.Option(
            "-i",
            "--indices",
            help="Spectral indices, the first of which is the vigour: NDVI,NDRE. 'none' for none. "
            "Default: those two, or what the bands allow.",
            metavar="NAMES",
            show_default=False,
            rich_help_panel=_INDICES,
        ),
    ] = None,
    pixels: Annotated[
        str,
        typer.Option(
            help="Where to look at them: crop, plants (weeds too), or all.",
            rich_help_panel=_INDICES,
        ),
    ] = "crop",
    scene: Annotated[
        str | None,
        typer.Option(
            help="Where the scene is now, if it was moved: the file, or the folder of its files.",
            metavar="PATH",
            show_default=False,
            rich_help_panel=_INDICES,
        ),
    ] = None,
    growth_stage: Annotated[
        str | None,
        typer.Option(
            help="Such as BBCH 32, where the run does not tell.", rich_help_panel=_INDICES
        ),
    ] = None,
    zones: Annotated[
        int,
        typer.Option(
            help="Zones of vigour in each field, at most: 2 to 5; 0 for none.",
            metavar="NUMBER",
            rich_help_panel=_INDICES,
        ),
    ] = 4,
    smooth_m: Annotated[
        float | None,
        typer.Option(
            help="Width of their smoothing. Default: from field, rows and pixels.",
            metavar="METRES",
            show_default=False,
            rich_help_panel=_INDICES,
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(help="Classes that are crops.", metavar="NAMES", rich_help_panel=_CLASSES),
    ] = None,
    weed: Annotated[
        str | None,
        typer.Option(help="Classes that are weeds.", metavar="NAMES", rich_help_panel=_CLASSES),
    ] = None,
    ground: Annotated[
        str | None,
        typer.Option(help="Classes that are bare.", metavar="NAMES", rich_help_panel=_CLASSES),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            help="Write the table here too: .gpkg, .parquet, .fgb, .geojson, or .csv. For one run.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    csv_sep: Annotated[
        str,
        typer.Option(help="Between columns of a .csv; with ';' numbers have a decimal comma."),
    ] = ",",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Say how each field of a run is: cover, shade, and how vigorous and even its crop is.

    An index is looked at in the pixels of crop only; pixels on the edge of a field count by the
    share inside. The table goes to RUN/fields.gpkg, zones of vigour in the fields to
    RUN/zones.gpkg. What an index tells is vigour: the same value means another thing for each crop
    and growth stage.

    Examples:

    - `agriseg health out/field`

    - `agriseg health out/field --fields parcels.gpkg --id-col parcel -o fields.csv`

    - `agriseg health out/trial --fields plots.gpkg --inset-m 0.5 -i NDRE -o plots.csv`
    """
    from agriseg.errors import AgrisegError, BatchError, OptionError
    from agriseg.farm.health import field_health

    if out is not None and len(runs) > 1:
        raise OptionError("-o is for one run; each run gets its own fields.gpkg without it")
    if scene is not None and len(runs) > 1:
        raise OptionError("--scene is for one run; several were given")
    options = {
        "indices": _indices(indices),
        "scene": scene,
        "pixels": pixels,
        "id_col": id_col,
        "name_col": name_col,
        "inset_m": inset_m,
        "zones": zones,
        "smooth_m": smooth_m,
        "crop": () if crop is None else opt.words(crop, "--crop"),
        "weed": () if weed is None else opt.words(weed, "--weed"),
        "ground": () if ground is None else opt.words(ground, "--ground"),
        "about": {} if growth_stage is None else {"growth_stage": growth_stage},
        "out": out,
        "csv_sep": csv_sep,
    }
    told: list[dict[str, Any]] = []
    failed: dict[str, Exception] = {}
    for run in runs:
        try:
            table = field_health(run, fields, **options)  # type: ignore[arg-type]
        except AgrisegError as error:
            if len(runs) == 1:
                raise
            failed[run] = error
            continue
        if not quiet:
            _show(run, table, out)
        refresh_project(Path(run))
        rows = table.drop(columns=table.geometry.name).to_dict("records")
        told.append({"run": run, "notes": table.attrs["notes"], "fields": rows})
    if as_json:
        print(json.dumps([_plain(one) for one in told], ensure_ascii=False))
    if failed:
        words = "; ".join(f"{run}: {error}" for run, error in failed.items())
        raise BatchError(f"{len(failed)} of {len(runs)} runs could not be looked at: {words}")


def _indices(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return () if text.strip().lower() == "none" else opt.words(text, "--indices")


def _plain(value: Any) -> Any:
    """What JSON can hold: missing numbers are null."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str | bool | None) else str(value)


def _show(run: str, table: gpd.GeoDataFrame, out: str | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    about = table.attrs["about"]
    words = [f"{key.replace('_', ' ')} {about[key]}" for key in _SAID if about.get(key)]
    console.print(Text(f"{run}{': ' + ', '.join(words) if words else ''}"), soft_wrap=True)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    columns = _columns(table)
    shown = table.head(_MOST_ROWS)
    for title, name, form in columns:
        is_text = title in ("field", "name")
        # Titles may wrap, numbers must not be cut.
        width = max((len(_cell(value, form)) for value in shown[name]), default=1)
        grid.add_column(
            title,
            justify="left" if is_text else "right",
            min_width=min(width, _WIDEST) if is_text else width,
        )
    for _, row in shown.iterrows():
        grid.add_row(*(Text(_cell(row[name], form)) for _, name, form in columns))
    console.print(grid)
    if len(table) > _MOST_ROWS:
        console.print(f"... and {len(table) - _MOST_ROWS} more")
    for note in table.attrs["notes"]:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    also = f" and {out}" if out else ""
    console.print(Text(f"written: {Path(run) / 'fields.gpkg'}{also}"), soft_wrap=True)


_SAID = ("date", "crop", "growth_stage", "farm", "client")


def _columns(table: gpd.GeoDataFrame) -> list[tuple[str, str, str]]:
    """Title, column and format of what is shown."""
    from agriseg.farm.field_table import index_stem

    found = [("field", "field_id", "")]
    if table["name"].notna().any():
        found.append(("name", "name", ""))
    found.append(("ha", "area_ha", ".4f" if table["area_ha"].max() < 1 else ".2f"))
    covers = [name for name in table.columns if str(name).startswith("cover_")]
    for name in covers:
        title = name.removeprefix("cover_").removesuffix("_percent").replace("_", " ")
        found.append((f"{title} %", name, ".1f"))
    found.append(("shade %", "shadow_percent", ".1f"))
    for index in table.attrs["indices"]:
        found.append((f"{index} median", f"{index_stem(index)}_median", ".3f"))
    if table.attrs["indices"]:
        found.append(("vigour %", "vigour_percent", ".0f"))
        found.append(("uniform %", "uniformity_percent", ".0f"))
    return found


def _cell(value: Any, form: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return format(value, form) if form else str(value)
