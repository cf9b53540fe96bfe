"""`agriseg season`: the fields of several runs in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer, records
from agriseg.cli.screen import MOST_ROWS, console, new_table
from agriseg.cli.words import count_words

if TYPE_CHECKING:
    from rich.console import Console

    from agriseg.farm.season import Season

__all__ = ["season"]


def season(
    runs: Annotated[
        list[str],
        opt.argument("RUN", "Folders of runs that hold fields.gpkg, or a folder of such folders."),
    ],
    *,
    out: opt.TableOut = None,
    csv_sep: opt.CsvSep = ",",
    date: Annotated[
        list[str] | None,
        opt.value(
            "--date",
            "RUN=DATE",
            "Date of a run that does not tell its own, as out/field=2026-05-14. Repeatable.",
        ),
    ] = None,
    keep_ids: Annotated[
        bool,
        opt.flag(
            "--keep-ids", "Take field_id as it stands in each run: the same id is the same field."
        ),
    ] = False,
    fields: Annotated[
        str | None, opt.outlines("the earliest run's. Their field_id names the fields.")
    ] = None,
    answer: Answer,
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
    dates = said.pairs(date or [], "--date", "out/a=2026-05-14")
    found = make_season(runs, fields=fields, dates=dates, keep_ids=keep_ids)
    if out is not None:
        write_table(found.table, out, csv_sep=csv_sep)
    if not answer.quiet:
        _show(found, out)
    answer.give(_facts(found, out))


def _facts(found: Season, out: str | None) -> dict[str, Any]:
    changes = [
        {"run": run, "kind": one.kind, "before": one.before, "after": one.after}
        for run, changes in found.changes
        for one in changes
    ]
    days = found.table["date"].dt.strftime("%Y-%m-%d")
    rows = records(found.table.assign(date=days))
    return {"file": out, "rows": rows, "changes": changes, "notes": found.notes}


def _show(found: Season, out: str | None) -> None:
    """Tables to standard error, as all that is for a person."""
    screen = console()
    frame = found.table
    fields, dates = frame["field_id"].nunique(), frame["date"].nunique()
    span = f"{frame['date'].min():%Y-%m-%d} to {frame['date'].max():%Y-%m-%d}"
    screen.print(
        f"[bold]{count_words(fields, 'field')}[/bold] on {count_words(dates, 'date')}, {span}"
    )
    _rows(screen, found)
    for run, changes in found.changes:
        for change in changes:
            screen.print(f"  {run}: {change.words()}", markup=False)
    for note in found.notes:
        screen.print(f"  note    {note}", markup=False)
    if out is None:
        screen.print("nothing is written; give a file with -o")
    else:
        rows = count_words(len(frame), "row")
        screen.print(f"  done    {out}: {rows} of {len(frame.columns)} columns", markup=False)


def _rows(screen: Console, found: Season) -> None:
    from rich.markup import escape

    frame = found.table
    columns = [("area_ha", "ha", 3), ("valid_percent", "seen %", 0)]
    covers = [c for c in frame if c.startswith("cover_") and c.endswith("_percent")]
    columns += [(c, c.removeprefix("cover_").removesuffix("_percent") + " %", 1) for c in covers]
    indices = [c for c in frame if c.endswith("_mean")][:2]
    columns += [(c, c.removesuffix("_mean").upper(), 3) for c in indices]
    columns += [("vigour_percent", "vigour %", 0), ("uniformity_percent", "uniform %", 0)]
    columns = [one for one in columns if one[0] in frame and frame[one[0]].notna().any()]
    staged = "growth_stage" in frame and frame["growth_stage"].notna().any()
    words = ("field", "date", "stage") if staged else ("field", "date")
    made = new_table(*words, *(heading for _, heading, _ in columns), left=words, indent=2)
    last = None
    for row in frame.head(MOST_ROWS).to_dict("records"):
        named = row["name"] if isinstance(row["name"], str) and row["name"] else ""
        field = f"{row['field_id']} {named}".strip()
        cells = ["" if field == last else escape(field), f"{row['date']:%Y-%m-%d}"]
        if staged:
            stage = row["growth_stage"]
            cells.append(escape(stage) if isinstance(stage, str) else "-")
        cells += [_number(row[name], digits) for name, _, digits in columns]
        made.add_row(*cells)
        last = field
    screen.print(made)
    if len(frame) > MOST_ROWS:
        screen.print(f"  and {count_words(len(frame) - MOST_ROWS, 'more row')}")


def _number(value: object, digits: int) -> str:
    # NaN is not equal to itself.
    if not isinstance(value, int | float) or value != value:
        return "-"
    return f"{value:.{digits}f}"
