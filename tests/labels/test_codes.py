"""What the numbers in label arrays mean."""

from __future__ import annotations

import pytest

from agriseg.errors import LabelError
from agriseg.labels import IGNORE, Codes
from agriseg.legend import Legend

LEGEND = Legend.of(("soil", "#a6784f"), ("crop", "#2ca02c"), ("weed", "#d62728"))


def test_a_class_is_its_value() -> None:
    codes = Codes.of(LEGEND)
    assert [codes.code(name) for name in LEGEND.names] == [0, 1, 2]
    assert codes.allowed[1].tolist() == [False, True, False]


def test_several_classes_forbid_the_others() -> None:
    codes = Codes.of(LEGEND, ["weed or soil", "crop", "soil or weed", "crop or weed"])
    assert codes.sets == ((0, 2), (1, 2))
    assert codes.code("weed or soil") == codes.code("soil or weed") == 3
    assert codes.allowed[3].tolist() == [True, False, True]
    assert codes.name(3) == "soil or weed"
    assert codes.name(2) == "weed"


@pytest.mark.parametrize("text", ["ignore", " ignore ", "soil or crop or weed"])
def test_what_says_nothing_is_ignored(text: str) -> None:
    codes = Codes.of(LEGEND, [text])
    assert codes.sets == ()
    assert codes.code(text) == IGNORE
    assert codes.allowed[IGNORE].all()
    assert codes.name(IGNORE) == "ignore"


def test_names_with_or_in_them() -> None:
    legend = Legend.of(("soil", "#000000"), ("bare or fallow", "#111111"), ("ignore", "#222222"))
    codes = Codes.of(legend, ["bare or fallow", "ignore"])
    assert codes.code("bare or fallow") == 1
    assert codes.code("ignore") == 2


def test_a_legend_of_one_class() -> None:
    codes = Codes.of(Legend.of(("plant", "#00ff00")), ["plant", "ignore"])
    assert codes.code("plant") == 0
    assert codes.code("ignore") == IGNORE


@pytest.mark.parametrize("text", ["weeds", "soil or weeds", "", "soil or ", "WEED"])
def test_what_is_no_class_is_told(text: str) -> None:
    with pytest.raises(LabelError, match=r"is not in the legend.*expected is one of soil, crop"):
        Codes.of(LEGEND, [text])


def test_the_nearest_class_is_offered() -> None:
    with pytest.raises(LabelError, match=r"'weeds' in 'soil or weeds'.*did you mean 'weed'\?"):
        Codes.of(LEGEND, ["soil or weeds"])


@pytest.mark.parametrize(
    "sets", [((1, 0),), ((0, 3),), ((0,),), ((0, 1, 2),), ((0, 1), (0, 1)), ((0, 0),)]
)
def test_sets_that_make_no_sense(sets: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"class|differ"):
        Codes(LEGEND, sets)
