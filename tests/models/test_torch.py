"""Predicting and merging with torch."""

from __future__ import annotations

import itertools
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agriseg.errors import ModelError
from agriseg.models import (
    ModelCard,
    TorchAccumulator,
    TorchPredictor,
    build_network,
    check_output,
    check_predictor,
    load_model,
    new_accumulator,
    resolve_numerics,
    save_model,
)
from agriseg.tiling import ChipGrid, NumpyAccumulator

FLOAT32 = {"engine": "torch", "device": "cpu", "precision": "float32"}


def trained(card: ModelCard) -> torch.nn.Module:
    """A network whose batch norms have seen something, as after training."""
    torch.manual_seed(3)
    network = build_network(card).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, len(card.bands), 64, 64))
    return network.eval()


def reflectance(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scale = np.array([0.3, 0.8], np.float32)[:, None, None]
    return rng.random((n, 2, height, width), np.float32) * scale


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_float32_is_the_plain_formula(make_card, tmp_path, temperature):
    card = make_card(temperature=temperature)
    network = trained(card)
    path = save_model(tmp_path / "m.safetensors", card, network.state_dict())
    predictor = check_predictor(load_model(path, **FLOAT32))
    x = reflectance(2, 64, 40)
    before = x.copy()
    found = predictor(x)
    check_output(found, x.shape, card)
    assert np.array_equal(x, before)
    mean, std = card.means[:, None, None], card.stds[:, None, None]
    with torch.inference_mode():
        logits = network(torch.from_numpy((x - mean) / std)) / temperature
    assert torch.allclose(found, logits.softmax(1), atol=1e-5)
    assert float(found.std()) > 0.01  # else the comparison would mean nothing


def test_bfloat16_is_near_float32(make_card):
    card = make_card()
    network = trained(card)
    x = reflectance(1, 64, 64)
    numerics = [resolve_numerics(device="cpu", precision=p) for p in ("float32", "bfloat16")]
    exact, fast = (TorchPredictor(card, network, n)(x) for n in numerics)
    assert fast.dtype == torch.float32
    assert not torch.equal(exact, fast)
    assert float((exact - fast).abs().mean()) < 0.01
    assert float((exact.argmax(1) == fast.argmax(1)).float().mean()) > 0.97


def test_the_network_stays_the_callers(make_card):
    card = make_card()
    network = trained(card).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    numerics = resolve_numerics(device="cpu", precision="bfloat16")
    TorchPredictor(card, network, numerics)(reflectance(1, 16, 16))
    assert network.training
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in network.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_same_bits_under_one_key(make_card, precision):
    """Whatever torch is set to in the calling thread, and wherever the pixels lie in memory."""
    card = make_card()
    network = trained(card)
    x = reflectance(2, 64, 96)
    elsewhere = np.empty(x.size + 1, np.float32)[1:].reshape(x.shape)  # not aligned to 8 bytes
    elsewhere[:] = x
    before = torch.get_num_threads()
    try:
        outputs, keys = [], set()
        for threads, others in itertools.product((1, 2), (1, 2, 3)):
            numerics = resolve_numerics(
                engine="torch", device="cpu", precision=precision, threads=threads, batch=2
            )
            predictor = TorchPredictor(card, network, numerics)
            assert predictor.streams == threads
            torch.set_num_threads(others)
            with ThreadPoolExecutor(3) as pool:
                outputs += [predictor(x), predictor(elsewhere), *pool.map(predictor, [x] * 4)]
            assert torch.get_num_threads() == others
            keys.add(predictor.numerics)
        assert len(keys) == 1
        assert all(torch.equal(outputs[0], other) for other in outputs[1:])
    finally:
        torch.set_num_threads(before)


def test_read_only_batches_raise_no_warning(make_card):
    card = make_card()
    predictor = TorchPredictor(card, trained(card), resolve_numerics(**FLOAT32))
    x = np.broadcast_to(np.float32(0.2), (1, 2, 16, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_only = predictor(x)
    assert torch.equal(read_only, predictor(x.copy()))


def test_the_fingerprint_follows_card_and_weights(make_card, tmp_path):
    card = make_card()
    network = trained(card)
    numerics = resolve_numerics(**FLOAT32)
    first = TorchPredictor(card, network, numerics).fingerprint
    path = save_model(tmp_path / "a.safetensors", card, network.state_dict())
    assert load_model(path, **FLOAT32).card.digest != card.digest  # the version is filled in
    again = TorchPredictor(card, network, numerics).fingerprint
    warmer = TorchPredictor(make_card(temperature=2), network, numerics).fingerprint
    with torch.no_grad():
        network.segmentation_head[0].bias[0] += 1e-6
    assert again == first
    assert len({first, warmer, TorchPredictor(card, network, numerics).fingerprint}) == 3


def test_facts_for_the_record(make_card):
    card = make_card()
    facts = TorchPredictor(card, trained(card), resolve_numerics(**FLOAT32)).about()
    assert facts["precision"] == "float32"
    assert facts["parameters"] > 1000


class Failing(torch.nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("error", "shape", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), (4, 2, 64, 64), "use --batch 2"),
        (torch.OutOfMemoryError("CUDA out of memory"), (1, 2, 64, 40), "use --chip 32, or --dev"),
        (torch.OutOfMemoryError("CUDA out of memory"), (1, 2, 8, 8), "use --chip 8"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            (1, 2, 64, 64),
            "memory of this machine .* use --chip 32$",
        ),
    ],
)
def test_too_little_memory(make_card, error, shape, words):
    predictor = TorchPredictor(make_card(), Failing(error), resolve_numerics(device="cpu"))
    with pytest.raises(ModelError, match=words):
        predictor(np.zeros(shape, np.float32))


def test_other_faults_stay_what_they_are(make_card):
    predictor = TorchPredictor(
        make_card(),
        Failing(RuntimeError("size mismatch")),
        resolve_numerics(device="cpu"),
    )
    with pytest.raises(RuntimeError, match="size mismatch"):
        predictor(np.zeros((1, 2, 8, 8), np.float32))


def test_networks_that_return_no_tensor(make_card):
    class Dict(torch.nn.Module):
        def forward(self, x):
            return {"out": x}

    predictor = TorchPredictor(make_card(), Dict(), resolve_numerics(device="cpu"))
    with pytest.raises(ModelError, match="returned a dict"):
        predictor(np.zeros((1, 2, 8, 8), np.float32))


# The merge on the device --------------------------------------------------------------------------


@st.composite
def grids(draw):
    size = draw(st.integers(1, 12))
    return ChipGrid(
        draw(st.integers(1, 40)),
        draw(st.integers(1, 40)),
        size,
        draw(st.integers(0, size // 2)),
    )


def chip_probabilities(chip, classes, seed, ties):
    rng = np.random.default_rng([seed, chip.row, chip.col])
    logits = rng.normal(0, 3, (classes, *chip.window.shape)).astype(np.float32)
    if ties:  # steps of 1/8, so that equal maxima are common
        return (rng.integers(0, 9, logits.shape) / 8).astype(np.float32)
    exp = np.exp(logits - logits.max(0))
    return exp / exp.sum(0)


def merged(accumulator, grid, classes, seed, ties, skipped, cut):
    """All that an accumulator gives, rows and strips, with a new swath from row `cut` on."""
    results = []
    for row in range(grid.rows):
        above = results[-1][2] if row == cut and results and seed % 2 else None
        if row == cut:
            accumulator = type(accumulator).fresh(grid, classes, accumulator._together)
        accumulator.start_row(row, above)
        for chip in grid.chips(row):
            if (row * grid.cols + chip.col) not in skipped:
                accumulator.add(chip_probabilities(chip, classes, seed, ties), chip)
        rows = accumulator.pop_rows()
        results.append((rows, accumulator.upper_strip(), accumulator.lower_strip()))
    return results


class OnTorch(TorchAccumulator):
    @classmethod
    def fresh(cls, grid, classes, together=()):
        return cls(grid, classes, device="cpu", probabilities=True, together=together)

    def add(self, probabilities, chip):
        with torch.inference_mode():  # as a network's outputs are made
            tensor = torch.from_numpy(probabilities) * 1
        super().add(tensor, chip)


class OnNumpy(NumpyAccumulator):
    @classmethod
    def fresh(cls, grid, classes, together=()):
        return cls(grid, classes, probabilities=True, together=together)


def same(a, b):
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and np.array_equal(a, b)


@settings(max_examples=80, deadline=None)
@given(
    grids(),
    st.integers(1, 5),
    st.integers(0, 2**31),
    st.booleans(),
    st.sets(st.integers(0, 30), max_size=6),
    st.none() | st.integers(1, 5),
    st.sets(st.integers(0, 4), min_size=2, max_size=3),
)
def test_the_same_bytes_as_the_reference(grid, classes, seed, ties, skipped, cut, group):
    group = sorted(k for k in group if k < classes)
    together = group if 2 <= len(group) < classes else ()
    each = (grid, classes, seed, ties, skipped, cut)
    expected = merged(OnNumpy.fresh(grid, classes, together), *each)
    found = merged(OnTorch.fresh(grid, classes, together), *each)
    for (rows, *strips), (other_rows, *other_strips) in zip(expected, found, strict=True):
        assert (rows is None) == (other_rows is None)
        if rows is not None:
            assert rows.window == other_rows.window
            assert same(rows.classes, other_rows.classes)
            assert same(rows.confidence, other_rows.confidence)
            assert same(rows.probabilities, other_rows.probabilities)
        assert all(same(a, b) for a, b in zip(strips, other_strips, strict=True))


def test_a_network_and_its_merge_work_together(make_card):
    """Outputs are inference tensors; merging overwrites them."""
    card = make_card()
    predictor = TorchPredictor(card, trained(card), resolve_numerics(device="cpu"))
    grid = ChipGrid(56, 88, 32, 8)
    accumulator = new_accumulator(predictor, grid, probabilities=True)
    reference = NumpyAccumulator(grid, 3, probabilities=True)
    assert isinstance(accumulator, TorchAccumulator)
    image = reflectance(1, 56, 88)
    strip = None
    for row in range(grid.rows):
        if row == 1:  # as after a restart: the strip comes from a file, and is read-only
            accumulator = new_accumulator(predictor, grid, probabilities=True)
            strip.flags.writeable = False
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            accumulator.start_row(row, strip if row == 1 else None)
        reference.start_row(row)
        for chip in grid.chips(row):
            probabilities = predictor(image[(..., *chip.window.slices)])[0]
            reference.add(probabilities.numpy().copy(), chip)
            accumulator.add(probabilities, chip)
        found, expected = accumulator.pop_rows(), reference.pop_rows()
        strip = accumulator.lower_strip()
        assert np.array_equal(found.classes, expected.classes)
        assert np.array_equal(found.probabilities, expected.probabilities)
        assert found.classes.max() < 3


def test_the_merge_of_streams_takes_one_thread_and_gives_it_back(make_card, monkeypatch):
    """And only for as long as it merges: the number of threads is everybody's."""
    seen = []
    real = NumpyAccumulator.add
    monkeypatch.setattr(
        NumpyAccumulator,
        "add",
        lambda self, *what: (seen.append(torch.get_num_threads()), real(self, *what)),
    )
    grid = ChipGrid(32, 64, 32, 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for threads in (1, None):
            accumulator = TorchAccumulator(grid, 3, device="cpu", threads=threads)
            accumulator.start_row(0)
            for chip in grid.chips(0):
                accumulator.add(torch.full((3, 32, 32), 1 / 3), chip)
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1, 2, 2]


def test_a_gpu_has_two_batches_to_do_and_they_are_kept_until_then(make_card, monkeypatch):
    """With events of no GPU; that it then computes the same is in test_cuda."""
    done: list[int] = []

    class Event:
        made = 0

        def __init__(self, blocking: bool) -> None:
            assert blocking  # else a core would spin
            self.number = Event.made
            Event.made += 1

        def record(self, stream: object) -> None:
            assert stream == "stream of cuda:1"

        def synchronize(self) -> None:
            done.append(self.number)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    predictor = TorchPredictor(make_card(), trained(make_card()), resolve_numerics(**FLOAT32))
    assert not predictor.is_asynchronous
    assert predictor.new_batch((2, 2, 8, 8)).shape == (2, 2, 8, 8)
    predictor._device = torch.device("cuda:1")
    batches = [reflectance(1, 8, 8, seed) for seed in range(5)]
    for batch in batches:
        predictor._wait_where_far_ahead(batch)
    assert done == [0, 1, 2]
    assert not pickle.loads(pickle.dumps(predictor))._queued
    assert [id(kept) for _, kept in predictor._queued] == [id(one) for one in batches[3:]]
