"""8-bit integers: faster, near, calibrated on the scene, and refused where they are not near."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

import agriseg
from agriseg.errors import ModelError, OptionError
from agriseg.legend import Legend
from agriseg.models import (
    BandInput,
    ModelCard,
    Numerics,
    build_network,
    engines,
    int8_predictor,
    load_model,
    resolve_numerics,
    save_model,
)
from agriseg.models.openvino_predictor import converted
from agriseg.raster import open_scene
from tests.support import MAP_ONLY, NORTH_UP, UTM, result_bytes, write_raster

pytestmark = pytest.mark.skipif(find_spec("nncf") is None, reason="nncf is not installed")


@pytest.fixture(autouse=True)
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrating takes seconds otherwise."""
    monkeypatch.setattr(int8_predictor, "_LATTICE", 3)
    monkeypatch.setattr(int8_predictor, "_SIDE", 128)


@pytest.fixture(scope="module")
def scene_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bands: stripes of soil and plants, with noise; a corner without pixels."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:300, :420]
    plants = np.sin((cols + rows / 3) / 9) > 0.3
    red, nir = np.where(plants, 0.05, 0.2), np.where(plants, 0.5, 0.25)
    data = np.stack([red, nir]).astype(np.float32) + rng.normal(0, 0.02, (2, 300, 420))
    data[:, :60, :80] = -10000
    path = tmp_path_factory.mktemp("int8") / "scene.tif"
    write_raster(path, data.astype(np.float32), nodata=-10000.0, crs=UTM, transform=NORTH_UP)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("red", "nir")
    return path


