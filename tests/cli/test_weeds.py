"""`agriseg weeds` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from typer.testing import CliRunner, Result

import agriseg
from agriseg.cli.app import app
from agriseg.errors import AgrisegError
from tests.support import UTM, fresh_command, write_raster


def run(*arguments: object) -> Result:
    """In this process: a fresh one takes two seconds for its imports alone."""
    return CliRunner().invoke(app, ["weeds", *map(str, arguments)])


T = Affine(0.1, 0, 500_000, 0, -0.1, 5_000_006)
NAMES = ("--names", "0=soil,1=crop,2=weed")
SIZE = ("--cell-width-m", 1, "--cell-length-m", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = np.zeros((1, 60, 80), np.uint8)
    data[0, :, ::8] = 1
    data[0, 10:20, 11:16] = 2
    data[0, 40:42, 41:43] = 2
    write_raster(tmp_path / "classes.tif", data, transform=T)
    field = shapely.box(500_000, 5_000_000, 500_008, 5_000_006)
    frame = gpd.GeoDataFrame({"row_direction_deg": [0.0]}, geometry=[field], crs=UTM.to_wkt())
    frame.to_file(tmp_path / "fields.gpkg")
    return tmp_path


def test_it_writes_a_grid_and_patches(folder: Path) -> None:
    fields = ("--fields", folder / "fields.gpkg")
    both = ("-o", folder / "weeds.gpkg", "--patches", folder / "patches.gpkg", "--json")
    done = run(folder / "classes.tif", *fields, *NAMES, *SIZE, *both)
    assert done.exit_code == 0, done.output
    assert "1 field, 24 cells" in done.stderr
    assert "1.1 %" in done.stderr
    assert "2 patch polygons" in done.stderr
    grid = gpd.read_file(folder / "weeds.gpkg")
    assert len(grid) == 24
    assert (grid.weed_percent * grid.area_m2).sum() == pytest.approx(54)
    assert grid.loc[(grid.row == 2) & (grid.col == 1), "weed_percent"].item() == pytest.approx(25)
    assert gpd.read_file(folder / "patches.gpkg").area_m2.sum() == pytest.approx(0.54, rel=0.05)
    told = json.loads(done.stdout)
    assert told["fields"][0]["patches"] == told["patches"] == 2
    again = run(folder / "classes.tif", *fields, *NAMES, *SIZE, "-q", "-o", folder / "b.gpkg")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "")
    assert (folder / "b.gpkg").read_bytes() == (folder / "weeds.gpkg").read_bytes()
    frame = agriseg.weed_grid(
        folder / "classes.tif",
        folder / "fields.gpkg",
        cell_width_m=1,
        cell_length_m=2,
        names={0: "soil", 1: "crop", 2: "weed"},
    )
    assert frame.cell_id.tolist() == grid.cell_id.tolist()


def test_an_ab_line_turns_the_grid(folder: Path) -> None:
    line = ("--ab-line", "500000,5000000,500006,5000006")
    where = ("--fields", folder / "fields.gpkg", "-o", folder / "w.parquet")
    done = run(folder / "classes.tif", *where, *NAMES, *SIZE, *line)
    assert done.exit_code == 0, done.output
    assert "45.0°" in done.stderr
    grid = gpd.read_parquet(folder / "w.parquet")
    assert grid.area_m2.sum() == pytest.approx(48)
    assert grid.col.min() < 0 < grid.col.max()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("does not name its classes", "--names")),
        ((*NAMES, "--weed", "thistle"), ("--weed thistle",)),
        ((*NAMES, "--cell-width-m", "0"), ("--cell-width-m 0", "positive")),
        (("--names", "0=soil,1=crop,2=vegetation"), ("no class weed", "crop", "--weed NAME")),
        ((*NAMES, "--ab-line", "1,2,3"), ("--ab-line", "4 numbers")),
        ((*NAMES, "--join-m", "1"), ("--patches",)),
        ((*NAMES, "--patches", "weeds.gpkg"), ("weeds.gpkg", "one of the inputs")),
    ],
)
def test_a_fault_is_told(folder: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    options = tuple(str(folder / o) if o.startswith("weeds.") else o for o in options)
    where = ("--fields", folder / "fields.gpkg", "-o", folder / "weeds.gpkg")
    done = run(folder / "classes.tif", *where, *SIZE, *options)
    assert isinstance(done.exception, AgrisegError)
    for word in words:
        assert word in str(done.exception)
    assert not done.output
    assert not list(folder.glob("weeds.*"))


def test_a_fault_is_one_line(folder: Path) -> None:
    where = ("--fields", folder / "fields.gpkg", "-o", folder / "weeds.shp")
    done = fresh_command("weeds", folder / "classes.tif", *where, *SIZE)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "weeds.gpkg" in done.stderr
