"""Many scenes are opened when their turn comes; what is wrong with all of them is told first."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agriseg
from agriseg.errors import InputError, ModelError, OptionError
from agriseg.pipeline import Failed, Job, SegmentOptions, prepare
from agriseg.raster import Source
from agriseg.runs import read_run
from agriseg.runs.folder import RunFolder
from agriseg.workflow import jobs as jobs_module
from agriseg.workflow.jobs import Jobs
from tests.support import Smooth, write_raster


class Maker:
    """Makes jobs of scenes that are no files; counts which, and refuses those it is told to."""

    def __init__(self, job: Job, refuses: Callable[[int], bool] = lambda _: False) -> None:
        self._job, self._refuses, self._lock = job, refuses, threading.Lock()
        self.made: list[str] = []

    def __call__(self, one: Any) -> Job | Failed:
        with self._lock:
            self.made.append(one.name)
        if self._refuses(int(one.name)):
            return Failed(one.name, InputError(f"{one.name} is no raster"))
        return replace(self._job, folder=RunFolder(Path("out") / one.name))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    path = write_raster(folder / "scene.tif", np.ones((1, 20, 30), np.float32))
    scene = agriseg.open_scene(path, bands="red")
    return prepare(scene, Smooth(), folder / "out", SegmentOptions())


MANY = [Source(f"/nowhere/{k}.tif", name=str(k)) for k in range(20_000)]


def name_of(job: Job | Failed) -> str:
    return job.name if isinstance(job, Failed) else job.folder.path.name


def test_of_many_thousand_scenes_few_are_open_at_a_time(job: Job) -> None:
    make = Maker(job)
    jobs = Jobs(True, MANY, make)  # type: ignore[arg-type]
    first = len(make.made)
    assert first == len(jobs.first) == 16
    assert max(map(int, make.made)) > 18_000  # spread over all of them
    opened = iter(jobs)
    for taken in range(1, 2000):
        assert name_of(next(opened)) == str(taken - 1)
        assert len(make.made) <= first + taken + 510
    opened.close()
    assert len(set(make.made)) == len(make.made)  # none was opened twice


def test_each_scene_comes_once_and_the_lost_ones_soon(job: Job) -> None:
    lost = {0, 3, 77, 299, *range(120, 160)}
    make = Maker(job, lost.__contains__)
    found = list(Jobs(True, MANY[:300], make))  # type: ignore[arg-type]
    good = [name_of(one) for one in found if isinstance(one, Job)]
    assert good == [str(k) for k in range(300) if k not in lost]
    assert {name_of(one) for one in found if isinstance(one, Failed)} == set(map(str, lost))
    assert len(found) == len(make.made) == 300
    assert name_of(found[0]) == "0"  # known before anything is begun


def test_what_is_wrong_with_all_scenes_is_told_at_once(job: Job) -> None:
    make = Maker(job, lambda _: True)
    with pytest.raises(InputError, match=r"^0 is no raster"):
        Jobs(True, MANY, make)  # type: ignore[arg-type]
    assert len(make.made) == 16
    # A folder full of broken files is not all of them.
    make = Maker(job, lambda k: k < 1000)
    assert len(Jobs(True, MANY, make).first) == 15  # type: ignore[arg-type]


def small_scenes(folder: Path, count: int) -> list[Path]:
    random = np.random.default_rng(5)
    return [
        write_raster(folder / f"s{k:02d}.tif", random.random((1, 6 + k % 3, 9), np.float32))
        for k in range(count)
    ]


HOW: dict[str, Any] = {"bands": "red", "qgis": False, "fields": False, "polygons": False}


def test_a_batch_that_is_opened_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "_FIRST", 3)
    monkeypatch.setattr(jobs_module, "_AHEAD", 2)
    monkeypatch.setattr(sys.modules["agriseg.workflow.segment"], "_HELD", 5)
    paths = small_scenes(tmp_path, 12)
    paths[4].write_bytes(b"II*\0")
    with pytest.raises(agriseg.errors.BatchError, match=r"1 of 12 scenes.*s04") as caught:
        agriseg.segment(paths, tmp_path / "out", model=Smooth(), **HOW)
    names = [path.stem for path in paths if path.stem != "s04"]
    runs = caught.value.runs
    assert [run.path.name for run in runs] == names
    # Of many runs the records are not held, and read as they were.
    assert dict(runs[3].record) == dict(read_run(runs[3].path).record)
    assert len(runs[3].record) == len(set(runs[3].record))
    batch = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert [one["name"] for one in batch["scenes"]] == [path.stem for path in paths]
    assert [one["state"] for one in batch["scenes"]].count("done") == 11
    assert (tmp_path / "out" / "index.gpkg").exists()


def test_a_model_that_is_not_there_is_told_before_any_scene(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.safetensors"):
        agriseg.segment(MANY, tmp_path / "out", model=str(tmp_path / "none.safetensors"))
    assert not (tmp_path / "out").exists()


def test_scenes_that_would_share_a_folder_are_refused_unopened(tmp_path: Path) -> None:
    given = [Source("/a/field.tif", name="Field"), Source("/b/field.tif", name="field")]
    with pytest.raises(OptionError, match=r"/a/field.tif and /b/field.tif would both go to"):
        agriseg.segment(given, tmp_path / "out", model=Smooth())


def test_a_scene_without_a_name_is_called_as_opening_calls_it(tmp_path: Path) -> None:
    (path,) = small_scenes(tmp_path, 1)
    (run,) = agriseg.segment([Source(str(path))], tmp_path / "out", model=Smooth(), **HOW)
    assert run.path.name == "s00"


def test_little_room_for_many_scenes_is_said(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(RunFolder, "prepare", lambda _: None)
    monkeypatch.setattr(RunFolder, "free_bytes", lambda _: 50_000_000_000)
    Jobs(True, MANY[:100], Maker(job)).check_room()  # type: ignore[arg-type]
    assert not caplog.messages
    Jobs(True, MANY, Maker(job)).check_room()  # type: ignore[arg-type]
    assert "20000 scenes may need about 84 GB" in caplog.text
