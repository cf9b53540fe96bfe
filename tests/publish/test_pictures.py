"""Small pictures of large rasters."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from agriseg.errors import InputError
from agriseg.geobox import GeoBox, Window
from agriseg.publish.pictures import (
    FALSE_COLOR,
    TRUE_COLOR,
    class_codes,
    class_picture,
    frame_of,
    roles_of,
    scene_picture,
)
from agriseg.raster import open_scene
from tests.support import LEGEND, NORTH_UP, UTM, write_raster

BANDS = ("Blue", "Green", "Red", "NIR")


def codes_of(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height * width)
    codes = rng.integers(0, 3, (1, height, width)).astype(np.uint8)
    codes[0, :3, -4:] = 255
    return codes


def test_a_grid_that_fits_is_its_own_frame(tmp_path: Path) -> None:
    codes = codes_of(23, 37)
    path = write_raster(tmp_path / "c.tif", codes, nodata=255)
    found, frame = class_codes(path)
    np.testing.assert_array_equal(found, codes[0])
    assert frame.transform.almost_equals(NORTH_UP)
    picture = class_picture(path, LEGEND)
    assert [tuple(picture.rgb[codes[0] == k][0]) for k in range(3)] == [c.rgb for c in LEGEND]
    np.testing.assert_array_equal(picture.there, codes[0] != 255)
    assert (picture.rgb[~picture.there] == 255).all()
    with rasterio.open(path) as dataset:
        left, bottom, right, top = dataset.bounds
    assert picture.extent == pytest.approx((left, right, bottom, top))


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    angle=st.floats(-180, 180),
    flip=st.sampled_from([-1, 1]),
    side=st.sampled_from([(0.5, 0.5), (2.0, 0.5)]),
    most=st.sampled_from([1000, 13]),
)
def test_north_is_up_whatever_the_grid_is_turned_by(
    tmp_path: Path, angle: float, flip: int, side: tuple[float, float], most: int
) -> None:
    turned = (
        Affine.translation(500_000, 5_000_000)
        @ Affine.rotation(angle)
        @ Affine.scale(side[0], flip * side[1])
    )
    codes = np.zeros((1, 40, 60), np.uint8)
    codes[0, 10:, 15:] = 1
    codes[0, 25:, 40:] = 2
    path = write_raster(tmp_path / "c.tif", codes, transform=turned)
    found, frame = class_codes(path, frame_of(GeoBox(UTM, turned, 60, 40), max_pixels=most))
    t = frame.transform
    assert t.b == t.d == 0
    assert t.a > 0 > t.e
    assert t.a == pytest.approx(-t.e)
    assert max(found.shape) <= most
    rows, cols = np.indices(found.shape)
    xs, ys = t @ (cols.ravel() + 0.5, rows.ravel() + 0.5)
    col, row = ~turned @ (xs, ys)
    inside = (col >= 0) & (col < 60) & (row >= 0) & (row < 40)
    # Away from the edges of classes by more than what a shrunk read blurs.
    off = max(t.a / side[0], t.a / side[1], 1)
    lines = [(col, (0, 15, 40, 60)), (row, (0, 10, 25, 40))]
    clear = np.all([np.abs(at - k) > off for at, ks in lines for k in ks], axis=0)
    values = np.full(len(xs), 255)
    pixel = codes[0][row[inside].astype(int), col[inside].astype(int)]
    values[inside] = pixel
    np.testing.assert_array_equal(found.ravel()[clear], values[clear])
    assert clear.any() or most == 13


def test_proportions_are_those_of_the_ground_in_degrees() -> None:
    box = GeoBox(CRS.from_epsg(4326), Affine(1e-5, 0, 12.0, 0, -1e-5, 60.0), 900, 300)
    frame = frame_of(box, max_pixels=400)
    geod = pyproj.Geod(ellps="WGS84")
    left, bottom, right, top = box.bounds
    middle = (bottom + top) / 2
    wide = geod.inv(left, middle, right, middle)[2]
    high = geod.inv(left, bottom, left, top)[2]
    assert frame.width / frame.height == pytest.approx(wide / high, rel=0.01)
    assert max(frame.width, frame.height) <= 400
    assert frame.gsd_m is not None
    assert frame.gsd_m[0] == pytest.approx(frame.gsd_m[1], rel=1e-3)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("crs", [None, UTM])
def test_without_a_place_rows_count_downwards(tmp_path: Path, crs: CRS | None) -> None:
    codes = codes_of(11, 30)
    path = write_raster(tmp_path / "c.tif", codes, crs=crs, transform=Affine.identity())
    found, frame = class_codes(path)
    np.testing.assert_array_equal(found, codes[0])
    assert frame.transform == Affine.identity()
    small = frame_of(GeoBox(None, Affine.identity(), 5000, 2000), max_pixels=500)
    assert (small.width, small.height) == (500, 200)


def test_an_image_is_stretched_over_what_is_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = rng.uniform(0.05, 0.4, (4, 31, 45)).astype(np.float32)
    data[:, :5, :7] = np.nan
    data[2, 20, 20] = 90.0  # a glint
    path = write_raster(tmp_path / "i.tif", data, descriptions=BANDS)
    scene = open_scene(str(path))
    keys = roles_of(scene, TRUE_COLOR)
    assert keys == ("red", "green", "blue")
    picture = scene_picture(scene, keys)
    np.testing.assert_array_equal(picture.there, np.isfinite(data[0]))
    low, high = np.percentile(data[:3, picture.there], (2, 98))
    expected = ((data[2::-1] - low) / (high - low)).clip(0, 1) ** 0.8 * 255
    shown = picture.rgb[picture.there].T
    assert np.abs(shown - expected[:, picture.there]).max() <= 1
    assert (picture.rgb[~picture.there] == 255).all()


def test_each_band_of_false_colour_has_its_own_stretch(tmp_path: Path) -> None:
    data = np.random.default_rng(1).uniform(0, 0.1, (4, 30, 30)).astype(np.float32)
    data[3] *= 8
    path = write_raster(tmp_path / "i.tif", data, descriptions=BANDS)
    scene = open_scene(str(path))
    keys = roles_of(scene, FALSE_COLOR)
    assert keys == ("nir", "red", "green")
    means = scene_picture(scene, keys).rgb.mean(axis=(0, 1))
    assert means.max() < 1.2 * means.min()


def test_shrunk_pixels_are_means_of_several(tmp_path: Path) -> None:
    # A chessboard: single pixels would be black or white.
    board = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)
    data = np.stack([board, board, board, board])
    data[:, :8], data[:, 8:16] = 1.0, 0.0
    path = write_raster(tmp_path / "i.tif", data, descriptions=BANDS)
    scene = open_scene(str(path))
    picture = scene_picture(scene, ["red"], frame_of(scene.geobox, max_pixels=32))
    inner = picture.rgb[8:, :, 0]
    assert (np.abs(inner / 255 - 0.5**0.8) < 0.01).all()


def test_alpha_and_nodata_and_bands_of_other_grids(tmp_path: Path) -> None:
    fine = np.full((1, 40, 60), 1000, np.uint16)
    fine[0, :, :10] = 65535
    fine[0, :, 10:20] = 3000
    coarse = np.arange(20 * 30, dtype=np.uint16).reshape(1, 20, 30)
    one = write_raster(tmp_path / "red.tif", fine, nodata=65535)
    other = write_raster(
        tmp_path / "nir.tif", coarse, transform=NORTH_UP @ Affine.scale(2), nodata=65535
    )
    scene = open_scene({"red": str(one), "nir": str(other)}, scale=1e-4, offset=0.0)
    picture = scene_picture(scene, ("nir", "red", "red"))
    np.testing.assert_array_equal(picture.there, fine[0] != 65535)
    nir = picture.rgb[..., 0].astype(int)
    # It grows downwards, and two fine pixels share a coarse one.
    assert (np.diff(nir[:, 30]) >= 0).all()
    assert nir[-1, 30] > nir[0, 30] + 200
    np.testing.assert_array_equal(nir[::2, 20:], nir[1::2, 20:])


def test_a_part_of_a_scene_shows_that_part(tmp_path: Path) -> None:
    data = np.zeros((4, 50, 70), np.float32)
    data[:, 20:30, 40:60] = np.linspace(0.1, 0.9, 20)
    path = write_raster(tmp_path / "i.tif", data, descriptions=BANDS)
    whole = open_scene(str(path))
    part = whole.crop(Window(40, 20, 20, 10))
    picture = scene_picture(part, ["red"])
    assert picture.there.shape == (10, 20)
    assert picture.there.all()
    assert (np.diff(picture.rgb[5, 1:-1, 0].astype(int)) > 0).all()


def test_another_coordinate_system_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "c.tif", codes_of(9, 9))
    frame = GeoBox(CRS.from_epsg(32632), NORTH_UP, 9, 9)
    with pytest.raises(InputError, match="another coordinate system"):
        class_codes(path, frame)


def test_a_picture_of_nothing_is_white(tmp_path: Path) -> None:
    data = np.full((4, 9, 13), np.nan, np.float32)
    path = write_raster(tmp_path / "i.tif", data, descriptions=BANDS)
    picture = scene_picture(open_scene(str(path)), ["red"])
    assert not picture.there.any()
    assert (picture.rgb == 255).all()
    assert math.isclose(picture.gsd_m or 0, 0.02, rel_tol=1e-6)
