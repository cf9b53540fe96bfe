"""`agriseg season`: the fields of several runs in one table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agriseg.cli import options as opt
from agriseg.cli.words import count_words
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from rich.console import Console

    from agriseg.farm.season import Season

__all__ = ["season"]

_FILE_WIDTH = 160
# Rows that a person reads on a screen; the file has them all.
_MOST_ROWS = 40


def season(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Folders of runs that hold fields.gpkg, or a folder of such folders.",
            metavar="RUN...",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            help="File to write: .csv or .parquet. Default: only show the table.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            help="Vector file with outlines and field_id, which names the fields. Default: the "
            "earliest run does.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    date: Annotated[
        list[str] | None,
        typer.Option(
            "--date",
            help="Date of a run that does not tell its own, as out/field=2026-05-14. Repeatable.",
            metavar="RUN=DATE",
        ),
    ] = None,
    keep_ids: Annotated[
        bool,
        typer.Option(
            "--keep-ids",
            help="Take field_id as it stands in each run: the same id is the same field.",
        ),
    ] = False,
    csv_sep: Annotated[
        str, typer.Option("--csv-sep", help="What stands between columns of a .csv: ';' for some.")
    ] = ",",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Put the fields of several dates into one table, a row for each field and date.

    Fields that were found anew on each date inherit their ids from the earliest run by overlap. A
    field that was split: its largest part keeps the id 3, the others get 3.1, 3.2. Fields that
    became one keep the id of the one with the largest overlap.

    Examples:

    - `agriseg season out/may out/june out/july -o season.csv`

    - `agriseg season out -o season.parquet --fields fields.gpkg`

    - `agriseg season out/a out/b -o season.csv --date out/a=2026-05-14`
    """
    from agriseg.farm.run_fields import spare
    from agriseg.farm.season import make_season
    from agriseg.farm.tables import check_table, write_table

    if out is not None:
        check_table(out, csv_sep)
        spare(fields, Path(out))
    found = make_season(runs, fields=fields, dates=_dates(date or []), keep_ids=keep_ids)
    if out is not None:
        write_table(found.table, out, csv_sep=csv_sep)
    if not quiet:
        _print(found, out)
    if as_json:
        print(_json(found, out))


def _dates(texts: list[str]) -> dict[str, str]:
    dates = {}
    for text in texts:
        folder, equals, day = text.rpartition("=")
        if not (equals and folder and day):
            raise OptionError(f"--date {text!r}: a run and its date are needed, out/a=2026-05-14")
        dates[folder] = day
    return dates


def _json(found: Season, out: str | None) -> str:
    rows = json.loads(found.table.to_json(orient="records", date_format="iso"))
    for row in rows:
        row["date"] = row["date"][:10]
    changes = [
        {"run": run, "kind": one.kind, "before": one.before, "after": one.after}
        for run, changes in found.changes
        for one in changes
    ]
    told = {"file": out, "rows": rows, "changes": changes, "notes": list(found.notes)}
    return json.dumps(told, indent=2)


def _print(found: Season, out: str | None) -> None:
    """Tables to standard error, as all that is for a person."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    table = found.table
    fields, dates = table["field_id"].nunique(), table["date"].nunique()
    span = f"{table['date'].min():%Y-%m-%d} to {table['date'].max():%Y-%m-%d}"
    console.print(
        f"[bold]{count_words(fields, 'field')}[/bold] on {count_words(dates, 'date')}, {span}"
    )
    _rows(console, found)
    for run, changes in found.changes:
        for change in changes:
            console.print(f"  {run}: {change.words()}", markup=False)
    for note in found.notes:
        console.print(f"  note    {note}", markup=False)
    if out is not None:
        rows = count_words(len(table), "row")
        console.print(f"  done    {out}: {rows} of {len(table.columns)} columns", markup=False)
    if out is None:
        print("nothing is written; give a file with -o", file=sys.stderr)


def _rows(console: Console, found: Season) -> None:
    from rich.markup import escape
    from rich.table import Table

    frame = found.table
    columns = [("area_ha", "ha", 3), ("valid_percent", "seen %", 0)]
    covers = [c for c in frame if c.startswith("cover_") and c.endswith("_percent")]
    columns += [(c, c.removeprefix("cover_").removesuffix("_percent") + " %", 1) for c in covers]
    indices = [c for c in frame if c.endswith("_mean")][:2]
    columns += [(c, c.removesuffix("_mean").upper(), 3) for c in indices]
    columns += [("vigour_percent", "vigour %", 0), ("uniformity_percent", "uniform %", 0)]
    columns = [one for one in columns if one[0] in frame and frame[one[0]].notna().any()]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="bold")
    table.add_column("field")
    table.add_column("date")
    staged = "growth_stage" in frame and frame["growth_stage"].notna().any()
    if staged:
        table.add_column("stage")
    for _, heading, _ in columns:
        table.add_column(heading, justify="right")
    last = None
    for row in frame.head(_MOST_ROWS).to_dict("records"):
        named = row["name"] if isinstance(row["name"], str) and row["name"] else ""
        field = f"{row['field_id']} {named}".strip()
        cells = ["" if field == last else escape(field), f"{row['date']:%Y-%m-%d}"]
        if staged:
            stage = row["growth_stage"]
            cells.append(escape(stage) if isinstance(stage, str) else "-")
        cells += [_number(row[name], digits) for name, _, digits in columns]
        table.add_row(*cells)
        last = field
    console.print(table)
    if len(frame) > _MOST_ROWS:
        console.print(f"  and {count_words(len(frame) - _MOST_ROWS, 'more row')}")


def _number(value: object, digits: int) -> str:
    # NaN is not equal to itself.
    if not isinstance(value, int | float) or value != value:
        return "-"
    return f"{value:.{digits}f}"
