"""Pieces of the truth, followed from strip to strip, against the whole at once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.ndimage import label

from agriseg.evaluation.objects import ObjectTracker, size_bins
from tests.evaluation.material import blobs


def at_once(truth: np.ndarray, guess: np.ndarray) -> list[tuple[int, int, bool]]:
    """Class, size and whether it was found, of each piece."""
    found = []
    for value in range(3):
        pieces, count = label(truth == value)
        for piece in range(1, count + 1):
            mine = pieces == piece
            found.append((value, int(mine.sum()), bool((guess[mine] == value).mean() >= 0.5)))
    return sorted(found)


@pytest.mark.parametrize("rows", [1, 2, 5, 13, 100])
def test_strips_of_any_height_give_the_same(rows: int) -> None:
    truth, guess = blobs(53, 40, 3, 8), blobs(53, 40, 3, 9)
    truth[20:24, 3:30] = 255
    expected: Counter[tuple[int, int, bool]] = Counter()
    whole = ObjectTracker(1.0, expected)
    for value, size, is_found in at_once(truth, guess):
        whole._count(np.array([[value, size, size if is_found else 0]]))
    tracker = ObjectTracker(1.0)
    for top in range(0, 53, rows):
        tracker.add(truth[top : top + rows], guess[top : top + rows], 3)
    tracker.finish()
    assert tracker.counts == expected
    assert sum(expected.values()) > 20


def test_a_spiral_is_one_piece() -> None:
    truth = np.zeros((9, 9), np.uint8)
    truth[0] = truth[8] = truth[4, :7] = 1
    truth[:, 0] = 1
    truth[4:9, 8] = 1
    tracker = ObjectTracker(1.0)
    for row in range(9):
        tracker.add(truth[row : row + 1], truth[row : row + 1], 2)
    tracker.finish()
    assert sum(many for (value, _, _), many in tracker.counts.items() if value == 1) == 1


def test_sizes_in_square_metres() -> None:
    truth = np.zeros((10, 10), np.uint8)
    truth[1:3, 1:3] = 1
    truth[6, 6] = 1
    tracker = ObjectTracker(0.01 * 0.01)
    guess = np.where(truth == 1, 1, 0).astype(np.uint8)
    guess[6, 6] = 0
    tracker.add(truth, guess, 2)
    tracker.finish()
    bins = [
        one
        for one in size_bins(tracker.counts, Counter(), ("soil", "weed"), "m2")
        if one.class_name == "weed"
    ]
    assert [(one.low, one.high, one.objects, one.found) for one in bins] == [
        pytest.approx((1e-4, 3e-4, 1, 0)),
        pytest.approx((3e-4, 1e-3, 1, 1)),
    ]
    assert [one.recall for one in bins] == [0, 1]
