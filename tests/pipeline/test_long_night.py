"""Two minutes of bad luck: whatever is killed, whenever, the same command ends with the same bytes.

    make night                                     # two minutes
    AGRISEG_NIGHT_S=3600 make night                # an hour
    AGRISEG_NIGHT_SEED=123 make night              # the kills of a night before, as far as time is

Each round segments three scenes, in one process, with workers of its own, or with a scheduler and
workers elsewhere. Processes are chosen by lot and killed (SIGKILL) at moments chosen by lot, and
the same command is started again until it ends by itself.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

import agriseg
from tests.pipeline.test_workers import Processes, environment_of
from tests.support import ROOT, Smooth, leftovers, result_bytes, write_raster

pytestmark = [pytest.mark.night, pytest.mark.timeout(0)]

SECONDS = float(os.environ.get("AGRISEG_NIGHT_S", "120"))
SEED = int(os.environ.get("AGRISEG_NIGHT_SEED", str(time.time_ns() % 10**6)))
WAYS = ("one process", "workers", "scheduler")
OPTIONS = {"bands": "red", "chip": 16, "overlap": 4}
# A fourth worker that dies of one task has it given up.
_KILLS = 3
_PATIENCE_S = 300
_MARK = "AGRISEG_NIGHT_ROUND"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, chance = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    sizes = [(150, 61), (5, 40), (200, 33)]
    return [
        write_raster(folder / f"s{k}.tif", chance.random((1, *size), np.float32) * 2)
        for k, size in enumerate(sizes)
    ]


@pytest.fixture(scope="module")
def plain(scenes: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("plain")
    agriseg.segment(scenes, out, model=Smooth(), **OPTIONS)  # type: ignore[arg-type]
    return all_bytes(out)


def all_bytes(out: Path) -> dict[str, bytes]:
    """Every output of every scene, byte for byte."""
    return {
        f"{folder.name}/{name}": data
        for folder in sorted(out.glob("s?"))
        for name, data in result_bytes(folder).items()
    }


class Night:
    """One round: a command that is started until it ends, and what is killed of it."""

    def __init__(self, scenes: list[Path], out: Path, way: str, chance: random.Random) -> None:
        self._scenes, self._out, self._way, self._chance = scenes, out, way, chance
        self.kills: list[str] = []

    def pass_by(self) -> None:
        """Start the command, kill something of it, and so on until it ends by itself."""
        try:
            self._pass_by()
        finally:
            # Workers of a command that was killed are at it for some time.
            for process in psutil.process_iter():
                if environment_of(process, _MARK) == str(self._out):
                    with suppress(psutil.Error):
                        process.kill()
                        process.wait()

    def _pass_by(self) -> None:
        most = self._chance.randint(1, _KILLS)
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            with self._elsewhere() as others, self._command(others) as command:
                while command.poll() is None and len(self.kills) < most:
                    self._wait(command)
                    self._kill(command, others)
                with suppress(subprocess.TimeoutExpired):
                    if command.wait(timeout=_PATIENCE_S) == 0:
                        return
        raise AssertionError(f"{self._way} did not end in {_PATIENCE_S} s after {self.kills}")

    @contextmanager
    def _elsewhere(self) -> Iterator[Processes | None]:
        """A scheduler and two workers, where they are wanted; what is left of them is ended."""
        if self._way != "scheduler":
            yield None
            return
        folder = self._out.with_name(f"{self._out.name}-dask-{len(self.kills)}")
        folder.mkdir(exist_ok=True)
        (folder / "scheduler.json").unlink(missing_ok=True)
        processes = Processes(folder)
        try:
            for _ in range(2):
                processes.worker()
            yield processes
        finally:
            processes.end()

    @contextmanager
    def _command(self, others: Processes | None) -> Iterator[subprocess.Popen[bytes]]:
        where = {"workers": ", workers=2", "one process": ""}.get(self._way)
        if others is not None:
            where = f", scheduler={others.address!r}"
        script = (
            "import agriseg; from tests.support import Smooth\n"
            f"agriseg.segment({[str(path) for path in self._scenes]!r}, {str(self._out)!r},"
            f" model=Smooth(seconds_per_chip=0.02), **{OPTIONS!r}{where})"
        )
        command = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), _MARK: str(self._out)},
        )  # fmt: skip
        try:
            yield command
        finally:
            if command.poll() is None:
                command.kill()
                command.wait()

    def _wait(self, command: subprocess.Popen[bytes]) -> None:
        """Until it works, and for a moment more: what comes before is the same every time."""
        until = time.monotonic() + _PATIENCE_S
        works = self._out.glob
        while command.poll() is None and time.monotonic() < until:
            if any(works("s?/rows-*")) or any(works("s?/run.json")):
                break
            time.sleep(0.005)
        time.sleep(self._chance.expovariate(2.0))

    def _kill(self, command: subprocess.Popen[bytes], others: Processes | None) -> None:
        """Kill the command, one of its own processes, or one of those elsewhere."""
        victims = [command.pid] * 2
        with suppress(psutil.Error):
            victims += [one.pid for one in psutil.Process(command.pid).children(recursive=True)]
        if others is not None:
            victims += [one.pid for one in others.all if one.poll() is None]
            others.worker()  # as a cluster does for one that is lost
        victim = self._chance.choice(victims)
        with suppress(psutil.Error, ProcessLookupError):
            said = " ".join(psutil.Process(victim).cmdline())
            os.kill(victim, signal.SIGKILL)
            kinds = {"dask_scheduler": "scheduler", "dask_worker": "worker", "spawn": "worker"}
            own = "command" if victim == command.pid else "helper"
            self.kills.append(next((kinds[key] for key in kinds if key in said), own))


def test_whatever_is_killed_whenever(
    scenes: list[Path],
    plain: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chance, started, rounds, kills = random.Random(SEED), time.monotonic(), 0, Counter[str]()
    while time.monotonic() - started < SECONDS:
        way, out = WAYS[rounds % len(WAYS)], tmp_path / f"out{rounds}"
        night = Night(scenes, out, way, chance)
        night.pass_by()
        told = f"AGRISEG_NIGHT_SEED={SEED}, round {rounds} ({way}), killed: {night.kills}"
        runs = agriseg.segment(scenes, out, model=Smooth(seconds_per_chip=0.02), **OPTIONS)  # type: ignore[arg-type]
        assert all(run.resumed for run in runs), told  # type: ignore[union-attr]
        found = all_bytes(out)
        assert sorted(found) == sorted(plain), told
        assert [name for name in plain if found[name] != plain[name]] == [], told
        assert [name for path in out.glob("s?") for name in leftovers(path)] == [], told
        rounds += 1
        kills.update(night.kills)
    with capsys.disabled():
        took = time.monotonic() - started
        killed = ", ".join(f"{kills[kind]} x {kind}" for kind in sorted(kills))
        print(f"\n  {rounds} rounds in {took:.0f} s, seed {SEED}; killed: {killed}")
    assert kills
