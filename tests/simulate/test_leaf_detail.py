"""Leaves in close-up, species that differ from field to field, mats of weeds, broadcast crops."""

from dataclasses import replace

import numpy as np
import pytest

from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.simulate import FieldRecipe, Rendering, render
from agriseg.simulate.crops import CROPS, WEEDS
from agriseg.simulate.leaf_detail import leaf_of
from agriseg.simulate.noise import ripple, ripple32
from agriseg.simulate.plants import Rect, crop_plants, field_plants, row_of, weed_plants
from agriseg.simulate.shapes import Blades, Leaves, leaf_reach, leaves
from agriseg.simulate.spectra import (
    CROP,
    GRASS_WEED,
    LEAFY_WEED,
    TO_GLINT,
    TO_WAXY,
    TO_YELLOW,
    palette,
    plain,
)

AREA = Rect(0.0, 0.0, 3.0, 2.0)
CLOSE = FieldRecipe.filled(
    crop="cabbage", stage=0.4, width=64, height=48, gsd_m=0.002, border_m=0.0, seed=5,
    row_spacing_m=0.2, plant_spacing_m=0.2, weeds_per_m2=150.0, weed_kinds=14, weed_size=0.5,
    pass_m=0.0, sensor="rgb", noise=0.0,
)  # fmt: skip
RICH = replace(CLOSE, leaf_detail=1.0, plant_variety=1.0)


def whole(recipe: FieldRecipe) -> Rendering:
    return render(recipe, recipe.geobox.window)


@pytest.mark.parametrize("crop", ["beet", "wheat", "soybean", "carrot"])
def test_close_leaves_are_the_same_in_any_window(crop: str) -> None:
    recipe = replace(RICH, crop=crop, diffuse=0.3, roughness=0.4, senescence=0.2, leaf_variety=0.5)
    recipe = replace(recipe, gsd_m=0.006, sun_elevation_deg=60.0)
    seen = whole(recipe)
    for window in (Window(0, 0, 31, 20), Window(31, 20, 33, 28)):
        part = render(recipe, window)
        rows = slice(window.row_off, window.row_end)
        columns = slice(window.col_off, window.col_end)
        assert np.array_equal(part.reflectance, seen.reflectance[:, rows, columns])
        assert np.array_equal(part.labels, seen.labels[rows, columns])
        assert np.array_equal(part.instances, seen.instances[rows, columns])


def test_only_what_is_asked_for_is_drawn_close() -> None:
    plants = field_plants(CLOSE, AREA)
    assert type(leaves(CLOSE, plants)) is Blades
    assert type(leaves(RICH, plants)) is Leaves
    # Variety alone moves no leaf, and stands on no stalk.
    assert len(leaves(replace(CLOSE, plant_variety=1.0), plants)) == len(leaves(CLOSE, plants))


def test_detail_makes_leaves_uneven_and_keeps_their_number() -> None:
    spread = []
    for detail in (0.0, 1.0):
        recipe = replace(CLOSE, leaf_detail=detail, weeds_per_m2=0.0, blur_px=0.0)
        seen = whole(recipe)
        crop = seen.labels == 1
        green = seen.reflectance[1]
        steps = np.abs(np.diff(green, axis=1))[crop[:, 1:] & crop[:, :-1]]
        spread.append(np.median(steps) / green[crop].mean())
    assert spread[1] > 1.2 * spread[0], spread


def test_holes_and_teeth_take_leaf_away() -> None:
    recipe = replace(CLOSE, weeds_per_m2=0.0, gap_share=0.0)
    least = [(whole(replace(recipe, leaf_detail=d)).labels == 1).mean() for d in (0.0, 1.0)]
    assert 0.6 * least[0] < least[1] < least[0]
    skins = leaves(replace(RICH, leaf_detail=1.0), field_plants(RICH, AREA))
    assert isinstance(skins, Leaves)
    assert 0.02 < (skins.eaten > 0).mean() < 0.5
    assert 0.01 < (skins.dried > 0).mean() < 0.4
    assert (skins.tooth <= 0.6).all()


def test_every_field_has_species_of_its_own() -> None:
    plants = field_plants(CLOSE, AREA)
    ratios = []
    for seed in range(6):
        recipe = replace(RICH, seed=seed, leaf_detail=0.0)
        grown = leaves(recipe, plants)
        crop = plants.material[grown.plant] == CROP
        ratios.append(np.median(grown.half_m[crop] / grown.length_m[crop]))
    assert np.std(ratios) > 0.03, ratios


def test_variety_widens_the_colours() -> None:
    plants = field_plants(CLOSE, AREA)
    usual, varied = leaves(CLOSE, plants), leaves(replace(CLOSE, plant_variety=1.0), plants)
    assert varied.bright.std() > 1.5 * usual.bright.std()
    assert varied.pale.std() > 1.2 * usual.pale.std()
    waxy = varied.material >= CROP + TO_WAXY
    assert 0.02 < waxy.mean() < 0.8
    assert np.array_equal(plain(varied.material), plain(usual.material))


