"""The simulated field: one field whatever the window, and pictures that a model can learn from."""

import dataclasses
import hashlib

import numpy as np
import pytest

from agriseg.geobox import Window
from agriseg.legend import NODATA
from agriseg.simulate import LEGEND, FieldRecipe, Rendering, render
from agriseg.simulate.crops import CROPS
from agriseg.simulate.field import sun_of
from agriseg.simulate.ground import tree_shade
from agriseg.simulate.plants import Rect, field_plants, largest_plant_m
from agriseg.simulate.shapes import leaf_reach, leaves
from agriseg.simulate.spectra import BANDS
from agriseg.simulate.stands import layout_of

RECIPE = FieldRecipe(width=211, height=163, weeds_per_m2=6.0, border_m=0.15)


@pytest.fixture(scope="module")
def whole() -> Rendering:
    return render(RECIPE, RECIPE.geobox.window)


def same(a: Rendering, b: Rendering) -> bool:
    """Bit for bit, NaN included."""
    return all(
        getattr(a, f.name).tobytes() == getattr(b, f.name).tobytes() for f in dataclasses.fields(a)
    )


def cut(rendering: Rendering, window: Window) -> Rendering:
    rows, columns = window.slices
    return Rendering(
        rendering.reflectance[:, rows, columns],
        rendering.labels[rows, columns],
        rendering.valid[rows, columns],
        rendering.instances[rows, columns],
    )


def test_same_seed_gives_the_same_field_and_another_seed_another(whole: Rendering) -> None:
    assert same(whole, render(RECIPE, RECIPE.geobox.window))
    other = render(dataclasses.replace(RECIPE, seed=7), RECIPE.geobox.window)
    assert (other.labels != whole.labels).mean() > 0.2


@pytest.mark.parametrize(
    "window",
    [
        Window(0, 0, 1, 1),
        Window(210, 162, 1, 1),
        Window(37, 0, 1, 163),
        Window(0, 101, 211, 1),
        Window(53, 29, 97, 71),
        Window(100, 80, 111, 83),
    ],
    ids=str,
)
def test_any_window_equals_the_whole(whole: Rendering, window: Window) -> None:
    assert same(render(RECIPE, window), cut(whole, window))


def test_field_goes_on_beyond_the_raster(whole: Rendering) -> None:
    around = render(RECIPE, RECIPE.geobox.window.grown(9))
    inner = Window(9, 9, RECIPE.width, RECIPE.height)
    assert same(cut(around, inner), whole)
    assert not around.valid[:9].any()


def test_no_border_means_that_every_pixel_is_valid() -> None:
    recipe = FieldRecipe(width=40, height=30, border_m=0)
    assert render(recipe, recipe.geobox.window).valid.all()


def test_nodata_is_the_same_in_pixels_and_labels(whole: Rendering) -> None:
    valid = whole.valid
    assert 0.7 < valid.mean() < 0.99
    assert np.array_equal(whole.labels != NODATA, valid)
    assert np.isnan(whole.reflectance[:, ~valid]).all()
    assert np.isfinite(whole.reflectance[:, valid]).all()
    assert set(np.unique(whole.labels[valid])) == {label.value for label in LEGEND}


def test_reflectance_is_plausible_in_every_band(whole: Rendering) -> None:
    pixels = whole.reflectance[:, whole.valid]
    assert pixels.min() > 0
    assert pixels.max() < 0.9
    blue, green, red, rededge, nir = pixels[:, whole.labels[whole.valid] == 1].mean(axis=1)
    assert blue < green > red < rededge < nir
    soil = pixels[:, whole.labels[whole.valid] == 0]
    assert (np.diff(np.median(soil, axis=1)) > 0).all()


def test_ndvi_of_plants_is_clearly_above_soil(whole: Rendering) -> None:
    roles = [band.role for band in BANDS]
    red, nir = (whole.reflectance[roles.index(role)] for role in ("red", "nir"))
    with np.errstate(invalid="ignore"):
        ndvi = (nir - red) / (nir + red)
    soil, crop, weed = (ndvi[whole.labels == value] for value in (0, 1, 2))
    assert np.median(crop) > np.median(soil) + 0.4
    assert np.median(weed) > np.median(soil) + 0.3
    # Mixed pixels at leaf edges overlap; the bulk does not.
    assert np.percentile(crop, 10) > np.percentile(soil, 80)


