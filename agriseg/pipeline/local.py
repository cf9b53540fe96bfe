"""Worker processes on this machine: commands of their own, and a scheduler in this process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from agriseg.errors import WorkerError, said_by
from agriseg.machine import memory_bytes
from agriseg.pipeline.cluster import DaskPool, pool_of

__all__ = ["cards_for", "local_workers", "threads_each"]

_STOP_S = 10.0
_CARDS = "CUDA_VISIBLE_DEVICES"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Dask has its workers give back each array to the system at once, and ask for the next: 10 % of the
# time of a U-Net on a CPU. So much the C library of Linux keeps by itself.
_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
# Nobody sees what Dask measures of itself, and it costs even while nothing is done. A profile
# takes 1 % of a core in each process. Fifty times a second each asks whether it is late, and twice
# what the machine is doing: two workers, which are five processes, take 6 % of a core for that.
_UNWATCHED = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
}
# Only what runs away is ended. Nothing is won by pausing or spilling: what a worker holds are
# pixels under way.
_WORKER = {
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    **_UNWATCHED,
}


def threads_each(workers: int) -> int:
    """Threads of each of so many workers on this machine."""
    return max((os.cpu_count() or 1) // max(workers, 1), 1)


def cards_for(device: str) -> tuple[str, ...]:
    """GPUs of this machine that workers may share out among them, by their names for CUDA.

    Args:
        device: As asked for: "auto" or "cuda"; one card of its own ("cuda:1") is not shared out.
    """
    if device not in ("auto", "cuda"):
        return ()
    said = os.environ.get(_CARDS)
    if said is not None:
        return tuple(card.strip() for card in said.split(",") if card.strip())
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))


@contextlib.contextmanager
def local_workers(
    count: int, *, memory: int | None = None, cards: Sequence[str] = ()
) -> Iterator[DaskPool]:
    """Worker processes on this machine, and a scheduler in this one.

    They are commands of their own, which import nothing of the script that calls this.

    Args:
        count: How many.
        memory: Bytes that each may take; by default its share of what there is.
        cards: GPUs, of which each worker sees one; where they are fewer than workers, in turn.

    Raises:
        WorkerError: They do not start.
    """
    import dask
    from distributed import Client, LocalCluster

    each = memory or memory_bytes() // count
    with (
        tempfile.TemporaryDirectory(prefix="agriseg-workers-") as folder,
        dask.config.set(_UNWATCHED),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=0, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1",
            silence_logs="ERROR",
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
        _started(cluster.scheduler_address, count, each, Path(folder), cards) as workers,
        pool_of(
            client, count, at_start=workers.look_at_start, later=workers.look, is_single=count == 1
        ) as pool,
    ):  # fmt: skip
        yield pool


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
def _started(
    address: str, count: int, memory: int, folder: Path, cards: Sequence[str]
) -> Iterator[_Workers]:
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
        for number in range(count):
            card = {_CARDS: cards[number % len(cards)]} if cards else {}
            workers.start(command, environment | card)
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
