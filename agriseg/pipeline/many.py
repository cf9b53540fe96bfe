"""Many scenes, many workers: all swaths of all scenes in one queue, of which little is under way.

A scene is begun only when workers are about to run out of swaths, so that 100,000 scenes take no
more memory than a few. When the last swath of a scene is there, its rasters and polygons are tasks
too, before any further swath; a scene of one swath is one task. Where swaths turn out to take a
moment only, those that follow each other are sent as one. A fault ends its scene alone.

A swath keeps all cores of a worker busy. A scene of a few chips does not, so as many of these go on
at once in a worker as it has threads; nor does putting a scene together, which goes on beside.
Tasks of several scenes with which workers died are tried again at the end, each alone.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from typing import Any, Protocol

from agriseg.errors import AgrisegError, WorkerError
from agriseg.pipeline.job import Job
from agriseg.pipeline.run import Begun, Progress, Silent, begin, end, quiet
from agriseg.pipeline.stages import combined
from agriseg.pipeline.tasks import (
    Model,
    bare,
    finish_maps,
    finish_polygons,
    finish_scene,
    has_two_ends,
    is_small,
    predict_rows,
    segment_scene,
)
from agriseg.runs import Run
from agriseg.tiling import Plan, Swath

__all__ = ["Advance", "Done", "Failed", "Pool", "SilentWatcher", "Watcher", "run_jobs"]

_LOG = logging.getLogger(__name__)

# A task costs client, scheduler and worker some 5 ms of their processors, whatever is in it.
_WORTH_S = 0.5
# More than all workers.
_ALL = Fraction(10**9)


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
    """Pixels that a task has finished since it last told, and the seconds that they took."""

    task: int
    pixels: int
    seconds: float


class Pool(Protocol):
    """What tasks are sent to."""

    @property
    def workers(self) -> int:
        """How many processes there are."""

    @property
    def threads(self) -> int:
        """How many tasks each of them takes at a time; of large swaths it predicts one."""

    @property
    def is_single(self) -> bool:
        """Whether there is one process, and will never be another."""

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


@dataclass(frozen=True)
class _Part:
    """A swath, and how many pixels those of its rows will finish that the ledger lacks."""

    swath: Swath
    pixels: int

    def joined(self, below: _Part) -> _Part:
        return _Part(Swath(self.swath.first, below.swath.last), self.pixels + below.pixels)


_Work = Callable[..., Any]


@dataclass(eq=False)
class _Scene:
    """One scene under way."""

    job: Job
    begun: Begun
    model: Model
    sent: Job
    waiting: deque[_Part] = field(default_factory=deque)
    is_whole: bool = False
    under_way: int = 0
    is_over: bool = False
    pixels_per_second: float = 0.0
    ends: dict[_Work, Mapping[str, Any] | None] = field(default_factory=dict)
    """What finishes it, in the order of its record, with what came of each."""
    rows_there: float = 0.0

    def finishes(self, workers: int) -> Iterator[_Work]:
        """The tasks that are left once all rows are there."""
        self.rows_there = time.time()
        # Two workers share the end of a scene, too.
        is_shared = workers > 1 and self.begun.earlier is None and has_two_ends(self.job)
        self.ends = dict.fromkeys((finish_maps, finish_polygons) if is_shared else (finish_scene,))
        return iter(self.ends)

    def result(self) -> tuple[dict[str, Any], float | None]:
        """What is known of it now; and seconds from its last row on, where tasks shared the end."""
        found = combined(*(one for one in self.ends.values() if one is not None))
        return found, time.time() - self.rows_there if len(self.ends) > 1 else None

    def next_part(self, workers: int) -> _Part:
        """What is sent next: the first part that waits, with those that join it."""
        # As in a guided plan: never so much that a worker is left without work at the end.
        share = sum(part.pixels for part in self.waiting) / (2 * workers)
        most = min(_WORTH_S * self.pixels_per_second, share)
        part = self.waiting.popleft()
        while self.waiting and part.pixels + self.waiting[0].pixels <= most:
            part = part.joined(self.waiting.popleft())
        return part


@dataclass(eq=False)
class _Task:
    scene: _Scene
    work: _Work
    part: _Part | None
    pixels: int
    fills: Fraction
    """What part of a worker it keeps busy."""
    is_alone: bool = False
    has_company: bool = False
    """Whether tasks of other scenes were under way with it."""


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
        self._finished: deque[tuple[_Scene, _Work]] = deque()  # whose rows are all there
        self._under_way: dict[int, _Task] = {}
        self._suspects: deque[_Task] = deque()
        self._numbers = count()

    def run(self) -> Iterator[Run | Failed]:
        while True:
            # As much again for each worker: none waits for its next task.
            while sum(task.fills for task in self._under_way.values()) < 2 * self._pool.workers:
                if self._submit():
                    continue
                found = self._next_scene()
                if found is None:
                    break
                yield from found
            if not self._under_way and not self._try_alone():
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
            scene.waiting.extend(self._parts(job))
            scene.is_whole = len(scene.waiting) == 1
            self._scenes.append(scene)
        else:
            self._finish(scene)
        return ()

    def _finish(self, scene: _Scene) -> None:
        self._finished.extend((scene, work) for work in scene.finishes(self._pool.workers))

    def _parts(self, job: Job) -> Iterator[_Part]:
        """Swaths of which the ledger lacks rows."""
        ledger, grid = job.ledger, job.plan.grid
        # Between two swaths streams wait for the first chips of the next: nothing for nothing.
        is_settled = len(job.plan.swaths) > 1 or self._pool.is_single
        plan = job.plan if is_settled else Plan.guided(grid, self._pool.workers)
        for swath in plan:
            if rows := ledger.missing(swath.rows):
                pixels = sum(grid.finished_by(row).height for row in rows) * grid.width
                yield _Part(swath, pixels)

    def _submit(self) -> bool:
        """Send one task, if there is one."""
        part: _Part | None = None
        if self._finished:
            scene, work = self._finished.popleft()
        elif self._scenes:
            scene = self._scenes[0]
            part = scene.next_part(self._pool.workers)
            work = segment_scene if scene.is_whole else predict_rows
            if not scene.waiting:
                self._scenes.popleft()
        else:
            return False
        pixels = 0 if part is None else part.pixels
        self._send(_Task(scene, work, part, pixels, self._fills(scene, part)))
        return True

    def _send(self, task: _Task) -> None:
        scene, part = task.scene, task.part
        for other in self._under_way.values():
            if other.scene is not scene:
                other.has_company = task.has_company = True
        number = next(self._numbers)
        self._under_way[number] = task
        scene.under_way += 1
        what = scene.begun.earlier if part is None else part.swath
        self._pool.submit(number, task.work, scene.sent, scene.model, what)

    def _try_alone(self) -> bool:
        """Send a task with which workers died, now that it can do no harm, if there is one."""
        while self._suspects:
            task = self._suspects.popleft()
            task.scene.under_way -= 1
            if not task.scene.is_over:
                self._send(replace(task, fills=_ALL, is_alone=True))
                return True
        return False

    def _fills(self, scene: _Scene, part: _Part | None) -> Fraction:
        threads = self._pool.threads
        if scene.is_whole and is_small(scene.job, threads):
            return Fraction(1, threads)
        return Fraction(1, 2) if part is None and threads > 1 else Fraction(1)

    def _take(self, told: Done | Advance) -> Iterator[Run | Failed]:
        task = self._under_way.get(told.task)
        if task is None:
            return  # of a worker that was thought dead, and was not
        scene = task.scene
        if isinstance(told, Advance):
            pixels = min(told.pixels, task.pixels)
            task.pixels -= pixels
            scene.pixels_per_second = told.pixels / max(told.seconds, 1e-9)
            if not scene.is_over:
                self._watcher.advance(pixels)
            return
        del self._under_way[told.task]
        scene.under_way -= 1
        if scene.is_over:
            return
        if isinstance(told.error, WorkerError) and task.has_company and not task.is_alone:
            # Of which task they died, nobody knows: else a scene would fail that is in order.
            self._suspects.append(task)
            scene.under_way += 1
            return
        if told.error is not None:
            scene.is_over = True
            scene.waiting.clear()
            if scene in self._scenes:
                self._scenes.remove(scene)
            self._finished = deque(one for one in self._finished if one[0] is not scene)
            yield self._failed(scene.job, told.error)
            return
        self._watcher.advance(task.pixels)
        if task.part is not None and not scene.is_whole:
            if not scene.waiting and not scene.under_way:
                self._finish(scene)
            return
        scene.ends[task.work] = told.value
        if None in scene.ends.values():
            return
        scene.is_over = True
        try:
            run = end(scene.job, scene.begun, *scene.result())
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
