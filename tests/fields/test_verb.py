"""The verb `fields`: tables and files."""

from __future__ import annotations

import datetime
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely

import agriseg
from agriseg.errors import InputError, OptionError, OutputError
from tests.fields.drawn import matrix_of, placed, rows_of, write_classes

NORTH_UP = placed(0.05, 0, 0, -0.05)
COLUMNS = ["field_id", "name", "area_ha", "row_direction_deg", "row_spacing_m", "row_strength"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a map of a field with rows, and a broadcast one."""
    folder = tmp_path_factory.mktemp("run")
    classes = np.zeros((240, 460), np.uint8)
    classes[:, :250] = rows_of(240, 250, matrix_of(NORTH_UP), 63, 0.5)
    classes[:, 300:] = np.random.default_rng(0).random((240, 160)) < 0.3
    write_classes(folder / "classes.tif", classes, NORTH_UP)
    return folder


def corner(left: int, right: int) -> shapely.Polygon:
    pixels = [(left, 10), (right, 10), (right, 230), (left, 230)]
    return shapely.Polygon([NORTH_UP @ pixel for pixel in pixels])


def test_a_table_of_outlines(run: Path) -> None:
    table = agriseg.fields(run)
    assert [*table.columns] == ["field_id", "name", "geometry", *COLUMNS[2:]]
    assert table.field_id.tolist() == ["1", "2"]
    assert table.crs.to_epsg() == 32633
    np.testing.assert_allclose(table.area_ha, table.area / 1e4)
    assert table.row_direction_deg[0] == pytest.approx(63, abs=0.3)
    assert table.row_spacing_m[0] == pytest.approx(0.5, rel=0.01)
    assert table.loc[1, COLUMNS[3:]].isna().all()
    assert any("no rows were found in 1 of 2" in note for note in table.attrs["notes"])
    # A run itself will do as well.
    again = agriseg.fields(SimpleNamespace(classes=run / "classes.tif"))
    assert again.geometry.equals(table.geometry)


@pytest.mark.parametrize("ending", [".gpkg", ".parquet", ".fgb", ".geojson"])
def test_files_are_the_same_again(run: Path, tmp_path: Path, ending: str) -> None:
    parcels = gpd.GeoDataFrame(
        {
            "plot": ["a", "b"],
            "sown": [datetime.date(2025, 4, 1), None],
            "irrigated": [True, False],
            "yield_t": [8.5, None],
            "count": [3, 4],
        },
        geometry=[corner(10, 240), corner(310, 450)],
        crs=32633,
    )
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        out, rows = tmp_path / name / f"f{ending}", tmp_path / name / f"r{ending}"
        assert agriseg.fields(run, out, parcels=parcels, id_col="plot", rows=rows) == out
        contents.append((out.read_bytes(), rows.read_bytes()))
    assert contents[0] == contents[1]
    open_file = gpd.read_parquet if ending == ".parquet" else gpd.read_file
    table, lines = open_file(out), open_file(rows)
    table = table.sort_values("field_id", ignore_index=True)
    assert table.field_id.tolist() == ["a", "b"]
    assert table.irrigated.tolist() == [1, 0]
    assert table["count"].tolist() == [3, 4]
    assert str(table.sown[0])[:10] == "2025-04-01"
    assert np.isnan(table.row_spacing_m[1])
    assert set(lines.field_id) == {"a"}
    assert sorted(lines.row) == list(range(1, len(lines) + 1))
    assert (lines.length_m > 0).all()


def test_no_field_at_all_is_a_table_too(tmp_path: Path) -> None:
    path = write_classes(tmp_path / "map.tif", np.full((30, 40), 255), NORTH_UP)
    table = agriseg.fields(path)
    assert len(table) == 0
    assert [*table.columns] == ["field_id", "name", "geometry", *COLUMNS[2:]]
    assert "shows no field" in table.attrs["notes"][0]
    agriseg.fields(path, tmp_path / "f.gpkg", rows=tmp_path / "r.gpkg")
    assert len(gpd.read_file(tmp_path / "f.gpkg")) == len(gpd.read_file(tmp_path / "r.gpkg")) == 0


def test_maps_without_names_are_told_what_is_crop(tmp_path: Path) -> None:
    path = write_classes(tmp_path / "map.tif", np.full((30, 40), 4), NORTH_UP, names=())
    with pytest.raises(InputError, match=r"does not name its classes; say which is with --crop 1"):
        agriseg.fields(path)
    assert len(agriseg.fields(path, crop=["4"])) == 1


def test_what_cannot_be_used(run: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--crop maize: the map has no such class"):
        agriseg.fields(run, crop=["maize"])
    with pytest.raises(InputError, match="holds no classes"):
        agriseg.fields(tmp_path)
    with pytest.raises(InputError, match=r"has no class that is a crop among soil, crop, weed"):
        agriseg.fields(run, weed=["crop"])
    with pytest.raises(InputError, match="has no CRS"):
        agriseg.fields(write_classes(tmp_path / "m.tif", np.ones((9, 9)), NORTH_UP, None))
    with pytest.raises(OutputError, match="must end in"):
        agriseg.fields(run, tmp_path / "fields.txt")
    gpd.GeoDataFrame(geometry=[corner(10, 240)], crs=32633).to_file(tmp_path / "p.gpkg")
    with pytest.raises(OutputError, match="which it would replace"):
        agriseg.fields(run, tmp_path / "p.gpkg", parcels=tmp_path / "p.gpkg")
    with pytest.raises(OutputError, match="the file of -o itself"):
        agriseg.fields(run, tmp_path / "f.gpkg", rows=tmp_path / "f.gpkg")


def test_the_package_stays_the_verb() -> None:
    import agriseg.fields.kinds

    assert callable(agriseg.fields)
    assert agriseg.fields.kinds.kinds_of({1: "crop"}).crop == {1}
