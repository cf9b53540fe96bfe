"""Labels from rasters: what their values mean, and where they lie."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import Resampling, reproject

from agriseg.errors import LabelError, ReadError
from agriseg.geobox import Window
from agriseg.labels import LabelledScene
from tests.labels.support import codes_of, material, write_picture, write_scene
from tests.support import NORTH_UP, UTM, write_raster

RNG = np.random.default_rng(5)
CLASSES: NDArray[np.uint8] = RNG.integers(0, 3, (30, 40)).astype(np.uint8)
PALETTE = {0: (0, 0, 0, 255), 1: (0, 255, 0, 255), 2: (255, 0, 0, 255)}
RGB = np.array([PALETTE[k][:3] for k in range(3)], np.uint8)[CLASSES].transpose(2, 0, 1)
BY_COLOR = {"#000000": "soil", "#00FF00": "crop", "#ff0000": "weed"}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_scene(tmp_path / "s.tif")
    return tmp_path


def one(base: Path, **more: Any) -> LabelledScene:
    return material(base, {"kind": "scenes", "scenes": "s.tif", "labels": "l.tif", **more}).scenes[
        0
    ]


def notes(labelled: LabelledScene) -> str:
    labels: Any = labelled.labels
    return " ".join(labels.look(labelled.scene))


def test_values_are_those_of_the_legend(base: Path) -> None:
    data = CLASSES.copy()
    data[3:5] = 255
    write_raster(base / "l.tif", data[None])
    np.testing.assert_array_equal(codes_of(one(base)), data)
    assert notes(one(base)) == ""


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32"])
def test_values_ranges_and_the_rest(base: Path, kind: str) -> None:
    data = np.zeros((1, 30, 40), kind)
    data[0, 0, :5] = [10, 99, 100, 101, 120]
    write_raster(base / "l.tif", data)
    labelled = one(
        base, values={0: "soil", "10-99": "crop", 101: "weed or soil", "other": "ignore"}
    )
    assert codes_of(labelled)[0, :6].tolist() == [1, 1, 255, 3, 255, 0]


def test_values_that_are_not_listed(base: Path) -> None:
    data = CLASSES.copy()
    data[2, 3:6] = 7
    write_raster(base / "l.tif", data[None])
    with pytest.raises(LabelError, match=r"the value 7 in 3 pixels that values do not list \(they"):
        codes_of(one(base))


def test_missing_values_are_ignored_unless_they_are_listed(base: Path) -> None:
    write_raster(base / "l.tif", CLASSES[None], nodata=2)
    assert (codes_of(one(base))[CLASSES == 2] == 255).all()
    listed = one(base, values={0: "soil", 1: "crop", 2: "weed"})
    np.testing.assert_array_equal(codes_of(listed), CLASSES)


def test_floats_that_are_not_numbers_are_ignored(base: Path) -> None:
    data = CLASSES.astype(np.float32)
    data[1, 1] = np.nan
    write_raster(base / "l.tif", data[None])
    codes = codes_of(one(base))
    assert codes[1, 1] == 255
    assert (codes != 255).sum() == codes.size - 1


def test_colours_of_a_picture_and_its_alpha(base: Path) -> None:
    alpha = np.full((1, 30, 40), 255, np.uint8)
    alpha[0, :4] = 0
    write_picture(base / "l.png", np.concatenate([RGB, alpha]))
    codes = codes_of(one(base, labels="l.png", values=BY_COLOR))
    assert (codes[:4] == 255).all()
    np.testing.assert_array_equal(codes[4:], CLASSES[4:])


@pytest.mark.parametrize("values", [BY_COLOR, {0: "soil", 1: "crop", 2: "weed"}, None])
def test_a_palette_by_colours_or_by_numbers(base: Path, values: Any) -> None:
    import rasterio

    write_picture(base / "l.png", CLASSES[None])
    with rasterio.open(base / "l.png") as dataset:
        profile = dataset.profile
    with rasterio.open(base / "l.png", "w", **profile) as dataset:
        dataset.write(CLASSES[None])
        dataset.write_colormap(1, PALETTE)
    more = {} if values is None else {"values": values}
    np.testing.assert_array_equal(codes_of(one(base, labels="l.png", **more)), CLASSES)


def test_grey_pictures_of_three_bands_count_as_one(base: Path) -> None:
    write_picture(base / "l.png", np.repeat(CLASSES[None], 3, axis=0))
    np.testing.assert_array_equal(codes_of(one(base, labels="l.png")), CLASSES)
    write_picture(base / "l.png", RGB)
    with pytest.raises(LabelError, match="a picture in colours, and values list numbers"):
        codes_of(one(base, labels="l.png"))


def test_colours_that_a_jpeg_has_blurred(base: Path) -> None:
    blocks = np.zeros((32, 48), np.uint8)
    blocks[:, 16:32], blocks[16:, 32:] = 1, 2
    rgb = np.array([PALETTE[k][:3] for k in range(3)], np.uint8)[blocks].transpose(2, 0, 1)
    write_picture(base / "l.jpg", rgb, quality=75)
    write_scene(base / "s.tif", 32, 48)
    labelled = one(base, labels="l.jpg", values=BY_COLOR)
    assert (codes_of(labelled) == blocks).mean() > 0.97
    assert "packed with loss" in notes(labelled)


@pytest.mark.parametrize("colors", [True, False])
def test_the_rest_of_a_jpeg(base: Path, colors: bool) -> None:
    blocks = np.zeros((32, 48), np.uint8)
    blocks[:, 16:32], blocks[16:, 32:] = 100, 255
    blocks = np.clip(blocks + RNG.integers(-9, 9, blocks.shape), 0, 255).astype(np.uint8)
    write_picture(base / "l.jpg", np.repeat(blocks[None], 3, axis=0), quality=90)
    write_scene(base / "s.tif", 32, 48)
    values = {"#ffffff": "crop"} if colors else {255: "crop", "90-110": "weed"}
    codes = codes_of(one(base, labels="l.jpg", values={**values, "other": "soil"}))
    assert ((codes == 1) == (blocks > 200)).mean() > 0.97
    if not colors:
        middle = codes[:, 18:30] == 2
        assert middle.mean() > 0.8
    else:
        assert (codes[:, :30] == 0).all()


def test_one_pixel_larger_lies_where_it_says(base: Path) -> None:
    larger = np.full((31, 41), 9, np.uint8)
    larger[1:, 1:] = CLASSES
    transform = NORTH_UP @ Affine.translation(-1, -1)
    write_raster(base / "l.tif", larger[None], transform=transform)
    np.testing.assert_array_equal(codes_of(one(base)), CLASSES)


def test_one_pixel_larger_without_a_place_is_refused(base: Path) -> None:
    write_picture(base / "l.png", np.zeros((1, 31, 41), np.uint8))
    with pytest.raises(LabelError, match=r"has 41 x 31 pixels, s 40 x 30; give labels of the same"):
        codes_of(one(base, labels="l.png"))
    write_picture(base / "l.png", np.zeros((1, 40, 30), np.uint8))
    with pytest.raises(LabelError, match="turned by a quarter"):
        codes_of(one(base, labels="l.png"))


def test_pictures_without_a_place_are_laid_pixel_by_pixel(base: Path) -> None:
    write_picture(base / "l.png", CLASSES[None])
    labelled = one(base, labels="l.png")
    np.testing.assert_array_equal(codes_of(labelled), CLASSES)
    assert "no CRS: pixels are paired" in notes(labelled)


@pytest.mark.parametrize("factor", [3.0, 0.5, 1.73])
def test_another_pixel_size_takes_the_nearest(base: Path, factor: float) -> None:
    transform = NORTH_UP @ Affine.translation(-2, 3) @ Affine.scale(factor)
    data = RNG.integers(0, 3, (1, 25, 33)).astype(np.uint8)
    write_raster(base / "l.tif", data, transform=transform)
    labelled = one(base)
    rows, cols = np.mgrid[:30, :40] + 0.5
    col = np.floor((cols + 2) / factor).astype(int)
    row = np.floor((rows - 3) / factor).astype(int)
    inside = (row >= 0) & (row < 25) & (col >= 0) & (col < 33)
    truth = np.where(inside, data[0, row.clip(0, 24), col.clip(0, 32)], 255)
    np.testing.assert_array_equal(codes_of(labelled), truth)
    assert "the nearest label" in notes(labelled)
    with labelled.labels.open(labelled.scene) as reader:
        window = Window(7, 4, 20, 11)
        np.testing.assert_array_equal(reader.read(window), truth[window.slices])


@pytest.mark.parametrize("crs", [CRS.from_epsg(4326), CRS.from_epsg(3857)])
def test_another_crs_is_brought_in(base: Path, crs: CRS) -> None:
    import rasterio.warp

    bounds = (NORTH_UP.c, NORTH_UP.f - 0.6, NORTH_UP.c + 0.8, NORTH_UP.f)
    transform, width, height = rasterio.warp.calculate_default_transform(UTM, crs, 40, 30, *bounds)
    blocks = np.zeros((30, 40), np.uint8)
    blocks[10:25, 8:30] = 1
    moved = np.full((height, width), 255, np.uint8)
    reproject(
        blocks, moved, src_transform=NORTH_UP, src_crs=UTM, dst_transform=transform, dst_crs=crs,
        resampling=Resampling.nearest, dst_nodata=255, src_nodata=9,
    )  # fmt: skip
    write_raster(base / "l.tif", moved[None], crs=crs, transform=transform)
    labelled = one(base)
    codes = codes_of(labelled)
    known = codes != 255
    assert known.mean() > 0.9
    assert (codes == blocks)[known].mean() > 0.93
    assert "each pixel takes the nearest label" in notes(labelled)


def test_a_turned_scene_takes_labels_that_lie_straight(base: Path) -> None:
    turned = NORTH_UP @ Affine.translation(5, 5) @ Affine.rotation(30) @ Affine.scale(0.5)
    write_scene(base / "s.tif", transform=turned)
    write_raster(base / "l.tif", CLASSES[None])
    labelled = one(base)
    back = ~NORTH_UP @ turned
    truth = np.full((30, 40), 255, np.uint8)
    for row in range(30):
        for col in range(40):
            c, r = back @ (col + 0.5, row + 0.5)
            if 0 <= c < 40 and 0 <= r < 30:
                truth[row, col] = CLASSES[int(r), int(c)]
    # The warper may take the neighbour where a centre lies on an edge.
    assert (codes_of(labelled) == truth).mean() > 0.99
    assert "is turned against" in notes(labelled)


def test_labels_of_another_place_are_refused(base: Path) -> None:
    write_raster(base / "l.tif", CLASSES[None], transform=NORTH_UP @ Affine.translation(500, 0))
    with pytest.raises(LabelError, match="lie outside of the scene"):
        codes_of(one(base))


@pytest.mark.parametrize(
    ("data", "values", "said"),
    [
        (np.zeros((2, 30, 40), np.uint8), None, "has 2 bands; labels have one"),
        (CLASSES[None], BY_COLOR, "one band without a palette, and values list colours"),
        (CLASSES[None], {"#000000": "soil", 1: "crop"}, "values list colours and numbers"),
        (CLASSES[None], {"beet": "crop"}, "'beet' is no class of .* which names no classes"),
    ],
)
def test_files_that_do_not_fit_their_values(
    base: Path, data: NDArray[np.uint8], values: Any, said: str
) -> None:
    write_raster(base / "l.tif", data)
    with pytest.raises(LabelError, match=said):
        codes_of(one(base, **({} if values is None else {"values": values})))


def test_a_damaged_file_is_named_and_fails_again(base: Path) -> None:
    noise = RNG.integers(0, 3, (1, 300, 300)).astype(np.uint8)
    write_scene(base / "s.tif", 300, 300)
    path = write_raster(base / "l.tif", noise, compress="deflate", tiled=True, blockxsize=128,
                        blockysize=128)  # fmt: skip
    path.write_bytes(path.read_bytes()[:20_000])
    labelled = one(base)
    with labelled.labels.open(labelled.scene) as reader:
        for _ in range(2):
            with pytest.raises(ReadError, match=r"l.tif: the pixels of columns"):
                reader.read(Window(150, 150, 150, 150))


def test_labels_are_values_that_travel(base: Path) -> None:
    write_raster(base / "l.tif", CLASSES[None])
    labelled = one(base)
    again = pickle.loads(pickle.dumps(labelled))
    assert again == labelled
    np.testing.assert_array_equal(codes_of(again), CLASSES)
