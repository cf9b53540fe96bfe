"""The seam score finds chips that show, and only those."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agriseg.tiling import ChipGrid, seam_score


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, (height, width), np.uint8)


@pytest.mark.parametrize("overlap", [0, 4, 16])
def test_noise_shows_no_chips(overlap: int) -> None:
    assert seam_score(noise(500, 420), ChipGrid(500, 420, 64, overlap)) == pytest.approx(
        1, abs=0.02
    )


@pytest.mark.parametrize("overlap", [0, 4])
@pytest.mark.parametrize("axis", [0, 1])
def test_chips_that_show(overlap: int, axis: int) -> None:
    grid = ChipGrid(256, 320, 64, overlap)
    classes = np.repeat(np.arange(320)[None] // 10 % 2, 256, 0).astype(np.uint8)
    classes = classes if axis else np.repeat(np.arange(256)[:, None] // 10 % 2, 320, 1)
    classes = classes.astype(np.uint8)
    plain = seam_score(classes, grid)
    for row in range(grid.rows):
        for chip in grid.chips(row):
            if (chip.row + chip.col) % 2:
                classes[chip.window.slices] += 2
    assert seam_score(classes, grid) > 1.5 * max(plain, 1)


def test_by_hand() -> None:
    classes = np.array([[0, 0, 1, 1, 1, 1]], np.uint8)
    # Chips of 3 without overlap: the pair over the border is (1, 1); one of 4 others changes.
    assert seam_score(classes, ChipGrid(1, 6, 3, 0)) == 0
    classes = np.array([[0, 0, 0, 1, 1, 0]], np.uint8)
    assert seam_score(classes, ChipGrid(1, 6, 3, 0)) == 4


def test_nothing_to_compare() -> None:
    assert math.isnan(seam_score(np.zeros((8, 8), np.uint8), ChipGrid(8, 8, 4, 0)))
    assert math.isnan(seam_score(noise(8, 8), ChipGrid(8, 8, 8, 0)))
    assert math.isnan(seam_score(np.full((8, 8), 255, np.uint8), ChipGrid(8, 8, 4, 0)))
    assert math.isnan(seam_score(np.zeros((1, 1), np.uint8), ChipGrid(1, 1, 4, 0)))
