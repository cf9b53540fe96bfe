"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

from agriseg.cli.words import area_words, count_words, numerics_words, size_words, time_words
from tests.support import COMMAND, ROOT, fresh_command, leftovers, read_classes, write_raster
from tests.support import command as agriseg

BASELINE = ("--model", "index-baseline")


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """Red and near infrared: a plant in every other square of 10 pixels."""
    rows, cols = np.mgrid[:60, :80] // 10
    plant = (rows + cols) % 2 == 1
    noise = np.random.default_rng(1).normal(0, 0.003, (2, 60, 80))
    data = np.stack([np.where(plant, 0.05, 0.2), np.where(plant, 0.5, 0.25)]) + noise
    return write_raster(
        tmp_path / "my field.tif", data.astype(np.float32), descriptions=["Red", "NIR"]
    )


def test_segment_finds_the_plants_and_says_where_they_are(field: Path, tmp_path: Path) -> None:
    how = ("segment", field, "-o", tmp_path / "out", "--field", "Lower 40", *BASELINE)
    done = fresh_command(*how)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    for word in ("my field", "index-baseline", "soil 50.0 %", "classes.tif", "Mpixel/s"):
        assert word in done.stderr
    rows, cols = np.mgrid[:60, :80] // 10
    run = tmp_path / "out" / "my field"
    np.testing.assert_array_equal(read_classes(run / "classes.tif"), (rows + cols) % 2)
    with rasterio.open(run / "confidence.tif") as dataset:
        assert dataset.scales == (0.005,)
        assert dataset.read(1).max() <= 200
    assert json.loads((run / "run.json").read_text())["about"] == {"field": "Lower 40"}
    again = agriseg(*how)
    assert "already there" in again.stderr


def test_quiet_says_nothing_and_json_speaks_to_machines(field: Path, tmp_path: Path) -> None:
    done = agriseg("segment", field, "-o", tmp_path / "out", "-q", "--json", *BASELINE)
    assert done.returncode == 0
    assert done.stderr == ""
    (record,) = json.loads(done.stdout)
    assert record["folder"] == str(tmp_path / "out" / "my field")
    assert [row["name"] for row in record["classes"]] == ["soil", "vegetation"]
    assert sum(row["pixels"] for row in record["classes"]) == 60 * 80


def test_one_file_a_band(field: Path, tmp_path: Path) -> None:
    with rasterio.open(field) as dataset:
        planes = dataset.read()
    red = write_raster(tmp_path / "flight_a.tif", planes[:1])
    nir = write_raster(tmp_path / "flight_b.tif", planes[1:])
    done = agriseg("segment", f"red={red}", f"nir={nir}", "-o", tmp_path / "out", *BASELINE)
    assert done.returncode == 0, done.stderr
    agriseg("segment", field, "-o", tmp_path / "out", "-q", *BASELINE)
    np.testing.assert_array_equal(
        read_classes(tmp_path / "out" / "flight" / "classes.tif"),
        read_classes(tmp_path / "out" / "my field" / "classes.tif"),
    )


def test_a_part_at_another_pixel_size(field: Path, tmp_path: Path) -> None:
    with rasterio.open(field) as dataset:
        left, bottom, right, top = dataset.bounds
        whole = dataset.transform
    bounds = f"{left + 0.2},{bottom},{right},{top - 0.4}"
    done = agriseg("segment", field, "-o", tmp_path / "part", "--bounds", bounds, *BASELINE)
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "part" / "my field" / "classes.tif") as dataset:
        assert dataset.shape == (40, 70)
        assert dataset.transform.almost_equals(whole @ whole.translation(10, 20), 1e-6)
    done = agriseg("segment", field, "-o", tmp_path / "coarse", "--gsd", "0.1", *BASELINE)
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "coarse" / "my field" / "classes.tif") as dataset:
        assert dataset.shape == (12, 16)
        assert dataset.transform.a == pytest.approx(0.1)
        assert (dataset.transform.c, dataset.transform.f) == (whole.c, whole.f)


def test_info_of_a_raster_and_of_a_model(field: Path) -> None:
    done = fresh_command("info", field, "--model", "index-baseline")
    assert done.returncode == 0, done.stderr
    for word in ("80 x 60 pixels of 2 cm", "EPSG:32633", "nir", "description 'NIR'", "fits"):
        assert word in done.stdout
    report = json.loads(agriseg("info", field, "--json").stdout)
    assert [band["role"] for band in report["bands"]] == ["red", "nir"]
    assert report["valid_percent"] == 100
    card = json.loads(agriseg("info", "index-baseline", "--json").stdout)
    assert card["legend"][1]["name"] == "vegetation"


