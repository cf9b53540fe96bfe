"""Threads for work that numpy, GDAL and the engines do without holding the interpreter."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sized
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from typing import TypeVar

__all__ = ["cores", "in_order", "in_threads", "together"]

_MOST = 8

_A = TypeVar("_A")
_B = TypeVar("_B")


def cores(most: int = _MOST) -> int:
    """Cores of this machine, `most` at most, one at least."""
    return max(min(os.cpu_count() or 1, most), 1)


def in_threads(
    work: Callable[[_A], _B],
    items: Iterable[_A],
    threads: int | None = None,
    name: str = "work",
    ahead: int = 1,
) -> Generator[tuple[_A, _B], None, None]:
    """Results of `work`, each with what it was done to, in the order of `items`.

    A few at a time are worked on, or wait. A fault of `items` is raised in its place, after the
    results of those before it. What is known to be the only one is done in the calling thread.

    Args:
        work: What is done to each.
        items: What it is done to.
        threads: How many at a time; None: one a core, up to eight.
        name: Of the threads.
        ahead: How many more can be done, or wait, while a result is used.
    """
    if isinstance(items, Sized) and len(items) == 1:
        # GDAL and PROJ take ten milliseconds to begin in a new thread, longer than a small raster.
        for only in items:
            yield only, work(only)
        return
    threads = threads or cores()
    pool = ThreadPoolExecutor(threads, thread_name_prefix=f"agriseg-{name}")
    yield from in_order(pool, work, items, threads, ahead)


def in_order(
    pool: Executor,
    work: Callable[[_A], _B],
    items: Iterable[_A],
    at_once: int,
    ahead: int = 1,
) -> Generator[tuple[_A, _B], None, None]:
    """As `in_threads`, with a pool that is shut down at the end, however it comes.

    Args:
        pool: Does the work.
        work: What is done to each.
        items: What it is done to.
        at_once: How many the pool works on at a time.
        ahead: How many more can be done, or wait, while a result is used.
    """
    waiting: deque[tuple[_A, Future[_B]]] = deque()
    fault: Exception | None = None
    source = iter(items)
    try:
        while fault is None:
            try:
                item = next(source)
            except StopIteration:
                break
            except Exception as error:
                fault = error
                break
            waiting.append((item, pool.submit(work, item)))
            # More than are worked on: nobody waits while a result is used.
            if len(waiting) > at_once + ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
        if fault is not None:
            raise fault
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def together(tasks: Iterable[Callable[[], object]], threads: int, name: str = "work") -> None:
    """Run all of `tasks`, some at a time; after a fault none is begun, and it is raised.

    Args:
        tasks: What is to be done; the first are begun first.
        threads: How many at a time.
        name: Of the threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=f"agriseg-{name}")
    try:
        futures = [pool.submit(task) for task in tasks]
        wait(futures, return_when=FIRST_EXCEPTION)
        pool.shutdown(cancel_futures=True)
        for future in futures:
            if not future.cancelled():
                future.result()
    finally:
        pool.shutdown(cancel_futures=True)
