"""Streaming merge: probabilities of overlapping chips in, finished rows of the map out.

Where two chips share pixels their probabilities are cross-faded with a raised cosine that is
strictly positive, symmetric about the middle of the overlap (half-pixel centred), and whose two
halves add up to one; elsewhere, and along the raster's own edges, the weight is one. So no sum of
weights needs to be kept, and nothing tapers at the edge of the raster.

The merge streams both ways. Along a chip row only the right edge of the last chip is kept (chip
height x overlap); everything left of it is final across the row, and is cross-faded with the row
above at once. What waits from one chip row to the next is a strip of overlap x width x classes in
float32, plus two bytes for each pixel of the row. A whole chip row of probabilities, which would
cost (chip size / overlap) times more, never exists.

The order of the arithmetic is fixed, first across, then down, always two terms in a sum: the result
does not depend on which of two swaths came first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.legend import NODATA
from agriseg.tiling.grid import Chip, ChipGrid

__all__ = [
    "CONFIDENCE_STEPS",
    "Accumulator",
    "FinishedRows",
    "NumpyAccumulator",
    "SeamStrip",
    "cross_fade",
    "decide",
    "join_seam",
    "to_steps",
]

CONFIDENCE_STEPS = 200
"""A confidence or probability p is stored as round(p * 200); the GeoTIFF's scale is 1 / 200."""

SeamStrip = NDArray[np.float32]
"""(classes, overlap, width): weighted probabilities of one chip row where it meets the next."""


