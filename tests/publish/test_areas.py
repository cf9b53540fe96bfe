"""Areas of a GeoPackage on the frame of a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

import agriseg.publish.areas as areas
from agriseg.errors import InputError
from agriseg.geobox import GeoBox
from agriseg.publish.areas import BARE, outlines, painted, rows_of
from agriseg.publish.geopackage import read_tables
from agriseg.vector.files import PolygonBatch, write_polygons
from tests.support import UTM

FRAME = GeoBox(UTM, Affine(0.5, 0, 500_000, 0, -0.5, 5_000_020), 60, 40)
RING = shapely.Polygon(
    [(500_002, 5_000_002), (500_012, 5_000_003), (500_010, 5_000_017)],
    [[(500_007, 5_000_006), (500_009, 5_000_006), (500_009, 5_000_009)]],
)
BOX = shapely.box(500_015, 5_000_005, 500_025, 5_000_015)
FAR = shapely.box(510_000, 5_000_000, 510_010, 5_000_010)


def table_of(tmp_path: Path, values: list[float], crs: CRS = UTM) -> Path:
    shapes = np.array([shapely.MultiPolygon([one]) for one in (RING, BOX, FAR)], object)
    columns = {
        "field_id": np.array(["a", 'b"<', "c"], object),
        "name": np.array(["", "Süd & <x>", ""], object),
        "value": np.array(values),
        "area_ha": np.array([1.0, 2.0, 4.0]),
    }
    path = tmp_path / "a b.gpkg"
    write_polygons(path, [PolygonBatch(shapes, columns, "MultiPolygon")], crs, layer="t")
    return path


@pytest.mark.parametrize("batch", [1, 20_000])
def test_areas_are_painted_by_the_range_of_their_value(
    tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(areas, "_BATCH", batch)
    path = table_of(tmp_path, [10.0, 30.0, 20.0])
    (table,) = read_tables(path)
    paint = painted(path, table, "value", (10, 20, 30), FRAME)
    rows, cols = np.indices((40, 60))
    xs, ys = FRAME.transform @ (cols + 0.5, rows + 0.5)
    expected = np.full((40, 60), BARE)
    expected[shapely.contains_xy(RING, xs, ys)] = 0
    expected[shapely.contains_xy(BOX, xs, ys)] = 1
    # A middle on an edge is in either.
    clear = shapely.distance(shapely.points(xs, ys), RING.boundary) > 1e-6
    np.testing.assert_array_equal(paint.codes[clear], expected[clear])
    assert (~clear).sum() < 10
    # The upper end belongs to the last range, 20 to the second.
    assert paint.area_ha == (1.0, 6.0)


def test_an_area_without_a_value_stays_bare(tmp_path: Path) -> None:
    path = table_of(tmp_path, [10.0, np.nan, np.nan])
    (table,) = read_tables(path)
    paint = painted(path, table, "value", (0, 20), FRAME)
    assert paint.codes[20, 40] == BARE
    assert (paint.codes == 0).sum() == pytest.approx(RING.area * 4, rel=0.03)
    assert paint.area_ha == (1.0,)


def test_outlines_lie_in_pixels_with_their_names(tmp_path: Path) -> None:
    path = table_of(tmp_path, [1.0, 2.0, 3.0])
    (table,) = read_tables(path)
    first, second, _ = outlines(path, table, FRAME)
    assert [len(ring) for ring in first.rings] == [4, 4]
    np.testing.assert_allclose(sorted(first.rings[0][:3].tolist()), [[4, 36], [20, 6], [24, 34]])
    assert (first.name, second.name) == ("a", "Süd & <x>")
    assert 30 < second.at[0] < 50
    assert 10 < second.at[1] < 30
    assert len(outlines(path, table, FRAME, most=2)) == 2


def test_areas_of_another_coordinate_system_are_moved(tmp_path: Path) -> None:
    import geopandas as gpd

    path = tmp_path / "w.gpkg"
    frame = gpd.GeoDataFrame({"value": [1.0]}, geometry=[BOX], crs=32633).to_crs(4326)
    frame.to_file(path, layer="w")
    (table,) = read_tables(path)
    paint = painted(path, table, "value", (0, 2), FRAME)
    assert (paint.codes == 0).sum() == 400
    assert paint.area_ha is None


def test_rows_have_none_where_nothing_is_known(tmp_path: Path) -> None:
    path = table_of(tmp_path, [1.0, np.nan, 3.0])
    (table,) = read_tables(path)
    rows = rows_of(path, table, most=2)
    assert [row["value"] for row in rows] == [1.0, None]
    assert rows[1]["name"] == "Süd & <x>"


def test_a_file_that_is_gone_is_an_input_error(tmp_path: Path) -> None:
    path = table_of(tmp_path, [1.0, 2.0, 3.0])
    (table,) = read_tables(path)
    path.unlink()
    for read in (
        lambda: painted(path, table, "value", (0, 1), FRAME),
        lambda: outlines(path, table, FRAME),
        lambda: rows_of(path, table, most=1),
    ):
        with pytest.raises(InputError, match="cannot be read"):
            read()
