"""Chips go through a predictor in their order, whatever the streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from agriseg.errors import ModelError, ReadError
from agriseg.models import ModelCard
from agriseg.pipeline.predicting import BATCHES_AHEAD, ChipPixels, predict_chips
from agriseg.tiling import ChipGrid
from tests.support import identity_card


class Counting:
    """Gives the first band as the first class; notes what it was called with."""

    def __init__(self, card: ModelCard, batch: int = 1, streams: int = 1) -> None:
        self.card, self.batch, self.streams = card, batch, streams
        self.shapes: list[tuple[int, ...]] = []
        self.most = self.now = 0
        self._lock = threading.Lock()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        with self._lock:
            self.shapes.append(batch.shape)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.002 * (1 + int(batch[0, 0, 0, 0] * 1000) % 3))
        with self._lock:
            self.now -= 1
        first = np.clip(batch[:, :1], 0, 1)
        rest = (1 - first) / (len(self.card.legend) - 1)
        return np.concatenate([first] + [rest] * (len(self.card.legend) - 1), axis=1)


def chips(grid: ChipGrid, bands: int, empty: set[int]) -> Iterator[ChipPixels]:
    for place, chip in enumerate(c for row in range(grid.rows) for c in grid.chips(row)):
        if place in empty:
            yield ChipPixels(chip, None, None)
            continue
        data = np.full((bands, *chip.window.shape), place / 1000, np.float32)
        yield ChipPixels(chip, data, np.ones(chip.window.shape, bool))


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("streams", [1, 2, 4])
@pytest.mark.parametrize("empty", [set(), {0, 5, 6, 7, 8, 9, 23}, set(range(30))])
def test_order_and_batches(batch: int, streams: int, empty: set[int]) -> None:
    grid = ChipGrid(8 * 5, 8 * 6, 8, 0)
    predictor = Counting(identity_card(), batch, streams)
    bands = len(predictor.card.keys)
    found = list(predict_chips(predictor, chips(grid, bands, empty), streams))
    assert [f.pixels.chip.window for f in found] == [
        chip.window for row in range(grid.rows) for chip in grid.chips(row)
    ]
    for place, one in enumerate(found):
        if place in empty:
            assert one.probabilities is None
        else:
            assert np.allclose(one.probabilities[0], place / 1000)
    assert all(shape[0] == batch for shape in predictor.shapes)
    assert predictor.most <= streams
    full = [place for place in range(30) if place not in empty]
    rows = [sum(place // 6 == row for place in full) for row in range(5)]
    assert len(predictor.shapes) == sum(-(-count // batch) for count in rows)


@pytest.mark.parametrize("streams", [1, 3])
def test_streams_are_used_and_faults_keep_their_place(streams: int) -> None:
    grid = ChipGrid(8, 8 * 12, 8, 0)
    predictor = Counting(identity_card(), 1, streams)
    source = chips(grid, len(predictor.card.keys), set())

    def failing() -> Iterator[ChipPixels]:
        for _ in range(7):
            yield next(source)
        raise ReadError("block 7 is damaged")

    stream = predict_chips(predictor, failing(), streams)
    assert [next(stream).pixels.chip.window.col_off for _ in range(7)] == [8 * k for k in range(7)]
    with pytest.raises(ReadError, match="damaged"):
        next(stream)
    assert predictor.most == streams


class Ahead(Counting):
    """Is called as a GPU is; gives its own memory for batches, full of what was there before."""

    is_asynchronous = True

    def __init__(self, card: ModelCard, batch: int) -> None:
        super().__init__(card, batch)
        self.threads: set[str] = set()
        self.given: list[np.ndarray] = []
        self.called_with: list[np.ndarray] = []
        self.waits = threading.Event()
        self.waits.set()

    def new_batch(self, shape: tuple[int, ...]) -> np.ndarray:
        self.given.append(np.full(shape, np.nan, np.float32))
        return self.given[-1]

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        assert self.waits.wait(10)
        self.threads.add(threading.current_thread().name)
        self.called_with.append(batch)
        return super().__call__(batch)


@pytest.mark.parametrize("empty", [set(), {0, 5, 6, 7, 8, 9, 23}, set(range(30))])
def test_a_gpu_is_called_from_a_thread_of_its_own_with_memory_of_its_own(empty: set[int]) -> None:
    grid = ChipGrid(8 * 5, 8 * 6, 8, 0)
    predictor = Ahead(identity_card(), 4)
    bands = len(predictor.card.keys)
    found = list(predict_chips(predictor, chips(grid, bands, empty)))
    assert [f.pixels.chip.window for f in found] == [
        chip.window for row in range(grid.rows) for chip in grid.chips(row)
    ]
    for place, one in enumerate(found):
        if place in empty:
            assert one.probabilities is None
        else:
            assert np.allclose(one.probabilities[0], place / 1000)
    assert predictor.most <= 1
    assert all(name.startswith("agriseg-predict") for name in predictor.threads)
    given = {id(batch) for batch in predictor.given}
    assert {id(batch) for batch in predictor.called_with} == given
    # What a batch lacks is zero, not what its memory held.
    assert not any(np.isnan(batch).any() for batch in predictor.called_with)


def test_batches_for_a_gpu_are_ready_before_it_is() -> None:
    grid = ChipGrid(8, 8 * 60, 8, 0)
    predictor = Ahead(identity_card(), 2)
    predictor.waits.clear()
    stream = predict_chips(predictor, chips(grid, len(predictor.card.keys), set()))
    first = threading.Thread(target=next, args=(stream,))
    first.start()
    until = time.monotonic() + 10
    while len(predictor.given) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    filled = len(predictor.given)
    predictor.waits.set()
    first.join()
    stream.close()
    assert 5 <= filled <= BATCHES_AHEAD
    assert not [t for t in threading.enumerate() if t.name.startswith(("agriseg-p", "agriseg-b"))]


def test_a_fault_of_a_gpu_ends_its_threads() -> None:
    class Broken(Ahead):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            raise ModelError("out of memory")

    grid, predictor = ChipGrid(8, 8 * 60, 8, 0), Broken(identity_card(), 2)
    stream = predict_chips(predictor, chips(grid, len(predictor.card.keys), set()))
    with pytest.raises(ModelError, match="out of memory"):
        next(stream)
    assert not [t for t in threading.enumerate() if t.name.startswith(("agriseg-p", "agriseg-b"))]
