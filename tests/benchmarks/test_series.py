"""How speed and seams depend on the size of the raster, the chips and their overlap, the encoder.

make bench PYTEST_ARGS='-k series'
AGRISEG_BENCH_SIDES=2048,8192,32768 make bench PYTEST_ARGS='-k sizes'
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

import agriseg
from agriseg.models import load_model
from agriseg.tiling import ChipGrid, seam_score
from tests.benchmarks.field import make_model, write_scene
from tests.benchmarks.stages import in_child

SIDES = [int(side) for side in os.environ.get("AGRISEG_BENCH_SIDES", "2048,4096,8192").split(",")]
ENCODERS = os.environ.get(
    "AGRISEG_BENCH_ENCODERS", "mobilenet_v2,efficientnet-b0,resnet18,resnet34"
).split(",")


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_series_of_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["   side    whole run    Mpixel/s    of bare    peak MiB"]
    model = None
    for side in SIDES:
        scene = write_scene(tmp_path / str(side), side)
        model = model or make_model(tmp_path / "unet.safetensors", scene, steps=10)
        run = in_child("whole", scene, model, tmp_path / f"out{side}")
        lines.append(
            f"{side:7}{run['seconds']:11.1f} s{run['mpx_s']:12.2f}{run['share']:10.0%}"
            f"{run['peak_mib']:12,.0f}"
        )
        scene.unlink()
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
    assert len(lines) == 1 + len(SIDES)


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_series_of_encoders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = write_scene(tmp_path / "scene", 4096)
    head = "bare  whole run  of bare    torch bare     int8 bare  whole run"
    lines = [f"{'':18}{head}  equal to float32    in int8   peak MiB"]
    for encoder in ENCODERS:
        model = make_model(tmp_path / f"{encoder}.safetensors", scene, encoder=encoder)
        run = in_child("whole", scene, model, tmp_path / encoder)
        plain = in_child("whole", scene, model, tmp_path / f"{encoder}-torch", "torch")
        int8 = in_child("whole", scene, model, tmp_path / f"{encoder}-int8", "auto", "int8")
        same = in_child("same", scene, model, "auto", "int8")
        lines.append(
            f"{encoder:16}{run['bare_mpx_s']:6.2f}{run['mpx_s']:11.2f}{run['share']:9.0%}"
            f"{plain['bare_mpx_s']:14.2f}{int8['bare_mpx_s']:14.2f}{int8['mpx_s']:12.2f}"
            f"{same['auto']:18.3%}{same['int8']:11.3%}{run['peak_mib']:11,.0f}"
        )
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
    assert len(lines) == 1 + len(ENCODERS)


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_series_of_chips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    side = 3072
    scene = write_scene(tmp_path / "scene", side)
    path = make_model(tmp_path / "unet.safetensors", scene)
    model = load_model(path)

    def classes(chip: int, overlap: int) -> np.ndarray:
        out = tmp_path / f"{chip}-{overlap}"
        agriseg.segment(scene, out, model=model, polygons=False, chip=chip, overlap=overlap)
        with rasterio.open(out / "scene" / "classes.tif") as dataset:
            return dataset.read(1)

    truth = classes(side, 0)
    lines = ["   chip  overlap    work   pixels unlike one chip over all   seam score"]
    for chip in (256, 512, 1024, 2048):
        for overlap in (0, 16, 32, 64, 128, 256):
            if overlap > chip // 2:
                continue
            grid, found = ChipGrid(side, side, chip, overlap), classes(chip, overlap)
            work = grid.predicted_pixels / side**2
            lines.append(
                f"{chip:7}{overlap:9}{work:8.2f}{(found != truth).mean():35.4%}"
                f"{seam_score(found, grid):13.3f}"
            )
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
    assert len(lines) > 1
