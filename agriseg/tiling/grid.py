"""The chip grid: which windows of a raster the network sees. Pure integer geometry.

Chip (row, col) starts at (row * step, col * step) with step = size - overlap, and is clipped to the
raster. The overlap is at most half a chip, so no pixel lies in more than two chips of a row, nor in
more than two rows. Clipping the chips at the right and bottom edge instead of padding them to full
size costs 13 % instead of 27 % more pixels at 8192 / 1024 / 64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agriseg.errors import OptionError
from agriseg.geobox import Window

__all__ = ["Chip", "ChipGrid"]


@dataclass(frozen=True, slots=True)
class Chip:
    """One model input: its place in the grid, and its pixels."""

    row: int
    col: int
    window: Window


@dataclass(frozen=True)
class ChipGrid:
    """The chips that cover a raster of `height` x `width` pixels.

    Args:
        height: Rows of the raster.
        width: Columns of the raster.
        size: Side of a chip in pixels.
        overlap: Pixels that neighbouring chips share; at most half of `size`.
    """

    height: int
    width: int
    size: int
    overlap: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a raster of {self.width} x {self.height} pixels is empty")
        if self.size < 1:
            raise OptionError(f"chip size {self.size}: at least 1 pixel is needed")
        if not 0 <= self.overlap <= self.size // 2:
            raise OptionError(
                f"overlap {self.overlap} with chips of {self.size} pixels: between 0 and half a "
                f"chip ({self.size // 2}) is possible"
            )

    @property
    def step(self) -> int:
        return self.size - self.overlap

    @property
    def rows(self) -> int:
        """Number of chip rows."""
        return _count(self.height, self.step, self.overlap)

    @property
    def cols(self) -> int:
        """Number of chips in a row."""
        return _count(self.width, self.step, self.overlap)

    def __len__(self) -> int:
        return self.rows * self.cols

    def chip(self, row: int, col: int) -> Chip:
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise IndexError(f"chip ({row}, {col}) of a grid of {self.rows} x {self.cols}")
        top, left = row * self.step, col * self.step
        width, height = min(self.size, self.width - left), min(self.size, self.height - top)
        return Chip(row, col, Window(left, top, width, height))

    def chips(self, row: int) -> Iterator[Chip]:
        """The chips of one row, from left to right."""
        return (self.chip(row, col) for col in range(self.cols))

    def row_window(self, row: int) -> Window:
        """The full-width window that the chips of `row` cover."""
        first = self.chip(row, 0).window
        return Window(0, first.row_off, self.width, first.height)

    def seam_above(self, row: int) -> Window | None:
        """The rows of pixels that chip row `row` shares with the row above it."""
        if row == 0 or self.overlap == 0:
            return None
        return Window(0, row * self.step, self.width, self.overlap)

    def finished_by(self, row: int) -> Window:
        """The rows of pixels that are complete once chip row `row`, and all above it, are in."""
        top = row * self.step
        end = self.height if row == self.rows - 1 else (row + 1) * self.step
        return Window(0, top, self.width, end - top)

    def body(self, row: int) -> Window | None:
        """`finished_by(row)` without the rows shared with the row above; None where that is all."""
        whole = self.finished_by(row)
        shared = self.overlap if row > 0 else 0
        if whole.height == shared:
            return None
        return Window(0, whole.row_off + shared, self.width, whole.height - shared)

    @property
    def predicted_pixels(self) -> int:
        """Pixels that go through the network, overlaps counted as often as they are seen."""
        across = sum(self.chip(0, col).window.width for col in range(self.cols))
        down = sum(self.chip(row, 0).window.height for row in range(self.rows))
        return across * down


def _count(length: int, step: int, overlap: int) -> int:
    # The last chip begins where more than the overlap is left, so it always adds pixels of its own.
    return max(-(-(length - overlap) // step), 1)
