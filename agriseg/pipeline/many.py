"""Many scenes, many workers: all swaths of all scenes in one queue, of which little is under way.

A scene is begun only when workers are about to run out of swaths, so that 100,000 scenes take no
more memory than a few. When the last swath of a scene is there, its rasters and polygons are a task
too, before any further swath. A fault ends its scene alone.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from agriseg.errors import AgrisegError
from agriseg.pipeline.job import Job
from agriseg.pipeline.run import Begun, Progress, Silent, begin, end, quiet
from agriseg.pipeline.tasks import Model, bare, finish_scene, predict_rows
from agriseg.runs import Run
from agriseg.tiling import Plan, Swath

__all__ = ["Advance", "Done", "Failed", "Pool", "SilentWatcher", "Watcher", "run_jobs"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failed:
    """A scene that could not be segmented, and why."""

    name: str
    error: Exception


@dataclass(frozen=True)
class Done:
    """A task that is over."""

    task: int
    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True)
class Advance:
    """Pixels that a task has finished since it last told."""

    task: int
    pixels: int


class Pool(Protocol):
    """What tasks are sent to."""

    @property
    def workers(self) -> int:
        """How many tasks are worked on at a time."""

    def submit(self, task: int, work: Any, *args: Any) -> None:
        """Have `work` done on `args`."""

    def next(self) -> Done | Advance:
        """What comes in next.

        Raises:
            WorkerError: Nothing will.
        """


class Watcher(Progress, Protocol):
    """Hears of each scene; several may be under way, whose pixels count together."""

    def plan(self, scenes: int, workers: int | None, dashboard: str | None) -> None:
        """So many scenes come, to so many workers; at this address one can look on."""

    def begin(self, job: Job) -> None:
        """A scene is about to be segmented."""

    def end(self, run: Run) -> None:
        """Its results are there."""

    def fail(self, failed: Failed) -> None:
        """It cannot be segmented."""


class SilentWatcher(Silent):
    """Hears of scenes, and says nothing."""

    def plan(self, scenes: int, workers: int | None, dashboard: str | None) -> None: ...
    def begin(self, job: Job) -> None: ...
    def end(self, run: Run) -> None: ...
    def fail(self, failed: Failed) -> None: ...


@dataclass(eq=False)
class _Scene:
    """One scene under way."""

    job: Job
    begun: Begun
    model: Model
    sent: Job
    waiting: deque[tuple[Swath, int]] = field(default_factory=deque)
    under_way: int = 0
    is_over: bool = False


@dataclass(eq=False)
class _Task:
    scene: _Scene
    swath: Swath | None
    pixels: int = 0


def run_jobs(
    jobs: Iterable[tuple[Job, Model] | Failed], pool: Pool, watcher: Watcher
) -> Generator[Run | Failed, None, None]:
    """Segment scenes on a pool; what comes of each, in the order in which they end.

    Args:
        jobs: What is to be done, and with what; taken as workers get free. Or why one cannot be.
        pool: Who does it.
        watcher: Hears how it gets on.

    Raises:
        WorkerError: The pool is gone.
    """
    with quiet():
        yield from _Queue(jobs, pool, watcher).run()


class _Queue:
    def __init__(
        self, jobs: Iterable[tuple[Job, Model] | Failed], pool: Pool, watcher: Watcher
    ) -> None:
        self._jobs, self._pool, self._watcher = iter(jobs), pool, watcher
        self._scenes: deque[_Scene] = deque()  # with swaths that wait
        self._finished: deque[_Scene] = deque()  # whose rows are all there
        self._under_way: dict[int, _Task] = {}
        self._numbers = count()

    def run(self) -> Iterator[Run | Failed]:
        while True:
            # One more for each worker: none waits for its next task.
            while len(self._under_way) < 2 * self._pool.workers:
                if self._submit():
                    continue
                found = self._next_scene()
                if found is None:
                    break
                yield from found
            if not self._under_way:
                return
            yield from self._take(self._pool.next())

    def _next_scene(self) -> tuple[Run | Failed, ...] | None:
        """Begin one more scene; what came of it where it is over at once; None: there is none."""
        item = next(self._jobs, None)
        if item is None:
            return None
        if isinstance(item, Failed):
            self._watcher.fail(item)
            return (item,)
        job, model = item
        try:
            self._watcher.begin(job)
            begun = begin(job, self._watcher)
            if isinstance(begun, Run):
                self._watcher.end(begun)
                return (begun,)
            scene = _Scene(job, begun, model, bare(job))
        except Exception as error:
            return (self._failed(job, error),)
        if begun.missing:
            scene.waiting.extend(self._swaths(job))
            self._scenes.append(scene)
        else:
            self._finished.append(scene)
        return ()

    def _swaths(self, job: Job) -> Iterator[tuple[Swath, int]]:
        """Those of which the ledger lacks rows, and how many pixels these will finish."""
        is_cut = len(job.plan.swaths) > 1
        plan = job.plan if is_cut else Plan.guided(job.plan.grid, self._pool.workers)
        ledger, grid = job.ledger, job.plan.grid
        for swath in plan:
            if rows := ledger.missing(swath.rows):
                yield swath, sum(grid.finished_by(row).height for row in rows) * grid.width

    def _submit(self) -> bool:
        """Send one task, if there is one."""
        swath: Swath | None = None
        pixels = 0
        if self._finished:
            scene = self._finished.popleft()
        elif self._scenes:
            scene = self._scenes[0]
            swath, pixels = scene.waiting.popleft()
            if not scene.waiting:
                self._scenes.popleft()
        else:
            return False
        number = next(self._numbers)
        self._under_way[number] = _Task(scene, swath, pixels)
        scene.under_way += 1
        if swath is None:
            self._pool.submit(number, finish_scene, scene.sent, scene.model, scene.begun.earlier)
        else:
            self._pool.submit(number, predict_rows, scene.sent, scene.model, swath)
        return True

    def _take(self, told: Done | Advance) -> Iterator[Run | Failed]:
        task = self._under_way.get(told.task)
        if task is None:
            return  # of a worker that was thought dead, and was not
        scene = task.scene
        if isinstance(told, Advance):
            pixels = min(told.pixels, task.pixels)
            task.pixels -= pixels
            if not scene.is_over:
                self._watcher.advance(pixels)
            return
        del self._under_way[told.task]
        scene.under_way -= 1
        if scene.is_over:
            return
        if told.error is not None:
            scene.is_over = True
            scene.waiting.clear()
            if scene in self._scenes:
                self._scenes.remove(scene)
            yield self._failed(scene.job, told.error)
        elif task.swath is not None:
            self._watcher.advance(task.pixels)
            if not scene.waiting and not scene.under_way:
                self._finished.append(scene)
        else:
            scene.is_over = True
            try:
                run = end(scene.job, scene.begun, told.value)
            except Exception as error:
                yield self._failed(scene.job, error)
                return
            self._watcher.end(run)
            yield run

    def _failed(self, job: Job, error: Exception) -> Failed:
        if not isinstance(error, AgrisegError):
            _LOG.debug("%s failed", job.scene.name, exc_info=error)
        found = Failed(job.scene.name, error)
        self._watcher.fail(found)
        return found
