"""Work beside the prediction, in threads of its own and never far behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["Background"]


class Background:
    """Does what is submitted in the background; a failure surfaces at a later call, or at the end.

    Args:
        name: Of the threads.
        threads: How many; one keeps the order; with 0 `submit` does the work itself.
        behind: How many pieces of work may wait before `submit` does.
    """

    def __init__(self, name: str, threads: int = 1, behind: int = 2) -> None:
        self._pool = (
            ThreadPoolExecutor(threads, thread_name_prefix=f"agriseg-{name}") if threads else None
        )
        self._behind = behind
        self._pending: list[Future[None]] = []

    def __enter__(self) -> Background:
        return self

    def submit(self, work: Callable[..., None], *args: Any) -> None:
        if self._pool is None:
            work(*args)
            return
        while len(self._pending) >= self._behind:
            self._pending.pop(0).result()
        self._pending.append(self._pool.submit(work, *args))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            while self._pending and error is None:
                self._pending.pop(0).result()
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True)
