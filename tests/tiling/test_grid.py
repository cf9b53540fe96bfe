"""The chip grid against a grid laid out pixel by pixel."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.tiling import Chip, ChipGrid


@st.composite
def grids(draw: st.DrawFn) -> ChipGrid:
    size = draw(st.integers(1, 16))
    overlap = draw(st.integers(0, size // 2))
    step = size - overlap
    # The sizes at which a chip more or less is needed, and those smaller than a chip.
    around_step = st.builds(
        lambda k, off, extra: max(k * step + off + extra, 1),
        st.integers(0, 4),
        st.integers(-1, 1),
        st.sampled_from([0, overlap]),
    )
    lengths = st.one_of(st.just(1), st.integers(1, 50), around_step)
    return ChipGrid(draw(lengths), draw(lengths), size, overlap)


def starts(length: int, size: int, step: int) -> list[int]:
    """Where chips start along one side: go on until one reaches the end."""
    result = [0]
    while result[-1] + size < length:
        result.append(result[-1] + step)
    return result


@given(grids())
@example(ChipGrid(1, 1, 1, 0))
@example(ChipGrid(1, 50, 16, 8))
def test_chips_lie_where_they_should(grid: ChipGrid) -> None:
    tops = starts(grid.height, grid.size, grid.step)
    lefts = starts(grid.width, grid.size, grid.step)
    assert (grid.rows, grid.cols, len(grid)) == (len(tops), len(lefts), len(tops) * len(lefts))
    for row, top in enumerate(tops):
        chips = list(grid.chips(row))
        assert [(chip.row, chip.col) for chip in chips] == [(row, c) for c in range(len(lefts))]
        for chip, left in zip(chips, lefts, strict=True):
            width, height = min(grid.size, grid.width - left), min(grid.size, grid.height - top)
            assert chip.window == Window(left, top, width, height)


@given(grids())
def test_every_pixel_is_seen_by_at_most_two_chips_each_way(grid: ChipGrid) -> None:
    seen = np.zeros((grid.height, grid.width), int)
    for row in range(grid.rows):
        this_row = np.zeros_like(seen)
        for chip in grid.chips(row):
            assert chip.window.intersection(Window(0, 0, grid.width, grid.height)) == chip.window
            before = seen + this_row
            this_row[chip.window.slices] += 1
            # A chip that adds no pixel of its own is computed for nothing.
            assert (before[chip.window.slices] == 0).any()
        assert this_row.max() <= 2
        seen += this_row
    assert seen.min() >= 1
    assert seen.max() <= 4
    assert grid.predicted_pixels == seen.sum()


@given(grids())
def test_only_the_last_chips_are_clipped(grid: ChipGrid) -> None:
    for row in range(grid.rows):
        for chip in grid.chips(row):
            if chip.row < grid.rows - 1:
                assert chip.window.height == grid.size
            if chip.col < grid.cols - 1:
                assert chip.window.width == grid.size


@given(grids())
def test_row_windows_meet_in_the_seams(grid: ChipGrid) -> None:
    assert grid.seam_above(0) is None
    for row in range(grid.rows):
        window = grid.row_window(row)
        assert window.width == grid.width
        if row:
            assert grid.row_window(row - 1).intersection(window) == grid.seam_above(row)


@given(grids())
def test_finished_rows_tile_the_raster(grid: ChipGrid) -> None:
    next_row = 0
    for row in range(grid.rows):
        window = grid.finished_by(row)
        assert (window.col_off, window.width, window.row_off) == (0, grid.width, next_row)
        next_row = window.row_end
        if row < grid.rows - 1:  # the next chip row must not reach into it
            assert next_row == grid.row_window(row + 1).row_off
    assert next_row == grid.height


@pytest.mark.parametrize(("row", "col"), [(-1, 0), (0, -1), (2, 0), (0, 3)])
def test_there_is_no_chip_outside(row: int, col: int) -> None:
    with pytest.raises(IndexError, match="of a grid of 2 x 3"):
        ChipGrid(20, 30, 10, 0).chip(row, col)


@pytest.mark.parametrize(("size", "overlap"), [(10, 6), (10, -1), (1, 1), (7, 4)])
def test_overlap_is_at_most_half_a_chip(size: int, overlap: int) -> None:
    with pytest.raises(OptionError, match="between 0 and half a chip"):
        ChipGrid(100, 100, size, overlap)


def test_nonsense_is_refused() -> None:
    with pytest.raises(OptionError, match="chip size 0"):
        ChipGrid(10, 10, 0, 0)
    for height, width in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match="empty"):
            ChipGrid(height, width, 8, 2)


def test_clipping_costs_13_percent_where_padding_costs_27() -> None:
    """The figure that the module's text promises."""
    grid = ChipGrid(8192, 8192, 1024, 64)
    assert grid.predicted_pixels / 8192**2 == pytest.approx(1.13, abs=0.005)
    assert len(grid) * 1024**2 / 8192**2 == pytest.approx(1.27, abs=0.005)


def test_pickling() -> None:
    grid = ChipGrid(20, 30, 10, 2)
    assert pickle.loads(pickle.dumps(grid)) == grid
    assert pickle.loads(pickle.dumps(grid.chip(1, 2))) == Chip(1, 2, Window(16, 8, 10, 10))
