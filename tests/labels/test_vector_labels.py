"""Labels from polygons: any format and CRS, odd geometries, odd columns."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from agriseg.errors import LabelError
from agriseg.geobox import Window
from agriseg.labels import LabelledScene
from tests.labels.support import codes_of, material, write_scene
from tests.support import NORTH_UP, UTM


def ring(*points: tuple[float, float], at: Affine = NORTH_UP) -> shapely.Polygon:
    """A polygon from (column, row) of the scene."""
    return shapely.Polygon([at @ point for point in points])


def box(left: float, top: float, right: float, bottom: float, at: Affine = NORTH_UP) -> Any:
    return ring((left, top), (right, top), (right, bottom), (left, bottom), at=at)


def frame(shapes: list[Any], crs: Any = UTM, **columns: list[Any]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=crs)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_scene(tmp_path / "s.tif")
    return tmp_path


def one(base: Path, labels: str = "l.gpkg", **more: Any) -> LabelledScene:
    return material(base, {"kind": "scenes", "scenes": "s.tif", "labels": labels, **more}).scenes[0]


def notes(labelled: LabelledScene) -> str:
    labels: Any = labelled.labels
    return " ".join(labels.look(labelled.scene))


SHAPES = [box(2, 3, 22, 13), box(5, 5, 9, 8), box(30, 20, 36, 28)]
NAMES = ["crop", "weed", "soil or weed"]


def truth(rest: int = 255) -> Any:
    codes = np.full((30, 40), rest, np.uint8)
    codes[3:13, 2:22], codes[5:8, 5:9], codes[20:28, 30:36] = 1, 2, 3
    return codes


@pytest.mark.parametrize("name", ["l.gpkg", "l.shp", "l.fgb", "l.parquet", "l.geojson"])
def test_any_format(base: Path, name: str) -> None:
    data = frame(SHAPES, **{"class": NAMES})
    if name.endswith("parquet"):
        data.to_parquet(base / name)
    else:
        (data.to_crs(4326) if name.endswith("json") else data).to_file(base / name)
    labelled = one(base, name)
    np.testing.assert_array_equal(codes_of(labelled), truth())
    assert ("EPSG:4326" in notes(labelled)) == name.endswith("json")


def test_elsewhere_and_within(base: Path) -> None:
    frame(SHAPES, **{"class": NAMES}).to_file(base / "l.gpkg")
    np.testing.assert_array_equal(codes_of(one(base, elsewhere="soil")), truth(0))
    frame([box(0, 0, 25, 30)], plot=[1]).to_file(base / "plots.gpkg")
    codes = codes_of(one(base, elsewhere="soil", within="plots.gpkg"))
    np.testing.assert_array_equal(codes[:, :25], truth(0)[:, :25])
    assert (codes[:, 25:] == 255).all()


def test_windows_agree_with_the_whole(base: Path) -> None:
    frame(SHAPES, **{"class": NAMES}).to_file(base / "l.gpkg")
    labelled = one(base)
    with labelled.labels.open(labelled.scene) as reader:
        window = Window(4, 6, 30, 17)
        np.testing.assert_array_equal(reader.read(window), truth()[window.slices])


def test_a_turned_scene(base: Path) -> None:
    turned = NORTH_UP @ Affine.rotation(37)
    write_scene(base / "s.tif", transform=turned)
    shapes = [box(2, 3, 22, 13, turned), box(5, 5, 9, 8, turned), box(30, 20, 36, 28, turned)]
    frame(shapes, **{"class": NAMES}).to_file(base / "l.gpkg")
    # Corners on pixel edges come back with rounding, which no pixel centre feels.
    np.testing.assert_array_equal(codes_of(one(base)), truth())


@pytest.mark.parametrize(
    "entries", [[1, 2, 9], [1.0, 2.0, 9.0], ["1", "2", "9"], [" b", "w ", "x"], [True, False, None]]
)
def test_columns_of_all_kinds(base: Path, entries: list[Any]) -> None:
    frame(SHAPES, code=entries).to_file(base / "l.gpkg")
    values = {
        1: "crop", 2: "weed", "8-9": "soil or weed", "b": "crop", "w": "weed", "x": "soil or weed",
        "true": "crop", "false": "weed",
    }  # fmt: skip
    labelled = one(base, column="code", values=values)
    expected = truth()
    if entries[2] is None:
        expected[expected == 3] = 255
        assert ": 1, which are ignored" in notes(labelled)
    np.testing.assert_array_equal(codes_of(labelled), expected)


def test_one_class_for_all(base: Path) -> None:
    frame(SHAPES, whatever=[1, 2, 3]).to_file(base / "l.gpkg")
    np.testing.assert_array_equal(codes_of(one(base, values="weed")) == 2, truth() != 255)


def test_a_polygon_without_a_class_hides_what_lies_below(base: Path) -> None:
    frame(SHAPES, **{"class": ["crop", None, "weed"]}).to_file(base / "l.gpkg")
    assert (codes_of(one(base, elsewhere="soil"))[5:8, 5:9] == 255).all()


def test_odd_geometries(base: Path) -> None:
    bow = ring((0, 0.3), (20, 20.3), (20, 0.3), (0, 20.3))
    hole = box(22, 2, 38, 12).difference(box(25, 4, 30, 8))
    mixed = shapely.GeometryCollection([box(0, 22, 4, 26), shapely.Point(NORTH_UP @ (30, 25))])
    several = shapely.MultiPolygon([box(10, 22, 12, 24), box(14, 22, 16, 24)])
    shapes = [bow, hole, mixed, several, shapely.Point(NORTH_UP @ (3, 3)), None, shapely.Polygon()]
    frame(shapes, **{"class": ["crop"] * len(shapes)}).to_file(base / "l.gpkg")
    labelled = one(base)
    codes = codes_of(labelled)
    assert (codes[22:26, 0:4] == 1).all()
    assert (codes[4:8, 25:30] == 255).all()
    areas = shapely.union_all([shapely.make_valid(bow), hole, mixed, several])
    rows, cols = np.mgrid[:30, :40] + 0.5
    x, y = NORTH_UP @ (cols, rows)
    np.testing.assert_array_equal(codes == 1, shapely.contains_xy(areas, x, y))
    assert ": 1, which were repaired" in notes(labelled)
    assert ": 1, which are left out" in notes(labelled)


def test_overlaps_are_counted(base: Path) -> None:
    frame([box(0, 0, 10, 10), box(5, 5, 9, 8)], **{"class": ["crop", "weed"]}).to_file(
        base / "l.gpkg"
    )
    labelled = one(base)
    with labelled.labels.open(labelled.scene) as reader:
        reader.read(labelled.scene.geobox.window)
        assert getattr(reader, "clashes", None) == 12


@pytest.mark.parametrize(
    ("columns", "more", "said"),
    [
        (
            {"class": ["Crop", "weed", "soil"]},
            {},
            r"'Crop' is not in the legend; did you mean 'crop'",
        ),
        ({"class": [1, 2, 3]}, {}, r"classes as numbers, such as 1; say what they mean: values"),
        (
            {"class": NAMES},
            {"column": "clas"},
            r"no column 'clas'; it has class; did you mean class",
        ),
        ({"a": NAMES}, {}, r"has the columns a; say which holds the class with column:"),
        ({"class": NAMES}, {"layer": "fields"}, r"no layer 'fields'"),
        (
            {"class": NAMES},
            {"values": {"crop": "crop"}},
            r"has the class 'weed', which values do not",
        ),
        ({"class": NAMES}, {"values": {"#ff0000": "crop"}}, r"values list colours"),
        (
            {"class": NAMES},
            {"elsewhere": "sol"},
            r"data\[0\]: the class 'sol' .* did you mean 'soil'",
        ),
    ],
)
def test_columns_that_do_not_fit(
    base: Path, columns: dict[str, list[Any]], more: dict[str, Any], said: str
) -> None:
    frame(SHAPES, **columns).to_file(base / "l.gpkg")
    with pytest.raises(LabelError, match=said):
        codes_of(one(base, **more))


def test_files_without_a_place(base: Path) -> None:
    with pytest.warns(UserWarning, match="crs"):
        frame(SHAPES, None, **{"class": NAMES}).to_file(base / "l.shp")
    with pytest.raises(LabelError, match=r"has no CRS \(a Shapefile's lies in a .prj"):
        codes_of(one(base, "l.shp"))
    write_scene(base / "s.tif", crs=None, transform=Affine.identity())
    frame(SHAPES, **{"class": NAMES}).to_file(base / "l.gpkg")
    with pytest.raises(LabelError, match=r"s has no CRS, so polygons .* \(kind: coco"):
        codes_of(one(base))


def test_labels_of_another_place(base: Path) -> None:
    far = [shapely.affinity.translate(shape, 5000, 0) for shape in SHAPES]
    frame(far, **{"class": NAMES}).to_file(base / "l.gpkg")
    with pytest.raises(LabelError, match="the labels lie outside of the scene"):
        codes_of(one(base))
    # Around the scene, but not in it: that may well be.
    around = [shapely.affinity.translate(SHAPES[0], x, 0) for x in (-50, 50)]
    frame(around, **{"class": ["crop", "weed"]}).to_file(base / "l.gpkg")
    assert (codes_of(one(base)) == 255).all()
    assert "no polygon of" in notes(one(base))


def test_files_that_hold_no_areas(base: Path) -> None:
    frame([shapely.Point(NORTH_UP @ (3, 3))], **{"class": ["crop"]}).to_file(base / "l.gpkg")
    with pytest.raises(LabelError, match="holds no polygon but points or lines"):
        codes_of(one(base))
    (base / "l.geojson").write_text("{not json")
    with pytest.raises(LabelError, match="cannot be read as a vector file"):
        codes_of(one(base, "l.geojson"))


def test_layers_must_be_told_apart(base: Path) -> None:
    for layer in ("weeds", "plots"):
        frame(SHAPES, **{"class": NAMES}).to_file(base / "l.gpkg", layer=layer)
    with pytest.raises(LabelError, match=r"has 2 layers \(weeds, plots\); say which: layer: weeds"):
        codes_of(one(base))
    np.testing.assert_array_equal(codes_of(one(base, layer="plots")), truth())


def test_labels_are_values_that_travel(base: Path) -> None:
    frame(SHAPES, **{"class": NAMES}).to_file(base / "l.gpkg")
    labelled = pickle.loads(pickle.dumps(one(base)))
    np.testing.assert_array_equal(codes_of(labelled), truth())
    # A file that was changed is read anew.
    frame(SHAPES, **{"class": NAMES[::-1]}).to_file(base / "l.gpkg")
    assert codes_of(one(base))[25, 33] == 1
