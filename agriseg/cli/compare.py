"""`agriseg compare`: what changed between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer, records
from agriseg.cli.screen import MOST_ROWS, console, new_table
from agriseg.cli.words import area_words, size_words
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from rich.console import Console

    from agriseg.farm.compare import Comparison

__all__ = ["compare"]


def compare(
    run_a: Annotated[str, opt.argument("RUN_A", "Folder of the earlier run.")],
    run_b: Annotated[str, opt.argument("RUN_B", "Folder of the later run.")],
    *,
    out: Annotated[str, opt.to_folder("Folder for the files.")],
    align: Annotated[
        bool, opt.flag("--align", "Read RUN_B moved back by the shift that was measured.")
    ] = False,
    fields: Annotated[
        str | None, opt.outlines("fields.gpkg of RUN_A, else of RUN_B, else all common ground.")
    ] = None,
    indices: Annotated[
        str | None, opt.index_list(" Those that both scenes can have; 'none' for none.")
    ] = None,
    no_indices: Annotated[
        bool, opt.flag("--no-indices", "Compare classes alone.", opt.INDICES)
    ] = False,
    ignore_levels: Annotated[
        bool,
        opt.flag(
            "--ignore-levels",
            "Compare indices even of reflectance with numbers that are none.",
            opt.INDICES,
        ),
    ] = False,
    answer: Answer,
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
    from agriseg.cli.bar import Bar
    from agriseg.farm.compare import compare as run_compare
    from agriseg.farm.compare import record_of

    if indices is not None and no_indices:
        raise OptionError("--indices names some, and --no-indices says none; leave one out")
    names = said.some_or_none("none" if no_indices else indices, "--indices")
    screen = console(quiet=answer.quiet)
    bar = Bar(screen, "compare")
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
    _show(screen, found)
    answer.give({"folder": found.folder, **record_of(found), "fields": records(found.table)})


def _show(screen: Console, found: Comparison) -> None:
    grid = found.grid
    size = size_words(grid.mean_gsd_m or 0.0)
    screen.print(
        f"[bold]{found.names[0]} > {found.names[1]}[/bold]  {grid.width} x {grid.height} pixels "
        f"of {size}, {area_words(grid.area_m2 or 0.0)}"
    )
    if found.shift is not None:
        done = "; moved back" if found.aligned else ""
        screen.print(f"  shift   {found.shift.words()}{done}", markup=False)
    _rows(screen, found)
    if found.transitions_ha:
        _transitions(screen, found)
    for note in found.notes:
        screen.print(f"  note    {note}", markup=False)
    screen.print(f"  done    {found.folder}: {', '.join(found.files)}", markup=False)


def _rows(screen: Console, found: Comparison) -> None:
    """A row a field: before, after and the change of each cover and index."""
    from rich.markup import escape

    frame = found.table
    stems = [name.removesuffix("_change") for name in frame if name.endswith("_change")]
    made = new_table("field", "seen by both", *map(_heading, stems), left=("field",), indent=2)
    for row in frame.head(MOST_ROWS).to_dict("records"):
        cells = [escape(f"{row['field_id']} {row['name']}".strip())]
        cells.append(f"{row['compared_percent']:.0f} %")
        for stem in stems:
            digits = 1 if stem.startswith("cover_") else 3
            a, b = row[f"{stem}_a"], row[f"{stem}_b"]
            known = a == a and b == b  # NaN is not equal to itself
            cells.append(f"{a:.{digits}f} > {b:.{digits}f} ({b - a:+.{digits}f})" if known else "-")
        made.add_row(*cells)
    screen.print(made)
    if found.indices:
        screen.print("  indices are means of all ground that both have seen, soil too")
    if len(frame) > MOST_ROWS:
        screen.print(f"  and {len(frame) - MOST_ROWS:,} more in change.csv")


def _heading(stem: str) -> str:
    name = stem.removeprefix("cover_").removesuffix("_percent").removesuffix("_mean")
    return f"{name} %" if stem.startswith("cover_") else name.upper()


def _transitions(screen: Console, found: Comparison) -> None:
    """The largest changes of class on all common ground."""
    total = sum(found.transitions_ha.values())
    moved = {name: ha for name, ha in found.transitions_ha.items() if name not in found.stayed}
    most = sorted(moved.items(), key=lambda item: -item[1])[:6]
    shares = ((name, 100 * ha / total) for name, ha in most)
    words = ", ".join(f"{name} {share:.1f} %" for name, share in shares if share >= 0.05)
    share = 100 * sum(moved.values()) / total
    screen.print(f"  changed {share:.1f} % of the ground: {words or 'nothing'}", markup=False)
