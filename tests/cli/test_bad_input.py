"""What goes wrong on a user's side is told in one line, with exit code 2, before any work."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support import write_raster

ROOT = Path(__file__).resolve().parents[2]
# The model that comes with agriseg takes seconds to load, and has tests of its own.
BASELINE = ("--model", "index-baseline")


@pytest.fixture
def rgb(tmp_path: Path) -> Path:
    data = np.random.default_rng(0).integers(1, 255, (3, 40, 50)).astype(np.uint8)
    return write_raster(tmp_path / "rgb.tif", data, photometric="RGB")


Agriseg = Callable[..., tuple[int, str, str]]


@pytest.fixture
def agriseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Agriseg:
    """The command, run in this process: exit code, standard output, standard error."""
    from agriseg.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agriseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        told = capsys.readouterr()
        return int(stop.value.code or 0), told.out, told.err

    return run


def assert_one_line(result: tuple[int, str, str], *words: str) -> None:
    code, out, err = result
    assert code == 2, err
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def test_missing_file(agriseg: Agriseg, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_one_line(agriseg("segment", tmp_path / "no.tif", "-o", out), "no.tif", "no such file")
    assert not out.exists()


def test_not_a_raster(agriseg: Agriseg, tmp_path: Path) -> None:
    path = tmp_path / "notes.tif"
    path.write_text("these are notes")
    assert_one_line(agriseg("segment", path, "-o", tmp_path / "out"), "notes.tif", "gdalinfo")


def test_empty_file_and_folder(agriseg: Agriseg, tmp_path: Path) -> None:
    (tmp_path / "empty.tif").write_bytes(b"")
    assert_one_line(agriseg("info", tmp_path / "empty.tif"), "empty.tif")
    (tmp_path / "folder").mkdir()
    assert_one_line(agriseg("info", tmp_path / "folder"), "folder without rasters")


def test_bands_that_the_model_needs(agriseg: Agriseg, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "five.tif", np.ones((5, 20, 20), np.float32))
    result = agriseg("segment", path, "-o", tmp_path / "out")
    assert_one_line(result, "five", "--bands")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bands", "red,green"], ["2 bands", "3"]),
        (["--bands", "red,green,purple"], ["purple", "unknown"]),
        (["--bands", "red,red,blue"], ["twice", "red@1"]),
        (["--bands", "red=1,nir=7"], ["nir=7", "bands 1 to 3"]),
        (["--sensor", "kodak"], ["kodak", "dji-mavic-3m"]),
        (["--scale", "0"], ["--scale", "other than 0"]),
        (["--offset", "-0.1"], ["--scale"]),
        (["--chip", "0"], ["chip size 0"]),
        (["--chip", "64", "--overlap", "40"], ["overlap 40", "32"]),
        (["--gsd", "-1"], ["--gsd", "positive"]),
        (["--gsd", "nan"], ["--gsd", "positive"]),
        (["--bounds", "1,2,3"], ["--bounds", "4 numbers"]),
        (["--bounds", "5,5,1,1"], ["left < right"]),
        (["--bounds", "0,0,1,1"], ["does not meet the scene"]),
        (["--cutline", "nowhere.gpkg"], ["nowhere.gpkg", "no such file"]),
        (["--mask", "SCL.tif"], ["--mask", "SCL.tif:0,1,3"]),
        (["--mask", "nowhere.tif:1"], ["nowhere.tif", "no such file"]),
        (["--name", "../up"], ["../up", "--name"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_options_that_make_no_sense(
    agriseg: Agriseg, rgb: Path, tmp_path: Path, options: list[str], words: list[str]
) -> None:
    assert_one_line(agriseg("segment", rgb, "-o", tmp_path / "out", *options, *BASELINE), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model", "nowhere.safetensors"),
        ("--device", "toaster"),
        ("--precision", "int3"),
        ("--engine", "abacus"),
    ],
)
def test_models_and_engines_that_are_not_there(
    agriseg: Agriseg, rgb: Path, tmp_path: Path, option: str, value: str
) -> None:
    assert_one_line(agriseg("segment", rgb, "-o", tmp_path / "out", option, value), value)
    assert not (tmp_path / "out").exists()


def test_model_file_is_a_pickle(agriseg: Agriseg, rgb: Path, tmp_path: Path) -> None:
    fired = tmp_path / "fired"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {fired}",)

    for name in ("weights.pt", "weights.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        result = agriseg("segment", rgb, "-o", tmp_path / "out", "--model", tmp_path / name)
        assert_one_line(result, name)
    assert not fired.exists()


def test_model_file_is_cut_off(agriseg: Agriseg, rgb: Path, tmp_path: Path) -> None:
    (tmp_path / "half.safetensors").write_bytes(b"\xff\xff\x00\x00\x00\x00\x00\x00{")
    result = agriseg("segment", rgb, "-o", tmp_path / "out", "-m", tmp_path / "half.safetensors")
    assert_one_line(result, "half.safetensors")


def test_two_inputs_of_one_name_go_to_two_folders(
    agriseg: Agriseg, rgb: Path, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    twin = tmp_path / "b" / "rgb.tif"
    twin.write_bytes(rgb.read_bytes())
    code, _, said = agriseg("segment", rgb, twin, "-o", tmp_path / "out")
    assert code == 0, said
    names = [path.parent.name for path in sorted(tmp_path.glob("out/*/classes.tif"))]
    assert len(names) == 2
    assert "b-rgb" in names
    assert (tmp_path / "out" / "batch.json").exists()


def test_a_bad_input_is_told_first_and_does_not_stop_the_others(
    agriseg: Agriseg, rgb: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.tif"
    bad.write_text("no raster")
    command = ("segment", rgb, bad, "-o", tmp_path / "out", *BASELINE)
    code, given, said = agriseg(*command, "--json")
    assert code == 1
    assert [Path(one["folder"]).name for one in json.loads(given)] == ["rgb"]
    assert "Traceback" not in said
    told = said.splitlines()
    assert told.index(next(line for line in told if "bad" in line and "failed" in line)) == 0
    assert told[-1].startswith("error: 1 of 2 scenes could not be segmented: bad (")
    found = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert {one["name"]: one["state"] for one in found["scenes"]} == {
        "rgb": "done",
        "bad": "failed",
    }
    assert "bad.tif" in found["scenes"][1]["error"]
    # Once that is mended, the same command does only what is missing.
    bad.write_bytes(rgb.read_bytes())
    code, _, said = agriseg(*command)
    assert code == 0
    assert "rgb" in next(line for line in said.splitlines() if "already there" in line)
    found = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert [one["resumed"] for one in found["scenes"]] == [True, False]


def test_inputs_that_are_all_bad_are_one_line(agriseg: Agriseg, tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_text("no raster")
    paths = (tmp_path / "a.tif", tmp_path / "b.tif")
    assert_one_line(agriseg("segment", *paths, "-o", tmp_path / "out"), "a.tif")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--memory-limit", "0.01"), ("--memory-limit 0.01", "GB", "--chip")),
        (("--memory-limit", "-1"), ("--memory-limit -1", "more than 0")),
        (("--workers", "0"), ("--workers 0", "1 or more")),
        (("--workers", "2", "--scheduler", "tcp://x:1"), ("--workers", "--scheduler", "give one")),
    ],
)
def test_workers_and_memory_that_make_no_sense(
    agriseg: Agriseg, rgb: Path, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    where = ("-o", tmp_path / "out", "-q")
    assert_one_line(agriseg("segment", rgb, *where, *options, *BASELINE), *words)
    assert not list(tmp_path.glob("out/*/*.tif"))


def test_output_folder_is_a_file(agriseg: Agriseg, rgb: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    assert_one_line(agriseg("segment", rgb, "-o", tmp_path / "out", *BASELINE), "out", "-o")


def test_output_folder_not_writable(agriseg: Agriseg, rgb: Path, tmp_path: Path) -> None:
    if os.getuid() == 0:
        locked = Path("/proc/agriseg")  # where not even root can make a folder
    else:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o555)
    result = agriseg("segment", rgb, "-o", locked / "out", *BASELINE)
    assert_one_line(result, str(locked), "cannot be written to", "-o")


def test_roles_and_rasters_do_not_mix(agriseg: Agriseg, rgb: Path, tmp_path: Path) -> None:
    result = agriseg("segment", rgb, f"nir={rgb}", "-o", tmp_path / "out")
    assert_one_line(result, "either one raster")
    result = agriseg("segment", f"grean={rgb}", "-o", tmp_path / "out")
    assert_one_line(result, "grean", "unknown")


def test_words_that_make_no_command(agriseg: Agriseg, rgb: Path) -> None:
    assert_one_line(agriseg("segment"), "missing argument 'RASTER'", "agriseg segment --help")
    assert_one_line(agriseg("segment", rgb, "-o", "x", "--tempo"), "--tempo")
    assert_one_line(agriseg("segment", rgb, "-o", "x", "--chip", "big"), "'--chip'")
    assert_one_line(agriseg("segmen", rgb), "'segmen'", "agriseg --help")
    assert_one_line(agriseg("export", "crop-weed"), "FILE.onnx")
    code, out, _ = agriseg()
    assert code == 2
    assert "segment" in out


@pytest.mark.slow
@pytest.mark.parametrize("way", ["limit", "tmpfs"])
def test_disk_full(way: str, tmp_path: Path) -> None:
    """Slow: it writes rasters until there is no room, in a child process with its own limits."""
    data = np.random.default_rng(0).integers(1, 255, (3, 900, 900)).astype(np.uint8)
    rgb = write_raster(tmp_path / "rgb.tif", data, photometric="RGB")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(disk)]
    if way == "tmpfs" and subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here; the other way is tested")
    code = (
        "import sys, resource, signal\n"
        "from agriseg.pipeline import job\n"
        "job._DISK_FLOOR, job._DISK_BYTES_PER_PLANE = 0, 0.0  # fill the disk all the same\n"
        "if sys.argv.pop(1) == 'limit':\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (160_000, 160_000))\n"
        "sys.argv[0] = 'agriseg'\n"
        "from agriseg.cli import main\n"
        "main()\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, way, "segment", rgb, "-q", "-o", disk, *BASELINE],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert_one_line((done.returncode, done.stdout, done.stderr), str(disk), "-o")
        files = sorted(p.name for p in disk.rglob("*") if p.is_file())
        assert not any(".part" in name for name in files), files
        assert "run.json" not in files
    finally:
        if way == "tmpfs":
            subprocess.run(["umount", str(disk)], check=True)


def test_too_little_room_is_told_before_the_start(
    agriseg: Agriseg, rgb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agriseg.runs import RunFolder

    monkeypatch.setattr(RunFolder, "free_bytes", lambda self: 1000)
    assert_one_line(agriseg("segment", rgb, "-o", tmp_path / "out", *BASELINE), "GB", "-o")
