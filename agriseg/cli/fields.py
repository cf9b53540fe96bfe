"""`agriseg fields`: outlines of fields, or your parcels, with their rows."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from agriseg.cli import options as opt
from agriseg.cli.words import area_words, count_words, time_words

if TYPE_CHECKING:
    from agriseg.fields.verb import Written

__all__ = ["fields"]

_OUTLINES, _PARCELS, _CLASSES = "Outlines", "Your parcels", "Classes"


def fields(
    classes: Annotated[
        str,
        typer.Argument(
            help="A class raster, or the folder of a run.", metavar="CLASSES", show_default=False
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            help="File to write: .gpkg, .fgb, .parquet or .geojson.",
            metavar="FILE",
            show_default=False,
        ),
    ],
    rows: Annotated[
        str | None,
        typer.Option(help="File for the crop rows, as lines.", metavar="FILE", show_default=False),
    ] = None,
    parcels: Annotated[
        str | None,
        typer.Option(
            help="Your own parcels in any vector format and CRS, in place of outlines from the "
            "map. All columns are kept.",
            metavar="FILE",
            show_default=False,
            rich_help_panel=_PARCELS,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Layer of the parcels.",
            metavar="NAME",
            show_default=False,
            rich_help_panel=_PARCELS,
        ),
    ] = None,
    id_col: Annotated[
        str | None,
        typer.Option(
            help="Column with the ids, which must differ. Default: parcels are numbered.",
            metavar="COLUMN",
            show_default=False,
            rich_help_panel=_PARCELS,
        ),
    ] = None,
    name_col: Annotated[
        str | None,
        typer.Option(
            help="Column with the names. Default: name, if there is one.",
            metavar="COLUMN",
            show_default=False,
            rich_help_panel=_PARCELS,
        ),
    ] = None,
    inset_m: Annotated[
        float,
        typer.Option(
            help="Metres to cut off all around, as the borders of trial plots.",
            metavar="METRES",
            rich_help_panel=_PARCELS,
        ),
    ] = 0.0,
    min_field_ha: Annotated[
        float | None,
        typer.Option(
            help="Smaller outlines are left out. Default: less than a fiftieth of the largest.",
            metavar="HA",
            show_default=False,
            rich_help_panel=_OUTLINES,
        ),
    ] = None,
    gap_m: Annotated[
        float | None,
        typer.Option(
            help="Fields end where crop is farther apart. Default: half again as wide as the bare "
            "strip between two rows, 1 m at least.",
            metavar="METRES",
            show_default=False,
            rich_help_panel=_OUTLINES,
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            help="Classes that are crop: maize,beet. Default: all but weed, soil, tracks and the "
            "like. Numbers, where the map names no classes.",
            metavar="NAMES",
            show_default=False,
            rich_help_panel=_CLASSES,
        ),
    ] = None,
    weed: Annotated[
        str | None,
        typer.Option(
            help="Classes that are weeds.",
            metavar="NAMES",
            show_default=False,
            rich_help_panel=_CLASSES,
        ),
    ] = None,
    ground: Annotated[
        str | None,
        typer.Option(
            help="Classes that are bare: stubble,road.",
            metavar="NAMES",
            show_default=False,
            rich_help_panel=_CLASSES,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Outline the fields on a class map, or take your parcels, and measure their crop rows.

    A field is crop and the soil between its rows; it ends at tracks and other land. Columns:
    field_id, name, your own ones, area_ha on the ground, row_direction_deg (clockwise from north),
    row_spacing_m, row_strength (0..1; empty where there are no rows).

    Examples:

    - `agriseg fields out/field -o fields.gpkg --rows rows.gpkg`

    - `agriseg fields out/field -o plots.gpkg --parcels plots.shp --id-col PLOT --inset-m 0.3`
    """
    from agriseg.fields.verb import make_fields

    started = time.monotonic()
    written = make_fields(
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
        crop=() if crop is None else opt.words(crop, "--crop"),
        weed=() if weed is None else opt.words(weed, "--weed"),
        ground=() if ground is None else opt.words(ground, "--ground"),
    )
    if not quiet:
        for line in _report(written):
            print(line, file=sys.stderr)
        files = out if rows is None else f"{out}, {rows} ({count_words(written.rows, 'row')})"
        print(f"  done    {files} in {time_words(time.monotonic() - started)}", file=sys.stderr)
    if as_json:
        print(json.dumps(_record(written, out, rows), indent=2, ensure_ascii=False))


# More fields than these are not listed: the file has them all.
_MOST_LINES = 12


def _report(written: Written) -> list[str]:
    frame = written.fields.frame
    lines = []
    total = area_words(float(frame["area_ha"].sum()) * 1e4)
    lines.append(f"{count_words(len(frame), 'field')}, {total}")
    columns = ("field_id", "name", "area_ha", "row_direction_deg", "row_spacing_m", "row_strength")
    table = list(zip(*(frame[name].tolist() for name in columns), strict=True))
    for field_id, name, area, direction, spacing, strength in table[:_MOST_LINES]:
        called = f"{field_id} {name}" if isinstance(name, str) else field_id
        rows = "no rows"
        if direction == direction:  # NaN is not itself
            rows = f"rows {spacing:.3g} m apart at {direction:.1f} degrees, strength {strength:.2f}"
        lines.append(f"  {called:<8}{area_words(area * 1e4)}, {rows}")
    if len(table) > _MOST_LINES:
        lines.append(f"  ...     and {len(table) - _MOST_LINES:,} more")
    return lines + [f"  note    {note}" for note in written.fields.notes]


def _record(written: Written, out: str, rows: str | None) -> dict[str, object]:
    frame = written.fields.frame
    columns = ("field_id", "name", "area_ha", "row_direction_deg", "row_spacing_m", "row_strength")
    table = zip(*(frame[name].tolist() for name in columns), strict=True)
    known = [
        {
            key: None if value is None or value != value else value
            for key, value in zip(columns, line, strict=True)
        }
        for line in table
    ]
    return {
        "file": out,
        "rows_file": rows,
        "rows": written.rows if rows is not None else None,
        "fields": known,
        "notes": written.fields.notes,
    }
