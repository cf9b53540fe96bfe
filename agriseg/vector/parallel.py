"""Threads for work that numpy and GDAL do without holding the interpreter."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_threads"]

_MOST = 8

_A = TypeVar("_A")
_B = TypeVar("_B")


def in_threads(work: Callable[[_A], _B], items: Iterable[_A]) -> Iterator[_B]:
    """Results of `work` in the order of `items`; a few at a time are worked on, or wait."""
    threads = min(os.cpu_count() or 1, _MOST)
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
