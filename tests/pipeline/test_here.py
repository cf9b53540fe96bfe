"""Small scenes go on side by side in one process, and come out as they do one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

import agriseg
from agriseg.errors import BatchError, InputError
from agriseg.pipeline import SilentWatcher, here
from agriseg.runs import Run
from tests.pipeline.test_many import Heard, bytes_of
from tests.support import Smooth, write_raster

HOW: dict[str, Any] = {"bands": "red", "chip": 64, "overlap": 8}


@dataclass(frozen=True)
class Streaming:
    """`Smooth`, called from two threads; `meet` is called in each call."""

    inner: Smooth = field(default_factory=Smooth)
    streams: int = 2
    meet: Callable[[], object] = lambda: None
    batch: int = 1
    fingerprint: str = "smooth"
    numerics: str = "numpy"

    @property
    def card(self) -> Any:
        return self.inner.card

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.meet()
        return self.inner(batch)


@pytest.fixture
def rasters(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(1)
    sizes = [(60, 50), (200, 150), (33, 64), (64, 64), (5, 5), (50, 60)]
    return [
        write_raster(tmp_path / f"scene{k}.tif", random.random((1, *size), np.float32) * 2)
        for k, size in enumerate(sizes)
    ]


def test_the_same_bytes_and_each_is_told_of_once(
    rasters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agriseg.threads.os.cpu_count", lambda: 3)
    heard = Heard()
    runs = agriseg.segment(rasters, tmp_path / "a", model=Streaming(), listener=heard, **HOW)
    agriseg.segment(rasters, tmp_path / "b", model=Smooth(), **HOW)
    assert [run.path.name for run in runs] == [path.stem for path in rasters]
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert len(bytes_of(tmp_path / "a")) == 18
    assert heard.done == heard.total
    told = [f"{word} {path.stem}" for path in rasters for word in ("begin", "end")]
    assert sorted(heard.names) == sorted(told)


def test_scenes_of_one_chip_are_predicted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agriseg.threads.os.cpu_count", lambda: 2)
    paths = [write_raster(tmp_path / f"s{k}.tif", np.ones((1, 40, 40), np.float32)) for k in (0, 1)]
    barrier = threading.Barrier(2, timeout=30)
    runs = agriseg.segment(paths, tmp_path / "out", model=Streaming(meet=barrier.wait), **HOW)
    assert len(runs) == 2


@pytest.mark.parametrize("model", [Smooth(), Streaming(streams=1)])
def test_an_object_for_one_thread_is_never_called_twice_at_once(
    rasters: list[Path], tmp_path: Path, model: Any
) -> None:
    lock = threading.Lock()

    class Once:
        card, batch, fingerprint, numerics = model.card, 1, "once", "numpy"

        def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            assert lock.acquire(blocking=False), "called twice at once"
            try:
                return Smooth(seconds_per_chip=0.01)(batch)
            finally:
                lock.release()

    assert len(agriseg.segment(rasters, tmp_path / "out", model=Once(), **HOW)) == 6


def test_one_fault_ends_its_scene_alone(rasters: list[Path], tmp_path: Path) -> None:
    data = rasters[3].read_bytes()
    rasters[3].write_bytes(data[: len(data) // 2])
    with pytest.raises(BatchError, match=r"1 of 6 scenes.*scene3") as caught:
        agriseg.segment(rasters, tmp_path / "out", model=Streaming(), **HOW)
    assert len(caught.value.runs) == 5


def test_a_fault_of_the_program_ends_it(rasters: list[Path], tmp_path: Path) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        agriseg.segment(rasters, tmp_path / "out", model=Streaming(meet=fails), **HOW)


def test_settings_of_the_caller_reach_the_threads(
    rasters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Asks(SilentWatcher):
        def start(self, total_pixels: int, done_pixels: int) -> None:
            seen.append(rasterio.env.getenv().get("GDAL_MAX_DATASET_POOL_SIZE"))

    with rasterio.Env(GDAL_MAX_DATASET_POOL_SIZE=123):
        agriseg.segment(rasters, tmp_path / "out", model=Streaming(), listener=Asks(), **HOW)
    assert seen == [123] * 6


def test_what_is_known_to_fail_is_told_in_its_place(rasters: list[Path], tmp_path: Path) -> None:
    heard = Heard()
    failed = here.Failed("gone", InputError("there is no such file"))
    found = list(here.run_here([failed], heard))
    assert found == [failed]
    assert heard.names == ["fail gone"]


def test_resumed_side_by_side(rasters: list[Path], tmp_path: Path) -> None:
    first = agriseg.segment(rasters, tmp_path / "out", model=Streaming(), **HOW)
    again = agriseg.segment(rasters, tmp_path / "out", model=Streaming(), **HOW)
    assert [run.resumed for run in first] == [False] * 6
    assert [run.resumed for run in again] == [True] * 6
    assert all(isinstance(run, Run) for run in again)
