"""What every kind of simulated scene has to offer, so that one verb draws them all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import rasterio

from agriseg.geobox import Window
from agriseg.processes import in_processes
from agriseg.threads import cores, in_threads

__all__ = ["CACHE_BYTES", "Cost", "Drawing", "Found", "Work", "gdal_cache", "share_cache"]

_T = TypeVar("_T")

CACHE_BYTES = 256 << 20
"""Of GDAL; its own choice is a twentieth of the machine's memory."""
_cache_bytes = CACHE_BYTES

# A worker's interpreter and libraries, and the blocks of it that wait.
_WORKER_BYTES = 105e6
# What each further worker adds: this process puts together what they draw.
_SECOND_WORKER = 0.85
# Blocks for each worker that can wait while a whole strip is written.
_AHEAD = 4


def share_cache(processes: int) -> None:
    """Take the part of `CACHE_BYTES` that is left to one of so many processes."""
    global _cache_bytes
    _cache_bytes = CACHE_BYTES // processes


def gdal_cache() -> rasterio.Env:
    """GDAL's settings for a `with` block, in this thread."""
    return rasterio.Env(GDAL_CACHEMAX=_cache_bytes)


@dataclass(frozen=True)
class Cost:
    """What a scene is likely to take."""

    seconds: float
    disk_bytes: int
    memory_bytes: int


@dataclass(frozen=True)
class Found:
    """What is in a scene that was drawn.

    Args:
        pixels: Of each class, by name.
        counts: Of other things, by what one of them is called, as "plant".
    """

    pixels: Mapping[str, int]
    counts: Mapping[str, int]


def _ignore(*_: object) -> None: ...


@dataclass(frozen=True)
class Work:
    """How to draw, and whom to tell.

    Args:
        threads: Of this process that work at a time.
        workers: Processes that draw, a block each, while this one puts together; 1: its own
            threads draw.
        block: Side of the blocks that are drawn at a time, pixels.
        advance: Is told of every block that is done, in pixels.
        assembling: Is told when all are drawn.
    """

    threads: int = field(default_factory=cores)
    workers: int = 1
    block: int = 512
    advance: Callable[[int], None] = _ignore
    assembling: Callable[[], None] = _ignore

    @property
    def at_once(self) -> int:
        """Blocks that are drawn at a time."""
        return self.workers if self.workers > 1 else self.threads

    @property
    def workers_bytes(self) -> float:
        """Memory that the workers take besides their blocks."""
        return self.workers * _WORKER_BYTES if self.workers > 1 else 0.0

    def speed_up(self, blocks: int, second_thread: float) -> float:
        """How many times as fast as by one thread so many blocks are drawn.

        Args:
            blocks: Of the scene.
            second_thread: What each further thread adds, where numpy's threads wait for each other.
        """
        at_once = min(self.at_once, blocks)
        if self.workers > 1:
            return 1 + _SECOND_WORKER * (min(at_once, cores()) - 1)
        return 1 + second_thread * (at_once - 1)

    def each(
        self, draw: Callable[[Window], _T], windows: Iterable[Window]
    ) -> Generator[tuple[Window, _T], None, None]:
        """Windows with what was drawn of them, in their order.

        Args:
            draw: Draws one; a function of a module, or a `partial` of one.
            windows: What is to be drawn.
        """
        if self.workers > 1:
            return in_processes(draw, windows, self.workers, _AHEAD * self.workers)
        return in_threads(draw, windows, self.threads, "simulate")


class Drawing(Protocol):
    """A kind of scene."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The files that it leaves, in the order in which they come to their names.

        The first is the image that `simulate` opens.
        """

    def cost(self, recipe: Any, work: Work) -> Cost:
        """What a scene of this recipe is likely to take; refuses a recipe that shows nothing."""

    def write(self, recipe: Any, nest: Path, work: Work) -> Found:
        """Write all of `outputs` into the folder `nest`; the files depend on the recipe alone."""
