"""What polygons of a large class map cost, stage by stage, and what they cost today.

    make bench PYTEST_ARGS='-k polygons'
    AGRISEG_BENCH_MAPS=5000,10000,20000 make bench PYTEST_ARGS='-k polygons'

A map of crop rows, weeds and noise; at 10,000 pixels a side it has 216,000 regions with 14 million
corners. Each figure is from a process of its own, one after the other. Today's way is
`rasterio.features.sieve` and `shapes`, geopandas and `simplify` of each polygon; it is stopped
after five minutes.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.benchmarks.class_map import coverage_faults, in_child

SIDES = [int(side) for side in os.environ.get("AGRISEG_BENCH_MAPS", "5000,10000").split(",")]
STAGES = ("borders", "joining", "specks", "lines", "writing", "total")
TODAY = ("read", "sieve", "shapes", "frame", "simplify", "write", "total")
SPECK_PIXELS, GSD_M = 25, 0.02
PATIENCE_S = 300


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_polygons_of_a_large_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = {}
    for side in SIDES:
        maps[side] = tmp_path / f"map{side}.tif"
        in_child("write", maps[side], side, tmp_path / f"confidence{side}.tif")
    lines = [_header("agriseg.vectorize", STAGES)]
    for side, path in maps.items():
        for specks in (0, SPECK_PIXELS):
            out = tmp_path / f"ours{side}-{specks}.gpkg"
            figures = in_child("ours", path, out, specks * GSD_M**2)
            lines.append(_row(f"{side}, specks under {specks} px", STAGES, figures))
    smallest = min(maps)
    lines.append(_header("sieve, shapes, simplify", TODAY))
    for side, path in maps.items():
        out = tmp_path / f"today{side}.gpkg"
        name = f"{side}, specks under {SPECK_PIXELS} px"
        try:
            lines.append(_row(name, TODAY, in_child("today", path, out, GSD_M, limit_s=PATIENCE_S)))
        except subprocess.TimeoutExpired:
            lines.append(f"  {name:28} not done after {PATIENCE_S} s")
            break
    lines.append(f"edges without a partner, at {smallest} pixels, beyond the map's outline")
    for who in (f"ours{smallest}-{SPECK_PIXELS}", f"today{smallest}"):
        path = tmp_path / f"{who}.gpkg"
        if path.exists():
            found = coverage_faults(path, maps[smallest])
            lines.append(f"  {who:28} {found['once_m'] - found['outline_m']:12.1f} m")
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
    assert len(lines) > 3


def _header(who: str, stages: tuple[str, ...]) -> str:
    columns = "".join(f"{stage:>10}" for stage in stages)
    return f"{who:30}{columns}   polygons   vertices   peak MiB"


def _row(name: str, stages: tuple[str, ...], figures: dict[str, float]) -> str:
    columns = "".join(f"{figures[stage]:8.1f} s" for stage in stages)
    made = f"{figures['polygons']:11,.0f}{figures['vertices'] / 1e6:9.2f} M"
    return f"  {name:28}{columns}{made}{figures['peak_mib']:11,.0f}"