def test_no_leaf_leaves_its_reach() -> None:
    for crop in CROPS:
        recipe = FieldRecipe.filled(
            crop=crop, stage=1.0, weeds_per_m2=60.0, weed_kinds=14, leaf_detail=1.0,
            plant_variety=1.0, weed_mat=1.0,
        )  # fmt: skip
        plants = field_plants(recipe, AREA)
        grown = leaves(recipe, plants)
        far = np.hypot(
            grown.x + grown.length_m * (grown.cx - grown.bend * grown.cy) - plants.x[grown.plant],
            grown.y + grown.length_m * (grown.cy + grown.bend * grown.cx) - plants.y[grown.plant],
        )
        assert (far <= leaf_reach(recipe) * plants.size_m[grown.plant] + 0.02).all()


@pytest.mark.parametrize("sensor", ["rededge", "rgb", "mavic-3m"])
def test_waxy_leaves_are_bluer_and_glints_are_white(sensor: str) -> None:
    seen = palette(sensor)
    for material in (LEAFY_WEED, GRASS_WEED):
        leaf, glint = seen.endmembers[material], seen.endmembers[material + TO_GLINT]
        assert np.array_equal(glint[0], leaf[0])
        assert np.allclose(glint[1] - glint[0], glint[1, 0] - glint[0, 0])
        waxy = seen.endmembers[material + TO_WAXY, 0]
        assert waxy[0] / waxy[1] > leaf[0, 0] / leaf[0, 1] or sensor != "rededge"
    assert seen.endmembers.shape[0] == CROP + TO_GLINT + TO_YELLOW


def test_some_cultivars_bear_no_wax() -> None:
    for crop, bare in (("wheat", GRASS_WEED), ("cabbage", CROP)):
        fields = [FieldRecipe(crop=crop, seed=s, plant_variety=1.0) for s in range(40)]
        assert {leaf_of(field, CROPS[crop]) for field in fields} == {bare, CROPS[crop].leaf}
        assert leaf_of(FieldRecipe(crop=crop), CROPS[crop]) == CROPS[crop].leaf


def test_more_kinds_come_without_moving_a_plant() -> None:
    few, many = (
        weed_plants(FieldRecipe(weeds_per_m2=30.0, weed_kinds=k), Rect(0.0, 0.0, 9.0, 9.0))
        for k in (8, 14)
    )
    assert np.array_equal(few.x, many.x)
    assert set(many.species) == set(range(1, len(WEEDS) + 1))
    same = many.species <= 8
    assert np.array_equal(few.species[same], many.species[same])
    grass = np.array([form.linear for form in WEEDS])[many.species - 1]
    assert np.array_equal(grass, many.material == GRASS_WEED)


def test_a_mat_of_weeds_covers_the_ground() -> None:
    recipe = FieldRecipe(
        width=128, height=128, gsd_m=0.005, border_m=0.0, gap_share=0.9, weeds_per_m2=400.0,
        weed_kinds=14, weed_size=0.6, pass_m=0.0,
    )  # fmt: skip
    loose, mat = ((whole(replace(recipe, weed_mat=m)).labels == 2).mean() for m in (0.0, 1.0))
    assert mat > 0.4
    assert mat > 1.5 * loose
    area = Rect(0.0, 0.0, 6.0, 6.0)
    counts = [len(field_plants(replace(recipe, weed_mat=m), area)) for m in (0.0, 1.0)]
    assert 0.6 < counts[1] / counts[0] < 1.7


def test_broadcast_crops_show_no_rows() -> None:
    recipe = FieldRecipe(gap_share=0.0, border_m=0.0, pass_m=0.0)
    area = Rect(0.0, 0.0, 8.0, 8.0)
    spread = []
    for share in (0.0, 1.0):
        plants = crop_plants(replace(recipe, broadcast=share), area)
        _, off = row_of(recipe, plants)
        spread.append(off.std() / recipe.row_spacing_m)
        spread.append(len(plants))
    assert spread[0] < 0.05
    assert spread[2] == pytest.approx(12**-0.5, abs=0.03)  # evenly over the space between rows
    assert spread[3] == pytest.approx(spread[1], rel=0.1)
    # A plant belongs to a place, whatever part is looked at.
    thrown = replace(recipe, broadcast=1.0)
    part = Rect(2.0, 3.0, 5.0, 4.0)
    all_of_it, some = crop_plants(thrown, area), crop_plants(thrown, part)
    inside = part.holds(all_of_it.x, all_of_it.y)
    assert np.array_equal(np.sort(all_of_it.identity[inside]), np.sort(some.identity))


def test_ripple_in_single_precision_is_the_same_wave() -> None:
    x = np.linspace(-3.0, 3.0, 401)
    assert np.abs(ripple32(x.astype(np.float32)) - ripple(x)).max() < 1e-5


@pytest.mark.parametrize("key", ["leaf_detail", "plant_variety", "weed_mat", "broadcast"])
def test_shares_beyond_their_limits_are_refused(key: str) -> None:
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionError, match=f"{key} is"):
            FieldRecipe(**{key: value})
