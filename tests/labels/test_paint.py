"""Painting polygons: the pixels that GDAL gives, whatever the window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.features import rasterize

from agriseg.geobox import Window
from agriseg.labels import paint as room
from agriseg.labels.paint import Outlines, paint


def stars(count: int, size: float, extent: float, seed: int = 0) -> NDArray[Any]:
    """Polygons of odd shapes, some with a hole, some of two parts."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        corners = rng.integers(5, 15)
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = rng.uniform(0.3, 1, corners) * size
        points = rng.uniform(0, extent, 2) + np.c_[radii * np.cos(angles), radii * np.sin(angles)]
        shape = shapely.make_valid(shapely.Polygon(points))
        if k % 3 == 1:
            shape = shape.difference(shape.centroid.buffer(size / 4))
        if k % 3 == 2:
            shape = shape.union(shapely.box(*(points[0] + size), *(points[0] + 1.7 * size)))
        found.append(shape)
    return np.array(found, object)


def by_gdal(polygons: NDArray[Any], codes: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    order = np.argsort(-shapely.area(polygons), kind="stable")
    pairs = [(polygons[k], int(codes[k])) for k in order]
    found: NDArray[np.uint8] = rasterize(
        pairs,
        out_shape=window.shape,
        transform=Affine.translation(window.col_off, window.row_off),
        fill=9,
        dtype="uint8",
    )
    return found


def painted(outlines: Outlines, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    return paint(outlines, window, np.full(window.shape, 9, np.uint8))


@pytest.mark.parametrize(("count", "size"), [(60, 25.0), (500, 4.0), (300, 0.7)])
@pytest.mark.parametrize(("at_once", "many"), [(1 << 21, 1000), (997, 3)])
def test_the_same_pixels_as_gdal(
    monkeypatch: pytest.MonkeyPatch, count: int, size: float, at_once: int, many: int
) -> None:
    monkeypatch.setattr(room, "_AT_ONCE", at_once)
    monkeypatch.setattr(room, "_MANY_EDGES", many)
    polygons = stars(count, size, 120)
    codes = (np.arange(count) % 3).astype(np.uint8)
    window = Window(13, -7, 97, 113)
    found, clash = painted(Outlines.of(polygons, codes), window)
    np.testing.assert_array_equal(found, by_gdal(polygons, codes, window))
    layers = [by_gdal(polygons[codes == k], codes[codes == k], window) != 9 for k in range(3)]
    np.testing.assert_array_equal(clash, np.sum(layers, axis=0) > 1)


@given(
    col=st.integers(-10, 60), row=st.integers(-10, 60), w=st.integers(1, 50), h=st.integers(1, 50)
)
def test_windows_agree_with_the_whole(col: int, row: int, w: int, h: int) -> None:
    outlines = Outlines.of(stars(40, 12.0, 60), (np.arange(40) % 3).astype(np.uint8))
    whole, _ = painted(outlines, Window(-20, -20, 140, 140))
    part, _ = painted(outlines, Window(col, row, w, h))
    np.testing.assert_array_equal(part, whole[row + 20 : row + 20 + h, col + 20 : col + 20 + w])


def test_a_polygon_with_many_holes() -> None:
    holes = shapely.union_all(stars(400, 5.0, 300))
    ground = np.array([shapely.box(-5, -5, 305, 305).difference(holes)], object)
    assert shapely.get_num_coordinates(ground[0]) > room._MANY_EDGES
    window = Window(101, 53, 90, 71)
    found, _ = painted(Outlines.of(ground, np.zeros(1, np.uint8)), window)
    np.testing.assert_array_equal(found, by_gdal(ground, np.zeros(1, np.uint8), window))


def test_the_smaller_one_lies_on_top() -> None:
    polygons = np.array([shapely.box(2, 2, 4, 4), shapely.box(0, 0, 8, 6)], object)
    found, clash = painted(Outlines.of(polygons, np.array([1, 0], np.uint8)), Window(0, 0, 8, 6))
    assert (found[2:4, 2:4] == 1).all()
    assert (found == 1).sum() == clash.sum() == 4


def test_corners_on_pixel_centres_count_once() -> None:
    left, right = shapely.box(0, 0, 2.5, 2.5), shapely.box(2.5, 0, 5, 2.5)
    one = Outlines.of(np.array([left]), np.zeros(1, np.uint8))
    two = Outlines.of(np.array([right]), np.ones(1, np.uint8))
    window = Window(0, 0, 5, 4)
    a, b = painted(one, window)[0] == 0, painted(two, window)[0] == 1
    assert not (a & b).any()
    assert ((a | b).sum(axis=1) == [5, 5, 0, 0]).all()


def test_nothing_to_paint() -> None:
    none = Outlines.of(np.zeros(0, object), np.zeros(0, np.uint8))
    found, clash = painted(none, Window(0, 0, 3, 2))
    assert (found == 9).all()
    assert not clash.any()
    empty = Outlines.of(np.array([shapely.Polygon()]), np.zeros(1, np.uint8))
    assert (painted(empty, Window(0, 0, 3, 2))[0] == 9).all()
