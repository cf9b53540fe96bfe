"""On how many threads torch computes, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["torch_threads"]


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Compute on so many of torch's threads, and give the number back; None: as it is set.

    The number is the calling thread's own, so each call that goes on beside others has its one. But
    torch also keeps it for threads that use it for the first time meanwhile.
    """
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
