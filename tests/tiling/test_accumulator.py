"""The streaming merge against a plain computation on the whole raster.

The truth below builds a full weight map for each chip in float64, adds everything up and divides
by the sum of weights: none of the tricks of the streaming merge, and all of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.legend import NODATA
from agriseg.tiling import (
    CONFIDENCE_STEPS,
    Chip,
    ChipGrid,
    FinishedRows,
    NumpyAccumulator,
    Plan,
    SeamStrip,
    Swath,
    join_seam,
)
from agriseg.tiling.accumulator import cross_fade, decide, to_steps

Predict = Callable[[Chip], NDArray[np.float32]]
Skipped = frozenset[tuple[int, int]]
NONE_SKIPPED: Skipped = frozenset()


@st.composite
def grids(draw: st.DrawFn) -> ChipGrid:
    """Odd sizes, sizes around k * step, smaller than a chip, one pixel wide or high."""
    size = draw(st.integers(1, 14))
    overlap = draw(st.integers(0, size // 2))
    around_step = st.builds(
        lambda k, off, extra: max(k * (size - overlap) + off + extra, 1),
        st.integers(0, 4),
        st.integers(-1, 1),
        st.sampled_from([0, overlap]),
    )
    lengths = st.one_of(st.just(1), st.integers(1, size), st.integers(1, 40), around_step)
    return ChipGrid(draw(lengths), draw(lengths), size, overlap)


@st.composite
def grids_and_skips(draw: st.DrawFn) -> tuple[ChipGrid, Skipped]:
    grid = draw(grids())
    places = [(row, col) for row in range(grid.rows) for col in range(grid.cols)]
    return grid, frozenset(draw(st.lists(st.sampled_from(places), unique=True)))


@st.composite
def grids_and_plans(draw: st.DrawFn) -> tuple[ChipGrid, Plan, Skipped]:
    grid, skipped = draw(grids_and_skips())
    inner = st.integers(1, grid.rows - 1) if grid.rows > 1 else st.nothing()
    cuts = [0, *sorted(draw(st.sets(inner))), grid.rows]
    swaths = tuple(Swath(a, b - 1) for a, b in pairwise(cuts))
    return grid, Plan(grid, swaths), skipped


seeds = st.integers(0, 2**32 - 1)
class_counts = st.integers(1, 5)


def random_predictions(grid: ChipGrid, classes: int, seed: int) -> Predict:
    """Softmax of noise; chips that overlap disagree with each other."""

    def predict(chip: Chip) -> NDArray[np.float32]:
        rng = np.random.default_rng([seed, chip.row, chip.col])
        scores = rng.normal(scale=2, size=(classes, *chip.window.shape))
        exp = np.exp(scores - scores.max(axis=0))
        result: NDArray[np.float32] = (exp / exp.sum(axis=0)).astype(np.float32)
        return result

    return predict


def identity_predictions(labels: NDArray[np.uint8], classes: int) -> Predict:
    def predict(chip: Chip) -> NDArray[np.float32]:
        part = labels[chip.window.slices]
        return (np.arange(classes)[:, None, None] == part).astype(np.float32)

    return predict


class Canvas:
    """Collects finished rows; every row of the raster must come once."""

    def __init__(self, grid: ChipGrid, classes: int) -> None:
        self.planes = np.zeros((2 + classes, grid.height, grid.width), np.uint8)
        self.times = np.zeros(grid.height, int)

    def take(self, rows: FinishedRows | None) -> None:
        if rows is None:
            return
        assert rows.probabilities is not None
        window = rows.window
        assert rows.classes.shape == rows.confidence.shape == window.shape
        assert rows.classes.dtype == rows.confidence.dtype == rows.probabilities.dtype == np.uint8
        self.planes[0][window.slices] = rows.classes
        self.planes[1][window.slices] = rows.confidence
        self.planes[(slice(2, None), *window.slices)] = rows.probabilities
        self.times[window.row_off : window.row_end] += 1

    def complete(self) -> NDArray[np.uint8]:
        """(2 + classes, height, width): class, confidence, probabilities."""
        assert (self.times == 1).all()
        return self.planes


def feed_row(
    accumulator: NumpyAccumulator, grid: ChipGrid, row: int, predict: Predict, skipped: Skipped
) -> FinishedRows | None:
    for chip in grid.chips(row):
        if (chip.row, chip.col) not in skipped:
            accumulator.add(predict(chip), chip)
    return accumulator.pop_rows()


def stream(
    grid: ChipGrid, classes: int, predict: Predict, skipped: Skipped = NONE_SKIPPED
) -> NDArray[np.uint8]:
    """The map from one accumulator that takes all chip rows from the top."""
    canvas = Canvas(grid, classes)
    accumulator = NumpyAccumulator(grid, classes, probabilities=True)
    for row in range(grid.rows):
        accumulator.start_row(row)
        rows = feed_row(accumulator, grid, row, predict, skipped)
        assert rows is not None
        assert rows.window == grid.finished_by(row)
        canvas.take(rows)
    return canvas.complete()


def in_swaths(
    plan: Plan, classes: int, predict: Predict, skipped: Skipped, order: Iterable[int]
) -> NDArray[np.uint8]:
    """The same map from swaths that know nothing of each other, joined at their seams."""
    grid = plan.grid
    canvas = Canvas(grid, classes)
    uppers: dict[int, SeamStrip] = {}
    lowers: dict[int, SeamStrip] = {}
    for number in order:
        swath = plan.swaths[number]
        accumulator = NumpyAccumulator(grid, classes, probabilities=True)
        for row in swath.rows:
            accumulator.start_row(row)
            canvas.take(feed_row(accumulator, grid, row, predict, skipped))
            upper = accumulator.upper_strip()
            assert (upper is None) == (row != swath.first or grid.seam_above(row) is None)
            if upper is not None:
                uppers[row] = upper.copy()
        lower = accumulator.lower_strip()
        if lower is not None:
            lowers[swath.last + 1] = lower.copy()
    assert uppers.keys() == lowers.keys()
    for row, upper in uppers.items():
        window = grid.seam_above(row)
        assert window is not None
        canvas.take(join_seam(upper, lowers[row], window, probabilities=True))
    return canvas.complete()


def side_weights(start: int, length: int, total: int, overlap: int) -> NDArray[np.float64]:
    """One chip's weights along one side: one, but for the overlaps with its neighbours."""
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
    weights = np.ones(length)
    if start > 0:
        weights[:overlap] = ramp
    if start + length < total:
        weights[length - overlap :] = ramp[::-1]
    return weights


