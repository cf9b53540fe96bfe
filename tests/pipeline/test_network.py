"""Real networks through the whole path, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

import agriseg
from agriseg.errors import ModelError
from agriseg.models import BandInput, ModelCard, build_network, load_model, save_model
from tests.support import LEGEND, MAP_ONLY, leftovers, read_classes, result_bytes, write_raster

ENGINES = ("torch", "openvino")
OPTIONS: dict[str, dict[str, Any]] = {
    "unet": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]},
    "unet++": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]},
    "fpn": {},
    "deeplabv3+": {},
    "fcn": {"num_filters": 8},
}


def save_network(folder: Path, architecture: str = "unet", **changes: Any) -> Path:
    options = OPTIONS[architecture]
    if architecture != "fcn":
        options = {"encoder_name": "resnet18", **options}
    facts: dict[str, Any] = {
        "name": f"tiny-{architecture}",
        "architecture": architecture,
        "options": options,
        "bands": (
            BandInput("red", mean=0.3, std=0.2),
            BandInput("nir", mean=0.5, std=0.2),
            BandInput("blue", mean=0.1, std=0.1, required=False),
        ),
        "legend": LEGEND,
        "chip_size": 64,
        "overlap": 16,
        "stride": 32,
    }
    card = ModelCard(**(facts | changes))
    torch.manual_seed(1)
    network = build_network(card)
    return save_model(folder / f"{architecture}.safetensors", card, network.state_dict())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = np.random.default_rng(0).random((2, 203, 157), np.float32)
    data[:, 60:120, 30:90] = np.nan
    folder = tmp_path_factory.mktemp("scene")
    return write_raster(folder / "scene.tif", data, descriptions=["red", "nir"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("architecture", OPTIONS)
def test_every_architecture_maps_every_valid_pixel(
    tmp_path: Path, scene: Path, architecture: str, engine: str
) -> None:
    model = save_network(tmp_path, architecture)
    run = agriseg.segment(
        scene, tmp_path / "out", model=model, engine=engine, probabilities=True, **MAP_ONLY
    )
    assert isinstance(run, agriseg.Run)
    classes = read_classes(run.classes)
    with rasterio.open(scene) as dataset:
        invalid = np.isnan(dataset.read(1))
    np.testing.assert_array_equal(classes == 255, invalid)
    assert set(np.unique(classes[~invalid])) <= {0, 1, 2}
    assert run.probabilities is not None
    with rasterio.open(run.probabilities) as dataset:
        total = dataset.read().astype(int)[:, ~invalid].sum(axis=0)
    assert np.abs(total - 200).max() <= 2
    assert leftovers(run.path) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("swaths", "precision"), [(2, "auto"), (3, "float32"), (9, "auto")])
def test_any_swaths_give_the_same_bytes(
    tmp_path: Path, scene: Path, precision: str, swaths: int, engine: str
) -> None:
    model = save_network(tmp_path)
    options: dict[str, Any] = {"model": model, "engine": engine, "precision": precision}
    options |= {"probabilities": True, **MAP_ONLY}
    agriseg.segment(scene, tmp_path / "one", **options)
    agriseg.segment(scene, tmp_path / "cut", swaths=swaths, **options)
    assert result_bytes(tmp_path / "one" / "scene") == result_bytes(tmp_path / "cut" / "scene")


@pytest.mark.parametrize("engine", ENGINES)
def test_stopped_and_resumed_gives_the_same_bytes(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    model = load_model(save_network(tmp_path), engine=engine)
    agriseg.segment(scene, tmp_path / "whole", model=model)
    kind, calls = type(model), []
    predict = kind.__call__

    def fail_at_the_sixth(self: Any, batch: np.ndarray) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return predict(self, batch)

    monkeypatch.setattr(kind, "__call__", fail_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        agriseg.segment(scene, tmp_path / "stopped", model=model)
    assert leftovers(tmp_path / "stopped" / "scene")
    run = agriseg.segment(scene, tmp_path / "stopped", model=model)
    assert isinstance(run, agriseg.Run)
    assert run.record["rows_from_earlier_run"] > 0
    whole, stopped = tmp_path / "whole" / "scene", tmp_path / "stopped" / "scene"
    assert result_bytes(stopped) == result_bytes(whole)


def test_another_batch_is_another_key_and_nearly_the_same_map(tmp_path: Path, scene: Path) -> None:
    path = save_network(tmp_path)
    runs = [
        agriseg.segment(
            scene, tmp_path / str(batch), model=path, precision="float32", batch=batch, **MAP_ONLY
        )
        for batch in (1, 3)
    ]
    assert all(isinstance(run, agriseg.Run) for run in runs)
    first, second = (run for run in runs if isinstance(run, agriseg.Run))
    assert first.record["key"] != second.record["key"]
    same = read_classes(first.classes) == read_classes(second.classes)
    assert same.mean() >= 0.999


def test_the_map_has_no_seams_where_the_network_sees_enough(tmp_path: Path, scene: Path) -> None:
    """Away from chip borders by more than the network sees, chips of any size agree."""
    model = load_model(save_network(tmp_path), precision="float32")
    with rasterio.open(scene) as dataset:
        data = np.nan_to_num(dataset.read())
    path = write_raster(tmp_path / "full.tif", data, descriptions=["red", "nir"])
    whole = agriseg.segment(path, tmp_path / "whole", model=model, chip=256, **MAP_ONLY)
    chips = agriseg.segment(path, tmp_path / "chips", model=model, chip=128, overlap=64, **MAP_ONLY)
    assert isinstance(whole, agriseg.Run)
    assert isinstance(chips, agriseg.Run)
    same = read_classes(whole.classes) == read_classes(chips.classes)
    assert same.mean() > 0.98


def test_a_band_that_the_model_needs_is_missing(tmp_path: Path) -> None:
    data = np.ones((1, 40, 40), np.float32)
    path = write_raster(tmp_path / "red.tif", data, descriptions=["red"])
    with pytest.raises(agriseg.AgrisegError, match="nir"):
        agriseg.segment(path, tmp_path / "out", model=save_network(tmp_path), engine="torch")
    assert not (tmp_path / "out").exists()


def test_a_gsd_far_outside_is_refused_unless_ignored(tmp_path: Path, scene: Path) -> None:
    how: dict[str, Any] = {"model": save_network(tmp_path, gsd_m=(5.0, 20.0)), "engine": "torch"}
    with pytest.raises(ModelError, match="--ignore-gsd"):
        agriseg.segment(scene, tmp_path / "out", **how)
    run = agriseg.segment(scene, tmp_path / "out", ignore_gsd=True, **how, **MAP_ONLY)
    assert isinstance(run, agriseg.Run)


def test_unscaled_numbers_are_refused_by_a_model_for_reflectance(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(100, 5000, (2, 50, 60)).astype(np.uint16)
    path = write_raster(tmp_path / "dn.tif", data, descriptions=["red", "nir"])
    how: dict[str, Any] = {"model": save_network(tmp_path), "engine": "torch"}
    with pytest.raises(agriseg.AgrisegError, match="--scale"):
        agriseg.segment(path, tmp_path / "out", **how)
    run = agriseg.segment(path, tmp_path / "out", scale=1e-4, **how)
    assert isinstance(run, agriseg.Run)


def test_a_predictor_that_returns_nonsense_is_told_so(tmp_path: Path, scene: Path) -> None:
    from tests.support import Identity, identity_card

    class Logits(Identity):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            return super().__call__(batch) * 9

    class Flat(Identity):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            return super().__call__(batch)[:, :2]

    for kind, words in ((Logits, "softmax"), (Flat, "expected is")):
        with pytest.raises(ModelError, match=words):
            agriseg.segment(scene, tmp_path / "out", model=kind(identity_card()))
    with pytest.raises(ModelError, match="card"):
        agriseg.segment(scene, tmp_path / "out", model=len)  # type: ignore[arg-type]


def test_damaged_parts_are_an_error_or_nodata_on_request(tmp_path: Path) -> None:
    from agriseg.errors import ReadError
    from tests.support import Identity, class_field

    data = class_field(256, 256)
    path = write_raster(
        tmp_path / "scene.tif",
        data,
        descriptions=["red"],
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    )
    with rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_2_1", "TIFF", bidx=1))
    damaged = bytearray(path.read_bytes())
    damaged[start : start + 200] = b"\xff" * 200
    path.write_bytes(damaged)
    options: dict[str, Any] = {"model": Identity(), "chip": 64, "overlap": 0, "nodata": 99.0}
    # Looking at a scene stops at nothing that the run may be allowed to skip.
    report = agriseg.describe_scene(agriseg.open_scene(path, nodata=99.0))
    assert "cannot be read" in report.warnings[0]
    with pytest.raises(ReadError, match=r"scene\.tif: the pixels of columns 128\.\.191"):
        agriseg.segment(path, tmp_path / "out", **options)
    run = agriseg.segment(path, tmp_path / "out", skip_unreadable=True, **options)
    assert isinstance(run, agriseg.Run)
    expected = data[0].copy()
    expected[64:128, 128:192] = 255
    np.testing.assert_array_equal(read_classes(run.classes), expected)
    (line,) = run.record["unreadable"]
    assert "columns 128..191, rows 64..127" in line
