"""Straw and stones: as many as the recipe says, in the same places whatever else it says."""

import numpy as np
import pytest

from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.simulate import FieldRecipe, render
from agriseg.simulate.litter import crumbs, more_stones, more_straws
from agriseg.simulate.plants import Rect
from agriseg.simulate.shapes import stones, straws

AREA = Rect(0.0, 0.0, 12.0, 10.0)


@pytest.mark.parametrize("density", [0.0, 1.5, 3.5, 40.0, 300.0, 1000.0])
def test_straw_has_the_density_of_the_recipe(density: float) -> None:
    recipe = FieldRecipe(straw_per_m2=density)
    count = len(straws(recipe, AREA)) + len(more_straws(recipe, AREA))
    assert count / 120 == pytest.approx(density, rel=0.15)


@pytest.mark.parametrize("density", [0.0, 0.6, 5.0, 60.0, 400.0])
def test_stones_have_the_density_of_the_recipe(density: float) -> None:
    recipe = FieldRecipe(stones_per_m2=density)
    count = len(stones(recipe, AREA)) + len(more_stones(recipe, AREA))
    assert count / 120 == pytest.approx(density, rel=0.2)


def test_default_lies_in_the_wide_cells_alone() -> None:
    recipe = FieldRecipe()
    for more in (more_straws, more_stones, crumbs):
        assert len(more(recipe, AREA)) == 0
    assert len(crumbs(FieldRecipe(gsd_m=0.002), Rect(0, 0, 1, 1))) > 1000


def test_more_straw_keeps_what_lies_there() -> None:
    few, many = (more_straws(FieldRecipe(straw_per_m2=n), AREA) for n in (50.0, 400.0))
    both = set(zip(few.x, few.y, strict=True)) & set(zip(many.x, many.y, strict=True))
    assert len(both) == len(few)
    assert len(set(zip(many.x, many.y, strict=True))) == len(many)  # no layer repeats another


def test_part_of_the_ground_has_the_part_of_the_pieces() -> None:
    recipe = FieldRecipe(straw_per_m2=200.0, stones_per_m2=100.0)
    part = Rect(3.1, 2.2, 5.9, 4.3)
    for more in (more_straws, more_stones):
        whole, again = more(recipe, Rect(-2, -2, 9, 9)), more(recipe, part)
        inside = whole.take(np.flatnonzero(part.holds(whole.x, whole.y)))
        assert len(again) > 100
        assert np.array_equal(again.x, inside.x)
        assert np.array_equal(again.length_m, inside.length_m) if more is more_straws else True


def test_thick_straw_brightens_dark_soil_and_is_soil() -> None:
    bare, thick = (
        render(
            FieldRecipe(gsd_m=0.01, soil="chernozem", straw_per_m2=n, weeds_per_m2=0, border_m=0),
            Window(100, 100, 90, 70),
        )
        for n in (0.0, 800.0)
    )
    soil = (bare.labels == 0) & (thick.labels == 0)
    assert soil.mean() > 0.3
    red = [r.reflectance[2][soil].mean() for r in (bare, thick)]
    assert red[1] > 1.25 * red[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"soil": "mud"}, "possible are loam, sandy"),
        ({"straw_per_m2": -1.0}, "straw_per_m2 is -1.0"),
        ({"stones_per_m2": 500.0}, "0 to 400 is possible"),
        ({"senescence": 2.0}, "senescence is 2.0"),
        ({"leaf_variety": float("nan")}, "leaf_variety is nan"),
        ({"gsd_m": 0.0005}, "gsd_m is 0.0005"),
    ],
    ids=str,
)
def test_bad_ground_is_one_line(options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        FieldRecipe(**options)  # type: ignore[arg-type]
