"""Worker processes on this machine, for work that holds the interpreter.

Not `concurrent.futures.ProcessPoolExecutor`: its workers send results down one pipe, and one that
is killed in the middle of a large result leaves the others, and the program, waiting for ever.
Here each worker has a pipe of its own, whose end says that it is gone.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import ModuleType
from typing import Any, Final, TypeVar

from agriseg.errors import AgrisegError
from agriseg.machine import keep_memory
from agriseg.threads import in_order

__all__ = ["in_processes"]

# A fork would copy locks that threads of GDAL, torch or OpenMP hold at that moment.
_SPAWN: Final = multiprocessing.get_context("spawn")
_STARTING: Final = threading.Lock()
# Seconds in which a worker that is told to stop can clear up.
_PATIENCE_S: Final = 10.0
_FEWER: Final = "use fewer workers (--workers), or close other programs"

_A = TypeVar("_A")
_B = TypeVar("_B")


def in_processes(
    work: Callable[[_A], _B], items: Iterable[_A], workers: int, ahead: int = 1
) -> Generator[tuple[_A, _B], None, None]:
    """As `threads.in_threads`, with the work done in processes of its own.

    They begin with nothing but `work`, which is sent to each of them once: what it imports is all
    that they load. The script that calls this is not run again in them, so it needs no
    `if __name__ == "__main__"`. They print nothing; their warnings are given here.

    Args:
        work: What is done to each; a function of a module, or a `partial` of one.
        items: What it is done to.
        workers: Processes.
        ahead: How many more results can wait while one is used.

    Raises:
        AgrisegError: A worker cannot be started, or has died.
    """
    team = _Team(work, workers)
    yield from in_order(team, team.do, items, workers, ahead)


class _Team(ThreadPoolExecutor):
    """Threads that wait for a worker process each."""

    def __init__(self, work: Callable[[Any], Any], workers: int) -> None:
        super().__init__(workers, thread_name_prefix="agriseg-worker")
        self._members: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        packed = _packed(work)
        try:
            for _ in range(workers):
                self._members.append(_Worker(packed))
                self._idle.put(self._members[-1])
        except BaseException:
            self.shutdown()
            raise

    def do(self, item: Any) -> Any:
        """The work, done to `item` by the next worker that is free."""
        worker = self._idle.get()
        try:
            return worker.do(item)
        finally:
            self._idle.put(worker)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all workers; what one of them is still doing is of no use to anybody."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        for worker in self._members:
            worker.stop()
        for worker in self._members:
            worker.join()
        super().shutdown(wait=wait)


class _Worker:
    """A process that does `work` to what it is sent, and sends back what comes of it."""

    def __init__(self, work: bytes) -> None:
        if multiprocessing.current_process().daemon:
            raise AgrisegError(
                "this process is itself somebody's worker, and can have none; use 1 worker"
            )
        self._pipe, there = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(there,), name="agriseg", daemon=True)
        try:
            with _STARTING, _without_script(), _deaf_to_interrupts():
                self._process.start()
            self._pipe.send_bytes(work)
        except OSError as error:
            raise AgrisegError(
                f"a worker process cannot be started: {error.strerror}; use fewer workers"
            ) from error
        finally:
            # The only one that is left is the worker's: when it dies, reading ends.
            there.close()

    def do(self, item: Any) -> Any:
        try:
            self._pipe.send_bytes(_packed(item))
            result, fault, heard = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            raise AgrisegError(self._obituary()) from error
        for warning in heard:
            warnings.warn_explicit(*warning)
        if isinstance(fault, MemoryError):
            raise AgrisegError(f"a worker process had too little memory; {_FEWER}") from fault
        if fault is not None:
            raise fault
        return result

    def _obituary(self) -> str:
        self._process.join(_PATIENCE_S)
        code = self._process.exitcode
        how = f"code {code}"
        if code is not None and code < 0:
            how = signal.Signals(-code).name
        return f"a worker process died ({how}): memory was probably short; {_FEWER}"

    def stop(self) -> None:
        """Tell it to end, if it has not."""
        if self._process.pid is not None:
            self._process.terminate()

    def join(self) -> None:
        """Wait until it has ended, which is not for ever."""
        if self._process.pid is None:
            return
        self._process.join(_PATIENCE_S)
        self._process.kill()
        self._process.join()


def _packed(thing: object) -> bytes:
    return pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Have a process started without the script of this one.

    `multiprocessing` would run it again in every worker, for functions that may be in it: ours are
    in modules. A script on standard input, as from a shell, cannot even be found again.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = _NoScript(main)
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _NoScript(ModuleType):
    """The main module, as far as other threads see it; `multiprocessing` finds no file of it."""

    def __init__(self, main: ModuleType) -> None:
        super().__init__("__main__")
        self.__file__ = None
        self._main = main

    def __getattr__(self, name: str) -> Any:
        return getattr(self._main, name)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Have a process started that Ctrl-C does not reach: its parent ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# In the worker ---------------------------------------------------------------------------------


def _serve(pipe: Connection) -> None:
    """Do the work that comes first to all that comes after it."""
    # Where signals are not inherited.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An exit like any other: folders of half a scene are taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.disable()
    keep_memory()
    # The other end is gone: nobody waits for what is not done.
    with contextlib.suppress(EOFError, OSError):
        work = pickle.loads(pipe.recv_bytes())
        while True:
            pipe.send_bytes(_answer(work, pickle.loads(pipe.recv_bytes())))


def _answer(work: Callable[[Any], Any], item: Any) -> bytes:
    """What comes of it: the result, or the fault, and the warnings on the way; pickled."""
    heard: list[tuple[Any, ...]] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            result = work(item)
        heard = [(w.message, w.category, w.filename, w.lineno) for w in caught]
        return _packed((result, None, heard))
    except Exception as error:
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        try:
            answer = _packed((None, error, heard))
            pickle.loads(answer)
        except Exception:
            # Some libraries' errors cannot be made again from what they were made of.
            known = RuntimeError("".join(traceback.format_exception(error)))
            return _packed((None, known, heard))
        return answer
