"""What is sent to a scheduler, and what is made of its silence; without one."""

from __future__ import annotations

import asyncio
import gc
import pickle
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.session import AWSSession

from agriseg.errors import WorkerError
from agriseg.models import PackedModel
from agriseg.pipeline import cluster
from agriseg.pipeline.cluster import DaskPool
from agriseg.pipeline.local import _Workers
from agriseg.pipeline.tasks import GdalSettings, predict_rows, within
from agriseg.tiling import Swath
from tests.support import Smooth


@dataclass
class Client:
    """Takes tasks, and does none."""

    sent: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    status: str = "running"
    threads: dict[str, int] = field(default_factory=lambda: {"one": 2, "two": 4})

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": {name: {"nthreads": count} for name, count in self.threads.items()}}

    def subscribe_topic(self, topic: str, hear: Any) -> None: ...

    def cancel(self, futures: Any, asynchronous: bool) -> None: ...

    def submit(self, work: Any, *args: Any, key: str, **options: Any) -> Any:
        self.sent.append((key, args))
        return Promise(key)


@dataclass(frozen=True)
class Promise:
    """Stands for a result."""

    key: str

    def add_done_callback(self, call: Any) -> None: ...


@dataclass(frozen=True)
class Heavy(Smooth):
    """`Smooth` with as many weights as a network."""

    weights: NDArray[np.float64] = field(
        default_factory=lambda: np.random.default_rng(0).random(99_999)
    )


def test_weights_do_not_travel_with_each_task() -> None:
    client = Client()
    pool, heavy, light = DaskPool(client), PackedModel.of(Heavy()), PackedModel.of(Smooth())
    for task in range(5):
        pool.submit(task, predict_rows, "job", heavy, Swath(task, task))
        pool.submit(task, predict_rows, "job", light, Swath(task, task))
    models = [key for key, _ in client.sent if key.startswith("model-")]
    assert models == [f"model-{heavy.digest}"]
    tasks = [args for key, args in client.sent if key.startswith("predict_rows-")]
    assert len(tasks) == 10
    assert max(len(pickle.dumps(args)) for args in tasks) < 10_000
    assert [type(args[3]) for args in tasks] == [Promise, PackedModel] * 5


def setting(name: str) -> Any:
    return rasterio.env.getenv().get(name)


def test_settings_of_gdal_travel_and_are_never_shown() -> None:
    keys = {"aws_access_key_id": "AKIA0", "aws_secret_access_key": "s3cret", "region_name": "eu"}
    with rasterio.Env(AWSSession(**keys), GDAL_HTTP_USERPWD="me:s3cret", GDAL_DATA="/mine"):
        client = Client()
        DaskPool(client).submit(0, predict_rows, "job", PackedModel.of(Smooth()), Swath(0, 0))
    (_, (settings, *_)) = client.sent[0]
    assert "s3cret" not in f"{settings!r} {settings}"
    there = pickle.loads(pickle.dumps(settings))
    assert within(there, setting, "GDAL_HTTP_USERPWD") == "me:s3cret"
    assert within(there, setting, "AWS_SECRET_ACCESS_KEY") == "s3cret"
    assert within(there, setting, "AWS_REGION") == "eu"
    assert within(there, setting, "GDAL_DATA") != "/mine"  # of this machine
    assert not GdalSettings.of_caller().values


def test_when_all_workers_have_ended_nobody_waits(tmp_path: Path) -> None:
    workers = _Workers(tmp_path)
    workers.start([sys.executable, "-c", "print('no memory left')"], {})
    workers.start(["sleep", "60"], {})
    try:
        workers.processes[0].wait(timeout=60)
        workers.look()  # the other one does the work
        with pytest.raises(WorkerError, match=r"ended as it started \(no memory left\)"):
            workers.look_at_start()
        workers.processes[1].kill()
        workers.processes[1].wait(timeout=60)
        started = time.monotonic()
        with pytest.raises(WorkerError, match=r"all workers ended \(no memory left\)"):
            DaskPool(Client(), workers.look).next()
        assert time.monotonic() - started < 30
    finally:
        for process in workers.processes:
            if process.poll() is None:
                process.kill()


def test_a_client_that_lost_its_scheduler_says_so() -> None:
    with pytest.raises(WorkerError, match="the scheduler is gone"):
        DaskPool(Client(status="closed")).next()


def test_that_no_worker_is_left_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(cluster._LOG, "warning", said.append)
    monkeypatch.setattr(cluster, "_LOOK_S", 0.01)
    monkeypatch.setattr(cluster, "_COUNT_S", 0.01)
    monkeypatch.setattr(cluster, "_LONELY_S", 0.05)
    client, looks = Client(), iter(range(40))

    def look() -> None:
        if next(looks, None) is None:
            raise WorkerError("enough")

    pool = DaskPool(client, look)
    assert (pool.workers, pool.threads) == (2, 3)
    client.threads = {}
    with pytest.raises(WorkerError, match="enough"):
        pool.next()
    assert len(said) == 1
    assert "no workers any more" in said[0]
    assert pool.workers == 2  # as many as may come again


def test_a_pause_of_dask_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    def drop(error: Exception) -> None:
        loop = asyncio.new_event_loop()
        loop.create_future().set_exception(error)
        loop.close()
        gc.collect()

    with cluster.pool_of(Client()):
        pass
    caplog.clear()
    drop(TimeoutError("Timeout"))
    assert not caplog.records
    drop(ValueError("of another kind"))
    assert "never retrieved" in caplog.text
