"""Small scenes that a small network can learn in a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from agriseg.training.config import TrainConfig
from tests.support import write_raster

TINY = {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}

SMALL = {"architecture": "fcn", "options": {"num_filters": 4}}
"""A network that takes next to no time."""


def draw_scene(
    folder: Path, number: int, height: int = 80, width: int = 112, bands: str = "red,nir"
) -> tuple[Path, NDArray[np.uint8]]:
    """Dark soil, bright crop rows, and weeds that are bright in one band only; a corner nodata."""
    random = np.random.default_rng(number)
    labels = np.zeros((height, width), np.uint8)
    labels[:, 8::24] = labels[:, 9::24] = labels[:, 10::24] = labels[:, 11::24] = 1
    for row, col in random.integers(0, (height - 6, width - 6), (12, 2)):
        labels[row : row + 5, col : col + 5] = 2
    red = np.choose(labels, [0.30, 0.05, 0.25]) + random.normal(0, 0.02, labels.shape)
    nir = np.choose(labels, [0.35, 0.60, 0.55]) + random.normal(0, 0.02, labels.shape)
    green = np.choose(labels, [0.20, 0.10, 0.30]) + random.normal(0, 0.02, labels.shape)
    planes = {"red": red, "nir": nir, "green": green}
    names = bands.split(",")
    data = np.stack([planes[name] for name in names]).astype(np.float32)
    data[:, :6, :6] = -1
    path = write_raster(
        folder / f"scene{number}.tif", data, descriptions=names, nodata=-1, compress="deflate"
    )
    write_raster(folder / f"labels{number}.tif", labels[None], compress="deflate")
    return path, labels


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Path]:
    """A configuration file beside three small scenes; keywords change its sections."""

    def make(**changes: Any) -> Path:
        for number in range(3):
            draw_scene(tmp_path, number)
        plain: dict[str, Any] = {
            "name": "tiny",
            "legend": {"soil": "#c8a882", "crop": "#1b6e2b", "weed": "#d81b9a"},
            "bands": ["red", "nir?"],
            "data": [{"kind": "scenes", "scenes": "scene*.tif", "labels": "labels*.tif"}],
            "split": {"by": "group", "validation": 0.34},
            "model": {"architecture": "unet", "options": TINY},
            "chips": {"size": 32, "batch": 2},
            "learn": {"steps": 6, "validate_every": 3, "checkpoint_s": 0, "precision": "float32"},
            "card": {"licence": "CC0", "data": "drawn for a test", "chip_size": 64, "overlap": 16},
        }
        for key, value in changes.items():
            old = plain.get(key)
            plain[key] = {**old, **value} if isinstance(old, dict) else value
        path = tmp_path / "train.yaml"
        path.write_text(yaml.safe_dump(plain, sort_keys=False))
        return path

    return make


@pytest.fixture
def config(make_config: Callable[..., Path]) -> TrainConfig:
    from agriseg.training.config import read_config

    return read_config(make_config())
