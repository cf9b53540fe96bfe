"""What every kind of simulated scene has to offer, so that one verb draws them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["CACHE_BYTES", "Cost", "Drawing", "Found", "Work"]

CACHE_BYTES = 256 << 20
"""Of GDAL; its own choice is a twentieth of the machine's memory."""


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


@dataclass(frozen=True)
class Work:
    """How to draw, and whom to tell.

    Args:
        threads: That draw at a time.
        block: Side of the blocks that one thread draws, pixels.
        advance: Is told of every block that is done, in pixels.
        assembling: Is told when all are drawn.
    """

    threads: int
    block: int
    advance: Callable[[int], None]
    assembling: Callable[[], None]


class Drawing(Protocol):
    """A kind of scene."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The files that it leaves, in the order in which they come to their names.

        The first is the image that `simulate` opens.
        """

    def cost(self, recipe: Any, threads: int) -> Cost:
        """What a scene of this recipe is likely to take; refuses a recipe that shows nothing."""

    def write(self, recipe: Any, nest: Path, work: Work) -> Found:
        """Write all of `outputs` into the folder `nest`; the files depend on the recipe alone."""
