"""What `agriseg train --dry-run` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from agriseg.cli.screen import console, new_table
from agriseg.cli.words import count_words, size_words, time_words

if TYPE_CHECKING:
    from rich.console import Console

    from agriseg.training.dry import DryRun

__all__ = ["plain_dry_run", "print_dry_run"]

_MOST_KINDS = 12


def plain_dry_run(found: DryRun) -> dict[str, Any]:
    """A dry run as JSON takes it."""
    return {**asdict(found), "files": [str(path) for path in found.files]}


def print_dry_run(found: DryRun) -> None:
    """Print scenes, shares, faults, notes and time."""
    screen = console(stderr=False)
    screen.print(f"[bold]{escape(found.name)}[/bold]  dry run: nothing is trained")
    if found.network:
        screen.print(f"  network {escape(found.network)}")
    _scenes(screen, found)
    _parts(screen, found)
    for note in found.notes:
        screen.print(f"  [yellow]note[/yellow]    {escape(note)}")
    for fault in found.faults:
        screen.print(f"  [red]fault[/red]   {escape(fault)}")
    if found.step_s is not None and found.total_s is not None:
        screen.print(
            f"  time    about {time_words(found.total_s)} here: {found.step_s:.2g} s a step"
        )
    if found.files:
        screen.print(f"  look at {escape(', '.join(map(str, found.files)))}")


def _scenes(screen: Console, found: DryRun) -> None:
    if not found.kinds:
        return
    headings = ("scenes", "such as", "bands", "pixel size", "values", "labelled")
    table = new_table(*headings, left=("scenes", "such as", "bands", "values"), indent=2)
    for kind in found.kinds[:_MOST_KINDS]:
        table.add_row(
            f"{kind.scenes:,}",
            escape(kind.example),
            escape(", ".join(kind.bands)),
            "unknown" if kind.gsd_m is None else size_words(kind.gsd_m),
            escape(kind.scale),
            f"{100 * kind.labelled:.0f} %",
        )
    screen.print(table)
    if len(found.kinds) > _MOST_KINDS:
        screen.print(f"  and {count_words(len(found.kinds) - _MOST_KINDS, 'other kind')} of scenes")


def _parts(screen: Console, found: DryRun) -> None:
    if not found.pixels or not found.scenes:
        return
    first = f"split {found.split}"
    table = new_table(first, *(f"for {part}" for part in found.pixels), left=(first,), indent=2)
    table.add_row("scenes", *(f"{found.scenes[part]:,}" for part in found.pixels))
    sums = {part: sum(counts.values()) for part, counts in found.pixels.items()}
    table.add_row("labelled Mpixel", *(f"{sums[part] / 1e6:,.2f}" for part in found.pixels))
    for name in next(iter(found.pixels.values())):
        shares = [f"{100 * found.pixels[p][name] / max(sums[p], 1):.1f} %" for p in found.pixels]
        table.add_row(escape(name), *shares)
    screen.print(table)
