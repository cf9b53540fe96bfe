"""Rasters of numbers: layout, nodata, overviews, georeference, and what is left of a failure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.errors import OutputError
from agriseg.geobox import GeoBox, Window
from agriseg.raster.floats import FloatLayer, float_cog

UTM = CRS.from_epsg(32633)
GRID = Affine(0.05, 0, 500_000.123456789, 0, -0.05, 5_600_000 + 1 / 3)
LAYERS = (FloatLayer("NDVI", {"formula": "(N-R)/(N+R)"}), FloatLayer("Rübe <&>"))

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def numbers(height: int, width: int) -> NDArray[np.float32]:
    data = np.random.default_rng(5).normal(0.3, 0.4, (2, height, width)).astype(np.float32)
    data[:, : height // 3, : width // 4] = np.nan
    return data


def write(
    path: Path,
    data: NDArray[np.float32],
    *,
    transform: Affine = GRID,
    crs: CRS | None = UTM,
    rows: int = 512,
    strip_rows: int | None = None,
) -> None:
    _, height, width = data.shape
    box = GeoBox(crs, transform, width, height)
    with float_cog(path, box, LAYERS, tags={"SCENE": "a"}, strip_rows=strip_rows) as raster:
        for row in range(0, height, rows):
            window = Window(0, row, width, min(rows, height - row))
            raster.write(data[:, row : window.row_end], window)


@pytest.mark.parametrize(
    ("height", "width", "strip_rows"), [(37, 53, None), (1, 3, 1), (700, 531, 7)]
)
def test_what_was_written_comes_back(
    tmp_path: Path, height: int, width: int, strip_rows: int | None
) -> None:
    data = numbers(height, width)
    path = tmp_path / "index.tif"
    write(path, data, rows=strip_rows or 512, strip_rows=strip_rows)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), data)
        assert set(dataset.dtypes) == {"float32"}
        assert np.isnan(dataset.nodatavals).all()
        assert dataset.descriptions == ("NDVI", "Rübe <&>")
        assert dataset.tags(1)["formula"] == "(N-R)/(N+R)"
        assert dataset.tags()["SCENE"] == "a"
        assert (dataset.crs, dataset.transform) == (UTM, GRID)
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["PREDICTOR"]) == ("COG", "3")
    assert [one.name for one in tmp_path.iterdir()] == ["index.tif"]


def test_overviews_are_means_of_what_is_there(tmp_path: Path) -> None:
    data = numbers(514, 1030)
    data[0, -2:, -2:] = [[np.nan, 3], [np.nan, 5]]
    write(tmp_path / "index.tif", data)
    with rasterio.open(tmp_path / "index.tif", OVERVIEW_LEVEL=0) as half:
        assert half.shape == (257, 515)
        found = half.read()
    assert found[0, -1, -1] == 4
    assert np.isnan(found[0, 0, 0])
    expected = data[1, 400:402, 600:602].mean(dtype=np.float64)
    assert found[1, 200, 300] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [(23, 31), (600, 700)])
def test_the_same_numbers_make_the_same_bytes(tmp_path: Path, size: tuple[int, int]) -> None:
    for name in ("a.tif", "b.tif"):
        write(tmp_path / name, numbers(*size))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (Affine(0.047, 0.018, 282_065.25, 0.018, -0.047, 4_050_618.64), UTM),
        (Affine(0.5, 0, 10, 0, 0.5, 20), UTM),  # south up
        (Affine.identity(), UTM),
        (Affine.identity(), None),
        (Affine(1e-6, 0, 8.1, 0, -1e-6, 47.3), CRS.from_epsg(4326)),
        (GRID, CRS.from_proj4("+proj=laea +lat_0=47.123456789 +lon_0=8 +R=6371007")),
    ],
)
def test_the_grid_is_kept(tmp_path: Path, transform: Affine, crs: CRS | None) -> None:
    write(tmp_path / "index.tif", numbers(9, 11), transform=transform, crs=crs)
    with rasterio.open(tmp_path / "index.tif") as dataset:
        assert dataset.transform == transform
        assert dataset.crs == crs


def test_a_sidecar_of_an_earlier_raster_goes(tmp_path: Path) -> None:
    sidecar = tmp_path / "index.tif.aux.xml"
    sidecar.write_text("<PAMDataset><GeoTransform>0, 9, 0, 0, 0, -9</GeoTransform></PAMDataset>")
    write(tmp_path / "index.tif", numbers(9, 11))
    assert not sidecar.exists()


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "index.tif"
    path.write_bytes(b"earlier")
    box = GeoBox(UTM, GRID, 11, 9)
    with pytest.raises(RuntimeError), float_cog(path, box, LAYERS):
        raise RuntimeError("halfway")
    assert path.read_bytes() == b"earlier"
    assert [one.name for one in tmp_path.iterdir()] == ["index.tif"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "none" / "index.tif", numbers(9, 11))


def test_a_full_disk_is_told_of_the_file_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agriseg.raster.writer.rasterio.shutil.copy", full)
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "index.tif", numbers(9, 11))
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'index.tif'} cannot be written: No space left")
    assert said.endswith("then run the same command again")
    assert list(tmp_path.iterdir()) == []
