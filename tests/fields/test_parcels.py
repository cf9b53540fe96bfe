"""Parcels as users have them: in other systems, broken, doubled, elsewhere."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from agriseg.errors import InputError, OptionError
from agriseg.fields.parcels import ParcelOptions, Parcels, read_parcels
from agriseg.geobox import GeoBox
from agriseg.vector.measure import measure_polygons
from tests.fields.drawn import EAST, NORTH, placed
from tests.support import UTM

BOX = GeoBox(UTM, placed(0.5, 0.2, 0.2, -0.5), 400, 300)


def square(east: float, north: float, side: float = 20.0) -> shapely.Polygon:
    """A square whose lower left corner lies so far from the map's middle."""
    x, y = BOX.transform @ (200, 150)
    return shapely.box(x + east, y + north, x + east + side, y + north + side)


def frame(*shapes: object, **columns: list[object]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=list(shapes), crs=UTM.to_wkt())


def read(source: object, box: GeoBox = BOX, **options: object) -> Parcels:
    return read_parcels(source, box, "map.tif", ParcelOptions(**options))  # type: ignore[arg-type]


def test_columns_and_ids_are_kept_from_another_crs(tmp_path: Path) -> None:
    given = frame(square(0, 0), square(30, 0), crop=["beet", None], Nr=[7, 9], Name=["x", "y"])
    given.to_crs(4326).to_file(tmp_path / "p.geojson")
    found = read(tmp_path / "p.geojson", id_col="Nr")
    table = found.frame
    assert table.columns.tolist() == ["field_id", "name", "crop", "Nr", "geometry"]
    assert table.field_id.tolist() == ["7", "9"]
    assert table.name.tolist() == ["x", "y"]
    assert table.Nr.tolist() == [7, 9]
    assert any("brought into that of the map, EPSG:32633" in note for note in found.notes)
    assert shapely.hausdorff_distance(table.geometry[1], given.geometry[1]) < 1e-3
    assert set(table.geom_type) == {"MultiPolygon"}


