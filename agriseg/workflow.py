"""The verbs `segment` (open, check, predict, write) and `bench`."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypedDict, Unpack, cast

from agriseg.errors import OptionError
from agriseg.models import Predictor, default_model, load_model
from agriseg.pipeline import (
    Bench,
    Job,
    Progress,
    SegmentOptions,
    measure_job,
    prepare,
    reserve,
    run_job,
)
from agriseg.raster import Inputs, Scene, SceneOptions, narrow, open_scene
from agriseg.runs import Run

__all__ = ["Listener", "SegmentKeywords", "bench", "segment"]


class Listener(Progress, Protocol):
    """Hears of each scene before it starts, and then how it gets on."""

    def begin(self, job: Job) -> None:
        """A scene is about to be segmented."""

    def end(self, run: Run) -> None:
        """Its results are there."""


class ModelOptions(TypedDict, total=False):
    """The keywords of `load_model`."""

    engine: str
    device: str
    precision: str
    batch: int | None
    threads: int | None
    tta: str
    trust: bool


class SegmentKeywords(SceneOptions, ModelOptions, total=False):
    """The keywords of `segment`: those of `open_scene` and of `load_model`, and these."""

    bounds: Sequence[float] | None
    cutline: str | Path | None
    gsd_m: float | None
    chip: int | None
    overlap: int | None
    swaths: int
    probabilities: bool
    skip_unreadable: bool
    ignore_gsd: bool
    resume: bool
    polygons: bool
    min_area_m2: float | None
    simplify_m: float | None


def segment(
    inputs: Inputs | Scene | Sequence[Inputs | Scene],
    out: str | Path,
    *,
    model: str | Path | Predictor | None = None,
    listener: Listener | None = None,
    **options: Unpack[SegmentKeywords],
) -> Run | list[Run]:
    """Turn scenes into georeferenced class and confidence rasters, and polygons.

    Each scene streams through memory, whatever its size. A run that was stopped goes on where it
    stopped when it is started again in the same way; a finished one is recognised.

    Args:
        inputs: A raster, a folder of single-band rasters, single-band rasters by role
            (`{"red": "R.tif", "nir": "N.tif"}`), an open `Scene`, or a list of such.
        out: Results go to OUT/<name of the scene>/.
        model: A model file, the name of a built-in model, or any object with the `Predictor`
            protocol; by default "crop-weed" where it is shipped, else "index-baseline": vegetation
            against soil from an index, which needs no training.
        listener: Hears of progress.
        **options: How to read the scenes: `bands, sensor, scale, offset, nodata, masks,
            mask_grow_m, about, name` as in `open_scene`. Which part: `bounds` (left, bottom,
            right, top in the scene's CRS), `cutline` (a vector file), `gsd_m` (metres a pixel).
            How to predict: `engine, device, precision, batch, threads, tta, trust` as in
            `load_model`.
            How to segment: `chip, overlap, swaths, probabilities, skip_unreadable, ignore_gsd,
            resume, polygons, min_area_m2, simplify_m` as in `agriseg.pipeline.SegmentOptions`.

    Returns:
        The run, or a list of runs where a list was given.

    Raises:
        AgrisegError: Something the user can mend; raised before any work where it can be known.
    """
    many, jobs = _jobs(inputs, Path(out), model, options, "segment")
    reserve(jobs)
    runs = []
    for job in jobs:
        if listener:
            listener.begin(job)
        run = run_job(job, listener)
        if listener:
            listener.end(run)
        runs.append(run)
    return runs if many else runs[0]


def bench(
    inputs: Inputs | Scene | Sequence[Inputs | Scene],
    *,
    model: str | Path | Predictor | None = None,
    **options: Unpack[SegmentKeywords],
) -> Bench | list[Bench]:
    """Measure what `segment` will take on this machine; some chips are read, nothing is written.

    Args:
        inputs: As in `segment`.
        model: As in `segment`.
        **options: As in `segment`.

    Returns:
        What was measured, or a list where a list was given.

    Raises:
        AgrisegError: Something the user can mend.
    """
    many, jobs = _jobs(inputs, None, model, options, "bench")
    found = [measure_job(job) for job in jobs]
    return found if many else found[0]


def _jobs(
    inputs: Inputs | Scene | Sequence[Inputs | Scene],
    out: Path | None,
    model: str | Path | Predictor | None,
    options: SegmentKeywords,
    verb: str,
) -> tuple[bool, list[Job]]:
    """Whether a list was given, and what is to be done for each scene, all checked."""
    unknown = sorted(set(options) - SegmentKeywords.__optional_keys__)
    if unknown:
        raise TypeError(f"{verb}() has no option {unknown[0]!r}")
    many = isinstance(inputs, Sequence) and not isinstance(inputs, str)
    given = list(cast("Sequence[Inputs | Scene]", inputs)) if many else [cast("Inputs", inputs)]
    if not given:
        raise OptionError("no raster was given; name at least one")
    predictor = _predictor(default_model() if model is None else model, options)
    scenes = [_scene(one, options, alone=len(given) == 1) for one in given]
    if out is None:  # nothing will be written: a place that nobody has
        out = Path(os.devnull).parent / f"agriseg-{uuid.uuid4()}"
    else:
        _refuse_same_folder(scenes, out)
    how = SegmentOptions(**_pick(options, SegmentOptions.__annotations__))
    # Every scene is checked before the first is segmented.
    return many, [prepare(scene, predictor, out / scene.name, how) for scene in scenes]


def _predictor(model: str | Path | Predictor, options: SegmentKeywords) -> Predictor:
    said = _pick(options, ModelOptions.__optional_keys__)
    if isinstance(model, str | Path):
        return load_model(model, **cast("ModelOptions", said))
    if said:
        raise OptionError(
            f"{', '.join(sorted(said))}: a predictor was given, which has that decided; give these "
            "options to load_model"
        )
    return model


def _scene(given: Inputs | Scene, options: SegmentKeywords, *, alone: bool) -> Scene:
    said = _pick(options, SceneOptions.__optional_keys__)
    if isinstance(given, Scene):
        if said:
            raise OptionError(
                f"{', '.join(sorted(said))}: an open scene was given, which has all that decided; "
                "give these options to open_scene"
            )
        scene = given
    else:
        if said.get("name") and not alone:
            raise OptionError("--name is for one scene; several were given")
        scene = open_scene(given, **cast("SceneOptions", said))
    return narrow(
        scene,
        bounds=options.get("bounds"),
        cutline=options.get("cutline"),
        gsd_m=options.get("gsd_m"),
    )


def _pick(options: SegmentKeywords, names: frozenset[str] | Mapping[str, object]) -> dict:  # type: ignore[type-arg]
    return {key: value for key, value in options.items() if key in names}


def _refuse_same_folder(scenes: Sequence[Scene], out: Path) -> None:
    seen: dict[str, Scene] = {}
    for scene in scenes:
        # Some disks hold names that differ only in case to be the same.
        other = seen.setdefault(scene.name.casefold(), scene)
        if other is not scene:
            raise OptionError(
                f"{other.bands[0].path} and {scene.bands[0].path} would both go to "
                f"{out / scene.name}; segment them into different folders, or rename one"
            )
