"""`agriseg train`: from scenes with labels to a model file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from agriseg.cli import options as opt
from agriseg.cli.answer import Answer
from agriseg.cli.command import stoppable
from agriseg.cli.screen import console
from agriseg.cli.words import count_words, time_words
from agriseg.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from agriseg.cli.bar import Bar

__all__ = ["train"]


def train(
    config: Annotated[str, opt.argument("CONFIG", "YAML file, as in configs/.")],
    *,
    out: Annotated[str | None, opt.to_folder("Folder for all files. Default: out/NAME.")] = None,
    dry_run: Annotated[
        bool,
        opt.flag(
            "--dry-run",
            "Train nothing: check data and labels, draw chips with their labels and the split, "
            "time a step.",
        ),
    ] = False,
    resume: Annotated[
        bool, opt.flag("--resume/--fresh", "Go on with a training that was stopped, or begin anew.")
    ] = True,
    report: Annotated[
        bool,
        opt.flag("--report/--no-report", "Map whole validation scenes at the end, write the page."),
    ] = True,
    folds: Annotated[
        int | None,
        opt.value(
            "--folds",
            "N",
            "Train so many times, and score each scene by the model that has not seen it: for few "
            "labels. Default folder: out/NAME-folds.",
        ),
    ] = None,
    base: opt.Base = None,
    trust_model: opt.TrustModel = False,
    answer: Answer,
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
        _dry_run(config, out, answer, base=base, trust=trust_model)
        return
    if folds is not None:
        options = {"base": base, "resume": resume, "trust": trust_model}
        _cross_validate(config, out, folds, answer, options)
        return
    from agriseg.training.verb import train as run_train

    with _watched(answer) as listener:
        path = run_train(
            config,
            out,
            base=base,
            resume=resume,
            report=report,
            listener=listener,
            trust=trust_model,
        )
    answer.give({"model": path, **listener.ended})


@contextmanager
def _watched(answer: Answer) -> Iterator[_Console]:
    """Who says how a training goes on, until it ends or somebody presses Ctrl-C."""
    listener = _Console(answer.quiet)
    try:
        with stoppable(lambda: "stopped; the same command goes on from the last checkpoint"):
            yield listener
    finally:
        listener.close()


def _cross_validate(
    config: str, out: str | None, folds: int, answer: Answer, options: dict[str, Any]
) -> None:
    from agriseg.cli.evaluation_table import print_evaluation
    from agriseg.training.folds import cross_validate, folder_of

    folder = folder_of(config, out)
    written = [f"{folder}/evaluation.json", "evaluation.png"]
    with _watched(answer) as listener:
        found = cross_validate(config, folder, folds=folds, listener=listener, **options)
    answer.give(found.to_dict())
    if answer.prints:
        print_evaluation(found, written)


def _dry_run(
    config: str, out: str | None, answer: Answer, *, base: str | None, trust: bool
) -> None:
    from agriseg.cli.dry_run_table import plain_dry_run, print_dry_run
    from agriseg.training.dry import dry_run

    listener = _Console(answer.quiet)
    try:
        found = dry_run(config, out, base=base, trust=trust)
    finally:
        listener.close()
    answer.give(plain_dry_run(found))
    if answer.prints:
        print_dry_run(found)
    if found.faults:
        more = f", and {len(found.faults) - 1} more" if len(found.faults) > 1 else ""
        raise InputError(f"nothing can be learned from this: {found.faults[0]}{more}")


class _Console:
    """Says on standard error what is learned from, how far it is, and how good."""

    def __init__(self, quiet: bool) -> None:
        self._console = console(quiet=quiet)
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
