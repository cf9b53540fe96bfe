"""The whole way from a configuration to a model file, also when it is killed on the way."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio
import torch
from safetensors.torch import load_file

import agriseg
from agriseg.errors import AgrisegError, OptionError
from agriseg.labels import open_material
from agriseg.models import read_card
from agriseg.training.config import read_config
from tests.support import DATA
from tests.training.conftest import SMALL, TINY

ROOT = Path(__file__).parents[2]
Make = Callable[..., Path]


def learned(config: Path, out: Path, **more: Any) -> Path:
    """A training without the page at its end, which has tests of its own."""
    return agriseg.train(config, out, report=False, **more)


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_model_is_learned_and_segments(make_config: Make, tmp_path: Path) -> None:
    """Forty steps tell crop rows from soil; the file that comes of it is used like any other."""
    path = make_config(learn={"steps": 40, "validate_every": 20, "rate": 0.005, "ema": 0.8})
    model = learned(path, tmp_path / "out")
    card = read_card(model)
    assert card.keys == ("red", "nir")
    assert [band.required for band in card.bands] == [True, False]
    assert 0.2 < card.bands[0].mean < 0.35
    assert card.bands[0].std > 0.02
    assert card.gsd_m == pytest.approx((0.016, 0.025))
    assert card.licence == "CC0"
    assert card.temperature != 1
    assert card.training["data"] == "drawn for a test"
    assert card.scores["validation"]["iou"]["crop"] > 0.5
    with open(tmp_path / "out" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["20", "40"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert list((tmp_path / "out" / "tensorboard").iterdir())
    run = agriseg.segment(tmp_path / "scene0.tif", tmp_path / "map", model=model)
    assert run.classes.exists()


def test_scores_are_those_of_the_pixel_size_that_was_asked_for(
    make_config: Make, tmp_path: Path
) -> None:
    """Chips of 3 cm from scenes of 2 cm: the network knows nothing of pixels of 2 cm."""
    path = make_config(chips={"gsd_m": 0.03}, learn={"steps": 2})
    card = read_card(agriseg.train(path, tmp_path / "out"))
    validation = card.scores["validation"]
    with rasterio.open(tmp_path / "scene0.tif") as dataset:
        whole = dataset.width * dataset.height
    assert validation["scenes"] == 1
    assert 0.3 * whole < validation["pixels"] < 0.5 * whole


def test_killed_at_any_moment_it_comes_to_the_same_weights(
    make_config: Make, tmp_path: Path
) -> None:
    """A child is killed as soon as it has stored something; the second call ends it.

    Slow because it starts interpreters that load torch.
    """
    # One with dropout: its chance must come back, too.
    options = {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": 16}
    path = make_config(
        model={"architecture": "deeplabv3+", "options": options},
        learn={"steps": 12, "validate_every": 5},
        augment={"rotate_deg": 20.0, "shadow": 0.5, "blur": 0.5},
    )
    whole = learned(path, tmp_path / "whole")
    out = tmp_path / "killed"
    code = f"import agriseg; agriseg.train({str(path)!r}, {str(out)!r}, report=False)"
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT)
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "tiny.safetensors").exists()
    resumed = learned(path, out)
    assert same_weights(whole, resumed)
    assert (out / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


def test_another_training_in_the_folder_is_not_touched(make_config: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = learned(make_config(model=SMALL, learn={"steps": 2}), out)
    written = first.stat().st_mtime_ns
    assert learned(make_config(model=SMALL, learn={"steps": 2}), out) == first
    assert first.stat().st_mtime_ns == written, "what is finished is not done again"
    learned(make_config(model=SMALL, learn={"steps": 2}, card={"licence": "MIT"}), out)
    assert read_card(first).licence == "MIT", "the card alone is written again"
    other = make_config(model=SMALL, learn={"steps": 3})
    with pytest.raises(OptionError, match="holds another training"):
        learned(other, out)
    learned(other, out, resume=False)
    assert read_card(first).training["steps"] == 3


def test_a_model_is_trained_further_from_where_data_are(make_config: Make, tmp_path: Path) -> None:
    """`init` is seen from the configuration, as data are, not from the working folder."""
    learned(make_config(model=SMALL, learn={"steps": 2}), tmp_path / "first")
    further = {"init": "first/tiny.safetensors", "architecture": None, "options": None}
    card = read_card(learned(make_config(model=further, learn={"steps": 1}), tmp_path / "second"))
    assert card.architecture == "fcn"
    assert card.bands == read_card(tmp_path / "first/tiny.safetensors").bands


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("unet++", TINY),
        ("deeplabv3+", {"encoder_name": "resnet18", "decoder_channels": 16}),
        ("fpn", {"encoder_name": "resnet18", "decoder_pyramid_channels": 16}),
        ("fcn", {"num_filters": 8}),
    ],
)
def test_each_architecture_learns(
    make_config: Make, tmp_path: Path, architecture: str, options: dict[str, Any]
) -> None:
    path = make_config(model={"architecture": architecture, "options": options}, learn={"steps": 2})
    assert learned(path, tmp_path / "out").exists()


def test_early_stopping_keeps_the_best(make_config: Make, tmp_path: Path) -> None:
    """With a rate of nothing, and no running means, no validation is better than the first."""
    learn = {"steps": 50, "validate_every": 1, "patience": 2, "rate": 1e-12, "ema": 0.0}
    model = learned(make_config(learn=learn, model=SMALL), tmp_path / "out")
    assert read_card(model).training["steps"] == 3


def test_without_validation_the_last_weights_are_kept(make_config: Make, tmp_path: Path) -> None:
    path = make_config(model=SMALL, split={"validation": 0.0}, learn={"steps": 2})
    card = read_card(learned(path, tmp_path / "out"))
    assert card.scores == {}
    assert card.temperature == 1


def test_bfloat16_and_half_precision_weights(make_config: Make, tmp_path: Path) -> None:
    learn = {"steps": 2, "precision": "bfloat16"}
    path = make_config(model=SMALL, learn=learn, card={"half": True})
    weights = load_file(learned(path, tmp_path / "out"))
    kinds = {value.dtype for value in weights.values() if value.is_floating_point()}
    assert kinds == {torch.float16}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chips": {"batch": 1}, "model": {"architecture": "deeplabv3+"}}, "2 or more"),
        ({"chips": {"batch": 1}}, "2 or more"),
        ({"chips": {"sise": 32}}, "did you mean size"),
        ({"chips": {"size": 40}}, "multiple of 32"),
        ({"bands": ["red", "blue?"]}, "no scene has 'blue'"),
        ({"learn": {"loss": "dise"}}, "did you mean dice"),
        ({"learn": {"class_weights": {"corn": 2.0}}}, "'corn' is no class"),
        ({"learn": {"class_weights": {"weed": -1.0}}}, "class_weights.weed is -1"),
        ({"learn": {"tversky": [-0.3, 0.7]}}, r"tversky\[0\] is -0.3"),
        ({"model": {"architecture": "unett"}}, "did you mean 'unet'"),
        ({"model": {"init": "nowhere.pth"}}, "is not there"),
        ({"learn": {"class_weights": {"soil": 0, "crop": 0, "weed": 0}}}, "nothing would be"),
        ({"augment": {"scale": [1.2, 1.3]}}, "scale"),
    ],
)
def test_faults_are_told_before_the_first_step(
    make_config: Make, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = make_config(**changes)
    with pytest.raises(AgrisegError, match=said) as fault:
        learned(path, tmp_path / "out")
    assert "\n" not in str(fault.value)
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_a_loss_that_explodes_is_told(make_config: Make, tmp_path: Path) -> None:
    path = make_config(model=SMALL, learn={"rate": 1e30, "clip": 0.0, "warmup": 0.0})
    with pytest.raises(OptionError, match="choose a smaller"):
        learned(path, tmp_path / "out")
    assert not (tmp_path / "out" / "tiny.safetensors").exists()


def test_the_digest_is_that_of_what_changes_the_weights(make_config: Make) -> None:
    plain = read_config(make_config()).digest
    assert read_config(make_config(card={"licence": "MIT"})).digest == plain
    assert read_config(make_config(learn={"seed": 1})).digest != plain


@pytest.mark.parametrize("name", ["cwfid", "crop-weed"])
def test_shipped_configurations_can_be_read(name: str) -> None:
    assert read_config(ROOT / "configs" / f"{name}.yaml").name == name


@pytest.mark.skipif(not (DATA / "cwfid").is_dir(), reason=f"needs {DATA / 'cwfid'}")
def test_the_shipped_configuration_finds_its_data_from_a_base() -> None:
    config = read_config(ROOT / "configs" / "cwfid.yaml")
    found = open_material(config.data, config.legend, base=DATA)
    assert len(found.scenes) == 39
    assert {scene.gsd_m for scene in found.scenes} == {0.00011}