@pytest.mark.parametrize("ending", ["gpkg", "shp", "fgb", "parquet"])
def test_formats(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"p.{ending}"
    given = frame(square(0, 0), square(9000, 0), plot=["a", "b"])
    given.to_parquet(path) if ending == "parquet" else given.to_file(path)
    found = read(path)
    assert found.frame.field_id.tolist() == ["1"]
    assert found.frame["plot"].tolist() == ["a"]
    assert any(note.startswith("1 of 2 parcels") for note in found.notes)


def test_what_is_broken_is_mended_or_left_out_with_words() -> None:
    x, y = BOX.transform @ (200, 150)
    bow = shapely.Polygon([(x, y), (x + 20, y + 20), (x + 20, y), (x, y + 20)])
    high = shapely.force_3d(square(40, 0), 250.0)
    two = shapely.MultiPolygon([square(-30, 0, 5), square(-20, 0, 5)])
    mixed = shapely.GeometryCollection([square(-50, 0, 8), shapely.Point(x, y)])
    found = read(
        frame(bow, high, two, mixed, shapely.Point(x, y), None, shapely.Polygon(), square(9000, 0))
    )
    assert len(found.frame) == 4
    assert shapely.is_valid(found.frame.geometry.array).all()
    assert not shapely.has_z(np.asarray(found.frame.geometry.array)).any()
    assert [len(shape.geoms) for shape in found.frame.geometry] == [2, 1, 2, 1]
    said = " | ".join(found.notes)
    assert "1 of the parcels crossed themselves; repaired" in said
    assert "2 of the parcels have no shape (feature 5, feature 6)" in said
    assert "1 of the parcels are no areas but points or lines (feature 4)" in said
    assert "1 of 8 parcels of the parcels lie outside" in said


def test_overlaps_are_told_and_all_count() -> None:
    found = read(frame(square(0, 0), square(10, 0), square(60, 0), square(79.99, 0)))
    assert len(found.frame) == 4
    assert [note for note in found.notes if "overlap" in note] == [
        "parcels of the parcels overlap, 1 pair of them (1 and 2); each counts for itself"
    ]


def test_ids_must_differ() -> None:
    shapes = [square(0, 0), square(30, 0), square(60, 0)]
    with pytest.raises(InputError, match=r"features 0 and 2 have the same id A.*--id-col"):
        read(frame(*shapes, key=["A", "B", "A"]), id_col="key")
    with pytest.raises(InputError, match="feature 1 has no id"):
        read(frame(*shapes, key=["A", None, "B"]), id_col="key")
    # Not asked for, doubled ids do no harm.
    table = read(frame(*shapes, field_id=["A", "B", "A"])).frame
    assert table.field_id.tolist() == ["1", "2", "3"]
    assert table.field_id_given.tolist() == ["A", "B", "A"]
    assert read(frame(*shapes, field_id=[1.0, 2.0, 5.0])).frame.field_id.tolist() == ["1", "2", "5"]


def test_columns_that_results_have_are_renamed() -> None:
    table = read(frame(square(0, 0), area_ha=[3.0], fid=[4], geom=["x"], Area_HA=[5.0])).frame
    assert {"area_ha_given", "fid_given", "geom_given", "Area_HA_given_given"} <= {*table.columns}


@pytest.mark.parametrize("epsg", [32633, 4326, 3857])
def test_the_inset_is_in_true_metres(epsg: int) -> None:
    given = frame(square(0, 0), square(40, 0, 3.0))
    shapes = given.to_crs(epsg)
    left, _, _, top = shapes.total_bounds
    pixel = 2e-6 if epsg == 4326 else 0.2
    transform = Affine(pixel, 0, left - 20 * pixel, 0, -pixel, top + 20 * pixel)
    box = GeoBox(CRS.from_epsg(epsg), transform, 900, 500)
    found = read(shapes, box, inset_m=2.0)
    areas = measure_polygons(np.asarray(found.frame.geometry.array), box).areas_m2
    # Grid metres of UTM are 0.3 m/km off at this place.
    assert areas == pytest.approx([16.0**2], rel=2e-3)
    assert any("gone within the inset of 2 m (feature 1)" in note for note in found.notes)


def test_parcels_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no parcel of.*the parcels span.*, the map"):
        read(frame(square(5000, 0)))
    with pytest.raises(InputError, match=r"is left: 1 of the parcels have no shape"):
        read(frame(None))
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.gpkg")
    (tmp_path / "text.gpkg").write_text("no")
    with pytest.raises(InputError, match="cannot be read as a vector file"):
        read(tmp_path / "text.gpkg")
    bare = gpd.GeoDataFrame(geometry=[square(0, 0)])
    with pytest.raises(InputError, match=r"has no CRS.*ogr2ogr"):
        read(bare)
    with pytest.raises(InputError, match=r"map.tif has no CRS.*gdal_edit"):
        read(frame(square(0, 0)), GeoBox(None, BOX.transform, 40, 30))
    with pytest.raises(InputError, match="are a list"):
        read([square(0, 0)])


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    for layer in ("a", "b"):
        frame(square(0, 0)).to_file(tmp_path / "p.gpkg", layer=layer)
    with pytest.raises(OptionError, match=r"2 layers \(a, b\); say which: --layer a"):
        read(tmp_path / "p.gpkg")
    with pytest.raises(OptionError, match="no such layer"):
        read(tmp_path / "p.gpkg", layer="c")
    assert len(read(tmp_path / "p.gpkg", layer="b").frame) == 1
    with pytest.raises(OptionError, match=r"--id-col nr.*it has crop"):
        read(frame(square(0, 0), crop=["x"]), id_col="nr")
    with pytest.raises(OptionError, match="--inset-m -1"):
        read(frame(square(0, 0)), inset_m=-1)


def test_parcels_that_reach_beyond_the_map_are_kept_whole() -> None:
    far = shapely.box(EAST - 500, NORTH - 500, EAST + 800, NORTH + 800)
    found = read(frame(far))
    assert found.frame.geometry[0].area == pytest.approx(far.area)
    assert any("reach beyond the map (1)" in note for note in found.notes)
