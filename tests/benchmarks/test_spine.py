"""What a whole run keeps of the bare network's speed, and what its stages cost alone.

    make bench                              # 4096 x 4096 pixels
    AGRISEG_BENCH_SIDE=8192 make bench

Everything is measured in one process, one after the other, on a raster made on the spot: five
bands, uint16, deflate, tiled. Compare figures of one table with each other, not of two machines.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window

import agriseg
from agriseg.models import (
    BandInput,
    ModelCard,
    as_numpy,
    build_network,
    load_model,
    read_weights,
    save_model,
)
from agriseg.pipeline import SegmentOptions, prepare
from agriseg.pipeline.run import assemble
from agriseg.raster import SceneReader, open_scene
from agriseg.tiling import ChipGrid, NumpyAccumulator
from tests.support import LEGEND, NORTH_UP, UTM

SIDE = int(os.environ.get("AGRISEG_BENCH_SIDE", "4096"))
ROLES = ("blue", "green", "red", "rededge", "nir")


@pytest.fixture(scope="module")
def scene_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soil, rows of plants and noise: it compresses about as an orthomosaic does."""
    path = tmp_path_factory.mktemp("bench") / "scene.tif"
    rng = np.random.default_rng(0)
    soil = np.array([700, 1100, 1500, 1900, 2500], np.float32)[:, None, None]
    leaf = np.array([250, 700, 300, 1800, 4800], np.float32)[:, None, None]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=5,
        width=SIDE,
        height=SIDE,
        crs=UTM,
        transform=NORTH_UP,
        tiled=True,
        blockxsize=512,
        blockysize=512,
        compress="deflate",
        predictor=2,
    ) as dataset:
        dataset.scales = (1e-4,) * 5
        for index, role in enumerate(ROLES, 1):
            dataset.set_band_description(index, role)
        for top in range(0, SIDE, 512):
            rows, cols = np.mgrid[top : top + 512, :SIDE]
            cover = np.clip(3 * np.sin((cols + 0.3 * rows) / 12) - 1, 0, 1)
            noise = rng.normal(0, 60, (5, 512, SIDE)).astype(np.float32)
            values = np.clip(soil + (leaf - soil) * cover + noise, 1, None)
            dataset.write(values.astype(np.uint16), window=Window(0, top, SIDE, 512))
    return path


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = ModelCard(
        name="unet-resnet34",
        architecture="unet",
        options={"encoder_name": "resnet34"},
        bands=tuple(BandInput(role, mean=0.2, std=0.1) for role in ROLES),
        legend=LEGEND,
        chip_size=1024,
        overlap=64,
        stride=32,
    )
    path = tmp_path_factory.mktemp("model") / "unet.safetensors"
    return save_model(path, card, build_network(card).state_dict())


def torchgeo_recipe(scene: Path, card: ModelCard, network: torch.nn.Module) -> None:
    """What a tutorial does: chips that overlap by a quarter, float32, argmax, no merge."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    dataset = RasterDataset(str(scene.parent))
    loader = DataLoader(
        dataset,
        batch_size=4,
        sampler=GridGeoSampler(dataset, size=512, stride=384),
        collate_fn=stack_samples,
    )
    mean, std = (torch.from_numpy(v).reshape(1, -1, 1, 1) for v in (card.means, card.stds))
    with torch.inference_mode():
        for batch in loader:
            found = network((batch["image"].float() * 1e-4 - mean) / std).argmax(1).to(torch.uint8)
            assert found.shape[1:] == (512, 512)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.bench
@pytest.mark.timeout(3600)
def test_whole_run_against_its_stages(
    scene_path: Path, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    megapixels = SIDE * SIDE / 1e6
    model = load_model(model_path)
    scene = open_scene(scene_path)
    grid = ChipGrid(SIDE, SIDE, 1024, 64)
    chips = [grid.chip(row, col) for row in range(grid.rows) for col in range(grid.cols)]
    speed: dict[str, float] = {}

    def read() -> None:
        with rasterio.Env(GDAL_CACHEMAX=128 << 20), SceneReader(scene, list(ROLES)) as reader:
            for chip in chips:
                reader.read(chip.window)

    probabilities = np.random.default_rng(0).random((3, 1024, 1024), np.float32)

    def merge() -> None:
        accumulator = NumpyAccumulator(grid, 3)
        for row in range(grid.rows):
            accumulator.start_row(row)
            for chip in grid.chips(row):
                window = chip.window
                part = probabilities[:, : window.height, : window.width].copy()
                accumulator.add(part, chip)
            accumulator.pop_rows()

    batch = np.random.default_rng(1).random((1, 5, 1024, 1024), np.float32)
    model(batch)
    bare = [seconds(lambda: model(batch)) for _ in range(8)]
    speed["bare network, one chip again and again"] = 1024 * 1024 / 1e6 / float(np.median(bare))
    whole = seconds(
        lambda: agriseg.segment(scene_path, tmp_path / "out", model=model, polygons=False)
    )
    speed["whole run, from the file to finished COGs"] = megapixels / whole
    speed["reading alone"] = megapixels / seconds(read)
    speed["merging alone (numpy)"] = megapixels / seconds(merge)
    job = prepare(scene, model, tmp_path / "again", SegmentOptions(polygons=False))
    job.ledger.create()
    from agriseg.pipeline.swath import run_swath

    for swath in job.plan:
        run_swath(job, swath)
    network = build_network(model.card)
    network.load_state_dict(read_weights(model_path, model.card))
    network.eval()
    if SIDE <= 4096:
        recipe = seconds(lambda: torchgeo_recipe(scene_path, model.card, network))
        speed["torchgeo's recipe: 512/384, float32, no merge"] = megapixels / recipe
    exact = load_model(model_path, engine="torch", precision="float32")
    same = float((as_numpy(exact(batch)).argmax(1) == as_numpy(model(batch)).argmax(1)).mean())
    speed["assembling both COGs alone"] = megapixels / seconds(lambda: assemble(job))

    share = (
        speed["whole run, from the file to finished COGs"]
        / (speed["bare network, one chip again and again"])
    )
    overlap = megapixels * 1e6 / grid.predicted_pixels
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with capsys.disabled():
        print(f"\n\n{SIDE} x {SIDE} pixels, five bands; chips of 1024, overlap 64")
        print(f"{platform.machine()}, {os.cpu_count()} cores, {model.numerics}")
        for name, value in speed.items():
            print(f"  {name:44} {value:8.2f} Mpixel/s")
        print(f"  {'share of the bare speed that the run keeps':44} {share:8.0%}")
        print(f"  {'share that overlapping chips would leave':44} {overlap:8.0%}")
        print(f"  {'classes equal to those of float32 torch':44} {same:9.3%}")
        print(f"  {'peak memory of this process':44} {peak:8.0f} MB")
    assert share > 0
