"""Threads for work that numpy and GDAL do without holding the interpreter."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["BYTES_PER_PIXEL", "in_threads", "threads_for"]

BYTES_PER_PIXEL = 25
"""What tracing takes of memory while it is at it."""

_MOST = 8
# Pixels that are traced at one time.
_PIXELS = 64 << 20

_A = TypeVar("_A")
_B = TypeVar("_B")


def threads_for(pixels: int, most: int = _MOST) -> int:
    """How many threads may trace so many pixels each."""
    return max(min(os.cpu_count() or 1, most, _MOST, _PIXELS // max(pixels, 1)), 1)


def in_threads(
    work: Callable[[_A], _B], items: Iterable[_A], threads: int | None = None
) -> Iterator[_B]:
    """Results of `work` in the order of `items`; a few at a time are worked on, or wait.

    Args:
        work: What is done to each.
        items: What it is done to.
        threads: How many at a time; None: one a core, up to eight.
    """
    threads = threads or threads_for(1)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_B]] = deque()
        try:
            for item in items:
                if len(waiting) > threads:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, item))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
