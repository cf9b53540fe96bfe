"""`agriseg compare`: what changed between two runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from agriseg.cli import options as opt
from agriseg.cli.words import area_words, size_words
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from rich.console import Console

    from agriseg.farm.compare import Comparison

__all__ = ["compare"]

_FILE_WIDTH = 160
_MOST_ROWS = 40


def compare(
    run_a: Annotated[
        str, typer.Argument(help="Folder of the earlier run.", metavar="RUN_A", show_default=False)
    ],
    run_b: Annotated[
        str, typer.Argument(help="Folder of the later run.", metavar="RUN_B", show_default=False)
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", help="Folder for the files.", show_default=False)
    ],
    fields: Annotated[
        str | None,
        typer.Option(
            help="Vector file with outlines. Default: fields.gpkg of RUN_A, else of RUN_B, else "
            "all common ground.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    indices: Annotated[
        str | None,
        typer.Option(
            "-i",
            "--indices",
            help="Names with commas between. Default: the usual ones of both scenes.",
            metavar="NAMES",
            show_default=False,
        ),
    ] = None,
    no_indices: Annotated[
        bool, typer.Option("--no-indices", help="Compare classes alone.")
    ] = False,
    ignore_levels: Annotated[
        bool,
        typer.Option(
            "--ignore-levels",
            help="Compare indices even of reflectance with numbers that are none.",
        ),
    ] = False,
    align: Annotated[
        bool,
        typer.Option("--align", help="Read RUN_B moved back by the shift that was measured."),
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Compare two runs of the same ground: what became of classes and indices.

    OUT gets change.gpkg and change.csv (a row a field), transitions.tif (what became of what, with
    names and colours), change.tif (each index of RUN_B less that of RUN_A) and compare.json. Both
    runs are laid onto the coarser of their grids, and only ground that both have seen counts, crop
    and soil. How far the two lie apart is measured from the images.

    Examples:

    - `agriseg compare out/may out/june -o change`

    - `agriseg compare out/may out/june -o change --fields fields.gpkg -i NDVI,NDRE --align`
    """
    from rich.console import Console

    from agriseg.cli.bar import Bar
    from agriseg.farm.compare import compare as run_compare
    from agriseg.farm.compare import record_of

    if indices is not None and no_indices:
        raise OptionError("--indices names some, and --no-indices says none; leave one out")
    names: tuple[str, ...] | None = () if no_indices else None
    if indices is not None:
        names = opt.words(indices, "--indices")
    console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    bar = Bar(console, "compare")
    bar.start(1.0)
    try:
        found = run_compare(
            run_a,
            run_b,
            out,
            fields=fields,
            indices=names,
            ignore_levels=ignore_levels,
            align=align,
            on_share=bar.at,
        )
    finally:
        bar.close()
    _print(console, found)
    if as_json:
        rows = json.loads(found.table.drop(columns="geometry").to_json(orient="records"))
        print(json.dumps({"folder": str(found.folder), **record_of(found), "fields": rows}))


def _print(console: Console, found: Comparison) -> None:
    grid = found.grid
    size = size_words(grid.mean_gsd_m or 0.0)
    console.print(
        f"[bold]{found.names[0]} > {found.names[1]}[/bold]  {grid.width} x {grid.height} pixels "
        f"of {size}, {area_words(grid.area_m2 or 0.0)}"
    )
    if found.shift is not None:
        done = "; moved back" if found.aligned else ""
        console.print(f"  shift   {found.shift.words()}{done}", markup=False)
    _rows(console, found)
    if found.transitions_ha:
        _transitions(console, found)
    for note in found.notes:
        console.print(f"  note    {note}", markup=False)
    console.print(f"  done    {found.folder}: {', '.join(found.files)}", markup=False)


def _rows(console: Console, found: Comparison) -> None:
    """A row a field: before, after and the change of each cover and index."""
    from rich.markup import escape
    from rich.table import Table

    frame = found.table
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="bold")
    table.add_column("field")
    table.add_column("seen by both", justify="right")
    stems = [name.removesuffix("_change") for name in frame if name.endswith("_change")]
    for stem in stems:
        cover = stem.startswith("cover_")
        heading = stem.removeprefix("cover_").removesuffix("_percent").removesuffix("_mean")
        table.add_column(f"{heading} %" if cover else heading.upper(), justify="right")
    for row in frame.head(_MOST_ROWS).to_dict("records"):
        cells = [escape(f"{row['field_id']} {row['name']}".strip())]
        cells.append(f"{row['compared_percent']:.0f} %")
        for stem in stems:
            digits = 1 if stem.startswith("cover_") else 3
            a, b = row[f"{stem}_a"], row[f"{stem}_b"]
            known = a == a and b == b  # NaN is not equal to itself
            cells.append(f"{a:.{digits}f} > {b:.{digits}f} ({b - a:+.{digits}f})" if known else "-")
        table.add_row(*cells)
    console.print(table)
    if found.indices:
        console.print("  indices are means of all ground that both have seen, soil too")
    if len(frame) > _MOST_ROWS:
        console.print(f"  and {len(frame) - _MOST_ROWS:,} more in change.csv")


def _transitions(console: Console, found: Comparison) -> None:
    """The largest changes of class on all common ground."""
    total = sum(found.transitions_ha.values())
    moved = {name: ha for name, ha in found.transitions_ha.items() if name not in found.stayed}
    most = sorted(moved.items(), key=lambda item: -item[1])[:6]
    shares = ((name, 100 * ha / total) for name, ha in most)
    words = ", ".join(f"{name} {share:.1f} %" for name, share in shares if share >= 0.05)
    share = 100 * sum(moved.values()) / total
    console.print(f"  changed {share:.1f} % of the ground: {words or 'nothing'}", markup=False)
