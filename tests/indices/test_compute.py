"""The values of indices, against formulas written out by hand and against spyndex."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import spyndex
from affine import Affine
from numpy.typing import NDArray

from agriseg.bands import Band, Level, Radiometry
from agriseg.errors import BandError, OptionError
from agriseg.geobox import GeoBox
from agriseg.indices import available, compute, find_index
from agriseg.indices.compute import brightness_power, check_params, fits_units
from agriseg.raster import Pixels, Scene

KEYS = ("blue", "green", "red", "rededge", "nir")
LENGTHS = (475.0, 560.0, 668.0, 717.0, 842.0)
B, G, R, E, N = range(5)


def a_scene(level: Level = "reflectance") -> Scene:
    bands = tuple(
        Band("field.tif", k, key, wavelength_nm=nm)
        for k, (key, nm) in enumerate(zip(KEYS, LENGTHS, strict=True), 1)
    )
    return Scene("field", bands, GeoBox(None, Affine.identity(), 7, 5), Radiometry(level, "stated"))


SCENE = a_scene()


@pytest.fixture
def pixels() -> Pixels:
    """Plausible plants and soils, and a hole."""
    data = np.random.default_rng(3).uniform(0.02, 0.6, (5, 5, 7)).astype(np.float32)
    valid = np.ones((5, 7), bool)
    valid[1, 2:4] = False
    data[:, ~valid] = -32768
    return Pixels(data, valid)


def values(name: str, pixels: Pixels, **params: float) -> NDArray[np.float32]:
    found = compute(find_index(name, SCENE), pixels, KEYS, params)
    assert found.data.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(found.data), ~found.valid)
    assert not (found.valid & ~pixels.valid).any()
    return found.data


By = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("NDVI", lambda p: (p[N] - p[R]) / (p[N] + p[R])),
        ("NDRE", lambda p: (p[N] - p[E]) / (p[N] + p[E])),
        ("GNDVI", lambda p: (p[N] - p[G]) / (p[N] + p[G])),
        ("SAVI", lambda p: 1.5 * (p[N] - p[R]) / (p[N] + p[R] + 0.5)),
        ("OSAVI", lambda p: (p[N] - p[R]) / (p[N] + p[R] + 0.16)),
        ("EVI", lambda p: 2.5 * (p[N] - p[R]) / (p[N] + 6 * p[R] - 7.5 * p[B] + 1)),
        ("EVI2", lambda p: 2.5 * (p[N] - p[R]) / (p[N] + 2.4 * p[R] + 1)),
        ("GLI", lambda p: (2 * p[G] - p[R] - p[B]) / (2 * p[G] + p[R] + p[B])),
        ("NGRDI", lambda p: (p[G] - p[R]) / (p[G] + p[R])),
        (
            "MSAVI",
            lambda p: (2 * p[N] + 1 - np.sqrt((2 * p[N] + 1) ** 2 - 8 * (p[N] - p[R]))) / 2,
        ),
        ("CIRE", lambda p: p[N] / p[E] - 1),
        ("ExG", lambda p: (2 * p[G] - p[R] - p[B]) / (p[R] + p[G] + p[B])),
        ("kNDVI", lambda p: np.tanh(((p[N] - p[R]) / (p[N] + p[R])) ** 2)),
    ],
)
def test_it_is_the_formula(name: str, by_hand: By, pixels: Pixels) -> None:
    expected = by_hand(pixels.data.astype(np.float64))
    expected[~pixels.valid] = np.nan
    np.testing.assert_allclose(values(name, pixels), expected, rtol=2e-5, atol=1e-6)


def test_excess_green_less_excess_red_is_the_difference_of_the_two(pixels: Pixels) -> None:
    difference = values("ExG", pixels) - values("ExR", pixels)
    np.testing.assert_allclose(values("ExGR", pixels), difference, rtol=1e-4, atol=1e-5)


def test_all_others_are_what_spyndex_computes(pixels: Pixels) -> None:
    """In double precision, with our constants."""
    ours = {"NDRE", "kNDVI", "ExG", "ExR", "ExGR"}
    compared = 0
    for index in available(SCENE):
        if index.name in ours:
            continue
        planes = {
            symbol: pixels.data[KEYS.index(key)].astype(np.float64)
            for symbol, key in zip(index.symbols, index.keys, strict=True)
        }
        with np.errstate(all="ignore"):
            expected = spyndex.computeIndex(index.name, {**planes, **dict(index.constants)})
        found = compute(index, pixels, KEYS)
        expected = np.asarray(expected)[found.valid]
        # What is left of nearly equal numbers has fewer digits in single precision.
        np.testing.assert_allclose(
            found.data[found.valid], expected, rtol=2e-2, atol=1e-4, err_msg=index.name
        )
        assert np.median(np.abs(found.data[found.valid] / expected - 1)) < 1e-5, index.name
        compared += 1
    assert compared > 100


def test_all_pixels_without_light_are_undefined_or_finite_and_nothing_warns() -> None:
    """0, negative and absurd numbers, and whatever lies under a hole."""
    rows = [[0.0] * 5, [-0.1, -0.2, -0.1, 0.1, 0.1], [1e20] * 5, [0.3] * 5, [np.nan] * 5]
    data = np.array(rows, np.float32).T[:, :, None]
    valid = np.array([[True], [True], [True], [True], [False]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index in available(SCENE):
            found = compute(index, Pixels(data, valid), KEYS)
            assert np.isfinite(found.data[found.valid]).all(), index.name
            assert np.isnan(found.data[~found.valid]).all(), index.name
            assert not found.valid[4, 0]


@pytest.mark.parametrize(
    ("name", "pixel", "defined"),
    [
        ("NDVI", [0.1, 0.1, 0, 0.1, 0], False),
        ("NDVI", [0.1, 0.1, 0, 0.1, 0.5], True),
        ("NDVI", [0.1, 0.1, -0.2, 0.1, 0.2], False),
        ("SAVI", [0.1, 0.1, 0, 0.1, 0], True),
        ("CIRE", [0.1, 0.1, 0.1, 0, 0.4], False),
        ("VARI", [0.3, 0.1, 0.2, 0.1, 0.4], False),
        # R / G is infinite, and N / infinity would be 0.
        ("EBI", [0.0, 0.1, 0.2, 0.1, 0.4], False),
        ("TVI", [0.1, 0.1, 0.8, 0.1, 0.1], False),
        ("TVI", [0.1, 0.1, 0.2, 0.1, 0.8], True),
    ],
)
def test_undefined_is_invalid(name: str, pixel: list[float], defined: bool) -> None:
    data = np.array(pixel, np.float32)[:, None, None]
    found = compute(find_index(name, SCENE), Pixels(data, np.ones((1, 1), bool)), KEYS)
    assert found.valid[0, 0] == defined
    assert math.isfinite(found.data[0, 0]) == defined


def test_the_pixels_are_left_alone(pixels: Pixels) -> None:
    data, valid = pixels.data.copy(), pixels.valid.copy()
    for index in available(SCENE):
        compute(index, pixels, KEYS)
    np.testing.assert_array_equal(pixels.data, data)
    np.testing.assert_array_equal(pixels.valid, valid)


def test_keys_may_come_in_any_order(pixels: Pixels) -> None:
    index = find_index("NDVI", SCENE)
    turned = Pixels(pixels.data[[N, R]], pixels.valid)
    np.testing.assert_array_equal(
        compute(index, turned, ("nir", "red")).data, compute(index, pixels, KEYS).data
    )
    with pytest.raises(BandError, match=r"NDVI needs red among the pixels, which are of nir, blue"):
        compute(index, turned, ("nir", "blue"))


def test_constants_can_be_changed(pixels: Pixels) -> None:
    p = pixels.data
    expected = np.where(pixels.valid, 1.25 * (p[N] - p[R]) / (p[N] + p[R] + 0.25), np.nan)
    np.testing.assert_allclose(values("SAVI", pixels, L=0.25), expected, rtol=1e-5)
    # A constant of another index is none of NDVI's business.
    np.testing.assert_array_equal(values("NDVI", pixels, L=0.25), values("NDVI", pixels))
    soil = values("TSAVI", pixels, sla=1.2, slb=0.04)
    assert np.isfinite(soil[pixels.valid]).all()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"l": 0.5}, "no index has such a constant"),
        ({"L": math.nan}, "finite"),
        ({"L": math.inf}, "finite"),
    ],
)
def test_impossible_constants_are_refused(params: dict[str, float], said: str) -> None:
    nothing = Pixels(np.ones((5, 1, 1), np.float32), np.ones((1, 1), bool))
    with pytest.raises(OptionError, match=said):
        compute(find_index("SAVI", SCENE), nothing, KEYS, params)


def test_constants_that_divide_by_zero_are_refused(pixels: Pixels) -> None:
    with pytest.raises(OptionError, match=r"SAVI2 .* no value with .*sla=0"):
        values("SAVI2", pixels, sla=0.0, slb=0.1)


def test_a_constant_of_none_of_them_is_a_slip() -> None:
    chosen = [find_index(name, SCENE) for name in ("NDVI", "SAVI")]
    check_params({"L": 1.0}, chosen)
    with pytest.raises(OptionError, match=r"no constant of NDVI, SAVI; their constants are L"):
        check_params({"g": 1.0}, chosen)
    with pytest.raises(OptionError, match="they have no constants"):
        check_params({"L": 1.0}, chosen[:1])


def test_only_ratios_go_with_any_units() -> None:
    digital = a_scene("DN")
    for name in ("NDVI", "GLI", "VARI", "CIRE", "ExG", "kNDVI"):
        assert fits_units(find_index(name, digital), digital) is None
    for name in ("EVI", "SAVI", "MSAVI", "OSAVI", "MCARI2", "NLI"):
        index = find_index(name, digital)
        with pytest.raises(OptionError, match=rf"{name} = .* holds DN \(stated\).*--scale"):
            fits_units(index, digital)
        said = fits_units(index, digital, uncalibrated=True)
        assert said is not None
        assert "not of reflectance" in said
        assert fits_units(index, SCENE) is None
    for name in ("DVI", "TGI", "ARI"):
        said = fits_units(find_index(name, digital), digital)
        assert said is not None
        assert "within the scene only" in said
    # Without its constant SAVI is NDVI.
    assert fits_units(find_index("SAVI", digital), digital, {"L": 0.0}) is None


def test_what_is_said_of_units_is_what_scaling_shows(pixels: Pixels) -> None:
    bright = Pixels(pixels.data * np.float32(1.7), pixels.valid)
    for index in available(SCENE):
        power = brightness_power(index)
        plain, scaled = (compute(index, each, KEYS) for each in (pixels, bright))
        both = plain.valid & scaled.valid
        if power is None:
            assert not np.allclose(scaled.data[both], plain.data[both], rtol=1e-3), index.name
        else:
            expected = plain.data[both] * 1.7**power
            np.testing.assert_allclose(
                scaled.data[both], expected, rtol=2e-2, atol=1e-4, err_msg=index.name
            )
