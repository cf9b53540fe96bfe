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
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agriseg.errors import WorkerError, said_by
from agriseg.machine import memory_bytes
from agriseg.pipeline.many import Advance, Done
from agriseg.pipeline.tasks import predict_rows

if TYPE_CHECKING:
    from distributed import Future

Client = Any  # of distributed, which is typed in parts only

__all__ = ["DaskPool", "connected", "local_workers", "threads_each"]

_START_S = 120.0
_STOP_S = 10.0
# Between looks whether the scheduler is still there.
_LOOK_S = 1.0
# Between counts of the workers of a scheduler, of which some may come late.
_COUNT_S = 3.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Only what runs away is ended. Nothing is won by pausing or spilling: what a worker holds are
# pixels under way.
_MEMORY = {"TERMINATE": "0.95", "PAUSE": "False", "SPILL": "False", "TARGET": "False"}


def threads_each(workers: int) -> int:
    """Threads of each of so many workers on this machine."""
    return max((os.cpu_count() or 1) // max(workers, 1), 1)


class DaskPool:
    """Sends tasks to the workers of a scheduler.

    Args:
        client: Of Dask distributed.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._topic = f"agriseg-{uuid.uuid4()}"
        self._told: queue.SimpleQueue[tuple[int, Future[Any] | int]] = queue.SimpleQueue()
        self._futures: dict[int, Future[Any]] = {}
        self._workers, self._counted = max(_count(client), 1), time.monotonic()
        client.subscribe_topic(self._topic, self._hear)

    @property
    def workers(self) -> int:
        # Asking takes a round trip: too long to do it for each task.
        if time.monotonic() - self._counted > _COUNT_S:
            with contextlib.suppress(Exception):  # the scheduler may be gone, of which `next` tells
                self._workers = max(_count(self._client), 1)
            self._counted = time.monotonic()
        return self._workers

    @property
    def dashboard(self) -> str | None:
        """Where to look on, if the scheduler can show it."""
        if find_spec("bokeh") is None:
            return None
        return str(self._client.dashboard_link)

    def submit(self, task: int, work: Callable[..., Any], *args: Any) -> None:
        extra = {"report": _Report(self._topic, task)} if work is predict_rows else {}
        key = f"{work.__name__}-{self._topic[-12:]}-{task}"
        try:
            future = self._client.submit(work, *args, **extra, pure=False, key=key)
        except (OSError, RuntimeError) as error:  # of a client that has lost its scheduler
            raise self._gone() from error
        self._futures[task] = future
        future.add_done_callback(lambda future: self._told.put((task, future)))

    def next(self) -> Done | Advance:
        while True:
            try:
                task, told = self._told.get(timeout=_LOOK_S)
            except queue.Empty:
                self._look()
                continue
            if isinstance(told, int):
                return Advance(task, told)
            self._futures.pop(task, None)
            return self._done(task, told)

    def close(self) -> None:
        """Have nobody work on what is left."""
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._futures.values()), asynchronous=False)
        self._futures.clear()

    def _hear(self, event: tuple[float, tuple[int, int]]) -> None:
        self._told.put(event[1])

    def _look(self) -> None:
        if self._client.status in ("running", "connecting"):
            return
        raise self._gone()

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
            return Done(task, future.result())
        error = future.exception()  # type: ignore[no-untyped-call]
        if isinstance(error, KilledWorker):
            error = WorkerError(
                "the workers that had it died one after the other, perhaps for want of memory; use "
                "fewer workers, a smaller --chip or --threads, and start the same command again"
            )
        assert isinstance(error, Exception)
        return Done(task, error=error)


def _count(client: Client) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])


class _Report:
    """Tells the client from a worker how many pixels a task has finished."""

    def __init__(self, topic: str, task: int) -> None:
        self._topic, self._task = topic, task

    def __call__(self, pixels: int) -> None:
        from distributed import get_worker

        with contextlib.suppress(ValueError):  # not in a worker
            get_worker().log_event(self._topic, (self._task, pixels))


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
        client = Client(None if file else address, scheduler_file=file, timeout=30)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, ImportError) as error:
        raise WorkerError(
            f"no scheduler answers at {address} ({said_by(error)}); start one with dask scheduler, "
            "and give the address that it prints"
        ) from error
    with client, _pool(client, 1, lambda: None) as pool:
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
    from distributed import Client, LocalCluster

    each = memory or memory_bytes() // count
    with (
        tempfile.TemporaryDirectory(prefix="agriseg-workers-") as folder,
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=0, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1",
            silence_logs="ERROR",
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
        _started(cluster.scheduler_address, count, each, Path(folder)) as look,
        _pool(client, count, look) as pool,
    ):  # fmt: skip
        yield pool


@contextlib.contextmanager
def _pool(client: Client, least: int, look: Callable[[], None]) -> Iterator[DaskPool]:
    """The pool of a client, once it has workers."""
    until = time.monotonic() + _START_S
    while _count(client) < least:
        look()
        if time.monotonic() > until:
            raise WorkerError(
                f"no worker came within {_START_S:.0f} s; start some with dask worker and the "
                "scheduler's address"
            )
        time.sleep(0.1)
    pool = DaskPool(client)
    try:
        yield pool
    finally:
        pool.close()


@contextlib.contextmanager
def _started(
    address: str, count: int, memory: int, folder: Path
) -> Generator[Callable[[], None], None, None]:
    """Worker processes; what is given tells whether one of them ended."""
    threads = str(threads_each(count))
    environment = {
        **os.environ,
        **dict.fromkeys(_THREADS, threads),
        **{f"DASK_DISTRIBUTED__WORKER__MEMORY__{key}": value for key, value in _MEMORY.items()},
    }
    command = [
        sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1",
        "--memory-limit", str(memory), "--nanny", "--death-timeout", "60", "--no-dashboard",
        "--local-directory", str(folder),
    ]  # fmt: skip
    workers = []
    try:
        for number in range(count):
            with (folder / f"worker-{number}.log").open("wb") as log:
                # A group of its own: Ctrl-C is for this process, which then ends them in order.
                workers.append(
                    subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                        start_new_session=True,
                    )
                )  # fmt: skip

        def look() -> None:
            for number, worker in enumerate(workers):
                if worker.poll() is not None:
                    said = (folder / f"worker-{number}.log").read_text(errors="replace")
                    last = [line for line in said.splitlines() if line.strip()][-1:]
                    raise WorkerError(
                        f"a worker ended as it started ({said_by(*last or ['without a word'])}); "
                        "use fewer --workers, or none"
                    )

        yield look
    finally:
        _stop(workers)


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