def test_info_says_where_a_model_does_not_fit(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "red.tif", np.ones((1, 9, 9), np.float32), descriptions=["Red"])
    done = agriseg("info", path, "-m", "index-baseline")
    assert done.returncode == 0
    assert "does not fit" in done.stdout
    assert "needs red and nir" in done.stdout


def test_names_that_rich_or_a_shell_might_trip_over(field: Path, tmp_path: Path) -> None:
    odd = tmp_path / "[bold]ü 'x' & <y>.tif"
    odd.write_bytes(field.read_bytes())
    done = agriseg("segment", odd, "-o", tmp_path / "out", "--client", "[red]A & B", *BASELINE)
    assert done.returncode == 0, done.stderr
    assert "[bold]ü 'x' & <y>" in done.stderr
    assert (tmp_path / "out" / "[bold]ü 'x' & <y>" / "classes.tif").exists()
    assert "[bold]ü" in agriseg("info", odd).stdout


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    """Slow: it starts the command on a scene that takes a few seconds, and interrupts it."""
    data = np.random.default_rng(0).random((2, 6000, 6000), np.float32)
    path = write_raster(tmp_path / "large.tif", data, descriptions=["red", "nir"], tiled=True)
    process = subprocess.Popen(
        [*COMMAND, "segment", str(path), "-o", str(tmp_path / "out"), "--chip", "512", *BASELINE],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        # What runs in the background of a script was told to take no notice of Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    folder = tmp_path / "out" / "large"
    deadline = time.monotonic() + 60
    while not list(folder.glob("rows-*/row-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    try:
        _, told = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        # Where it hangs, every thread says where it stands.
        os.kill(process.pid, signal.SIGABRT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "stopped; the same command goes on from here" in told
    assert "Traceback" not in told
    files = leftovers(folder)
    assert files
    assert not [name for name in files if ".part" in name or name.endswith(".vrt")]
    assert not (folder / "classes.tif").exists()


def test_the_bar_shows_on_a_terminal_only(field: Path, tmp_path: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "segment", str(field), "-o", str(tmp_path / "out"), "--chip", "16", *BASELINE],
        cwd=ROOT,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(follower)
    told = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:
            break
        if not chunk:
            break
        told += chunk
    assert process.wait() == 0
    assert b"segment" in told
    assert b"%" in told
    assert b"\x1b[" in told
    plain = agriseg("segment", field, "-o", tmp_path / "again", *BASELINE)
    assert "\x1b[" not in plain.stderr


def test_words() -> None:
    assert size_words(0.0203) == "2.03 cm"
    assert size_words(10.0) == "10 m"
    assert area_words(7205.0) == "0.721 ha"
    assert area_words(21_906_200.0) == "2,191 ha"
    assert time_words(0.2) == "less than a second"
    assert time_words(75) == "75 s"
    assert time_words(600) == "10 min"
    assert time_words(9000) == "2 h 30 min"
    assert count_words(1, "chip") == "1 chip"
    assert count_words(1200, "chip") == "1,200 chips"
    assert numerics_words("not json") == "not json"
    assert (
        numerics_words('{"engine": "torch", "device": "cpu", "precision": "bfloat16"}')
        == "torch on cpu, bfloat16"
    )


def test_bench_tells_what_a_run_will_take(field: Path, tmp_path: Path) -> None:
    done = fresh_command("bench", field, *BASELINE)
    assert done.returncode == 0, done.stderr
    for word in ("my field", "numpy", "reading", "predict", "limited by", "GB of memory"):
        assert word in done.stdout
    told = json.loads(
        agriseg("bench", field, "--chip", 32, "--overlap", 8, "--json", *BASELINE).stdout
    )
    assert told[0]["pixels"] == 60 * 80
    assert told[0]["predicted_pixels"] > told[0]["pixels"]
    assert told[0]["read_mpx_s"] > 0
    assert told[0]["seconds"] > 0
    assert told[0]["limited_by"] in ("reading", "predicting")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my field.tif"]
    assert agriseg("bench", tmp_path / "absent.tif").returncode == 2
