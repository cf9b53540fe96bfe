"""Faults of camera and mosaic: as large as the recipe says, and the same whatever the window."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, optimize

from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.simulate import FieldRecipe, Rendering, render
from agriseg.simulate.camera import band_offset, line_gains, reach_px
from agriseg.simulate.spectra import SENSORS

CLEAN = FieldRecipe(width=260, height=140, noise=0.0, border_m=0.0, weeds_per_m2=9.0)
HASTY = replace(CLEAN, misregistration_px=1.7, exposure_steps=0.15, noise=0.002, border_m=0.3)
WINDOW = Window(40, 20, 180, 100)


def metres(recipe: FieldRecipe, width: int, height: int) -> tuple[NDArray[np.float64], ...]:
    return (np.arange(width) + 0.5) * recipe.gsd_m, (np.arange(height) + 0.5) * recipe.gsd_m


def arrays(rendering: Rendering) -> tuple[bytes, bytes, bytes]:
    parts = (rendering.reflectance, rendering.labels, rendering.valid)
    return tuple(part.tobytes() for part in parts)  # type: ignore[return-value]


@pytest.mark.parametrize("options", [{}, {"exposure_steps": 0.0}, {"misregistration_px": 0.0}])
def test_any_window_equals_the_whole(options: dict[str, float]) -> None:
    recipe = replace(HASTY, **options)  # type: ignore[arg-type]
    whole = render(recipe, recipe.geobox.window)
    for window in (Window(0, 0, 1, 1), Window(259, 0, 1, 140), Window(33, 51, 101, 47)):
        rows, columns = window.slices
        part = Rendering(
            whole.reflectance[:, rows, columns],
            whole.labels[rows, columns],
            whole.valid[rows, columns],
            whole.instances[rows, columns],
        )
        assert arrays(render(recipe, window)) == arrays(part)


def test_labels_and_valid_pixels_stay_as_they_are() -> None:
    true = render(replace(HASTY, misregistration_px=0.0, exposure_steps=0.0), WINDOW)
    faulty = render(HASTY, WINDOW)
    assert arrays(faulty)[1:] == arrays(true)[1:]
    assert np.nanmin(faulty.reflectance) > 0
    assert (faulty.reflectance != true.reflectance).mean() > 0.9


@pytest.mark.parametrize("sensor", SENSORS)
def test_bands_lie_aside_as_far_as_the_recipe_says(sensor: str) -> None:
    recipe = replace(CLEAN, sensor=sensor, misregistration_px=1.7)
    true = render(replace(recipe, misregistration_px=0.0), WINDOW).reflectance
    aside = render(recipe, WINDOW).reflectance
    seen = []
    for number, band in enumerate(SENSORS[sensor]):
        if band.role == "green":
            assert np.array_equal(aside[number], true[number])
            continue
        seen.append(shift_of(aside[number], true[number]))
        assert 0.2 * 1.7 < np.hypot(*seen[-1]) < 1.7
        right, down = band_offset(recipe, band.role, *metres(recipe, 260, 140))
        expected = [part[WINDOW.slices].mean() for part in (right, down)]
        assert seen[-1] == pytest.approx(expected, abs=0.12)
    assert min(np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in pairwise(seen)) > 0.1


def shift_of(
    moved: NDArray[np.float32], still: NDArray[np.float32]
) -> tuple[np.float64, np.float64]:
    """Pixels to the right and down by which `moved` correlates best with `still`."""
    core = (slice(6, -6), slice(6, -6))

    def unlike(shift: NDArray[np.float64]) -> float:
        again = ndimage.shift(still, shift, order=1, mode="nearest")
        return float(-np.corrcoef(again[core].ravel(), moved[core].ravel())[0, 1])

    steps = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    start = min(steps, key=lambda step: unlike(np.array(step, dtype=np.float64)))
    down, right = optimize.minimize(unlike, start, method="Nelder-Mead", tol=1e-3).x
    return right, down


@pytest.mark.parametrize("most", [0.01, 0.5, 1.0, 2.0])
def test_offsets_drift_and_never_leave_the_margin(most: float) -> None:
    drift = []
    for seed in range(40):
        recipe = FieldRecipe(seed=seed, misregistration_px=most)
        xs, ys = (np.linspace(0.0, 400.0, 90) for _ in "xy")
        right, down = band_offset(recipe, "red", xs, ys)
        distance = np.hypot(right, down)
        assert 0.15 * most < distance.min() < distance.max() <= most
        assert max(abs(right).max(), abs(down).max()) + 1 <= reach_px(recipe)
        drift.append(right.std() / most)
    assert 0.02 < np.mean(drift) < 0.15
    xs = np.arange(0.0, 10.0, 0.02)
    right, _ = band_offset(recipe, "red", xs, xs)
    assert np.abs(np.diff(right, axis=1)).max() < 0.005 * most


def test_lines_differ_by_the_steps_of_the_recipe() -> None:
    recipe = FieldRecipe(exposure_steps=0.06, gsd_m=0.1, row_direction_deg=0.0)
    # 4 m of the flight direction, some 60 lines across.
    ys = np.arange(0.0, 2200.0, 1.0)
    gains = line_gains(recipe, np.array([2.0]), ys)[:, :, 0]
    assert gains.shape == (5, 2200)
    assert gains.mean() == pytest.approx(1.0, abs=0.03)
    # Steps at seams are a tenth of what lies between two pixels elsewhere, and few.
    steps = np.abs(np.diff(gains[2]))
    assert 30 < (steps > 0.015).sum() < 130
    assert np.median(steps) < 0.002
    assert gains.std(axis=1) == pytest.approx(0.06, rel=0.25)
    # All bands know most of a step, none knows all.
    together = np.corrcoef(gains)[np.triu_indices(5, 1)]
    assert 0.8 < together.min() < together.max() < 0.995


def test_gains_are_those_of_the_picture() -> None:
    recipe = replace(CLEAN, exposure_steps=0.2)
    true, stepped = render(CLEAN, WINDOW), render(recipe, WINDOW)
    gains = line_gains(recipe, *metres(recipe, 260, 140))[:, *WINDOW.slices]
    assert gains.std() > 0.02
    assert stepped.reflectance == pytest.approx(true.reflectance * gains, rel=1e-5)


def test_seams_run_along_the_rows_and_are_ragged() -> None:
    recipe = FieldRecipe(exposure_steps=0.2, row_direction_deg=0.0, seed=5)
    gains = line_gains(recipe, *metres(recipe, 900, 900))[2]
    steps = np.abs(np.diff(gains, axis=0))
    seam = [int(steps[200:700, 0].argmax()) + 200]
    for column in range(1, 900):
        near = max(seam[-1] - 12, 0)
        seam.append(near + int(steps[near : seam[-1] + 13, column].argmax()))
    columns = np.arange(900)
    slope, start = np.polyfit(columns, seam, 1)
    assert abs(np.rad2deg(np.arctan(slope))) < 15  # they lean by 12 degrees at most
    assert 2 < np.std(seam - slope * columns - start) < 40


@pytest.mark.parametrize(
    ("azimuth", "brighter"), [(180.0, slice(None, 90)), (0.0, slice(-90, None))]
)
def test_lines_are_brighter_where_the_sun_is_behind_the_camera(
    azimuth: float, brighter: slice
) -> None:
    recipe = FieldRecipe(exposure_steps=0.2, row_direction_deg=0.0, sun_azimuth_deg=azimuth)
    ys = np.arange(0.0, 2000.0, recipe.gsd_m)
    gains = line_gains(recipe, np.array([2.0]), ys)[2, :, 0]
    seams = np.flatnonzero(np.abs(np.diff(gains)) > 0.02)
    lines = [gains[a + 20 : b - 20] for a, b in pairwise(seams) if b - a > 250]
    assert len(lines) > 50
    assert np.mean([line[brighter].mean() - line.mean() for line in lines]) > 0.01


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("misregistration_px", 2.5, "0 to 2 is possible"),
        ("misregistration_px", -0.1, "0 to 2 is possible"),
        ("exposure_steps", 0.5, "0 to 0.2 is possible"),
        ("exposure_steps", "much", "a number is needed"),
    ],
)
def test_bad_values_are_refused(name: str, value: object, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        FieldRecipe(**{name: value})  # type: ignore[arg-type]
    assert name in str(caught.value)
