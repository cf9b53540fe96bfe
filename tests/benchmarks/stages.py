"""The figures of the speed table, each in a process of its own, so that its peak is its alone.

python -m tests.benchmarks.stages whole scene.tif model.safetensors OUT
python -m tests.benchmarks.stages recipe scene.tif model.safetensors
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch

import agriseg
from agriseg.machine import peak_bytes
from agriseg.models import (
    as_numpy,
    batch_of,
    build_network,
    load_model,
    new_accumulator,
    read_weights,
)
from agriseg.models.predictor import adapt, streams_of
from agriseg.pipeline import SegmentOptions, prepare
from agriseg.pipeline.stages import assemble
from agriseg.pipeline.swath import run_swath
from agriseg.raster import SceneReader, open_scene
from agriseg.tiling import ChipGrid
from tests.benchmarks.field import ROLES

ROOT = Path(__file__).resolve().parents[2]
RECIPE_SIDE = 2048
MAPS_ONLY: dict[str, Any] = {"polygons": False, "fields": False, "qgis": False}


def in_child(*command: object) -> dict[str, Any]:
    """Run a command of this module in a process of its own."""
    line = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.stages", *map(str, command)]
    done = subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_mib() -> float:
    return peak_bytes() / 2**20


class GpuUse:
    """How busy a GPU was meanwhile, in percent of the time, as its driver sees it.

    Args:
        device: "cuda:1", or another, of which nothing is known.
    """

    def __init__(self, device: str) -> None:
        self.percent = math.nan
        self._watching: subprocess.Popen[str] | None = None
        self._line = [
            *("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"),
            *("--loop-ms=200", f"--id={device.partition(':')[2] or 0}"),
        ]
        self._is_known = device.startswith("cuda") and shutil.which("nvidia-smi") is not None

    def __enter__(self) -> GpuUse:
        if self._is_known:
            self._watching = subprocess.Popen(self._line, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._watching is None:
            return
        self._watching.terminate()
        told = [int(word) for word in self._watching.communicate()[0].split() if word.isdigit()]
        if told:
            self.percent = float(np.mean(told))


def bare_speed(model: Any, chip: int, calls: int = 5) -> float:
    """Mpixel/s of the predictor on chips in memory, with as many calls at once as in a run."""
    streams = streams_of(model)
    shape = (batch_of(model), len(model.card.keys), chip, chip)
    data = [np.random.default_rng(k).random(shape, np.float32) for k in range(streams)]

    def work(x: Any) -> float:
        for _ in range(calls):
            found = model(x)
        return float(found[0, 0, 0, 0])  # a GPU answers before it is done

    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(work, data))  # warm
        pixels = streams * calls * shape[0] * chip**2
        return pixels / 1e6 / seconds(lambda: list(pool.map(work, data)))


def whole(scene: str, path: str, out: str, *options: str) -> dict[str, Any]:
    """A whole run from the file to finished rasters, with the bare speed before and after it.

    Options are engine, precision, chip and overlap; libraries and model are there before it starts.
    """
    defaults = ("auto", "auto", "1024", "64")
    engine, precision, chip, overlap = (*options, *defaults[len(options) :])
    model = load_model(path, engine=engine, precision=precision)
    if precision == "int8":
        started = time.perf_counter()
        model = adapt(model, open_scene(scene))
        model(np.full((1, len(model.card.keys), 64, 64), 0.2, np.float32))
        calibration = time.perf_counter() - started
    else:
        calibration = 0.0
    before = bare_speed(model, int(chip))
    with GpuUse(model.settings.device) as use:
        took = seconds(
            lambda: agriseg.segment(
                scene, out, model=model, chip=int(chip), overlap=int(overlap), **MAPS_ONLY
            )
        )
    peak = peak_mib()
    after = bare_speed(model, int(chip))
    with rasterio.open(scene) as dataset:
        side = dataset.width
    grid = ChipGrid(side, side, int(chip), int(overlap))
    whole_mpx_s, bare = side**2 / 1e6 / took, (before + after) / 2
    return {
        "seconds": took,
        "mpx_s": whole_mpx_s,
        "bare_mpx_s": bare,
        "share": whole_mpx_s / bare,
        "share_of_overlap": side**2 / grid.predicted_pixels,
        "peak_mib": peak,
        "numerics": model.numerics,
        "streams": streams_of(model),
        "calibration": calibration,
        "device": model.settings.device,
        "gpu_busy": use.percent,
    }


def alone(scene: str, path: str, out: str) -> dict[str, Any]:
    """What reading, merging and assembling make by themselves, in Mpixel/s."""
    model, opened = load_model(path), open_scene(scene)
    side = opened.geobox.width
    grid, megapixels = ChipGrid(side, side, 1024, 64), side**2 / 1e6

    def read() -> None:
        with rasterio.Env(GDAL_CACHEMAX=128 << 20), SceneReader(opened, list(ROLES)) as reader:
            for row in range(grid.rows):
                for chip in grid.chips(row):
                    reader.read(chip.window)

    probabilities = torch.rand((3, 1024, 1024)).to(model.settings.device)

    def merge() -> None:
        accumulator = new_accumulator(model, grid)
        for row in range(grid.rows):
            accumulator.start_row(row)
            for chip in grid.chips(row):
                window = chip.window
                accumulator.add(probabilities[:, : window.height, : window.width].clone(), chip)
            accumulator.pop_rows()

    found = {"reading": megapixels / seconds(read), "merging": megapixels / seconds(merge)}
    job = prepare(opened, model, Path(out), SegmentOptions(polygons=False))
    job.ledger.create()
    for swath in job.plan:
        run_swath(job, swath)
    return found | {"assembling": megapixels / seconds(lambda: assemble(job))}


def recipe(scene: str, path: str) -> dict[str, Any]:
    """What a tutorial does with torchgeo: chips that overlap by a quarter, float32, no merge."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    card = agriseg.models.read_card(path)
    network = build_network(card)
    network.load_state_dict(read_weights(Path(path), card))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.eval().to(device)
    dataset = RasterDataset(scene)
    loader = DataLoader(
        dataset,
        batch_size=4,
        sampler=GridGeoSampler(dataset, size=512, stride=384),
        collate_fn=stack_samples,
    )
    shape = (1, -1, 1, 1)
    mean, std = (torch.from_numpy(v).reshape(shape).to(device) for v in (card.means, card.stds))
    with rasterio.open(scene) as opened:
        side = opened.width
    most = (min(side, RECIPE_SIDE) // 384) ** 2
    chips = 0
    started = time.perf_counter()
    with torch.inference_mode():
        for batch in loader:
            x = (batch["image"].to(device).float() * 1e-4 - mean) / std
            chips += len(network(x).argmax(1).to(torch.uint8).cpu())
            if chips >= most:
                break
    # Each chip adds the square of its stride to the map.
    took = time.perf_counter() - started
    return {"mpx_s": chips * 384**2 / 1e6 / took, "peak_mib": peak_mib()}


def same(scene: str, path: str, *precisions: str) -> dict[str, Any]:
    """Share of classes equal to float32 torch on some chips, and of pixels labelled right."""
    exact = load_model(path, engine="torch", precision="float32")
    opened = open_scene(scene)
    models = {
        name: adapt(load_model(path, precision=name), opened) for name in precisions or ("auto",)
    }
    equal = dict.fromkeys(models, 0)
    total = right = 0
    grid = ChipGrid(opened.geobox.height, opened.geobox.width, 1024, 64)
    with (
        SceneReader(opened, list(ROLES)) as reader,
        rasterio.open(Path(scene).with_name("labels.tif")) as labels,
    ):
        for place in range(0, len(grid), max(len(grid) // 5, 1)):
            window = grid.chip(*divmod(place, grid.cols)).window
            pixels = reader.read(window)
            x = pixels.data[None, :, : window.height // 32 * 32, : window.width // 32 * 32]
            x = np.ascontiguousarray(x)
            expected = as_numpy(exact(x)).argmax(1)[0]
            rows, cols = window.slices
            truth = labels.read(1, window=((rows.start, rows.stop), (cols.start, cols.stop)))
            total += expected.size
            right += int((truth[: expected.shape[0], : expected.shape[1]] == expected).sum())
            for name, model in models.items():
                equal[name] += int((as_numpy(model(x)).argmax(1)[0] == expected).sum())
    return {"right": right / total} | {name: n / total for name, n in equal.items()}


if __name__ == "__main__":
    commands: dict[str, Callable[..., dict[str, Any]]] = {
        "whole": whole,
        "alone": alone,
        "recipe": recipe,
        "same": same,
    }
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
