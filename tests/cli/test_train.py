"""`agriseg train`: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agriseg.cli.app import app
from agriseg.cli.train import _Console
from tests.training.conftest import SMALL, make_config  # noqa: F401

Make = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def test_loss_and_iou_of_each_class_are_told(
    make_config: Make,  # noqa: F811
    tmp_path: Path,
) -> None:
    config, out = str(make_config(model=SMALL)), str(tmp_path / "out")
    done = CliRunner().invoke(app, ["train", config, "-o", out, "--json"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert Path(told["model"]).exists()
    assert told["steps"] == 6
    for word in ("loss", "IoU mean", "soil", "weed", "validation", "random weights"):
        assert word in done.stderr
    again = CliRunner().invoke(app, ["train", config, "-o", out])
    assert "already there" in again.stderr
    assert "--fresh" in again.stderr
    quiet = CliRunner().invoke(app, ["train", config, "-o", out, "--fresh", "-q", "--no-report"])
    assert quiet.exit_code == 0
    assert not quiet.output


def test_a_dry_run_tells_scenes_shares_and_time(
    make_config: Make,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The configuration lies elsewhere than its data."""
    config = make_config(model=SMALL)
    away = tmp_path / "away"
    away.mkdir()
    config = config.rename(away / "train.yaml")
    arguments = ["train", str(config), "-o", str(away / "out"), "--dry-run"]
    done = CliRunner().invoke(app, [*arguments, "--base", str(tmp_path)])
    assert done.exit_code == 0, done.stderr
    for word in ("red, nir", "2 cm", "for validation", "weed", "s a step", "data.png"):
        assert word in done.stdout
    told = json.loads(
        CliRunner().invoke(app, [*arguments, "--base", str(tmp_path), "--json"]).stdout
    )
    assert told["scenes"] == {"train": 2, "validation": 1}
    lost = CliRunner().invoke(app, arguments)
    assert f"no file is called scene*.tif, seen from {away}" in str(lost.exception)


@pytest.mark.slow
def test_ctrl_c_ends_in_one_line_and_the_same_command_goes_on(
    make_config: Make,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Slow: starts an interpreter that loads torch."""
    config, out = str(make_config(model=SMALL, learn={"steps": 5000})), tmp_path / "out"
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.argv = ['agriseg', 'train', {config!r}, '-o', {str(out)!r}]; "
        "from agriseg.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.strip().endswith("stopped; the same command goes on from the last checkpoint")


def test_a_network_without_an_encoder_is_called_by_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = {
        "name": "a", "architecture": "fcn", "options": {"num_filters": 4}, "parameters": 3e6,
        "bands": ["red"], "classes": ["soil", "crop"], "scenes": 1, "validation_scenes": 0,
        "in_memory": True, "start": "random weights", "device": "cpu", "precision": "float32",
        "notes": [], "first": 0, "steps": 1,
    }  # fmt: skip
    _Console(quiet=False).begin(facts)
    assert "a  fcn, 3.0 million weights" in capsys.readouterr().err
