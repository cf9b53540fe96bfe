"""Rough, cracked and patchy ground, clouded light, carpets of weeds: one field in parts."""

from dataclasses import replace

import numpy as np
import pytest

from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.simulate import FieldRecipe, render
from agriseg.simulate.clods import CLOD_MOST_M, broken
from agriseg.simulate.cracks import crack_light
from agriseg.simulate.crops import WEEDS
from agriseg.simulate.ears import ears
from agriseg.simulate.litter import more_stones
from agriseg.simulate.plant_files import WEED_NAMES
from agriseg.simulate.plants import Rect, field_plants
from agriseg.simulate.rocks import Rocks, rock_surface, rocks
from agriseg.simulate.spectra import CLOD, CROP, STONE

SMALL = FieldRecipe(width=2000, height=2000, gsd_m=0.005, border_m=0)
MIDDLE = Window(900, 900, 160, 120)
BARE = replace(SMALL, weeds_per_m2=0.0, gap_share=0.9, straw_per_m2=0.0, stones_per_m2=0.0)


def soil_of(recipe: FieldRecipe) -> np.ndarray:
    seen = render(recipe, MIDDLE)
    return np.asarray(seen.reflectance[2][seen.labels == 0])


@pytest.mark.parametrize(
    "options",
    [
        {"roughness": 0.9, "cracks": 0.8, "diffuse": 0.3},
        {"roughness": 0.3, "gsd_m": 0.002, "weeds_per_m2": 300.0, "weed_kinds": 8},
        {"crop": "wheat", "stage": 1.0, "senescence": 0.4, "patchiness": 1.0, "roughness": 0.6},
        {"gsd_m": 0.02, "roughness": 1.0, "fields": 2, "patchiness": 0.5, "weed_size": 0.4},
        {"diffuse": 1.0, "stones_per_m2": 200.0, "straw_per_m2": 300.0},
    ],
    ids=str,
)
def test_any_window_equals_the_whole(options: dict[str, object]) -> None:
    if options.get("fields"):
        options = {**options, "width": 400, "height": 300}
    recipe = FieldRecipe.filled(**{"width": 90, "height": 70, "gsd_m": 0.005, **options})
    recipe = replace(recipe, border_m=0.0)
    full = render(recipe, Window(0, 0, 90, 70))
    for window in (Window(31, 0, 1, 70), Window(40, 25, 50, 45)):
        part = render(recipe, window)
        rows, columns = window.slices
        assert part.reflectance.tobytes() == full.reflectance[:, rows, columns].tobytes()
        assert part.labels.tobytes() == full.labels[rows, columns].tobytes()
        assert part.instances.tobytes() == full.instances[rows, columns].tobytes()


def test_rough_ground_has_darker_gaps_and_more_contrast() -> None:
    level, some, rough = (
        soil_of(replace(BARE, roughness=r, sun_elevation_deg=35.0)) for r in (0.0, 0.6, 1.0)
    )
    spread = [float(a.std() / a.mean()) for a in (level, some, rough)]
    assert 1.05 * spread[0] < spread[1] < spread[2]
    dark = [float(np.percentile(a, 5) / np.median(a)) for a in (level, some, rough)]
    assert dark[2] < dark[1] < dark[0]
    assert 0.55 * level.mean() < rough.mean() < level.mean()


def test_clods_are_many_and_small_and_cover_about_as_much_in_every_size() -> None:
    recipe = FieldRecipe(gsd_m=0.002, roughness=1.0)
    classes = list(broken(recipe, Rect(0.0, 0.0, 1.5, 1.2)))
    assert len(classes) >= 6
    counts = [len(some) for some in classes]
    assert counts == sorted(counts, reverse=True)
    cover = [float((some.long_m * some.short_m).sum()) for some in classes[:-2]]
    assert max(cover) < 4 * min(cover)
    assert max(some.long_m.max() for some in classes if len(some)) <= 1.6 * CLOD_MOST_M
    assert not list(broken(FieldRecipe(), Rect(0, 0, 1, 1)))


def test_part_of_the_ground_has_the_part_of_the_clods() -> None:
    recipe, part = FieldRecipe(gsd_m=0.005, roughness=0.7), Rect(1.1, 0.7, 1.6, 1.3)
    for wide, near in zip(broken(recipe, Rect(0, 0, 3, 3)), broken(recipe, part), strict=True):
        inside = np.flatnonzero(part.holds(wide.x, wide.y))
        again = np.flatnonzero(part.holds(near.x, near.y))
        assert np.array_equal(wide.take(inside).x, near.take(again).x)
        assert np.array_equal(wide.take(inside).fall_a, near.take(again).fall_a)


def test_wheels_smear_clods() -> None:
    area = Rect(0.0, 0.0, 40.0, 6.0)
    tracks, none = (
        sum(len(some) for some in broken(FieldRecipe(roughness=1.0, pass_m=p), area))
        for p in (4.0, 0.0)
    )
    assert 0.5 < tracks / none < 0.93


def one_rock() -> Rocks:
    where = np.array([3]), np.array([4]), np.zeros(1), np.zeros(1)
    return rocks(1, "one", np.array([CLOD]), where, np.array([0.05]), (0.6, 0.8), (0, 0), 0.0)


