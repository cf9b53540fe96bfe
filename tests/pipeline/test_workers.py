"""Real processes: workers on this machine, and a scheduler with workers of its own; all killed.

Slow: each process loads rasterio and dask anew, some of them torch too.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import distributed  # noqa: F401  defaults loaded later would go with what a test sets
import numpy as np
import psutil
import pytest
import torch

import agriseg
from agriseg.errors import BatchError, InputError, ModelError, OptionError, WorkerError
from agriseg.models import ModelCard, build_network, save_model
from agriseg.pipeline import cluster, local
from agriseg.pipeline.local import cards_for, local_workers
from tests.support import ROOT, Identity, Smooth, identity_card, write_raster

pytestmark = pytest.mark.slow

# Fields that workers make are compared in test_fields.
OPTIONS: dict[str, Any] = {
    "bands": "red", "chip": 16, "overlap": 4, "fields": False, "qgis": False,
}  # fmt: skip
NAMES = ("classes.tif", "confidence.tif", "segments.gpkg")

THREADS = 3
"""Of each worker; another number than a client of one core would take."""


class Processes:
    """A scheduler and workers, each a command of its own; all are ended at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.file = folder, folder / "scheduler.json"
        self.all: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self._begin()

    def two_workers(self) -> None:
        """Start again what was killed."""
        if self.scheduler.poll() is not None:
            self.end()
            self._begin()
        self.workers = [one for one in self.workers if one.poll() is None]
        while len(self.workers) < 2:
            self.worker()

    def _begin(self) -> None:
        self.file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "distributed.cli.dask_scheduler", "--scheduler-file", str(self.file), "--no-dashboard",
            "--host", "127.0.0.1", "--port", "0",
        )  # fmt: skip
        until, self.address = time.monotonic() + 60, ""
        while not self.address and time.monotonic() < until:
            with contextlib.suppress(OSError, ValueError):  # not yet there, or not yet whole
                self.address = json.loads(self.file.read_text())["address"]
            time.sleep(0.05)

    def worker(self) -> None:
        """Start one more."""
        process = self._start(
            "distributed.cli.dask_worker", self.address, "--nthreads", str(THREADS),
            "--no-dashboard", "--no-nanny", "--local-directory", str(self._folder),
            "--death-timeout", "30",
        )  # fmt: skip
        self.workers.append(process)

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.all.append(process)
        return process

    def end(self) -> None:
        for process in self.all:
            with contextlib.suppress(psutil.Error):
                process.kill()
            process.wait()


@pytest.fixture(scope="module")
def all_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    found = Processes(tmp_path_factory.mktemp("processes"))
    yield found
    found.end()


@pytest.fixture
def processes(all_processes: Processes) -> Processes:
    """A scheduler with two workers, of which those still live that no test before has killed."""
    all_processes.two_workers()
    return all_processes


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = np.random.default_rng(0).random((1, 150, 61), np.float32) * 2
    data[:, 40:55, 10:] = -1
    return write_raster(tmp_path_factory.mktemp("scene") / "scene.tif", data, nodata=-1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
    card: ModelCard = identity_card(
        name="small", architecture="unet", options=options, chip_size=16, stride=8
    )
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    return save_model(path, card, build_network(card).state_dict())


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        f"{p.parent.name}/{p.name}": p.read_bytes() for p in folder.glob("*/*") if p.name in NAMES
    }


