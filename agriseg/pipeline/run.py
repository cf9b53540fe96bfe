"""Running a job to its end in this process: swaths, then assembly, then the record."""

from __future__ import annotations

import time
import warnings
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from agriseg.errors import InputError, OutputError
from agriseg.machine import peak_bytes
from agriseg.models import batch_of, make_ready, streams_for
from agriseg.pipeline.job import Job, describe
from agriseg.pipeline.stages import put_together
from agriseg.pipeline.swath import OnRow, run_swath
from agriseg.raster.remote import is_remote
from agriseg.runs import Run
from agriseg.runs.folder import VECTORS
from agriseg.runs.key import scene_facts
from agriseg.runs.record import read_outputs, write_record
from agriseg.threads import in_threads
from agriseg.tiling import Swath

__all__ = [
    "Begun",
    "Probe",
    "Progress",
    "Silent",
    "begin",
    "end",
    "predict_swath",
    "probe",
    "put_together",
    "quiet",
    "run_job",
    "run_unquieted",
]


class Progress(Protocol):
    """Hears how a run gets on; all pixels are those of the raster."""

    def start(self, total_pixels: int, done_pixels: int) -> None:
        """The run begins; `done_pixels` are there from an earlier one."""

    def advance(self, pixels: int) -> None:
        """That many more pixels are final."""

    def assembling(self) -> None:
        """All rows are there; the rasters are being put together."""


