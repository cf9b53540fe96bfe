"""Field statistics against plain numpy: what lies in each polygon, pixel by pixel."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agriseg.errors import InputError
from agriseg.fields.numbers import coverage, statistics
from agriseg.fields.numbers.planes import Layers, light_keys
from agriseg.fields.numbers.statistics import FieldCounts, count_fields
from agriseg.geobox import GeoBox
from agriseg.indices import find_index
from agriseg.raster import open_scene
from agriseg.vector import open_classes
from tests.support import UTM, write_raster

HEIGHT, WIDTH = 37, 53
ROLES = ("green", "red", "nir")
NAMES = {0: "soil", 1: "crop", 2: "weed"}
LONG = Affine.scale(0.5, -0.2)
GRIDS = {
    "north up": Affine(0.5, 0, 360000, 0, -0.5, 5350000),
    "south up": Affine(0.5, 0, 360000, 0, 0.5, 5350000),
    "turned": Affine.translation(360000, 5350000) @ Affine.rotation(31) @ Affine.scale(0.5, -0.5),
    "turned oblong": Affine.translation(360000, 5350000) @ Affine.rotation(70) @ LONG,
    "oblong": Affine(0.5, 0, 360000, 0, -0.2, 5350000),
}


@pytest.fixture(params=GRIDS)
def grid(request: pytest.FixtureRequest) -> GeoBox:
    return GeoBox(UTM, GRIDS[request.param], WIDTH, HEIGHT)


def write_run(folder: Path, box: GeoBox, seed: int = 1) -> Layers:
    """A class map with confidence, and the scene, all random, with holes in each."""
    random = np.random.default_rng(seed)
    place = {"crs": box.crs, "transform": box.transform}
    classes = random.integers(0, 3, (1, *box.shape)).astype(np.uint8)
    classes[0, 4:9, 6:14] = 255
    write_raster(folder / "classes.tif", classes, nodata=255, **place)
    steps = random.integers(0, 201, (1, *box.shape)).astype(np.uint8)
    steps[classes == 255] = 255
    write_raster(folder / "confidence.tif", steps, nodata=255, **place)
    with rasterio.open(folder / "confidence.tif", "r+") as dataset:
        dataset.scales = (1 / 200,)
    light = random.uniform(0.02, 0.5, (3, *box.shape)).astype(np.float32)
    light[:, 20:23, 30:40] = -1
    light[1:, 25, 25:45] = 0  # NDVI is 0 / 0 there
    path = write_raster(folder / "scene.tif", light, descriptions=ROLES, nodata=-1, **place)
    scene = open_scene(path)
    map_ = open_classes(folder / "classes.tif", names=NAMES, needs_crs=False)
    return Layers(map_, scene, (find_index("NDVI", scene),))


def at(box: GeoBox, *corners: tuple[float, float]) -> shapely.Polygon:
    """A polygon from columns and rows."""
    return shapely.Polygon([box.transform @ corner for corner in corners])


def some_fields(box: GeoBox) -> NDArray[np.object_]:
    ring = shapely.Point(30, 20).buffer(14.3).difference(shapely.Point(31, 18).buffer(5.2))
    two = shapely.union_all([shapely.box(1.3, 30.2, 7.7, 35.9), shapely.box(9, 9, 9.4, 9.4)])
    pixels = [
        shapely.Polygon([(2.3, 1.2), (40.6, 5.9), (33.1, 30.4), (5.5, 25.7)]),
        ring,
        two,
        shapely.box(45.5, -6, 70, 10.25),  # reaches over the edge
    ]
    t = box.transform
    return shapely.transform(
        np.array(pixels, object),
        lambda xy: np.array([t @ (x, y) for x, y in xy]),
    )


def shares(shape: shapely.Polygon, box: GeoBox) -> NDArray[np.float64]:
    """(h, w) share of each pixel that lies in a polygon, by cutting it out."""
    rows, cols = np.indices(box.shape)
    x0, y0 = cols.ravel(), rows.ravel()
    corners = np.stack([[x0, y0], [x0 + 1, y0], [x0 + 1, y0 + 1], [x0, y0 + 1]], axis=0)
    xy = np.array(box.transform @ (corners[:, 0], corners[:, 1])).transpose(2, 1, 0)
    pixels = shapely.polygons(xy)
    return (shapely.area(shapely.intersection(pixels, shape)) / shapely.area(pixels)).reshape(
        box.shape
    )


def pixels_of(layers: Layers) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Classes, confidence and NDVI as rasterio reads them; NaN where there is none."""
    with rasterio.open(layers.classes.path) as dataset:
        classes = dataset.read(1)
    with rasterio.open(Path(layers.classes.path).with_name("confidence.tif")) as dataset:
        steps = dataset.read(1)
        sure = np.where(steps == 255, math.nan, steps / 200)
    assert layers.scene is not None
    with rasterio.open(layers.scene.bands[0].path) as dataset:
        _, red, nir = dataset.read().astype(np.float64)
    with np.errstate(invalid="ignore"):
        ndvi = (nir - red) / (nir + red)
    return classes, sure, np.where(red < 0, math.nan, ndvi)


