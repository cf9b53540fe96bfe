"""A predictor that gives its input back must give back the raster, exactly, whatever its shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

import agriseg
from agriseg.errors import OptionError
from agriseg.tiling import ChipGrid
from tests.support import (
    NORTH_UP,
    UTM,
    Identity,
    class_field,
    identity_card,
    leftovers,
    read_classes,
    write_raster,
)

LONLAT = CRS.from_epsg(4326)

# The map is looked at, and nothing that is made of it.
_BARE = {"fields": False, "qgis": False}


def run_identity(
    tmp_path: Path, data: np.ndarray, predictor: Identity, raster: dict[str, Any], **options: Any
) -> np.ndarray:
    path = write_raster(tmp_path / "scene.tif", data, descriptions=["red"], **raster)
    run = agriseg.segment(
        path, tmp_path / "out", model=predictor, resume=False, **(_BARE | options)
    )
    assert isinstance(run, agriseg.Run)
    with rasterio.open(path) as given_raster, rasterio.open(run.classes) as made:
        assert made.transform == given_raster.transform
        assert made.crs == given_raster.crs
        assert made.shape == given_raster.shape
        assert made.nodata == 255
    assert leftovers(run.path) == []
    return read_classes(run.classes)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    size=st.integers(1, 24),
    overlap_share=st.floats(0, 0.5),
    swaths=st.integers(1, 6),
    batch=st.integers(1, 5),
    seed=st.integers(0, 99),
    holes=st.floats(0, 1),
)
def test_any_size_chip_overlap_swaths_and_batch(
    tmp_path: Path,
    height: int,
    width: int,
    size: int,
    overlap_share: float,
    swaths: int,
    batch: int,
    seed: int,
    holes: float,
) -> None:
    data = class_field(height, width, seed)
    rng = np.random.default_rng(seed)
    data[:, rng.random((height, width)) < holes**3] = -10000
    found = run_identity(
        tmp_path,
        data,
        Identity(batch=batch),
        {"nodata": -10000},
        chip=size,
        overlap=int(size * overlap_share),
        swaths=swaths,
        polygons=False,
    )
    expected = np.where(data[0] == -10000, 255, data[0])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("stride", [4, 32])
@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_sizes_around_whole_steps_with_a_stride(
    tmp_path: Path, stride: int, steps: int, more: int
) -> None:
    size, overlap = 2 * stride, stride // 2
    height = max(steps * (size - overlap) + overlap + more, 1)
    width = max(steps * (size - overlap) + more, 1)
    data = class_field(height, width, seed=steps)
    predictor = Identity(identity_card(stride=stride, chip_size=size, overlap=overlap))
    found = run_identity(tmp_path, data, predictor, {})
    np.testing.assert_array_equal(found, data[0])


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        pytest.param(UTM, NORTH_UP, id="north up"),
        pytest.param(UTM, NORTH_UP @ Affine.rotation(23.4), id="rotated"),
        pytest.param(UTM, Affine(0.5, 0, 5e5, 0, 0.5, 5.3e6), id="south up"),
        pytest.param(
            CRS.from_epsg(4326), Affine(1e-7 / 3, 0, 11.1, 0, -1e-7 / 7, 48.1), id="lonlat"
        ),
        pytest.param(CRS.from_epsg(3857), Affine(0.1, 0, 1.2e6, 0, -0.3, 6.1e6), id="not square"),
        pytest.param(None, Affine(2, 0, 10, 0, -2, 10), id="no crs"),
        pytest.param(None, Affine.identity(), id="nothing"),
        pytest.param(
            CRS.from_proj4("+proj=tmerc +lat_0=1.5 +lon_0=12.2 +k=0.99 +x_0=5 +y_0=7 +ellps=krass"),
            NORTH_UP,
            id="custom",
        ),
    ],
)
def test_every_georeference(tmp_path: Path, crs: CRS | None, transform: Affine) -> None:
    data = class_field(41, 37)
    raster = {"crs": crs, "transform": transform}
    found = run_identity(tmp_path, data, Identity(), raster, chip=16, overlap=5, swaths=2)
    np.testing.assert_array_equal(found, data[0])


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param({"tiled": True, "blockxsize": 16, "blockysize": 16}, id="tiles"),
        pytest.param({"blockysize": 1}, id="strips of one row"),
        pytest.param(
            {"tiled": True, "blockxsize": 64, "blockysize": 32, "compress": "lzw"}, id="lzw"
        ),
    ],
)
def test_every_layout(tmp_path: Path, layout: dict[str, Any]) -> None:
    data = class_field(75, 101)
    found = run_identity(tmp_path, data, Identity(), layout, chip=32, overlap=7)
    np.testing.assert_array_equal(found, data[0])


def test_all_nodata_is_no_class_anywhere(tmp_path: Path) -> None:
    data = np.full((1, 30, 20), -10000, np.float32)
    found = run_identity(tmp_path, data, Identity(), {"nodata": -10000})
    assert (found == 255).all()


@pytest.mark.parametrize("rows", [slice(0, 20), slice(17, 33), slice(40, 61)])
def test_a_stripe_of_nodata_is_skipped_and_the_stream_goes_on(tmp_path: Path, rows: slice) -> None:
    data = class_field(61, 50)
    data[:, rows] = np.nan
    calls: list[int] = []
    chips = len(ChipGrid(61, 50, 8, 2))

    class Counting(Identity):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            calls.append(len(batch))
            assert np.isfinite(batch).all()
            return super().__call__(batch)

    found = run_identity(tmp_path, data, Counting(), {}, chip=8, overlap=2)
    np.testing.assert_array_equal(found, np.where(np.isnan(data[0]), 255, data[0]))
    assert 0 < len(calls) < chips


def test_every_pixel_is_predicted_and_no_chip_twice(tmp_path: Path) -> None:
    data = class_field(45, 39)
    calls: list[tuple[int, ...]] = []

    class Watching(Identity):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            calls.append(batch.shape)
            return super().__call__(batch)

    run_identity(tmp_path, data, Watching(), {}, chip=16, overlap=4, swaths=3)
    assert len(calls) == 4 * 3  # starts at 0, 12, 24, 36 and at 0, 12, 24
    assert sum(h * w for _, _, h, w in calls) == (16 * 3 + 9) * (16 * 2 + 15)


def test_chip_must_fit_the_stride(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", class_field(40, 40), descriptions=["red"])
    model = Identity(identity_card(stride=32, chip_size=64, overlap=8))
    with pytest.raises(OptionError, match="multiple of 32, such as 96 or 128"):
        agriseg.segment(path, tmp_path / "out", model=model, chip=100)
    assert not (tmp_path / "out").exists()
