"""Divided leaves, ripe leaves, leaves of other colours; and one field whatever the window."""

import dataclasses

import numpy as np
import pytest

from agriseg.geobox import Window
from agriseg.simulate import FieldRecipe, Rendering, render
from agriseg.simulate.crops import CROPS
from agriseg.simulate.plants import Rect, field_plants
from agriseg.simulate.shapes import leaves
from agriseg.simulate.spectra import CROP, SENSORS, TO_RED, TO_YELLOW, palette, plain

AREA = Rect(0.0, 0.0, 4.0, 3.0)
SMALL = Window(20, 20, 32, 24)


def field(**options: object) -> FieldRecipe:
    usual = {"width": 90, "height": 70, "gsd_m": 0.01, "border_m": 0}
    return FieldRecipe.filled(**{**usual, **options})


def whole(recipe: FieldRecipe) -> Rendering:
    return render(recipe, recipe.geobox.window)


def greenness(seen: Rendering, sensor: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    roles = [band.role for band in SENSORS[sensor]]
    green, red = (seen.reflectance[roles.index(role)] for role in ("green", "red"))
    return green / red


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("crop", CROPS)
def test_every_crop_is_greener_than_soil_at_every_age(crop: str, sensor: str) -> None:
    soil = palette(sensor).soil_dry
    roles = [band.role for band in SENSORS[sensor]]
    bare = float(soil[roles.index("green")] / soil[roles.index("red")])
    for stage, window in ((0.0, Window(0, 0, 90, 70)), (0.5, SMALL), (1.0, SMALL)):
        recipe = field(crop=crop, stage=stage, sensor=sensor, gap_share=0, sun_elevation_deg=85.0)
        seen = render(recipe, window)
        crops = seen.labels == 1
        assert crops.any() or stage > 0
        if crops.any():
            assert np.median(greenness(seen, sensor)[crops]) > 1.15 * bare


@pytest.mark.parametrize("crop", ["wheat", "carrot", "cabbage"])
def test_ripening_lowers_ndvi_and_keeps_the_labels(crop: str) -> None:
    means, labels = [], []
    for senescence in (0.0, 0.3, 0.6, 1.0):
        seen = whole(field(crop=crop, stage=0.7, senescence=senescence, weeds_per_m2=10.0))
        red, nir = (seen.reflectance[k][seen.labels == 1] for k in (2, 4))
        means.append(((nir - red) / (nir + red)).mean())
        labels.append(seen.labels)
    assert (np.diff(means) < -0.02).all(), means
    assert means[-1] < 0.7 * means[0]
    assert all(np.array_equal(labels[0], other) for other in labels[1:])


def test_old_leaves_ripen_first_and_weeds_stay_green() -> None:
    recipe = field(crop="wheat", stage=0.8, senescence=0.4, weeds_per_m2=20.0)
    plants = field_plants(recipe, AREA)
    blades = leaves(recipe, plants)
    dry = blades.material == CROP + TO_YELLOW
    crop = plain(blades.material.astype(np.uint8)) == CROP
    assert 0.05 < dry[crop].mean() < 0.6
    assert not dry[~crop].any()
    # The oldest leaves are the longest.
    assert blades.length_m[dry].mean() > 1.05 * blades.length_m[crop & ~dry].mean()


def test_variety_reddens_some_weeds_and_shifts_brightness() -> None:
    recipes = [field(weeds_per_m2=30.0, weed_kinds=7, seed=4, leaf_variety=v) for v in (0.0, 1.0)]
    plants = field_plants(recipes[0], Rect(0, 0, 30, 30))
    same, varied = (leaves(recipe, plants) for recipe in recipes)
    assert np.array_equal(same.x, varied.x)
    assert (same.material <= 6).all()
    red = varied.material >= CROP + TO_RED
    assert 0.005 < red.mean() < 0.4
    assert varied.bright.std() > 1.3 * same.bright.std()
    assert varied.pale.std() > same.pale.std()
    assert np.array_equal(plain(varied.material.astype(np.uint8)), same.material)


def test_leaflets_of_a_divided_leaf_stand_in_pairs_along_it() -> None:
    recipe = field(crop="potato", stage=0.5, weeds_per_m2=0)
    count = CROPS["potato"].form(0.5).leaflets
    plants = field_plants(recipe, AREA)
    blades = leaves(recipe, plants)
    assert len(blades) % count == 0
    part = np.arange(len(blades)) % count
    stem = np.arange(len(blades)) - part
    away = np.hypot(blades.x - blades.x[stem], blades.y - blades.y[stem])
    side = part > 0
    assert (away[side] < 1.2 * blades.length_m[stem][side]).all()
    assert (away[part == 1] < away[part == count - 1]).mean() > 0.99
    turned = blades.cx[stem] * blades.cy - blades.cy[stem] * blades.cx
    assert (turned[part % 2 == 1] > 0).mean() > 0.95
    assert (turned[side & (part % 2 == 0)] < 0).mean() > 0.95


@pytest.mark.parametrize(
    "options",
    [
        {"crop": "carrot", "stage": 0.4, "gsd_m": 0.004, "weeds_per_m2": 40.0},
        {"crop": "wheat", "stage": 0.6, "senescence": 0.5},
        {"crop": "potato", "stage": 0.8, "sensor": "mavic-3m"},
    ],
    ids=lambda options: str(options["crop"]),
)
def test_any_window_equals_the_whole_with_all_that_is_new(options: dict[str, object]) -> None:
    recipe = field(
        **options,
        weed_kinds=7,
        soil="red",
        straw_per_m2=150.0,
        stones_per_m2=60.0,
        leaf_variety=0.8,
    )
    full = whole(recipe)
    for window in (Window(31, 0, 1, 70), Window(40, 25, 50, 45)):
        part = render(recipe, window)
        rows, columns = window.slices
        for name in ("reflectance", "labels"):
            mine, cut = (getattr(r, name) for r in (part, full))
            assert mine.tobytes() == cut[..., rows, columns].tobytes()


def test_finest_pixels_draw_the_largest_leaves() -> None:
    """A leaf of maize spans more than a thousand samples of a millimetre."""
    recipe = field(crop="maize", stage=1.0, weeds_per_m2=0, gsd_m=0.002, sun_elevation_deg=85.0)
    coarse = dataclasses.replace(recipe, gsd_m=0.005)
    fine_cover = (render(recipe, Window(200, 250, 50, 50)).labels == 1).mean()
    coarse_cover = (render(coarse, Window(80, 100, 20, 20)).labels == 1).mean()
    assert fine_cover == pytest.approx(coarse_cover, abs=0.08)