def truth(grid: ChipGrid, classes: int, predict: Predict) -> NDArray[np.float64]:
    """Weighted mean probabilities (classes, height, width) of the whole raster at once."""
    sums = np.zeros((classes, grid.height, grid.width))
    weights = np.zeros((grid.height, grid.width))
    for row in range(grid.rows):
        for chip in grid.chips(row):
            w = chip.window
            down = side_weights(w.row_off, w.height, grid.height, grid.overlap)
            across = side_weights(w.col_off, w.width, grid.width, grid.overlap)
            weight = down[:, None] * across
            sums[(slice(None), *w.slices)] += weight * predict(chip)
            weights[w.slices] += weight
    return sums / weights


def assert_agrees(
    got: NDArray[np.uint8], probabilities: NDArray[np.float64], where: NDArray[np.bool_]
) -> None:
    """`got` (class, confidence, planes) is what `probabilities` say, but for rounding."""
    steps = probabilities * CONFIDENCE_STEPS
    # Rounding to steps is half a step; float32 adds far less.
    assert np.abs(got[2:] - steps)[:, where].max(initial=0) <= 0.5 + 1e-3
    assert np.abs(got[1] - steps.max(axis=0))[where].max(initial=0) <= 0.5 + 1e-3
    ranked = np.sort(probabilities, axis=0)
    clear = where & (ranked[-1] - ranked[-2] > 1e-5) if len(ranked) > 1 else where
    assert (got[0] == probabilities.argmax(axis=0))[clear].all()


