"""Parts of a scene, and coarser and finer views: grids and pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from agriseg.bands import Band, Radiometry
from agriseg.errors import OptionError
from agriseg.geobox import GeoBox, Window
from agriseg.raster import Scene, narrow, open_scene

Tif = Callable[..., str]

UTM = CRS.from_epsg(32633)
GRID = Affine(0.5, 0, 400_000, 0, -0.5, 5_600_000)
ROTATED = Affine.translation(4e5, 5.6e6) @ Affine.rotation(33) @ Affine.scale(0.5, -0.5)
H, W = 24, 36


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(5).random((1, H, W), np.float32)


@pytest.fixture
def scene(tif: Tif, pixels: np.ndarray) -> Scene:
    return open_scene(tif("a.tif", pixels, transform=GRID), bands="red")


def test_bounds_on_pixel_edges(scene: Scene, pixels: np.ndarray) -> None:
    part = narrow(scene, bounds=(400_002, 5_599_990, 400_010, 5_599_998))
    assert part.geobox == GeoBox(UTM, GRID @ Affine.translation(4, 4), 16, 16)
    np.testing.assert_array_equal(part.read().data, pixels[:, 4:20, 4:20])


def test_bounds_take_every_pixel_that_they_touch(scene: Scene) -> None:
    part = narrow(scene, bounds=(400_002.1, 5_599_990.1, 400_010.1, 5_599_997.9))
    assert part.geobox == GeoBox(UTM, GRID @ Affine.translation(4, 4), 17, 16)


def test_bounds_beyond_the_scene_are_clipped(scene: Scene, pixels: np.ndarray) -> None:
    part = narrow(scene, bounds=(0, 0, 1e6, 1e7))
    assert part.geobox == scene.geobox
    np.testing.assert_array_equal(part.read().data, pixels)


def test_a_point_like_box_is_one_pixel(scene: Scene, pixels: np.ndarray) -> None:
    part = narrow(scene, bounds=(400_003.2, 5_599_996.7, 400_003.201, 5_599_996.701))
    np.testing.assert_array_equal(part.read().data, pixels[:, 6:7, 6:7])


@pytest.mark.parametrize("transform", [ROTATED, Affine(0.5, 0, 4e5, 0, 0.5, 5.6e6)])
@given(data=st.data())
def test_bounds_on_turned_grids_cover_the_box(transform: Affine, data: st.DataObject) -> None:
    band = Band("never-opened.tif", 1, "red")
    box = GeoBox(UTM, transform, W, H)
    whole = Scene("turned", (band,), box, Radiometry("DN", "a test"))
    left, bottom, right, top = box.bounds
    xs = sorted(data.draw(st.tuples(st.floats(left, right), st.floats(left, right))))
    ys = sorted(data.draw(st.tuples(st.floats(bottom, top), st.floats(bottom, top))))
    if xs[1] - xs[0] < 0.01 or ys[1] - ys[0] < 0.01:
        return
    try:
        part = narrow(whole, bounds=(xs[0], ys[0], xs[1], ys[1])).geobox
    except OptionError:
        part = None
    # Every pixel of the whole whose centre lies in the box is a pixel of the part.
    for row in range(0, H, 5):
        for col in range(0, W, 5):
            x, y = transform @ (col + 0.5, row + 0.5)
            if xs[0] < x < xs[1] and ys[0] < y < ys[1]:
                assert part is not None
                c, r = ~part.transform @ (x, y)
                assert 0 < c < part.width
                assert 0 < r < part.height


@pytest.mark.parametrize(
    "bounds",
    [
        (400_018.0, 5_599_990, 400_020, 5_599_998),  # touches the right edge from outside
        (399_990, 5_599_990, 400_000, 5_599_998),
        (400_002, 5_600_000, 400_010, 5_600_010),
        (11, 50, 12, 51),  # degrees
    ],
)
def test_bounds_elsewhere(scene: Scene, bounds: tuple[float, ...]) -> None:
    with pytest.raises(OptionError) as caught:
        narrow(scene, bounds=bounds)
    assert "400000, 5599988, 400018, 5600000 in EPSG:32633" in str(caught.value)


@pytest.mark.parametrize(
    "bounds",
    [
        (2, 1, 1, 2),
        (1, 2, 2, 2),
        (1, 1, 2),
        (1, 1, 2, 2, 3),
        (float("nan"), 1, 2, 2),
        (float("-inf"), 1, 2, 2),
        (0, 0, float("inf"), 1),
    ],
)
def test_bounds_that_are_none(scene: Scene, bounds: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="expected left,bottom,right,top"):
        narrow(scene, bounds=bounds)


def test_coarser_by_a_whole_factor_is_the_mean(scene: Scene, pixels: np.ndarray) -> None:
    coarse = narrow(scene, gsd_m=1.5)
    assert coarse.geobox == GeoBox(UTM, GRID @ Affine.scale(3), 12, 8)
    means = pixels.reshape(1, 8, 3, 12, 3).mean((2, 4))
    np.testing.assert_allclose(coarse.read().data, means, rtol=1e-5)


def test_coarser_by_any_factor_keeps_the_outline(scene: Scene, pixels: np.ndarray) -> None:
    coarse = narrow(scene, gsd_m=0.7)
    assert coarse.geobox.transform == GRID @ Affine.scale(1.4)
    assert coarse.geobox.shape == (18, 26)
    read = coarse.read()
    # The last column and row reach over the edge by less than a pixel; those with at least half of
    # their weight on the raster are valid.
    assert read.valid[:17, :25].all()
    assert read.data[:, 1:-1, 1:-1].mean() == pytest.approx(pixels.mean(), abs=0.02)


def test_finer_is_bilinear(tif: Tif) -> None:
    ramp = (np.arange(W, dtype=np.float32) / 50)[None, None] + np.zeros((1, H, 1), np.float32)
    fine = narrow(open_scene(tif("ramp.tif", ramp), bands="red"), gsd_m=0.25)
    assert fine.geobox.shape == (2 * H, 2 * W)
    read = fine.read()
    assert read.valid.all()
    inner = (np.arange(1, 2 * W - 1) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(read.data[0, 7, 1:-1], inner / 50, rtol=1e-4, atol=1e-6)


def test_a_crop_of_a_coarser_view_has_its_pixels(scene: Scene) -> None:
    coarse = narrow(scene, gsd_m=0.7)
    whole = coarse.read()
    part = Window(3, 5, 11, 7)
    for read in (coarse.read(part), coarse.crop(part).read()):
        np.testing.assert_array_equal(read.valid, whole.valid[part.slices])
        np.testing.assert_allclose(read.data[0], whole.data[0][part.slices], rtol=1e-5)


def test_missing_pixels_do_not_bleed(tif: Tif, pixels: np.ndarray) -> None:
    holed = pixels.copy()
    holed[:, :9, :9] = -10000
    scene = open_scene(tif("holed.tif", holed, nodata=-10000), bands="red")
    for gsd in (0.25, 0.7, 1.0, 1.5):
        read = narrow(scene, gsd_m=gsd).read()
        assert read.data[:, read.valid].min() >= 0
        assert not read.valid.all()


@pytest.mark.parametrize("gsd", [0, -1, float("nan"), float("inf")])
def test_sizes_that_are_none(scene: Scene, gsd: float) -> None:
    with pytest.raises(OptionError, match="--gsd"):
        narrow(scene, gsd_m=gsd)


def test_no_metres_without_a_crs(tif: Tif, pixels: np.ndarray) -> None:
    scene = open_scene(tif("plain.tif", pixels, crs=None), bands="red")
    with pytest.raises(OptionError, match="no CRS"):
        narrow(scene, gsd_m=1)


def test_nothing_asked_nothing_changed(scene: Scene) -> None:
    assert narrow(scene) == scene
