"""Scenes of several files: grids that differ, views of other sizes, files that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from agriseg.errors import BandError, InputError, OptionError
from agriseg.geobox import GeoBox, Window
from agriseg.raster import open_scene
from agriseg.raster import reader as reader_module

Tif = Callable[..., str]

UTM = CRS.from_epsg(32633)
H, W = 23, 37


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def all_windows(width: int, height: int) -> st.SearchStrategy[Window]:
    """Any window of a raster."""

    def window(cols: tuple[int, int], rows: tuple[int, int]) -> Window:
        (left, right), (top, bottom) = sorted(cols), sorted(rows)
        return Window(left, top, right - left + 1, bottom - top + 1)

    pair = st.tuples(st.integers(0, width - 1), st.integers(0, width - 1))
    down = st.tuples(st.integers(0, height - 1), st.integers(0, height - 1))
    return st.builds(window, pair, down)


@pytest.fixture
def files(tif: Tif, random: np.random.Generator) -> dict[str, str]:
    """Red 0.5 m; rededge 1 m, half a pixel to the west and north; nir on a part of red's grid."""
    red = random.integers(1, 10_000, (1, H, W)).astype(np.uint16)
    nir = random.integers(1, 10_000, (1, 9, 14)).astype(np.uint16)
    edge = random.integers(1, 10_000, (1, 14, 22)).astype(np.uint16)
    edge[0, 4:6, 7] = 0
    return {
        "red": tif("red.tif", red, transform=Affine(0.5, 0, 1000, 0, -0.5, 2000)),
        "nir": tif("nir.tif", nir, transform=Affine(0.5, 0, 1003, 0, -0.5, 1998)),
        "rededge": tif("edge.tif", edge, nodata=0, transform=Affine(1, 0, 999.5, 0, -1, 2000.5)),
    }


def test_files_are_laid_onto_the_finest_grid(files: dict[str, str]) -> None:
    scene = open_scene(files, scale=1e-4)
    with rasterio.open(files["red"]) as dataset:
        red = dataset.read(1)
        assert scene.geobox == GeoBox(UTM, dataset.transform, W, H)
    with rasterio.open(files["nir"]) as dataset:
        nir = dataset.read(1)
    pixels = scene.read(keys=["red", "nir"])
    np.testing.assert_allclose(pixels.data[0], red / 1e4, rtol=1e-6)
    inside = Window(6, 4, 14, 9)
    np.testing.assert_allclose(pixels.data[1][inside.slices], nir / 1e4, rtol=1e-6)
    expected = np.zeros((H, W), bool)
    expected[inside.slices] = True
    np.testing.assert_array_equal(pixels.valid, expected)


def test_a_coarse_band_is_interpolated_where_it_should_be(files: dict[str, str]) -> None:
    pixels = open_scene(files, scale=1).read(keys=["rededge"])
    with rasterio.open(files["rededge"]) as dataset:
        edge = dataset.read(1).astype(float)
    # Target (10, 20) has its centre at x = 1010.25, y = 1994.75: source position 10.75, 5.75, which
    # is 10.25, 5.25 counted from the first pixel's centre.
    block = edge[5:7, 10:12]
    down, across = np.array([0.75, 0.25]), np.array([0.75, 0.25])
    assert pixels.data[0, 10, 20] == pytest.approx(down @ block @ across)
    # Red reaches beyond the 14 rows and 22 columns only where none are; the hole stays a hole.
    hole = ~pixels.valid
    assert hole[7:11, 13:16].any()
    assert hole.sum() <= 16


@given(window=all_windows(W, H))
def test_a_window_is_a_part_of_the_whole(window: Window, whole_scene: Any) -> None:
    scene, whole = whole_scene
    part = scene.read(window)
    np.testing.assert_array_equal(part.valid, whole.valid[window.slices])
    expected = whole.data[(..., *window.slices)]
    np.testing.assert_allclose(part.data[:, part.valid], expected[:, part.valid], rtol=1e-5)


