"""Pixels that lie well inside a large field are not traced one by one; nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from agriseg.fields.numbers import coverage
from agriseg.fields.numbers.coverage import covered
from agriseg.geobox import Window


def star(x: float, y: float, radius: float, points: int, seed: int) -> shapely.Polygon:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.random(points)) * 2 * np.pi
    reach = radius * rng.uniform(0.5, 1, points)
    return shapely.Polygon(np.c_[x + reach * np.cos(angle), y + reach * np.sin(angle)]).buffer(0)


SHAPES = {
    "square on pixel edges": shapely.box(10, 5, 138, 133),
    "square off them": shapely.box(10.3, 5.7, 150.1, 121.9),
    "star": star(90, 70, 85, 40, 1),
    "with a hole": star(90, 70, 85, 30, 2).difference(star(95, 72, 20, 9, 3)),
    "in parts": shapely.union_all([star(45, 40, 40, 20, 4), star(150, 110, 45, 20, 5)]),
    "all of it": shapely.box(-50, -50, 400, 400),
    "nowhere": shapely.box(1000, 1000, 1200, 1200),
}


def weights(window: Window, shape: shapely.Geometry) -> tuple[np.ndarray, int]:
    """The share of each pixel, and how many were not traced."""
    found, inner = np.zeros(window.shape), 0
    for one in covered(window, np.array([shape], object), [0]):
        assert one.index == 0
        assert (found.ravel()[one.cells] == 0).all()
        found.ravel()[one.cells] = one.weights
        for block in one.inner:
            assert (found[block] == 0).all()
            found[block] = 1
            inner += found[block].size
    return found, inner


def both(
    window: Window, shape: shapely.Geometry, patch: pytest.MonkeyPatch
) -> tuple[np.ndarray, int]:
    patch.setattr(coverage, "_SQUARE", 8)
    patch.setattr(coverage, "_LARGE", 10**9)
    plain, none = weights(window, shape)
    assert none == 0
    patch.setattr(coverage, "_LARGE", 4)
    found, inner = weights(window, shape)
    np.testing.assert_array_equal(found, plain)
    return found, inner


@pytest.mark.parametrize("window", [Window(0, 0, 200, 160), Window(17, 31, 131, 77)])
@pytest.mark.parametrize("name", SHAPES)
def test_shares_are_the_same_to_the_bit(
    name: str, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, inner = both(window, SHAPES[name], monkeypatch)
    around = shapely.box(window.col_off, window.row_off, window.col_end, window.row_end)
    expected = shapely.area(shapely.intersection(SHAPES[name], around))
    assert found.sum() == pytest.approx(expected, abs=1e-3)
    assert (inner > expected / 2) == (expected > 0)


@given(seed=st.integers(0, 999), points=st.integers(3, 60), col=st.integers(0, 60))
def test_whatever_the_outline(seed: int, points: int, col: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        both(Window(col, 13, 120, 90), star(90, 60, 80, points, seed), patch)
