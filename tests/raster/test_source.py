"""What a file says about itself, and the files that are refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from agriseg.errors import InputError
from agriseg.raster import source as source_module
from agriseg.raster.source import inspect

Tif = Callable[..., str]

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def refused(path: str | Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(InputError) as caught:
        inspect(path)
    message = str(caught.value)
    assert "\n" not in message
    assert Path(path).name in message
    return message


def test_facts_of_a_plain_file(tif: Tif) -> None:
    data = np.arange(3 * 70 * 130, dtype=np.uint16).reshape(3, 70, 130)
    path = tif(
        "field.tif",
        data,
        nodata=65535,
        descriptions=["Green", "Red", "NIR"],
        tags={"ACQUIRED": "2024-05-12"},
        scales=[1e-4] * 3,
        offsets=[-0.1] * 3,
        tiled=True,
        blockxsize=64,
        blockysize=32,
        compress="deflate",
        interleave="pixel",
        overviews=[2],
    )
    source = inspect(path)
    assert source.path == path
    assert (source.geobox.width, source.geobox.height) == (130, 70)
    assert source.geobox.crs == CRS.from_epsg(32633)
    assert source.count == 3
    assert source.dtype == np.uint16
    assert source.descriptions == ("Green", "Red", "NIR")
    assert source.nodata == (65535.0,) * 3
    assert source.scales == (1e-4,) * 3
    assert source.offsets == (-0.1,) * 3
    assert source.tags["ACQUIRED"] == "2024-05-12"
    assert source.block_shapes[0] == (32, 64)
    assert source.overviews == (2,)
    assert source.compression == "DEFLATE"
    assert source.block_bytes == 32 * 64 * 2 * 3
    assert not source.dataset_mask
    assert source.files == (path,)
    assert pickle.loads(pickle.dumps(source)) == source


def test_strips_are_not_tiles(tif: Tif) -> None:
    wide = inspect(tif("wide.tif", np.zeros((1, 3, 1500), np.uint8)))
    assert not wide.is_tiled
    # So narrow a raster reads the same either way.
    assert inspect(tif("narrow.tif", np.zeros((1, 3, 700), np.uint8))).is_tiled


@pytest.mark.parametrize("internal", [True, False])
def test_a_mask_beside_the_pixels_is_seen(tif: Tif, internal: bool) -> None:
    mask = np.array([[255, 0, 255]], np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = tif("masked.tif", np.ones((1, 1, 3), np.uint8), mask=mask)
    assert Path(path + ".msk").exists() != internal
    source = inspect(path)
    assert source.dataset_mask
    assert len(source.files) == (1 if internal else 2)


def test_alpha_and_nodata_are_no_dataset_mask(tif: Tif) -> None:
    data = np.full((4, 2, 3), 255, np.uint8)
    rgba = tif("rgba.tif", data, colors=["red", "green", "blue", "alpha"])
    assert not inspect(rgba).dataset_mask
    assert inspect(rgba).colors == ("red", "green", "blue", "alpha")
    assert not inspect(tif("nodata.tif", data[:1], nodata=0)).dataset_mask


@pytest.mark.parametrize(
    ("tags", "nanometres"),
    [
        ({"wavelength": "842"}, 842.0),
        ({"wavelength": "0.56", "wavelength_units": "Micrometers"}, 560.0),
        ({"wavelength": "0.717"}, 717.0),
        ({"Wavelength": "668.0", "Wavelength_Units": "Nanometers"}, 668.0),
        ({"wavelength": "475 nm"}, 475.0),
        ({"wavelength": "short"}, None),
        ({"wavelength": ""}, None),
        ({"wavelength": "nan"}, None),
        ({"wavelength": "-5"}, None),
        ({}, None),
    ],
)
def test_wavelengths_from_band_tags(
    tif: Tif, tags: dict[str, str], nanometres: float | None
) -> None:
    path = tif("band.tif", np.zeros((1, 2, 2), np.uint8), band_tags=[tags])
    assert inspect(path).wavelengths_nm == (nanometres,)


def test_wavelengths_from_the_imagery_domain(tif: Tif) -> None:
    path = tif("band.tif", np.zeros((1, 2, 2), np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.56")
    assert inspect(path).wavelengths_nm == (560.0,)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "gone.tif")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path)


def test_a_file_that_is_no_raster(tmp_path: Path) -> None:
    path = tmp_path / "notes.tif"
    path.write_text("first line\nsecond line\n")
    assert "cannot be opened as a raster" in refused(path)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    path.touch()
    assert "cannot be opened as a raster" in refused(path)


@pytest.mark.parametrize("kept", [4, 8, 100])
def test_a_header_that_was_cut_off(tif: Tif, kept: int) -> None:
    path = Path(tif("cut.tif", np.zeros((2, 30, 40), np.uint16), compress="deflate"))
    # GDAL writes the directory first, so what is left is a part of the header.
    path.write_bytes(path.read_bytes()[:kept])
    assert "cannot be opened as a raster" in refused(path)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_numbers(tif: Tif, dtype: str) -> None:
    if dtype == "complex_int16":
        path = tif("sar.tif", np.zeros((1, 2, 3), np.complex64), dtype=dtype)
    else:
        path = tif("sar.tif", np.zeros((1, 2, 3), dtype))
    assert f"complex numbers ({dtype})" in refused(path)


def test_ground_control_points_only(tif: Tif) -> None:
    corners = [
        (0, 0, 5e5, 5e6),
        (0, 9, 5.001e5, 5e6),
        (9, 0, 5e5, 4.999e6),
        (9, 9, 5.001e5, 4.999e6),
    ]
    points = [GroundControlPoint(row, col, x, y) for row, col, x, y in corners]
    utm = CRS.from_epsg(32633)
    path = tif("frame.tif", np.zeros((1, 9, 9), np.uint8), transform=None, gcps=points, crs=utm)
    message = refused(path)
    assert "4 ground control points" in message
    assert f'gdalwarp -tps -r cubic "{path}" frame_warped.tif' in message


def test_rational_polynomials_only(tif: Tif) -> None:
    path = tif("sat.tif", np.zeros((1, 9, 9), np.uint8), crs=None, transform=None)
    terms = " ".join(["1"] + ["0"] * 19)
    rpc = {"LINE_OFF": "4", "SAMP_OFF": "4", "LAT_OFF": "51", "LONG_OFF": "11"}
    rpc |= {"HEIGHT_OFF": "100", "LINE_SCALE": "5", "SAMP_SCALE": "5", "LAT_SCALE": "0.1"}
    rpc |= {"LONG_SCALE": "0.1", "HEIGHT_SCALE": "100"}
    rpc |= {f"{k}_COEFF": terms for k in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN")}
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="RPC", **rpc)
    message = refused(path)
    assert "(RPC)" in message
    assert "gdalwarp -rpc" in message


def test_arrays_of_coordinates_only(tif: Tif) -> None:
    path = tif("swath.tif", np.zeros((1, 9, 9), np.uint8), crs=None, transform=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="GEOLOCATION", X_DATASET="x.tif", Y_DATASET="y.tif")
    assert "gdalwarp -geoloc" in refused(path)


def test_a_file_of_datasets(tif: Tif) -> None:
    data = np.zeros((1, 8, 8), np.uint8)
    path = tif("many.gpkg", data, driver="GPKG", RASTER_TABLE="one")
    tif("many.gpkg", data, driver="GPKG", RASTER_TABLE="two", APPEND_SUBDATASET="YES")
    message = refused(path)
    assert "no bands but 2 datasets inside" in message
    assert f"GPKG:{path}:one" in message


def test_blocks_too_large_to_decode(tif: Tif, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tif("huge.tif", np.zeros((3, 8, 100), np.uint8), interleave="pixel", blockysize=8)
    assert inspect(path).block_bytes == 2400
    monkeypatch.setattr(source_module, "_MAX_BLOCK_BYTES", 2399)
    message = refused(path)
    assert "blocks of 100 x 8 pixels" in message
    assert "gdal_translate" in message


@pytest.mark.parametrize("gone", [0, 1])
def test_a_virtual_raster_without_its_files(tif: Tif, tmp_path: Path, gone: int) -> None:
    parts = [tif(f"part{k}.tif", np.full((1, 2, 2), k, np.uint8)) for k in (0, 1)]
    sources = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="0">{part}</SourceFilename>'
        f'<SourceBand>1</SourceBand><DstRect xOff="{2 * k}" yOff="0" xSize="2" ySize="2"/>'
        "</SimpleSource>"
        for k, part in enumerate(parts)
    )
    path = tmp_path / "mosaic.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1">'
        f"{sources}</VRTRasterBand></VRTDataset>"
    )
    assert inspect(path).driver == "VRT"
    Path(parts[gone]).unlink()
    message = refused(path)
    assert f"{parts[gone]} is missing" in message


def test_a_virtual_raster_in_a_virtual_raster(tif: Tif, tmp_path: Path) -> None:
    """Its part is XML in the place of a path, and not missing."""
    band = '<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>'
    tail = "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    head = '<VRTDataset rasterXSize="4" rasterYSize="2">'
    inner = f" \n{head}\n{band}{tif('part.tif', np.zeros((1, 2, 4), np.uint8))}{tail}"
    escaped = inner.replace("<", "&lt;").replace(">", "&gt;")
    path = tmp_path / "nested.vrt"
    path.write_text(f"{head}{band}{escaped}{tail}")
    assert inspect(path).geobox.width == 4


@pytest.mark.parametrize("epsg", [4326, 4258, 4807])
def test_metres_in_a_system_of_degrees(tif: Tif, epsg: int) -> None:
    path = tif("odd.tif", np.zeros((1, 4, 5), np.uint8), crs=CRS.from_epsg(epsg))
    message = refused(path)
    assert f"EPSG:{epsg}" in message
    assert "x = 400000, y = 5600000" in message
    assert "gdal_edit.py -a_srs" in message


@pytest.mark.parametrize("left", [-180.125, -0.125])
def test_grids_of_the_whole_globe_are_fine(tif: Tif, left: float) -> None:
    globe = Affine(0.25 * 145, 0, left, 0, -0.25 * 145, 90.125)
    path = tif(
        "globe.tif", np.zeros((1, 5, 10), np.uint8), crs=CRS.from_epsg(4326), transform=globe
    )
    assert inspect(path).geobox.width == 10


def test_looking_leaves_nothing_behind(tif: Tif, tmp_path: Path) -> None:
    path = tif("field.tif", np.random.default_rng(1).random((2, 30, 40), np.float32))
    inspect(path)
    assert [p.name for p in tmp_path.iterdir()] == ["field.tif"]
