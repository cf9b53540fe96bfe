"""`agriseg fields` as a user types it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np

from tests.fields.drawn import matrix_of, placed, rows_of, write_classes
from tests.support import command, fresh_command

run = partial(command, "fields")
NORTH_UP = placed(0.05, 0, 0, -0.05)


def test_it_says_what_it_found(tmp_path: Path) -> None:
    classes = rows_of(200, 260, matrix_of(NORTH_UP), 63, 0.5)
    path = write_classes(tmp_path / "classes.tif", classes, NORTH_UP)
    out, rows = tmp_path / "f.gpkg", tmp_path / "r.gpkg"
    done = fresh_command("fields", path, "-o", out, "--rows", rows, "--json")
    assert done.returncode == 0, done.stderr
    assert "1 field, 0.013 ha" in done.stderr
    assert "rows 0.5 m apart at 63.0 degrees" in done.stderr
    assert "note    fields end where crop is more than 1 m apart" in done.stderr
    assert "r.gpkg (" in done.stderr
    said = json.loads(done.stdout)
    assert said["fields"][0]["field_id"] == "1"
    assert said["rows"] == len(gpd.read_file(rows))
    quiet = run(path, "-o", out, "-q", "--gap-m", 2, "--crop", "crop,weed")
    assert (quiet.returncode, quiet.stderr, quiet.stdout) == (0, "", "")


def test_parcels_and_faults(tmp_path: Path) -> None:
    path = write_classes(tmp_path / "classes.tif", np.ones((60, 70)), NORTH_UP)
    assert run(path, "-o", tmp_path / "all.geojson", "-q").returncode == 0
    done = run(
        *(path, "-o", tmp_path / "f.fgb", "--parcels", tmp_path / "all.geojson"),
        *("--id-col", "field_id", "--inset-m", 0.5, "--json"),
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["fields"][0]["row_spacing_m"] is None
    assert "no rows" in done.stderr
    bad = run(path, "-o", tmp_path / "f.fgb", "--parcels", tmp_path / "none.shp")
    assert bad.returncode == 2
    assert bad.stderr.startswith("error:")
    assert "no such file" in bad.stderr
