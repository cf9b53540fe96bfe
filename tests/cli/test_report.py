"""`agriseg report`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.publish.runs import make_run
from tests.support import command, fresh_command


def test_it_writes_a_page_a_quicklook_and_an_item(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", fields=False)
    done = fresh_command("report", run.path, "--quicklook", "--stac", "--json")
    assert done.returncode == 0, done.stderr
    names = ["quicklook.png", "report.html", "item.json"]
    assert [Path(name).name for name in json.loads(done.stdout)["files"]] == names
    assert all((run.path / name).exists() for name in names)
    assets = json.loads((run.path / "item.json").read_text())["assets"]
    assert {"report", "quicklook"} <= set(assets)


def test_one_page_cannot_hold_two_runs(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / "out", name, fields=False).path for name in ("a", "b")]
    done = command("report", *folders, "-o", tmp_path / "x.html")
    assert done.returncode == 2
    assert "these are 2 runs" in done.stderr
