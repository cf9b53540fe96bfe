"""Codes, names and colours of what became of what."""

from __future__ import annotations

from agriseg.farm.transitions import transitions_of
from agriseg.legend import Legend
from tests.support import LEGEND


def test_codes_count_before_and_after() -> None:
    found = transitions_of(LEGEND.classes, LEGEND.classes)
    assert found is not None
    assert found.legend.names[:5] == ("soil", "soil > crop", "soil > weed", "crop > soil", "crop")
    assert found.name(2, 1) == "weed > crop"
    assert found.name(1, 1) == "crop"
    assert len({label.color for label in found.legend}) == 9
    # What stayed is pale beside what changed.
    assert min(found.legend.classes[4].rgb) > 150 > min(found.legend.classes[1].rgb)


def test_only_the_same_names_and_not_too_many() -> None:
    other = Legend.of(("soil", "#c8a882"), ("vegetation", "#1b6e2b"))
    assert transitions_of(LEGEND.classes, other.classes) is None
    many = Legend.of(*((f"c{k}", "#000000") for k in range(16)))
    assert transitions_of(many.classes, many.classes) is None
    assert transitions_of(many.classes[:15], many.classes[:15]) is not None
