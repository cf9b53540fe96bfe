"""The whole path on a GPU; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

import agriseg
from agriseg.errors import ModelError
from agriseg.models import (
    BandInput,
    ModelCard,
    TorchAccumulator,
    TorchPredictor,
    build_network,
    resolve_numerics,
)
from agriseg.tiling import ChipGrid, NumpyAccumulator
from tests.support import LEGEND, result_bytes, write_raster

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return ModelCard(
        name="gpu",
        architecture="unet",
        options={"encoder_name": "resnet18"},
        bands=(BandInput("red", mean=0.3, std=0.2), BandInput("nir", mean=0.5, std=0.2)),
        legend=LEGEND,
        chip_size=256,
        overlap=32,
        stride=32,
    )


@pytest.fixture(scope="module")
def network(card: ModelCard) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(card)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = np.random.default_rng(0).random((2, 1100, 900), np.float32)
    data[:, 300:700, 200:500] = np.nan
    return write_raster(
        tmp_path_factory.mktemp("scene") / "scene.tif", data, descriptions=["red", "nir"]
    )


def predictor(card: ModelCard, network: torch.nn.Module, **options: object) -> TorchPredictor:
    return TorchPredictor(card, network, resolve_numerics(device="cuda", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("swaths", [2, 5])
def test_same_bytes_for_any_swaths_and_again(
    tmp_path: Path, scene: Path, card: ModelCard, network: torch.nn.Module, swaths: int
) -> None:
    for name, count in (("plain", 1), ("again", 1), ("cut", swaths)):
        model = predictor(card, network)
        agriseg.segment(scene, tmp_path / name, model=model, swaths=count, probabilities=True)
    expected = result_bytes(tmp_path / "plain" / "scene")
    assert result_bytes(tmp_path / "again" / "scene") == expected
    assert result_bytes(tmp_path / "cut" / "scene") == expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nearly_all_classes_equal_those_of_the_cpu(
    tmp_path: Path, scene: Path, card: ModelCard, network: torch.nn.Module, precision: str
) -> None:
    gpu = agriseg.segment(
        scene, tmp_path / "gpu", model=predictor(card, network, precision=precision)
    )
    numerics = resolve_numerics(device="cpu", precision="float32")
    cpu = agriseg.segment(scene, tmp_path / "cpu", model=TorchPredictor(card, network, numerics))
    assert isinstance(gpu, agriseg.Run)
    assert isinstance(cpu, agriseg.Run)
    with rasterio.open(gpu.classes) as a, rasterio.open(cpu.classes) as b:
        ours, theirs = a.read(1), b.read(1)
    np.testing.assert_array_equal(ours == 255, theirs == 255)
    # Random weights decide nearly by chance, so bfloat16 flips more than a trained model's would.
    assert (ours == theirs).mean() > (0.999 if precision == "float32" else 0.97)


def test_the_merge_on_the_gpu_equals_the_reference_bit_for_bit() -> None:
    grid = ChipGrid(70, 90, 24, 9)
    reference = NumpyAccumulator(grid, 3, probabilities=True)
    ours = TorchAccumulator(grid, 3, device="cuda", probabilities=True)
    rng = np.random.default_rng(0)
    for row in range(grid.rows):
        reference.start_row(row)
        ours.start_row(row)
        for chip in grid.chips(row):
            values = rng.random((3, *chip.window.shape), np.float32)
            values /= values.sum(axis=0)
            ours.add(torch.from_numpy(values.copy()).cuda(), chip)
            reference.add(values, chip)
        a, b = reference.pop_rows(), ours.pop_rows()
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a.classes, b.classes)
        np.testing.assert_array_equal(a.confidence, b.confidence)
        np.testing.assert_array_equal(a.probabilities, b.probabilities)


def test_out_of_memory_says_what_would_fit(card: ModelCard, network: torch.nn.Module) -> None:
    model = predictor(card, network, batch=4096)
    free, _ = torch.cuda.mem_get_info()
    hog = torch.empty(int(free * 0.97), dtype=torch.uint8, device="cuda")
    try:
        with pytest.raises(ModelError, match="--batch") as caught:
            model(np.zeros((64, 2, 512, 512), np.float32))
        assert "\n" not in str(caught.value)
    finally:
        del hog
        torch.cuda.empty_cache()


def test_batches_lie_in_memory_that_is_copied_from_meanwhile(
    card: ModelCard, network: torch.nn.Module
) -> None:
    model = predictor(card, network, precision="float32")
    rng = np.random.default_rng(0)
    values = [rng.random((4, 2, 256, 256), np.float32) for _ in range(12)]
    expected = [model(one).cpu() for one in values]
    found = []
    for one in values:  # memory of batches that were dropped comes again
        batch = model.new_batch(one.shape)
        assert torch.from_numpy(batch).is_pinned()
        batch[:] = one
        found.append(model(batch))
        del batch
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.cpu(), theirs)
