"""The protocol's checks and defaults."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agriseg.errors import ModelError
from agriseg.models import (
    Predictor,
    about,
    adapt,
    as_numpy,
    batch_of,
    check_output,
    check_predictor,
    fingerprint_of,
    is_asynchronous,
    new_accumulator,
    new_batch,
    numerics_of,
)
from agriseg.models.augment import augmented
from agriseg.tiling import ChipGrid, NumpyAccumulator


class Plain:
    """No more than the protocol asks for."""

    def __init__(self, card):
        self.card = card

    def __call__(self, batch):
        n, _, h, w = batch.shape
        return np.full((n, len(self.card.legend), h, w), 1 / len(self.card.legend), np.float32)


def test_defaults(make_card, make_scene):
    plain = Plain(make_card())
    assert isinstance(plain, Predictor)
    assert check_predictor(plain) is plain
    assert adapt(plain, make_scene("red")) is plain
    assert batch_of(plain) == 1
    assert not is_asynchronous(plain)
    assert new_batch(plain, (2, 1, 8, 4)).shape == (2, 1, 8, 4)
    assert "Plain" in numerics_of(plain)
    assert fingerprint_of(plain) == plain.card.digest
    assert about(plain) == {"name": "tiny"}
    accumulator = new_accumulator(plain, ChipGrid(10, 10, 8, 2), probabilities=True)
    assert isinstance(accumulator, NumpyAccumulator)


def test_own_parts_are_found(make_card, make_scene):
    class Full(Plain):
        numerics, batch, fingerprint, is_asynchronous = "mine", 3, "f", True

        def for_scene(self, scene):
            return Full(make_card(name=scene.name))

        def new_accumulator(self, grid, probabilities=False):
            return ("mine", grid, probabilities)

        def new_batch(self, shape):
            return ("mine", shape)

        def about(self):
            return {"threshold": 0.3}

    full = Full(make_card())
    assert (numerics_of(full), batch_of(full), fingerprint_of(full)) == ("mine", 3, "f")
    assert adapt(full, make_scene("red")).card.name == "meadow"
    grid = ChipGrid(8, 8, 8, 0)
    assert new_accumulator(full, grid, probabilities=True) == ("mine", grid, True)
    assert is_asynchronous(full)
    assert new_batch(full, (3, 1, 8, 8)) == ("mine", (3, 1, 8, 8))
    mirrored = augmented(full, "flips")
    assert is_asynchronous(mirrored)
    assert new_batch(mirrored, (3, 1, 8, 8)) == ("mine", (3, 1, 8, 8))
    assert about(full) == {"name": "tiny", "threshold": 0.3}


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (None, "cannot predict"),
        (5, "cannot predict"),
        (Plain, "a class"),
        (lambda batch: batch, "no card"),
        (Plain({"name": "x"}), "dict where"),
    ],
)
def test_what_is_no_predictor(thing, words):
    with pytest.raises(ModelError, match=words):
        check_predictor(thing)


def test_broken_parts_are_refused(make_card):
    plain = Plain(make_card())
    for batch in (0, 2.0, True, "4"):
        plain.batch = batch
        with pytest.raises(ModelError, match="batch"):
            batch_of(plain)
    plain.numerics = 7
    with pytest.raises(ModelError, match="numerics"):
        numerics_of(plain)
    plain.about = lambda: 5
    with pytest.raises(ModelError, match="about"):
        about(plain)
    plain.for_scene = lambda scene: None
    with pytest.raises(ModelError, match="cannot predict"):
        adapt(plain, None)


SHAPE = (2, 2, 6, 5)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_good_outputs_pass(make_card, kind):
    good = np.full((2, 3, 6, 5), 1 / 3, np.float32)
    assert np.array_equal(check_output(kind(good), SHAPE, make_card()), good)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((2, 2, 6, 5), np.float32), r"expected is \(2, 3, 6, 5\)"),
        (np.zeros((2, 3, 3, 5), np.float32), r"\(2, 3, 3, 5\)"),
        (np.zeros((2, 3, 6, 5), np.float64), "float64; expected is float32"),
        (np.full((2, 3, 6, 5), np.nan, np.float32), "NaN or infinity in 180 of 180"),
        (np.full((2, 3, 6, 5), 4.0, np.float32), "apply the softmax"),
        (np.full((2, 3, 6, 5), -0.1, np.float32), "apply the softmax"),
    ],
)
def test_bad_outputs_do_not(make_card, kind, bad, words):
    with pytest.raises(ModelError, match=words):
        check_output(kind(bad), SHAPE, make_card())


def test_things_that_are_no_array(make_card):
    for thing, words in ((None, "NoneType"), ({"out": 1}, "a dict")):
        with pytest.raises(ModelError, match=words):
            check_output(thing, SHAPE, make_card())


def test_the_default_merge_takes_tensors_and_read_only_arrays(make_card):
    grid = ChipGrid(6, 10, 6, 2)
    values = np.random.default_rng(0).random((2, 3, 6, 6), np.float32)
    results = []
    for kind in ("array", "read-only", "tensor"):
        accumulator = new_accumulator(Plain(make_card()), grid)
        accumulator.start_row(0)
        for chip in grid.chips(0):
            p = values[chip.col].copy()
            if kind == "read-only":
                p.flags.writeable = False
            accumulator.add(torch.from_numpy(p).requires_grad_() if kind == "tensor" else p, chip)
        results.append(accumulator.pop_rows())
    for other in results[1:]:
        assert np.array_equal(other.classes, results[0].classes)
        assert np.array_equal(other.confidence, results[0].confidence)


def test_as_numpy_gives_float32_that_can_be_written():
    array = np.broadcast_to(np.float32(1), (2, 2))
    assert as_numpy(array).flags.writeable
    assert as_numpy(torch.ones(2, dtype=torch.float32)).dtype == np.float32