@contextmanager
def quiet() -> Iterator[None]:
    """Row files have no place on the ground, of which rasterio warns; all threads share this."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


class Silent:
    """Hears, and says nothing."""

    def start(self, total_pixels: int, done_pixels: int) -> None: ...
    def advance(self, pixels: int) -> None: ...
    def assembling(self) -> None: ...


def run_job(job: Job, progress: Progress | None = None) -> Run:
    """Segment one scene in this process, going on where an earlier run stopped.

    Raises:
        ReadError: A chip cannot be read.
        OutputError: Results cannot be written.
    """
    with quiet():
        return run_unquieted(job, progress or Silent())


def run_unquieted(job: Job, progress: Progress) -> Run:
    """As `run_job`, within `quiet`: what that does is done for all threads, not in each."""
    begun = begin(job, progress)
    if isinstance(begun, Run):
        return begun
    if begun.missing:
        for swath in job.plan:
            predict_swath(job, swath, progress.advance)
    progress.assembling()
    return end(job, begun, put_together(job, begun.earlier))


@dataclass(frozen=True)
class Begun:
    """A job whose folder is ready for rows.

    Args:
        record: What is known before the run.
        missing: How many chip rows are to be predicted.
        earlier: The record of finished rasters, where only polygons are wanted anew.
        started: When.
    """

    record: Mapping[str, Any]
    missing: int
    earlier: Mapping[str, Any] | None
    started: float


def begin(job: Job, progress: Progress) -> Begun | Run:
    """Find what there is of a job, and make its folder ready for the rest.

    Returns:
        What is to be done, or the run where nothing is.

    Raises:
        OutputError: The folder cannot be written to, or held damaged rows.
    """
    started = time.time()
    if done := job.finished_run():
        job.folder.sweep()
        return done
    grid = job.plan.grid
    pixels = grid.height * grid.width
    if earlier := job.finished_rasters():
        progress.start(pixels, pixels)
        kept = ("agriseg", "versions", "model")
        record = describe(job)
        record |= {name: earlier.record[name] for name in kept if name in earlier.record}
        return Begun(record, 0, _without_polygons(job, earlier.record), started)
    job.folder.refuse_other_work(job.rows_key)
    # Here, in the caller's thread, before the record tells of the model.
    make_ready(job.predictor)
    record = describe(job)
    _drop_polygons(job, read_outputs(job.folder))
    # From here on the folder holds no finished run: what is in it belongs to another one.
    job.folder.record.unlink(missing_ok=True)
    job.folder.sweep(keep=job.rows_key if job.options.resume else None)
    ledger = job.ledger
    ledger.create()
    if ledger.unreadable() and not job.options.skip_unreadable:
        ledger.clear()  # an earlier run was allowed to leave chips out, this one is not
    # Now, and not left to the assembly: GDAL may pass over a source that it cannot read.
    if count := ledger.drop_damaged():
        raise OutputError(
            f"{count} row files in {ledger.folder} were damaged and are removed; run the same "
            "command again to make them anew"
        )
    missing = set(ledger.missing(range(grid.rows)))
    here = sum(grid.finished_by(row).height for row in range(grid.rows) if row not in missing)
    progress.start(pixels, here * grid.width)
    return Begun(record, len(missing), None, started)


def predict_swath(job: Job, swath: Swath, on_row: OnRow | None = None) -> None:
    """Predict what the ledger lacks of a swath.

    Raises:
        ReadError: A chip cannot be read.
        OutputError: Rows cannot be written.
    """
    with rasterio.Env(GDAL_CACHEMAX=job.cache_bytes):
        run_swath(job, swath, on_row)


def end(job: Job, begun: Begun, found: Mapping[str, Any], stages_s: float | None = None) -> Run:
    """Write the record of a job whose results are there; with it the run is finished.

    Args:
        job: The job.
        begun: What `begin` gave.
        found: What `put_together` gave.
        stages_s: Seconds that its stages took, where some of them went on side by side.
    """
    took = dict(found["seconds"])
    if begun.earlier is None:
        _refuse_changed(job)
        stages_s = sum(took.values()) if stages_s is None else stages_s
        rest = time.time() - begun.started - stages_s
        took = {"predict": round(max(rest, 0.0), 3), **took}
        found = {"rows_from_earlier_run": job.plan.grid.rows - begun.missing, **found}
    finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    record = {**begun.record, **found, "seconds": took, "finished": finished}
    write_record(job.folder, record)
    job.folder.sweep()
    return Run(job.folder, record)


def _refuse_changed(job: Job) -> None:
    """Refuse a map of two versions: a file behind a network may be replaced while it is read.

    Raises:
        InputError: One was.
    """
    before = job.scene_facts["files"]
    if not any(map(is_remote, before)):
        return
    now = scene_facts(job.scene)["files"]
    changed = [name for name in before if before[name] != now.get(name)]
    if changed:
        job.ledger.clear()
        raise InputError(
            f"{changed[0]} was changed while it was read; run the same command again when it is "
            "complete"
        )


def _without_polygons(job: Job, record: Mapping[str, Any]) -> dict[str, Any]:
    """Take the polygons out of the record of a run, before others take their place.

    Else a run that is stopped in between would leave polygons of the new options, and a record of
    the old ones: files of equal size are not told apart.
    """
    _drop_polygons(job, record["outputs"])
    outputs = {name: size for name, size in record["outputs"].items() if name not in VECTORS}
    stages, facts = {"polygons", "fields"}, {"key", "segments", "fields"}
    seconds = {name: took for name, took in record["seconds"].items() if name not in stages}
    kept = {name: value for name, value in record.items() if name not in facts}
    found = kept | {"outputs": outputs, "seconds": seconds}
    write_record(job.folder, found)
    return found


def _drop_polygons(job: Job, outputs: Container[str]) -> None:
    """Remove an earlier run's polygons while it is known that they are its; never another file."""
    for name in VECTORS:
        if name in outputs:
            (job.folder.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Probe:
    """What one batch in each stream told.

    Args:
        pixels_per_second: Through the predictor alone.
        peak_bytes: The most memory that this process has taken so far, the batches included.
    """

    pixels_per_second: float
    peak_bytes: int


def probe(job: Job) -> Probe:
    """Predict one batch in each stream, to estimate time and memory of the run.

    The result depends on neither.
    """
    grid, card = job.plan.grid, job.predictor.card
    at = grid.chip(0, 0).window
    height, width = at.height + -at.height % card.stride, at.width + -at.width % card.stride
    batch = np.empty((batch_of(job.predictor), len(card.keys), height, width), np.float32)
    batch[:] = card.means.reshape(-1, 1, 1)
    streams = streams_for(job.predictor, grid)
    make_ready(job.predictor)

    def predict(_: int) -> float:
        # A value must come back to the host, else a GPU may still be at work.
        return float(job.predictor(batch)[0, 0, 0, 0])

    for _ in range(2):  # the first call compiles and warms up
        started = time.perf_counter()
        list(in_threads(predict, range(streams), streams))
    seconds = max(time.perf_counter() - started, 1e-9)
    return Probe(streams * len(batch) * at.height * at.width / seconds, peak_bytes())