@pytest.fixture(scope="module")
def model_path(scene_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small U-Net that has learned which is which, as only then 8 bits can be near."""
    card = ModelCard(
        name="stripes",
        architecture="unet",
        options={
            "encoder_name": "resnet18",
            "encoder_depth": 3,
            "decoder_channels": [32, 16, 16],
        },
        bands=(BandInput("red", mean=0.12, std=0.08), BandInput("nir", mean=0.35, std=0.13)),
        legend=Legend.of(("soil", "#a67c52"), ("plant", "#2e8b3d")),
        chip_size=128,
        overlap=32,
        stride=8,
    )
    torch.manual_seed(0)
    network = build_network(card).train()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    with rasterio.open(scene_path) as dataset:
        data = dataset.read()[:, 60:]
    x = torch.from_numpy((data - card.means[:, None, None]) / card.stds[:, None, None]).float()
    truth = torch.from_numpy((data[1] > 0.37).astype(np.int64))
    generator = np.random.default_rng(0)
    for _ in range(40):
        row, col = generator.integers(0, 240 - 64), generator.integers(0, 420 - 64)
        part = (slice(row, row + 64), slice(col, col + 64))
        loss = torch.nn.functional.cross_entropy(
            network(x[:, part[0], part[1]][None]), truth[part][None]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    return save_model(path, card, network.state_dict())


def classes(run: agriseg.Run) -> np.ndarray:
    with rasterio.open(run.path / "classes.tif") as dataset:
        return dataset.read(1)


def test_differences_of_bands_stay_exact() -> None:
    bands = (BandInput("red", mean=0.12, std=0.08), BandInput("nir", mean=0.35, std=0.13))
    small = {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [8, 8, 8]}
    card = ModelCard(
        "pairs", "unet", bands, Legend.of(("soil", "#a67c52"), ("plant", "#2e8b3d")),
        options={**small, "band_pairs": True}, chip_size=64, overlap=16, stride=8,
    )  # fmt: skip
    model, _ = converted(card, build_network(card), 1)
    windows = [np.random.default_rng(0).uniform(0, 0.5, (1, 2, 64, 64)).astype(np.float32)]
    found = int8_predictor._quantized(model, windows, pairs=True).get_ordered_ops()
    before = {
        operation.get_type_name(): [
            port.get_source_output().get_node().get_type_name() for port in operation.inputs()
        ]
        for operation in reversed(found)
    }
    assert before["Divide"] == ["Subtract", "Add"]
    assert before["Convolution"][0] == "FakeQuantize"


def test_a_run_is_near_float32_and_repeats_itself(
    scene_path: Path, model_path: Path, tmp_path: Path
) -> None:
    runs = [
        agriseg.segment(
            scene_path, tmp_path / name, model=model_path, precision=precision, **MAP_ONLY
        )
        for name, precision in (("a", "int8"), ("b", "int8"), ("c", "float32"))
    ]
    first, again, exact = (classes(run) for run in runs)
    assert np.array_equal(first, again)
    assert (first != exact).mean() < 0.01
    assert (first[:60, :80] == 255).all()
    assert len(np.unique(first)) == 3
    told = runs[0].record["model"]
    assert 0 <= told["changed_by_int8"] < 0.01
    assert told["calibration_windows"] == 9
    assert told["precision"] == "int8"
    assert "nncf" in told["engine"]
    assert runs[0].record["key"] == runs[1].record["key"] != runs[2].record["key"]


def test_any_swaths_give_the_same_bytes(scene_path: Path, model_path: Path, tmp_path: Path) -> None:
    model = load_model(model_path, precision="int8").for_scene(open_scene(scene_path))
    one, cut = (
        agriseg.segment(scene_path, tmp_path / str(swaths), model=model, swaths=swaths, **MAP_ONLY)
        for swaths in (1, 3)
    )
    assert result_bytes(one.path) == result_bytes(cut.path)


def test_it_tells_what_changed(scene_path: Path, model_path: Path) -> None:
    model = load_model(model_path, precision="int8")
    adapted = model.for_scene(open_scene(scene_path))
    assert "changed_by_int8" not in adapted.about()
    adapted.make_ready()
    found = adapted(np.full((1, 2, 64, 64), 0.2, np.float32))
    assert found.shape == (1, 2, 64, 64)
    assert torch.allclose(found.sum(1), torch.ones(1), atol=1e-4)
    assert 0 <= adapted.about()["changed_by_int8"] < 0.01
    assert adapted.streams == load_model(model_path, engine="openvino").streams
    assert adapted.fingerprint == model.fingerprint
    again = model.for_scene(open_scene(scene_path))  # need not be calibrated again
    assert again.about()["changed_by_int8"] == adapted.about()["changed_by_int8"]


def test_a_network_that_does_not_bear_it_is_refused(
    scene_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_predictor, "_MOST_CHANGED", -1.0)
    model = load_model(model_path, precision="int8").for_scene(open_scene(scene_path))
    calls = []
    real = int8_predictor._quantized
    monkeypatch.setattr(
        int8_predictor, "_quantized", lambda *what: (calls.append(1), real(*what))[1]
    )
    for _ in range(3):  # as several streams do
        with pytest.raises(ModelError, match=r"of the classes of this scene.*leave --precision"):
            model(np.zeros((1, 2, 64, 64), np.float32))
    assert len(calls) == 1


def test_a_changed_file_is_calibrated_anew(
    scene_path: Path, model_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "scene.tif"
    shutil.copy(scene_path, path)
    scene = open_scene(path)
    model = load_model(model_path, precision="int8").for_scene(scene)
    model.make_ready()
    with rasterio.open(path, "r+") as dataset:
        dataset.write(dataset.read() * np.float32(0.5))
    assert "changed_by_int8" not in model.for_scene(open_scene(path)).about()


def test_a_scene_is_needed_and_must_hold_pixels(model_path: Path, tmp_path: Path) -> None:
    model = load_model(model_path, precision="int8")
    with pytest.raises(ModelError, match=r"for_scene\(scene\)"):
        model(np.zeros((1, 2, 64, 64), np.float32))
    path = tmp_path / "empty.tif"
    data = np.full((2, 40, 50), -10000, np.float32)
    write_raster(path, data, nodata=-10000.0, crs=UTM, transform=NORTH_UP)
    empty = open_scene(path, bands="red,nir", scale=1)
    with pytest.raises(ModelError, match="no valid pixel"):
        model.for_scene(empty)(np.zeros((1, 2, 64, 64), np.float32))


@pytest.mark.parametrize("shape", [(1, 1), (5, 70), (300, 9)])
def test_small_scenes(model_path: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    path = tmp_path / "small.tif"
    data = np.random.default_rng(1).random((2, *shape), np.float32) * 0.4
    write_raster(path, data, crs=UTM, transform=NORTH_UP)
    run = agriseg.segment(
        path, tmp_path / "out", model=model_path, precision="int8", bands="red,nir", scale=1,
        **MAP_ONLY,
    )  # fmt: skip
    assert classes(run).shape == shape


def test_only_openvino_computes_it(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="only OpenVINO"):
        load_model(model_path, precision="int8", engine="torch")
    with pytest.raises(OptionError, match="--device cpu"):
        resolve_numerics(precision="int8", device="cuda")
    real = engines._version
    monkeypatch.setattr(engines, "_version", lambda name: None if name == "nncf" else real(name))
    with pytest.raises(OptionError, match=r"pip install 'agriseg\[int8\]'"):
        load_model(model_path, precision="int8")


def test_the_key_holds_versions() -> None:
    one, two = (resolve_numerics(precision="int8", threads=threads) for threads in (1, 2))
    assert one.key == two.key
    assert "nncf" in json.loads(one.key)["engine_version"]
    assert resolve_numerics(**Numerics.options(two.key)).key == two.key


def test_nothing_is_printed(
    scene_path: Path, model_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = load_model(model_path, precision="int8").for_scene(open_scene(scene_path))
    model(np.zeros((1, 2, 64, 64), np.float32))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Statistics" not in captured.err
