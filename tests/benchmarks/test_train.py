"""What training keeps of the bare step's speed: the same network on chips that lie in memory.

    make bench PYTEST_ARGS='-k train'
    AGRISEG_BENCH_TRAIN=256x8x20 make bench ...        (chip size x batch x steps)

Scenes are compressed GeoTIFFs of five bands. Bare steps, and steps of a whole training that reads
them each time or keeps them decoded, in one process: bare ones before and after it.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from agriseg.models import resolve_numerics
from agriseg.training.card import draft_card
from agriseg.training.config import read_config
from agriseg.training.plan import make_plan
from agriseg.training.start import first_task
from agriseg.training.task import Task
from agriseg.training.verb import train_plan
from tests.support import write_raster

SIZE, BATCH, STEPS = map(int, os.environ.get("AGRISEG_BENCH_TRAIN", "256x8x20").split("x"))
SIDE = 2048
WARM = 3


def write_scenes(folder: Path, count: int = 4) -> Path:
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 3, (SIDE // 16, SIDE // 16)).astype(np.uint8)
        labels = np.kron(coarse, np.ones((16, 16), np.uint8))
        noise = random.integers(0, 600, (5, SIDE, SIDE))
        data = (1000 + 1500 * labels[None].astype(np.uint16) + noise).astype(np.uint16)
        profile: dict[str, Any] = {
            "compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 256,
            "blockysize": 256,
        }  # fmt: skip
        names = ["blue", "green", "red", "rededge", "nir"]
        write_raster(folder / f"scene{number}.tif", data, descriptions=names, **profile)
        write_raster(folder / f"labels{number}.tif", labels[None], **profile)
    plain = {
        "name": "bench",
        "legend": ["soil", "crop", "weed"],
        "bands": ["blue?", "green", "red", "rededge?", "nir?"],
        "data": [
            {"kind": "scenes", "scenes": "scene*.tif", "labels": "labels*.tif", "scale": 0.0001}
        ],
        "split": {"by": "group", "validation": 0.0},
        "chips": {"size": SIZE, "batch": BATCH},
        "learn": {"steps": STEPS + WARM, "validate_every": 100_000},
    }
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


class _Clock:
    """Notes when each step is done."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def begin(self, facts: dict[str, Any]) -> None: ...

    def step(self, step: int, loss: torch.Tensor) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def validated(self, row: dict[str, Any], best: bool) -> None: ...

    def evaluating(self, done: int, pixels: int) -> None: ...

    def end(self, path: Path, facts: dict[str, Any]) -> None: ...

    def already(self, path: Path, notes: tuple[str, ...]) -> None: ...

    def per_step(self) -> np.ndarray[Any, Any]:
        """Seconds of the clock and of the processor."""
        return (np.array(self.times[-1]) - np.array(self.times[WARM - 1])) / STEPS


def bare(task: Task, precision: str) -> np.ndarray[Any, Any]:
    """Seconds of the clock and of the processor that a step takes without reading or changes."""
    bands = task.model.encoder.conv1.in_channels
    image = torch.randn(BATCH, bands, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    codes = torch.randint(0, 3, (BATCH, SIZE, SIZE), dtype=torch.uint8)
    optimizer = task.configure_optimizers()
    clock = _Clock()
    for step in range(STEPS + WARM):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = task.criterion(task.model(image), codes)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
        optimizer.step()
        clock.step(step, loss)
    return clock.per_step()


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(read_config(write_scenes(tmp_path)), tmp_path)
    card = draft_card(plan.config, plan.codes, [part.labelled for part in plan.training])
    precision = resolve_numerics(engine="torch").precision
    task, _ = first_task(plan, card, trust=False)
    figures = {"bare step": bare(task, precision)}
    for words, memory in (("whole, kept decoded", 100.0), ("whole, read from files", 0.0)):
        chips = plan.config.chips.model_copy(update={"memory_gb": memory})
        config = plan.config.model_copy(update={"chips": chips})
        clock = _Clock()
        mine = replace(plan, config=config, validation=())
        train_plan(mine, tmp_path / words, report=False, listener=clock)
        figures[words] = clock.per_step()
    figures["bare step again"] = bare(task, precision)
    pixels = BATCH * SIZE**2 / 1e6
    least = min(figures["bare step"][0], figures["bare step again"][0])
    with capsys.disabled():
        print(f"\n  {BATCH} chips of {SIZE} x {SIZE}, 5 bands, ResNet-18 U-Net in {precision}")
        print("  step                      Mpixel/s  share  CPU s a Mpixel")
        for words, (wall, cpu) in figures.items():
            print(f"  {words:24}{pixels / wall:10.2f}{least / wall:7.0%}{cpu / pixels:16.2f}")