@pytest.mark.parametrize("pixels", ["crop", "plants", "all"])
def test_it_is_what_numpy_counts(tmp_path: Path, grid: GeoBox, pixels: str) -> None:
    layers = write_run(tmp_path, grid)
    fields = some_fields(grid)
    found = count_fields(fields, layers, pixels=pixels)  # type: ignore[arg-type]
    classes, sure, ndvi = pixels_of(layers)
    chosen = {"crop": [1], "plants": [1, 2], "all": [0, 1, 2]}[pixels]
    for k, shape in enumerate(fields):
        share = shares(shape, grid)
        pixel = abs(grid.transform.determinant)
        assert found.area[k] == pytest.approx(shape.area / pixel, rel=1e-6)
        for value in (0, 1, 2, 255):
            assert found.cover[k, value] == pytest.approx(share[classes == value].sum(), abs=1e-3)
        known = classes != 255
        assert found.confidence[k] == pytest.approx(
            np.average(sure[known], weights=share[known]), abs=1e-5
        )
        crop = np.isin(classes, chosen)
        assert found.chosen[k] == pytest.approx(share[crop].sum(), abs=1e-3)
        usable = crop & np.isfinite(ndvi) & (share > 0)
        got = found.indices[0][k]
        assert got.weight == pytest.approx(share[usable].sum(), abs=1e-3)
        mean = np.average(ndvi[usable], weights=share[usable])
        assert got.mean == pytest.approx(mean, abs=1e-5)
        spread = math.sqrt(np.average((ndvi[usable] - mean) ** 2, weights=share[usable]))
        assert got.std == pytest.approx(spread, abs=1e-5)
        for name, q in (("p10", 0.1), ("median", 0.5), ("p90", 0.9)):
            low, high = np.quantile(
                ndvi[usable],
                [max(q - 1e-3, 0), q + 1e-3],
                weights=share[usable],
                method="inverted_cdf",
            )
            assert low - 1e-6 <= getattr(got, name) <= high + 1e-6


def same(one: FieldCounts, other: FieldCounts) -> bool:
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("area", "cover", "confidence", "shadow_percent", "chosen")
    )
    return arrays and repr(one.indices) == repr(other.indices)


