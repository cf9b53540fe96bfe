"""A run ends with its fields, however it was computed, and goes on where only they are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

import agriseg
from agriseg.errors import InputError
from agriseg.pipeline import Job, SilentWatcher
from tests.support import UTM, Identity, result_bytes, write_raster

GRID = Affine(0.1, 0, 360000, 0, -0.1, 5350000)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Rows of crop 0.8 m apart, a track of 6 m, rows again; red tells the class."""
    red = np.zeros((150, 261), np.float32)
    red[:, 4::8] = red[:, 5::8] = 1
    red[:, 100:160] = 0
    red[40:43, 30:33] = 2
    nir = np.where(red > 0, 3, 0.5).astype(np.float32)
    nir[:75][red[:75] > 0] = 4
    path = tmp_path / "in" / "field.tif"
    path.parent.mkdir()
    return write_raster(
        path, np.stack([red, nir]), crs=UTM, transform=GRID, descriptions=["red", "nir"]
    )


class Warnings(SilentWatcher):
    """Keeps what a user is warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, job: Job) -> None:
        self.said += job.warnings


def run_of(scene: Path, out: Path, **options: Any) -> agriseg.Run:
    run = agriseg.segment(scene, out, model=Identity(), scale=1.0, chip=64, overlap=8, **options)
    assert isinstance(run, agriseg.Run)
    return run


def table(path: Path | None, layer: str) -> gpd.GeoDataFrame:
    assert path is not None
    return gpd.read_file(path, layer=layer)


def test_a_run_leaves_fields_zones_and_a_project(scene: Path, tmp_path: Path) -> None:
    run = run_of(scene, tmp_path / "out")
    fields, zones = table(run.fields, "fields"), table(run.zones, "zones")
    assert len(fields) == 2 == run.record["fields"]["count"]
    assert fields["row_spacing_m"].tolist() == pytest.approx([0.8, 0.8], abs=0.02)
    assert fields["cover_crop_percent"].between(15, 35).all()
    assert set(zones["field_id"]) == set(fields["field_id"])
    assert fields["stressed_ha"].notna().all()
    assert {"fields.gpkg", "zones.gpkg"} <= set(run.record["outputs"])
    assert (run.path / "result.qgz").exists()
    again = run_of(scene, tmp_path / "out")
    assert again.resumed


def test_it_equals_what_is_said_of_the_run_afterwards(scene: Path, tmp_path: Path) -> None:
    run = run_of(scene, tmp_path / "out", qgis=False)
    before = (run.path / "fields.gpkg").read_bytes(), (run.path / "zones.gpkg").read_bytes()
    agriseg.field_health(run)
    after = (run.path / "fields.gpkg").read_bytes(), (run.path / "zones.gpkg").read_bytes()
    assert before == after


@pytest.mark.slow(reason="starts processes")
def test_workers_leave_the_same_bytes(scene: Path, tmp_path: Path) -> None:
    one = run_of(scene, tmp_path / "one", swaths=2)
    two = run_of(scene, tmp_path / "two", workers=2)
    assert result_bytes(one.path) == result_bytes(two.path)
    assert "fields.gpkg" in result_bytes(one.path)


def test_parcels_of_the_user_keep_their_columns(scene: Path, tmp_path: Path) -> None:
    shapes = [shapely.box(360001, 5349990, 360006, 5349998)]
    parcels = tmp_path / "parcels.gpkg"
    frame = gpd.GeoDataFrame({"parcel": ["A 1"], "rent": [12.5]}, geometry=shapes, crs=32633)
    frame.to_file(parcels)
    run = run_of(scene, tmp_path / "out", fields=parcels, id_col="parcel")
    found = table(run.fields, "fields")
    assert found["field_id"].tolist() == ["A 1"]
    assert found["rent"].tolist() == [12.5]
    assert found["area_ha"].tolist() == pytest.approx([40 / 1e4], rel=1e-3)
    assert run_of(scene, tmp_path / "out", fields=parcels, id_col="parcel").resumed
    # The same file with another parcel in it is another question.
    frame.geometry = [shapely.box(360001, 5349990, 360004, 5349998)]
    frame.to_file(parcels)
    other = run_of(scene, tmp_path / "out", fields=parcels, id_col="parcel")
    assert not other.resumed
    assert table(other.fields, "fields")["area_ha"].tolist() == pytest.approx([24e-4], rel=1e-3)


def test_the_parcels_of_a_run_stay_its_fields_afterwards(scene: Path, tmp_path: Path) -> None:
    parcels = tmp_path / "parcels.gpkg"
    shapes = [shapely.box(360001, 5349990, 360006, 5349998)]
    gpd.GeoDataFrame({"parcel": ["A 1"]}, geometry=shapes, crs=32633).to_file(parcels)
    run = run_of(scene, tmp_path / "out", fields=parcels, id_col="parcel", inset_m=0.5, qgis=False)
    before = (run.path / "fields.gpkg").read_bytes()
    looked = agriseg.field_health(run.path)
    assert any(str(parcels) in note for note in looked.attrs["notes"])
    assert (run.path / "fields.gpkg").read_bytes() == before
    parcels.unlink()
    with pytest.raises(InputError, match=r"parcels\.gpkg, which are not there.*--fields"):
        agriseg.field_health(run.path)


def test_parcels_that_are_missing_are_told_before_any_work(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.gpkg cannot be read"):
        run_of(scene, tmp_path / "out", fields=tmp_path / "nowhere.gpkg")
    assert not (tmp_path / "out" / "field" / "classes.tif").exists()


def test_parcels_elsewhere_cost_no_map(scene: Path, tmp_path: Path) -> None:
    shapes = [shapely.box(0, 0, 10, 10)]
    parcels = tmp_path / "parcels.gpkg"
    gpd.GeoDataFrame({"id": [1]}, geometry=shapes, crs=32633).to_file(parcels)
    run = run_of(scene, tmp_path / "out", fields=parcels)
    assert run.classes.exists()
    assert run.record["fields"]["count"] == 0
    assert run.record["fields"]["notes"]
    assert run.fields is None


def test_a_scene_without_a_place_has_no_fields_and_says_so(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "photo.tif", np.ones((1, 20, 31), np.float32), crs=None, descriptions=["red"]
    )
    run = run_of(path, tmp_path / "out")
    assert run.fields is None
    assert any("CRS" in note for note in run.record["fields"]["notes"])


def test_without_fields_there_are_none(scene: Path, tmp_path: Path) -> None:
    run = run_of(scene, tmp_path / "out", fields=False, qgis=False)
    assert run.fields is None
    assert run.zones is None
    assert "fields" not in run.record
    with_fields = run_of(scene, tmp_path / "out")
    assert not with_fields.resumed  # the map is kept, the fields are made
    assert with_fields.fields is not None
    assert with_fields.classes.stat().st_mtime_ns == run.classes.stat().st_mtime_ns


def test_fields_that_a_person_edited_do_not_make_a_run_unfinished(
    scene: Path, tmp_path: Path
) -> None:
    run = run_of(scene, tmp_path / "out")
    agriseg.field_health(run, indices=())
    heard = Warnings()
    assert run_of(scene, tmp_path / "out", listener=heard).resumed
    assert not any("will be lost" in said for said in heard.said)
    assert "ndvi_mean" not in table(run.fields, "fields")
    run_of(scene, tmp_path / "out", listener=heard, resume=False)
    assert any("fields.gpkg was changed" in said for said in heard.said)
