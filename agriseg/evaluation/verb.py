"""The verb `evaluate`: map labelled scenes as `segment` does, and compare."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

import numpy as np

from agriseg.errors import LabelError, OptionError
from agriseg.evaluation.boundaries import MOST_PIXELS
from agriseg.evaluation.calibration import ProbabilitySample, calibrate
from agriseg.evaluation.grids import at_gsd
from agriseg.evaluation.intervals import fine_side
from agriseg.evaluation.legends import Matched, match_legends
from agriseg.evaluation.mapping import MappedRows, Task, map_scenes, tasks_for
from agriseg.evaluation.measures import Units, differences, measures, plan_units, units_of
from agriseg.evaluation.objects import size_bins
from agriseg.evaluation.pictures import Album
from agriseg.evaluation.result import Comparison, Evaluation, Pixels, SceneScore
from agriseg.evaluation.scores import Floats, confusion, score
from agriseg.evaluation.tally import Tally, tally_rows
from agriseg.labels import Codes, LabelledScene
from agriseg.models import (
    Predictor,
    check_predictor,
    fingerprint_of,
    load_model,
    numerics_of,
    streams_of,
)

__all__ = ["EvaluateKeywords", "LabelledData", "Watcher", "evaluate"]

DEFAULT_TOLERANCE_PX = 2.0


class LabelledData(Protocol):
    """Labelled scenes, such as `agriseg.labels` opens them."""

    @property
    def scenes(self) -> Sequence[LabelledScene]: ...

    @property
    def codes(self) -> Codes: ...

    @property
    def notes(self) -> Sequence[str]: ...


class Watcher(Protocol):
    """Hears how an evaluation gets on."""

    def begin(self, what: str, pixels: int) -> None:
        """A pass over all scenes begins: a model, at a pixel size."""

    def advance(self, pixels: int) -> None:
        """That many more pixels are compared."""


class EvaluateKeywords(TypedDict, total=False):
    """How to evaluate, and the keywords of `load_model`."""

    tolerance_m: float | None
    chip: int | None
    overlap: int | None
    ignore_gsd: bool
    engine: str
    device: str
    precision: str
    batch: int | None
    threads: int | None
    tta: str
    trust: bool


_HOW = ("tolerance_m", "chip", "overlap", "ignore_gsd")


@dataclass(frozen=True)
class _Work:
    """One pass: a model over scenes."""

    predictor: Predictor
    scenes: tuple[LabelledScene, ...]
    matched: Matched
    options: EvaluateKeywords
    gsd_m: float | None = None
    watcher: Watcher | None = None


@dataclass(frozen=True)
class _Pass:
    """What one pass found."""

    work: _Work
    tally: Tally
    sample: ProbabilitySample
    seconds: float
    notes: tuple[str, ...]


def evaluate(
    model: str | Path | Predictor,
    data: LabelledData | str | Path,
    out: str | Path | None = None,
    *,
    against: str | Path | Predictor | None = None,
    labels: str | Path | None = None,
    renamed: Mapping[str, str] | None = None,
    part: str | None = None,
    gsd_m: Sequence[float] = (),
    watcher: Watcher | None = None,
    **options: Unpack[EvaluateKeywords],
) -> Evaluation:
    """Measure how good a model is on labelled scenes; they stream, whatever their size.

    The map is the one that `segment` makes, pixel by pixel. What nobody labelled is left out.

    Args:
        model: A model file, the name of a built-in model, or any object with the `Predictor`
            protocol.
        data: Labelled scenes, or what `agriseg.labels.read_data` reads them from: a YAML file with
            `legend` and `data`, the config of a training, a simulated folder, or a scene.
        out: Where evaluation.json and evaluation.png go; None: nothing is written.
        against: Another model, on the same pixels.
        labels: The labels of `data`, where that is a scene.
        renamed: Classes of model or data, by name, to the class that they are scored as, such as
            `{"crop": "plant", "weed": "plant"}`; others meet by equal names.
        part: Only scenes that are set apart for "train", "validation" or "test".
        gsd_m: Pixel sizes in metres, at which it is done again.
        watcher: Hears of progress.
        **options: `tolerance_m`: how far borders may be off; by default two pixels. `chip, overlap,
            ignore_gsd` as in `segment`. `engine, device, precision, batch, threads, tta, trust` as
            in `load_model`.

    Raises:
        LabelError: Labels cannot be used, or the classes of model and data do not meet.
        AgrisegError: Something else that the user can mend.
    """
    unknown = sorted(set(options) - EvaluateKeywords.__optional_keys__)
    if unknown:
        raise TypeError(f"evaluate() has no option {unknown[0]!r}")
    one = _predictor(model, options)
    other = None if against is None else _predictor(against, options)
    material = _material(data, labels, one)
    scenes = _part(material, part)
    # Every pixel size is checked before the first pass.
    sizes = [at_gsd(scenes, size) for size in gsd_m]
    both = {name for each in (one, other) if each is not None for name in each.card.legend.names}

    def work(predictor: Predictor) -> _Work:
        matched = match_legends(predictor.card.legend, material.codes, renamed, both)
        return _Work(predictor, scenes, matched, options, None, watcher)

    works = [work(each) for each in (one, other) if each is not None]
    evaluations = _compared([_run(each) for each in works], tuple(material.notes))
    found = evaluations[0]
    if sizes:
        found = replace(found, series=_series(works[0], sizes, gsd_m, found))
    if out is not None:
        found.save(out)
    return found


# What is given ------------------------------------------------------------------------------------


def _predictor(model: str | Path | Predictor, options: EvaluateKeywords) -> Predictor:
    if not isinstance(model, str | Path):
        return check_predictor(model)
    said: dict[str, Any] = {key: value for key, value in options.items() if key not in _HOW}
    return load_model(model, **said)


def _material(
    data: LabelledData | str | Path, labels: str | Path | None, predictor: Predictor
) -> LabelledData:
    if not isinstance(data, str | Path):
        return data
    from agriseg.labels.read_data import read_data

    # A simulated folder states its own classes.
    legend = None if Path(data).is_dir() else predictor.card.legend
    return read_data(data, labels=labels, legend=legend)


def _part(material: LabelledData, part: str | None) -> tuple[LabelledScene, ...]:
    scenes = tuple(material.scenes)
    if part is not None:
        parts = getattr(material, "parts", (None,) * len(scenes))
        scenes = tuple(one for one, mine in zip(scenes, parts, strict=True) if mine == part)
        if not scenes:
            there = sorted({str(mine) for mine in parts if mine is not None})
            raise LabelError(
                f"no scene is set apart for {part!r}; "
                + (
                    f"there are {', '.join(there)}"
                    if there
                    else "give the data a part: in the file"
                )
            )
    if not scenes:
        raise LabelError("the data hold no labelled scene; give at least one")
    return scenes


def _radii(work: _Work) -> tuple[float, ...]:
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


# A pass -------------------------------------------------------------------------------------------


def _run(work: _Work) -> _Pass:
    """Map all scenes and count."""
    scenes, matched, options = work.scenes, work.matched, work.options
    radii = _radii(work)
    tasks = tasks_for(
        scenes,
        work.predictor,
        chip=options.get("chip"),
        overlap=options.get("overlap"),
        ignore_gsd=options.get("ignore_gsd", False) or work.gsd_m is not None,
    )
    pixels = sum(one.scene.geobox.width * one.scene.geobox.height for one in scenes)
    areas, _ = _pixel_areas(scenes)
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
    seconds = clock.waited if streams_of(work.predictor) == 1 else clock.total
    return _Pass(work, tally, sample, seconds, _notes(tasks, work))


def _title(work: _Work) -> str:
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


def _pixel_areas(scenes: Sequence[LabelledScene]) -> tuple[tuple[float, ...], str]:
    """Area of a pixel of each scene, and its unit: pixels where one of them is unknown."""
    sizes = [one.gsd_m for one in scenes]
    if any(size is None for size in sizes):
        return (1.0,) * len(scenes), "pixels"
    return tuple(size * size for size in sizes if size is not None), "m2"


def _notes(tasks: Sequence[Task], work: _Work) -> tuple[str, ...]:
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


# Scores -------------------------------------------------------------------------------------------


def _compared(passes: Sequence[_Pass], notes: tuple[str, ...]) -> list[Evaluation]:
    """The evaluations of passes over the same scenes, with differences to the first."""
    # The same units for all: those that any of them has.
    places = np.unique(np.concatenate([one.tally.places() for one in passes]), axis=0)
    units = [_units(one, places) for one in passes]
    found = [_evaluation(one, mine, places, notes) for one, mine in zip(passes, units, strict=True)]
    if len(passes) == 2:
        apart = differences(units[0], units[1], *(one.work.matched for one in passes[:2]))
        found[0] = replace(found[0], comparison=Comparison(found[1], apart))
    return found


def _units(one: _Pass, places: np.ndarray[Any, np.dtype[np.int64]]) -> Units:
    tables = one.tally.tables(places)
    return units_of(one.work.scenes, places, tables, one.tally.side)


def _evaluation(
    one: _Pass, units: Units, places: np.ndarray[Any, np.dtype[np.int64]], notes: tuple[str, ...]
) -> Evaluation:
    work, tally, matched = one.work, one.tally, one.work.matched
    table, _ = tally.tables(places)
    by_scene = np.zeros((len(work.scenes), *table.shape[1:]), np.int64)
    np.add.at(by_scene, places[:, 0], table)
    scored = score(by_scene, matched.allowed, matched.decided)
    known = confusion(by_scene, matched.decided)
    areas, unit = _pixel_areas(work.scenes)
    card = work.predictor.card
    groups = np.zeros((len(matched.scored), len(matched.model)), bool)
    groups[list(matched.of_model), np.arange(len(matched.model))] = True
    metres = None
    if all(scene.gsd_m for scene in work.scenes):
        each = (r * (s.gsd_m or 0) for r, s in zip(tally.radii, work.scenes, strict=True))
        metres = float(np.mean(list(each)))
    return Evaluation(
        model=card.name,
        fingerprint=fingerprint_of(work.predictor),
        numerics=numerics_of(work.predictor),
        matched=matched,
        measures=measures(units, matched),
        unit=units.unit,
        tolerance=(metres, float(np.mean(tally.radii))),
        pixels=_pixels(tally, by_scene, known, areas if unit == "m2" else None),
        scenes=tuple(
            SceneScore(
                scene.name,
                int(known[k].sum()),
                float(scored.mean_iou[k]),
                float(scored.accuracy[k]),
            )
            for k, scene in enumerate(work.scenes)
        ),
        objects=size_bins(tally.objects, matched.scored.names, unit),
        calibration=calibrate(
            tally.confidence, one.sample, groups, matched.decided, card.temperature
        ),
        seam_score=tally.seams.score,
        seconds=one.seconds,
        gsd_m=work.gsd_m,
        notes=(*notes, *one.notes),
        pictures=tally.album.chosen(),
    )


def _pixels(
    tally: Tally,
    by_scene: np.ndarray[Any, np.dtype[np.int64]],
    known: Floats,
    areas: Sequence[float] | None,
) -> Pixels:
    hectares = None if areas is None else np.array(areas) / 1e4
    mapped = [tally.mapped[place] for place in range(len(by_scene))]
    return Pixels(
        counts=by_scene.sum(axis=0),
        truth_ha=None if hectares is None else hectares @ known.sum(axis=2),
        map_ha=None if hectares is None else hectares @ known.sum(axis=1),
        ignored=tally.ignored,
        unpredicted=tally.unpredicted,
        mapped=sum(mapped),
        mapped_ha=None if hectares is None else float(hectares @ np.array(mapped)),
    )


def _series(
    work: _Work,
    sizes: Sequence[tuple[LabelledScene, ...]],
    gsd_m: Sequence[float],
    found: Evaluation,
) -> tuple[Evaluation, ...]:
    """The same at other pixel sizes, borders with the same tolerance in metres."""
    options = work.options
    if options.get("tolerance_m") is None and found.tolerance[0] is not None:
        options = {**options, "tolerance_m": found.tolerance[0]}
    series = []
    for scenes, size in zip(sizes, gsd_m, strict=True):
        again = replace(work, scenes=scenes, gsd_m=size, options=options)
        series.append(replace(_compared([_run(again)], ())[0], pictures=()))
    return tuple(series)
