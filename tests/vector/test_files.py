"""Vector files: what goes in comes out, the same bytes each time, and never half a file."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow.parquet
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from agriseg.errors import OutputError, ReadError
from agriseg.vector import files
from agriseg.vector.files import FORMATS, PolygonBatch, check_format, write_polygons
from tests.support import UTM

ENDINGS = sorted(FORMATS)
NAMES = ("Boden", "Zuckerrübe", "杂草")
CORNER = (360_000.25, 5_350_000.5)
ROTATED = CRS.from_wkt(
    'PROJCS["a field of its own",GEOGCS["WGS 84",DATUM["WGS_1984",'
    'SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",48.1],PARAMETER["central_meridian",11.3],'
    'PARAMETER["scale_factor",1],PARAMETER["false_easting",400000],'
    'PARAMETER["false_northing",5350000],UNIT["metre",1]]'
)
SHIFTED = CRS.from_string(
    "+proj=tmerc +lon_0=13 +x_0=4e5 +ellps=bessel +towgs84=598,73,418,0,0,0,0"
)
ZONE_60 = CRS.from_epsg(32760)
NOWHERE = CRS.from_wkt('LOCAL_CS["a desk",UNIT["metre",1]]')


def make(
    count: int, first: int = 0, *, step: float = 3.0, corner: tuple[float, float] = CORNER
) -> PolygonBatch:
    """Clockwise squares in rows of 100: each third has a hole, each seventh has no area."""
    numbers = np.arange(first, first + count)
    geometry = np.empty(count, dtype=object)
    for place, number in enumerate(numbers):
        x, y = corner[0] + number % 100 * step, corner[1] + number // 100 * step
        square = shapely.box(x, y, x + step, y + step, ccw=False)
        if number % 3 == 0:
            hole = shapely.box(x + step / 4, y + step / 4, x + step / 2, y + step / 2)
            square = shapely.Polygon(square.exterior, [hole.exterior])
        geometry[place] = shapely.MultiPolygon([square])
    columns = {
        "class_id": numbers % 3,
        "class_name": np.array([NAMES[number % 3] for number in numbers], dtype=object),
        "area_m2": np.where(numbers % 7 == 0, np.nan, numbers / 10),
        "number": numbers,
    }
    return PolygonBatch(geometry, columns)


def read(path: Path) -> geopandas.GeoDataFrame:
    """A file in the order of its numbers: FlatGeobuf sorts by place."""
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    frame = geopandas.read_file(path)
    return frame.sort_values("number", ignore_index=True) if path.suffix == ".fgb" else frame


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as base:
        return base.execute(sql).fetchall()


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_goes_in_comes_out(tmp_path: Path, ending: str) -> None:
    path, batch = tmp_path / f"segments{ending}", make(250)
    assert write_polygons(path, [batch], UTM) == 250
    found = read(path)
    assert set(found.columns) == {"geometry", *batch.columns}
    assert (found.class_id.dtype.kind, found.area_m2.dtype) == ("i", np.float64)
    assert (found.geom_type == "MultiPolygon").all()
    for name, values in batch.columns.items():
        np.testing.assert_array_equal(found[name], values)
    if ending != ".geojson":
        # Vertex by vertex: nothing was turned, moved or rounded.
        assert found.crs == "EPSG:32633"
        assert (shapely.to_wkb(found.geometry.array) == shapely.to_wkb(batch.geometry)).all()
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("crs", [UTM, CRS.from_epsg(3857), CRS.from_epsg(4326), ROTATED, SHIFTED])
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_crs_is_kept(tmp_path: Path, ending: str, crs: CRS) -> None:
    path = tmp_path / f"a{ending}"
    corner, step = ((11.5, 48.25), 1e-6) if crs.is_geographic else (CORNER, 3.0)
    batch = make(4, corner=corner, step=step)
    write_polygons(path, [batch], crs)
    found = read(path)
    if ending == ".geojson":
        assert found.crs == "EPSG:4326"
        given = geopandas.GeoSeries(batch.geometry, crs=crs.to_wkt())
        found, expected = found.geometry.normalize(), given.to_crs(4326).normalize()
        assert found.geom_equals_exact(expected, 1e-10).all()
        return
    assert found.crs.to_epsg() == crs.to_epsg()
    assert CRS.from_wkt(found.crs.to_wkt()) == crs
    assert (shapely.to_wkb(found.geometry.array) == shapely.to_wkb(batch.geometry)).all()


@pytest.mark.parametrize("ending", [".gpkg", ".fgb", ".parquet"])
def test_polygons_without_a_crs(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write_polygons(path, [make(3)], None)
    crs = read(path).crs
    # GeoPackages have a name for it.
    assert crs is None or "undefined" in crs.name.lower()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_without_polygons_has_its_columns(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"none{ending}"
    assert write_polygons(path, [make(0), make(0)], UTM) == 0
    if ending == ".geojson":
        # It has columns in its polygons only.
        assert json.loads(path.read_text())["features"] == []
        return
    found = read(path)
    assert (len(found), found.crs) == (0, "EPSG:32633")
    assert set(found.columns) == {"geometry", *make(0).columns}
    if ending == ".gpkg":
        assert pyogrio.read_info(path)["geometry_type"] == "MultiPolygon"


def test_a_file_needs_a_batch(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no batch"):
        write_polygons(tmp_path / "a.gpkg", [], UTM)
    assert not names(tmp_path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_batches_leave_no_trace(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, ending, replace(FORMATS[ending], rows=64))
    monkeypatch.setattr(files, "_VERTICES", 400)
    path, seen = tmp_path / f"a{ending}", set()
    for sizes in ([300], [0, 1, 299], [100] * 3, [77, 0, 200, 23, 0]):
        starts = np.cumsum([0, *sizes[:-1]])
        batches = (make(size, start) for size, start in zip(sizes, starts, strict=True))
        assert write_polygons(path, batches, UTM) == 300
        assert list(read(path).number) == list(range(300))
        seen.add(path.read_bytes())
    assert len(seen) == 1


def test_groups_end_at_their_rows_and_vertices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_VERTICES", 60)
    batches = [make(20), make(0, 20), make(25, 20)]
    groups = list(files._regrouped(batches, 8))
    assert [n for group in groups for n in group.columns["number"]] == list(range(45))
    sizes = [len(group.geometry) for group in groups]
    vertices = [int(shapely.get_num_coordinates(group.geometry).sum()) for group in groups]
    assert max(sizes) == 8
    assert all(size == 8 or 60 <= n < 70 for size, n in zip(sizes[:-1], vertices, strict=False))


@pytest.mark.parametrize("ending", [".geojson", ".gpkg", ".parquet"])
def test_one_batch_at_a_time(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is asked for when the one before is written (FlatGeobuf hides where)."""
    monkeypatch.setitem(FORMATS, ending, replace(FORMATS[ending], rows=50))
    sizes = []

    def batches() -> Iterator[PolygonBatch]:
        for start in range(0, 2000, 50):
            yield make(50, start)
            sizes.extend(part.stat().st_size for part in tmp_path.glob(f".*.part{ending}"))

    write_polygons(tmp_path / f"a{ending}", batches(), UTM)
    assert len(sizes) == 40
    assert len(set(sizes)) > 5


