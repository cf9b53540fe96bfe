"""What sharing the work among processes costs, against one process that uses all cores.

    make bench PYTEST_ARGS='-k workers'                           # 4096 x 4096 pixels, 50 scenes
    AGRISEG_BENCH_SIDE=8192 AGRISEG_BENCH_SCENES=200 make bench PYTEST_ARGS='-k workers'

The network is that of the spine. Starting the workers, and loading the model in each, is left out,
and so are fields: finding them takes one core, here and there.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio
from rasterio.windows import Window

from agriseg.models import ModelReference, PackedModel, load_model
from agriseg.pipeline import (
    Job,
    Pool,
    SegmentOptions,
    SilentWatcher,
    many,
    prepare,
    run_here,
    run_jobs,
)
from agriseg.pipeline.local import local_workers
from agriseg.pipeline.tasks import bare
from agriseg.raster import open_scene
from agriseg.runs import Run
from agriseg.tiling import Plan
from tests.benchmarks.field import make_model, write_scene
from tests.support import Identity, identity_card, write_raster

SIDE = int(os.environ.get("AGRISEG_BENCH_SIDE", "4096"))
SCENES = int(os.environ.get("AGRISEG_BENCH_SCENES", "50"))
CORES = os.cpu_count() or 1


class Bench:
    """Runs over scenes with one model, here or on a pool."""

    def __init__(self, model: Path, folder: Path) -> None:
        self._model, self._folder = model, folder
        self._predictor = load_model(model)
        self._sent = ModelReference.to(model, self._predictor)
        self._runs = 0

    def seconds(self, scenes: Sequence[Path], pool: Pool | None = None) -> float:
        """How long the scenes take; opening them counts."""
        self._runs += 1
        out = self._folder / f"run{self._runs}"
        started = time.perf_counter()
        how = SegmentOptions(fields=False)
        jobs = (prepare(open_scene(path), self._predictor, out / path.stem, how) for path in scenes)
        if pool is None:
            found: list[object] = list(run_here(map(self._made, jobs), SilentWatcher()))
        else:
            sent = ((self._made(job), self._sent) for job in jobs)
            found = list(run_jobs(sent, pool, SilentWatcher()))
        assert all(isinstance(run, Run) for run in found)
        return time.perf_counter() - started

    @staticmethod
    def _made(job: Job) -> Job:
        job.folder.prepare()
        return job


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_workers_against_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, scene = (write_scene(tmp_path / str(side), side) for side in (SIDE // 2, SIDE))
    bench = Bench(make_model(tmp_path / "unet.safetensors", small), tmp_path / "out")
    small_ones = _cuttings(scene, tmp_path / "many")
    mpixel = SIDE**2 / 1e6
    bench.seconds(small_ones[:1])  # compiles, and warms up
    speed = mpixel / bench.seconds([scene])
    lines = [
        f"{SIDE} x {SIDE} pixels, {CORES} cores; Mpixel/s, and against one process",
        _row("one process", speed, 1.0),
        _row_of_many(SCENES / bench.seconds(small_ones), speed),
    ]
    for workers in (1, CORES):
        who = f"{workers} worker{'s' if workers > 1 else ''}"
        with local_workers(workers) as pool:
            bench.seconds(small_ones[: 4 * workers], pool)  # every worker loads the model
            found = mpixel / bench.seconds([scene], pool)
            lines.append(_row(who, found, found / speed))
            if workers == 1:
                what = "  Dask's own loss on one large scene"
                lines.append(f"  {what:46}{'':10}{1 - found / speed:8.1%}")
            lines.append(_row_of_many(SCENES / bench.seconds(small_ones, pool), speed))
    lines += _nothing(tmp_path)
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
    assert speed > 0


def _cuttings(scene: Path, folder: Path) -> list[Path]:
    """Small scenes cut from a large one."""
    folder.mkdir()
    across = SIDE // 1000
    with rasterio.open(scene) as source:
        for k in range(SCENES):
            at = Window(1000 * (k % across), 1000 * (k // across % across), 1000, 1000)
            profile = {**source.profile, "width": 1000, "height": 1000}
            profile["transform"] = source.window_transform(at)
            with rasterio.open(folder / f"{k}.tif", "w", **profile) as target:
                target.write(source.read(window=at))
                target.scales = source.scales
                for index, text in enumerate(source.descriptions, 1):
                    target.set_band_description(index, text)
    return [folder / f"{k}.tif" for k in range(SCENES)]


def _nothing(folder: Path) -> list[str]:
    """Swaths of a chip each, of a predictor that does nothing: what a task costs by itself."""
    lines = _long(folder, 10_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many, "_WORTH_S", 0.0)
        return [*lines, *_long(folder, 2_000)]


def _long(folder: Path, rows: int) -> list[str]:
    path = write_raster(folder / "long.tif", np.zeros((1, rows * 16, 16), np.float32))
    card = identity_card(overlap=0)
    job = prepare(
        open_scene(path, bands="red", scale=1), Identity(card), folder / f"nothing{rows}",
        SegmentOptions(chip=16, overlap=0, swaths=rows, polygons=False, fields=False),
    )  # fmt: skip
    job.folder.prepare()
    assert len(job.plan.swaths) == rows == Plan.even(job.plan.grid, rows).grid.rows
    model, me = PackedModel.of(job.predictor), psutil.Process()
    with local_workers(CORES) as pool:
        before, started = me.memory_info().rss, time.perf_counter()
        (run,) = run_jobs([(job, model)], pool, SilentWatcher())
        took = time.perf_counter() - started
        grown = me.memory_info().rss - before
    assert isinstance(run, Run)
    size = len(pickle.dumps((bare(job), model, job.plan.swaths[-1])))
    how = "sent together" if many._WORTH_S else "a task each"
    predicting = rows / run.record["seconds"]["predict"]
    costs = f"{size} bytes a task, {grown / 1e6:.0f} MB more here"
    return [
        f"  {f'{rows} swaths of one tiny chip, {how}: a second':50}{rows / took:6.0f}    {costs}",
        f"  {'  the same until all rows are there':50}{predicting:6.0f}",
    ]


def _row(name: str, value: float, share: float) -> str:
    return f"  {name:46}{value:10.2f}{share:8.2f}"


def _row_of_many(speed: float, alone: float) -> str:
    return _row(f"  {SCENES} scenes of 1 Mpixel", speed, speed / alone)
