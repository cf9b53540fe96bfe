"""Real scenes: one drone frame, two plots, one stack of two satellite dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from agriseg.errors import BandError
from agriseg.raster import describe_scene, narrow, open_scene

SCENES = Path(__file__).resolve().parents[3] / "shared" / "data" / "scenes"

pytestmark = pytest.mark.skipif(not SCENES.is_dir(), reason=f"{SCENES} is not there")


def test_the_vineyard_opens_by_its_names() -> None:
    scene = open_scene(SCENES / "rededge_vineyard.tif")
    assert [band.key for band in scene.bands] == ["blue", "green", "red", "rededge", "nir"]
    report = describe_scene(scene)
    assert report.warnings == ()
    assert report.level == "reflectance"
    assert report.orientation == "rotated by 21.1 degrees"
    assert report.gsd_m == pytest.approx((0.05, 0.05), rel=0.02)
    pixels = scene.read()
    with rasterio.open(SCENES / "rededge_vineyard.tif") as dataset:
        raw = dataset.read()
    np.testing.assert_array_equal(pixels.valid, (raw != -10000).all(axis=0))
    np.testing.assert_array_equal(pixels.data[:, pixels.valid], raw[:, pixels.valid])
    # Plants are brighter in near infrared than in red; a wrong order would not show it.
    red, nir = pixels.data[2][pixels.valid], pixels.data[4][pixels.valid]
    assert np.mean(nir > red) > 0.95


def test_the_vineyard_at_other_sizes() -> None:
    scene = open_scene(SCENES / "rededge_vineyard.tif")
    fine = scene.read(keys=["nir"])
    coarse = narrow(scene, gsd_m=0.2).read(keys=["nir"])
    assert coarse.valid.mean() == pytest.approx(fine.valid.mean(), abs=0.01)
    mean = float(fine.data[0][fine.valid].mean())
    assert float(coarse.data[0][coarse.valid].mean()) == pytest.approx(mean, rel=0.01)


def test_the_plot_of_five_bands_asks_for_their_names() -> None:
    path = SCENES / "plot_5band.tif"
    scene = open_scene(path)
    assert [band.role for band in scene.bands] == [None] * 5
    report = describe_scene(scene)
    assert any("calls the first bands red, green, blue" in said for said in report.warnings)
    assert any("--bands blue,green,red,rededge,nir" in said for said in report.warnings)
    with pytest.raises(BandError, match="none of its bands has a role"):
        scene.read(keys=["nir"])
    named = open_scene(path, bands="blue,green,red,rededge,nir")
    assert named.read(keys=["nir"]).valid.mean() == pytest.approx(0.41, abs=0.01)
    # The interpretation written into the file is wrong, and that is said.
    assert any("contradicts the bands" in said for said in describe_scene(named).warnings)


def test_the_picture_with_alpha_that_is_not_called_so() -> None:
    path = SCENES / "plot_rgb.tif"
    (said,) = describe_scene(open_scene(path)).warnings
    assert said.startswith("band 4 holds only 0 and 255")
    scene = open_scene(path, bands=said.rsplit("--bands ", 1)[1])
    report = describe_scene(scene)
    assert report.warnings == ()
    with rasterio.open(path) as dataset:
        alpha = dataset.read(4)
    assert report.valid_percent == pytest.approx(100 * (alpha > 0).mean())
    np.testing.assert_array_equal(scene.read().valid, alpha > 0)


def test_two_dates_of_sentinel_2() -> None:
    path = SCENES / "sentinel2_8band.tif"
    report = describe_scene(open_scene(path))
    assert any("--scale 0.0001" in said for said in report.warnings)
    (said,) = [text for text in report.warnings if "nothing in the file says" in text]
    bands = said.split("--bands ", 1)[1].split("such as --bands ")[-1].split(", or")[0]
    scene = open_scene(path, bands=bands, scale=1e-4)
    assert [band.key for band in scene.bands] == [
        f"{role}@{date}" for date in (1, 2) for role in ("red", "green", "blue", "nir")
    ]
    assert describe_scene(scene).warnings == ()
    both = scene.read(keys=["nir@1", "nir@2"])
    with rasterio.open(path) as dataset:
        np.testing.assert_allclose(both.data, dataset.read([4, 8]) / 1e4, rtol=1e-6)
    # Without a date it is not known which is meant.
    assert not scene.has("nir")
