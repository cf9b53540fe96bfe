"""`agriseg train`: from scenes with labels to a model file."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agriseg.cli import options as opt
from agriseg.cli.words import count_words, time_words

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress

__all__ = ["train"]


def train(
    config: Annotated[str, typer.Argument(help="YAML file, as in configs/.", metavar="CONFIG")],
    out: Annotated[
        str | None,
        typer.Option(
            "-o", "--out", help="Folder for all files. Default: out/NAME.", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--fresh", help="Go on with a training that was stopped, or begin anew."
        ),
    ] = True,
    trust_model: Annotated[
        bool,
        typer.Option(
            "--trust-model",
            help="Let the configuration name Python code to import. Only where you trust it.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Train a model on scenes with labels, as one YAML file says.

    OUT gets NAME.safetensors, the model with its card, for `agriseg segment --model`; metrics.csv
    and tensorboard/ with loss and IoU over the steps; split.json, which pixels were for what; and
    a checkpoint: the same command goes on where it was stopped, to the same weights.

    Examples:

    - `agriseg train configs/cwfid.yaml -o out/cwfid`

    - `agriseg segment field.tif -o out --model out/cwfid/cwfid.safetensors`
    """
    from agriseg.training.verb import train as run_train

    listener = _Console(quiet)
    try:
        path = run_train(config, out, resume=resume, listener=listener, trust=trust_model)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        listener.close()
    if not listener.ended and not quiet:
        print(f"already there: {path}", file=sys.stderr)
    if as_json:
        print(json.dumps({"model": str(path), **listener.ended}, indent=2))


class _Console:
    """Says on standard error what is learned from, how far it is, and how good."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
        self._quiet = quiet
        self._progress: Progress | None = None
        self._told = 0.0
        self.ended: dict[str, Any] = {}

    def begin(self, facts: dict[str, Any]) -> None:
        scenes = count_words(facts["scenes"], "scene")
        held_out = count_words(facts["validation_scenes"], "scene")
        encoder = facts["options"].get("encoder_name", "")
        self._say(
            f"{facts['name']}  {facts['architecture']} {encoder}, "
            f"{facts['parameters'] / 1e6:.1f} million weights; {', '.join(facts['bands'])} to "
            f"{', '.join(facts['classes'])}"
        )
        memory = "kept in memory" if facts["in_memory"] else "read as they are needed"
        self._say(f"  data    {scenes} for training, {held_out} for validation; pixels {memory}")
        self._say(f"  start   {facts['start']}; on {facts['device']} in {facts['precision']}")
        for note in facts["notes"]:
            self._say(f"  note    {note}")
        if facts["first"]:
            self._say(f"  resume  {facts['first']:,} of {facts['steps']:,} steps are done")
        self._start_bar(facts["first"], facts["steps"])

    def step(self, step: int, loss: Any) -> None:
        # Asking for the loss waits for the device.
        if self._progress is None or time.monotonic() - self._told < 0.5:
            return
        self._told = time.monotonic()
        task = self._progress.task_ids[0]
        self._progress.update(task, completed=step, loss=f"loss {float(loss):.3f}")

    def validated(self, row: dict[str, Any], best: bool) -> None:
        loss = "-" if row["loss"] is None else f"{row['loss']:.3f}"
        iou = row.get("iou", {})
        scores = ", ".join(
            f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in iou.items()
        )
        words = f"; IoU {scores}{' (best)' if best else ''}" if iou else ""
        self._say(f"  {row['step']:>7,}  loss {loss}{words}")

    def end(self, path: Path, facts: dict[str, Any]) -> None:
        self.close()
        self.ended = facts
        self._say(
            f"  done    {path} in {time_words(facts['seconds'])}; temperature "
            f"{facts['temperature']:.2f}"
        )

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _start_bar(self, first: int, steps: int) -> None:
        if self._quiet or not self._console.is_terminal:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("  train"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} steps"),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._progress.start()
        self._progress.add_task("train", total=steps, completed=first, loss="")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)
