"""Starting agriseg is quick: nothing heavy is loaded before it is needed.

Each test looks into `sys.modules` of a fresh interpreter, because this one has loaded everything.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NETWORKS = frozenset({"lightning", "segmentation_models_pytorch", "torch", "torchgeo"})
HEAVY = NETWORKS | {"geopandas", "matplotlib.pyplot", "distributed", "skimage", "pyarrow", "xarray"}

# What is loaded goes to a marked last line, behind whatever the code itself prints.
_REPORT = "import json, sys; print(); print('LOADED', json.dumps(sorted(sys.modules)))"


def loaded_after(code: str) -> tuple[set[str], str]:
    """Names of the modules that `code` loads in a fresh interpreter, and what it printed."""
    process = subprocess.run(
        [sys.executable, "-c", f"{code}\n{_REPORT}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    printed, _, modules = process.stdout.rpartition("LOADED ")
    return set(json.loads(modules)), printed


def command(*arguments: str) -> str:
    """Code that runs `python -m agriseg` in its own process and expects exit code 0."""
    return f"""
import runpy, sys
sys.argv = ["agriseg", *{list(arguments)!r}]
try:
    runpy.run_module("agriseg", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def test_the_probe_sees_a_heavy_module() -> None:
    loaded, printed = loaded_after("import geopandas; print('hello')")
    assert "geopandas" in loaded & HEAVY
    assert "hello" in printed


def test_import_agriseg_is_light() -> None:
    loaded, printed = loaded_after("import agriseg")
    assert "agriseg" in loaded
    assert not loaded & HEAVY
    assert not printed.strip()


@pytest.mark.parametrize("arguments", [("--help",), ("segment", "--help"), ("--version",)])
def test_help_is_light(arguments: tuple[str, ...]) -> None:
    loaded, printed = loaded_after(command(*arguments))
    assert "agriseg.cli" in loaded
    assert not loaded & HEAVY
    assert printed.strip()


def test_completion_is_light() -> None:
    asked = {
        "_AGRISEG_COMPLETE": "complete_bash",
        "COMP_WORDS": "agriseg compare a b --indices NDVI,",
        "COMP_CWORD": "5",
    }
    loaded, printed = loaded_after(f"import os\nos.environ.update({asked!r})\n{command()}")
    assert "agriseg.cli" in loaded
    assert not loaded & HEAVY
    assert len(printed.split()) > 5


def test_help_names_the_commands() -> None:
    _, printed = loaded_after(command("--help"))
    assert {"segment", "info"} <= set(printed.split())


def test_rooms_without_torch_load_none() -> None:
    """The imports of libraries count too: none of them may bring torch along."""
    rooms = ("raster", "tiling", "indices", "vector", "fields", "runs", "farm", "publish")
    there = [room for room in rooms if list((ROOT / "agriseg").glob(f"{room}*/*.py"))]
    there += [room for room in rooms if (ROOT / "agriseg" / f"{room}.py").is_file()]
    assert "tiling" in there
    code = "import importlib, pkgutil\n" + "\n".join(
        f"room = importlib.import_module('agriseg.{room}')\n"
        "for module in pkgutil.walk_packages(getattr(room, '__path__', []), room.__name__ + '.'):\n"
        "    importlib.import_module(module.name)"
        for room in there
    )
    loaded, _ = loaded_after(code)
    assert "agriseg.tiling.accumulator" in loaded
    assert not loaded & NETWORKS
