"""Batches ahead of the network: read in the background, in order, and never many."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import islice

from torch import Tensor

from agriseg.threads import in_threads

__all__ = ["Batches"]

Batch = dict[str, Tensor]


class Batches:
    """Batches of steps, for a loop that ends an epoch wherever a validation is due.

    Args:
        load: Reads the batch of a step; called in threads.
        first: The first step.
        steps: How many there are in all.
        every: Steps between validations.
        threads: That read.
    """

    def __init__(
        self, load: Callable[[int], Batch], first: int, steps: int, every: int, threads: int
    ) -> None:
        self._next, self._steps, self._every = first, steps, every
        # One for all epochs: reading goes on while a validation runs.
        self._ahead: Generator[tuple[int, Batch], None, None] = in_threads(
            load, range(first, steps), threads, name="chips"
        )

    def __iter__(self) -> Iterator[Batch]:
        """Those up to the next validation."""
        due = min((self._next // self._every + 1) * self._every, self._steps)
        for step, batch in islice(self._ahead, due - self._next):
            self._next = step + 1
            yield batch

    def close(self) -> None:
        """Stop reading."""
        self._ahead.close()
