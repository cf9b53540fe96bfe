"""Every crop at every age, through every camera: one field whatever the window."""

import numpy as np
import pytest

from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.simulate import FieldRecipe, Rendering, render
from agriseg.simulate.crops import CROPS
from agriseg.simulate.field import height_limit_m
from agriseg.simulate.light import cast_shadow
from agriseg.simulate.plants import Rect, field_plants
from agriseg.simulate.rows import WHEEL_HALF_WIDTH_M
from agriseg.simulate.shapes import leaves
from agriseg.simulate.spectra import CROP, SENSORS
from agriseg.simulate.stands import layout_of

CASES = [(crop, stage) for crop in CROPS for stage in (0.0, 0.5, 1.0)]


def field(crop: str, stage: float, **options: object) -> FieldRecipe:
    usual = {"width": 90, "height": 70, "gsd_m": 0.01, "border_m": 0}
    return FieldRecipe.filled(crop=crop, stage=stage, **{**usual, **options})


def whole(recipe: FieldRecipe) -> Rendering:
    return render(recipe, recipe.geobox.window)


@pytest.mark.parametrize(("crop", "stage"), [*CASES, ("wheat", 0.3), ("maize", 0.77)])
def test_any_window_equals_the_whole(crop: str, stage: float) -> None:
    recipe = field(crop, stage)
    full = whole(recipe)
    for window in (Window(31, 0, 1, 70), Window(40, 25, 50, 45)):
        part = render(recipe, window)
        rows, columns = window.slices
        assert part.reflectance.tobytes() == full.reflectance[:, rows, columns].tobytes()
        assert part.labels.tobytes() == full.labels[rows, columns].tobytes()


@pytest.mark.parametrize("sensor", SENSORS)
def test_every_camera_draws_the_same_field(sensor: str) -> None:
    recipe = field("maize", 0.5, sensor=sensor)
    seen = whole(recipe)
    assert seen.reflectance.shape == (len(SENSORS[sensor]), 70, 90)
    assert np.isfinite(seen.reflectance).all()
    assert seen.reflectance.min() > 0
    assert seen.reflectance.max() < 0.9
    assert np.array_equal(seen.labels, whole(field("maize", 0.5)).labels)
    plants, soil = (seen.reflectance[:, seen.labels == value].mean(axis=1) for value in (1, 0))
    roles = [band.role for band in SENSORS[sensor]]
    green, red = roles.index("green"), roles.index("red")
    assert plants[green] / plants[red] > 1.2 * soil[green] / soil[red]


@pytest.mark.parametrize("crop", CROPS)
def test_crop_closes_with_age(crop: str) -> None:
    cover = [
        (whole(field(crop, stage, width=160, height=150, weeds_per_m2=0)).labels == 1).mean()
        for stage in (0.0, 0.5, 1.0)
    ]
    assert 0.003 < cover[0] < 0.2
    assert cover[0] < 0.7 * cover[1]
    assert cover[1] < 0.9 * cover[2]
    assert cover[2] > 0.4


@pytest.mark.parametrize(("crop", "stage"), CASES)
def test_no_leaf_stands_higher_than_shadows_are_looked_for(crop: str, stage: float) -> None:
    """But for the tip of the odd one."""
    recipe = field(crop, stage)
    blades = leaves(recipe, field_plants(recipe, Rect(0, 0, 8, 8)))
    high = (blades.base_m + blades.rise_m)[blades.material == CROP]
    assert (high > height_limit_m(recipe)).mean() < 0.001


def test_closed_canopy_is_bright_in_near_infrared_and_dark_in_red() -> None:
    recipe = field("soybean", 1.0, weeds_per_m2=0)
    red, nir = whole(recipe).reflectance[[2, 4]].mean(axis=(1, 2))
    assert nir > 0.3
    assert (nir - red) / (nir + red) > 0.8