@pytest.fixture(scope="module")
def whole_scene(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A scene with a coarser, a finer and a flipped band, with holes, and all of its pixels."""
    folder = tmp_path_factory.mktemp("scene")
    random = np.random.default_rng(3)
    grids = {
        "red": (Affine(0.5, 0, 1000, 0, -0.5, 2000), (H, W)),
        "nir": (Affine(1.3, 0, 998, 0, -1.1, 2001), (13, 17)),
        "rededge": (Affine(1, 0, 999.75, 0, 1, 1987), (14, 20)),
    }
    files = {}
    for role, (transform, shape) in grids.items():
        data = random.random(shape, np.float32)
        data[random.random(shape) < 0.05] = np.nan
        files[role] = str(folder / f"{role}.tif")
        size = {"height": shape[0], "width": shape[1], "count": 1, "dtype": "float32"}
        where = {"crs": UTM, "transform": transform}
        with rasterio.open(files[role], "w", driver="GTiff", **size, **where) as dataset:
            dataset.write(data, 1)
    scene = open_scene(files)
    whole = scene.read()
    assert 0.3 < whole.valid.mean() < 1
    return scene, whole


def test_a_finer_view_and_a_coarser_one(tif: Tif, random: np.random.Generator) -> None:
    data = random.random((1, 24, 36), np.float32)
    scene = open_scene(tif("a.tif", data), bands="red")
    coarse = scene.at_gsd(2.0).read()
    assert coarse.data.shape == (1, 6, 9)
    means = data.reshape(1, 6, 4, 9, 4).mean((2, 4))
    np.testing.assert_allclose(coarse.data, means, rtol=1e-5)
    assert scene.at_gsd(0.25).read().data.shape == (1, 48, 72)


@pytest.mark.parametrize("strip_bytes", [1, 1000, 64 << 20])
@pytest.mark.parametrize("patch", [1, 5, 256])
def test_patches_do_not_show(
    whole_scene: Any, monkeypatch: pytest.MonkeyPatch, patch: int, strip_bytes: int
) -> None:
    """What bounds memory changes nothing else."""
    scene, whole = whole_scene
    monkeypatch.setattr(reader_module, "_PATCH", patch)
    monkeypatch.setattr(reader_module, "_STRIP_BYTES", strip_bytes)
    again = scene.read()
    np.testing.assert_array_equal(again.valid, whole.valid)
    np.testing.assert_allclose(again.data[:, again.valid], whole.data[:, whole.valid], rtol=1e-5)


def test_a_window_reads_what_it_needs(whole_scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, _ = whole_scene
    read: list[Window] = []
    plain = reader_module._File._fetch_source

    def counted(file: Any, window: Window) -> Any:
        read.append(window)
        return plain(file, window)

    monkeypatch.setattr(reader_module._File, "_fetch_source", counted)
    scene.read(Window(10, 12, 4, 3))
    # At most the pixels under the window and one more on each side.
    assert len(read) == 3
    assert max(window.width for window in read) <= 5
    assert max(window.height for window in read) <= 5


def test_a_very_wide_row_takes_no_square_of_memory(tif: Tif) -> None:
    """Dense weights over 120,000 columns would take 29 GB."""
    fine = np.tile(np.float32([0.1, 0.3]), 60_000)[None, None]
    coarse = np.full((1, 1, 60_000), 0.5, np.float32)
    files = {
        "red": tif("red.tif", fine, transform=Affine(0.5, 0, 0, 0, -0.5, 0)),
        "nir": tif("nir.tif", coarse, transform=Affine(1, 0, 0, 0, -1, 0)),
    }
    pixels = open_scene(files).read()
    assert pixels.valid.all()
    assert pixels.data[1] == pytest.approx(0.5)


def test_alpha_in_a_file_of_its_own(tif: Tif) -> None:
    alpha = np.full((1, 2, 3), 255, np.uint8)
    alpha[0, 0, 1] = 0
    files = {
        "red": tif("red.tif", np.full((1, 2, 3), 10, np.uint8)),
        "nir": tif("nir.tif", np.full((1, 2, 3), 20, np.uint8)),
        "alpha": tif("alpha.tif", alpha),
    }
    scene = open_scene(files, scale=1)
    for keys in (None, ["nir"], ["red", "nir"]):
        pixels = scene.read(keys=keys)
        np.testing.assert_array_equal(pixels.valid, alpha[0] > 0)
    assert pixels.data[:, 1, 2].tolist() == [10, 20]


def test_alpha_beside_each_band(tif: Tif) -> None:
    def pair(name: str, gap: int) -> str:
        data = np.array([[[50, 60, 70]], [[255, 255, 255]]], np.uint8)
        data[1, 0, gap] = 0
        return tif(name, data, colors=["gray", "alpha"])

    files = {"red": pair("red.tif", 0), "nir": pair("nir.tif", 2)}
    assert open_scene(files).read().valid[0].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("crs", "transform", "words"),
    [
        (CRS.from_epsg(32632), Affine(1, 0, 1000, 0, -1, 2000), "EPSG:32632"),
        (None, Affine(1, 0, 1000, 0, -1, 2000), "no CRS"),
        (UTM, Affine.translation(1000, 2000) @ Affine.rotation(5) @ Affine.scale(1, -1), "turned"),
        # Beside it on each of the four sides, and touching it.
        (UTM, Affine(1, 0, 1020, 0, -1, 2000), "do not meet"),
        (UTM, Affine(1, 0, 980, 0, -1, 2000), "do not meet"),
        (UTM, Affine(1, 0, 1000, 0, -1, 2020), "do not meet"),
        (UTM, Affine(1, 0, 1000, 0, -1, 1980), "do not meet"),
    ],
)
def test_files_that_are_no_scene(tif: Tif, crs: CRS | None, transform: Affine, words: str) -> None:
    files = {
        "red": tif(
            "red.tif", np.ones((1, 40, 40), np.uint8), transform=Affine(0.5, 0, 1000, 0, -0.5, 2000)
        ),
        "nir": tif("nir.tif", np.ones((1, 20, 20), np.uint8), crs=crs, transform=transform),
    }
    with pytest.raises(InputError) as caught:
        open_scene(files)
    assert words in str(caught.value)
    assert "nir.tif" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_given_wrongly(tif: Tif) -> None:
    one = tif("one.tif", np.ones((1, 3, 4), np.uint8))
    three = tif("three.tif", np.ones((3, 3, 4), np.uint8))
    with pytest.raises(OptionError, match="no file is given"):
        open_scene({})
    with pytest.raises(OptionError, match="is empty"):
        open_scene("")
    with pytest.raises(BandError, match=r"three\.tif: the file has 3 bands, one is expected"):
        open_scene({"red": one, "nir": three})
    with pytest.raises(BandError, match="'grean' is unknown"):
        open_scene({"grean": one})
    with pytest.raises(OptionError, match="each file is one band"):
        open_scene({"red": one}, bands="red")
    with pytest.raises(BandError, match="only an alpha band"):
        open_scene({"alpha": one})
    with pytest.raises(OptionError, match="'growthstage' is unknown; did you mean growth_stage"):
        open_scene(one, about={"growthstage": "BBCH 30"})
    with pytest.raises(OptionError, match="'a=b' cannot be a name"):
        open_scene(one, about={"a=b": "c"})
    # A fact of one's own travels, if it is not a slip of the pen.
    assert open_scene(one, bands="red", about={"farmer": "Ann"}).about == {"farmer": "Ann"}


def test_readers_share_files(tif: Tif, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is opened once for all readers, and stays open until the last is done."""
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 100
    scene = open_scene(tif("two.tif", data, descriptions=("red", "nir")), scale=1)
    opened: list[str] = []
    plain = reader_module.RasterFile.__init__

    def noted(file: Any, path: str) -> None:
        opened.append(path)
        plain(file, path)

    monkeypatch.setattr(reader_module.RasterFile, "__init__", noted)
    with reader_module.OpenFiles() as files:
        with reader_module.SceneReader(scene, ["red"], files) as red:
            first = red.read(Window(0, 0, 4, 3)).data
        with reader_module.SceneReader(scene, ["nir"], files) as nir:
            second = nir.read(Window(0, 0, 4, 3)).data
        handle = files.open(opened[0]).dataset
        assert not handle.closed
    np.testing.assert_array_equal(np.concatenate([first, second]), data)
    assert handle.closed
    assert len(opened) == 1
