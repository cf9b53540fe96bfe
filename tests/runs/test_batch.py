"""Many scenes: what became of each, and where they lie."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

import agriseg
from agriseg.errors import BatchError
from agriseg.runs.batch import earlier_names
from tests.support import Identity, class_field, write_raster

HERE = Affine(0.5, 0.1, 360000.0, 0.1, -0.5, 5350000.0)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two flights over one field, one in degrees, one without a place, and one that is broken."""
    for folder in ("may", "june"):
        (tmp_path / folder).mkdir()
        data = class_field(40, 30, seed=len(folder))
        write_raster(tmp_path / folder / "öst.tif", data, transform=HERE, descriptions=["red"])
    degrees = Affine(1e-5, 0, 13.4, 0, -1e-5, 48.1)
    write_raster(
        tmp_path / "d.tif", class_field(9, 50), transform=degrees, crs=CRS.from_epsg(4326),
        descriptions=["red"],
    )  # fmt: skip
    write_raster(tmp_path / "nowhere.tif", class_field(5, 5), crs=None, descriptions=["red"])
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    path = tmp_path / "flights.csv"
    path.write_text(
        "path;date;farm;Area or Point;client\n"
        "may/öst.tif;2025-05-02;Hof <A>;x;\n"
        "june/öst.tif;2025-06-02;Hof <A>;y;Müller\n"
        "broken.tif;;;;\n"
        "d.tif;;;;\n"
        "nowhere.tif;;;;\n",
        encoding="utf-8",
    )
    return path


def test_a_table_of_scenes(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BatchError, match="1 of 5 scenes could not be segmented: broken") as told:
        agriseg.segment(table, out, model=Identity())
    assert [run.path.name for run in told.value.runs] == ["may-öst", "june-öst", "d", "nowhere"]
    found = json.loads((out / "batch.json").read_text(encoding="utf-8"))
    states = {one["name"]: one["state"] for one in found["scenes"]}
    assert states.pop("broken") == "failed"
    assert set(states.values()) == {"done"}
    may = found["scenes"][0]
    assert may["about"] == {"date": "2025-05-02", "farm": "Hof <A>", "area_or_point": "x"}
    assert may["pixels"] == 1200
    area = 1200 * abs(HERE.determinant) / 1e4
    assert may["area_ha"] == pytest.approx(area, rel=1e-3)
    assert sum(may["classes"].values()) == pytest.approx(may["area_ha"])
    assert found["totals"] == {
        "scenes": 5, "done": 4, "failed": 1, "pixels": 2400 + 450 + 25,
        "area_ha": pytest.approx(sum(one.get("area_ha") or 0 for one in found["scenes"])),
        "seconds": pytest.approx(sum(one.get("seconds") or 0 for one in found["scenes"])),
    }  # fmt: skip
    # A column of anybody's stands for no tag that GDAL reads.
    with rasterio.open(out / "june-öst" / "classes.tif") as dataset:
        tags = dataset.tags()
    assert tags["AREA_OR_POINT"] == "Area"
    assert (tags["ABOUT_AREA_OR_POINT"], tags["CLIENT"], tags["DATE"]) == (
        "y",
        "Müller",
        "2025-06-02",
    )


def test_the_index_shows_where_they_lie(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BatchError):
        agriseg.segment(table, out, model=Identity())
    index = geopandas.read_file(out / "index.gpkg")
    assert list(index["scene"]) == ["may-öst", "june-öst", "d"], "the others have no place"
    assert index.crs.to_epsg() == 4326
    assert list(index["farm"]) == ["Hof <A>", "Hof <A>", ""]
    shares = index[["soil_ha", "crop_ha", "weed_ha"]].sum(axis=1)
    np.testing.assert_allclose(shares, index["area_ha"])
    # The outline on the ground is as large as its pixels are.
    first = index.iloc[[0]].to_crs(32633).geometry.iloc[0]
    assert first.area / 1e4 == pytest.approx(index["area_ha"].iloc[0], rel=1e-3)
    with rasterio.open(table.parent / "may" / "öst.tif") as dataset:
        centre = dataset.transform @ (15, 20)
    assert first.centroid.coords[0] == pytest.approx(centre, abs=0.05)
    assert index.geometry.iloc[2].bounds == pytest.approx((13.4, 48.1 - 9e-5, 13.4 + 5e-4, 48.1))


def test_names_stay_where_more_flights_come(table: Path, tmp_path: Path) -> None:
    out, root = tmp_path / "out", tmp_path / "more"
    (root / "a").mkdir(parents=True)
    write_raster(root / "a" / "ortho.tif", class_field(5, 5), descriptions=["red"])
    files = [root / "a" / "ortho.tif", tmp_path / "d.tif"]
    agriseg.segment(files, out, model=Identity())
    assert set(earlier_names(out).values()) == {"ortho", "d"}
    (root / "b").mkdir()
    write_raster(root / "b" / "ortho.tif", class_field(6, 6), descriptions=["red"])
    runs = agriseg.segment([root / "b" / "ortho.tif", *files], out, model=Identity())
    assert isinstance(runs, list)
    assert [run.resumed for run in runs] == [False, True, True]
    assert [run.path.name for run in runs][1:] == ["ortho", "d"]
    assert earlier_names(tmp_path / "nothing") == {}
    (out / "batch.json").write_text("[]")
    assert earlier_names(out) == {}


def test_one_scene_needs_no_account(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "one.tif", class_field(5, 5), descriptions=["red"])
    run = agriseg.segment(path, tmp_path / "out", model=Identity())
    assert isinstance(run, agriseg.Run)
    runs = agriseg.segment(str(tmp_path / "*.tif"), tmp_path / "out", model=Identity())
    assert isinstance(runs, list)
    assert [one.resumed for one in runs] == [True]
    assert not (tmp_path / "out" / "batch.json").exists()
