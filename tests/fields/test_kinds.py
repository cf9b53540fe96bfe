"""Classes are sorted by what the user says, and else by their names."""

from __future__ import annotations

import pytest

from agriseg.errors import OptionError
from agriseg.fields.kinds import Kinds, kinds_of

NAMES = {0: "soil", 1: "maize", 2: "Weed", 3: "residue", 4: "clover"}


def test_names_tell_the_kind() -> None:
    assert kinds_of(NAMES) == Kinds(frozenset({1, 4}), frozenset({2}), frozenset({0, 3}))


def test_what_the_user_says_comes_first() -> None:
    kinds = kinds_of(NAMES, weed=["clover"], crop=["Weed"])
    assert kinds == Kinds(frozenset({1, 2}), frozenset({4}), frozenset({0, 3}))
    assert kinds.plants == {1, 2, 4}


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"--crop rye: .* soil, maize, Weed, residue, clover"):
        kinds_of(NAMES, crop=["rye"])


def test_one_class_cannot_be_two_things() -> None:
    with pytest.raises(OptionError, match="maize is given as crop and as weed"):
        kinds_of(NAMES, crop=["maize"], weed=["maize"])
