"""`agriseg train`: from scenes with labels to a model file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agriseg.cli import options as opt
from agriseg.cli.words import count_words, time_words

if TYPE_CHECKING:
    from pathlib import Path

    from agriseg.cli.bar import Bar

__all__ = ["train"]


def train(
    config: Annotated[str, typer.Argument(help="YAML file, as in configs/.", metavar="CONFIG")],
    out: Annotated[
        str | None,
        typer.Option(
            "-o", "--out", help="Folder for all files. Default: out/NAME.", show_default=False
        ),
    ] = None,
    base: opt.Base = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Train nothing: check data and labels, draw chips with their labels and the "
            "split, time a step.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--fresh", help="Go on with a training that was stopped, or begin anew."
        ),
    ] = True,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report", help="Map whole validation scenes at the end, write the page."
        ),
    ] = True,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            help="Train so many times, and score each scene by the model that has not seen it: "
            "for few labels. Default folder: out/NAME-folds.",
            show_default=False,
        ),
    ] = None,
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

    OUT gets NAME.safetensors, the model with its card, for `agriseg segment --model`; report.html,
    how good it is on whole scenes that it did not learn from; metrics.csv and tensorboard/ with
    loss and IoU over the steps; split.json and split.png, which pixels were for what; and a
    checkpoint: the same command goes on where it was stopped, to the same weights, and of a
    training that is done makes what is missing. Changed settings, images or labels are noticed.

    Examples:

    - `agriseg train fields.yaml --dry-run`

    - `agriseg train configs/cwfid.yaml --base data -o out/cwfid`

    - `agriseg train configs/cwfid.yaml --base data --folds 4`

    - `agriseg segment field.tif -o out --model out/cwfid/cwfid.safetensors`
    """
    if dry_run:
        _dry_run(config, out, base=base, trust=trust_model, quiet=quiet, as_json=as_json)
        return
    if folds is not None:
        options = {"base": base, "resume": resume, "trust": trust_model}
        _cross_validate(config, out, folds, options, quiet=quiet, as_json=as_json)
        return
    from agriseg.training.verb import train as run_train

    with _stoppable(quiet) as listener:
        path = run_train(
            config,
            out,
            base=base,
            resume=resume,
            report=report,
            listener=listener,
            trust=trust_model,
        )
    if as_json:
        print(json.dumps({"model": str(path), **listener.ended}, indent=2))


@contextmanager
def _stoppable(quiet: bool) -> Iterator[_Console]:
    """Who says how a training goes on, until it ends or somebody presses Ctrl-C."""
    listener = _Console(quiet)
    try:
        yield listener
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        listener.close()


def _cross_validate(
    config: str,
    out: str | None,
    folds: int,
    options: dict[str, Any],
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    from agriseg.cli.evaluation_table import print_evaluation
    from agriseg.training.folds import cross_validate, folder_of

    folder = folder_of(config, out)
    written = [f"{folder}/evaluation.json", "evaluation.png"]
    with _stoppable(quiet) as listener:
        found = cross_validate(config, folder, folds=folds, listener=listener, **options)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    elif not quiet:
        print_evaluation(found, written)


def _dry_run(
    config: str, out: str | None, *, base: str | None, trust: bool, quiet: bool, as_json: bool
) -> None:
    from agriseg.cli.dry_run_table import plain_dry_run, print_dry_run
    from agriseg.training.dry import dry_run

    listener = _Console(quiet)
    try:
        found = dry_run(config, out, base=base, trust=trust)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        listener.close()
    if as_json:
        print(json.dumps(plain_dry_run(found), indent=2))
    elif not quiet:
        print_dry_run(found)
    if found.faults:
        if quiet:
            print(found.faults[0], file=sys.stderr)
        raise typer.Exit(2)


class _Console:
    """Says on standard error what is learned from, how far it is, and how good."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
        self._bar: Bar | None = None
        self._told = 0.0
        self._evaluates = False
        self._status = self._console.status("  looking at data and labels")
        if self._console.is_terminal and not quiet:
            self._status.start()
        self.ended: dict[str, Any] = {}

    def begin(self, facts: dict[str, Any]) -> None:
        from agriseg.cli.bar import Bar, Said

        self._status.stop()
        scenes = count_words(facts["scenes"], "scene")
        held_out = count_words(facts["validation_scenes"], "scene")
        network = f"{facts['architecture']} {facts['options'].get('encoder_name', '')}".strip()
        self._say(
            f"{facts['name']}  {network}, "
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
        self._bar = Bar(self._console, "train", Said())
        self._bar.start(facts["steps"], facts["first"])

    def step(self, step: int, loss: Any) -> None:
        # Asking for the loss waits for the device.
        if not self._console.is_terminal or time.monotonic() - self._told < 0.5:
            return
        self._told = time.monotonic()
        if self._bar is not None:
            self._bar.at(step, f"step {step:,}, loss {float(loss):.3f}")

    def validated(self, row: dict[str, Any], best: bool) -> None:
        loss = "-" if row["loss"] is None else f"{row['loss']:.3f}"
        iou = row.get("iou", {})
        words = f"; IoU {_scores(iou)}{' (best)' if best else ''}" if iou else ""
        self._say(f"  {row['step']:>7,}  loss {loss}{words}")

    def evaluating(self, done: int, pixels: int) -> None:
        from agriseg.cli.bar import Bar

        if self._bar is None or not self._evaluates:
            self.close()
            self._evaluates = True
            self._bar = Bar(self._console, "evaluate")
            self._bar.start(pixels)
        self._bar.at(done)

    def end(self, path: Path, facts: dict[str, Any]) -> None:
        self.close()
        self.ended = facts
        scored = facts["scores"].get("validation", {})
        if "iou_95" in scored:
            low, high = scored["iou_95"]["mean"]
            within = "" if low is None or high is None else f"; mean within {low:.3f} to {high:.3f}"
            self._say(
                f"  scores  {count_words(scored['scenes'], 'validation scene')} as segment maps "
                f"them: IoU {_scores(scored['iou'])}{within}"
            )
        for note in facts["notes"]:
            self._say(f"  note    {note}")
        beside = ", report.html" if path.with_name("report.html").exists() else ""
        self._say(
            f"  done    {path}{beside} in {time_words(facts['seconds'])}; temperature "
            f"{facts['temperature']:.2f}"
        )

    def already(self, path: Path, notes: tuple[str, ...]) -> None:
        self.close()
        for note in notes:
            self._say(f"  note    {note}")
        self._say(f"  done    already there: {path}; --fresh begins anew")

    def close(self) -> None:
        """Take the bar off the screen."""
        self._status.stop()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)


def _scores(iou: dict[str, float | None]) -> str:
    return ", ".join(
        f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in iou.items()
    )
