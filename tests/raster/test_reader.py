"""Pixels and their valid mask, from one file."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from agriseg.bands import Band, Radiometry
from agriseg.errors import BandError, InputError, OptionError, ReadError
from agriseg.geobox import GeoBox, Window
from agriseg.raster import Scene, SceneReader, open_scene

Tif = Callable[..., str]

UTM = CRS.from_epsg(32633)
H, W = 23, 37


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


# Types.


@pytest.mark.parametrize(
    "dtype",
    [
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float32",
        "float64",
    ],
)
def test_every_real_type(tif: Tif, random: np.random.Generator, dtype: str) -> None:
    data = random.integers(0, 120, (2, H, W)).astype(dtype)
    scene = open_scene(tif("a.tif", data), bands="red,nir", scale=0.5, offset=-1.0)
    pixels = scene.read()
    assert pixels.data.dtype == np.float32
    assert pixels.valid.dtype == bool
    assert pixels.valid.all()
    np.testing.assert_array_equal(pixels.data, data.astype(np.float32) * 0.5 - 1)


def test_bands_of_several_types(tif: Tif, tmp_path: Path) -> None:
    tif("red.tif", np.full((1, 2, 3), 7, np.uint8))
    tif("nir.tif", np.full((1, 2, 3), 0.25, np.float32))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{k}"><SimpleSource><SourceFilename '
        f'relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand>"
        for k, (kind, name) in enumerate([("Byte", "red.tif"), ("Float32", "nir.tif")], 1)
    )
    path = tmp_path / "both.vrt"
    path.write_text(f'<VRTDataset rasterXSize="3" rasterYSize="2">{bands}</VRTDataset>')
    pixels = open_scene(path, bands="red,nir", scale=1).read()
    assert pixels.data[:, 0, 0].tolist() == [7, 0.25]


def test_hundreds_of_bands(tif: Tif) -> None:
    data = np.arange(300, dtype=np.uint16)[:, None, None] + np.zeros((300, 5, 6), np.uint16)
    tags = [{"wavelength": str(400 + 2 * k)} for k in range(300)]
    scene = open_scene(tif("cube.tif", data, band_tags=tags), scale=1)
    assert len(scene.bands) == 300
    pixels = scene.read(keys=["nir", "blue"])
    assert pixels.data[:, 0, 0].tolist() == [215, 45]  # 830 and 490 nm
    with SceneReader(scene, scene.bands) as reader:
        assert (reader.read(scene.geobox.window).data == data).all()


def test_values_beyond_float32_are_invalid(tif: Tif) -> None:
    data = np.array([[[0.5, 1e300, -1e300]]])
    pixels = open_scene(tif("a.tif", data), bands="red", scale=1).read()
    assert pixels.valid.tolist() == [[True, False, False]]
    # And so are those that scaling lifts beyond it.
    small = np.array([[[0.5, 3e38]]], np.float32)
    pixels = open_scene(tif("b.tif", small), bands="red", scale=1e4).read()
    assert pixels.valid.tolist() == [[True, False]]


# Which bands, in which order.


def test_the_order_asked_for(tif: Tif) -> None:
    data = np.arange(3, dtype=np.uint8)[:, None, None] + np.zeros((3, 2, 2), np.uint8)
    scene = open_scene(tif("a.tif", data), bands="red,-,nir", scale=1)
    assert scene.read(keys=["nir", "red"]).data[:, 0, 0].tolist() == [2, 0]
    assert scene.read(keys=["nir", "nir"]).data[:, 0, 0].tolist() == [2, 2]
    assert scene.read().data[:, 0, 0].tolist() == [0, 2]
    with pytest.raises(BandError, match="a has no band 'blue'; it has red, nir"):
        scene.read(keys=["blue"])


def test_a_scene_travels(tif: Tif, random: np.random.Generator) -> None:
    data = random.integers(1, 255, (2, H, W), dtype=np.uint8)
    scene = open_scene(tif("a.tif", data, nodata=0), bands="red,nir", about={"field": "Süd"})
    again = pickle.loads(pickle.dumps(scene))
    assert again == scene
    np.testing.assert_array_equal(again.read().data, scene.read().data)


# What is valid.


@pytest.fixture
def valid_of(tif: Tif) -> Callable[..., list[bool]]:
    """Valid flags of a raster of one row, given as pixels of several bands."""

    def read(pixels: Any, dtype: str, *, bands: str = "red,nir", **options: Any) -> list[bool]:
        data = np.array(pixels, dtype).T[:, None, :]
        said = {key: options.pop(key) for key in ("nodata",) if key in options}
        path = tif("a.tif", data, **options)
        flags: list[bool] = open_scene(path, bands=bands, scale=1, **said).read().valid[0].tolist()
        return flags

    return read


Valid = Callable[..., list[bool]]


def test_nodata_that_no_camera_measures(valid_of: Valid) -> None:
    pixels = [(0.1, 0.2), (-10000, 0.2), (-10000, -10000), (0, 0)]
    assert valid_of(pixels, "float32", nodata=-10000) == [True, False, False, True]
    assert valid_of(np.array(pixels) * 10, "int32", nodata=-100000)[1:3] == [False, False]


def test_nodata_that_is_also_a_measurement(valid_of: Valid, tif: Tif) -> None:
    # A shadow is 0 in one band, a gap in all of them.
    pixels = [(5, 6), (0, 6), (0, 0), (5, 0)]
    path = tif("declared.tif", np.array(pixels, np.uint8).T[:, None, :], nodata=0)
    scene = open_scene(path, bands="red,nir", scale=1)
    assert scene.read().valid[0].tolist() == [True, True, False, True]
    assert valid_of(pixels, "uint8", nodata=0) == [True, True, False, True]
    assert valid_of(pixels, "float32", nodata=0) == [True, True, False, True]


def test_highlights_are_no_gaps(valid_of: Valid) -> None:
    pixels = [(255, 6), (255, 255), (0, 0)]
    assert valid_of(pixels, "uint8", nodata=255) == [True, False, True]


@pytest.mark.parametrize("nodata", [-1, 256, 0.5, 1e300, float("inf"), float("nan")])
def test_nodata_that_the_type_cannot_hold(valid_of: Valid, nodata: float) -> None:
    with pytest.raises(OptionError, match="never occurs"):
        valid_of([(0, 6), (255, 255)], "uint8", nodata=nodata)


def test_nan_and_infinity(valid_of: Valid) -> None:
    pixels = [(0.1, 0.2), (np.nan, 0.2), (0.1, np.inf), (-np.inf, np.nan)]
    for nodata in ({}, {"nodata": float("nan")}, {"nodata": -10000.0}):
        assert valid_of(pixels, "float32", **nodata) == [True, False, False, False]


def test_the_users_nodata_replaces_the_files(tif: Tif) -> None:
    data = np.array([[[1, 2, 3]]], np.uint16)
    scene = open_scene(tif("a.tif", data, nodata=2), bands="red", nodata=3)
    assert scene.read().valid[0].tolist() == [True, True, False]


@pytest.mark.parametrize("internal", [True, False])
def test_a_dataset_mask(tif: Tif, random: np.random.Generator, internal: bool) -> None:
    mask = random.integers(0, 2, (H, W), dtype=np.uint8) * 255
    data = random.integers(0, 255, (2, H, W), dtype=np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = tif("a.tif", data, mask=mask)
    scene = open_scene(path, bands="red,nir")
    np.testing.assert_array_equal(scene.read().valid, mask > 0)
    part = Window(5, 3, 11, 7)
    np.testing.assert_array_equal(scene.read(part).valid, (mask > 0)[part.slices])


def test_alpha(tif: Tif, random: np.random.Generator) -> None:
    data = random.integers(1, 255, (4, H, W), dtype=np.uint8)
    data[3] = random.integers(0, 2, (H, W)) * 255
    data[3, 0, 0] = 9  # hardly there, but there
    colors = ["red", "green", "blue", "alpha"]
    pixels = open_scene(tif("a.tif", data, colors=colors)).read()
    assert pixels.data.shape[0] == 3
    np.testing.assert_array_equal(pixels.valid, data[3] > 0)


def test_grey_with_alpha(tif: Tif) -> None:
    data = np.array([[[9, 9, 9]], [[0, 255, 255]]], np.uint8)
    scene = open_scene(tif("a.tif", data, colors=["gray", "alpha"]))
    assert len(scene.bands) == 1
    assert scene.read().valid[0].tolist() == [False, True, True]


def test_a_fourth_band_that_is_no_alpha_hides_nothing(tif: Tif) -> None:
    data = np.zeros((4, 3, 4), np.uint8)
    scene = open_scene(tif("a.tif", data, colors=["red", "green", "blue", "undefined"]))
    assert scene.read().valid.all()


# Grids of every kind.

GRIDS = {
    "south up": (UTM, Affine(0.5, 0, 4e5, 0, 0.5, 5e6)),
    "mirrored": (UTM, Affine(-0.5, 0, 4e5, 0, -0.5, 5e6)),
    "rotated": (
        UTM,
        Affine.translation(4e5, 5e6) @ Affine.rotation(21) @ Affine.scale(0.05, -0.05),
    ),
    "sheared": (UTM, Affine(0.5, 0.1, 4e5, 0.05, -0.4, 5e6)),
    "geographic": (CRS.from_epsg(4326), Affine(1e-6, 0, 11.5, 0, -7e-7, 51.25)),
    "no CRS": (None, Affine(0.5, 0, 0, 0, -0.5, 0)),
    "nothing": (None, None),
}


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_grids(tif: Tif, random: np.random.Generator, kind: str) -> None:
    crs, transform = GRIDS[kind]
    data = random.integers(0, 255, (2, H, W), dtype=np.uint8)
    scene = open_scene(tif("a.tif", data, crs=crs, transform=transform), bands="red,nir", scale=1)
    assert scene.geobox.crs == crs
    assert scene.geobox.transform == (transform or Affine.identity())
    for window in (Window(0, 0, W, H), Window(W - 1, H - 1, 1, 1), Window(3, 5, 20, 2)):
        np.testing.assert_array_equal(scene.read(window).data, data[(..., *window.slices)])
    part = Window(4, 6, 11, 13)
    np.testing.assert_array_equal(scene.crop(part).read().data, data[(..., *part.slices)])


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (17, 600)])
def test_small_and_narrow(tif: Tif, shape: tuple[int, int]) -> None:
    data = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(1, *shape)
    pixels = open_scene(tif("a.tif", data), bands="red", scale=1).read()
    np.testing.assert_array_equal(pixels.data, data)


def test_beyond_the_raster_nothing_is_valid(tif: Tif) -> None:
    scene = open_scene(tif("a.tif", np.full((1, 4, 5), 9, np.uint8)), bands="red", scale=1)
    pixels = scene.read(Window(-2, 3, 5, 3))
    assert pixels.valid.tolist() == [[False] * 2 + [True] * 3, [False] * 5, [False] * 5]
    assert not scene.read(Window(50, 0, 3, 3)).valid.any()


# Errors.


def test_a_truncated_file_is_named_with_the_window(tif: Tif, random: np.random.Generator) -> None:
    data = random.integers(0, 65535, (1, 64, 64), dtype=np.uint16)
    path = Path(tif("cut.tif", data, tiled=True, blockxsize=16, blockysize=16))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    scene = open_scene(path, bands="red")
    # What is there can be read; what is gone is an error, never zeros.
    np.testing.assert_array_equal(scene.read(Window(0, 0, 16, 16)).data, data[:, :16, :16])
    with pytest.raises(ReadError) as caught:
        scene.read(Window(40, 50, 7, 5))
    message = str(caught.value)
    assert str(path) in message
    assert "columns 40..46, rows 50..54" in message
    assert "\n" not in message


def test_a_fault_is_found_again(tif: Tif, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL, asked twice for a block that it cannot find, may call it empty and give zeros."""
    real_open = rasterio.open

    class Forgetful:
        def __init__(self, path: str) -> None:
            self._dataset = real_open(path)
            self._failed = False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._dataset, name)

        def read(self, indexes: list[int], window: Any) -> Any:
            if window.row_off == 0 and not self._failed:
                self._failed = True
                raise rasterio.errors.RasterioIOError("cannot find the block")
            return self._dataset.read(indexes, window=window) * (not self._failed)

    path = tif("a.tif", np.full((1, 3, 4), 9, np.uint8))
    with monkeypatch.context() as patch:
        patch.setattr(rasterio, "open", Forgetful)
        scene = open_scene(path, bands="red", scale=1)
        with SceneReader(scene) as reader:
            for _ in range(3):
                with pytest.raises(ReadError, match="cannot find the block"):
                    reader.read(Window(0, 0, 4, 1))
                assert (reader.read(Window(0, 2, 4, 1)).data == 9).all()


def test_a_file_that_vanishes(tif: Tif) -> None:
    path = tif("a.tif", np.ones((1, 3, 4), np.uint8))
    scene = open_scene(path, bands="red")
    Path(path).unlink()
    with pytest.raises(InputError, match="no such file"):
        scene.read()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "\0"])
def test_names_that_are_no_folders(tif: Tif, name: str) -> None:
    band = Band("a.tif", 1, "red")
    with pytest.raises(OptionError, match="--name"):
        Scene(name, (band,), GeoBox(None, Affine.identity(), 2, 2), Radiometry("DN", "a test"))
