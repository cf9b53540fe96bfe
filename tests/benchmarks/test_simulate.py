"""What simulated scenes cost: Mpixel/s of the whole verb, processor time, memory.

    make bench PYTEST_ARGS='-k simulate'
    AGRISEG_BENCH_SIMULATE=sample-field:20000x20000,satellite:8192x8192 make bench ...

Each scene is drawn in a process of its own, one after the other, to finished files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agriseg.simulate.scene import outputs_of
from agriseg.simulate.verb import understood

ROOT = Path(__file__).resolve().parents[2]
SCENES = os.environ.get(
    "AGRISEG_BENCH_SIMULATE",
    "sample-field:4096x4096,sample-field:4096x8192,wheat-rgb:2048x2048,closed-canopy:1024x1024,"
    "headland:2048x2048,satellite:4096x4096",
).split(",")
CODE = """
import json, resource, sys, time
import agriseg
from agriseg.machine import peak_bytes
config, out, width, height = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
agriseg.simulate(config, out + "/warm", width=64, height=64)
used = resource.getrusage(resource.RUSAGE_SELF)
began, before = time.perf_counter(), used.ru_utime + used.ru_stime
agriseg.simulate(config, out + "/scene", width=width, height=height)
used = resource.getrusage(resource.RUSAGE_SELF)
figures = {
    "seconds": time.perf_counter() - began,
    "cpu_s": used.ru_utime + used.ru_stime - before,
    "peak_mib": peak_bytes() / 2**20,
}
print(json.dumps(figures))
"""


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_simulate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["  scene                        seconds  Mpixel/s  CPU s a Mpixel  peak MiB  files MB"]
    for number, scene in enumerate(SCENES):
        name, _, size = scene.partition(":")
        width, height = map(int, size.split("x"))
        config, out = ROOT / "configs" / f"{name}.yaml", tmp_path / str(number)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CODE, config, out, str(width), str(height)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        found, pixels = json.loads(done.stdout.splitlines()[-1]), width * height / 1e6
        files = [out / "scene" / name for name in outputs_of(understood(config))]
        lines.append(
            f"  {scene:26}{found['seconds']:10.1f}{pixels / found['seconds']:10.2f}"
            f"{found['cpu_s'] / pixels:16.2f}{found['peak_mib']:10,.0f}"
            f"{sum(file.stat().st_size for file in files) / 1e6:10,.0f}"
        )
        for file in files:
            file.unlink()
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
    assert len(lines) == 1 + len(SCENES)
