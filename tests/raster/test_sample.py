"""Large rasters are looked at in few places, spread over all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from agriseg.raster import describe_scene, open_scene, sample_pixels
from agriseg.raster.sample import sample_values
from agriseg.raster.source import inspect

Tif = Callable[..., str]

UTM = CRS.from_epsg(32633)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many values each read of a file asks for, filled in as they happen."""
    counts: list[int] = []
    real_open = rasterio.open

    class Counting:
        def __init__(self, dataset: Any) -> None:
            self._dataset = dataset

        def __getattr__(self, name: str) -> Any:
            return getattr(self._dataset, name)

        def read(self, *arguments: Any, **named: Any) -> Any:
            values = self._dataset.read(*arguments, **named)
            counts.append(values.size)
            return values

    def opened(path: Any, mode: str = "r", **named: Any) -> Any:
        dataset = real_open(path, mode, **named)
        return Counting(dataset) if mode == "r" else dataset

    monkeypatch.setattr(rasterio, "open", opened)
    return counts


@pytest.mark.parametrize("layout", ["tiles", "tiles with overviews", "strips"])
def test_a_large_raster_is_read_in_few_places(
    tmp_path: Path, counted: list[int], layout: str
) -> None:
    path = tmp_path / "large.tif"
    # GDAL takes 9 s to build an overview of 60,000 x 60,000 empty pixels.
    side = 8_000 if layout == "tiles with overviews" else 60_000
    how = {"tiled": True, "blockxsize": 512, "blockysize": 512} if layout != "strips" else {}
    sparse = {"sparse_ok": True, "compress": "deflate", "bigtiff": "yes", "nodata": 0}
    grid = {"crs": UTM, "transform": Affine(0.01, 0, 4e5, 0, -0.01, 5e6)}
    shape = {"count": 3, "width": side, "height": side, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **grid, **sparse, **how) as dataset:
        for index, name in enumerate(("Green", "Red", "NIR"), 1):
            dataset.set_band_description(index, name)
    if layout == "tiles with overviews":
        with (
            rasterio.open(path, "r+", SPARSE_OK_OVERVIEW="ON") as dataset,
            rasterio.Env(SPARSE_OK_OVERVIEW="ON"),
        ):
            dataset.build_overviews([64], rasterio.enums.Resampling.nearest)
        counted.clear()
    told = describe_scene(open_scene(path))
    assert (told.width, told.height) == (side, side)
    assert told.valid_percent == 0
    assert 100_000 < sum(counted) < 5_000_000
    assert [p.name for p in tmp_path.iterdir()] == ["large.tif"]


@pytest.mark.parametrize("tiled", [True, False])
def test_a_sample_is_spread_over_the_raster(tif: Tif, tiled: bool) -> None:
    """Means over a large raster come out about right wherever its values lie."""
    height, width = 1100, 1700
    rows, cols = np.mgrid[0:height, 0:width]
    data = np.stack([rows / height, cols / width]).astype(np.float32)
    how = {"tiled": True, "blockxsize": 256, "blockysize": 256} if tiled else {}
    path = tif("ramp.tif", data, **how)
    values = sample_values(inspect(path), max_values=40_000)
    assert 20_000 <= values.size <= 40_000
    np.testing.assert_allclose(values.mean(axis=1), 0.5, atol=0.07)
    assert (np.percentile(values, 5, axis=1) < 0.15).all()
    assert (np.percentile(values, 95, axis=1) > 0.85).all()
    scene = open_scene(path, bands="red,nir")
    pixels = sample_pixels(scene, ["nir", "red"], max_pixels=20_000)
    assert pixels.data.shape[0] == 2
    assert 10_000 <= pixels.valid.size <= 20_000
    np.testing.assert_allclose(pixels.data.mean(axis=1), 0.5, atol=0.07)
    again = sample_pixels(scene, ["nir", "red"], max_pixels=20_000)
    np.testing.assert_array_equal(again.data, pixels.data)


def test_a_sample_of_a_small_scene_is_all_of_it(tif: Tif) -> None:
    data = np.random.default_rng(0).random((2, 24, 37), np.float32)
    pixels = sample_pixels(open_scene(tif("a.tif", data), bands="red,nir"), ["red", "nir"])
    np.testing.assert_array_equal(pixels.data[:, :, 0], data.reshape(2, -1))