@pytest.mark.parametrize("ending", ENDINGS)
def test_another_time_and_place_give_the_same_bytes(tmp_path: Path, ending: str) -> None:
    path, other = tmp_path / f"a{ending}", tmp_path / f"b b{ending}"
    write_polygons(path, [make(120)], UTM)
    time.sleep(1.1)
    write_polygons(other, [make(120)], UTM)
    assert path.read_bytes() == other.read_bytes()


def test_a_geopackage_is_as_others_expect_it(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    write_polygons(path, [make(250)], UTM, layer="weeds")
    assert query(path, "PRAGMA user_version") == [(10300,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "SELECT table_name, data_type, last_change, srs_id FROM gpkg_contents") == [
        ("weeds", "features", "2000-01-01T00:00:00.000Z", 32633)
    ]
    assert query(path, "SELECT geometry_type_name, z, m FROM gpkg_geometry_columns") == [
        ("MULTIPOLYGON", 0, 0)
    ]
    # From 1, in order.
    assert query(path, "SELECT min(fid), max(fid), count(*) FROM weeds") == [(1, 250, 250)]
    assert query(path, "SELECT count(*) FROM weeds WHERE fid != number + 1") == [(0,)]
    assert query(path, "SELECT count(*) FROM rtree_weeds_geom_rowid") == [(250,)]
    box = (CORNER[0] + 0.1, CORNER[1] + 0.1, CORNER[0] + 5, CORNER[1] + 2)
    assert list(pyogrio.read_dataframe(path, bbox=box).number) == [0, 1]


def test_options_of_gdal_come_back(tmp_path: Path) -> None:
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2020-02-02T00:00:00.000Z"})
    try:
        write_polygons(tmp_path / "a.gpkg", [make(1)], UTM)
        assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") == "2020-02-02T00:00:00.000Z"
        assert pyogrio.get_gdal_config_option("OGR_SQLITE_SYNCHRONOUS") is None
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def test_a_geojson_follows_its_standard(tmp_path: Path) -> None:
    path, step = tmp_path / "a.geojson", 0.001
    batch = make(300, step=step)
    write_polygons(path, [batch], UTM)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert "crs" not in found
    polygons = [item["geometry"]["coordinates"][0] for item in found["features"]]
    assert all(item["geometry"]["type"] == "MultiPolygon" for item in found["features"])
    assert [item["properties"]["number"] for item in found["features"]] == list(range(300))
    for exterior, *holes in polygons:
        assert shapely.LinearRing(exterior).is_ccw
        assert not any(shapely.LinearRing(hole).is_ccw for hole in holes)
    # Pixels of 1 mm stay apart, and those that touched have the same vertices still.
    corners = {tuple(vertex) for exterior, *_ in polygons for vertex in exterior}
    assert len(corners) == 101 * 4
    assert all(13 < x < 13.2 and 48 < y < 48.4 for x, y in corners)


def test_a_geojson_needs_a_way_to_lonlat(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    for crs in (NOWHERE, None):
        with pytest.raises(OutputError, match=r"longitude and latitude.*\.gpkg") as caught:
            check_format(path, crs)
        assert "\n" not in str(caught.value)
    check_format(path.with_suffix(".gpkg"), NOWHERE)
    with pytest.raises(OutputError, match="outside the area"):
        write_polygons(path, [make(1, corner=(1e9, 1e9))], UTM)
    # Where the 180th meridian goes through Fiji.
    with pytest.raises(OutputError, match="180th meridian"):
        write_polygons(path, [make(1, corner=(780_000.0, 8_120_000.0), step=99_000)], ZONE_60)
    assert not names(tmp_path)


def test_a_geoparquet_says_what_it_holds(tmp_path: Path) -> None:
    path, batch = tmp_path / "a.parquet", make(250)
    write_polygons(path, [batch], UTM)
    geo = json.loads(pyarrow.parquet.read_schema(path).metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    assert pyarrow.parquet.read_metadata(path).metadata[b"geo"] == json.dumps(geo).encode()
    column = geo["columns"]["geometry"]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["MultiPolygon"])
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32633}
    table = pyarrow.parquet.read_table(path)
    assert table.column("class_name").to_pylist()[:3] == list(NAMES)
    assert table.column("area_m2").null_count == np.isnan(batch.columns["area_m2"]).sum()
    box = (CORNER[0] + 0.1, CORNER[1] + 0.1, CORNER[0] + 5, CORNER[1] + 2)
    assert list(geopandas.read_parquet(path, bbox=box).number) == [0, 1]


@pytest.mark.parametrize("fault", [ReadError("row 7"), OSError(5, "disk"), KeyboardInterrupt()])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_fault_on_the_way_leaves_the_old_file(
    tmp_path: Path, ending: str, fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, ending, replace(FORMATS[ending], rows=50))
    path = tmp_path / f"a{ending}"

    def batches() -> Iterator[PolygonBatch]:
        yield make(120)
        raise fault

    for old in (b"", b"what was there before"):
        if old:
            path.write_bytes(old)
        with pytest.raises(type(fault)) as caught:
            write_polygons(path, batches(), UTM)
        assert caught.value is fault
        assert names(tmp_path) == ([path.name] if old else [])
        assert not old or path.read_bytes() == old


def test_a_fault_keeps_its_cause(tmp_path: Path) -> None:
    def batches() -> Iterator[PolygonBatch]:
        yield make(1)
        try:
            raise KeyError("pixel")
        except KeyError as error:
            raise ReadError("row 7") from error

    with pytest.raises(ReadError) as caught:
        write_polygons(tmp_path / "a.gpkg", batches(), UTM)
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_old_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    write_polygons(path, [make(50)], UTM, layer="old")
    with contextlib.closing(sqlite3.connect(path)) as base:
        # As QGIS leaves it when it is killed: with a log that waits for its file.
        base.execute("PRAGMA journal_mode = wal")
        base.execute("UPDATE gpkg_contents SET description = 'mine'")
        base.commit()
        log = (tmp_path / "a.gpkg-wal").read_bytes()
    (tmp_path / "a.gpkg-wal").write_bytes(log)
    (tmp_path / "a.gpkg-shm").write_bytes(b"")
    (tmp_path / "a.gpkg.txt").write_bytes(b"mine")
    write_polygons(path, [make(3)], UTM)
    assert names(tmp_path) == ["a.gpkg", "a.gpkg.txt"]
    assert [name for name, _ in pyogrio.list_layers(path)] == ["segments"]
    assert len(read(path)) == 3


@pytest.mark.parametrize("ending", ENDINGS)
def test_any_name_will_do(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Äcker & Wiesen 100% (田), 50?#"
    folder.mkdir()
    write_polygons(folder / f"Rüben 1{ending.upper()}", [make(3)], UTM)
    monkeypatch.chdir(folder)
    write_polygons(Path(f"b{ending}"), [make(3)], UTM)
    assert names(folder) == [f"Rüben 1{ending.upper()}", f"b{ending}"]
    assert Path(f"Rüben 1{ending.upper()}").read_bytes() == Path(f"b{ending}").read_bytes()


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.gpkg").mkdir()
    (tmp_path / "a!b").mkdir()
    for name, words in {
        "a.shp": r"10 letters.*GeoPackage.*a\.gpkg",
        "a.kml": r"must end in \.gpkg, \.fgb, \.geojson or \.parquet",
        "a": r"must end in \.gpkg",
        "none/a.gpkg": "no folder .*none",
        "folder.gpkg": "is a folder",
        "a!b/a.gpkg": "no ! or ;",
        "a;b.fgb": "no ! or ;",
    }.items():
        with pytest.raises(OutputError, match=words) as caught:
            check_format(tmp_path / name, UTM)
        assert "\n" not in str(caught.value)
        with pytest.raises(OutputError, match=words):
            write_polygons(tmp_path / name, [make(1)], UTM)
    assert names(tmp_path) == ["a!b", "folder.gpkg"]
    check_format(tmp_path / "a!b/a.parquet", UTM)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="may not write"):
            check_format(tmp_path / "a.gpkg", UTM)
    finally:
        tmp_path.chmod(0o700)


FULL_DISK = """
import resource, sys
from pathlib import Path
from agriseg.errors import OutputError
sys.path.insert(0, {here!r})
from test_files import make, write_polygons, UTM
path, whole = Path({path!r}), Path({path!r}).read_bytes()
for room in {rooms}:
    room = int(room * len(whole)) if room < 1 else len(whole) - room
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        write_polygons(path, [make(3000)], UTM)
    except OutputError as error:
        message = str(error)
        assert "cannot be written" in message and "free some room" in message, message
        assert "\\n" not in message and ".part" not in message, message
    else:
        raise SystemExit(f"nothing said at {{room}} bytes")
    assert [item.name for item in path.parent.iterdir()] == [path.name], room
    assert path.read_bytes() == whole, room
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_is_noticed(tmp_path: Path, ending: str) -> None:
    """Most of all near the end: GDAL writes that when it closes the file, and says nothing."""
    path = tmp_path / f"a{ending}"
    write_polygons(path, [make(3000)], UTM)
    rooms = [0.001, 0.1, 0.5, 0.8, 0.97, 4096, 512, 33, 1]
    code = FULL_DISK.format(here=str(Path(__file__).parent), path=str(path), rooms=rooms)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_module_loads_no_library_before_it_is_used() -> None:
    code = (
        "import sys, agriseg.vector.files;"
        "print({'pyarrow', 'pyogrio', 'pyproj', 'geopandas', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
