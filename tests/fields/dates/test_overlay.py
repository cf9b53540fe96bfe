"""Scenes and class maps on a grid that they share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from agriseg.errors import InputError
from agriseg.fields.dates.class_grid import ClassGridReader, ClassShares
from agriseg.fields.dates.overlay import GridReader, common_grid, metres_per_unit
from agriseg.geobox import GeoBox, Window
from agriseg.raster import open_scene
from tests.support import NORTH_UP, UTM, write_raster

BOX = GeoBox(UTM, NORTH_UP, 37, 23)
NAMES = ("a", "b")


def moved(box: GeoBox, cols: float, rows: float, size: tuple[int, int] | None = None) -> GeoBox:
    width, height = size or (box.width, box.height)
    return GeoBox(box.crs, box.transform @ Affine.translation(cols, rows), width, height)


def test_the_common_grid_is_the_part_that_both_show() -> None:
    assert common_grid(BOX, BOX, NAMES) == BOX
    assert common_grid(BOX, moved(BOX, 10, -5), NAMES) == BOX.crop(Window(10, 0, 27, 18))
    # Half a pixel more is a pixel of which something is shown.
    assert common_grid(BOX, moved(BOX, 10.5, 0), NAMES) == BOX.crop(Window(10, 0, 27, 23))


def test_the_coarser_grid_counts_and_the_first_where_they_are_equal() -> None:
    coarse = BOX.at_gsd(0.05)
    for pair in ((BOX, coarse), (coarse, BOX)):
        assert common_grid(*pair, NAMES).mean_gsd_m == pytest.approx(0.05)
    other = moved(BOX, 0.4, 0.3)
    assert common_grid(BOX, other, NAMES).transform == BOX.transform
    assert common_grid(other, BOX, NAMES).transform == other.transform


def test_a_grid_in_another_crs_is_found() -> None:
    lon, lat = BOX._lonlat([BOX.transform @ (18, 11)])
    step = 0.1 / 111_000
    there = GeoBox(
        CRS.from_epsg(4326), Affine(step, 0, lon[0] - 3 * step, 0, -step, lat[0] + 3 * step), 6, 6
    )
    found = common_grid(there, BOX, NAMES)
    assert found.crs == there.crs
    assert found.width == 6
    # Degrees of longitude are shorter: 0.1 m of latitude are 0.066 m of longitude.
    assert metres_per_unit(there)[0] == pytest.approx(metres_per_unit(there)[1] * 0.66, rel=0.02)


def test_what_does_not_overlap_is_refused_with_both_extents() -> None:
    words = r"out/a and out/b do not overlap: out/a spans longitude 13\.1\d+ .* out/b spans longi"
    with pytest.raises(InputError, match=words):
        common_grid(BOX, moved(BOX, 5000, 0), ("out/a", "out/b"))
    with pytest.raises(InputError, match="b has no CRS"):
        common_grid(BOX, replace(BOX, crs=None), NAMES)


def test_a_scene_is_read_alike_straight_and_by_way_of_a_warp(tmp_path: Path) -> None:
    """Smooth ground, so that both ways of interpolation are near what it truly is."""
    rows, cols = np.mgrid[:40, :50].astype(np.float32)
    data = np.stack([0.2 + 0.004 * cols + 0.002 * rows, 0.6 - 0.003 * rows])
    data[:, 14:19, 20:26] = -1
    path = write_raster(tmp_path / "a.tif", data, descriptions=["Red", "NIR"], nodata=-1)
    scene = open_scene(path, scale=1.0)
    turned = GeoBox(
        UTM,
        NORTH_UP @ Affine.translation(20, 8) @ Affine.rotation(30) @ Affine.scale(1.3),
        11,
        9,
    )
    with GridReader(scene, turned, ["nir", "red"]) as reader:
        pixels = reader.read(turned.window)
        part = reader.read(Window(3, 2, 5, 4))
    assert pixels.data.shape == (2, 9, 11)
    assert not pixels.valid.all()
    assert pixels.valid.any()
    back = ~NORTH_UP @ turned.transform
    for row, col in zip(*np.nonzero(pixels.valid), strict=True):
        x, y = back @ (col + 0.5, row + 0.5)
        red = 0.2 + 0.004 * (x - 0.5) + 0.002 * (y - 0.5)
        assert pixels.data[1, row, col] == pytest.approx(red, abs=3e-3)
    np.testing.assert_array_equal(part.valid, pixels.valid[2:6, 3:8])
    np.testing.assert_allclose(
        part.data[:, part.valid], pixels.data[:, 2:6, 3:8][:, part.valid], atol=1e-3
    )


def test_outside_of_the_scene_nothing_is_valid(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((1, 9, 7), np.float32), descriptions=["Red"])
    away = GeoBox(CRS.from_epsg(32632), Affine(1, 0, 4e5, 0, -1, 1e6), 4, 3)
    with GridReader(open_scene(path), away, ["red"]) as reader:
        assert not reader.read(away.window).valid.any()
    with ClassGridReader(
        str(write_classes(tmp_path, np.ones((9, 7), np.uint8))), away, 3
    ) as classes:
        assert not classes.read(away.window).valid.any()


def write_classes(folder: Path, classes: np.ndarray) -> Path:
    return write_raster(folder / "classes.tif", classes[None], nodata=255)


def shares_of(path: Path, grid: GeoBox, classes: int = 3) -> ClassShares:
    with ClassGridReader(str(path), grid, classes) as reader:
        return reader.read(grid.window)


def some_classes(height: int, width: int, seed: int = 3) -> np.ndarray:
    found = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    found[2:5, 3:6] = 255
    return found


def test_classes_on_their_own_grid_stay_what_they_are(tmp_path: Path) -> None:
    classes = some_classes(23, 37)
    found = shares_of(write_classes(tmp_path, classes), BOX)
    np.testing.assert_array_equal(found.valid, classes != 255)
    np.testing.assert_array_equal(found.most[found.valid], classes[found.valid])
    assert set(np.unique(found.shares)) <= {0, 1}


def test_finer_classes_are_counted(tmp_path: Path) -> None:
    """Against the mean of blocks of 3 x 3 pixels."""
    classes = some_classes(24, 36)
    path = write_classes(tmp_path, classes)
    grid = GeoBox(UTM, NORTH_UP @ Affine.scale(3), 12, 8)
    found = shares_of(path, grid)
    blocks = classes.reshape(8, 3, 12, 3)
    counts = np.stack([(blocks == k).sum(axis=(1, 3)) for k in range(3)])
    valid = counts.sum(axis=0) >= 4.5
    np.testing.assert_array_equal(found.valid, valid)
    assert not valid.all()
    wanted = (counts / np.maximum(counts.sum(axis=0), 1))[:, valid]
    np.testing.assert_allclose(found.shares[:, valid], wanted, atol=1e-6)
    with ClassGridReader(str(path), grid, 3) as reader:
        part = reader.read(Window(5, 2, 4, 3))
    np.testing.assert_array_equal(part.shares, found.shares[:, 2:5, 5:9])


def test_pixels_that_reach_over_the_edge_by_more_than_half_are_not_valid(tmp_path: Path) -> None:
    path = write_classes(tmp_path, np.ones((9, 10), np.uint8))
    found = shares_of(path, GeoBox(UTM, NORTH_UP @ Affine.scale(3), 4, 3))
    np.testing.assert_array_equal(found.valid, [[True, True, True, False]] * 3)


@settings(max_examples=15, deadline=None)
@given(
    angle=st.floats(-180, 180),
    scale=st.floats(0.4, 4),
    crs=st.sampled_from([UTM, CRS.from_epsg(32632), CRS.from_epsg(3857)]),
)
def test_every_pixel_in_the_middle_of_one_class_has_it(
    tmp_path_factory: pytest.TempPathFactory, angle: float, scale: float, crs: CRS
) -> None:
    """Three wide stripes, seen on a grid of any turn, size and system."""
    import pyproj

    stripes = np.repeat(np.repeat([0, 1, 2], 20)[None].astype(np.uint8), 60, axis=0)
    path = write_classes(tmp_path_factory.mktemp("stripes"), stripes)
    turn = pyproj.Transformer.from_crs(UTM.to_wkt(), crs.to_wkt(), always_xy=True)
    x, y = turn.transform(*(NORTH_UP @ (30, 30)))
    size = 0.02 * scale
    shape = Affine.translation(x, y) @ Affine.rotation(angle) @ Affine.scale(size, -size)
    grid = GeoBox(crs, shape @ Affine.translation(-4, -3), 8, 6)
    found = shares_of(path, grid)
    assert found.valid.all()
    np.testing.assert_allclose(found.shares.sum(axis=0), 1, atol=1e-6)
    for row in range(6):
        for col in range(8):
            place = turn.transform(*(grid.transform @ (col + 0.5, row + 0.5)), direction="INVERSE")
            column = (~NORTH_UP @ place)[0]
            if min(abs(column - 20), abs(column - 40)) > scale + 0.5:
                assert found.shares[int(column // 20), row, col] == 1
