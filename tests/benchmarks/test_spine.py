"""What a whole run keeps of the bare network's speed, and against what people do today.

    make bench PYTEST_ARGS='-k spine'                             # 4096 x 4096 pixels
    AGRISEG_BENCH_SIDE=8192 make bench PYTEST_ARGS='-k spine'

One run, on a raster made on the spot: five bands, uint16, deflate, tiled; a five-band U-Net on
ResNet-34 that was trained on it for a minute. Each figure is from a process of its own, one after
the other. Compare figures of one table with each other, not of two machines.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import pytest

from tests.benchmarks.field import make_model, write_scene
from tests.benchmarks.stages import in_child

SIDE = int(os.environ.get("AGRISEG_BENCH_SIDE", "4096"))


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_spine_against_the_bare_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, scene = (write_scene(tmp_path / str(side), side) for side in (SIDE // 2, SIDE))
    model = make_model(tmp_path / "unet.safetensors", small)
    # Before and after: machines that others use too are not as fast at all times.
    recipes = [in_child("recipe", small, model)]
    run = in_child("whole", scene, model, tmp_path / "out")
    recipes.append(in_child("recipe", small, model))
    recipe = max(recipes, key=lambda one: one["mpx_s"])
    quarter = in_child("whole", small, model, tmp_path / "quarter")
    plain = in_child("whole", small, model, tmp_path / "torch", "torch")
    int8 = in_child("whole", small, model, tmp_path / "int8", "auto", "int8")
    alone = in_child("alone", small, model, tmp_path / "alone")
    same = in_child("same", small, model, "auto", "int8")
    numerics = json.loads(run["numerics"])
    lines = [
        f"{SIDE} x {SIDE} pixels, five bands; chips of 1024, overlap 64",
        f"{platform.machine()}, {os.cpu_count()} cores, {numerics['isa']}",
        f"{numerics['engine']} {numerics['precision']}, {run['streams']} streams",
        _row("bare network, chips in memory", run["bare_mpx_s"]),
        _row("whole run, from the file to finished COGs", run["mpx_s"]),
        _row("  share of the bare speed", 100 * run["share"], "%"),
        _row("  share that overlapping chips would leave", 100 * run["share_of_overlap"], "%"),
        *([] if run["device"] == "cpu" else [_row("  GPU busy", run["gpu_busy"], "%")]),
        _row("the same in torch, bare", plain["bare_mpx_s"]),
        _row("the same in torch, whole run", plain["mpx_s"]),
        _row("the same in int8, bare", int8["bare_mpx_s"]),
        _row("the same in int8, whole run", int8["mpx_s"]),
        _row("  and its calibration on the scene", int8["calibration"], "s"),
        _row("torchgeo's recipe: 512/384, float32, no merge", recipe["mpx_s"]),
        _row("  the slower of two times", min(one["mpx_s"] for one in recipes)),
        _row("  times as fast as that", run["mpx_s"] / recipe["mpx_s"], "times"),
        *(_row(f"{stage} alone", speed) for stage, speed in alone.items()),
        _row("peak memory", run["peak_mib"], "MiB"),
        _row("  of a raster of a quarter of the size", quarter["peak_mib"], "MiB"),
        _row("  of torchgeo's recipe", recipe["peak_mib"], "MiB"),
        _row("classes equal to float32 torch", 100 * same["auto"], "%", 3),
        _row("  in int8", 100 * same["int8"], "%", 3),
        _row("  pixels that the model labels right", 100 * same["right"], "%"),
    ]
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
    assert run["share"] > 0


def _row(name: str, value: float, unit: str = "Mpixel/s", digits: int = 2) -> str:
    return f"  {name:46}{value:10.{digits}f} {unit}"
