"""`agriseg simulate` as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import rasterio

from tests.support import COMMAND, ROOT, command

run = partial(command, "simulate")


def test_it_says_what_it_will_do_and_what_it_did(tmp_path: Path) -> None:
    small = ("--width", 150, "--height", 90, "--seed", 4)
    done = run("configs/closed-canopy.yaml", "-o", tmp_path / "f [1]", *small, "--json")
    assert done.returncode == 0, done.stderr
    plan, *_ = done.stderr.splitlines()
    assert "150 x 90 pixels of 3 cm, 0.00121 ha; about" in plan
    assert "MB on disk" in plan
    assert "Mpixel/s" in done.stderr
    record = json.loads(done.stdout)
    assert record["recipe"]["seed"] == 4
    with rasterio.open(record["files"]["labels"]) as labels:
        assert labels.shape == (90, 150)
        assert sum(record["pixels"].values()) == int((labels.read(1) != 255).sum())


def test_quiet_says_nothing(tmp_path: Path) -> None:
    done = run("configs/sample-field.yaml", "-o", tmp_path, "--width", 90, "--height", 80, "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "recipe.yaml").is_file()


def test_faults_are_one_line(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("row_spacing: 0.5\n")
    (tmp_path / "file").write_text("")
    (tmp_path / "many.yaml").write_text("kind: dataset\nscenes: 2\nwidth: 40\nheight: 30\n")
    cases = (
        ((recipe, "-o", tmp_path / "out"), "did you mean row_spacing_m?"),
        ((tmp_path / "none.yaml", "-o", tmp_path / "out"), "there is no such file"),
        (("configs/sample-field.yaml", "-o", tmp_path / "file"), "cannot be written"),
        ((tmp_path / "many.yaml", "-o", tmp_path / "file", "-q"), "cannot be written"),
        (("configs/sample-field.yaml", "-o", tmp_path / "out", "--workers", 0), "workers is 0; 1"),
        (("configs/sample-field.yaml", "-o", tmp_path / "out", "--width", 3), "width is 3;"),
    )
    for arguments, words in cases:
        done = run(*arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out").exists()


def test_help_has_examples() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "agriseg simulate configs/sample-field.yaml" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("scenes", [None, 6])
def test_ctrl_c_ends_the_workers_too(scenes: int | None, tmp_path: Path) -> None:
    """Slow: it draws for a few seconds, and is interrupted as from a terminal: all at once."""
    recipe = tmp_path / "recipe.yaml"
    many = f"kind: dataset\nscenes: {scenes}\n" if scenes else ""
    recipe.write_text(f"{many}width: 2048\nheight: 2048\n")
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, "simulate", str(recipe), "-o", str(out), "--workers", "2"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    begun = "scene-000001/.simulating-*/plain.tif" if scenes else ".simulating-*/labels-0.tif"
    deadline = time.monotonic() + 60
    while not list(out.glob(begun)) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "stopped" in told.splitlines()[-1]
    assert "Traceback" not in told
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert not [path for path in out.rglob("*") if path.is_file() or "simulating" in path.name]
