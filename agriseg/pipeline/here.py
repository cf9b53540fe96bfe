"""Many scenes in this process: large ones one after another, small ones several at a time.

A scene of a few chips cannot keep all cores busy: while its last chip is predicted, or its polygons
are traced, the others would wait. So as many of them as there are cores are under way at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import groupby

import rasterio

from agriseg.errors import AgrisegError
from agriseg.pipeline.job import Job
from agriseg.pipeline.many import Failed, Watcher
from agriseg.pipeline.run import quiet, run_job, run_unquieted
from agriseg.pipeline.tasks import is_small
from agriseg.raster.source import gdal_settings
from agriseg.runs import Run
from agriseg.threads import cores, in_threads

__all__ = ["run_here"]


def run_here(jobs: Iterable[Job | Failed], watcher: Watcher) -> Generator[Run | Failed, None, None]:
    """Segment scenes in this process; what comes of each, in their order.

    Args:
        jobs: What is to be done, or why it cannot be.
        watcher: Hears how it gets on; never from two threads at once.

    Raises:
        Exception: What is no fault of the user's ends it all.
    """
    for are_small, some in groupby(jobs, _is_small):
        if are_small:
            yield from _side_by_side(some, watcher)
            continue
        for job in some:
            yield _one(job, watcher)


def _is_small(job: Job | Failed) -> bool:
    return isinstance(job, Job) and is_small(job)


def _one(
    job: Job | Failed, watcher: Watcher, work: Callable[[Job, Watcher], Run] = run_job
) -> Run | Failed:
    if isinstance(job, Failed):
        watcher.fail(job)
        return job
    watcher.begin(job)
    try:
        run = work(job, watcher)
    except AgrisegError as error:
        failed = Failed(job.scene.name, error)
        watcher.fail(failed)
        return failed
    watcher.end(run)
    return run


def _side_by_side(jobs: Iterable[Job | Failed], watcher: Watcher) -> Iterator[Run | Failed]:
    settings, told = gdal_settings(), _InTurn(watcher)

    def work(job: Job | Failed) -> Run | Failed:
        with rasterio.Env(**settings):
            return _one(job, told, run_unquieted)

    with quiet():
        for _, found in in_threads(work, jobs, cores(), "scene"):
            yield found


class _InTurn:
    """A watcher that threads tell one after the other."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher, self._lock = watcher, threading.Lock()

    def plan(self, scenes: int, workers: int | None, dashboard: str | None) -> None:
        with self._lock:
            self._watcher.plan(scenes, workers, dashboard)

    def begin(self, job: Job) -> None:
        with self._lock:
            self._watcher.begin(job)

    def end(self, run: Run) -> None:
        with self._lock:
            self._watcher.end(run)

    def fail(self, failed: Failed) -> None:
        with self._lock:
            self._watcher.fail(failed)

    def start(self, total_pixels: int, done_pixels: int) -> None:
        with self._lock:
            self._watcher.start(total_pixels, done_pixels)

    def advance(self, pixels: int) -> None:
        with self._lock:
            self._watcher.advance(pixels)

    def assembling(self) -> None:
        with self._lock:
            self._watcher.assembling()
