"""Intervals: what they cover, what they are drawn from, and when there are none."""

from __future__ import annotations

import numpy as np

from agriseg.evaluation.intervals import draws, fine_side, merge_blocks, percentiles, summed


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for seed in range(200):
        sample = rng.normal(5.0, 2.0, (40, 1))
        low, high = percentiles(draws(sample, 300, seed)[:, 0] / 40)
        covered += low <= 5.0 <= high
    assert 0.88 <= covered / 200 <= 0.98


def test_units_are_drawn_whole() -> None:
    values = np.array([[1, 10], [2, 20], [4, 40]])
    found = draws(values, 200)
    np.testing.assert_allclose(found[:, 1], 10 * found[:, 0])
    assert {3.0, 12.0} <= set(found[:, 0])
    np.testing.assert_array_equal(found, draws(values, 200))


def test_alike_pixels_in_blocks_give_wider_intervals_than_pixels_alone() -> None:
    """The reason for it all: 20 blocks of 500 equal pixels are 20 observations."""
    right = np.repeat(np.random.default_rng(1).integers(0, 2, 20), 500)
    pixels = percentiles(draws(right[:, None])[:, 0] / 10_000)
    blocks = percentiles(draws(right.reshape(20, 500).sum(axis=1)[:, None])[:, 0] / 10_000)
    assert blocks[1] - blocks[0] > 10 * (pixels[1] - pixels[0])


def test_a_score_that_is_often_unknown_has_no_interval() -> None:
    drawn = np.ones((100, 3))
    drawn[:3, 0] = drawn[:30, 1] = drawn[:, 2] = np.nan
    low, high = percentiles(drawn)
    np.testing.assert_array_equal(np.isnan(low), [False, True, True])
    np.testing.assert_array_equal(np.isnan(high), [False, True, True])


def test_blocks_are_merged_until_they_are_few() -> None:
    places = np.array([(0, row, col) for row in range(40) for col in range(30)])
    owner, size = merge_blocks(places, 16)
    assert 32 <= size.blocks <= 128
    assert size.side == 64
    values = np.ones((len(places), 2), np.int64)
    np.testing.assert_array_equal(summed(values, owner, size.blocks).sum(axis=0), [1200, 1200])
    # Blocks of one square are one, those of different scenes never.
    assert owner[0] == owner[1] == owner[30]
    twice = np.concatenate([places, places + np.array((1, 0, 0))])
    owner, _ = merge_blocks(twice, 16)
    assert not set(owner[:1200]) & set(owner[1200:])


def test_few_blocks_stay_as_they_are() -> None:
    owner, size = merge_blocks(np.array([(0, 0, 0), (0, 5, 5)]), 16)
    assert (size.side, size.blocks) == (16, 2)
    np.testing.assert_array_equal(owner, [0, 1])


def test_many_small_scenes_do_not_merge_forever() -> None:
    places = np.array([(scene, 0, 0) for scene in range(500)])
    owner, size = merge_blocks(places, 16)
    assert size.blocks == 500
    assert len(set(owner)) == 500


def test_fine_blocks_are_some_thousands_at_most() -> None:
    assert fine_side(100) == 16
    side = fine_side(20_000**2)
    assert 20_000**2 / side**2 <= 4096