@dataclass(frozen=True)
class FinishedRows:
    """Rows of the map that no further chip changes, as bytes on the host.

    Args:
        window: Their place in the raster, over its whole width.
        planes: (2 or 2 + classes, height, width) uint8: class values, confidence in steps of 1 /
            `CONFIDENCE_STEPS` and, where asked for, the probability of each class in the same.

    Pixels under chips that were skipped hold `NODATA`.
    """

    window: Window
    planes: NDArray[np.uint8]

    @property
    def classes(self) -> NDArray[np.uint8]:
        """(height, width) class values."""
        values: NDArray[np.uint8] = self.planes[0]
        return values

    @property
    def confidence(self) -> NDArray[np.uint8]:
        """(height, width) in steps of 1 / `CONFIDENCE_STEPS`."""
        steps: NDArray[np.uint8] = self.planes[1]
        return steps

    @property
    def probabilities(self) -> NDArray[np.uint8] | None:
        """(classes, height, width) in the same steps; None where they were not asked for."""
        return self.planes[2:] if len(self.planes) > 2 else None

    def blank(self, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Put `NODATA` where (height, width) `valid` is not, in place; the planes are given back.

        Over a wide raster a copy would be the largest thing of a run in memory.
        """
        if not valid.all():
            np.copyto(self.planes, np.uint8(NODATA), where=~valid)
        return self.planes


class Accumulator(Protocol):
    """Merges chips of one swath, chip row by chip row, each from left to right.

    For each chip row: `start_row`, then `add` for each chip that was predicted, then `pop_rows`.
    """

    def start_row(self, row: int, above: SeamStrip | None = None) -> None:
        """Begin chip row `row`.

        Args:
            row: Chip row.
            above: The strip that the row above left, where it was merged elsewhere. Unneeded when
                this accumulator has just merged that row.
        """

    def add(self, probabilities: Any, chip: Chip) -> None:
        """Take the probabilities (classes, height, width) of one chip; the array is overwritten."""

    def pop_rows(self) -> FinishedRows | None:
        """End the chip row.

        Returns:
            All rows that are final now, or None where there is none. Where the strip of the row
            above was not there, the shared rows are missing: they are in `upper_strip`.

        Raises:
            FloatingPointError: A probability was NaN or infinite.
        """

    def upper_strip(self) -> SeamStrip | None:
        """This row's share of the rows above `pop_rows`, where the row above was missing."""

    def lower_strip(self) -> SeamStrip | None:
        """This row's share of the rows that it has in common with the next; None at the bottom."""


def cross_fade(overlap: int) -> NDArray[np.float32]:
    """Weights of the later chip over the overlap; reversed, those of the earlier one.

    sin^2 at half-pixel centres: strictly between 0 and 1, and w + w[::-1] = 1 to rounding.
    """
    angle = (np.arange(overlap) + 0.5) / max(overlap, 1) * (np.pi / 2)
    return (np.sin(angle) ** 2).astype(np.float32)


def decide(
    probabilities: NDArray[np.float32], together: Sequence[int] = ()
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Class and confidence bytes, both (height, width), from (classes, height, width).

    The first of equally likely classes wins. The confidence is the probability of the class.

    Args:
        probabilities: Of each class.
        together: Classes that are decided as one first: a pixel is the likeliest of them where the
            sum of their probabilities is above that of each other class.
    """
    if not together:
        return probabilities.argmax(axis=0).astype(np.uint8), to_steps(probabilities.max(axis=0))
    members = np.asarray(together)
    others = np.setdiff1d(np.arange(len(probabilities)), members)
    one, other = probabilities[members], probabilities[others]
    wins = _sum(list(one)) > other.max(axis=0)
    classes = np.where(wins, members[one.argmax(axis=0)], others[other.argmax(axis=0)])
    most = np.where(wins, one.max(axis=0), other.max(axis=0))
    return classes.astype(np.uint8), to_steps(most)


def _sum(planes: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One after the other, so that every device comes to the same bits."""
    total = planes[0]
    for plane in planes[1:]:
        total = total + plane
    return total


def to_steps(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities as bytes, 0..200; halves go to the even neighbour."""
    scaled = np.rint(probabilities * np.float32(CONFIDENCE_STEPS))
    steps: NDArray[np.uint8] = scaled.clip(0, CONFIDENCE_STEPS).astype(np.uint8)
    return steps


def was_predicted(strip: Any) -> Any:
    """(overlap, width) True where the chip row of a strip was predicted, not skipped.

    Works on whatever device the strip is.

    Weights and the sum of probabilities are positive, so only what was skipped is 0 in all classes.
    Such pixels have no full weight: they are nodata on both sides of a cut, and within a swath.
    """
    return (strip != 0).any(0)


def join_seam(
    upper: SeamStrip,
    lower: SeamStrip,
    window: Window,
    *,
    probabilities: bool,
    together: Sequence[int] = (),
) -> FinishedRows:
    """Finish the rows that two separately merged chip rows share.

    Args:
        upper: `upper_strip` of the chip row below the cut.
        lower: `lower_strip` of the chip row above the cut.
        window: The shared rows, `ChipGrid.seam_above` of the chip row below.
        probabilities: Also give the probability of each class.
        together: See `decide`.

    Raises:
        FloatingPointError: A probability is NaN or infinite.
    """
    blended = upper + lower
    if not np.isfinite(blended.sum()):
        raise FloatingPointError("probabilities are not finite")
    planes = np.stack(decide(blended, together))
    if probabilities:
        planes = np.concatenate([planes, to_steps(blended)])
    planes[:, ~(was_predicted(upper) & was_predicted(lower))] = NODATA
    return FinishedRows(window, planes)


class NumpyAccumulator:
    """The reference implementation of `Accumulator`, in numpy.

    Subclasses put the same arithmetic on a device by replacing the methods at the end.

    Args:
        grid: The chip grid of the raster.
        classes: Number of classes.
        probabilities: Also keep the probability of each class.
        together: See `decide`.
    """

    def __init__(
        self,
        grid: ChipGrid,
        classes: int,
        *,
        probabilities: bool = False,
        together: Sequence[int] = (),
    ) -> None:
        self._grid = grid
        self._classes = classes
        self._together = tuple(together)
        self._keep = probabilities
        fade = cross_fade(grid.overlap)
        self._later = self._array(fade)
        self._earlier = self._array(fade[::-1].copy())
        self._row = -1
        self._open = False
        self._above: Any = None
        self._upper: Any = None
        self._lower: Any = None
        self._right: tuple[int, Any] | None = None
        self._planes: Any = None
        self._finite: Any = True

    def start_row(self, row: int, above: SeamStrip | None = None) -> None:
        grid = self._grid
        if self._open:
            raise RuntimeError(f"chip row {self._row} is still open")
        carried = self._lower if row == self._row + 1 else None
        if above is not None:
            carried = self._array(above)
        has_above, has_below = row > 0 and grid.overlap > 0, row < grid.rows - 1
        strip = (self._classes, grid.overlap, grid.width)
        self._above = carried if has_above else None
        # A strip that nobody adds to stays zero: where a chip is skipped no pixel is valid.
        self._upper = self._zeros(strip) if has_above and carried is None else None
        self._lower = self._zeros(strip) if has_below and grid.overlap else None
        planes = 2 + (self._classes if self._keep else 0)
        height = grid.row_window(row).height
        self._planes = self._full_bytes((planes, height, grid.width))
        self._row, self._right, self._open = row, None, True

    def add(self, probabilities: Any, chip: Chip) -> None:
        if not self._open or chip.row != self._row:
            raise RuntimeError(f"chip {chip} does not belong to the open chip row {self._row}")
        o, window = self._grid.overlap, chip.window
        block, left, carried = probabilities, window.col_off, self._right
        self._right = None
        if o and chip.col < self._grid.cols - 1:
            self._right = chip.col, block[:, :, window.width - o :] * self._earlier
            block = block[:, :, : window.width - o]
        if o and chip.col > 0:
            if carried is not None and carried[0] == chip.col - 1:
                block[:, :, :o] *= self._later
                block[:, :, :o] += carried[1]
            else:
                # The chip before was skipped: no pixel that it shares with this one is valid.
                block, left = block[:, :, o:], left + o
        if block.shape[2]:
            self._merge_down(block, left)

    def _merge_down(self, block: Any, left: int) -> None:
        """Take a block that is final across the row; cross-fade its top and bottom."""
        o, height = self._grid.overlap, block.shape[1]
        cols = slice(left, left + block.shape[2])
        top, end = 0, height
        if self._upper is not None:
            self._upper[:, :, cols] = block[:, :o] * self._later[:, None]
            top = o
        elif self._above is not None:
            block[:, :o] *= self._later[:, None]
            block[:, :o] += self._above[:, :, cols]
        if self._lower is not None:
            end = height - o
            self._lower[:, :, cols] = block[:, end:] * self._earlier[:, None]
        if end > top:
            self._finish(block[:, top:end], self._planes[:, top:end, cols])
        if self._above is not None:
            absent = ~was_predicted(self._above[:, :, cols])
            self._blank(self._planes[:, :o, cols], absent)

    def pop_rows(self) -> FinishedRows | None:
        if not self._open:
            raise RuntimeError("no chip row is open")
        grid, row = self._grid, self._row
        window = grid.row_window(row)
        top = grid.overlap if self._upper is not None else 0
        end = window.height - (grid.overlap if row < grid.rows - 1 else 0)
        finished = self._planes[:, top:end]
        self._open, self._planes, self._above = False, None, None
        if end == top:  # overlaps of half a chip, and the row above merged elsewhere
            return None
        host = self._to_host(finished)
        if not bool(self._finite):
            raise FloatingPointError("probabilities are not finite")
        return FinishedRows(Window(0, window.row_off + top, grid.width, end - top), host)

    def upper_strip(self) -> SeamStrip | None:
        return None if self._upper is None else self._strip_to_host(self._upper)

    def lower_strip(self) -> SeamStrip | None:
        return None if self._lower is None else self._strip_to_host(self._lower)

    # What a device replaces ------------------------------------------------------------------

    def _array(self, values: NDArray[np.float32]) -> Any:
        return values

    def _zeros(self, shape: tuple[int, ...]) -> Any:
        return np.zeros(shape, np.float32)

    def _full_bytes(self, shape: tuple[int, ...]) -> Any:
        return np.full(shape, NODATA, np.uint8)

    def _finish(self, probabilities: Any, out: Any) -> None:
        """Write class, confidence and, where kept, probability bytes into `out` (planes, h, w).

        Clears `_finite` where a probability is NaN or infinite.
        """
        self._finite = self._finite and bool(np.isfinite(probabilities.sum()))
        if not self._finite:
            return
        out[0], out[1] = decide(probabilities, self._together)
        if self._keep:
            out[2:] = to_steps(probabilities)

    def _blank(self, planes: Any, absent: Any) -> None:
        """Put `NODATA` into `planes` (planes, h, w) where `absent` (h, w)."""
        planes[:, absent] = NODATA

    def _to_host(self, planes: Any) -> NDArray[np.uint8]:
        result: NDArray[np.uint8] = planes
        return result

    def _strip_to_host(self, strip: Any) -> SeamStrip:
        result: SeamStrip = strip
        return result
