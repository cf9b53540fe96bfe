"""Rasters of indices: streamed, on the grid of the scene, and never in the place of an input."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray

import agriseg
from agriseg.errors import BandError, InputError, OptionError, OutputError
from agriseg.indices import find_index, verb, write_indices
from agriseg.raster import open_scene
from tests.support import DATA, UTM, write_raster

BANDS = ("Blue", "Green", "Red", "Red edge", "NIR")
B, G, R, E, N = range(5)


def reflectances(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(0.02, 0.6, (5, height, width)).astype(np.float32)


def a_field(path: Path, data: NDArray[Any], **how: Any) -> Path:
    return write_raster(path, data, descriptions=BANDS, **how)


def read(path: Path) -> NDArray[np.float32]:
    with rasterio.open(path) as dataset:
        found: NDArray[np.float32] = dataset.read()
    return found


def test_ndvi_and_ndre_by_default(tmp_path: Path) -> None:
    data = reflectances(37, 53)
    data[:, :5, :7] = -10000
    turned = Affine(0.047, 0.018, 282_065.25, 0.018, -0.047, 4_050_618.64)
    source = a_field(tmp_path / "my field.tif", data, nodata=-10000, transform=turned)
    out = write_indices(source, None, tmp_path / "indices.tif")
    assert out == tmp_path / "indices.tif"
    expected = np.stack([(data[N] - data[k]) / (data[N] + data[k]) for k in (R, E)])
    expected[:, :5, :7] = np.nan
    np.testing.assert_allclose(read(out), expected, rtol=1e-5, atol=1e-7)
    with rasterio.open(out) as dataset:
        assert (dataset.transform, dataset.crs) == (turned, UTM)
        assert dataset.descriptions == ("NDVI", "NDRE")
        assert dataset.tags()["AGRISEG_SCENE"] == "my field"
        assert dataset.tags(2)["formula"] == "(N-RE)/(N+RE)"
        assert dataset.tags(2)["bands"] == "N = nir, RE = rededge"
        assert "Barnes" in dataset.tags(2)["reference"]


@pytest.mark.parametrize("tiled", [False, True])
def test_streaming_equals_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiled: bool
) -> None:
    """Whatever the windows are, and however many threads there are."""
    height, width = (67, 45) if tiled else (53, 1100)  # narrow strips are as good as tiles
    data = reflectances(height, width)
    data[:, 20:40, 10:12] = np.nan
    data[B, 50:, :20] = np.nan  # a hole that NDVI does not have
    how = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    source = a_field(tmp_path / "field.tif", data, **how)
    names = ["NDVI", "EVI", "GLI", "NDRE"]
    whole = write_indices(source, names, tmp_path / "whole.tif")
    monkeypatch.setattr(verb, "_WINDOW_PIXELS", 16 * 32 if tiled else width * 3)
    monkeypatch.setattr(verb, "_BLOCK", 16)
    monkeypatch.setattr(verb, "cores", lambda _: 3)
    windows, strip_rows = verb._windows(open_scene(source))
    assert len(windows) == (10 if tiled else 18)
    assert strip_rows == (None if tiled else 3)
    parts = write_indices(source, names, tmp_path / "parts.tif")
    np.testing.assert_array_equal(read(parts), read(whole))
    for k, name in enumerate(names):
        alone = write_indices(source, name, tmp_path / "alone.tif")
        np.testing.assert_array_equal(read(alone)[0], read(whole)[k])
    holes = [int(np.isnan(plane).sum()) for plane in read(whole)]
    blue = 20 * (height - 50)
    assert holes == [40, 40 + blue, 40 + blue, 40]


def test_the_same_scene_makes_the_same_bytes(tmp_path: Path) -> None:
    source = a_field(tmp_path / "field.tif", reflectances(530, 601))
    a, b = (write_indices(source, "NDVI,SAVI", tmp_path / name) for name in ("a.tif", "b.tif"))
    assert a.read_bytes() == b.read_bytes()


def test_dates_of_a_stack(tmp_path: Path) -> None:
    data = reflectances(9, 14)[:4]
    source = write_raster(tmp_path / "two.tif", data)
    bands = "red@may,nir@may,red@june,nir@june"
    out = write_indices(source, None, tmp_path / "out.tif", bands=bands)
    with rasterio.open(out) as dataset:
        assert dataset.descriptions == ("NDVI@may", "NDVI@june")
        assert dataset.tags(2)["bands"] == "N = nir@june, R = red@june"
    june = (data[3] - data[2]) / (data[3] + data[2])
    np.testing.assert_allclose(read(out)[1], june, rtol=1e-5, atol=1e-7)


def test_pictures_get_ratios_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (3, 11, 17), dtype=np.uint8)
    picture[:, 3, 4] = 0  # black: 0 / 0
    source = write_raster(tmp_path / "rgb.tif", picture, photometric="RGB")
    out = write_indices(source, None, tmp_path / "out.tif")
    red, green, blue = picture.astype(float)
    with np.errstate(invalid="ignore"):
        gli = (2 * green - red - blue) / (2 * green + red + blue)
    np.testing.assert_allclose(read(out)[0], gli, rtol=1e-5, atol=1e-6)
    assert np.isnan(read(out)[0, 3, 4])
    with pytest.raises(OptionError, match=r"SI = .*holds relative"):
        write_indices(source, "GLI,SI", tmp_path / "out.tif")
    with caplog.at_level(logging.WARNING):
        write_indices(source, "SI", tmp_path / "out.tif", uncalibrated=True)
    assert "SI is computed of relative" in caplog.text


def test_digital_numbers_need_a_scale(tmp_path: Path) -> None:
    counts = (reflectances(9, 14) * 10000).astype(np.uint16)
    source = a_field(tmp_path / "counts.tif", counts)
    with pytest.raises(OptionError, match=r"EVI = .*holds DN"):
        write_indices(source, "EVI", tmp_path / "out.tif")
    out = write_indices(source, "EVI", tmp_path / "out.tif", scale=1e-4)
    b, _, r, _, n = counts / 1e4
    np.testing.assert_allclose(
        read(out)[0], 2.5 * (n - r) / (n + 6 * r - 7.5 * b + 1), rtol=1e-3, atol=1e-5
    )
    write_indices(source, "EVI", tmp_path / "raw.tif", uncalibrated=True)
    assert np.nanmax(np.abs(read(tmp_path / "raw.tif") - read(out))) > 0.1


def test_a_part_and_a_coarser_view(tmp_path: Path) -> None:
    data = reflectances(40, 60)
    source = a_field(tmp_path / "field.tif", data)
    scene = open_scene(source)
    left, bottom, right, top = scene.geobox.bounds
    bounds = (left + 0.2, bottom + 0.1, right, top - 0.4)
    out = write_indices(scene, ["NDVI"], tmp_path / "out.tif", bounds=bounds)
    with rasterio.open(out) as dataset:
        assert dataset.shape == (15, 50)
    whole = read(write_indices(scene, ["NDVI"], tmp_path / "whole.tif"))
    np.testing.assert_array_equal(read(out)[0], whole[0, 20:35, 10:])
    write_indices(scene, ["NDVI"], out, gsd_m=0.04)
    red, nir = (data[k].reshape(20, 2, 30, 2).mean(axis=(1, 3)) for k in (R, N))
    np.testing.assert_allclose(read(out)[0], (nir - red) / (nir + red), rtol=1e-3, atol=1e-5)


def test_what_it_says_of_the_values(tmp_path: Path) -> None:
    data = reflectances(21, 33)
    data[:, :, :3] = np.nan
    scene = open_scene(a_field(tmp_path / "field.tif", data))
    shares: list[float] = []
    made = verb.make_indices(scene, ["NDVI", "CIRE"], tmp_path / "out.tif", on_rows=shares.append)
    ndvi = read(made.path)[0]
    found = made.summaries[0]
    assert found.pixels == 21 * 30
    assert found.mean == pytest.approx(np.nanmean(ndvi.astype(float)))
    assert (found.lowest, found.highest) == (np.nanmin(ndvi), np.nanmax(ndvi))
    assert [index.name for index in made.indices] == ["NDVI", "CIRE"]
    assert shares[-1] == 1
    assert made.notes == ()


def test_an_index_without_any_value_is_told(tmp_path: Path) -> None:
    scene = open_scene(a_field(tmp_path / "dark.tif", np.zeros((5, 4, 6), np.float32)))
    made = verb.make_indices(scene, ["NDVI"], tmp_path / "out.tif")
    assert made.summaries[0] == verb.Summary(0, None, None, None)
    assert "NDVI has no value at any pixel" in made.notes
    assert np.isnan(read(made.path)).all()


@pytest.mark.parametrize("alias", [False, True])
def test_an_input_is_never_replaced(tmp_path: Path, alias: bool) -> None:
    source = a_field(tmp_path / "field.tif", reflectances(7, 9))
    before = source.read_bytes()
    out = tmp_path / "link.tif" if alias else Path(os.path.relpath(source))
    if alias:
        out.symlink_to(source)
    with pytest.raises(OutputError, match="is an input, which the indices would replace"):
        write_indices(source, "NDVI", out)
    assert source.read_bytes() == before


def test_nor_are_the_files_behind_it(tmp_path: Path) -> None:
    source = a_field(tmp_path / "field.tif", reflectances(7, 9))
    mask = write_raster(tmp_path / "scl.tif", np.zeros((1, 7, 9), np.uint8))
    with pytest.raises(OutputError, match="is an input"):
        write_indices(source, "NDVI", mask, masks=[f"{mask}:3"])
    rasterio.shutil.copy(source, tmp_path / "field.vrt", driver="VRT")
    with pytest.raises(OutputError, match="is an input"):
        write_indices(tmp_path / "field.vrt", "NDVI", source)


@pytest.mark.parametrize(
    ("names", "error", "said"),
    [
        ("NDVIX", OptionError, "did you mean NDVI"),
        ("NDMI", BandError, "lacks swir16"),
        ("NDVI,ndvi", OptionError, "NDVI is named twice"),
        ("", OptionError, "no index is named"),
        ([], OptionError, "no index is named"),
        ("TSAVI", OptionError, "needs sla"),
    ],
)
def test_names_that_cannot_be(
    tmp_path: Path, names: Any, error: type[Exception], said: str
) -> None:
    source = a_field(tmp_path / "field.tif", reflectances(7, 9))
    with pytest.raises(error, match=said):
        write_indices(source, names, tmp_path / "out.tif")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["field.tif"]


def test_places_and_options_that_cannot_be(tmp_path: Path) -> None:
    source = a_field(tmp_path / "field.tif", reflectances(7, 9))
    with pytest.raises(OptionError, match=r"ends in \.tif"):
        write_indices(source, "NDVI", tmp_path / "out.png")
    with pytest.raises(OutputError, match="there is no folder"):
        write_indices(source, "NDVI", tmp_path / "none" / "out.tif")
    with pytest.raises(OptionError, match=r"bands: .* is a scene that is open already"):
        write_indices(open_scene(source), "NDVI", tmp_path / "out.tif", bands="red,nir")
    with pytest.raises(OptionError, match="no constant of NDVI"):
        write_indices(source, "NDVI", tmp_path / "out.tif", params={"L": 1})
    unnamed = write_raster(tmp_path / "unnamed.tif", reflectances(7, 9))
    with pytest.raises(OptionError, match=r"bands of no usual index.*--bands"):
        write_indices(unnamed, None, tmp_path / "out.tif")


def test_a_damaged_file_leaves_nothing(tmp_path: Path) -> None:
    source = a_field(tmp_path / "field.tif", reflectances(300, 200), compress="deflate")
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2] + b"\0" * (len(whole) - len(whole) // 2))
    with pytest.raises(InputError, match=r"field\.tif"):
        write_indices(source, "NDVI", tmp_path / "out.tif")
    assert [one.name for one in tmp_path.iterdir()] == ["field.tif"]


def test_the_package_is_the_verb(tmp_path: Path) -> None:
    source = a_field(tmp_path / "field.tif", reflectances(7, 9))
    out = agriseg.indices(source, ["NDVI"], tmp_path / "out.tif")
    assert out == tmp_path / "out.tif"
    assert agriseg.indices.find_index is find_index  # type: ignore[attr-defined]


@pytest.mark.skipif(
    not (DATA / "scenes" / "rededge_vineyard.tif").exists(), reason=f"{DATA}/scenes is not there"
)
def test_vines_are_greener_than_the_track(tmp_path: Path) -> None:
    """A calibrated frame on a turned grid, with corners that are missing."""
    source = DATA / "scenes" / "rededge_vineyard.tif"
    out = write_indices(source, None, tmp_path / "out.tif")
    with rasterio.open(source) as dataset:
        transform, data = dataset.transform, dataset.read()
    with rasterio.open(out) as dataset:
        assert dataset.transform == transform
    ndvi, ndre = read(out)
    np.testing.assert_array_equal(np.isnan(ndvi), (data == -10000).any(axis=0))
    assert np.nanmedian(ndvi[300:600, 100:400]) > 0.6
    assert np.nanmedian(ndvi[300:600, 640:680]) < 0.25
    assert np.nanmedian(ndre[300:600, 100:400]) > np.nanmedian(ndre[300:600, 640:680])
