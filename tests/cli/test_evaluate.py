"""`agriseg evaluate`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agriseg.cli.evaluate import renamed_by
from agriseg.errors import OptionError
from tests.support import command, fresh_command, write_raster

CONFIG = """
legend: {soil: "#c8a882", plant: "#1b6e2b"}
data:
  - kind: scenes
    scenes: field.tif
    labels: labels.tif
    values: {0: soil, 1: plant, 9: ignore}
"""


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not folded."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    plant = np.zeros((60, 80), np.uint8)
    plant[10:30, 20:50] = 1
    bands = np.where(plant, 0.05, 0.2), np.where(plant, 0.5, 0.25)
    noise = rng.normal(0, 0.01, (2, 60, 80))
    write_raster(
        tmp_path / "field.tif",
        (np.stack(bands) + noise).astype(np.float32),
        descriptions=["red", "nir"],
    )
    plant[:5] = 9
    write_raster(tmp_path / "labels.tif", plant[None])
    path = tmp_path / "data.yaml"
    path.write_text(CONFIG)
    return path


def test_tables_json_and_files(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    how = ("evaluate", "index-baseline", config, "--map", "vegetation=plant")
    done = fresh_command(*how, "-o", out)
    assert done.returncode == 0, done.stderr
    for words in ("Mapped very well", "400 pixels without a label", "blocks of", "called plant"):
        assert words in done.stdout, done.stdout
    written = json.loads((out / "evaluation.json").read_text())
    told = command(*how, "--json", "-q")
    assert not told.stderr
    printed = json.loads(told.stdout)
    assert printed["scores"] == written["scores"]
    assert printed["classes"]["plant"]["iou"]["value"] > 0.9


def test_two_models_and_a_series(config: Path) -> None:
    done = command(
        *("evaluate", "index-baseline", config, "index-baseline", "--map", "vegetation=plant"),
        *("--gsd", "0.04,0.1"),
    )
    assert done.returncode == 0, done.stderr
    for words in ("difference", "within chance", "seconds a ha", "4 cm", "10 cm"):
        assert words in done.stdout, done.stdout


@pytest.mark.parametrize("option", ["--save-calibrated", "--into-card"])
def test_what_was_measured_is_told_where_it_cannot_be_kept(config: Path, option: str) -> None:
    done = command(
        *("evaluate", "index-baseline", config, "--map", "vegetation=plant", "-q", "--json"),
        *(option, config.with_name("new.safetensors")),
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert json.loads(done.stdout)["classes"]["plant"]["iou"]["value"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say which of them it is"),
        (("--map", "vegetation"), "expected are pairs such as crop=plant"),
        (("--map", "vegetation=plant", "--gsd", "x"), "--gsd 'x'"),
        (("--map", "vegetation=plant", "--part", "test"), "no scene is set apart"),
    ],
)
def test_faults_are_one_line(config: Path, arguments: tuple[str, ...], said: str) -> None:
    done = command("evaluate", "index-baseline", config, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_scene_and_its_labels(config: Path, tmp_path: Path) -> None:
    """A label raster that names no classes: its values are those of the model."""
    plant = np.zeros((1, 60, 80), np.uint8)
    plant[:, 10:30, 20:50] = 1
    plant[:, :5] = 255
    labels = write_raster(tmp_path / "plain.tif", plant)
    done = command(
        *("evaluate", "index-baseline", tmp_path / "field.tif", "--labels", labels, "--json", "-q")
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["legend"]["data"] == ["soil", "vegetation"]
    assert told["pixels"]["ignored"] == 400
    assert told["classes"]["vegetation"]["iou"]["value"] > 0.9


def test_pairs() -> None:
    assert renamed_by([]) == {}
    assert renamed_by(["a=b, c = d", "e=b"]) == {"a": "b", "c": "d", "e": "b"}
    with pytest.raises(OptionError, match="twice, b and c"):
        renamed_by(["a=b", "a=c"])
