"""Strips of equal height with a margin, from rows that come as the merge finishes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRIP_ROWS", "Planes", "Strip", "strips_of"]

STRIP_ROWS = 512

Planes = NDArray[np.uint8]


@dataclass(frozen=True)
class Strip:
    """Rows of a scene, with some above and below that belong to other strips.

    Args:
        row_off: The first row that is its own.
        rows: Which rows of `planes` are its own.
        planes: (planes, h, w).
    """

    row_off: int
    rows: slice
    planes: Planes

    @property
    def core(self) -> Planes:
        """Its own rows."""
        return self.planes[:, self.rows]


def strips_of(
    pieces: Iterable[Planes], height: int, halo: int, rows: int = STRIP_ROWS
) -> Iterator[Strip]:
    """Cut a raster that comes in pieces of any height into strips.

    Args:
        pieces: (planes, h, w) each, from top to bottom.
        height: Rows of the raster.
        halo: Rows above and below that a strip also holds, where there are any.
        rows: Rows of a strip; the last one may have fewer.
    """
    held: list[Planes] = []
    first, end, begun = 0, 0, 0
    for piece in pieces:
        held.append(piece)
        end += piece.shape[1]
        while begun < height and end >= min(begun + rows + halo, height):
            planes = held[0] if len(held) == 1 else np.concatenate(held, axis=1)
            stop = min(begun + rows, height)
            low, high = max(begun - halo, 0), min(stop + halo, height)
            yield Strip(
                begun, slice(begun - low, stop - low), planes[:, low - first : high - first]
            )
            begun = stop
            keep = max(begun - halo, 0)
            held, first = [planes[:, keep - first :]], keep
