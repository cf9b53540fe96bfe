"""The verb `segment`: scenes in, maps and polygons out, here or on workers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from agriseg.errors import AgrisegError, BatchError, OptionError, said_by
from agriseg.machine import memory_bytes
from agriseg.models import BASELINE, ModelReference, PackedModel, Predictor, load_model
from agriseg.pipeline import (
    Failed,
    Job,
    Model,
    SilentWatcher,
    Watcher,
    probe,
    quiet,
    run_here,
    run_jobs,
)
from agriseg.pipeline.local import cards_for, local_workers, threads_each
from agriseg.publish import (
    PROJECT_FILE,
    REPORT_FILE,
    try_project,
    write_item,
    write_quicklook,
    write_report,
)
from agriseg.runs import Run, read_run
from agriseg.runs.batch import BATCH_FILE, Batch
from agriseg.workflow.jobs import Given, Jobs, SegmentKeywords, chosen_model, jobs_for
from agriseg.workflow.scheduler import Scheduler

__all__ = ["segment"]

_LOG = logging.getLogger(__name__)

# Of more scenes the records stay on the disk until they are asked for: each takes some 20 KB.
_HELD = 1000


def segment(
    inputs: Given,
    out: str | Path,
    *,
    model: str | Path | Predictor | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    memory_limit_gb: float | None = None,
    listener: Watcher | None = None,
    qgis: bool = True,
    report: bool = False,
    **options: Unpack[SegmentKeywords],
) -> Run | list[Run]:
    """Turn scenes into georeferenced class and confidence rasters, polygons and fields.

    Each scene streams through memory, whatever its size. A run that was stopped goes on where it
    stopped when it is started again in the same way; a finished one is recognised.

    Args:
        inputs: A raster, a folder of single-band rasters, single-band rasters by role
            (`{"red": "R.tif", "nir": "N.tif"}`), or an open `Scene`. Or many scenes: a list of
            such, a pattern (`"flights/*.tif"`), a folder of rasters, a table (`flights.csv`) or a
            STAC ItemCollection; see `agriseg.find_sources`.
        out: Results go to OUT/<name of the scene>/; of many scenes, batch.json and index.gpkg to
            OUT.
        model: A model file, the name of a built-in model, or any object with the `Predictor`
            protocol; by default "crop-weed" for scenes that it fits, and "index-baseline" for
            others: vegetation against soil from an index, for pixels of any size.
        workers: So many processes on this machine share the work; None: none, it is done in this
            one. The result is the same. Each gets a GPU of its own where there are several.
        scheduler: Address of a Dask scheduler, whose workers do it. They must see inputs, model and
            `out` under the same paths.
        memory_limit_gb: What this process and workers on this machine may take together; by
            default the machine's memory. There are fewer workers where these would take more.
        listener: Hears of progress.
        qgis: Also write result.qgz, and styles for each file; of many scenes one more in `out`.
        report: Also write report.html, quicklook.png and item.json (STAC) for each scene.
        **options: How to read the scenes: `bands, sensor, scale, offset, nodata, masks,
            mask_grow_m, about, name` as in `open_scene`. Which part: `bounds` (left, bottom,
            right, top in the scene's CRS), `cutline` (a vector file), `gsd_m` (metres a pixel).
            How to predict: `engine, device, precision, batch, threads, tta, trust` as in
            `load_model`.
            How to segment: `chip, overlap, swaths, probabilities, skip_unreadable, ignore_gsd,
            resume, polygons, min_area_m2, simplify_m, fields, id_col, name_col, inset_m` as in
            `agriseg.pipeline.SegmentOptions`; `fields` is also a file with your own outlines.

    Returns:
        The run, or a list of runs where many scenes may be meant.

    Raises:
        AgrisegError: Something the user can mend; raised before any work where it can be known.
        BatchError: Some of many scenes failed; it holds the runs of the others, which are done.
    """
    folder, watcher, batch = Path(out), listener or SilentWatcher(), None
    _check_who(workers, scheduler)
    with quiet(), ExitStack() as stack:
        far = None if scheduler is None else Scheduler(scheduler, stack)
        jobs = jobs_for(inputs, folder, model, options, "segment", far.load if far else load_model)
        jobs.check_room()
        if len(jobs) > 1 or (jobs.are_many and (folder / BATCH_FILE).exists()):
            batch = Batch(folder, jobs.names, jobs.keys)
        count = None if far is not None else _bearable(workers, jobs.first, memory_limit_gb)
        cards = cards_for(options.get("device", "auto")) if count else ()
        here = stack.enter_context(local_workers(count, cards=cards)) if count else None
        pool = here if far is None else far.pool
        opened = stack.enter_context(closing(iter(jobs)))
        if pool is None:
            watcher.plan(len(jobs), None, None)
            done = run_here(opened, watcher)
        else:
            watcher.plan(len(jobs), pool.workers, pool.dashboard)
            done = run_jobs(_sent(opened, model, options), pool, watcher)
        found = _noted(stack.enter_context(closing(done)), batch, qgis, report)
    return _result(jobs, found)


def _result(jobs: Jobs, found: Mapping[str, Run | Failed]) -> Run | list[Run]:
    """What `segment` gives, or raises, in the order of the scenes."""
    runs = [found[name] for name in jobs.names]  # they ended in any order
    good = [run for run in runs if isinstance(run, Run)]
    failed = {run.name: run.error for run in runs if isinstance(run, Failed)}
    if failed and not jobs.are_many:
        raise next(iter(failed.values()))
    if failed:
        raise BatchError(_words(failed, len(runs)), good, failed)
    return good if jobs.are_many else good[0]


def _noted(
    done: Iterable[Run | Failed], batch: Batch | None, qgis: bool, report: bool
) -> dict[str, Run | Failed]:
    """What became of each scene, by its name; entered in batch.json, and at last in index.gpkg."""
    found: dict[str, Run | Failed] = {}
    try:
        for one in done:
            name = one.path.name if isinstance(one, Run) else one.name
            if isinstance(one, Run) and qgis and batch is None:
                one = _with_project(one)
            if isinstance(one, Run) and report:
                _report_on(one)
            if batch is not None:
                batch.take(name, one if isinstance(one, Run) else one.error)
                one = one.put_down() if isinstance(one, Run) and len(batch.names) > _HELD else one
            found[name] = one
    finally:
        if batch is not None:
            batch.write()
    if batch is not None:
        batch.write_index()
        if qgis and any(isinstance(one, Run) for one in found.values()):
            try_project(batch.folder)
    return found


def _with_project(run: Run) -> Run:
    """The run with its QGIS project; a map is not lost because that cannot be written."""
    if run.resumed and (run.path / PROJECT_FILE).exists():
        return run
    if not try_project(run):
        return run
    return replace(read_run(run.path), resumed=run.resumed)


def _report_on(run: Run) -> None:
    """Pages and pictures of a run, unless they are there."""
    if run.resumed and (run.path / REPORT_FILE).exists():
        return
    try:
        write_quicklook(run)
        write_report(run)
        write_item(run)  # the last: it lists the others
    except AgrisegError as error:
        _LOG.warning("no report: %s", error)


def _words(failed: Mapping[str, Exception], scenes: int) -> str:
    name, error = next(iter(failed.items()))
    others = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return (
        f"{len(failed)} of {scenes} scenes could not be segmented: {name} ({said_by(error)})"
        f"{others}; once that is mended, the same command does only what is missing"
    )


def _bearable(workers: int | None, jobs: Sequence[Job], limit_gb: float | None) -> int | None:
    """As many of the workers as memory bears.

    Raises:
        OptionError: It bears none.
    """
    if workers is None and limit_gb is None:
        return workers
    if limit_gb is not None and not limit_gb > 0:
        raise OptionError(f"--memory-limit {limit_gb:g}: give gigabytes, more than 0")
    waiting = [job for job in jobs if not job.is_finished]
    if not waiting:
        return workers
    largest = max(waiting, key=lambda job: job.estimate().memory_bytes)
    # A worker of several threads puts a scene together while it predicts the next.
    at_once = 2 if workers is not None and threads_each(workers) > 1 else 1
    each = probe(largest).peak_bytes + at_once * largest.estimate().memory_bytes
    limit = memory_bytes() if limit_gb is None else int(limit_gb * 1e9)
    if limit_gb is not None and limit < each:
        raise OptionError(
            f"--memory-limit {limit_gb:g}: {largest.scene.name} takes about {each / 1e9:.1f} GB "
            "in one process; give that much, or a smaller --chip, or fewer --threads"
        )
    return None if workers is None else max(min(workers, limit // each), min(workers, 1))


def _check_who(workers: int | None, scheduler: str | None) -> None:
    if workers is not None and scheduler is not None:
        raise OptionError(
            "--workers are processes on this machine, --scheduler has workers of its own; give one"
        )
    if workers is not None and workers < 1:
        raise OptionError(f"--workers {workers}: give a whole number of 1 or more, or none")


def _sent(
    jobs: Iterable[Job | Failed],
    model: str | Path | Predictor | None,
    options: SegmentKeywords,
) -> Iterator[tuple[Job, Model] | Failed]:
    """Each job with what a worker gets in place of its predictor."""
    chosen = chosen_model(model)
    packed: tuple[Predictor, PackedModel] | None = None
    for job in jobs:
        if isinstance(job, Failed):
            yield job
        elif not isinstance(chosen, str | Path) or job.predictor.card.name == BASELINE:
            if packed is None or packed[0] is not job.predictor:
                packed = (job.predictor, PackedModel.of(job.predictor))
            yield job, packed[1]
        else:
            threads, trust = options.get("threads"), options.get("trust", False)
            yield job, ModelReference.to(chosen, job.predictor, threads=threads, trust=trust)