@pytest.mark.parametrize("rows", [1, 5, 16])
def test_where_the_raster_is_cut_does_not_matter(
    tmp_path: Path, grid: GeoBox, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers, fields = write_run(tmp_path, grid), some_fields(grid)
    whole = count_fields(fields, layers)
    monkeypatch.setattr(coverage, "_ROWS", rows)
    monkeypatch.setattr(coverage, "_FEWEST_ROWS", rows)
    assert same(count_fields(fields, layers), whole)
    turned = count_fields(fields[::-1], layers)
    assert np.array_equal(turned.cover[::-1], whole.cover)


def test_little_memory_costs_a_few_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = GeoBox(UTM, GRIDS["turned"], WIDTH, HEIGHT)
    layers, fields = write_run(tmp_path, box), some_fields(box)
    whole = count_fields(fields, layers)
    monkeypatch.setattr(coverage, "_ROWS", 4)
    monkeypatch.setattr(coverage, "_FEWEST_ROWS", 4)
    monkeypatch.setattr(statistics, "_MOST_KEPT", 50)
    short = count_fields(fields, layers)
    assert repr(short.indices) != repr(whole.indices)
    for one, other in zip(short.indices[0], whole.indices[0], strict=True):
        assert one.weight == other.weight
        assert one.median == pytest.approx(other.median, rel=1e-5)
        assert one.std == pytest.approx(other.std, rel=1e-4)


def test_a_field_without_anything_leaves_the_others_alone(tmp_path: Path, grid: GeoBox) -> None:
    layers = write_run(tmp_path, grid)
    bowtie = at(grid, (2, 12), (12, 22), (12, 12), (2, 22))
    fields = np.array(
        [
            at(grid, (7, 5), (13, 5), (13, 8), (7, 8)),  # nodata only
            shapely.Polygon(),
            None,
            shapely.Point(grid.transform @ (20, 20)),
            at(grid, (-9, -9), (-3, -9), (-3, -3)),  # off the map
            bowtie,
            at(grid, (20, 20), (24, 20), (24, 24), (20, 24)),
        ],
        object,
    )
    found = count_fields(fields, layers)
    assert found.inside.tolist() == pytest.approx([18, 0, 0, 0, 0, 50, 16], abs=1e-3)
    assert found.valid.tolist() == pytest.approx([0, 0, 0, 0, 0, 50, 16], abs=1e-3)
    medians = [one.median for one in found.indices[0]]
    assert [math.isnan(value) for value in medians] == [True] * 5 + [False] * 2
    assert np.isnan(found.confidence[:5]).all()
    assert np.isnan(found.shadow_percent[:5]).all()
    alone = count_fields(fields[-1:], layers)
    assert repr(alone.indices[0][0]) == repr(found.indices[0][-1])


def test_many_fields_on_one_place_are_counted_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = GeoBox(UTM, GRIDS["north up"], WIDTH, HEIGHT)
    layers = write_run(tmp_path, box)
    fields = np.array([at(box, (k, 0), (50, 0), (50, 30), (0, 30)) for k in range(9)])
    whole = count_fields(fields, layers)
    monkeypatch.setattr(coverage, "_PIXELS", 3000)
    monkeypatch.setattr(coverage, "_FEWEST_ROWS", coverage._ROWS)
    assert same(count_fields(fields, layers), whole)


def test_without_fields_and_without_a_scene(tmp_path: Path) -> None:
    box = GeoBox(UTM, GRIDS["north up"], WIDTH, HEIGHT)
    layers = write_run(tmp_path, box)
    assert len(count_fields(np.empty(0, object), layers).area) == 0
    bare = count_fields(some_fields(box), Layers(layers.classes))
    assert bare.indices == ()
    assert np.isnan(bare.shadow_percent).all()
    assert np.array_equal(bare.cover, count_fields(some_fields(box), layers).cover)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_polygons_that_tile_the_map_count_each_pixel_once(seed: int) -> None:
    random = np.random.default_rng(seed)
    box = GeoBox(UTM, GRIDS["turned"], 23, 17)
    points = shapely.multipoints(random.uniform((-5, -5), (28, 22), (9, 2)))
    around = shapely.box(-4, -4, 30, 24)
    cells = shapely.get_parts(shapely.voronoi_polygons(points, extend_to=around))
    shapes = shapely.transform(
        shapely.intersection(cells, around),
        lambda xy: np.array([box.transform @ (x, y) for x, y in xy]),
    )
    pixels = coverage.in_pixels(shapes, box)
    total = np.zeros(box.shape)
    for window, which in coverage.bands_of_rows(box, pixels):
        for one in coverage.covered(window, pixels, which):
            part = np.zeros(window.shape)
            part.ravel()[one.cells] = one.weights
            total[window.slices] += part
    assert np.allclose(total, 1, atol=1e-5)


def test_shade_is_told_from_dark_things(tmp_path: Path) -> None:
    """A quarter of plants and half of the ground in a fifth of the light."""
    box = GeoBox(UTM, GRIDS["north up"], 40, 40)
    random = np.random.default_rng(5)
    classes = np.zeros((1, 40, 40), np.uint8)
    classes[0, :, 20:] = 1
    light = np.where(classes == 1, 0.3, 0.12) * random.uniform(0.8, 1.2, (3, 40, 40))
    light[:, :10, 20:] *= 0.2
    light[:, 20:, :20] *= 0.2
    place = {"crs": UTM, "transform": box.transform}
    write_raster(tmp_path / "classes.tif", classes, nodata=255, **place)
    path = write_raster(tmp_path / "s.tif", light.astype(np.float32), descriptions=ROLES, **place)
    scene = open_scene(path)
    layers = Layers(open_classes(tmp_path / "classes.tif", names=NAMES), scene)
    halves = np.array(
        [at(box, (0, 0), (20, 0), (20, 40), (0, 40)), at(box, (20, 0), (40, 0), (40, 40), (20, 40))]
    )
    assert count_fields(halves, layers).shadow_percent.tolist() == [50, 25]
    assert light_keys(scene) == ROLES


def test_maps_that_make_no_sense(tmp_path: Path) -> None:
    wide = write_raster(tmp_path / "wide.tif", np.ones((1, 3, 4), np.int32))
    with pytest.raises(InputError, match=r"wide\.tif holds int32"):
        Layers(open_classes(wide))


def test_two_dates_have_the_light_of_one(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "two.tif", np.ones((4, 5, 6), np.float32))
    scene = open_scene(path, bands="red@a,nir@a,red@b,nir@b")
    assert light_keys(scene) == ("red@a", "nir@a")
    pan = open_scene(write_raster(tmp_path / "p.tif", np.ones((1, 5, 6), np.float32)), bands="pan")
    assert light_keys(pan) == ("pan",)
