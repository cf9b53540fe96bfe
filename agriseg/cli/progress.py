"""What `agriseg segment` tells a person while it works; all of it goes to standard error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from agriseg.cli.bar import Bar, Speed
from agriseg.cli.screen import console
from agriseg.cli.words import area_words, count_words, numerics_words, size_words, time_words
from agriseg.errors import said_by
from agriseg.models import ModelElsewhere, about
from agriseg.pipeline import Failed, Job, probe
from agriseg.runs import Run

__all__ = ["ConsoleListener"]


class ConsoleListener:
    """Prints the plan of each scene, a bar while it runs on a terminal, and what came of it."""

    def __init__(self) -> None:
        self._console = console()
        self._bar = Bar(self._console, "segment", Speed())
        self._started = 0.0
        self._fresh_pixels = 0
        self._scenes, self._over = 1, 0
        self._hectares: float | None = None
        self._said: set[str] = set()

    def plan(self, scenes: int, workers: int | None, dashboard: str | None) -> None:
        """Say how much there is to do, and who does it."""
        self._scenes = scenes
        if workers is not None:
            where = f"; look on at {_safe(dashboard)}" if dashboard else ""
            self._say(f"{count_words(workers, 'worker')}{where}")

    def begin(self, job: Job) -> None:
        """Say what is about to be done."""
        if self._scenes == 1:
            self._plan_of(job)
            return
        for warning in job.warnings:
            self._say(f"[yellow]warning[/yellow] {_safe(job.scene.name)}: {_safe(warning)}")
        # What is the same for each scene, such as what the model's card says, is said once.
        for note in job.notes:
            if note not in self._said:
                self._said.add(note)
                self._say(f"[yellow]note[/yellow]    {_safe(job.scene.name)}: {_safe(note)}")

    def _plan_of(self, job: Job) -> None:
        estimate, scene, card = job.estimate(), job.scene, job.predictor.card
        box, grid = scene.geobox, job.plan.grid
        say = self._say
        gsd = box.mean_gsd_m
        size = f"{box.width} x {box.height} pixels"
        if gsd is not None and box.area_m2 is not None:
            size += f" of {size_words(gsd)}, {area_words(box.area_m2)}"
        say(f"[bold]{_safe(scene.name)}[/bold]  {size}")
        roles = ", ".join(key for key in card.keys if scene.has(key))
        say(f"  bands   {roles}; {scene.radiometry.level} ({_safe(scene.radiometry.evidence)})")
        say(f"  model   {_safe(card.name)}: {', '.join(_safe(name) for name in card.legend.names)}")
        why = about(job.predictor).get("why")
        say(f"          {_safe(numerics_words(job.numerics))}{f' ({_safe(why)})' if why else ''}")
        for warning in job.warnings:
            say(f"  [yellow]warning[/yellow] {_safe(warning)}")
        for note in job.notes:
            say(f"  [yellow]note[/yellow]    {_safe(note)}")
        chips = count_words(estimate.chips, "chip")
        say(
            f"  plan    {chips} of {grid.size} pixels, overlap {grid.overlap}; "
            f"estimated {self._cost(job)}{estimate.disk_bytes / 1e6:.0f} MB on disk"
        )

    def _cost(self, job: Job) -> str:
        """Time and memory, found out on one batch; nothing where all rows are there."""
        missing = job.ledger.missing(range(job.plan.grid.rows))
        if not missing or job.is_finished or job.finished_rasters():
            return ""
        if isinstance(job.predictor, ModelElsewhere):
            return ""  # nobody knows how many workers there will be
        found, estimate = probe(job), job.estimate()
        pixels = estimate.predicted_pixels * len(missing) / job.plan.grid.rows
        memory = found.peak_bytes + estimate.memory_bytes
        took = time_words(pixels / found.pixels_per_second)
        return f"{took} for the map, {memory / 1e9:.1f} GB of memory, "

    def fail(self, failed: Failed) -> None:
        """Say why a scene is not segmented; of a single one the command says it at the end."""
        self._over += 1
        if self._scenes == 1:
            return
        self._say(
            f"{self._number()}[bold]{_safe(failed.name)}[/bold]  [red]failed[/red] "
            f"{_safe(said_by(failed.error))}"
        )

    def start(self, total_pixels: int, done_pixels: int) -> None:
        if self._scenes > 1:
            self._bar.start(total_pixels, done_pixels)
            return
        self._started, self._fresh_pixels = time.monotonic(), total_pixels - done_pixels
        if done_pixels:
            self._say(f"  resume  {done_pixels / total_pixels:.0%} is there from an earlier run")
        self._bar.start(total_pixels, done_pixels)

    def advance(self, pixels: int) -> None:
        self._bar.advance(pixels)

    def assembling(self) -> None:
        if self._scenes == 1:
            self.close()

    def end(self, run: Run) -> None:
        """Say where the results are."""
        if self._scenes > 1:
            self._one_of_many(run)
            return
        self.close()
        if run.resumed:
            self._say(f"  done    already there: {_safe(str(run.path))}")
            return
        seconds = max(time.monotonic() - self._started, 1e-9)
        for line in run.record["unreadable"]:
            self._say(f"  [yellow]skipped[/yellow] {_safe(line)}")
        self._say(f"  found   {_shares(run)}")
        segments = ""
        if run.segments is not None:
            segments = f"segments.gpkg ({count_words(run.record['segments'], 'polygon')}), "
        fields = self._fields(run)
        self._say(
            f"  done    {_safe(str(run.classes))}, confidence.tif, {segments}{fields}run.json in "
            f"{time_words(seconds)} ({self._fresh_pixels / seconds / 1e6:.2f} Mpixel/s)"
        )

    def project(self, folder: Path) -> None:
        """Say what opens all of it."""
        path = folder / "result.qgz"
        if path.exists():
            self._say(f"  look    {_safe(str(path))} opens in QGIS")

    def _fields(self, run: Run) -> str:
        """Say what there is to say of the fields; which files tell of them."""
        found = run.record.get("fields", {})
        for note in found.get("notes", ()):
            self._say(f"  fields  {_safe(note)}")
        if not found.get("count"):
            return ""
        files = [path.name for path in (run.fields, run.zones) if path is not None]
        files[0] += f" ({count_words(found['count'], 'field')})"
        return "".join(f"{name}, " for name in files)

    def _one_of_many(self, run: Run) -> None:
        self._over += 1
        hectares = _hectares(run)
        if hectares is not None:
            self._hectares = hectares + (self._hectares or 0.0)
        area = "" if hectares is None else f"{area_words(hectares * 1e4)}, "
        took = "already there" if run.resumed else _took(run)
        skipped = len(run.record["unreadable"])
        lost = f", [yellow]{count_words(skipped, 'chip')} skipped[/yellow]" if skipped else ""
        name = f"[bold]{_safe(run.path.name)}[/bold]"
        self._say(f"{self._number()}{name}  {area}{_shares(run)}; {took}{lost}")

    def all_done(self, runs: Sequence[Run], out: str) -> None:
        """Say what came of many scenes together."""
        self.close()
        area = "" if self._hectares is None else f", {area_words(self._hectares * 1e4)}"
        self._say(f"{count_words(len(runs), 'scene')}{area}; {_safe(out)}/batch.json, index.gpkg")

    def _number(self) -> str:
        return f"{self._over}/{self._scenes} " if self._scenes > 1 else ""

    def close(self) -> None:
        """Take the bar off the screen."""
        self._bar.close()

    def _say(self, text: str) -> None:
        self._console.print(text)


def _shares(run: Run) -> str:
    return ", ".join(
        f"{_safe(row['name'])} {row['percent']:.1f} %" for row in run.record["classes"]
    )


def _hectares(run: Run) -> float | None:
    """What a run maps; None where nobody knows how large a pixel is."""
    known = [row["area_ha"] for row in run.record["classes"] if row["area_ha"] is not None]
    return sum(known) if known else None


def _took(run: Run) -> str:
    return time_words(sum(run.record["seconds"].values()))


def _safe(text: str) -> str:
    """File and class names may hold brackets, which rich would take for its markup."""
    from rich.markup import escape

    return escape(text)
