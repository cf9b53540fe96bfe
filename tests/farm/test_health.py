"""The fields of a run against numpy, in every CRS, and with everything that can be wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

import agriseg
from agriseg import field_health, open_scene
from agriseg.errors import AgrisegError, BandError, InputError, OptionError, OutputError
from agriseg.runs import Run
from tests.farm.made_run import Farm, make_farm

Make = Callable[..., Farm]
TURN = Affine.rotation(40) @ Affine.scale(0.5, -0.3)
RECTS = ((2, 3, 20, 30), (22.5, 3, 45, 30))


@pytest.fixture
def farm(tmp_path: Path) -> Callable[..., Farm]:
    return partial(make_farm, tmp_path)


def ndvi_of(made: Farm) -> np.ndarray:
    _, red, nir = made.data.astype(float)
    return (nir - red) / (nir + red)


def test_the_numbers_are_those_of_the_pixels(farm: Make) -> None:
    made = farm(about={"crop": "maize", "growth_stage": "BBCH 16", "date": "2026-05-14"})
    parcels = made.parcels(*RECTS, plot=["a", "b"], dose=[1, 2], label=["north", None])
    table = field_health(made.run, parcels, id_col="plot", name_col="label")
    assert table["field_id"].tolist() == ["a", "b"]
    assert table["name"].tolist()[0] == "north"
    assert table["dose"].tolist() == [1, 2]
    assert table["area_ha"].tolist() == pytest.approx([18 * 27 / 4e4, 22.5 * 27 / 4e4])
    assert set(table["crop"]) == {"maize"}
    assert set(table["growth_stage"]) == {"BBCH 16"}
    # The first is of whole pixels.
    red, ndvi = made.data[1, 3:30, 2:20], ndvi_of(made)[3:30, 2:20]
    first = table.iloc[0]
    assert first["valid_percent"] == pytest.approx(100)
    for value, name in enumerate(("soil", "crop", "weed")):
        assert first[f"cover_{name}_percent"] == pytest.approx(100 * (red == value).mean())
    crop = ndvi[red == 1]
    assert first["ndvi_mean"] == pytest.approx(crop.mean(), abs=1e-6)
    assert first["ndvi_std"] == pytest.approx(crop.std(), abs=1e-6)
    assert first["ndvi_median"] == pytest.approx(
        np.quantile(crop, 0.5, method="inverted_cdf"), abs=1e-6
    )
    assert first["confidence"] == pytest.approx(1)
    assert first["ndvi_valid_percent"] == pytest.approx(100)
    # The second counts half of its first column.
    weights = np.ones((27, 23))
    weights[:, 0] = 0.5
    red, ndvi = made.data[1, 3:30, 22:45], ndvi_of(made)[3:30, 22:45]
    second = table.iloc[1]
    assert second["ndvi_mean"] == pytest.approx(
        np.average(ndvi[red == 1], weights=weights[red == 1]), abs=1e-6
    )
    assert second["cover_weed_percent"] == pytest.approx(
        100 * np.average(red == 2, weights=weights)
    )
    # The second is the larger, so it is the usual one.
    assert second["vigour_percent"] == pytest.approx(100)
    assert first["vigour_percent"] == pytest.approx(
        100 * first["ndvi_median"] / second["ndvi_median"]
    )
    assert (table["note"] == "").all()


def test_the_columns_are_these(farm: Make) -> None:
    made = farm(about={"date": "2026-05-14", "block": "3"})
    table = field_health(made.run, made.parcels(*RECTS, dose=[1, 2]), out=False)
    assert table.columns.tolist() == [
        *("field_id", "name", "dose", "area_ha"),
        *("valid_percent", "cover_soil_percent", "cover_crop_percent", "cover_weed_percent"),
        *("shadow_percent", "confidence"),
        *("ndvi_mean", "ndvi_median", "ndvi_std", "ndvi_p10", "ndvi_p90", "ndvi_cv_percent"),
        *("ndvi_valid_percent", "vigour_percent", "uniformity_percent"),
        *("stressed_ha", "stressed_percent", "index_pixels", "date", "note", "geometry"),
    ]
    assert not (made.run.path / "fields.gpkg").exists()


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (32633, Affine(0.5, 0, 360000, 0, -0.5, 5350000)),
        (32633, Affine(0.5, 0, 360000, 0, 0.5, 5350000)),
        (
            32633,
            Affine.translation(360000, 5350000) @ Affine.rotation(40) @ Affine.scale(0.5, -0.3),
        ),
        (4326, Affine(7e-6, 0, 13.1, 0, -4.5e-6, 48.3)),
        (3857, Affine(0.75, 0, 1458000, 0, -0.75, 6155000)),
    ],
    ids=["utm", "south up", "turned oblong", "degrees", "web mercator"],
)
def test_areas_are_those_on_the_ground(farm: Make, crs: int, transform: Affine) -> None:
    made = farm(crs=CRS.from_epsg(crs), transform=transform)
    table = field_health(made.run, made.parcels(*RECTS))
    geod = pyproj.Geod(ellps="WGS84")
    for shape, area in zip(table.to_crs(4326).geometry, table["area_ha"], strict=True):
        # UTM itself is 0.08 % off in area here.
        assert abs(geod.geometry_area_perimeter(shape)[0]) / 1e4 == pytest.approx(area, rel=1e-3)
    # Shares are of pixels, whatever these are on the ground.
    red = made.data[1, 3:30, 2:20]
    assert table["cover_weed_percent"][0] == pytest.approx(100 * (red == 2).mean(), abs=0.01)
    back = gpd.read_file(made.run.path / "fields.gpkg", layer="fields")
    assert back["ndvi_median"].tolist() == table["ndvi_median"].tolist()


def test_pixels_larger_than_plants_count_all(farm: Make) -> None:
    made = farm(transform=Affine(10, 0, 500_000, 0, -10, 5_700_000))
    parcels = made.parcels(*RECTS)
    table = field_health(made.run, parcels)
    first = table.iloc[0]
    assert first["index_pixels"] == "all"
    assert first["ndvi_mean"] == pytest.approx(ndvi_of(made)[3:30, 2:20].mean(), abs=1e-6)
    assert any("pixels of 10 m hold plants and soil" in note for note in table.attrs["notes"])
    zones = gpd.read_file(made.run.path / "zones.gpkg", layer="zones")
    assert zones["crop_percent"].min() == pytest.approx(100)
    asked = field_health(made.run, parcels, pixels="crop")
    crop = made.data[1, 3:30, 2:20] == 1
    assert asked.iloc[0]["index_pixels"] == "crop"
    assert asked.iloc[0]["ndvi_mean"] == pytest.approx(
        ndvi_of(made)[3:30, 2:20][crop].mean(), abs=1e-6
    )
    assert not any("hold plants and soil" in note for note in asked.attrs["notes"])


def test_parcels_of_another_crs_from_a_file(farm: Make, tmp_path: Path) -> None:
    made = farm()
    there = field_health(made.run, made.parcels(*RECTS))
    made.parcels(*RECTS).to_crs(4326).to_file(tmp_path / "parcels.geojson")
    found = field_health(made.run, tmp_path / "parcels.geojson")
    assert found["ndvi_mean"].tolist() == pytest.approx(there["ndvi_mean"].tolist(), abs=1e-4)
    assert any("brought into" in note for note in found.attrs["notes"])


def test_fields_without_anything_are_told_and_the_rest_goes_on(farm: Make) -> None:
    made = farm()
    soil = np.argwhere(made.data[1] == 0)[5]
    row, col = map(float, soil)
    parcels = made.parcels(
        (2, 3, 20, 30),
        (52, 3, 59, 30),  # nodata
        (col, row, col + 1, row + 1),  # one pixel of soil
        (-30, 3, -5, 30),  # off the map
        (40, 3, 80, 30),  # partly
        plot=["good", "void", "bare", "off", "edge"],
    )
    bow = shapely.Polygon([made.box.transform @ c for c in [(2, 2), (9, 9), (9, 2), (2, 9)]])
    parcels.loc[len(parcels)] = ["bow", bow]
    table = field_health(made.run, parcels, id_col="plot").set_index("field_id")
    assert "off" not in table.index
    assert table.loc["good", "note"] == ""
    assert table.loc["void", "valid_percent"] == 0
    assert math.isnan(table.loc["void", "cover_crop_percent"])
    assert "no class here" in table.loc["void", "note"]
    assert table.loc["bare", "cover_soil_percent"] == pytest.approx(100)
    assert math.isnan(table.loc["bare", "ndvi_median"])
    assert "no pixel with crop" in table.loc["bare", "note"]
    assert "lies outside of the map" in table.loc["edge", "note"]
    assert table.loc["bow", "valid_percent"] == pytest.approx(100)
    notes = " ".join(table.attrs["notes"])
    assert "void" in notes
    assert "outside of the map" in notes
    assert "crossed themselves" in notes
    assert np.isfinite(table.loc[["good", "edge", "bow"], "vigour_percent"]).all()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"indices": ["NDRE"]}, BandError, "lacks rededge"),
        ({"indices": "nonsense"}, OptionError, "no index"),
        ({"pixels": "weed"}, OptionError, "possible are crop, plants, all"),
        ({"crop": ["wheat"]}, OptionError, "no such class"),
        ({"id_col": "plot"}, InputError, "the same id"),
        ({"id_col": "lot"}, OptionError, "no such column"),
        ({"out": "x.shp"}, OutputError, "shapefile"),
        ({"out": "nowhere/x.csv"}, OutputError, "no folder"),
        ({"out": "x.csv", "csv_sep": "ab"}, OptionError, "one character"),
        ({"scene": "nowhere.tif"}, InputError, "cannot be read there"),
        ({"params": {"L": 1.0}}, OptionError, "--param L"),
    ],
)
def test_what_makes_no_sense_is_refused(
    farm: Make,
    options: dict,
    error: type[AgrisegError],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    made = farm()
    parcels = made.parcels(*RECTS, plot=["a", "a"])
    with pytest.raises(error, match=words):
        field_health(made.run, parcels, **options)
    assert not (made.run.path / "fields.gpkg").exists()


def test_runs_and_parcels_that_cannot_be_used(farm: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        field_health(tmp_path)
    made = farm()
    with pytest.raises(InputError, match="has no CRS"):
        field_health(made.run, made.parcels(*RECTS).set_crs(None, allow_override=True))
    away = made.parcels(*RECTS).translate(1e5, 0).to_frame("geometry")
    with pytest.raises(InputError, match="no parcel of"):
        field_health(made.run, away)
    other = open_scene(made.scene).at_gsd(1.0)
    with pytest.raises(InputError, match="on another grid"):
        field_health(made.run, made.parcels(*RECTS), scene=other)


def test_a_run_without_a_crs(farm: Make) -> None:
    made = farm(crs=None)
    with pytest.raises(InputError, match=r"without a CRS.*gdal_edit\.py"):
        field_health(made.run, made.parcels(*RECTS).set_crs(32633))


def test_where_the_scene_is_gone_cover_is_still_there(farm: Make) -> None:
    made = farm()
    made.scene.unlink()
    with pytest.raises(InputError, match="--scene PATH"):
        field_health(made.run, made.parcels(*RECTS))
    table = field_health(made.run, made.parcels(*RECTS), indices=())
    assert np.isfinite(table["cover_crop_percent"]).all()
    assert np.isnan(table["shadow_percent"]).all()
    assert "vigour_percent" not in table
    assert any("shade" in note for note in table.attrs["notes"])


def test_an_open_scene_and_other_pixels(farm: Make) -> None:
    made = farm()
    parcels = made.parcels(RECTS[0])
    scene = open_scene(made.scene, scale=1.0)
    table = field_health(made.run, parcels, scene=scene, indices=["ndvi", "GNDVI"], pixels="all")
    ndvi = ndvi_of(made)[3:30, 2:20]
    assert table["ndvi_mean"][0] == pytest.approx(ndvi.mean(), abs=1e-6)
    assert table.attrs["indices"] == ["NDVI", "GNDVI"]
    assert "gndvi_p90" in table
    only_weeds = field_health(made.run, parcels, crop=["weed"], weed=["crop"])
    red = made.data[1, 3:30, 2:20]
    assert only_weeds["ndvi_mean"][0] == pytest.approx(ndvi[red == 2].mean(), abs=1e-6)


def test_tables_for_others(farm: Make, tmp_path: Path) -> None:
    made = farm()
    parcels = made.parcels(*RECTS, sown=pd.to_datetime(["2026-04-01", None]), ok=[True, False])
    table = field_health(made.run, parcels, out=tmp_path / "f.csv", csv_sep=";")
    text = (tmp_path / "f.csv").read_text(encoding="utf-8")
    assert text.startswith("field_id;name;")
    back = pd.read_csv(tmp_path / "f.csv", sep=";", decimal=",")
    assert back["ndvi_mean"].tolist() == pytest.approx(table["ndvi_mean"].tolist(), rel=1e-6)
    field_health(made.run, parcels, out=tmp_path / "p.csv")
    assert pd.read_csv(tmp_path / "p.csv")["area_ha"].tolist() == pytest.approx(
        table["area_ha"].tolist(), rel=1e-6
    )
    field_health(made.run, parcels, out=tmp_path / "f.parquet")
    frame = gpd.read_parquet(tmp_path / "f.parquet")
    assert frame.crs == table.crs
    assert frame["ok"].tolist() == [1, 0]
    first = (made.run.path / "fields.gpkg").read_bytes()
    field_health(made.run, parcels)
    assert (made.run.path / "fields.gpkg").read_bytes() == first


def test_no_input_is_overwritten(farm: Make, tmp_path: Path) -> None:
    made = farm()
    path = tmp_path / "parcels.gpkg"
    made.parcels(*RECTS).to_file(path)
    for out in (path, made.run.path / "segments.gpkg"):
        with pytest.raises(OutputError, match="is needed"):
            field_health(made.run, path, out=out)
    own = made.run.path / "fields.gpkg"
    assert len(field_health(made.run, path, out=own)) == len(gpd.read_file(own)) == 2


def test_its_own_table_can_be_the_parcels(farm: Make, tmp_path: Path) -> None:
    made = farm()
    first = field_health(made.run, made.parcels(*RECTS, dose=[1, 2], yield_mean=[4.0, 5.0]))
    again = field_health(made.run, made.run.path / "fields.gpkg")
    assert "yield_mean" in first.columns
    assert again.columns.tolist() == first.columns.tolist()
    other = field_health(made.run, made.run.path / "fields.gpkg", indices="GNDVI")
    assert "ndvi_mean" not in other.columns
    assert again["ndvi_mean"].tolist() == pytest.approx(first["ndvi_mean"].tolist())


def test_rows_are_measured_on_request(farm: Make) -> None:
    made = farm()
    without = field_health(made.run, made.parcels(*RECTS))
    table = field_health(made.run, made.parcels(*RECTS), rows=True)
    added = [name for name in table.columns if name not in without.columns]
    assert added == ["row_direction_deg", "row_spacing_m", "row_strength"]
    assert table["ndvi_mean"].equals(without["ndvi_mean"])


def test_without_parcels_the_fields_are_found(farm: Make) -> None:
    made = farm()
    table = field_health(made.run, about={"growth_stage": "BBCH 30"})
    assert len(table) == 1
    assert table["field_id"].tolist() == ["1"]
    assert table["ndvi_median"].notna().all()
    assert table["growth_stage"].tolist() == ["BBCH 30"]
    said = [note for note in table.attrs["notes"] if "not said" in note]
    assert said
    assert "growth stage" not in said[0]


def test_public_names() -> None:
    assert agriseg.field_health is field_health
    assert {"field_health", "trial"} <= set(agriseg.__all__)
    assert Run