def test_a_rock_has_flat_sides_and_no_holes() -> None:
    side = np.linspace(-1.2, 1.2, 61).astype(np.float32)
    a, b = (v.ravel() for v in np.meshgrid(side, side))
    inside, height, fall_a, fall_b = rock_surface(one_rock(), np.zeros(len(a), dtype=int), a, b)
    assert 0.2 < len(inside) / len(a) < 0.7
    assert 0 < height.min() < 0.2
    assert height.max() < 1.3
    assert len(np.unique(np.stack([fall_a, fall_b]), axis=1).T) <= 6
    grid = np.zeros(len(a), dtype=bool)
    grid[inside] = True
    for row in grid.reshape(61, 61):
        assert (np.diff(row.astype(int)) != 0).sum() <= 2  # convex: one run a row


def test_cracks_darken_thin_lines() -> None:
    xs = (np.arange(400) + 0.5) * 0.002
    light = [crack_light(FieldRecipe(gsd_m=0.002, cracks=c), xs, xs[:300]) for c in (0.3, 1.0)]
    share = [float((a < 0.6).mean()) for a in light]
    assert 0.001 < share[0] < share[1] < 0.3
    assert light[1].min() < 0.2
    assert np.median(light[1]) == 1.0
    shift = crack_light(FieldRecipe(gsd_m=0.002, cracks=1.0), xs[50:], xs[120:300])
    assert np.array_equal(shift, light[1][120:, 50:])


def test_clouds_take_the_shadows_away() -> None:
    usual = replace(SMALL, weeds_per_m2=0.0, sun_elevation_deg=30.0)
    spread, mean = [], []
    for diffuse in (0.0, 0.5, 1.0):
        seen = soil_of(replace(usual, diffuse=diffuse))
        spread.append(float(np.percentile(seen, 90) / np.percentile(seen, 10)))
        mean.append(float(np.percentile(seen, 90)))
    assert spread[0] > 1.3 * spread[1] > 1.3 * spread[2]
    assert mean[2] == pytest.approx(mean[0], rel=0.25)  # open ground stays as bright


def test_patchiness_makes_plants_and_ground_differ() -> None:
    area = Rect(0.0, 0.0, 40.0, 40.0)
    size = [
        field_plants(FieldRecipe(patchiness=p, weeds_per_m2=0.0), area).size_m for p in (0.0, 1.0)
    ]
    assert size[1].std() / size[1].mean() > 1.3 * size[0].std() / size[0].mean()
    wide = replace(BARE, gsd_m=0.05)
    level, patchy = (soil_of(replace(wide, patchiness=p)) for p in (0.0, 1.0))
    assert patchy.std() > 1.3 * level.std()


@pytest.mark.parametrize("density", [8.0, 40.0, 100.0, 400.0])
def test_carpets_have_the_density_of_the_recipe(density: float) -> None:
    recipe = FieldRecipe(weeds_per_m2=density, weed_kinds=8, pass_m=0.0)
    plants = field_plants(recipe, Rect(0.0, 0.0, 30.0, 30.0))
    weeds = plants.take(plants.material != CROP)
    assert len(weeds) / 900 == pytest.approx(density, rel=0.35)
    assert len(np.unique(plants.identity)) == len(plants)
    if density > 40:
        assert np.median(weeds.size_m) < 0.075
        assert weeds.size_m.max() > 0.12


def test_small_weeds_stand_where_large_ones_would() -> None:
    area = Rect(0.0, 0.0, 10.0, 10.0)
    usual, small = (field_plants(FieldRecipe(weed_size=s, weed_kinds=8), area) for s in (1.0, 0.3))
    assert np.array_equal(usual.x, small.x)
    weed = usual.material != CROP
    assert np.allclose(small.size_m[weed], 0.3 * usual.size_m[weed])
    assert np.array_equal(small.size_m[~weed], usual.size_m[~weed])


def test_ears_stand_above_ripe_wheat() -> None:
    young = FieldRecipe.filled(crop="wheat", stage=0.7)
    old = FieldRecipe.filled(crop="wheat", stage=1.0, senescence=0.8)
    plants = field_plants(old, Rect(0.0, 0.0, 1.0, 1.0))
    spikes = ears(old, plants)
    assert 0.5 * len(plants) < len(np.unique(spikes.plant)) <= len(plants)
    assert set(np.unique(plants.material[spikes.plant])) == {CROP}
    assert (spikes.base_m > 0.15).all()
    assert len(ears(young, plants.take(np.zeros(0, dtype=int)))) == 0


def test_half_of_the_stones_have_the_colour_of_the_soil() -> None:
    found = more_stones(FieldRecipe(stones_per_m2=100.0), Rect(0.0, 0.0, 5.0, 5.0))
    assert 0.35 < (found.material == CLOD).mean() < 0.55
    assert set(np.unique(found.material)) == {CLOD, STONE}
    assert np.median(found.pale) < 0.3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"roughness": 1.2}, "roughness is 1.2; 0 to 1"),
        ({"cracks": -0.1}, "cracks is -0.1"),
        ({"diffuse": float("nan")}, "diffuse is nan"),
        ({"patchiness": "much"}, "patchiness is 'much'; a number"),
        ({"weed_size": 0.0}, "weed_size is 0.0; 0.2 to 1.5"),
        ({"weeds_per_m2": 1001.0}, "0 to 1000"),
    ],
    ids=str,
)
def test_bad_values_are_one_line(options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        FieldRecipe(**options)  # type: ignore[arg-type]


def test_every_weed_has_a_name() -> None:
    assert len(WEED_NAMES) == len(WEEDS) == FieldRecipe.limits["weed_kinds"][1]
