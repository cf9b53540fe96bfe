"""`agriseg trial`: plots of a field trial, for statistics."""

from __future__ import annotations

import json
import math
import sys
from typing import Annotated, Any

import typer

from agriseg.cli import options as opt

__all__ = ["trial"]


def trial(
    table: Annotated[
        str,
        typer.Argument(
            help="A run with fields.gpkg, or the table that agriseg health wrote.",
            metavar="TABLE",
            show_default=False,
        ),
    ],
    treatment: Annotated[
        str,
        typer.Option(
            "-t",
            "--treatment",
            help="Column with the treatment.",
            metavar="COLUMN",
            show_default=False,
        ),
    ],
    replicate: Annotated[
        str | None,
        typer.Option(
            "-r",
            "--replicate",
            help="Column with the replicate or block.",
            metavar="COLUMN",
            show_default=False,
        ),
    ] = None,
    untreated: Annotated[
        str | None,
        typer.Option(
            help="The untreated control: trt=0, or its value alone. With it comes "
            "weed_control_percent.",
            metavar="COLUMN=VALUE",
            show_default=False,
        ),
    ] = None,
    weed: Annotated[str, typer.Option(help="Classes that are weeds.", metavar="NAMES")] = "weed",
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            help="File to write: .csv or .parquet.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    csv_sep: Annotated[
        str,
        typer.Option(help="Between columns of a .csv; with ';' numbers have a decimal comma."),
    ] = ",",
    as_json: opt.Json = False,
    debug: opt.Debug = False,
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
    rows = make(
        table,
        treatment=treatment,
        replicate=replicate,
        untreated=untreated,
        weed=opt.words(weed, "--weed"),
    )
    if out is not None:
        write_table(rows, out, csv_sep=csv_sep)
    if as_json:
        records = rows.to_dict("records")
        print(json.dumps([{k: _plain(v) for k, v in one.items()} for one in records]))
    else:
        _show(rows, out, [f"cover_{name}_percent" for name in opt.words(weed, "--weed")])


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(rows: Any, out: str | None, weeds: list[str]) -> None:
    """Means and standard deviations of the treatments."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True, highlight=False)
    measures = list(dict.fromkeys(rows["measure"]))
    shown = [name for name in measures if name.endswith(("_median", "control_percent"))]
    shown += [name for name in weeds if name in measures]
    table = []
    for name, part in rows.groupby("treatment", sort=False):
        groups = part.groupby("measure")["value"]
        mean, std = groups.mean(), groups.std()
        cells = [_number(mean[one]) + _spread(std[one]) for one in shown]
        table.append([str(name), str(part["field_id"].nunique()), *cells])
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for at, title in enumerate(["treatment", "plots", *map(_title, shown)]):
        # Titles may wrap, numbers must not be cut.
        width = max(len(row[at]) for row in table)
        grid.add_column(title, justify="right" if at else "left", min_width=width)
    for row in table:
        grid.add_row(*row)
    console.print(grid)
    console.print("means of plots, with their standard deviations")
    if out is not None:
        print(f"{len(rows):,} rows in {out}", file=sys.stderr)


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
