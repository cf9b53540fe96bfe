"""What lies thin on the ground: crust, specks, moss, debris, spots of other soil."""

from dataclasses import replace

import numpy as np
import pytest

from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.simulate import FieldRecipe, Rendering, render
from agriseg.simulate.clods import broken
from agriseg.simulate.cover import crust, crust_at
from agriseg.simulate.litter import fibres, more_stones, pebbles
from agriseg.simulate.plants import Rect
from agriseg.simulate.shapes import Domes
from agriseg.simulate.spectra import CLOD, RESIDUE, STONE

BARE = FieldRecipe(
    width=2000, height=2000, gsd_m=0.005, border_m=0.0, weeds_per_m2=0.0, gap_share=0.9,
    straw_per_m2=0.0, stones_per_m2=0.0, pass_m=0.0, roughness=0.5,
)  # fmt: skip
MIDDLE = Window(900, 900, 160, 120)
ALL = {"crust": 0.5, "specks": 0.8, "moss": 0.8, "debris": 0.8, "soil_variety": 0.9}


def bands(seen: Rendering) -> dict[str, np.ndarray]:
    names = ("blue", "green", "red", "rededge", "nir")
    return {n: plane[seen.labels == 0] for n, plane in zip(names, seen.reflectance, strict=True)}


def ndvi(seen: Rendering) -> np.ndarray:
    of = bands(seen)
    return np.asarray((of["nir"] - of["red"]) / (of["nir"] + of["red"]))


@pytest.mark.parametrize(
    "options",
    [
        {"gsd_m": 0.002, "roughness": 0.6, "stones_per_m2": 200.0, "straw_per_m2": 50.0},
        {"gsd_m": 0.005, "cracks": 0.5, "diffuse": 0.4, "sensor": "rgb"},
        {"gsd_m": 0.02, "roughness": 0.8, "fields": 2, "width": 400, "height": 300},
        {"gsd_m": 0.05, "soil": "chalk", "moisture": 1.0, "row_direction_deg": -90.0},
    ],
    ids=str,
)
def test_any_window_equals_the_whole(options: dict[str, object]) -> None:
    recipe = FieldRecipe(**{"width": 90, "height": 70, "border_m": 0.0, **ALL, **options})
    full = render(recipe, Window(0, 0, 90, 70))
    assert np.isfinite(full.reflectance).all()
    for window in (Window(31, 0, 1, 70), Window(40, 25, 50, 45)):
        part = render(recipe, window)
        rows, columns = window.slices
        assert part.reflectance.tobytes() == full.reflectance[:, rows, columns].tobytes()
        assert part.labels.tobytes() == full.labels[rows, columns].tobytes()
        assert part.instances.tobytes() == full.instances[rows, columns].tobytes()


@pytest.mark.parametrize("key", ALL)
def test_each_key_alone_changes_the_ground_and_no_label(key: str) -> None:
    plain, other = (render(r, MIDDLE) for r in (BARE, replace(BARE, **{key: 0.8})))
    assert plain.labels.tobytes() == other.labels.tobytes()
    change = np.abs(other.reflectance - plain.reflectance).mean()
    assert 0.001 < change < 0.1


