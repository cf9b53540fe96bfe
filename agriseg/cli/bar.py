"""The bar that shows how far a command is, on terminals only."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["Bar", "Said", "Speed"]


class Bar:
    """A bar that goes away when it is closed.

    Args:
        console: Where to; nothing is shown if it is quiet or no terminal.
        verb: What is going on.
        columns: Shown between the percentage and the time that remains.
    """

    def __init__(self, console: Console, verb: str, *columns: ProgressColumn) -> None:
        self._console, self._verb, self._columns = console, verb, columns
        self._progress: Progress | None = None

    def start(self, total: float, done: int = 0) -> None:
        """Begin; of a bar that is there already, the total grows."""
        if self._console.quiet or not self._console.is_terminal:
            return
        if self._progress is not None:
            task = self._progress.tasks[0]
            self._progress.update(
                task.id,
                total=(task.total or 0) + total,
                completed=task.completed + done,
                from_earlier=task.fields["from_earlier"] + done,
            )
            return
        self._progress = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            *self._columns,
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._progress.start()
        self._progress.add_task(self._verb, total=total, completed=done, from_earlier=done, said="")

    def advance(self, steps: float) -> None:
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0], steps)

    def at(self, done: float, said: str = "") -> None:
        """How far it is, and what `Said` shows."""
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=done, said=said)

    def close(self) -> None:
        """Take it off the screen."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class Said(ProgressColumn):
    """What was said last."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["said"])


class Speed(ProgressColumn):
    """Megapixels a second since this run began."""

    def render(self, task: Task) -> Text:
        done = task.completed - task.fields["from_earlier"]
        if not task.elapsed or done <= 0:
            return Text("... Mpixel/s", style="progress.data.speed")
        return Text(f"{done / task.elapsed / 1e6:.2f} Mpixel/s", style="progress.data.speed")
