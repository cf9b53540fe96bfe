"""The plan of a run: the chip grid, and the swaths of chip rows that workers stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from agriseg.tiling.grid import ChipGrid

__all__ = ["Plan", "Swath"]


@dataclass(frozen=True, slots=True, order=True)
class Swath:
    """A run of chip rows, `first` to `last` inclusive, that one worker streams from the top."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise ValueError(f"a swath from chip row {self.first} to {self.last} is empty")

    @property
    def rows(self) -> range:
        return range(self.first, self.last + 1)

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Plan:
    """A chip grid cut into swaths that cover every chip row once, from top to bottom."""

    grid: ChipGrid
    swaths: tuple[Swath, ...]

    def __post_init__(self) -> None:
        expected = 0
        for swath in self.swaths:
            if swath.first != expected:
                raise ValueError(f"swath {swath} does not begin at chip row {expected}")
            expected = swath.last + 1
        if expected != self.grid.rows:
            raise ValueError(f"the swaths end at chip row {expected} of {self.grid.rows}")

    @classmethod
    def even(cls, grid: ChipGrid, swaths: int = 1) -> Plan:
        """Cut the grid into `swaths` runs of chip rows of nearly the same length."""
        count = min(max(swaths, 1), grid.rows)
        edges = [grid.rows * k // count for k in range(count + 1)]
        return cls(grid, tuple(Swath(a, b - 1) for a, b in pairwise(edges)))

    @classmethod
    def guided(cls, grid: ChipGrid, workers: int) -> Plan:
        """Cut the grid for workers that take one swath after the other: long ones first.

        Each is a share of what remains (Polychronopoulos and Kuck 1987, Guided self-scheduling,
        IEEE Trans. Comput. C-36), so there are few seams, and nobody waits long at the end.
        """
        swaths, first = [], 0
        while first < grid.rows:
            many = -(-(grid.rows - first) // (2 * max(workers, 1)))
            swaths.append(Swath(first, first + many - 1))
            first += many
        return cls(grid, tuple(swaths))

    def __iter__(self) -> Iterator[Swath]:
        return iter(self.swaths)