@pytest.fixture(scope="module")
def plain(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("plain")
    agriseg.segment(scene, out, model=Smooth(), **OPTIONS)
    return bytes_of(out)


@pytest.mark.parametrize(
    ("workers", "network"),
    [
        (2, True),
        (4, False),
        *(pytest.param(count, True, marks=pytest.mark.night) for count in (1, 4)),
    ],
)
def test_workers_give_the_same_bytes(
    scene: Path, model: Path, tmp_path: Path, workers: int, network: bool
) -> None:
    """By day more than two load no torch, which takes each of them seconds."""
    how = {**OPTIONS, **({"model": model, "engine": "torch"} if network else {"model": Smooth()})}
    agriseg.segment(scene, tmp_path / "one", **how)
    run = agriseg.segment(scene, tmp_path / "many", workers=workers, **how)
    assert bytes_of(tmp_path / "many") == bytes_of(tmp_path / "one")
    assert isinstance(run, agriseg.Run)
    assert ("torch" in run.record["numerics"]) == network
    assert not list(tmp_path.glob("many/*/rows-*"))
    again = agriseg.segment(scene, tmp_path / "many", workers=1, **how)
    assert again.resumed  # type: ignore[union-attr]


def test_a_scheduler_with_workers_of_its_own_and_many_scenes(
    scene: Path, model: Path, plain: dict[str, bytes], processes: Processes, tmp_path: Path
) -> None:
    others = [
        write_raster(tmp_path / f"{k}.tif", np.full((1, 5 + k, 40), k % 3, np.float32))
        for k in range(8)
    ]
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0")
    with pytest.raises(
        BatchError, match=r"1 of 10 scenes could not be segmented: .*broken"
    ) as told:
        agriseg.segment(
            [others[0], broken, scene, *others[1:]], tmp_path / "out", model=Smooth(),
            scheduler=processes.address, **OPTIONS,
        )  # fmt: skip
    assert [run.path.name for run in told.value.runs] == ["0", "scene", *"1234567"]
    assert isinstance(next(iter(told.value.failed.values())), InputError)
    found = bytes_of(tmp_path / "out")
    assert {name: found[name] for name in plain} == plain
    assert len(found) == 3 * 9
    # An object that is no class of an installed package travels too.
    again = agriseg.segment(
        scene, tmp_path / "file", model=Smooth(), scheduler=str(processes.file), **OPTIONS
    )
    assert isinstance(again, agriseg.Run)
    assert bytes_of(tmp_path / "file") == plain
    # How a network is computed is for workers to say, which use as many threads as they were given.
    how: dict[str, Any] = {"model": model, "engine": "torch", **OPTIONS}
    far = agriseg.segment(scene, tmp_path / "far", scheduler=processes.address, **how)
    assert isinstance(far, agriseg.Run)
    assert far.record["model"]["threads"] == THREADS
    agriseg.segment(scene, tmp_path / "here", **how)
    assert bytes_of(tmp_path / "far") == bytes_of(tmp_path / "here")
    with pytest.raises(OptionError, match=r"^on a worker: --device cuda: "):
        agriseg.segment(scene, tmp_path / "x", scheduler=processes.address, device="cuda", **how)


def child(scene: Path, out: Path, address: str) -> subprocess.Popen[bytes]:
    """A client in a process of its own, with a predictor that takes its time."""
    script = (
        "import agriseg; from tests.support import Smooth\n"
        f"agriseg.segment({str(scene)!r}, {str(out)!r}, scheduler={address!r},"
        f" model=Smooth(seconds_per_chip=0.1), **{OPTIONS!r})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for_rows(out: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while len(list(out.glob("scene/rows-*/*-0*.tif"))) < count:
        if process.poll() is not None or time.monotonic() > until:
            return
        time.sleep(0.01)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("victim", ["client", "worker", "scheduler"])
def test_killed_at_any_moment_the_same_bytes_come_in_the_end(
    scene: Path,
    plain: dict[str, bytes],
    processes: Processes,
    tmp_path: Path,
    victim: str,
    seed: int,
) -> None:
    chance = random.Random(seed)
    out = tmp_path / "out"
    client = child(scene, out, processes.address)
    processes.all.append(client)
    wait_for_rows(out, chance.randint(1, 5), client)
    time.sleep(chance.random() * 0.2)
    victims = {"worker": processes.workers[0], "client": client, "scheduler": processes.scheduler}
    os.kill(victims[victim].pid, signal.SIGKILL)
    if victim == "worker":
        # The other one takes over, and the client notices nothing.
        assert client.wait(timeout=120) == 0
    else:
        client.wait(timeout=120)
        assert client.returncode != 0
        if victim == "scheduler":
            assert client.stderr is not None
            said = client.stderr.read()
            assert b"the scheduler is gone" in said, said[-3000:]
        # What is there stays, and the plain loop goes on with it.
        run = agriseg.segment(scene, out, model=Smooth(), **OPTIONS)
        assert isinstance(run, agriseg.Run)
        assert run.record["rows_from_earlier_run"] > 0
    assert bytes_of(out) == plain


class Deadly(Smooth):
    """Ends the worker that uses it, as a lack of memory would."""

    def __call__(self, batch: Any) -> Any:
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)


def test_a_scene_that_kills_its_workers_is_given_up(scene: Path, tmp_path: Path) -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),  # and not 3
        pytest.raises(WorkerError, match="died one after the other, perhaps for want of memory"),
    ):
        agriseg.segment(scene, tmp_path, model=Deadly(), workers=1, **OPTIONS)


def test_unguarded_scripts_work(scene: Path, plain: dict[str, bytes], tmp_path: Path) -> None:
    """Also one that comes from standard input; GDAL is set for workers too, and nothing is left."""
    script = (
        "import agriseg, rasterio\nfrom tests.support import WithSetting\n"
        "model = WithSetting(setting=('GDAL_HTTP_USERPWD', 'me:secret'))\n"
        "with rasterio.Env(GDAL_HTTP_USERPWD='me:secret'):\n"
        f"    agriseg.segment({str(scene)!r}, {str(tmp_path)!r}, workers=1, model=model,"
        f" **{OPTIONS!r})\nprint('once')\n"
    )
    mark = f"mark-{tmp_path}"
    done = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, "AGRISEG_TEST": mark},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "once\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert bytes_of(tmp_path) == plain
    assert not [p for p in psutil.process_iter() if environment_of(p, "AGRISEG_TEST") == mark]
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"secret" in p.read_bytes()]


def environment_of(process: psutil.Process, name: str) -> str:
    try:
        return process.environ().get(name, "")
    except psutil.Error:
        return ""


def test_what_makes_no_sense_is_refused(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="give one"):
        agriseg.segment(
            scene, tmp_path, model=Smooth(), workers=2, scheduler="tcp://x:1", **OPTIONS
        )
    with pytest.raises(OptionError, match="--workers 0"):
        agriseg.segment(scene, tmp_path, model=Smooth(), workers=0, **OPTIONS)
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.5)
    with pytest.raises(WorkerError, match=r"no scheduler answers at tcp://127.0.0.1:9"):
        agriseg.segment(scene, tmp_path, model=Smooth(), scheduler="tcp://127.0.0.1:9", **OPTIONS)


def test_a_predictor_that_cannot_travel_is_refused(scene: Path, tmp_path: Path) -> None:
    class Local(Identity):
        def __reduce__(self) -> Any:
            raise TypeError("holds a graphics card")

    with pytest.raises(OptionError, match=r"cannot be sent to workers.*holds a graphics card"):
        agriseg.segment(scene, tmp_path, model=Local(), workers=1, **OPTIONS)


def test_another_model_under_the_same_path_is_refused(
    scene: Path, model: Path, tmp_path: Path
) -> None:
    from agriseg.models import ModelReference, PackedModel, load_model, numerics_of

    predictor = load_model(model, engine="torch")
    reference = ModelReference.to(model, predictor)
    kept = reference.load()
    PackedModel.of(Smooth()).load()  # of another scene, which the network does not fit
    assert reference.load() is kept
    with pytest.raises(ModelError, match="is another model here"):
        ModelReference(str(model), predictor.card, "other", numerics_of(predictor)).load()


def test_each_worker_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8f")
    assert cards_for("cuda") == cards_for("auto") == ("2", "GPU-8f")
    assert cards_for("cpu") == cards_for("cuda:1") == ()
    seen = []
    start = local._Workers.start

    def noted(workers: Any, command: list[str], environment: dict[str, str]) -> None:
        seen.append(environment["CUDA_VISIBLE_DEVICES"])
        start(workers, command, environment)

    monkeypatch.setattr(local._Workers, "start", noted)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError), local_workers(3, cards=cards_for("cuda")):
        pass
    assert seen == ["2", "GPU-8f", "2"]


def test_workers_that_do_not_start_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="a worker ended as it started"), local_workers(1):
        pass
