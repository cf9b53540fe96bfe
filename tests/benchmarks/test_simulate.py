"""What simulated scenes cost: Mpixel/s of the whole verb, processor time, memory.

Each is drawn by threads of one process, and by as many worker processes; memory is that of all at
once.

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
from agriseg.threads import cores

ROOT = Path(__file__).resolve().parents[2]
SCENES = os.environ.get(
    "AGRISEG_BENCH_SIMULATE",
    "sample-field:4096x4096,sample-field:4096x8192,wheat-rgb:2048x2048,closed-canopy:1024x1024,"
    "headland:2048x2048,satellite:4096x4096",
).split(",")
CODE = """
import json, resource, sys, threading, time
import agriseg, psutil
config, out = sys.argv[1:3]
width, height, workers = map(int, sys.argv[3:])
agriseg.simulate(config, out + "/warm", width=64, height=64)
me, peak, done = psutil.Process(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.1):
        try:
            peak = max(peak, sum(p.memory_info().rss for p in (me, *me.children(recursive=True))))
        except psutil.Error:  # a worker that has just ended
            pass

def used():
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)

threading.Thread(target=watch).start()
began, before = time.perf_counter(), used()
agriseg.simulate(config, out + "/scene", width=width, height=height, workers=workers)
figures = {"seconds": time.perf_counter() - began, "cpu_s": used() - before}
done.set()
print(json.dumps(figures | {"peak_mib": peak / 2**20}))
"""


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_simulate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        "  scene                     workers   seconds  Mpixel/s  CPU s/Mpixel  peak MiB  files MB"
    ]
    runs = [(scene, workers) for scene in SCENES for workers in (1, max(cores(), 2))]
    for number, (scene, workers) in enumerate(runs):
        name, _, size = scene.partition(":")
        width, height = map(int, size.split("x"))
        config, out = ROOT / "configs" / f"{name}.yaml", tmp_path / str(number)
        arguments = map(str, (config, out, width, height, workers))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CODE, *arguments],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        found, pixels = json.loads(done.stdout.splitlines()[-1]), width * height / 1e6
        files = [out / "scene" / name for name in outputs_of(understood(config))]
        lines.append(
            f"  {scene:26}{workers:7}{found['seconds']:10.1f}{pixels / found['seconds']:10.2f}"
            f"{found['cpu_s'] / pixels:14.2f}{found['peak_mib']:10,.0f}"
            f"{sum(file.stat().st_size for file in files) / 1e6:10,.0f}"
        )
        for file in files:
            file.unlink()
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
    assert len(lines) == 1 + len(runs)
