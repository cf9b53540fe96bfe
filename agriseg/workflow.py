"""The verbs `segment` (open, check, predict, write) and `bench`."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack, cast

from agriseg.errors import AgrisegError, BatchError, OptionError, said_by
from agriseg.models import (
    ModelReference,
    PackedModel,
    Predictor,
    default_model,
    load_model,
)
from agriseg.models.baseline import IndexBaseline
from agriseg.pipeline import (
    Bench,
    Failed,
    Job,
    Model,
    SegmentOptions,
    Watcher,
    measure_job,
    prepare,
    reserve,
    run_job,
    run_jobs,
)
from agriseg.raster import Inputs, Scene, SceneOptions, narrow, open_scene
from agriseg.runs import Run

if TYPE_CHECKING:
    from agriseg.pipeline.cluster import DaskPool

__all__ = ["SegmentKeywords", "bench", "segment"]


class _Silent:
    def begin(self, job: Job) -> None: ...
    def start(self, total_pixels: int, done_pixels: int) -> None: ...
    def advance(self, pixels: int) -> None: ...
    def assembling(self) -> None: ...
    def end(self, run: Run) -> None: ...
    def fail(self, failed: Failed) -> None: ...


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
    workers: int | None = None,
    scheduler: str | None = None,
    listener: Watcher | None = None,
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
        workers: So many processes on this machine share the work; None: none, it is done in this
            one. The result is the same.
        scheduler: Address of a Dask scheduler, whose workers do it. They must see inputs, model and
            `out` under the same paths.
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
        BatchError: Some scenes of a list failed; it holds the runs of the others, which are done.
    """
    watcher = listener or _Silent()
    with _pool(workers, scheduler) as pool:
        many, jobs = _jobs(inputs, Path(out), model, options, "segment")
        good = [job for job in jobs if isinstance(job, Job)]
        reserve(good)
        if pool is None:
            found = list(_one_by_one(jobs, watcher))
        else:
            found = list(run_jobs(_sent(jobs, model, options), pool, watcher))
    failed = {one.name: one.error for one in found if isinstance(one, Failed)}
    runs = {one.path: one for one in found if isinstance(one, Run)}
    if failed and not many:
        raise next(iter(failed.values()))
    # They end in any order, and are given back in that of the scenes.
    ordered = [runs[job.folder.path] for job in good if job.folder.path in runs]
    if failed:
        raise BatchError(_words(failed, len(found)), ordered, failed)
    return ordered if many else ordered[0]


def _one_by_one(jobs: Sequence[Job | Failed], watcher: Watcher) -> Iterator[Run | Failed]:
    """Segment scenes in this process."""
    for job in jobs:
        if isinstance(job, Failed):
            watcher.fail(job)
            yield job
            continue
        watcher.begin(job)
        try:
            run = run_job(job, watcher)
        except AgrisegError as error:
            failed = Failed(job.scene.name, error)
            watcher.fail(failed)
            yield failed
            continue
        watcher.end(run)
        yield run


def _words(failed: Mapping[str, Exception], scenes: int) -> str:
    name, error = next(iter(failed.items()))
    others = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return (
        f"{len(failed)} of {scenes} scenes could not be segmented: {name} ({said_by(error)})"
        f"{others}; once that is mended, the same command does only what is missing"
    )


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
    found = []
    for job in jobs:
        if isinstance(job, Failed):
            raise job.error
        found.append(measure_job(job))
    return found if many else found[0]


@contextmanager
def _pool(workers: int | None, scheduler: str | None) -> Iterator[DaskPool | None]:
    """Workers, if there are to be any."""
    if workers is None and scheduler is None:
        yield None
        return
    if workers is not None and scheduler is not None:
        raise OptionError(
            "--workers are processes on this machine, --scheduler has workers of its own; give one"
        )
    if workers is not None and workers < 1:
        raise OptionError(f"--workers {workers}: give a whole number of 1 or more, or none")
    from agriseg.pipeline.cluster import connected, local_workers

    with local_workers(workers) if workers else connected(str(scheduler)) as pool:
        yield pool


def _jobs(
    inputs: Inputs | Scene | Sequence[Inputs | Scene],
    out: Path | None,
    model: str | Path | Predictor | None,
    options: SegmentKeywords,
    verb: str,
) -> tuple[bool, list[Job | Failed]]:
    """Whether a list was given, and what is to be done for each scene, all checked."""
    unknown = sorted(set(options) - SegmentKeywords.__optional_keys__)
    if unknown:
        raise TypeError(f"{verb}() has no option {unknown[0]!r}")
    many = isinstance(inputs, Sequence) and not isinstance(inputs, str)
    given = list(cast("Sequence[Inputs | Scene]", inputs)) if many else [cast("Inputs", inputs)]
    if not given:
        raise OptionError("no raster was given; name at least one")
    predictor = _predictor(_chosen(model), options)
    if out is None:  # nothing will be written: a place that nobody has
        out = Path(os.devnull).parent / f"agriseg-{uuid.uuid4()}"
    how = SegmentOptions(**_pick(options, SegmentOptions.__annotations__))
    jobs: list[Job | Failed] = []
    # Every scene is checked before the first is segmented.
    for one in given:
        try:
            scene = _scene(one, options, alone=len(given) == 1)
            jobs.append(prepare(scene, predictor, out / scene.name, how))
        except AgrisegError as error:
            if len(given) == 1:
                raise
            jobs.append(Failed(_name(one), error))
    if verb == "segment":
        _refuse_same_folder([job.scene for job in jobs if isinstance(job, Job)], out)
    return many, jobs


def _chosen(model: str | Path | Predictor | None) -> str | Path | Predictor:
    return default_model() if model is None else model


def _sent(
    jobs: Sequence[Job | Failed],
    model: str | Path | Predictor | None,
    options: SegmentKeywords,
) -> Iterator[tuple[Job, Model] | Failed]:
    """Each job with what a worker gets in place of its predictor."""
    chosen = _chosen(model)
    for job in jobs:
        if isinstance(job, Failed):
            yield job
        elif not isinstance(chosen, str | Path) or isinstance(job.predictor, IndexBaseline):
            yield job, PackedModel.of(job.predictor)
        else:
            threads, trust = options.get("threads"), options.get("trust", False)
            yield job, ModelReference.to(chosen, job.predictor, threads=threads, trust=trust)


def _name(given: Inputs | Scene) -> str:
    if isinstance(given, Mapping):
        return ", ".join(f"{role}={path}" for role, path in given.items())
    return given.name if isinstance(given, Scene) else str(given)


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
