"""A run that was killed goes on where it stopped, and ends in the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import agriseg
from tests.support import (
    Smooth,
    class_field,
    identity_card,
    leftovers,
    result_bytes,
    write_raster,
)

ROOT = Path(__file__).resolve().parents[2]

# Each line that it reads becomes a run in a process of its own, whose number it writes. A process
# that is forked has all its imports, which take longer than what is killed here.
FORKING = """
import os
import sys
import agriseg
from tests.support import Smooth

segment, model = agriseg.segment, Smooth(seconds_per_chip=0.004)
for line in sys.stdin:
    scene, out, swaths = line.split("|")
    child = os.fork()
    if child == 0:
        try:
            segment(scene, out, model=model, swaths=int(swaths), chip=16, overlap=6)
        finally:
            os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    data = class_field(150, 90, seed=3)
    data[:, 40:70, 20:60] = np.nan
    return write_raster(folder / "scene.tif", data, descriptions=["red"])


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[Path, Path, int], psutil.Process]]:
    """Starts a run of a scene, into a folder, in so many swaths."""
    with subprocess.Popen(
        [sys.executable, "-c", FORKING],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as forking:

        def one(scene: Path, out: Path, swaths: int) -> psutil.Process:
            assert forking.stdin is not None
            assert forking.stdout is not None
            print(scene, out, swaths, sep="|", file=forking.stdin, flush=True)
            return psutil.Process(int(forking.stdout.readline()))

        yield one


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_random_moments_and_resumed(
    scene: Path, tmp_path: Path, start: Callable[[Path, Path, int], psutil.Process], seed: int
) -> None:
    """Slow: it starts a run a dozen times, kills it somewhere in its work, and starts again."""
    agriseg.segment(scene, tmp_path / "plain", model=Smooth(), chip=16, overlap=6)
    expected = result_bytes(tmp_path / "plain" / "scene")
    rng = random.Random(seed)
    folder, kills = tmp_path / "out" / "scene", 0
    for _ in range(12):
        process = start(scene, tmp_path / "out", rng.choice([1, 2, 4]))
        # Wait for the work to begin, so that the kill meets it and not the imports.
        deadline = time.monotonic() + 30
        rows = len(list(folder.glob("rows-*/*")))
        while (
            process.is_running()
            and len(list(folder.glob("rows-*/*"))) == rows
            and time.monotonic() < deadline
        ):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.15))
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended
            process.kill()
            process.wait(timeout=30)
        if (folder / "run.json").exists():
            break
        kills += 1
    run = agriseg.segment(scene, tmp_path / "out", model=Smooth(), chip=16, overlap=6)
    assert isinstance(run, agriseg.Run)
    assert kills >= 2
    assert result_bytes(folder) == expected
    assert leftovers(folder) == []


def test_nothing_is_predicted_twice(scene: Path, tmp_path: Path) -> None:
    """Stopped by a fault in the middle; what was entered in the ledger is not predicted again."""
    calls: list[int] = []

    class Failing(Smooth):
        limit = 30

        def __call__(self, batch: np.ndarray) -> np.ndarray:
            calls.append(1)
            if len(calls) == self.limit:
                raise RuntimeError("pulled the plug")
            return super().__call__(batch)

    with pytest.raises(RuntimeError, match="pulled the plug"):
        agriseg.segment(scene, tmp_path, model=Failing(), chip=16, overlap=6)
    assert not (tmp_path / "scene" / "classes.tif").exists()
    before = len(calls)
    Failing.limit = -1
    run = agriseg.segment(scene, tmp_path, model=Failing(), chip=16, overlap=6)
    assert isinstance(run, agriseg.Run)
    resumed = len(calls) - before
    calls.clear()
    agriseg.segment(scene, tmp_path / "fresh", model=Failing(), chip=16, overlap=6)
    whole, chips_in_a_row = len(calls), 9
    # 29 chips were predicted; only those of the row that was open are predicted again.
    assert whole - 29 <= resumed < whole - 29 + chips_in_a_row
    assert run.record["rows_from_earlier_run"] == 29 // chips_in_a_row
    assert result_bytes(tmp_path / "scene") == result_bytes(tmp_path / "fresh" / "scene")


def test_a_finished_run_is_recognised(scene: Path, tmp_path: Path) -> None:
    first = agriseg.segment(scene, tmp_path, model=Smooth())
    second = agriseg.segment(scene, tmp_path, model=Smooth())
    assert isinstance(first, agriseg.Run)
    assert isinstance(second, agriseg.Run)
    assert not first.resumed
    assert second.resumed
    assert second.record == json.loads(json.dumps(first.record | {"format": 1}))


@pytest.mark.parametrize(
    "change",
    [
        {"chip": 20},
        {"overlap": 3},
        {"probabilities": True},
        {"model": Smooth(fingerprint="another")},
        {"nodata": 2.0},
        {"about": {"crop": "sugar beet"}},
        {"scale": 2.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_option_is_another_run(
    scene: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    plain: dict[str, object] = {"model": Smooth()}
    agriseg.segment(scene, tmp_path, **plain)  # type: ignore[arg-type]
    again = agriseg.segment(scene, tmp_path, **(plain | change))  # type: ignore[arg-type]
    assert isinstance(again, agriseg.Run)
    assert not again.resumed
    assert leftovers(tmp_path / "scene") == []


def test_a_changed_input_is_another_run(tmp_path: Path) -> None:
    data = class_field(40, 40)
    path = write_raster(tmp_path / "scene.tif", data, descriptions=["red"])
    agriseg.segment(path, tmp_path / "out", model=Smooth())
    data[0, 20, 20] = (data[0, 20, 20] + 1) % 3
    write_raster(path, data, descriptions=["red"])
    again = agriseg.segment(path, tmp_path / "out", model=Smooth())
    assert isinstance(again, agriseg.Run)
    assert not again.resumed


def test_another_predictor_that_does_not_say_who_it_is_is_never_taken_for_the_last(
    scene: Path, tmp_path: Path
) -> None:
    class Nameless:
        card = identity_card()

        def __call__(self, batch: np.ndarray) -> np.ndarray:
            return Smooth()(batch)

    agriseg.segment(scene, tmp_path, model=Nameless())
    again = agriseg.segment(scene, tmp_path, model=Nameless())
    assert isinstance(again, agriseg.Run)
    assert not again.resumed


def test_facts_travel_into_every_output(scene: Path, tmp_path: Path) -> None:
    import rasterio

    about = {"date": "2026-06-01", "client": 'Müller & <Söhne> "KG"', "growth_stage": "BBCH 12"}
    run = agriseg.segment(scene, tmp_path, model=Smooth(), about=about)
    assert isinstance(run, agriseg.Run)
    assert run.record["about"] == about
    for path in (run.classes, run.confidence):
        with rasterio.open(path) as dataset:
            tags = dataset.tags()
        assert tags["CLIENT"] == about["client"]
        assert tags["GROWTH_STAGE"] == "BBCH 12"
