"""`agriseg season` and `agriseg compare` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.farm.material import make_run, write_fields
from tests.support import command, fresh_command

CLASSES = np.tile(np.uint8([[0, 1, 1], [2, 0, 1]]), (9, 12))
LEFT, RIGHT = (0, 0, 17, 18), (19, 0, 36, 18)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """May tells its date, June does not."""
    folder = tmp_path_factory.mktemp("out")
    may = make_run(folder, "may", CLASSES, date="2026-05-14", growth_stage="BBCH [12]")
    june = make_run(folder, "june", np.roll(CLASSES, 1, axis=0))
    numbers = {"valid_percent": [100.0, 90.0], "cover_crop_percent": [40.0, 50.0]}
    write_fields(may, [LEFT, RIGHT], name=["[north]", "south"], ndvi_mean=[0.2, 0.3], **numbers)
    write_fields(june, [RIGHT, (0, 0, 12, 18)], ndvi_mean=[0.5, float("nan")], **numbers)
    return folder


def test_a_season_on_the_screen_and_in_a_file(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "season.csv"
    when = f"{runs / 'june'}=2026-06-20"
    done = fresh_command(
        "season", runs / "may", runs / "june", "-o", out, "--date", when, "--csv-sep", ";"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    text = done.stderr
    assert "2 fields on 2 dates, 2026-05-14 to 2026-06-20" in text
    assert "1 [north]" in text
    assert "BBCH [12]" in text
    assert "0.500" in text
    assert "nan" not in text
    assert f"done    {out}: 4 rows" in text
    assert pd.read_csv(out, sep=";", dtype={"field_id": str}).field_id.tolist() == [
        "1",
        "1",
        "2",
        "2",
    ]


def test_a_season_for_machines(runs: Path) -> None:
    done = command("season", runs, "--date", f"{runs / 'june'}=2026-06-20", "-q", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["file"] is None
    assert [row["date"] for row in told["rows"]] == ["2026-05-14", "2026-06-20"] * 2
    assert told["rows"][1]["ndvi_mean"] is None
    assert told["changes"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("june does not tell its date", "--date", "=2026-05-14")),
        (("--date", "2026-05-14"), ("--date '2026-05-14'", "out/a=2026-05-14")),
    ],
)
def test_faults_of_a_season_are_one_line(
    runs: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = command("season", runs, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_a_comparison_on_the_screen(runs: Path, tmp_path: Path) -> None:
    done = fresh_command("compare", runs / "may", runs / "june", "-o", tmp_path / "change")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "may > june  36 x 18 pixels of 2 cm" in done.stderr
    assert "cannot be told" in done.stderr
    assert "1 [north]" in done.stderr
    assert "changed 66.7 % of the ground: " in done.stderr
    assert "change.gpkg, change.csv, transitions.tif, change.tif, compare.json" in done.stderr
    assert (tmp_path / "change" / "change.tif").exists()


def test_a_comparison_for_machines(runs: Path, tmp_path: Path) -> None:
    done = command(
        *("compare", runs / "may", runs / "june", "-o", tmp_path, "--no-indices", "-q", "--json")
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["fields"][0]["field_id"] == "1"
    assert told["indices"] == []
    assert told["shift"]["east_m"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--align",), "--align: the shift between the two cannot be told"),
        (("-i", "NDVI", "--no-indices"), "leave one out"),
    ],
)
def test_faults_of_a_comparison_are_one_line(
    runs: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    out = tmp_path / "change"
    done = command("compare", runs / "may", runs / "june", "-o", out, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert not out.exists()
