"""Dask distributed as a `Pool`: worker processes of this machine, or any scheduler's."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agriseg.errors import WorkerError, said_by
from agriseg.machine import memory_bytes
from agriseg.models import PackedModel
from agriseg.pipeline.many import Advance, Done
from agriseg.pipeline.tasks import GdalSettings, finish_scene, within

if TYPE_CHECKING:
    from distributed import Future

Client = Any  # of distributed, which is typed in parts only

__all__ = ["DaskPool", "connected", "local_workers", "threads_each"]

_START_S = 120.0
_STOP_S = 10.0
# A scheduler may be about to start.
_ANSWER_S = 30.0
# Between looks whether the scheduler is still there.
_LOOK_S = 1.0
# Between counts of the workers of a scheduler, of which some may come late.
_COUNT_S = 3.0
# Bytes of a model that travel with each task; so many larger ones are kept by workers.
_LIGHT, _MODELS = 10_000, 2
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Dask has its workers give back each array to the system at once, and ask for the next: 10 % of the
# time of a U-Net on a CPU. So much the C library of Linux keeps by itself.
_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
# Only what runs away is ended. Nothing is won by pausing or spilling: what a worker holds are
# pixels under way. And nobody looks at the profile, for which each process looks a hundred times a
# second at what it is doing: with two workers some 7 % of a core.
_PROFILE = "distributed.worker.profile.enabled"
_WORKER = {
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    _PROFILE: False,
}


def threads_each(workers: int) -> int:
    """Threads of each of so many workers on this machine."""
    return max((os.cpu_count() or 1) // max(workers, 1), 1)


class DaskPool:
    """Sends tasks to the workers of a scheduler, with what the caller has set of GDAL.

    Args:
        client: Of Dask distributed.
        look: Called now and then while nothing comes in; raises where nothing will.
        is_single: Whether there is one worker, and will never be another.
    """

    def __init__(
        self, client: Client, look: Callable[[], None] = lambda: None, *, is_single: bool = False
    ) -> None:
        self._client, self._look_at_workers, self.is_single = client, look, is_single
        self._settings = GdalSettings.of_caller()
        self._topic = f"agriseg-{uuid.uuid4()}"
        self._told: queue.SimpleQueue[Advance | tuple[int, Future[Any]]] = queue.SimpleQueue()
        self._futures: dict[int, Future[Any]] = {}
        self._models: dict[str, Future[PackedModel]] = {}
        self._workers, self._threads = 1, 1
        self._count()
        client.subscribe_topic(self._topic, self._hear)

    @property
    def workers(self) -> int:
        # Asking takes a round trip: too long to do it for each task.
        if time.monotonic() - self._counted > _COUNT_S:
            self._count()
        return self._workers

    @property
    def threads(self) -> int:
        return self._threads

    def _count(self) -> None:
        self._counted = time.monotonic()
        with contextlib.suppress(Exception):  # the scheduler may be gone, of which `next` tells
            if found := _workers_of(self._client):
                self._workers = len(found)
                self._threads = max(sum(one["nthreads"] for one in found) // len(found), 1)

    @property
    def dashboard(self) -> str | None:
        """Where to look on, if the scheduler can show it."""
        if find_spec("bokeh") is None:
            return None
        return str(self._client.dashboard_link)

    def submit(self, task: int, work: Callable[..., Any], *args: Any) -> None:
        extra = {} if work is finish_scene else {"report": _Report(self._topic, task)}
        key = f"{work.__name__}-{self._topic[-12:]}-{task}"
        try:
            light = [self._light(one) if isinstance(one, PackedModel) else one for one in args]
            future = self._client.submit(
                within, self._settings, work, *light, **extra, pure=False, key=key
            )
        except (OSError, RuntimeError) as error:  # of a client that has lost its scheduler
            raise self._gone() from error
        self._futures[task] = future
        future.add_done_callback(lambda future: self._told.put((task, future)))

    def _light(self, model: PackedModel) -> PackedModel | Future[PackedModel]:
        """What stands for a model in a task: workers hand each other one that is large.

        It is the result of a task, for such are made anew where the worker dies that has it.
        """
        if len(model) < _LIGHT:
            return model
        if model.digest not in self._models:
            key = f"model-{model.digest}"
            sent = self._client.submit(_itself, model, pure=False, key=key)
            # Of scenes with a large model each, none is kept for those that are over.
            self._models = dict([*self._models.items(), (model.digest, sent)][-_MODELS:])
        return self._models[model.digest]

    def next(self) -> Done | Advance:
        while True:
            try:
                told = self._told.get(timeout=_LOOK_S)
            except queue.Empty:
                self._look()
                continue
            if isinstance(told, Advance):
                return told
            task, future = told
            self._futures.pop(task, None)
            return self._done(task, future)

    def close(self) -> None:
        """Have nobody work on what is left."""
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._futures.values()), asynchronous=False)
        self._futures.clear()
        self._models.clear()

    def _hear(self, event: tuple[float, tuple[int, int, float]]) -> None:
        self._told.put(Advance(*event[1]))

    def _look(self) -> None:
        if self._client.status not in ("running", "connecting"):
            raise self._gone()
        self._look_at_workers()

    def _gone(self) -> WorkerError:
        return WorkerError(
            "the scheduler is gone; rows that were finished are kept: start it again, and the same "
            "command goes on from here"
        )

    def _done(self, task: int, future: Future[Any]) -> Done:
        from distributed import KilledWorker

        if future.status in ("cancelled", "lost"):
            raise self._gone()
        if future.status == "finished":
            # Fetching takes as long as a task that does nothing, so it is done only for a value.
            return Done(task, None if future.type is type(None) else future.result())
        error = future.exception()  # type: ignore[no-untyped-call]
        if isinstance(error, KilledWorker):
            error = WorkerError(
                "the workers that had it died one after the other, perhaps for want of memory; use "
                "fewer workers, a smaller --chip or --threads, and start the same command again"
            )
        assert isinstance(error, Exception)
        return Done(task, error=error)


def _itself(model: PackedModel) -> PackedModel:
    return model


def _workers_of(client: Client) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


class _Report:
    """Tells the client from a worker how many pixels a task has finished."""

    def __init__(self, topic: str, task: int) -> None:
        self._topic, self._task = topic, task

    def __call__(self, pixels: int, seconds: float) -> None:
        from distributed import get_worker

        with contextlib.suppress(ValueError):  # not in a worker
            get_worker().log_event(self._topic, (self._task, pixels, seconds))


@contextlib.contextmanager
def connected(address: str) -> Iterator[DaskPool]:
    """The workers of a scheduler that runs somewhere.

    Args:
        address: Such as `tcp://10.0.0.5:8786`, or a scheduler file.

    Raises:
        WorkerError: It cannot be reached, or no worker comes.
    """
    from distributed import Client

    file = address if Path(address).is_file() else None
    try:
        client = Client(  # type: ignore[no-untyped-call]
            None if file else address, scheduler_file=file, timeout=_ANSWER_S
        )
    except (OSError, ValueError, ImportError) as error:
        raise WorkerError(
            f"no scheduler answers at {address} ({said_by(error)}); start one with dask scheduler, "
            "and give the address that it prints"
        ) from error
    with client, _pool(client, 1) as pool:
        yield pool


@contextlib.contextmanager
def local_workers(count: int, *, memory: int | None = None) -> Iterator[DaskPool]:
    """Worker processes on this machine, and a scheduler in this one.

    They are commands of their own, which import nothing of the script that calls this.

    Args:
        count: How many.
        memory: Bytes that each may take; by default its share of what there is.

    Raises:
        WorkerError: They do not start.
    """
    import dask
    from distributed import Client, LocalCluster

    each = memory or memory_bytes() // count
    with (
        tempfile.TemporaryDirectory(prefix="agriseg-workers-") as folder,
        dask.config.set({_PROFILE: False}),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=0, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1",
            silence_logs="ERROR",
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
        _started(cluster.scheduler_address, count, each, Path(folder)) as workers,
        _pool(client, count, workers) as pool,
    ):  # fmt: skip
        yield pool


@contextlib.contextmanager
def _pool(client: Client, least: int, mine: _Workers | None = None) -> Iterator[DaskPool]:
    """The pool of a client, once it has workers."""
    until = time.monotonic() + _START_S
    while len(_workers_of(client)) < least:
        if mine is not None:
            mine.look_at_start()
        if time.monotonic() > until:
            raise WorkerError(
                f"no worker came within {_START_S:.0f} s; start some with dask worker and the "
                "scheduler's address"
            )
        time.sleep(0.1)
    pool = DaskPool(client) if mine is None else DaskPool(client, mine.look, is_single=least == 1)
    try:
        yield pool
    finally:
        pool.close()


class _Workers:
    """Worker processes of this machine, and the folder with what each of them said."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], environment: dict[str, str]) -> None:
        """Start one more."""
        with self._log(len(self.processes)).open("wb") as log:
            # A group of its own: Ctrl-C is for this process, which then ends them in order.
            self.processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                    start_new_session=True,
                )
            )  # fmt: skip

    def look_at_start(self) -> None:
        """Raise where one of them ended."""
        for number, worker in enumerate(self.processes):
            if worker.poll() is not None:
                raise WorkerError(
                    f"a worker ended as it started ({self._last_word(number)}); use fewer "
                    "--workers, or none"
                )

    def look(self) -> None:
        """Raise where all of them ended: the others do the work of those that did."""
        if all(worker.poll() is not None for worker in self.processes):
            raise WorkerError(
                f"all workers ended ({self._last_word(0)}); rows that were finished are kept: the "
                "same command goes on from here"
            )

    def _last_word(self, number: int) -> str:
        said = self._log(number).read_text(errors="replace")
        last = [line for line in said.splitlines() if line.strip()][-1:]
        return said_by(*last or ["without a word"])

    def _log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"


@contextlib.contextmanager
def _started(address: str, count: int, memory: int, folder: Path) -> Iterator[_Workers]:
    """Worker processes of a scheduler in this process."""
    threads = str(threads_each(count))
    environment = {
        **_KEPT,
        **os.environ,
        **dict.fromkeys(_THREADS, threads),
        **{
            f"DASK_{key.replace('.', '__').replace('-', '_').upper()}": str(value)
            for key, value in _WORKER.items()
        },
    }
    command = [
        sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", threads,
        "--memory-limit", str(memory), "--nanny", "--death-timeout", "60", "--no-dashboard",
        "--local-directory", str(folder),
    ]  # fmt: skip
    workers = _Workers(folder)
    try:
        for _ in range(count):
            workers.start(command, environment)
        yield workers
    finally:
        _stop(workers.processes)


def _stop(workers: list[subprocess.Popen[bytes]]) -> None:
    """End worker processes, and what they started."""
    import psutil

    family: list[psutil.Process] = []
    for worker in workers:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(worker.pid)
            family += [process, *process.children(recursive=True)]
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(family, timeout=_STOP_S)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    for worker in workers:
        worker.wait()
