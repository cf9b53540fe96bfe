"""A five-band orthomosaic of any size with its labels, and networks trained on it for a minute.

Labels are those of `class_map`: crop rows, weeds, noise. Pixels are the spectrum of their class,
blurred a little and with noise, so that the file compresses about as an orthomosaic does and a
network has something to learn: one with random weights decides each pixel by a hair, and no two
precisions agree on it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window
from scipy.ndimage import uniform_filter

from agriseg.models import BandInput, ModelCard, build_network, save_model
from tests.benchmarks.class_map import TRANSFORM, write_class_map
from tests.support import LEGEND, UTM

ROLES = ("blue", "green", "red", "rededge", "nir")
# Reflectance of soil, crop and weed in 1/10000.
SPECTRA = np.array(
    [
        [700, 1100, 1500, 1900, 2500],
        [250, 700, 300, 1800, 4800],
        [300, 1000, 500, 2300, 4000],
    ],
    np.float32,
)
MEAN, STD = 0.2, 0.1


def write_scene(folder: Path, side: int) -> Path:
    """Write `scene.tif` (uint16, tiled, deflate) and its `labels.tif`; returns the scene."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = write_class_map(folder / "labels.tif", side)
    path = folder / "scene.tif"
    rng = np.random.default_rng(0)
    with (
        rasterio.open(labels) as classes,
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype="uint16",
            count=len(ROLES),
            width=side,
            height=side,
            crs=UTM,
            transform=TRANSFORM,
            tiled=True,
            blockxsize=512,
            blockysize=512,
            compress="deflate",
            predictor=2,
            bigtiff="if_safer",
        ) as dataset,
    ):
        dataset.scales = (1e-4,) * len(ROLES)
        for index, role in enumerate(ROLES, 1):
            dataset.set_band_description(index, role)
        for top in range(0, side, 512):
            at = Window(0, top, side, min(512, side - top))
            pure = SPECTRA[np.minimum(classes.read(1, window=at), 2)]  # no outline of nodata
            light = 1 + 0.1 * np.sin(np.arange(side) / 700 + top / 900, dtype=np.float32)
            for index in range(len(ROLES)):
                values = uniform_filter(pure[..., index], 3) * light
                values += rng.normal(0, 60, values.shape)
                dataset.write(np.clip(values, 1, None).astype(np.uint16), index + 1, window=at)
    return path


def make_model(
    path: Path, scene: Path, *, encoder: str = "resnet34", steps: int = 120, seed: int = 0
) -> Path:
    """Train a U-Net on a scene of `write_scene` for some steps, and save it."""
    card = ModelCard(
        name=f"unet-{encoder}",
        architecture="unet",
        options={"encoder_name": encoder},
        bands=tuple(BandInput(role, mean=MEAN, std=STD) for role in ROLES),
        legend=LEGEND,
        chip_size=1024,
        overlap=64,
        stride=32,
    )
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    side, batch, crop = 2048, 8, 128
    at = Window(0, 0, side, side)
    with rasterio.open(scene) as dataset, rasterio.open(scene.with_name("labels.tif")) as classes:
        pixels = (dataset.read(window=at) * np.float32(1e-4) - MEAN) / STD
        labels = np.minimum(classes.read(1, window=at), 2).astype(np.int64)
    network = build_network(card).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=max(steps, 4))
    limits = [length - crop for length in pixels.shape[1:]]
    for _ in range(steps):
        corners = [(rng.integers(limits[0] + 1), rng.integers(limits[1] + 1)) for _ in range(batch)]
        x, y = (
            torch.from_numpy(np.stack([a[..., t : t + crop, c : c + crop] for t, c in corners]))
            for a in (pixels, labels)
        )
        loss = torch.nn.functional.cross_entropy(
            network(x.to(memory_format=torch.channels_last)), y
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return save_model(path, card, network.state_dict())
