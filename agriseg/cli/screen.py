"""Tables and text as a terminal shows them; rich is loaded when there is something to show."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["MOST_ROWS", "console", "new_table"]

MOST_ROWS = 40
"""More would fill the screen; files have them all."""
# Columns where the output goes to a file or another program, which have no width of their own.
_FILE_WIDTH = 160


def console(*, stderr: bool = True, quiet: bool = False, soft_wrap: bool = True) -> Console:
    """Where a person reads: standard error, or standard output for what is the result itself."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to the command: a reader who has seen enough is no fault."""
            raise BrokenPipeError

    found = Piped(stderr=stderr, highlight=False, soft_wrap=soft_wrap, quiet=quiet)
    if not found.is_terminal:
        found.width = _FILE_WIDTH
    return found


def new_table(*headings: str, left: Collection[str] = (), indent: int = 0) -> Table:
    """A table without lines; numbers stand at the right, and what is in `left` at the left."""
    from rich.console import ConsoleOptions, RenderableType, RenderResult
    from rich.markup import escape
    from rich.table import Table

    class Whole(Table):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            """In a narrow terminal words are wrapped; a number that lost its end would be a lie."""

            def width(cell: RenderableType) -> int:
                return console.measure(cell).maximum

            for column in self.columns:
                if column.justify == "right":
                    word = console.measure(column.header).minimum
                    column.min_width = max([word, *map(width, column.cells)])
            return super().__rich_console__(console, options)

    made = Whole(box=None, pad_edge=False, padding=(0, 2, 0, indent), header_style="bold")
    for heading in headings:
        made.add_column(escape(heading), justify="left" if heading in left else "right")
    return made
