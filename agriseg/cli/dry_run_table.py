"""What `agriseg train --dry-run` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agriseg.cli.words import count_words, size_words, time_words

if TYPE_CHECKING:
    from agriseg.training.dry import DryRun

__all__ = ["plain_dry_run", "print_dry_run"]

_FILE_WIDTH = 160
_MOST_KINDS = 12


def plain_dry_run(found: DryRun) -> dict[str, Any]:
    """A dry run as JSON takes it."""
    return {**asdict(found), "files": [str(path) for path in found.files]}


def print_dry_run(found: DryRun) -> None:
    """Print scenes, shares, faults, notes and time."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    console.print(f"[bold]{escape(found.name)}[/bold]  dry run: nothing is trained")
    if found.network:
        console.print(f"  network {escape(found.network)}")
    _scenes(console, found)
    _parts(console, found)
    for note in found.notes:
        console.print(f"  [yellow]note[/yellow]    {escape(note)}")
    for fault in found.faults:
        console.print(f"  [red]fault[/red]   {escape(fault)}")
    if found.step_s is not None and found.total_s is not None:
        console.print(
            f"  time    about {time_words(found.total_s)} here: {found.step_s:.2g} s a step"
        )
    if found.files:
        console.print(f"  look at {escape(', '.join(map(str, found.files)))}")


def _scenes(console: Console, found: DryRun) -> None:
    if not found.kinds:
        return
    table = _table("scenes", "such as", "bands", "pixel size", "values", "labelled")
    for kind in found.kinds[:_MOST_KINDS]:
        table.add_row(
            f"{kind.scenes:,}",
            escape(kind.example),
            escape(", ".join(kind.bands)),
            "unknown" if kind.gsd_m is None else size_words(kind.gsd_m),
            escape(kind.scale),
            f"{100 * kind.labelled:.0f} %",
        )
    console.print(table)
    if len(found.kinds) > _MOST_KINDS:
        console.print(
            f"  and {count_words(len(found.kinds) - _MOST_KINDS, 'other kind')} of scenes"
        )


def _parts(console: Console, found: DryRun) -> None:
    if not found.pixels or not found.scenes:
        return
    table = _table(f"split {found.split}", *(f"for {part}" for part in found.pixels))
    table.add_row("scenes", *(f"{found.scenes[part]:,}" for part in found.pixels))
    sums = {part: sum(counts.values()) for part, counts in found.pixels.items()}
    table.add_row("labelled Mpixel", *(f"{sums[part] / 1e6:,.2f}" for part in found.pixels))
    for name in next(iter(found.pixels.values())):
        shares = [f"{100 * found.pixels[p][name] / max(sums[p], 1):.1f} %" for p in found.pixels]
        table.add_row(escape(name), *shares)
    console.print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="bold")
    for place, heading in enumerate(headings):
        left = place == 0 or heading in ("such as", "bands", "values")
        table.add_column(escape(heading), justify="left" if left else "right")
    return table
