"""`agriseg health` and `agriseg trial` as a user types them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import pandas as pd
import pytest

from agriseg.cli.app import main
from tests.farm.made_run import Farm, make_farm

Command = Callable[..., SimpleNamespace]


@pytest.fixture
def agriseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, in this process: starting another one takes seconds."""

    def run(*arguments: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["agriseg", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return SimpleNamespace(returncode=stop.value.code or 0, stdout=said.out, stderr=said.err)

    return run


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    made = make_farm(tmp_path, about={"crop": "sugar beet"})
    rects = ((2, 3, 20, 30), (22.5, 3, 45, 30))
    parcels = made.parcels(*rects, plot=["a", "b"], trt=[0, 1])
    parcels.to_file(tmp_path / "plots.gpkg", layer="plots")
    return made


def test_a_table_for_a_person(agriseg: Command, farm: Farm, tmp_path: Path) -> None:
    done = agriseg(
        "health",
        *(farm.run.path, "--fields", tmp_path / "plots.gpkg", "--id-col", "plot"),
        *("-i", "NDVI", "-o", tmp_path / "f.csv", "--csv-sep", ";"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "crop sugar beet" in done.stderr
    assert "growth stage not said" in done.stderr
    rows = [line.split() for line in done.stderr.splitlines()]
    table = pd.read_csv(tmp_path / "f.csv", sep=";", decimal=",")
    (first,) = (row for row in rows if row[:1] == ["a"])
    assert f"{table['ndvi_median'][0]:.3f}" in first
    assert f"{table['cover_weed_percent'][0]:.1f}" in first
    assert (farm.run.path / "fields.gpkg").exists()


def test_json_for_a_machine_and_silence(agriseg: Command, farm: Farm, tmp_path: Path) -> None:
    fields = ("--fields", tmp_path / "plots.gpkg", "--id-col", "plot")
    done = agriseg(
        "health", farm.run.path, *fields, "--growth-stage", "BBCH 14", "-i", "none", "-q", "--json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    (told,) = json.loads(done.stdout)
    assert [row["field_id"] for row in told["fields"]] == ["a", "b"]
    assert told["fields"][0]["growth_stage"] == "BBCH 14"
    assert told["fields"][0]["name"] is None
    assert "ndvi_mean" not in told["fields"][0]


def test_rows_and_constants_reach_fields_and_zones(
    agriseg: Command, farm: Farm, tmp_path: Path
) -> None:
    """SAVI with L=0 is NDVI; the rows of given fields are measured on request."""
    found = {}
    for index, more in (("ndvi", ()), ("savi", ("--param", "L=0", "--rows"))):
        fields = ("--fields", tmp_path / "plots.gpkg", "--id-col", "plot")
        done = agriseg("health", farm.run.path, *fields, "-i", index, *more, "-q", "--json")
        assert done.returncode == 0, done.stderr
        (told,) = json.loads(done.stdout)
        zones = gpd.read_file(farm.run.path / "zones.gpkg")
        medians = [row[f"{index}_median"] for row in told["fields"]]
        found[index] = (medians, zones[f"{index}_mean"].tolist())
        assert ("row_strength" in told["fields"][0]) == bool(more)
    assert found["ndvi"][0] == pytest.approx(found["savi"][0], abs=1e-6)
    assert found["ndvi"][1] == pytest.approx(found["savi"][1], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-i", "SAVI", "--param", "L"), "--param 'L'"),
        (("--pixels", "weed"), "possible are crop, plants, all"),
        (("-i", "NDRE"), "lacks rededge"),
        (("-o", "x.shp"), "shapefile"),
        (("--fields", "absent.gpkg"), "absent.gpkg"),
        (("--scene", "absent.tif"), "--scene"),
    ],
)
def test_faults_are_one_line(
    agriseg: Command, farm: Farm, arguments: tuple[str, ...], words: str
) -> None:
    done = agriseg("health", farm.run.path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_one_file_is_for_one_run(agriseg: Command, farm: Farm) -> None:
    done = agriseg("health", farm.run.path, farm.run.path, "-o", "x.csv")
    assert done.returncode == 2
    assert "-o is for one run" in done.stderr


def test_one_bad_run_does_not_stop_the_others(agriseg: Command, farm: Farm, tmp_path: Path) -> None:
    fields = ("--parcels", tmp_path / "plots.gpkg")
    done = agriseg("health", tmp_path / "absent", farm.run.path, *fields, "-q", "--json")
    assert done.returncode == 1
    assert "1 of 2 runs" in done.stderr
    assert "absent holds no finished run" in done.stderr
    assert [len(one["fields"]) for one in json.loads(done.stdout)] == [2]


def test_a_folder_of_many_scenes_stands_for_all_of_them(
    agriseg: Command, farm: Farm, tmp_path: Path
) -> None:
    season = tmp_path / "season"
    for name in ("may", "june"):
        shutil.copytree(farm.run.path, season / name)
    (season / "batch.json").write_text("{}")
    how = ("--parcels", tmp_path / "plots.gpkg", "-i", "none", "-q", "--json")
    for given in ([season], sorted(season.iterdir())):  # as a shell makes of season/*
        done = agriseg("health", *given, *how)
        assert (done.returncode, done.stderr) == (0, "")
        told = json.loads(done.stdout)
        assert [Path(one["run"]).name for one in told] == ["june", "may"]
        assert [len(one["fields"]) for one in told] == [2, 2]
    assert (season / "may" / "fields.gpkg").exists()
    done = agriseg("health", season, "-o", "x.csv")
    assert (done.returncode, "-o is for one run" in done.stderr) == (2, True)
    done = agriseg("health", season / "batch.json")
    assert (done.returncode, "holds no run" in done.stderr) == (2, True)


def test_a_trial(agriseg: Command, farm: Farm, tmp_path: Path) -> None:
    fields = ("--fields", tmp_path / "plots.gpkg", "--id-col", "plot")
    assert agriseg("health", farm.run.path, *fields, "-q").returncode == 0
    out = tmp_path / "tidy.csv"
    done = agriseg("trial", farm.run.path, "--treatment", "trt", "--untreated", "trt=0", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "control" in done.stderr.split("\n0 ")[0]
    rows = pd.read_csv(out)
    assert rows.columns.tolist() == ["field_id", "treatment", "measure", "value"]
    control = rows[rows["measure"] == "weed_control_percent"]["value"]
    told = json.loads(
        agriseg("trial", farm.run.path, "-t", "trt", "--untreated", "0", "--json").stdout
    )
    assert [row["value"] for row in told if row["measure"] == "weed_control_percent"] == (
        pytest.approx(control.tolist(), abs=1e-4)
    )
    done = agriseg("trial", farm.run.path, "-t", "dose")
    assert done.returncode == 2
    assert "--treatment dose" in done.stderr
