"""A scene as a lazy array: the same pixels, in the same place, read in the workers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

import agriseg
from agriseg.errors import BandError, OptionError, ReadError
from agriseg.geobox import GeoBox, Window
from agriseg.raster.lazy import behind, pixel_centres
from tests.support import NORTH_UP, UTM, write_raster

ROLES = ["red", "nir", "green"]
LONLAT = CRS.from_epsg(4326)


def holey(height: int = 61, width: int = 47) -> np.ndarray:
    data = np.random.default_rng(3).random((3, height, width), np.float32)
    data[:, 20:30, 5:] = np.nan
    data[1, 2, 3] = np.nan
    return data


def scene_of(folder: Path, data: np.ndarray, **raster: Any) -> agriseg.Scene:
    return agriseg.open_scene(
        write_raster(folder / "field.tif", data, descriptions=ROLES[: len(data)], **raster)
    )


def expected(scene: agriseg.Scene, keys: list[str] | None = None) -> np.ndarray:
    pixels = scene.read(keys=keys)
    return np.where(pixels.valid, pixels.data, np.float32(np.nan))


@pytest.mark.parametrize(
    "chunks", [None, "auto", 7, (10, 47), {"y": 9}, {"x": 8, "y": -1}, ((30, 31), (47,))]
)
def test_values_are_those_of_read(tmp_path: Path, chunks: Any) -> None:
    scene = scene_of(tmp_path, holey())
    array = scene.to_xarray(chunks=chunks)
    assert array.dims == ("band", "y", "x")
    assert array.dtype == np.float32
    assert list(array["band"].values) == ROLES
    np.testing.assert_array_equal(array.values, expected(scene))
    part = array.sel(band="nir")[13:40, 7:9]
    np.testing.assert_array_equal(part.values, expected(scene)[1, 13:40, 7:9])


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        pytest.param(UTM, NORTH_UP, id="north up"),
        pytest.param(UTM, Affine(0.1, 0, 0.3, 0, -0.7, 1e6 / 3), id="rounding"),
        pytest.param(UTM, Affine(0.5, 0, 5e5, 0, 0.5, 5.3e6), id="south up"),
        pytest.param(LONLAT, Affine(1e-7 / 3, 0, 11.1, 0, -1e-7 / 7, 48.1), id="lonlat"),
        pytest.param(CRS.from_epsg(3857), Affine(0.1, 0, 1.2e6, 0, -0.3, 6.1e6), id="not square"),
        pytest.param(None, Affine(2, 0, 10, 0, -2, 10), id="no crs"),
        pytest.param(None, Affine.identity(), id="nothing"),
    ],
)
@pytest.mark.parametrize("shape", [(5, 8), (1, 1), (9, 1)])
def test_the_place_is_exactly_that_of_the_scene(
    tmp_path: Path, crs: CRS | None, transform: Affine, shape: tuple[int, int]
) -> None:
    scene = scene_of(tmp_path, np.ones((2, *shape), np.float32), crs=crs, transform=transform)
    array = scene.to_xarray()
    assert array.rio.crs == crs
    assert array.rio.transform() == transform
    xs = [(transform @ (col + 0.5, 0.5))[0] for col in range(shape[1])]
    ys = [(transform @ (0.5, row + 0.5))[1] for row in range(shape[0])]
    np.testing.assert_allclose(array["x"], xs, rtol=1e-12)
    np.testing.assert_allclose(array["y"], ys, rtol=1e-12)


def test_a_turned_grid_has_a_transform_and_no_coordinates(tmp_path: Path) -> None:
    turned = NORTH_UP @ Affine.rotation(23.4)
    array = scene_of(tmp_path, holey(), transform=turned).to_xarray()
    assert array.rio.transform() == turned
    assert array.rio.crs == UTM
    assert not {"x", "y"} & set(array.coords)


def test_the_first_centre_less_half_a_pixel_is_the_edge() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        left, top = rng.uniform(-1e7, 1e7, 2)
        side = 10 ** rng.uniform(-3, 2)
        centres = pixel_centres(GeoBox(None, Affine(side, 0, left, 0, -side, top), 3, 2))
        assert centres["x"][0] - side / 2 == left
        assert centres["y"][0] + side / 2 == top


def test_facts_travel_as_texts_and_numbers(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", holey(), descriptions=["668 nm", "842 nm", "560 nm"])
    scene = agriseg.open_scene(path, about={"crop": "maize"})
    array = scene.to_xarray(keys=["nir", "red"])
    assert list(array["band"].values) == ["nir", "red"]
    assert list(array["wavelength"].values) == [842, 668]
    assert array.attrs["wavelength"] == "nir 842 nm, red 668 nm"
    assert array.attrs["gsd_m"] == pytest.approx([0.02, 0.02])
    assert array.attrs["crop"] == "maize"
    assert array.attrs["radiometry"] == "reflectance"
    assert "842 nm" in array.attrs["band_evidence"]
    assert array.attrs["evidence"] == scene.radiometry.evidence


def test_numbers_become_reflectance(tmp_path: Path) -> None:
    numbers = np.arange(1, 49, dtype=np.uint16).reshape(2, 4, 6) * 100
    numbers[:, 1] = 0
    path = write_raster(tmp_path / "a.tif", numbers, descriptions=["red", "nir"], nodata=0)
    array = agriseg.open_scene(path, scale=1e-4).to_xarray()
    assert np.isnan(array.values[:, 1]).all()
    np.testing.assert_allclose(array.values[:, 2:], numbers[:, 2:] * 1e-4, rtol=1e-6)
    bare = agriseg.open_scene(path, scale=1e-4).to_xarray(masked=False)
    assert (bare.values[:, 1] == 0).all()
    assert np.isnan(array.rio.nodata)
    assert bare.rio.nodata is None


def test_bands_of_coarser_files_and_dates(tmp_path: Path) -> None:
    fine = np.random.default_rng(0).random((1, 20, 30), np.float32)
    coarse = np.random.default_rng(1).random((1, 10, 15), np.float32)
    wide = NORTH_UP @ Affine.scale(2)
    files = {
        "red@1": write_raster(tmp_path / "r1.tif", fine),
        "red@2": write_raster(tmp_path / "r2.tif", fine * 0.5),
        "nir": write_raster(tmp_path / "n.tif", coarse, transform=wide),
    }
    scene = agriseg.open_scene(files)
    array = scene.to_xarray(keys=["nir", "red@2"], chunks=(20, 30))
    assert list(array["band"].values) == ["nir", "red@2"]
    np.testing.assert_array_equal(array.values, expected(scene, ["nir", "red@2"]))


def test_a_stand_in_has_the_name_it_was_asked_for_by(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", holey(), descriptions=["red", "nir08", "green"])
    scene = agriseg.open_scene(path)
    array = scene.to_xarray(keys=["nir"])
    assert list(array["band"].values) == ["nir"]
    np.testing.assert_array_equal(array.values, expected(scene, ["nir08"]))


def test_a_crop_and_a_coarser_view(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, holey(), tiled=True, blockxsize=16, blockysize=32)
    for view in (scene.crop(Window(3, 5, 20, 30)), scene.at_gsd(0.05)):
        array = view.to_xarray()
        assert array.rio.transform() == view.geobox.transform
        np.testing.assert_array_equal(array.values, expected(view))


@pytest.mark.parametrize(
    ("layout", "height", "width"),
    [
        ({"tiled": True, "blockxsize": 512, "blockysize": 256}, 1024, 1024),
        ({"tiled": True, "blockxsize": 48, "blockysize": 16}, 1040, 1008),
        ({"blockysize": 3}, 699, 1500),
    ],
)
def test_chunks_are_whole_blocks(
    tmp_path: Path, layout: dict[str, int], height: int, width: int
) -> None:
    scene = scene_of(tmp_path, np.zeros((1, 1100, 1500), np.float32), **layout)
    chunks = scene.to_xarray().chunks
    assert chunks is not None
    assert (chunks[1][0], chunks[2][0]) == (height, width)


def test_tasks_are_small_and_can_be_pickled(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, holey())
    array = scene.to_xarray(chunks=8)
    again = pickle.loads(pickle.dumps(array))
    np.testing.assert_array_equal(again[:, 3:20].values, expected(scene)[:, 3:20])
    few, many = (len(pickle.dumps(scene.to_xarray(chunks=n).data.dask)) for n in (61, 2))
    assert (many - few) / (31 * 24) < 300  # bytes a task


def test_settings_of_gdal_go_along(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, holey())
    with rasterio.Env(GDAL_HTTP_TIMEOUT="7"):
        array = scene.to_xarray()
    whole = behind(array)
    assert whole is not None
    assert whole.settings["GDAL_HTTP_TIMEOUT"] in ("7", 7)


def test_what_was_done_to_an_array_is_known(tmp_path: Path) -> None:
    array = scene_of(tmp_path, holey()).to_xarray(chunks=20)
    assert behind(array) is not None
    assert behind(array.assign_attrs(a=1)) is not None
    for other in (array * 1, array[:, :40], array.chunk(7), array.sel(band=["red"]), array.load()):
        assert behind(other) is None


def test_another_file_of_the_name_makes_another_array(tmp_path: Path) -> None:
    first = scene_of(tmp_path, holey()).to_xarray()
    same = agriseg.open_scene(tmp_path / "field.tif").to_xarray()
    other = scene_of(tmp_path, holey(62)).to_xarray()
    assert first.data.name == same.data.name != other.data.name


def test_what_cannot_be_read_is_told_when_it_is_asked_for(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, holey(300, 300), compress="deflate", blockysize=10)
    path = tmp_path / "field.tif"
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 5000] = b"\xff" * 5000
    path.write_bytes(whole)
    array = scene.to_xarray(chunks=50)
    with pytest.raises(ReadError, match=r"field\.tif: the pixels of columns"):
        array.compute()


def test_faults(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, holey())
    with pytest.raises(BandError, match="no band 'blue'"):
        scene.to_xarray(keys=["blue"])
    with pytest.raises(BandError, match="called red; name each once"):
        scene.to_xarray(keys=["red", "red"])
    with pytest.raises(OptionError, match="a list of band roles"):
        scene.to_xarray(keys="red")
    with pytest.raises(OptionError, match="no dimension 'z'"):
        scene.to_xarray(chunks={"z": 3})
    for chunks in (0, -5, (1, 2, 3), "many", (3.5, 2), ((10,), (47,))):
        with pytest.raises(OptionError, match="chunks="):
            scene.to_xarray(chunks=chunks)


def test_threads_read_what_one_reads(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, holey())
    array = scene.to_xarray(chunks=5)
    with dask.config.set(scheduler="threads", num_workers=4):
        np.testing.assert_array_equal(array.values, expected(scene))
