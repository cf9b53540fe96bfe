"""The queue of all swaths of all scenes, on a pool that works in this process and in any order."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agriseg
from agriseg.errors import InputError, WorkerError
from agriseg.models import PackedModel
from agriseg.pipeline import Failed, Job, SegmentOptions, prepare, reserve, run_jobs
from agriseg.pipeline.many import Advance, Done
from agriseg.pipeline.tasks import REPORTING, bare
from agriseg.runs import Run
from agriseg.tiling import ChipGrid, Plan, Swath
from tests.support import Smooth, write_raster


@dataclass
class Shuffled:
    """Does one of the tasks that it was sent, whichever; `fails` says which of them do not.

    Each says that it did `speed` pixels a second.
    """

    seed: int = 0
    workers: int = 3
    threads: int = 1
    is_single: bool = False
    speed: float = 1.0
    fails: dict[str, Exception] = field(default_factory=dict)
    sent: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    most: int = 0
    log: list[tuple[str, str]] = field(default_factory=list)
    swaths: list[Swath] = field(default_factory=list)
    told: list[Done | Advance] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def submit(self, task: int, work: Any, *args: Any) -> None:
        self.sent[task] = (work, *args)
        self.most = max(self.most, len(self.sent))

    def next(self) -> Done | Advance:
        if self.told:
            return self.told.pop(0)
        task = self._random.choice(list(self.sent))
        work, job, *args = self.sent.pop(task)
        self.log.append((job.scene.name, work.__name__))
        fault = self.fails.get(f"{job.scene.name} {work.__name__}")
        if fault is not None:
            return Done(task, error=fault)
        if work not in REPORTING:
            return Done(task, work(job, *args))
        self.swaths.append(args[-1])
        value = work(
            job, *args, report=lambda n, _: self.told.append(Advance(task, n, n / self.speed))
        )
        self.told.append(Done(task, value))
        return self.told.pop(0)


@dataclass
class Heard:
    """Counts what it is told."""

    total: int = 0
    done: int = 0
    names: list[str] = field(default_factory=list)

    def plan(self, scenes: int, workers: int | None, dashboard: str | None) -> None: ...

    def begin(self, job: Job) -> None:
        self.names.append(f"begin {job.scene.name}")

    def start(self, total_pixels: int, done_pixels: int) -> None:
        self.total += total_pixels
        self.done += done_pixels

    def advance(self, pixels: int) -> None:
        self.done += pixels

    def assembling(self) -> None: ...

    def end(self, run: Run) -> None:
        self.names.append(f"end {run.path.name}")

    def fail(self, failed: Failed) -> None:
        self.names.append(f"fail {failed.name}")


@pytest.fixture
def rasters(tmp_path: Path) -> list[Path]:
    random_ = np.random.default_rng(1)
    sizes = [(70, 45), (16, 90), (131, 33), (5, 5)]
    return [
        write_raster(tmp_path / f"scene{k}.tif", random_.random((1, *size), np.float32) * 2)
        for k, size in enumerate(sizes)
    ]


def jobs_of(rasters: list[Path], out: Path, **options: Any) -> list[tuple[Job, Any]]:
    how = SegmentOptions(chip=16, overlap=4, **options)
    jobs = [
        prepare(agriseg.open_scene(p, bands="red"), Smooth(), out / p.stem, how) for p in rasters
    ]
    reserve(jobs)
    return [(job, PackedModel.of(job.predictor)) for job in jobs]


def bytes_of(folder: Path) -> dict[str, bytes]:
    names = ("classes.tif", "confidence.tif", "segments.gpkg")
    return {
        f"{p.parent.name}/{p.name}": p.read_bytes() for n in names for p in folder.glob(f"*/{n}")
    }


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_any_tasks_gives_the_same_bytes(
    rasters: list[Path], tmp_path: Path, seed: int
) -> None:
    agriseg.segment(
        rasters, tmp_path / "plain", model=Smooth(), bands="red", chip=16, overlap=4,
        fields=False, qgis=False,
    )  # fmt: skip
    pool, heard = Shuffled(seed), Heard()
    found = list(run_jobs(iter(jobs_of(rasters, tmp_path / "pool", fields=False)), pool, heard))
    assert all(isinstance(run, Run) for run in found)
    assert bytes_of(tmp_path / "pool") == bytes_of(tmp_path / "plain")
    assert len(bytes_of(tmp_path / "pool")) == 12
    assert heard.done == heard.total == 70 * 45 + 16 * 90 + 131 * 33 + 25
    assert pool.most <= 2 * pool.workers
    assert not list(tmp_path.glob("pool/*/rows-*"))
    # The end of a scene of several swaths is shared, too.
    assert {what for name, what in pool.log if name == "scene2"} == {
        "predict_rows", "finish_maps", "finish_polygons",
    }  # fmt: skip
    seconds = [run.record["seconds"] for run in found if isinstance(run, Run)]
    assert all({"predict", "assemble", "polygons"} == set(one) for one in seconds)
    assert min(min(one.values()) for one in seconds) >= 0


def test_scenes_are_begun_only_when_workers_run_out(rasters: list[Path], tmp_path: Path) -> None:
    """So that a hundred thousand take no more memory than a few."""
    jobs = jobs_of([rasters[3]] * 1, tmp_path / "x")
    taken: list[int] = []

    def endless() -> Iterator[tuple[Job, Any]]:
        for k in range(40):
            taken.append(k)
            yield jobs_of([rasters[3]], tmp_path / f"out{k}", polygons=False, fields=False)[0]

    assert len(jobs) == 1
    pool = Shuffled(workers=2)
    for done, _ in enumerate(run_jobs(endless(), pool, Heard()), 1):
        assert len(taken) <= done + 2 * pool.workers + 1


@pytest.mark.parametrize("work", ["predict_rows", "finish_maps", "finish_polygons"])
def test_a_fault_ends_its_scene_alone(rasters: list[Path], tmp_path: Path, work: str) -> None:
    pool = Shuffled(fails={f"scene2 {work}": InputError("the disk went away")})
    heard = Heard()
    found = list(run_jobs(jobs_of(rasters, tmp_path / "out"), pool, heard))
    failed = [one for one in found if isinstance(one, Failed)]
    assert [(one.name, str(one.error)) for one in failed] == [("scene2", "the disk went away")]
    assert "fail scene2" in heard.names
    assert sorted(run.path.name for run in found if isinstance(run, Run)) == [
        "scene0", "scene1", "scene3",
    ]  # fmt: skip
    if work == "predict_rows":
        # What waited is dropped: at most what was under way fails again.
        assert pool.log.count(("scene2", work)) <= 2 * pool.workers
    # The same once more does only what is missing.
    pool = Shuffled()
    runs = list(run_jobs(jobs_of(rasters, tmp_path / "out"), pool, Heard()))
    assert {name for name, _ in pool.log} == {"scene2"}
    assert [run.path.name for run in runs if isinstance(run, Run) and not run.resumed] == ["scene2"]


def test_a_scene_that_cannot_be_opened_is_passed_on(rasters: list[Path], tmp_path: Path) -> None:
    heard = Heard()
    bad = Failed("bad", InputError("no raster"))
    jobs = [bad, *jobs_of(rasters[:1], tmp_path)]
    first, _ = run_jobs(jobs, Shuffled(), heard)
    assert first is bad
    assert heard.names == ["fail bad", "begin scene0", "end scene0"]


def test_only_swaths_that_lack_rows_are_sent(rasters: list[Path], tmp_path: Path) -> None:
    (first,) = jobs_of(rasters[2:3], tmp_path, swaths=6)
    pool = Shuffled(fails={"scene2 finish_maps": InputError("stopped")})
    list(run_jobs([first], pool, Heard()))
    ledger = first[0].ledger
    ledger._row(4).unlink(missing_ok=True)
    ledger._body(4).unlink(missing_ok=True)
    # With it goes what row 3 left for it, which is used up.
    lost = ledger.missing(range(11))
    assert lost == [3, 4]
    pool, heard = Shuffled(), Heard()
    (run,) = run_jobs(jobs_of(rasters[2:3], tmp_path, swaths=6), pool, heard)
    assert [work for _, work in pool.log] == ["segment_scene"]
    assert isinstance(run, Run)
    assert run.record["rows_from_earlier_run"] == first[0].plan.grid.rows - 2
    assert heard.done == heard.total


@pytest.mark.parametrize(("speed", "tasks"), [(1.0, 11), (1e9, 7)])
def test_swaths_that_take_a_moment_are_sent_together(
    rasters: list[Path], tmp_path: Path, speed: float, tasks: int
) -> None:
    agriseg.segment(
        rasters[2], tmp_path / "plain", model=Smooth(), bands="red", chip=16, overlap=4, qgis=False
    )
    pool, heard = Shuffled(workers=1, speed=speed), Heard()
    list(run_jobs(jobs_of(rasters[2:3], tmp_path / "pool", swaths=11), pool, heard))
    assert bytes_of(tmp_path / "pool") == bytes_of(tmp_path / "plain")
    assert len(pool.swaths) == tasks
    assert sorted(row for swath in pool.swaths for row in swath.rows) == list(range(11))
    # Two were under way before anything was known, and at the end nobody waits for a long one.
    assert sorted(map(len, pool.swaths)) == sorted(
        [1, 1, 4, 2, 1, 1, 1] if tasks == 7 else [1] * 11
    )
    assert heard.done == heard.total


@dataclass(frozen=True)
class Streaming(Smooth):
    """`Smooth`, of which two calls may go on at once."""

    streams: int = 2


@pytest.mark.parametrize(("model", "most"), [(Smooth(), 4), (Streaming(), 16)])
def test_small_scenes_fill_the_threads_of_workers(
    rasters: list[Path], tmp_path: Path, model: Smooth, most: int
) -> None:
    options = SegmentOptions(chip=16, overlap=4, polygons=False, fields=False)
    scene = agriseg.open_scene(rasters[3], bands="red")
    jobs = [prepare(scene, model, tmp_path / str(k), options) for k in range(20)]
    reserve(jobs)
    pool = Shuffled(workers=2, threads=4)
    found = list(run_jobs([(job, PackedModel.of(model)) for job in jobs], pool, Heard()))
    assert [type(run) for run in found] == [Run] * 20
    assert pool.most == most


def test_a_single_worker_gets_a_scene_as_one(rasters: list[Path], tmp_path: Path) -> None:
    pool = Shuffled(workers=1, is_single=True)
    list(run_jobs(jobs_of(rasters[2:3], tmp_path), pool, Heard()))
    assert pool.swaths == [Swath(0, 10)]


def test_a_scene_of_one_swath_is_one_task(rasters: list[Path], tmp_path: Path) -> None:
    pool, heard = Shuffled(), Heard()
    (run,) = run_jobs(jobs_of(rasters[3:], tmp_path), pool, heard)
    assert pool.log == [("scene3", "segment_scene")]
    assert isinstance(run, Run)
    assert heard.done == heard.total == 25


@dataclass
class Mortal(Shuffled):
    """Its workers die with the scene that is `deadly`, and with all that goes on beside it."""

    deadly: str = ""

    def next(self) -> Done | Advance:
        names = {job.scene.name for _, job, *_ in self.sent.values()}
        if self.deadly in names and not self.told:
            task, (_, job, *_) = next(iter(self.sent.items()))
            self.sent.pop(task)
            self.log.append((job.scene.name, "died"))
            return Done(task, error=WorkerError("the workers died"))
        return super().next()


def test_a_scene_that_kills_workers_takes_no_other_with_it(
    rasters: list[Path], tmp_path: Path
) -> None:
    agriseg.segment(
        rasters, tmp_path / "plain", model=Smooth(), bands="red", chip=16, overlap=4, qgis=False
    )
    pool, heard = Mortal(deadly="scene1"), Heard()
    found = list(run_jobs(jobs_of(rasters, tmp_path / "pool"), pool, heard))
    (failed,) = [one for one in found if isinstance(one, Failed)]
    assert failed.name == "scene1"
    plain = bytes_of(tmp_path / "plain")
    assert bytes_of(tmp_path / "pool") == {
        name: data for name, data in plain.items() if "scene1" not in name
    }
    assert {name for name, what in pool.log if what == "died"} > {"scene1"}


def test_a_scene_that_was_alone_is_not_tried_again(rasters: list[Path], tmp_path: Path) -> None:
    pool = Mortal(deadly="scene0")
    (failed,) = run_jobs(jobs_of(rasters[:1], tmp_path), pool, Heard())
    assert isinstance(failed, Failed)
    assert pool.log.count(("scene0", "died")) <= 2 * pool.workers


def test_a_pool_that_is_gone_ends_all(rasters: list[Path], tmp_path: Path) -> None:
    class Gone(Shuffled):
        def next(self) -> Done | Advance:
            raise WorkerError("the scheduler is gone")

    with pytest.raises(WorkerError, match="gone"):
        list(run_jobs(jobs_of(rasters, tmp_path), Gone(), Heard()))


def test_tasks_are_small_whatever_the_plan(rasters: list[Path], tmp_path: Path) -> None:
    job = jobs_of(rasters[2:3], tmp_path)[0][0]
    grid = ChipGrid(160_000, 100_000, 16, 0)
    plan = Plan.even(grid, 10_000)
    large = Job(**{**{name: getattr(job, name) for name in job.__dataclass_fields__}, "plan": plan})
    assert len(pickle.dumps(large)) > 50_000
    assert len(pickle.dumps((bare(large), PackedModel.of(job.predictor), plan.swaths[-1]))) < 10_000


@pytest.mark.parametrize("rows", [1, 2, 5, 40, 1000])
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_guided_swaths_shrink_and_cover_all_rows(rows: int, workers: int) -> None:
    plan = Plan.guided(ChipGrid(rows * 16, 50, 16, 0), workers)
    lengths = [len(swath) for swath in plan]
    assert sum(lengths) == rows
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == 1
    assert lengths[0] <= rows / (2 * workers) + 1
    assert plan.swaths[0].first == 0
    assert isinstance(plan.swaths[-1], Swath)