def test_more_kinds_of_weeds_stand_in_the_same_places() -> None:
    area = Rect(0, 0, 20, 20)
    tables = {}
    for kinds in (2, 3, 4):
        plants = field_plants(FieldRecipe(weed_kinds=kinds, weeds_per_m2=10.0), area)
        tables[kinds] = plants
        number, count = np.unique(plants.species, return_counts=True)
        assert number.tolist() == list(range(kinds + 1))
        assert (count[1:] > 0.05 * count[1:].sum()).all()
    assert np.array_equal(tables[2].x, tables[4].x)
    assert np.array_equal(tables[2].material, tables[4].material)
    assert np.array_equal(tables[2].species == 0, tables[2].material == CROP)


def test_any_window_equals_the_whole_with_all_weeds() -> None:
    recipe = field("wheat", 0.4, weeds_per_m2=30.0, weed_kinds=4, gsd_m=0.02)
    full = whole(recipe)
    assert (full.labels == 2).mean() > 0.03
    part = render(recipe, Window(40, 25, 50, 45))
    assert part.reflectance.tobytes() == full.reflectance[:, 25:70, 40:90].tobytes()
    assert part.labels.tobytes() == full.labels[25:70, 40:90].tobytes()


def test_drilled_rows_leave_room_for_wheels() -> None:
    recipe = FieldRecipe.filled(crop="wheat", gap_share=0, weeds_per_m2=0)
    plants = field_plants(recipe, Rect(0, 0, 30, 30))
    rows = layout_of(recipe).stands[0].rows
    _, across = rows.to_uv(plants.x, plants.y)
    assert rows.wheel_distance(across).min() > WHEEL_HALF_WIDTH_M * 0.99
    sown = 30 * 30 / (recipe.row_spacing_m * recipe.plant_spacing_m)
    assert 0.9 < len(plants) / sown < 0.98


def test_recipe_takes_what_is_usual_for_the_crop() -> None:
    recipe = FieldRecipe.filled(crop="wheat", stage=1.0, row_spacing_m=0.2)
    assert (recipe.row_spacing_m, recipe.plant_spacing_m) == (0.2, CROPS["wheat"].plant_spacing_m)
    assert recipe.plant_radius_m == CROPS["wheat"].radius_m[2]
    assert FieldRecipe.filled() == FieldRecipe()
    assert CROPS["beet"].form(0.5) == CROPS["beet"].forms[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"crop": "tulip"}, ["'tulip' is unknown", "beet, maize, wheat, soybean"]),
        ({"stage": 1.5}, ["stage is 1.5", "0 to 1"]),
        ({"weed_kinds": 15}, ["weed_kinds is 15", "2 to 14"]),
        ({"stage": float("nan")}, ["stage is nan", "finite"]),
        ({"stage": "old"}, ["stage is 'old'", "a number"]),
        ({"crop": ["wheat"]}, ["['wheat'] is unknown"]),
        ({"sensor": []}, ["[] is unknown"]),
        ({"sensor": "eye"}, ["'eye' is unknown", "mavic-3m"]),
    ],
    ids=str,
)
def test_bad_crop_is_one_line(options: dict[str, object], words: list[str]) -> None:
    for make in (FieldRecipe, FieldRecipe.filled):
        with pytest.raises(OptionError) as caught:
            make(**options)  # type: ignore[arg-type]
        for word in words:
            assert word in str(caught.value)


def test_sun_shines_under_a_leaf_that_hangs_high() -> None:
    height = np.zeros((40, 200), dtype=np.float32)
    height[:, 150:153] = 0.5
    margin = 60
    wide, core = np.pad(height, margin), Window(margin, margin, 200, 40)
    leaf, wall = (
        cast_shadow(wide, (1.0, 0.0), 1.0, 0.01, 0.6, margin, core, depth)[20]
        for depth in (0.05, float("inf"))
    )
    assert wall[110:149].min() == 1.0  # from the foot to where the shadow ends
    assert leaf[120:149].max() == 0.0
    assert leaf[100:108].max() == 1.0
