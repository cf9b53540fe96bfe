"""`agriseg trial`: plots of a field trial, for statistics."""

from __future__ import annotations

import math
from typing import Annotated, Any

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer, records
from agriseg.cli.screen import console, new_table

__all__ = ["trial"]


def trial(
    table: Annotated[
        str,
        opt.argument("TABLE", "A run with fields.gpkg, or the table that agriseg health wrote."),
    ],
    *,
    treatment: Annotated[str, opt.value("-t --treatment", "COLUMN", "Column with the treatment.")],
    replicate: Annotated[
        str | None, opt.value("-r --replicate", "COLUMN", "Column with the replicate or block.")
    ] = None,
    untreated: Annotated[
        str | None,
        opt.value(
            "--untreated",
            "COLUMN=VALUE",
            "The untreated control: trt=0, or its value alone. With it comes weed_control_percent.",
        ),
    ] = None,
    out: opt.TableOut = None,
    csv_sep: opt.CsvSep = ",",
    weed: opt.Weed = None,
    answer: Answer,
) -> None:
    """Give one row for each plot and measure, as R wants it, and how well weeds were controlled.

    weed_control_percent is 100 (1 - treated / untreated) of the weeds' cover (Abbott 1925), against
    the untreated plots of the same replicate.

    Examples:

    - `agriseg trial out/trial --treatment trt --replicate rep --untreated trt=0 -o tidy.csv`
    """
    from agriseg.farm.tables import check_table, write_table
    from agriseg.farm.trial import trial as make

    if out is not None:
        check_table(out, csv_sep)
    weeds = said.words(weed, "--weed") or ("weed",)
    rows = make(table, treatment=treatment, replicate=replicate, untreated=untreated, weed=weeds)
    if out is not None:
        write_table(rows, out, csv_sep=csv_sep)
    if not answer.quiet:
        _show(rows, out, [f"cover_{name}_percent" for name in weeds])
    answer.give(records(rows))


def _show(rows: Any, out: str | None, weeds: list[str]) -> None:
    """Means and standard deviations of the treatments."""
    from rich.markup import escape

    screen = console(soft_wrap=False)
    measures = list(dict.fromkeys(rows["measure"]))
    shown = [name for name in measures if name.endswith(("_median", "control_percent"))]
    shown += [name for name in weeds if name in measures]
    found = []
    for name, part in rows.groupby("treatment", sort=False):
        groups = part.groupby("measure")["value"]
        mean, std = groups.mean(), groups.std()
        cells = [_number(mean[one]) + _spread(std[one]) for one in shown]
        found.append([str(name), str(part["field_id"].nunique()), *cells])
    grid = new_table("treatment", "plots", *map(_title, shown), left=("treatment",))
    for at, column in enumerate(grid.columns):
        # Titles may wrap, numbers must not be cut.
        column.min_width = max(len(row[at]) for row in found)
    for row in found:
        grid.add_row(*map(escape, row))
    screen.print(grid)
    screen.print("means of plots, with their standard deviations")
    if out is not None:
        screen.print(f"{len(rows):,} rows in {out}", markup=False, soft_wrap=True)


def _title(measure: str) -> str:
    """A measure in words, which a narrow table can break between."""
    name = measure.removesuffix("_percent").replace("_", " ")
    if name.startswith("cover "):
        name = f"{name.removeprefix('cover ')} cover"
    return f"{name} %" if measure.endswith("_percent") else name


def _spread(value: float) -> str:
    return "" if math.isnan(value) else f" ±{value:.2g}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
