"""Classes of model and data that meet, and those that do not."""

from __future__ import annotations

import numpy as np
import pytest

from agriseg.errors import LabelError
from agriseg.evaluation.legends import match_legends
from agriseg.labels import Codes
from agriseg.legend import Legend
from tests.support import LEGEND

GREY = "#777777"
PLANTS = Codes(Legend.of(("soil", GREY), ("plant", GREY)))
SHUFFLED = Codes(Legend.of(("weed", GREY), ("soil", GREY), ("crop", GREY)))


def test_equal_names_meet_whatever_their_order() -> None:
    found = match_legends(LEGEND, SHUFFLED)
    assert found.scored.names == ("weed", "soil", "crop")
    assert found.of_model == (1, 2, 0)
    np.testing.assert_array_equal(found.model_table[[0, 1, 2, 255]], [1, 2, 0, 255])
    assert found.is_single


def test_several_classes_of_the_model_are_one_of_the_data() -> None:
    found = match_legends(LEGEND, PLANTS, {"crop": "plant", "weed": "plant"})
    assert found.scored.names == ("soil", "plant")
    assert found.of_model == (0, 1, 1)
    assert not found.is_single


def test_several_classes_of_the_data_are_one_of_the_model() -> None:
    codes = Codes.of(LEGEND, ["crop or weed", "soil or weed"])
    renamed = {"vegetation": "plant", "crop": "plant", "weed": "plant"}
    found = match_legends(Legend.of(("soil", GREY), ("vegetation", GREY)), codes, renamed)
    assert found.scored.names == ("soil", "plant")
    # crop or weed (3): plant for sure; soil or weed (4): says nothing any more.
    np.testing.assert_array_equal(found.decided, [0, 1, 1, -1, 1])
    assert codes.name(3) == "soil or weed"
    np.testing.assert_array_equal(found.allowed[3], [True, True])


def test_a_class_that_the_model_lacks_is_told() -> None:
    found = match_legends(
        Legend.of(("soil", GREY), ("vegetation", GREY)), Codes(LEGEND), {"vegetation": "weed"}
    )
    assert found.unpredicted == ("crop",)


@pytest.mark.parametrize(
    ("codes", "renamed", "said"),
    [
        (PLANTS, {}, "'crop' is not among the data's classes (soil, plant)"),
        (PLANTS, {"crop": "plnt"}, "'crop' (as 'plnt') is not among"),
        (PLANTS, {"weeds": "plant"}, "did you mean 'weed'?"),
        (PLANTS, dict.fromkeys(("crop", "weed", "plant"), "soil"), "nothing to tell apart"),
    ],
)
def test_what_does_not_meet_is_told_in_one_line(codes, renamed, said) -> None:
    with pytest.raises(LabelError) as caught:
        match_legends(LEGEND, codes, renamed)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_of_another_model_may_be_named_too() -> None:
    renamed = {"crop": "plant", "weed": "plant", "vegetation": "plant"}
    with pytest.raises(LabelError):
        match_legends(LEGEND, PLANTS, renamed)
    assert match_legends(LEGEND, PLANTS, renamed, ["soil", "vegetation"]).of_model == (0, 1, 1)
