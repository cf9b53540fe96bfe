"""Bad recipes are refused in one clear line."""

import pickle
from typing import Any

import numpy as np
import pytest
import yaml
from rasterio.crs import CRS

from agriseg.errors import OptionError
from agriseg.simulate import FieldRecipe
from agriseg.simulate.recipe_file import recipe_from, recipe_text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0}, ["width is 0", "16 to 200000"]),
        ({"height": 12.5}, ["height is 12.5", "a whole number"]),
        ({"seed": -1}, ["seed is -1"]),
        ({"seed": True}, ["seed is True", "a whole number"]),
        ({"gsd_m": 2.0}, ["gsd_m is 2.0", "0.001 to 0.1", "metres a pixel"]),
        ({"gsd_m": "2 cm"}, ["gsd_m is '2 cm'", "a number"]),
        ({"row_spacing_m": float("nan")}, ["row_spacing_m is nan", "finite"]),
        ({"row_direction_deg": 91.0}, ["row_direction_deg is 91.0", "clockwise"]),
        ({"gap_share": 8}, ["gap_share is 8", "0 to 0.9"]),
        ({"sun_elevation_deg": 5.0}, ["sun_elevation_deg is 5.0", "20 to 85"]),
        ({"blur_px": 9.0}, ["blur_px is 9.0", "in pixels"]),
        ({"crs": "EPSG:4326"}, ["EPSG:4326", "metres", "EPSG:32633"]),
        ({"crs": "EPSG:2263"}, ["EPSG:2263", "metres"]),
        ({"crs": "somewhere"}, ["'somewhere' is not a coordinate system", "EPSG:32633"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_recipe_says_found_expected_and_fix(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        FieldRecipe(**options)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line


def test_numbers_of_numpy_are_numbers() -> None:
    recipe = FieldRecipe(width=np.int64(320), stage=np.float32(0.25))
    assert (recipe.width, recipe.stage) == (320, 0.25)
    assert type(recipe.width) is int
    assert recipe_from(yaml.safe_load(recipe_text(recipe))) == recipe


def test_a_limit_itself_is_possible() -> None:
    assert FieldRecipe(gsd_m=0.1, row_spacing_m=0.3).gsd_m == 0.1


@pytest.mark.parametrize("crs", [32633, CRS.from_epsg(32633), None])
def test_a_crs_is_a_text(crs: Any) -> None:
    with pytest.raises(OptionError, match=r"crs is .*; a text"):
        FieldRecipe(crs=crs)


def test_grid_is_north_up_in_the_given_crs() -> None:
    recipe = FieldRecipe(width=300, height=200, gsd_m=0.05, left_m=1000.0, top_m=2000.0)
    assert recipe.geobox.bounds == (1000.0, 1990.0, 1015.0, 2000.0)
    assert recipe.geobox.gsd_m == pytest.approx((0.05, 0.05))
    assert recipe.size_m == (15.0, 10.0)


def test_recipe_pickles() -> None:
    recipe = FieldRecipe(seed=3)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
