"""`agriseg qgis` as a user types it."""

from __future__ import annotations

import json
import zipfile
from functools import partial
from pathlib import Path

from tests.publish.runs import make_run
from tests.support import command, fresh_command

qgis = partial(command, "qgis")


def test_it_says_what_to_open(tmp_path: Path) -> None:
    run = make_run(tmp_path / "my results")
    done = fresh_command("qgis", run.path, "--json")
    assert done.returncode == 0, done.stderr
    path = run.path / "result.qgz"
    assert json.loads(done.stdout) == {"file": str(path)}
    assert done.stderr == f"{path}: open it in QGIS\n"
    assert zipfile.is_zipfile(path)
    again = qgis(run.path, "-o", tmp_path / "other.qgz", "-q")
    assert (again.stdout, again.stderr) == ("", "")
    assert zipfile.is_zipfile(tmp_path / "other.qgz")


def test_what_was_saved_in_qgis_needs_a_word(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    path = run.path / "result.qgz"
    path.write_bytes(b"saved by somebody")
    done = qgis(run.path)
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert path.read_bytes() == b"saved by somebody"
    assert qgis(run.path, "--overwrite").returncode == 0
    assert zipfile.is_zipfile(path)


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    done = qgis(tmp_path)
    assert done.returncode == 2
    assert "run agriseg segment first" in done.stderr
    assert "Traceback" not in done.stderr
