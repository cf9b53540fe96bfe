"""The image behind a map, through a virtual raster."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import agriseg
from agriseg.publish.image import IMAGE_FILE, image_of
from agriseg.runs import read_run
from tests.publish.runs import HEIGHT, WIDTH, make_run
from tests.support import NORTH_UP, Identity, write_raster


def stretches(style: object) -> list[tuple[str, str]]:
    (pipe,) = style.elements  # type: ignore[attr-defined]
    lows, highs = pipe.iter("minValue"), pipe.iter("maxValue")
    return [(str(low.text), str(high.text)) for low, high in zip(lows, highs, strict=True)]


def bands_of(style: object) -> list[str]:
    (pipe,) = style.elements  # type: ignore[attr-defined]
    renderer = pipe[0]
    names = ("redBand", "greenBand", "blueBand", "grayBand")
    return [renderer.get(name) for name in names if renderer.get(name)]


def test_it_shows_the_pixels_of_the_image(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    image = image_of(run)
    assert image is not None
    with (
        rasterio.open(run.path / IMAGE_FILE) as view,
        rasterio.open(tmp_path / "flights" / "field.tif") as source,
    ):
        assert view.transform == source.transform
        assert view.crs == source.crs
        assert view.descriptions == ("blue", "green", "red", "nir")
        seen, pixels = view.read(masked=True), source.read()
    np.testing.assert_array_equal(seen.filled(np.nan), pixels)
    names = [view.name for view in image.views]
    assert names == ["False colour (plants red)", "True colour"]
    assert [bands_of(view.style) for view in image.views] == [["4", "3", "2"], ["3", "2", "1"]]


def test_the_stretch_is_in_percentiles_of_reflectance(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 10_000, (4, HEIGHT, WIDTH)).astype(np.uint16)
    pixels[:, :5] = 65535
    path = write_raster(
        tmp_path / "raw.tif",
        pixels,
        nodata=65535,
        descriptions=("Blue", "Green", "Red", "NIR"),
    )
    run = agriseg.segment(str(path), tmp_path / "out", model=Identity(), scale=1e-4, offset=-0.1)
    image = image_of(run)
    assert image is not None
    usable = pixels[:, 5:].reshape(4, -1) * 1e-4 - 0.1
    low, high = np.percentile(usable, (2, 98), axis=1)
    false, true = (stretches(view.style) for view in image.views)
    found = np.array(false, float)
    np.testing.assert_allclose(found[:, 0], low[[3, 2, 1]], atol=2e-4)
    np.testing.assert_allclose(found[:, 1], high[[3, 2, 1]], atol=2e-4)
    # The visible bands keep their proportions.
    assert len(set(true)) == 1
    with rasterio.open(run.path / IMAGE_FILE) as view:
        assert view.scales == (1e-4,) * 4
        assert view.offsets == (-0.1,) * 4
        assert view.nodata == 65535


def test_bands_of_several_files_and_pixel_sizes_come_together(tmp_path: Path) -> None:
    fine = np.arange(12 * 10, dtype=np.float32).reshape(1, 12, 10) / 120
    coarse = np.arange(6 * 5, dtype=np.float32).reshape(1, 6, 5) / 30
    twice = NORTH_UP @ Affine.scale(2)
    given = {
        "red": write_raster(tmp_path / "R.tif", fine),
        "green": write_raster(tmp_path / "G.tif", fine),
        "nir": write_raster(tmp_path / "N.tif", coarse, transform=twice),
    }
    run = agriseg.segment(
        {role: str(path) for role, path in given.items()},
        tmp_path / "out",
        model=Identity(),
        name="three",
    )
    assert image_of(run) is not None
    with rasterio.open(run.path / IMAGE_FILE) as view:
        bands = dict(zip(view.descriptions, view.read(), strict=True))
    np.testing.assert_array_equal(bands["red"], fine[0])
    np.testing.assert_array_equal(bands["nir"], coarse[0].repeat(2, 0).repeat(2, 1))


def test_an_alpha_band_makes_clear(tmp_path: Path) -> None:
    pixels = np.full((4, HEIGHT, WIDTH), 100, np.uint8)
    pixels[:3] += np.arange(WIDTH, dtype=np.uint8)
    pixels[3] = 255
    pixels[3, :, :20] = 0
    path = write_raster(tmp_path / "rgb.tif", pixels, photometric="RGB", alpha="YES")
    run = agriseg.segment(str(path), tmp_path / "out", model=Identity())
    image = image_of(run)
    assert image is not None
    (view,) = image.views
    (pipe,) = view.style.elements
    assert pipe[0].get("alphaBand") == "4"
    with rasterio.open(run.path / IMAGE_FILE) as dataset:
        assert dataset.colorinterp[3].name == "alpha"
        np.testing.assert_array_equal(dataset.dataset_mask() > 0, pixels[3] > 0)


def test_an_image_that_moved_along_is_found_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a" / "out")
    assert image_of(run) is not None
    (tmp_path / "a").rename(tmp_path / "b")
    moved = read_run(tmp_path / "b" / "out" / "field")
    assert image_of(moved) is not None
    with rasterio.open(moved.path / IMAGE_FILE) as view:
        assert view.read(1).any()


def test_an_image_that_is_gone_or_another_one_now_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    path = tmp_path / "flights" / "field.tif"
    other = path.read_bytes().replace(b"NIR", b"RIN")
    shutil.move(path, tmp_path / "kept.tif")
    assert image_of(run) is None
    path.write_bytes(other)
    assert image_of(run) is None
    shutil.copy(tmp_path / "kept.tif", path)  # of another time, but the same
    assert image_of(run) is not None


@pytest.mark.parametrize("angle", [25.0, -90.0])
def test_a_turned_image_keeps_its_turn(tmp_path: Path, angle: float) -> None:
    turned = NORTH_UP @ Affine.rotation(angle)
    run = make_run(tmp_path / "out", transform=turned)
    assert image_of(run) is not None
    with rasterio.open(run.path / IMAGE_FILE) as view:
        assert view.transform.almost_equals(turned, 1e-9)