def test_crust_covers_the_share_that_is_asked_for() -> None:
    side = (np.arange(600) + 0.5) * 0.005
    shares = [
        float(crust(replace(BARE, crust=c), side, side).mean()) for c in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.01
    assert shares[2] == pytest.approx(0.57, abs=0.15)
    assert shares[-1] > 0.97


def test_crust_is_the_same_on_a_grid_and_at_points() -> None:
    recipe, side = replace(BARE, crust=0.5), (np.arange(200) + 0.5) * 0.005
    x, y = (part.ravel() for part in np.meshgrid(side, side + 3.0))
    grid = crust(recipe, side, side + 3.0).ravel()
    assert np.mean((crust_at(recipe, x, y) > 0.5) == (grid > 0.5)) > 0.9


def test_crust_is_smooth_and_pale_with_few_clods_all_round() -> None:
    level, crusted = (render(replace(BARE, crust=c), MIDDLE).reflectance[2] for c in (0.0, 1.0))
    assert crusted.std() / crusted.mean() < 0.7 * level.std() / level.mean()
    assert crusted.mean() > 1.1 * level.mean()
    area = Rect(0.0, 0.0, 1.0, 1.0)
    some, few = (list(broken(replace(BARE, crust=c), area)) for c in (0.0, 1.0))
    assert sum(map(len, few)) < 0.4 * sum(map(len, some))
    assert not any(isinstance(part, Domes) for part in some)
    worn = sum(len(part) for part in few if isinstance(part, Domes))
    assert 0.5 < worn / sum(map(len, few)) < 0.95


def test_specks_are_bright_and_fade_with_wider_pixels() -> None:
    tails = []
    for gsd in (0.003, 0.03):
        red = [
            bands(render(replace(BARE, gsd_m=gsd, specks=s, crust=0.4), MIDDLE))["red"]
            for s in (0.0, 1.0)
        ]
        tails.append(np.percentile(red[1], 99.5) / np.percentile(red[0], 99.5))
        assert red[1].mean() > red[0].mean()
    assert tails[0] > 1.25
    assert tails[0] > tails[1] > 0.98


def test_moss_makes_green_ground_that_stays_soil() -> None:
    wet = replace(BARE, moisture=0.8)
    plain, green = (render(replace(wet, moss=m), MIDDLE) for m in (0.0, 1.0))
    assert (green.labels == plain.labels).all()
    spread = [np.subtract(*np.percentile(ndvi(seen), [90, 10])) for seen in (plain, green)]
    assert spread[1] > 1.5 * spread[0]
    assert ndvi(plain).mean() + 0.04 < ndvi(green).mean() < 0.5
    dry = [ndvi(render(replace(BARE, moisture=0.0, moss=m), MIDDLE)).mean() for m in (0.0, 1.0)]
    assert dry[1] - dry[0] < ndvi(green).mean() - ndvi(plain).mean()


def test_debris_has_the_density_of_the_recipe_and_lies_low() -> None:
    area = Rect(0.0, 0.0, 6.0, 6.0)
    counts = [len(fibres(replace(BARE, debris=d), area)) / 36 for d in (0.0, 0.5, 1.0)]
    assert counts[0] == 0
    assert counts[1] == pytest.approx(400, rel=0.2)
    assert counts[2] == pytest.approx(800, rel=0.2)
    laid = fibres(replace(BARE, debris=1.0), area)
    assert set(np.unique(laid.material)) == {RESIDUE, STONE}
    assert laid.half_m.max() < 0.002
    # Seen from higher up they are a colour of the ground.
    assert len(fibres(replace(BARE, debris=1.0, gsd_m=0.02), area)) == 0


def test_soil_varies_from_field_to_field_and_from_spot_to_spot() -> None:
    def colour(variety: float, seed: int) -> np.ndarray:
        of = bands(render(replace(BARE, soil_variety=variety, seed=seed), MIDDLE))
        return np.array([np.median(plane) / np.median(of["red"]) for plane in of.values()])

    own, many = (np.array([colour(v, seed) for seed in range(6)]).std(axis=0) for v in (0.0, 1.0))
    assert (many[[0, -1]] > 2 * own[[0, -1]]).all()
    even, spotted = (ndvi(render(replace(BARE, soil_variety=v), MIDDLE)) for v in (0.0, 1.0))
    assert spotted.std() > 1.4 * even.std()


def test_stones_come_in_more_colours_and_forms() -> None:
    area, many = Rect(0.0, 0.0, 5.0, 5.0), replace(BARE, stones_per_m2=100.0)
    assert len(pebbles(many, area)) == 0
    varied = replace(many, soil_variety=1.0)
    round_ones, edged = pebbles(varied, area), more_stones(varied, area)
    assert len(round_ones) + len(edged) == len(more_stones(many, area))
    assert 0.05 < len(round_ones) / (len(round_ones) + len(edged)) < 0.95
    assert set(np.unique(edged.material)) == {CLOD, STONE, RESIDUE}
    assert (edged.pale > 0.6).mean() > 1.5 * (more_stones(many, area).pale > 0.6).mean()


def test_shadows_on_rough_ground_are_less_blue_than_the_sky() -> None:
    crop = replace(BARE, gap_share=0.0, stage=0.8, plant_radius_m=0.25, sun_elevation_deg=35.0)

    def blue_of_shadows(recipe: FieldRecipe) -> float:
        of = bands(render(recipe, Window(900, 900, 300, 200)))
        deep = of["green"] < np.percentile(of["green"], 10)
        return float(of["blue"][deep].mean() / of["red"][deep].mean())

    assert blue_of_shadows(crop) < 0.9 * blue_of_shadows(replace(crop, roughness=0.0))


@pytest.mark.parametrize("key", ALL)
def test_bad_values_are_one_line(key: str) -> None:
    for value in (-0.1, 1.1, float("nan"), "much"):
        with pytest.raises(OptionError, match=f"recipe: {key} is [^\n]*$"):
            FieldRecipe(**{key: value})  # type: ignore[arg-type]
