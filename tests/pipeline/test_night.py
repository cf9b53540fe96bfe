"""What happens at night: a full disk, two runs in one folder, a worker that takes all memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask
import distributed  # noqa: F401  defaults loaded later would go with what a test sets
import numpy as np
import psutil
import pytest

import agriseg
from agriseg.errors import OutputError, WorkerError
from agriseg.models import PackedModel
from agriseg.pipeline import Failed, Job, SilentWatcher, prepare, run_jobs
from agriseg.pipeline.job import SegmentOptions
from agriseg.pipeline.local import local_workers
from tests.pipeline.test_workers import NAMES, OPTIONS, bytes_of
from tests.support import ROOT, Smooth, write_raster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = np.random.default_rng(0).random((1, 150, 161), np.float32) * 2
    return write_raster(tmp_path_factory.mktemp("scene") / "scene.tif", data)


@pytest.fixture(scope="module")
def plain(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("plain")
    agriseg.segment(scene, out, model=Smooth(), **OPTIONS)
    return bytes_of(out)


def script(scene: Path, out: Path, **options: Any) -> str:
    how = {**OPTIONS, **options}
    seconds = how.pop("seconds_per_chip", 0.0)
    return (
        "import agriseg\nfrom tests.support import Smooth\n"
        f"agriseg.segment({str(scene)!r}, {str(out)!r}, "
        f"model=Smooth(seconds_per_chip={seconds}), **{how!r})\n"
    )


def start(text: str, kilobytes: int | None = None) -> subprocess.Popen[str]:
    """Run a script; no file may grow beyond so many kilobytes, as on a disk that is nearly full."""
    command = f"{sys.executable} -"
    if kilobytes is not None:
        command = f"ulimit -f {kilobytes}; {command}"  # in blocks of 1024 bytes
    process = subprocess.Popen(
        ["bash", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None  # communicate would write to it
    return process


@pytest.mark.parametrize("workers", [None, 1])
def test_a_full_disk_is_told_and_nothing_is_lost(
    scene: Path, plain: dict[str, bytes], tmp_path: Path, workers: int | None
) -> None:
    _, said = start(script(scene, tmp_path, workers=workers), kilobytes=8).communicate(timeout=120)
    last = said.strip().splitlines()[-1]
    assert re.search(r"OutputError: .* cannot be written.*free some room on the disk", last), said
    run = agriseg.segment(scene, tmp_path, model=Smooth(), **OPTIONS)
    assert isinstance(run, agriseg.Run)
    assert bytes_of(tmp_path) == plain
    assert not list(tmp_path.glob("scene/rows-*"))


def test_two_runs_of_one_kind_in_one_folder(
    scene: Path, plain: dict[str, bytes], tmp_path: Path
) -> None:
    two = [start(script(scene, tmp_path, seconds_per_chip=0.005)) for _ in range(2)]
    for process in two:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert bytes_of(tmp_path) == plain
    assert agriseg.segment(scene, tmp_path, model=Smooth(seconds_per_chip=0.005), **OPTIONS)


def test_a_run_with_other_options_waits_its_turn(
    scene: Path, plain: dict[str, bytes], tmp_path: Path
) -> None:
    first = start(script(scene, tmp_path, seconds_per_chip=0.02))
    until = time.monotonic() + 60
    while not list(tmp_path.glob("scene/rows-*/owner.*")) and time.monotonic() < until:
        time.sleep(0.02)
    with pytest.raises(OutputError, match=r"another run, with other options.*process \d+"):
        agriseg.segment(scene, tmp_path, model=Smooth(), **{**OPTIONS, "chip": 24})
    _, said = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert bytes_of(tmp_path) == plain
    run = agriseg.segment(scene, tmp_path, model=Smooth(), **{**OPTIONS, "chip": 24})
    assert isinstance(run, agriseg.Run)
    assert not run.resumed


def test_what_a_killed_run_of_other_options_left_is_in_nobodys_way(
    scene: Path, plain: dict[str, bytes], tmp_path: Path
) -> None:
    first = start(script(scene, tmp_path, seconds_per_chip=0.05, chip=24))
    until = time.monotonic() + 60
    while not list(tmp_path.glob("scene/rows-*/owner.*")) and time.monotonic() < until:
        time.sleep(0.02)
    for process in [*psutil.Process(first.pid).children(recursive=True), first]:
        process.kill()
    first.communicate()
    agriseg.segment(scene, tmp_path, model=Smooth(), **OPTIONS)
    assert bytes_of(tmp_path) == plain


class Greedy(Smooth):
    """Takes more memory than a worker may have, and holds it."""

    def __call__(self, batch: Any) -> Any:
        held = np.ones(3 << 25)  # 800 MB
        time.sleep(60)
        return super().__call__(batch) + held[0] * 0


def test_a_worker_that_takes_all_memory_is_ended_and_the_rest_goes_on(
    scene: Path, tmp_path: Path
) -> None:
    agriseg.segment(scene, tmp_path / "plain", model=Smooth(), **OPTIONS)
    plain = bytes_of(tmp_path / "plain")
    jobs = []
    for name, model in (("greedy", Greedy()), ("scene", Smooth())):
        opened = agriseg.open_scene(scene, bands="red", name=name)
        options = SegmentOptions(chip=OPTIONS["chip"], overlap=OPTIONS["overlap"])
        job: Job = prepare(opened, model, tmp_path / "out" / name, options)
        job.folder.prepare()
        jobs.append((job, PackedModel.of(model)))
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),  # and not 3
        local_workers(1, memory=700_000_000) as pool,
    ):
        found = {
            one.name if isinstance(one, Failed) else one.path.name: one
            for one in run_jobs(jobs, pool, SilentWatcher())
        }
    greedy = found["greedy"]
    assert isinstance(greedy, Failed)
    assert isinstance(greedy.error, WorkerError)
    assert "perhaps for want of memory" in str(greedy.error)
    found_bytes = bytes_of(tmp_path / "out")
    assert {name: data for name, data in found_bytes.items() if "scene/" in name} == plain
    assert len(plain) == len(NAMES)
