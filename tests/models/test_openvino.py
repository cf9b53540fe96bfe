"""OpenVINO computes the same network."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from agriseg.errors import ModelError
from agriseg.models import (
    ModelCard,
    build_network,
    check_output,
    load_model,
    new_accumulator,
    openvino_predictor,
    resolve_numerics,
    save_model,
)
from agriseg.models.engines import EngineError
from agriseg.tiling import ChipGrid


@pytest.fixture
def path(make_card, tmp_path: Path) -> Path:
    card: ModelCard = make_card(temperature=1.7)
    torch.manual_seed(3)
    network = build_network(card).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, len(card.bands), 64, 64))
    return save_model(tmp_path / "m.safetensors", card, network.state_dict())


def reflectance(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((1, 2, height, width), np.float32) * 0.5


@pytest.mark.parametrize("shape", [(64, 64), (64, 32), (32, 96)])
def test_float32_is_that_of_torch(path: Path, shape: tuple[int, int]) -> None:
    x = reflectance(*shape)
    before = x.copy()
    engines = [load_model(path, engine=e, precision="float32") for e in ("torch", "openvino")]
    exact, found = (engine(x) for engine in engines)
    check_output(found, x.shape, engines[1].card)
    assert torch.allclose(exact, found, atol=2e-4)
    assert float(found.std()) > 0.01
    assert np.array_equal(x, before)
    assert len({engine.fingerprint for engine in engines}) == 1
    assert len({engine.numerics for engine in engines}) == 2


def test_bfloat16_is_near_and_repeats_itself(path: Path) -> None:
    model = load_model(path, engine="openvino", precision="bfloat16")
    exact = load_model(path, engine="torch", precision="float32")
    x, other = reflectance(64, 64), reflectance(32, 64)
    first = model(x)
    kept = first.clone()
    model(other)
    assert torch.equal(first, kept), "a later call wrote into an earlier result"
    assert torch.equal(model(x), kept)
    assert float((exact(x) - first).abs().mean()) < 0.01


def test_any_number_of_chips_at_a_time(path: Path) -> None:
    model = load_model(path, engine="openvino", precision="float32")
    one, other = reflectance(64, 32), reflectance(64, 32)[:, ::-1].copy()
    both = model(np.concatenate([one, other]))
    assert torch.allclose(both, torch.cat([model(one), model(other)]), atol=1e-5)


def test_read_only_and_strided_batches_are_taken(path: Path) -> None:
    model = load_model(path, engine="openvino", precision="float32")
    x = reflectance(64, 64)
    expected = model(x)
    x.setflags(write=False)
    assert torch.equal(model(x), expected)
    assert torch.equal(model(np.asfortranarray(x)), expected)


def test_it_merges_in_torch_and_tells_about_itself(path: Path) -> None:
    model = load_model(path, engine="openvino")
    assert type(new_accumulator(model, ChipGrid(64, 64, 64, 0))).__name__ == "TorchAccumulator"
    told = model.about()
    assert told["engine"].startswith("openvino ")
    assert told["why"] == "as asked"
    assert told["parameters"] > 1000


def test_what_it_cannot_take_goes_to_torch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> object:
        raise RuntimeError("no such operation\nfor this network")

    monkeypatch.setattr(openvino_predictor, "_openvino", refuse)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("agriseg.models.engines.platform.machine", lambda: "x86_64")
    model = load_model(path)
    assert model.settings.engine == "torch"
    assert "openvino failed" in model.settings.why
    assert "no such operation for this network" in model.settings.why
    check_output(model(reflectance(64, 64)), (1, 2, 64, 64), model.card)
    with pytest.raises(EngineError, match="--engine torch"):
        load_model(path, engine="openvino")


def test_a_broken_installation_goes_to_torch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> object:
        raise ImportError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr(openvino_predictor, "_openvino", refuse)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("agriseg.models.engines.platform.machine", lambda: "x86_64")
    assert "libtbb" in load_model(path).settings.why
    with pytest.raises(ModelError, match="libtbb"):
        load_model(path, engine="openvino")


def test_nothing_is_reported_to_anybody(path: Path) -> None:
    load_model(path, engine="openvino")
    assert sys.modules.get("openvino_telemetry") is None


class _Baked(torch.nn.Module):
    """Takes half of its example's height for a constant, as a tracer does."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = torch.nn.Conv2d(2, classes, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top = int(x.shape[2] / 2)
        found = self.head(x)
        shift = 5 * torch.arange(found.shape[1]).reshape(1, -1, 1, 1)
        return torch.cat([found[:, :, :top] + shift, found[:, :, top:]], 2)


def test_a_network_that_the_conversion_changes_is_refused(make_card) -> None:
    card = make_card()
    with pytest.raises(EngineError, match="--engine torch"):
        openvino_predictor.OpenVinoPredictor(
            card, _Baked(len(card.legend)), resolve_numerics(engine="openvino")
        )


def test_a_fault_in_the_middle_is_one_line(path: Path) -> None:
    model = load_model(path, engine="openvino")

    class Broken:
        def infer(self, *args: object, **options: object) -> None:
            raise RuntimeError("Check 'memory' failed\nat somewhere")

    while not model._requests.empty():
        model._requests.get()
    model._requests.put(Broken())
    with pytest.raises(ModelError, match=r"memory.*smaller --chip, or --engine torch") as caught:
        model(reflectance(64, 64))
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="memory"):  # and it can be asked again
        model(reflectance(64, 64))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_streams_answer_at_once_and_alike(path: Path, precision: str) -> None:
    inputs = [reflectance(64, 32 * (1 + k % 3)) * (1 + k / 10) for k in range(9)]
    one = load_model(path, engine="openvino", precision=precision, threads=1)
    three = load_model(path, engine="openvino", precision=precision, threads=3)
    assert (one.streams, three.streams) == (1, 3)
    assert one.numerics == three.numerics
    expected = [one(x) for x in inputs]
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(three, inputs))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
