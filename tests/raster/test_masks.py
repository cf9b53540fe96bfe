"""Class masks and cutlines: what is hidden, against brute force."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import shapely.affinity
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.errors import InputError, OptionError
from agriseg.geobox import GeoBox, Window
from agriseg.raster import AreaMask, ClassMask, Scene, narrow, open_scene, read_area
from agriseg.raster.masks import parse_class_mask
from tests.support import write_raster

Tif = Callable[..., str]

UTM = CRS.from_epsg(32633)
GRID = Affine(0.5, 0, 400_000, 0, -0.5, 5_600_000)
H, W = 30, 44


@pytest.fixture
def field(tif: Tif) -> str:
    return tif("field.tif", np.full((1, H, W), 90, np.uint8), transform=GRID)


@pytest.fixture
def masked(tif: Tif, field: str) -> Callable[..., NDArray[np.bool_]]:
    """Valid pixels of the field under a class mask."""

    def read(
        classes: NDArray[np.uint8],
        transform: Affine,
        values: str,
        *,
        grow_m: float = 0.0,
        crs: CRS | None = UTM,
        window: Window | None = None,
    ) -> NDArray[np.bool_]:
        path = tif("classes.tif", classes, transform=transform, crs=crs)
        scene = open_scene(field, bands="red", masks=[f"{path}:{values}"], mask_grow_m=grow_m)
        return scene.read(window).valid

    return read


Masked = Callable[..., NDArray[np.bool_]]


# Class masks.


def test_a_mask_on_the_same_grid(masked: Masked) -> None:
    classes = np.random.default_rng(0).integers(0, 12, (H, W), dtype=np.uint8)
    valid = masked(classes, GRID, "3,8,9")
    np.testing.assert_array_equal(valid, ~np.isin(classes, [3, 8, 9]))


def test_a_coarser_mask_is_laid_by_the_nearest_pixel(masked: Masked) -> None:
    classes = np.random.default_rng(1).integers(0, 4, (12, 16), dtype=np.uint8)
    # 2 m pixels, from 1.3 m west and 2.2 m north of the field.
    coarse = Affine(2, 0, 400_000 - 1.3, 0, -2, 5_600_000 + 2.2)
    valid = masked(classes, coarse, "2")
    for row in range(H):
        for col in range(W):
            x, y = GRID @ (col + 0.5, row + 0.5)
            c, r = ~coarse @ (x, y)
            assert valid[row, col] == (classes[math.floor(r), math.floor(c)] != 2)


def test_outside_the_mask_nothing_is_hidden(masked: Masked) -> None:
    corner = GRID @ Affine.translation(40, 25)
    valid = masked(np.zeros((10, 10), np.uint8), corner, "0")
    expected = np.ones((H, W), bool)
    expected[25:, 40:] = False
    np.testing.assert_array_equal(valid, expected)


@pytest.mark.parametrize("grow_m", [0.4, 0.5, 1.2, 3.0, 7.7])
def test_growing_in_metres(masked: Masked, grow_m: float) -> None:
    random = np.random.default_rng(2)
    classes = (random.random((18, 30)) < 0.02).astype(np.uint8)
    assert classes.any()
    # Pixels of 1 m by 0.8 m; the mask's own grid measures the distance.
    grid = Affine(1.0, 0, 400_000 - 3, 0, -0.8, 5_600_000)
    valid = masked(classes, grid, "1", grow_m=grow_m)
    rows, cols = np.nonzero(classes)
    for row in range(0, H, 3):
        for col in range(0, W, 2):
            c, r = (math.floor(v) for v in ~grid @ (GRID @ (col + 0.5, row + 0.5)))
            away = np.hypot((cols - c) * 1.0, (rows - r) * 0.8).min()
            assert valid[row, col] == (away > grow_m), (row, col)


@pytest.mark.parametrize("part", [Window(0, 0, W, 4), Window(13, 11, 7, 9), Window(43, 29, 1, 1)])
def test_windows_of_a_grown_mask(masked: Masked, part: Window) -> None:
    classes = (np.random.default_rng(3).random((H, W)) < 0.01).astype(np.uint8)
    arguments = (classes, GRID, "1")
    whole = masked(*arguments, grow_m=2.0)
    assert 0 < whole.mean() < 1
    np.testing.assert_array_equal(masked(*arguments, grow_m=2.0, window=part), whole[part.slices])


@pytest.mark.parametrize(
    ("crs", "transform", "words"),
    [
        (CRS.from_epsg(32632), GRID, "EPSG:32632, the scene in EPSG:32633"),
        (None, GRID, "no CRS"),
        (UTM, GRID @ Affine.translation(W, 0), "does not meet the scene"),
        (UTM, GRID @ Affine.translation(0, -H), "does not meet the scene"),
        (UTM, GRID @ Affine.rotation(10), "turned"),
    ],
)
def test_masks_that_cannot_be_laid(
    masked: Masked, crs: CRS | None, transform: Affine, words: str
) -> None:
    """All of it is said when the scene is opened, not hours later."""
    with pytest.raises(InputError) as caught:
        masked(np.zeros((H, W), np.uint8), transform, "0", crs=crs)
    assert words in str(caught.value)
    assert "classes.tif" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_growing_needs_metres(tif: Tif) -> None:
    plain = tif("plain.tif", np.full((1, 5, 6), 9, np.uint8), crs=None)
    classes = tif("classes.tif", np.zeros((1, 5, 6), np.uint8), crs=None)
    scene = open_scene(plain, bands="red", masks=[f"{classes}:0"])
    assert not scene.read().valid.any()
    with pytest.raises(InputError, match="--mask-grow-m"):
        open_scene(plain, bands="red", masks=[f"{classes}:0"], mask_grow_m=2)


def test_a_mask_in_a_band_of_several(field: str, tmp_path: Path) -> None:
    with rasterio.open(field) as dataset:
        size = dataset.height, dataset.width
        place = {"crs": dataset.crs, "transform": dataset.transform}
    classes = np.zeros((2, *size), np.uint8)
    classes[0, :2], classes[1, :, :3] = 1, 1
    path = write_raster(tmp_path / "clouds.tif", classes, **place)
    for band, hidden in ((1, np.s_[:2]), (2, np.s_[:, :3])):
        valid = open_scene(field, bands="red", masks=[f"{path}:{band}:1"]).read().valid
        plain = open_scene(field, bands="red").read().valid
        plain[hidden] = False
        np.testing.assert_array_equal(valid, plain)
    with pytest.raises(InputError, match=r"has 2 bands; say which one .*clouds\.tif:1:1 for"):
        open_scene(field, bands="red", masks=[f"{path}:1"])
    for band in (0, 3):
        with pytest.raises(InputError, match=rf"no band {band}; the file has 2"):
            open_scene(field, bands="red", masks=[f"{path}:{band}:1"])


def test_a_missing_mask(field: str) -> None:
    with pytest.raises(InputError, match=r"SCL\.tif: there is no such file"):
        open_scene(field, bands="red", masks=["SCL.tif:0,1"])


def test_how_a_mask_is_typed() -> None:
    assert parse_class_mask("C:\\SCL.tif:0, 1,11", 2.5) == ClassMask(
        "C:\\SCL.tif", frozenset({0, 1, 11}), 2.5
    )
    assert parse_class_mask("s3://b/c.tif:2:1,2") == ClassMask(
        "s3://b/c.tif", frozenset({1, 2}), band=2
    )
    for text in ("SCL.tif", "SCL.tif:", ":1", "SCL.tif:a", "SCL.tif:1;2", "SCL.tif:1.5"):
        with pytest.raises(OptionError, match="such as SCL"):
            parse_class_mask(text)
    for metres in (-1, math.nan, math.inf):
        with pytest.raises(OptionError, match="--mask-grow-m"):
            parse_class_mask("SCL.tif:1", metres)


# Cutlines.


@pytest.fixture
def vector(tmp_path: Path) -> Callable[..., Path]:
    """A GeoPackage of shapes."""

    def write(
        shapes: Sequence[shapely.Geometry], crs: object = "EPSG:32633", name: str = "area.gpkg"
    ) -> Path:
        path = tmp_path / name
        geopandas.GeoDataFrame(geometry=list(shapes), crs=crs).to_file(path)
        return path

    return write


Vector = Callable[..., Path]


def centres_inside(scene: Scene, polygon: shapely.Geometry) -> NDArray[np.bool_]:
    """Which pixels of a scene have their centre in a polygon, asked of shapely."""
    box = scene.geobox
    cols, rows = np.meshgrid(np.arange(box.width) + 0.5, np.arange(box.height) + 0.5)
    xs, ys = box.transform @ (cols, rows)
    inside: NDArray[np.bool_] = shapely.contains_xy(polygon, xs, ys)
    return inside


def on_ground(points: Sequence[tuple[float, float]], grid: Affine = GRID) -> shapely.Polygon:
    """A polygon given in pixels."""
    return shapely.Polygon([grid @ point for point in points])


HOLED = shapely.Polygon(
    on_ground([(4.3, 3.2), (38.1, 5.4), (33.7, 26.2), (7.9, 24.1)]).exterior,
    [on_ground([(14.2, 9.3), (24.4, 10.1), (20.7, 18.6)]).exterior],
)


def test_a_cutline_with_a_hole(field: str, vector: Vector) -> None:
    scene = narrow(open_scene(field, bands="red"), cutline=vector([HOLED]))
    # What lies around the polygon is cut off on whole pixels.
    assert scene.geobox == GeoBox(UTM, GRID @ Affine.translation(4, 3), 35, 24)
    np.testing.assert_array_equal(scene.read().valid, centres_inside(scene, HOLED))
    assert 0.3 < scene.read().valid.mean() < 0.9
    part = Window(9, 4, 13, 12)
    np.testing.assert_array_equal(scene.read(part).valid, centres_inside(scene, HOLED)[part.slices])


GRIDS = {
    "rotated": Affine.translation(4e5, 5.6e6) @ Affine.rotation(33) @ Affine.scale(0.5, -0.5),
    "south up": Affine(0.5, 0, 4e5, 0, 0.5, 5.6e6),
    "sheared": Affine(0.5, 0.2, 4e5, 0.1, -0.4, 5.6e6),
}


@pytest.mark.parametrize("kind", GRIDS)
@given(points=st.lists(st.tuples(st.floats(-5, 50), st.floats(-5, 35)), min_size=3, max_size=6))
def test_inside_on_any_grid(kind: str, points: list[tuple[float, float]]) -> None:
    grid = GRIDS[kind]
    polygon = shapely.make_valid(on_ground(points, grid))
    parts = [p for p in shapely.get_parts(polygon) if p.geom_type == "Polygon"]
    box = GeoBox(UTM, grid, W, H)
    got = AreaMask(tuple(shapely.to_wkb(p) for p in parts)).inside(box)
    cols, rows = np.meshgrid(np.arange(W) + 0.5, np.arange(H) + 0.5)
    xs, ys = grid @ (cols, rows)
    area = shapely.union_all(parts)
    # A centre that lies on the outline may fall on either side.
    clear = shapely.distance(shapely.boundary(area), shapely.points(xs, ys)) > 1e-3
    expected = shapely.contains_xy(area, xs, ys)
    np.testing.assert_array_equal(got[clear], expected[clear])


def test_a_cutline_in_another_system(field: str, vector: Vector) -> None:
    frame = geopandas.GeoSeries([HOLED], crs="EPSG:32633").to_crs("EPSG:4326")
    scene = narrow(open_scene(field, bands="red"), cutline=vector(frame, "EPSG:4326"))
    shrunk, grown = HOLED.buffer(-1e-3), HOLED.buffer(1e-3)
    valid = scene.read().valid
    assert (valid[centres_inside(scene, shrunk)]).all()
    assert not valid[~centres_inside(scene, grown)].any()


def test_several_polygons_and_other_shapes(field: str, vector: Vector) -> None:
    one = on_ground([(2, 2), (9, 2), (9, 8), (2, 8)])
    two = on_ground([(20, 15), (30, 15), (30, 25), (20, 25)])
    shapes = [one, shapely.MultiPolygon([two]), shapely.Point(GRID @ (40, 28))]
    scene = narrow(open_scene(field, bands="red"), cutline=vector(shapes))
    assert scene.read().valid.sum() == 7 * 6 + 10 * 10
    assert scene.geobox.shape == (23, 28)


def test_a_bow_tie_is_mended(field: str, vector: Vector) -> None:
    tie = on_ground([(2, 2), (22, 12), (22, 2), (2, 12)])
    assert not tie.is_valid
    scene = narrow(open_scene(field, bands="red"), cutline=vector([tie]))
    np.testing.assert_array_equal(
        scene.read().valid, centres_inside(scene, shapely.make_valid(tie))
    )
    assert scene.read().valid.sum() > 80


def test_polygons_with_heights(field: str, vector: Vector) -> None:
    high = shapely.force_3d(HOLED, 230.0)
    scene = narrow(open_scene(field, bands="red"), cutline=vector([high]))
    np.testing.assert_array_equal(scene.read().valid, centres_inside(scene, HOLED))


def test_a_window_beside_all_polygons_is_hidden(field: str, vector: Vector) -> None:
    far = [on_ground([(0, 0), (3, 0), (3, 3)]), on_ground([(40, 28), (44, 28), (44, 30)])]
    scene = narrow(open_scene(field, bands="red"), cutline=vector(far))
    assert not scene.read(Window(10, 10, 20, 10)).valid.any()


def test_a_cutline_and_a_coarser_view(field: str, vector: Vector) -> None:
    scene = narrow(open_scene(field, bands="red"), cutline=vector([HOLED]), gsd_m=1.0)
    assert scene.geobox.shape == (12, 18)
    np.testing.assert_array_equal(scene.read().valid, centres_inside(scene, HOLED))


@pytest.mark.parametrize(
    ("shapes", "crs", "words"),
    [
        ([], "EPSG:32633", "holds no polygon"),
        ([shapely.Point(4e5, 5.6e6)], "EPSG:32633", "holds no polygon"),
        ([shapely.Polygon()], "EPSG:32633", "holds no polygon"),
        ([HOLED], None, "area.gpkg has no CRS"),
    ],
)
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_cutlines_that_are_none(
    field: str, vector: Vector, shapes: list[shapely.Geometry], crs: str | None, words: str
) -> None:
    path = vector(shapes, crs)
    with pytest.raises(InputError) as caught:
        narrow(open_scene(field, bands="red"), cutline=path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_cutline_elsewhere(field: str, vector: Vector) -> None:
    away = shapely.affinity.translate(HOLED, 500)
    with pytest.raises(OptionError, match=r"area\.gpkg does not meet the scene, .* in EPSG:32633"):
        narrow(open_scene(field, bands="red"), cutline=vector([away]))


def test_a_cutline_on_the_other_side_of_the_globe(field: str, vector: Vector) -> None:
    south = shapely.box(170, -95, 171, -91)
    with pytest.raises((InputError, OptionError)) as caught:
        narrow(open_scene(field, bands="red"), cutline=vector([south], "EPSG:4326"))
    assert "area.gpkg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_cutlines(field: str, tmp_path: Path) -> None:
    scene = open_scene(field, bands="red")
    with pytest.raises(InputError, match="there is no such file"):
        narrow(scene, cutline=tmp_path / "gone.gpkg")
    text = tmp_path / "area.geojson"
    text.write_text("{ not json\nat all")
    with pytest.raises(InputError, match="cannot be read as a vector file") as caught:
        narrow(scene, cutline=text)
    assert "\n" not in str(caught.value)
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no geometry column"):
        narrow(scene, cutline=table)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_without_any_system(tif: Tif, vector: Vector) -> None:
    nine = np.full((1, H, W), 9, np.uint8)
    plain = open_scene(tif("plain.tif", nine, crs=None, transform=GRID), bands="red")
    with pytest.raises(InputError, match="the scene has no CRS"):
        narrow(plain, cutline=vector([HOLED]))
    # A shapefile without its .prj has none either, and then the two are one.
    area = vector([HOLED], None, "plain.shp")
    part = narrow(plain, cutline=area)
    np.testing.assert_array_equal(part.read().valid, centres_inside(part, HOLED))
    assert read_area(area, None).label == str(area)


@pytest.mark.parametrize("side", [4, 10])
def test_a_pixel_with_a_part_of_a_cloud_is_hidden(tmp_path: Path, side: int) -> None:
    """A mask finer than the pixels: else the cloud's brightness would stay in their mean."""
    fine = np.full((1, 40, 40), 4, np.uint8)
    fine[0, 17, 3] = 9
    fine[0, 30:33, 20:29] = 9
    grid = Affine(1, 0, 4e5, 0, -1, 5e6)
    mask = write_raster(tmp_path / "scl.tif", fine, transform=grid)
    data = np.ones((1, 40 // side, 40 // side), np.float32)
    coarse = grid @ Affine.scale(side)
    path = write_raster(tmp_path / "red.tif", data, transform=coarse, descriptions=["red"])
    valid = open_scene(path, masks=[f"{mask}:9"]).read().valid
    cloudy = (fine[0] == 9).reshape(40 // side, side, 40 // side, side).any(axis=(1, 3))
    np.testing.assert_array_equal(valid, ~cloudy)


def test_a_mask_is_applied_where_pixels_are_averaged(tmp_path: Path) -> None:
    data = np.full((1, 40, 40), 0.25, np.float32)
    classes = np.full((1, 40, 40), 4, np.uint8)
    data[0, 8:20, 8:20], classes[0, 8:20, 8:20] = 1.0, 9
    path = write_raster(tmp_path / "red.tif", data, descriptions=["red"])
    mask = write_raster(tmp_path / "scl.tif", classes)
    pixels = open_scene(path, masks=[f"{mask}:9"]).at_gsd(0.02 * 8).read()
    assert (~pixels.valid).sum() == 4
    np.testing.assert_allclose(pixels.data[0][pixels.valid], 0.25, rtol=1e-6)


def test_growing_without_a_mask_is_a_mistake(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "red.tif", np.ones((1, 4, 4), np.float32))
    with pytest.raises(OptionError, match="no --mask to grow"):
        open_scene(path, mask_grow_m=5.0)