def coverage(grid: ChipGrid, skipped: Skipped) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels under no skipped chip, and pixels under skipped chips only."""
    under = np.zeros((2, grid.height, grid.width), bool)
    for row in range(grid.rows):
        for chip in grid.chips(row):
            under[int((row, chip.col) in skipped)][chip.window.slices] = True
    return ~under[1], ~under[0]


class TestMerge:
    @given(grids(), class_counts, seeds)
    @settings(max_examples=300)
    @example(ChipGrid(1, 40, 14, 7), 3, 0)
    @example(ChipGrid(40, 1, 14, 7), 3, 0)
    @example(ChipGrid(5, 3, 14, 7), 3, 0)
    @example(ChipGrid(29, 29, 14, 7), 3, 0)
    def test_it_is_the_weighted_mean(self, grid: ChipGrid, classes: int, seed: int) -> None:
        predict = random_predictions(grid, classes, seed)
        everywhere = np.ones((grid.height, grid.width), bool)
        assert_agrees(stream(grid, classes, predict), truth(grid, classes, predict), everywhere)

    @given(grids(), class_counts, seeds)
    @settings(max_examples=200)
    def test_identity_gives_its_input_back(self, grid: ChipGrid, classes: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, classes, (grid.height, grid.width), np.uint8)
        got = stream(grid, classes, identity_predictions(labels, classes))
        assert np.array_equal(got[0], labels)
        assert (got[1] == CONFIDENCE_STEPS).all()
        planes = np.arange(classes)[:, None, None] == labels
        assert np.array_equal(got[2:], planes * np.uint8(CONFIDENCE_STEPS))

    @given(grids(), seeds)
    def test_chips_alone_are_not_touched_at_the_rasters_edges_either(
        self, grid: ChipGrid, seed: int
    ) -> None:
        """No taper: where one chip alone lies, its own probabilities come out, to the byte."""
        predict = random_predictions(grid, 3, seed)
        got = stream(grid, 3, predict)
        times = np.zeros((grid.height, grid.width), int)
        for row in range(grid.rows):
            for chip in grid.chips(row):
                times[chip.window.slices] += 1
        for row in range(grid.rows):
            for chip in grid.chips(row):
                alone = times[chip.window.slices] == 1
                part = got[(slice(None), *chip.window.slices)][:, alone]
                own = predict(chip)[:, alone]
                assert np.array_equal(part[0], own.argmax(axis=0))
                assert np.array_equal(part[1], to_steps(own.max(axis=0)))
                assert np.array_equal(part[2:], to_steps(own))

    @given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 3), seeds, st.data())
    def test_a_mirrored_raster_gives_the_mirrored_map(
        self, size: int, rows: int, cols: int, seed: int, data: st.DataObject
    ) -> None:
        """Weights off by half a pixel, as is easily done, would lean to one side."""
        overlap = data.draw(st.integers(0, size // 2))
        step = size - overlap
        # Sizes that the chips fill exactly: then the grid is its own mirror image.
        grid = ChipGrid(rows * step + overlap, cols * step + overlap, size, overlap)
        assert (grid.rows, grid.cols) == (rows, cols)
        predict = random_predictions(grid, 3, seed)

        def mirrored(chip: Chip) -> NDArray[np.float32]:
            other = grid.chip(rows - 1 - chip.row, cols - 1 - chip.col)
            return predict(other)[:, ::-1, ::-1].copy()

        got, back = stream(grid, 3, predict), stream(grid, 3, mirrored)[:, ::-1, ::-1]
        assert np.abs(got[1:].astype(int) - back[1:]).max() <= 1
        ranked = np.sort(truth(grid, 3, predict), axis=0)
        clear = ranked[-1] - ranked[-2] > 1e-5
        assert np.array_equal(got[0][clear], back[0][clear])

    def test_without_probabilities_none_are_kept(self) -> None:
        grid = ChipGrid(5, 9, 4, 1)
        predict = random_predictions(grid, 3, 0)
        full = stream(grid, 3, predict)
        accumulator = NumpyAccumulator(grid, 3)
        for row in range(grid.rows):
            accumulator.start_row(row)
            rows = feed_row(accumulator, grid, row, predict, NONE_SKIPPED)
            assert rows is not None
            assert rows.probabilities is None
            assert np.array_equal(rows.classes, full[0][rows.window.slices])
            assert np.array_equal(rows.confidence, full[1][rows.window.slices])


class TestSkippedChips:
    @given(grids_and_skips(), class_counts, seeds)
    @settings(max_examples=200)
    def test_their_own_pixels_are_nodata_and_no_others_change(
        self, case: tuple[ChipGrid, Skipped], classes: int, seed: int
    ) -> None:
        grid, skipped = case
        predict = random_predictions(grid, classes, seed)
        got = stream(grid, classes, predict, skipped)
        untouched, skipped_only = coverage(grid, skipped)
        assert (got[:, skipped_only] == NODATA).all()
        assert_agrees(got, truth(grid, classes, predict), untouched)

    def test_nothing_of_the_chip_before_the_gap_leaks_behind_it(self) -> None:
        grid = ChipGrid(4, 10, 4, 1)  # three chips: columns 0..3, 3..6, 6..9
        accumulator = NumpyAccumulator(grid, 2, probabilities=True)
        accumulator.start_row(0)
        for col, value in ((0, 0), (2, 1)):
            chip = grid.chip(0, col)
            probabilities = np.zeros((2, *chip.window.shape), np.float32)
            probabilities[value] = 1
            accumulator.add(probabilities, chip)
        rows = accumulator.pop_rows()
        assert rows is not None
        assert rows.probabilities is not None
        # All of the skipped chip's window: no pixel of it is valid, shared or not.
        assert rows.classes[0].tolist() == [0] * 3 + [NODATA] * 4 + [1] * 3
        assert (rows.probabilities[:, :, 3:7] == NODATA).all()
        assert not rows.probabilities[0, :, 7:].any()

    @given(grids())
    def test_a_raster_without_data_is_all_nodata(self, grid: ChipGrid) -> None:
        everything = frozenset((row, col) for row in range(grid.rows) for col in range(grid.cols))
        assert (stream(grid, 3, random_predictions(grid, 3, 0), everything) == NODATA).all()


class TestSwaths:
    @given(grids_and_plans(), class_counts, seeds, st.randoms(use_true_random=False))
    @settings(max_examples=300)
    def test_any_cut_in_any_order_gives_the_same_bytes(
        self, case: tuple[ChipGrid, Plan, Skipped], classes: int, seed: int, random: object
    ) -> None:
        grid, plan, skipped = case
        predict = random_predictions(grid, classes, seed)
        order = list(range(len(plan.swaths)))
        random.shuffle(order)  # type: ignore[attr-defined]
        whole = stream(grid, classes, predict, skipped)
        assert np.array_equal(in_swaths(plan, classes, predict, skipped, order), whole)

    @given(grids_and_skips(), class_counts, seeds)
    def test_every_row_by_itself(
        self, case: tuple[ChipGrid, Skipped], classes: int, seed: int
    ) -> None:
        grid, skipped = case
        predict = random_predictions(grid, classes, seed)
        plan = Plan.even(grid, grid.rows)
        whole = stream(grid, classes, predict, skipped)
        order = reversed(range(grid.rows))
        assert np.array_equal(in_swaths(plan, classes, predict, skipped, order), whole)

    @given(grids_and_plans(), class_counts, seeds)
    @settings(max_examples=200)
    def test_a_strip_handed_on_equals_streaming(
        self, case: tuple[ChipGrid, Plan, Skipped], classes: int, seed: int
    ) -> None:
        """As a run does that goes on where it was stopped: the strip comes from the ledger."""
        grid, plan, skipped = case
        predict = random_predictions(grid, classes, seed)
        canvas = Canvas(grid, classes)
        strip: SeamStrip | None = None
        for swath in plan:
            accumulator = NumpyAccumulator(grid, classes, probabilities=True)
            given_strip = None if strip is None else strip.copy()
            for row in swath.rows:
                accumulator.start_row(row, strip if row == swath.first else None)
                rows = feed_row(accumulator, grid, row, predict, skipped)
                assert rows is not None
                assert rows.window == grid.finished_by(row)
                assert accumulator.upper_strip() is None
                canvas.take(rows)
            if given_strip is not None and strip is not None:
                assert np.array_equal(strip, given_strip)  # it belongs to whoever handed it on
            strip = accumulator.lower_strip()
        assert strip is None  # there is nothing below the last row
        assert np.array_equal(canvas.complete(), stream(grid, classes, predict, skipped))

    def test_strips_have_the_size_that_the_design_promises(self) -> None:
        grid = ChipGrid(30, 17, 10, 4)
        accumulator = NumpyAccumulator(grid, 3)
        accumulator.start_row(1)
        feed_row(accumulator, grid, 1, random_predictions(grid, 3, 0), NONE_SKIPPED)
        for strip in (accumulator.upper_strip(), accumulator.lower_strip()):
            assert strip is not None
            assert (strip.shape, strip.dtype) == ((3, 4, 17), np.float32)

    def test_a_row_that_is_all_seam_finishes_nothing_by_itself(self) -> None:
        grid = ChipGrid(30, 9, 10, 5)
        accumulator = NumpyAccumulator(grid, 2)
        accumulator.start_row(1)
        assert feed_row(accumulator, grid, 1, random_predictions(grid, 2, 0), NONE_SKIPPED) is None

    def test_join_seam_without_probabilities(self) -> None:
        upper = np.full((2, 1, 3), 0.25, np.float32)
        lower = np.array([[[0.5, 0.0, 0.25]], [[0.0, 0.5, 0.25]]], np.float32)
        rows = join_seam(upper, lower, Window(0, 6, 3, 1), probabilities=False)
        assert rows.window == Window(0, 6, 3, 1)
        assert rows.classes.tolist() == [[0, 1, 0]]  # of equals the first
        assert rows.confidence.tolist() == [[150, 150, 100]]
        assert rows.probabilities is None


class TestMisuse:
    grid = ChipGrid(20, 20, 8, 2)

    def ones(self, chip: Chip) -> NDArray[np.float32]:
        return np.ones((1, *chip.window.shape), np.float32)

    def test_a_chip_before_its_row_is_open(self) -> None:
        chip = self.grid.chip(0, 0)
        with pytest.raises(RuntimeError, match="does not belong to the open chip row"):
            NumpyAccumulator(self.grid, 1).add(self.ones(chip), chip)

    def test_a_chip_of_another_row(self) -> None:
        accumulator = NumpyAccumulator(self.grid, 1)
        accumulator.start_row(0)
        chip = self.grid.chip(1, 0)
        with pytest.raises(RuntimeError, match="does not belong to the open chip row 0"):
            accumulator.add(self.ones(chip), chip)

    def test_a_chip_after_its_row_is_closed(self) -> None:
        accumulator = NumpyAccumulator(self.grid, 1)
        accumulator.start_row(0)
        accumulator.pop_rows()
        chip = self.grid.chip(0, 0)
        with pytest.raises(RuntimeError, match="does not belong"):
            accumulator.add(self.ones(chip), chip)

    def test_a_row_before_the_last_is_closed(self) -> None:
        accumulator = NumpyAccumulator(self.grid, 1)
        accumulator.start_row(0)
        with pytest.raises(RuntimeError, match="chip row 0 is still open"):
            accumulator.start_row(1)

    def test_closing_what_is_not_open(self) -> None:
        accumulator = NumpyAccumulator(self.grid, 1)
        with pytest.raises(RuntimeError, match="no chip row is open"):
            accumulator.pop_rows()
        accumulator.start_row(0)
        accumulator.pop_rows()
        with pytest.raises(RuntimeError, match="no chip row is open"):
            accumulator.pop_rows()


class TestWeights:
    @pytest.mark.parametrize("overlap", [1, 2, 3, 7, 64, 127, 512, 2048])
    def test_positive_symmetric_and_adding_up_to_one(self, overlap: int) -> None:
        later = cross_fade(overlap)
        earlier = later[::-1]
        assert later.dtype == np.float32
        assert later.shape == (overlap,)
        assert (later > 0).all()
        assert (later < 1).all()
        assert (np.diff(later) >= 0).all()
        assert np.abs(later + earlier - 1).max() <= 1e-6
        exact = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
        assert np.abs(later - exact).max() <= 1e-7

    def test_no_overlap_has_no_weights(self) -> None:
        assert cross_fade(0).shape == (0,)

    def test_the_middle_is_shared_evenly(self) -> None:
        assert cross_fade(5)[2] == pytest.approx(0.5)
        assert cross_fade(4)[1] + cross_fade(4)[2] == pytest.approx(1)


class TestBytes:
    def test_steps(self) -> None:
        values = np.array([0, 0.0025, 0.0075, 0.5, 0.994, 1, 1.0000001, -1e-9], np.float32)
        assert to_steps(values).tolist() == [0, 0, 2, 100, 199, 200, 200, 0]

    def test_of_equals_the_first_wins(self) -> None:
        classes, confidence = decide(np.full((4, 1, 2), 0.25, np.float32))
        assert classes.tolist() == [[0, 0]]
        assert confidence.tolist() == [[50, 50]]

    def test_classes_together_are_decided_as_one(self) -> None:
        """Surely a plant, though nobody knows which: not soil."""
        soil, crop, weed = [0.45, 0.55, 0.5, 0.2], [0.3, 0.25, 0.3, 0.1], [0.25, 0.2, 0.2, 0.7]
        probabilities = np.array([soil, crop, weed], np.float32)[:, None]
        assert decide(probabilities)[0].tolist() == [[0, 0, 0, 2]]
        classes, confidence = decide(probabilities, (1, 2))
        # Where both are as likely as soil, soil is it.
        assert classes.tolist() == [[1, 0, 0, 2]]
        assert confidence.tolist() == [[60, 110, 100, 140]]

    @given(st.integers(2, 5), st.integers(0, 2**31), st.booleans(), st.data())
    def test_together_as_pixel_by_pixel(
        self, classes: int, seed: int, ties: bool, data: st.DataObject
    ) -> None:
        names = st.integers(0, classes - 1)
        group = sorted(data.draw(st.sets(names, min_size=1, max_size=classes - 1)))
        rng = np.random.default_rng(seed)
        values = rng.random((classes, 3, 4)).astype(np.float32)
        values = (np.round(values * 4) / 4).astype(np.float32) if ties else values
        found, confidence = decide(values, group)
        for row, col in np.ndindex(3, 4):
            pixel = values[:, row, col]
            others = [k for k in range(classes) if k not in group]
            together = np.float32(0)
            for k in group:
                together = together + pixel[k]
            among = group if together > pixel[others].max() else others
            best = max(among, key=lambda k: (pixel[k], -k))
            assert found[row, col] == best
            assert confidence[row, col] == to_steps(pixel[best])
