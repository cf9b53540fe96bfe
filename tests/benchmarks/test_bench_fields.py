"""What the numbers of many parcels cost, and what they cost today.

    make bench PYTEST_ARGS='-k bench_fields'
    AGRISEG_BENCH_FIELDS=10000:5000 make bench PYTEST_ARGS='-k bench_fields'

Each figure is from a process of its own, one after the other. rasterstats stands beside it where it
is installed. Stages overlap in the whole: "read" is reading and computing two indices alone,
"coverage" is finding the shares of pixels alone. The processor's time, summed over all cores, tells
more than the clock where others work beside.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from tests.benchmarks.field_numbers import in_child

SIZES = os.environ.get("AGRISEG_BENCH_FIELDS", "4000:800,10000:5000").split(",")
PATIENCE_S = 1800


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_numbers_of_many_parcels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ways = ["ours", "loop"] + ["rasterstats"] * bool(importlib.util.find_spec("rasterstats"))
    lines = []
    for size in SIZES:
        side, parcels = map(int, size.split(":"))
        folder = tmp_path / size.replace(":", "-")
        in_child("write", folder, side, parcels)
        for way in ways:
            try:
                figures = in_child(way, folder, limit_s=PATIENCE_S)
            except subprocess.TimeoutExpired:
                lines.append(f"  {side:6} {way:12} not done after {PATIENCE_S} s")
                continue
            stages = "".join(
                f"  {name} {figures[name]:.1f} s"
                for name in ("read", "coverage", "indices")
                if name in figures
            )
            lines.append(
                f"  {side:6} {way:12}{figures['fields']:8.0f} fields{figures['total']:9.1f} s"
                f" (cpu {figures['cpu']:.1f} s)"
                f"{side * side / figures['total'] / 1e6:8.2f} Mpixel/s"
                f"{figures['peak_mib']:8.0f} MiB  NDVI {figures['ndvi']:.5f}{stages}"
            )
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
    assert lines