def test_shadow_darkens_and_keeps_the_label() -> None:
    recipe = FieldRecipe(width=120, height=120, border_m=0, noise=0)
    low = render(dataclasses.replace(recipe, sun_elevation_deg=25.0), recipe.geobox.window)
    high = render(dataclasses.replace(recipe, sun_elevation_deg=80.0), recipe.geobox.window)
    assert np.array_equal(low.labels, high.labels)
    soil = low.labels == 0
    dark = [r.reflectance[4][soil] < 0.1 for r in (low, high)]
    assert dark[0].mean() > dark[1].mean() + 0.1


def test_sun_stands_where_a_compass_says() -> None:
    south_west = sun_of(FieldRecipe(sun_azimuth_deg=225.0, sun_elevation_deg=45.0))
    assert south_west.x == pytest.approx(-(0.5**0.5))
    assert south_west.y == pytest.approx(0.5**0.5)  # y grows southwards
    assert south_west.tan_elevation == pytest.approx(1.0)


def test_trees_shade_the_side_of_the_sun_softly() -> None:
    recipe = FieldRecipe(width=600, height=500)
    xs, ys = np.arange(0.01, 12, 0.02), np.arange(0.01, 10, 0.02)
    shade = tree_shade(recipe, xs, ys, sun_of(recipe))
    assert shade[:, :200].max() > 0.8
    assert shade[:, 300:].max() == 0  # the sun stands in the west
    shaded = shade[shade > 0.1]
    assert 0.1 < (shaded < 0.8).mean() < 0.5  # edges and gaps between the leaves


def test_rows_run_in_the_given_direction() -> None:
    recipe = FieldRecipe(row_direction_deg=17.0, weeds_per_m2=0, gap_share=0)
    plants = field_plants(recipe, Rect(0, 0, 24, 20))
    _, across = layout_of(recipe).stands[0].rows.to_uv(plants.x, plants.y)
    phase = across / recipe.row_spacing_m - 0.5
    assert np.abs(phase - np.rint(phase)).max() * recipe.row_spacing_m < 0.08
    expected = 24 * 20 / (recipe.row_spacing_m * recipe.plant_spacing_m)
    assert len(plants) == pytest.approx(expected, rel=0.05)


def test_gaps_have_the_given_share() -> None:
    full = field_plants(FieldRecipe(weeds_per_m2=0, gap_share=0), Rect(0, 0, 60, 60))
    thin = field_plants(FieldRecipe(weeds_per_m2=0, gap_share=0.4), Rect(0, 0, 60, 60))
    assert len(thin) / len(full) == pytest.approx(0.6, abs=0.03)


def test_table_of_a_part_is_the_part_of_the_table() -> None:
    part = Rect(3.1, 2.2, 7.9, 5.3)
    plants = field_plants(RECIPE, Rect(-5, -5, 20, 20))
    inside = plants.take(part.holds(plants.x, plants.y))
    again = field_plants(RECIPE, part)
    assert len(again) > 20
    for field in dataclasses.fields(again):
        assert np.array_equal(getattr(again, field.name), getattr(inside, field.name))


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("stage", [0.0, 0.5, 0.8, 1.0])
def test_no_leaf_reaches_farther_than_its_plants_are_looked_up(crop: str, stage: float) -> None:
    recipe = FieldRecipe.filled(crop=crop, stage=stage, weeds_per_m2=20.0, weed_kinds=4)
    plants = field_plants(recipe, Rect(0, 0, 12, 12))
    assert plants.size_m.max() <= largest_plant_m(recipe)
    # All in one place: what is left is how far the leaves reach.
    blades = leaves(recipe, dataclasses.replace(plants, x=0 * plants.x, y=0 * plants.y))
    reach = np.hypot(blades.x, blades.y) + np.hypot(1.0, blades.bend) * blades.length_m
    assert reach.max() < leaf_reach(recipe) * largest_plant_m(recipe)


def test_default_field_keeps_its_bytes() -> None:
    """The sample that is shipped, and whatever was trained on it, must not drift."""
    part = render(FieldRecipe(), Window(0, 100, 200, 200))
    arrays = (part.reflectance, part.labels, part.valid)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    assert digest[:24] == "1d2eb6d1f5c3a33063cec9bb"
