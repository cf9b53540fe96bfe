"""What a GeoPackage holds, and the style inside it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from agriseg.errors import InputError, OutputError
from agriseg.publish.geopackage import put_style, read_tables, spread, values_of
from agriseg.vector.files import PolygonBatch, write_polygons
from tests.support import UTM

NAME = 'odd "name" <1>'


def write(path: Path, count: int = 3, crs: CRS | None = UTM) -> Path:
    shapes = np.empty(count, object)
    shapes[:] = [shapely.MultiPolygon([shapely.box(k, 0, k + 1, 2)]) for k in range(count)]
    columns = {
        NAME: np.array([0.5, np.nan, -2.0])[:count],
        "zone": np.array([2, 1, 2])[:count],
        "label": np.array(["b", "a", "b"], object)[:count],
    }
    write_polygons(path, [PolygonBatch(shapes, columns)], crs, layer="my fields")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "größe #1 'x'.gpkg")


def test_it_tells_what_is_in_the_file(file: Path) -> None:
    (table,) = read_tables(file)
    assert (table.name, table.geometry, table.kind) == ("my fields", "geom", "Polygon")
    assert table.columns == (NAME, "zone", "label")
    assert table.crs == UTM
    assert table.bounds == (0, 0, 3, 2)
    assert spread(file, table, NAME) == (-2.0, 0.5)
    assert spread(file, table, "label") is None
    assert values_of(file, table, "zone", name="label", total=NAME) == [
        (1, "a", None),
        (2, "b", -1.5),
    ]


def test_an_empty_layer_has_no_bounds_and_an_unknown_place_no_crs(tmp_path: Path) -> None:
    (table,) = read_tables(write(tmp_path / "empty.gpkg", 0, None))
    assert table.bounds is None
    assert table.crs is None
    assert spread(tmp_path / "empty.gpkg", table, NAME) is None


def test_a_crs_without_a_number_is_read(tmp_path: Path) -> None:
    crs = CRS.from_proj4("+proj=laea +lat_0=48 +lon_0=12 +x_0=5 +ellps=GRS80 +units=m")
    (table,) = read_tables(write(tmp_path / "own.gpkg", crs=crs))
    assert table.crs is not None
    assert table.crs.to_dict()["lon_0"] == 12


def test_what_is_no_geopackage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "fake.gpkg"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="cannot be read as a GeoPackage"):
        read_tables(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_tables(tmp_path / "gone.gpkg")


def test_a_style_is_put_in_once(file: Path) -> None:
    (table,) = read_tables(file)
    before = gpd.read_file(file, layer="my fields")
    assert put_style(file, table, b"<qgis/>")
    once = file.read_bytes()
    assert not put_style(file, table, b"<qgis/>")
    assert file.read_bytes() == once
    with sqlite3.connect(file) as base:
        rows = base.execute(
            "SELECT f_table_name, f_geometry_column, styleQML, useAsDefault FROM layer_styles"
        ).fetchall()
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert rows == [("my fields", "geom", "<qgis/>", 1)]
    assert read_tables(file) == [table]
    assert gpd.read_file(file, layer="my fields").equals(before)
    assert ["layer_styles", None] in pyogrio.list_layers(file).tolist()


def test_the_same_style_makes_the_same_bytes(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{k}.gpkg") for k in range(2)]
    for file in files:
        put_style(file, read_tables(file)[0], "<qgis>ü</qgis>".encode())
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_new_style_takes_the_place_of_ours_only(file: Path) -> None:
    (table,) = read_tables(file)
    put_style(file, table, b"<one/>")
    with sqlite3.connect(file) as base:
        base.execute(
            "INSERT INTO layer_styles (f_table_name, styleName, styleQML, useAsDefault)"
            " VALUES ('my fields', 'mine', '<mine/>', 0)"
        )
    put_style(file, table, b"<two/>")
    with sqlite3.connect(file) as base:
        rows = base.execute("SELECT styleName, styleQML FROM layer_styles ORDER BY id").fetchall()
    assert rows == [("agriseg", "<two/>"), ("mine", "<mine/>")]


def test_somebody_elses_default_stays_it(file: Path) -> None:
    (table,) = read_tables(file)
    put_style(file, table, b"<ours/>")
    with sqlite3.connect(file) as base:
        base.execute("UPDATE layer_styles SET styleName = 'theirs', styleQML = '<theirs/>'")
    put_style(file, table, b"<ours/>")
    with sqlite3.connect(file) as base:
        rows = base.execute("SELECT styleQML, useAsDefault FROM layer_styles").fetchall()
    assert sorted(rows) == [("<ours/>", 0), ("<theirs/>", 1)]


def test_a_locked_file_stays_as_it_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agriseg.publish.geopackage._PATIENCE_S", 0.01)
    (table,) = read_tables(file)
    before = file.read_bytes()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutputError, match="close the programs that have it open"):
        put_style(file, table, b"<qgis/>")
    other.execute("ROLLBACK")
    other.close()
    assert file.read_bytes() == before
