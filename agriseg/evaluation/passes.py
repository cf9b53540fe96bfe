"""One pass of a model over labelled scenes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agriseg.errors import LabelError, OptionError
from agriseg.evaluation.boundaries import MOST_PIXELS
from agriseg.evaluation.calibration import ProbabilitySample
from agriseg.evaluation.intervals import fine_side
from agriseg.evaluation.legends import Matched
from agriseg.evaluation.mapping import MappedRows, Task, map_scenes, tasks_for
from agriseg.evaluation.measures import plan_units
from agriseg.evaluation.pictures import Album
from agriseg.evaluation.tally import Tally, tally_rows
from agriseg.labels import LabelledScene
from agriseg.models import LoadOptions, Predictor, is_asynchronous, streams_of

__all__ = ["EvaluateKeywords", "Pass", "Watcher", "Work", "pixel_areas", "run_pass"]

DEFAULT_TOLERANCE_PX = 2.0


class Watcher(Protocol):
    """Hears how an evaluation gets on."""

    def begin(self, what: str, pixels: int) -> None:
        """A pass over all scenes begins: a model, at a pixel size."""

    def advance(self, pixels: int) -> None:
        """That many more pixels are compared."""


class EvaluateKeywords(LoadOptions, total=False):
    """How to evaluate, and the keywords of `load_model`."""

    tolerance_m: float | None
    chip: int | None
    overlap: int | None
    ignore_gsd: bool


@dataclass(frozen=True)
class Work:
    """One pass: a model over scenes, or a model for each of them (`predictors`)."""

    predictor: Predictor
    scenes: tuple[LabelledScene, ...]
    matched: Matched
    options: EvaluateKeywords
    gsd_m: float | None = None
    watcher: Watcher | None = None
    predictors: tuple[Predictor, ...] = ()


@dataclass(frozen=True)
class Pass:
    """What one pass found."""

    work: Work
    tally: Tally
    sample: ProbabilitySample
    seconds: float
    notes: tuple[str, ...]


def run_pass(work: Work) -> Pass:
    """Map all scenes and count."""
    scenes, matched, options = work.scenes, work.matched, work.options
    radii = _radii(work)
    tasks = tasks_for(
        scenes,
        work.predictors or work.predictor,
        chip=options.get("chip"),
        overlap=options.get("overlap"),
        ignore_gsd=options.get("ignore_gsd", False) or work.gsd_m is not None,
    )
    pixels = sum(one.scene.geobox.width * one.scene.geobox.height for one in scenes)
    areas, _ = pixel_areas(scenes)
    tally = Tally(matched, 0 if plan_units(scenes) else fine_side(pixels), radii, areas, Album())
    allowed = np.ones((256, len(matched.model)), bool)
    allowed[: matched.known_codes] = matched.allowed[:, list(matched.of_model)]
    # A class that the model does not have tells nothing of its confidence.
    allowed[~allowed.any(axis=1)] = True
    sample = ProbabilitySample(allowed)
    if work.watcher is not None:
        work.watcher.begin(_title(work), pixels)
    clock = _Clock()
    rows = map_scenes(tasks, probabilities=not matched.is_single, on_chip=sample.add)
    tally_rows(clock.through(rows, work.watcher), tally)
    if not tally.pixels:
        raise LabelError(
            f"none of the {len(scenes)} scene{'s' if len(scenes) > 1 else ''} has a labelled pixel "
            "with data; look at the labels with a GIS, and at their CRS"
        )
    # Where one thread does all, counting is not part of what a map takes.
    is_one = streams_of(work.predictor) == 1 and not is_asynchronous(work.predictor)
    seconds = clock.waited if is_one else clock.total
    return Pass(work, tally, sample, seconds, _notes(tasks, work))


def _title(work: Work) -> str:
    name = work.predictor.card.name
    return name if work.gsd_m is None else f"{name} at {work.gsd_m:g} m"


class _Clock:
    """Measures how long rows are waited for."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self.waited = self.total = 0.0

    def through(self, rows: Iterable[MappedRows], watcher: Watcher | None) -> Iterator[MappedRows]:
        source = iter(rows)
        while True:
            asked = time.perf_counter()
            found = next(source, None)
            now = time.perf_counter()
            self.waited, self.total = self.waited + now - asked, now - self._begun
            if found is None:
                return
            yield found
            if watcher is not None:
                watcher.advance(found.window.width * found.window.height)


def pixel_areas(scenes: Sequence[LabelledScene]) -> tuple[tuple[float, ...], str]:
    """Area of a pixel of each scene, and its unit: pixels where one of them is unknown."""
    sizes = [one.gsd_m for one in scenes]
    if any(size is None for size in sizes):
        return (1.0,) * len(scenes), "pixels"
    return tuple(size * size for size in sizes if size is not None), "m2"


def _notes(tasks: Sequence[Task], work: Work) -> tuple[str, ...]:
    """What the fit of model and scenes is worth saying, once for all scenes that say the same."""
    said: dict[str, list[str]] = {}
    for task in tasks:
        for note in task.notes:
            name = task.labelled.name
            said.setdefault(note.replace(name, "{}"), []).append(name)
    found = []
    for note, names in said.items():
        who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} others"
        found.append(note.replace("{}", who))
    missing = work.matched.unpredicted
    if missing:
        found.append(
            f"model {work.predictor.card.name!r} has no class {' or '.join(missing)}: what is "
            "labelled so counts as missed"
        )
    return tuple(found)


def _radii(work: Work) -> tuple[float, ...]:
    """Tolerance of each scene in pixels."""
    metres = work.options.get("tolerance_m")
    if metres is None:
        return (DEFAULT_TOLERANCE_PX,) * len(work.scenes)
    if not 0 < metres < float("inf"):
        raise OptionError(f"--tolerance-m {metres}: a positive number of metres is needed")
    radii = []
    for one in work.scenes:
        if one.gsd_m is None:
            raise OptionError(
                f"--tolerance-m {metres}: the pixel size of {one.name} is unknown; say gsd_m in "
                "the data, or leave the option out (2 pixels)"
            )
        if metres > MOST_PIXELS * one.gsd_m:
            raise OptionError(
                f"--tolerance-m {metres}: that is {metres / one.gsd_m:.0f} pixels of {one.name}, "
                f"and {MOST_PIXELS} are possible; expected are metres"
            )
        # Less than a pixel cannot be told apart; 0.06 m of 0.02 are three, whatever doubles say.
        radii.append(max(round(metres / one.gsd_m, 6), 1.0))
    return tuple(radii)
