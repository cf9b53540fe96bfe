"""Recipes for many scenes at once: a range or a choice in place of a value, and a number of scenes.

kind: dataset
scenes: 200
crop: [beet, maize, soybean]    # words: one of them
stage: [0.1, 0.9]               # two numbers: anything between
sensor: rededge                 # one value: the same for all
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from agriseg.errors import OptionError, nearest, shown
from agriseg.simulate.grid_recipe import GridRecipe
from agriseg.simulate.noise import hash_u32, uniform
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.recipe_file import KINDS, typed

__all__ = ["DatasetRecipe", "dataset_from"]

_OWN = ("kind", "of", "scenes", "seed")
_MOST_SCENES = 999_999
# Drawn numbers are rounded to so many digits: finer steps make no other scene.
_DIGITS = 4


@dataclass(frozen=True)
class DatasetRecipe:
    """Any number of scenes of one kind, each with values of its own.

    Scene k depends on `seed`, k and the ranges alone: more scenes leave the first ones as they
    are.

    Args:
        scenes: How many.
        seed: Whole number from which all that is random follows.
        of: The kind of the scenes, a key of `recipe_file.KINDS`.
        values: For each field of that kind what it can be: one value for all; two numbers for
            anything between; otherwise a list or tuple to choose from. Kept as tuples.

    Raises:
        OptionError: A value makes no scene; the message says which scene, and what to give.
    """

    scenes: int
    seed: int = FieldRecipe.seed
    of: str = FieldRecipe.kind
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _check_whole("scenes", self.scenes, 1, _MOST_SCENES)
        _check_whole("seed", self.seed, 0, 2**63 - 1)
        if not isinstance(self.of, str) or self.of not in KINDS:
            raise OptionError(f"recipe: of is {shown(self.of)}; possible are {', '.join(KINDS)}")
        kind = KINDS[self.of]
        possible = [*_OWN, *(f.name for f in fields(kind) if f.name != "seed")]
        unknown = next((key for key in self.values if key not in possible or key in _OWN), None)
        if unknown is not None:
            raise OptionError(
                f"recipe: {shown(unknown)} is no key of a dataset; {nearest(unknown, possible)}"
            )
        checked = {key: _possible(kind, key, value) for key, value in self.values.items()}
        object.__setattr__(self, "values", checked)

    def __len__(self) -> int:
        return self.scenes

    def scene(self, number: int) -> GridRecipe:
        """The recipe of scene `number`, counted from 1.

        Raises:
            OptionError: What was drawn for it makes no scene.
        """
        # Unique, and nothing that another seed's scenes would have.
        seed = (int(hash_u32(self.seed, "dataset.seed", number)[0]) << 20) + number
        drawn = {key: self._drawn(key, number) for key in self.values}
        try:
            return KINDS[self.of].filled(seed=seed, **drawn)
        except OptionError as error:
            said = str(error).removeprefix("recipe: ")
            raise OptionError(f"scene {number} of the dataset: {said}") from error

    def with_grid(self, width: int | None, height: int | None) -> DatasetRecipe:
        """This dataset with scenes of another size, where one is given."""
        given = {"width": width, "height": height}
        fixed = {key: (value,) for key, value in given.items() if value is not None}
        return replace(self, values={**self.values, **fixed})

    def _drawn(self, key: str, number: int) -> Any:
        possible = self.values[key]
        chance = float(uniform(self.seed, f"dataset.{key}", number)[0])
        if not _is_range(possible):
            return possible[math.floor(chance * len(possible))]
        low, high = possible
        if isinstance(low, int):
            return low + math.floor(chance * (high - low + 1))
        value = low + chance * (high - low)
        return min(max(float(f"{value:.{_DIGITS}g}"), low), high)


def dataset_from(values: Mapping[str, object], where: str = "recipe") -> DatasetRecipe:
    """A dataset's recipe from names and values.

    Args:
        values: `scenes`, and where wanted `seed` and `of`; and fields of that kind of scene, each
            with a value or a list.
        where: What messages call the source.

    Raises:
        OptionError: A name is unknown, or a value makes no scene.
    """
    if "scenes" not in values:
        raise OptionError(f"{where}: scenes is missing; give the number of scenes, as 'scenes: 50'")
    own: dict[str, Any] = {key: values[key] for key in _OWN if key in values and key != "kind"}
    try:
        return DatasetRecipe(
            **own, values={key: value for key, value in values.items() if key not in _OWN}
        )
    except OptionError as error:
        raise OptionError(f"{where}: {str(error).removeprefix('recipe: ')}") from error


def _possible(kind: type[GridRecipe], key: str, value: object) -> tuple[Any, ...]:
    """What a key can be, checked against its limits alone; scenes are checked as wholes later."""
    many = value if isinstance(value, list | tuple) else [value]
    if not many:
        raise OptionError(f"recipe: {key} is an empty list; give a value, or some to choose from")
    checked = tuple(typed(kind, key, one, "recipe") for one in many)
    for one in checked:
        kind.check(key, one)
    if _is_range(checked) and checked[0] > checked[1]:
        raise OptionError(
            f"recipe: {key} is {shown(value)}; the lower end of a range comes first: "
            f"[{checked[1]}, {checked[0]}]"
        )
    return checked


def _is_range(possible: tuple[Any, ...]) -> bool:
    return len(possible) == 2 and not isinstance(possible[0], str)


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(f"recipe: {name} is {shown(value)}; a whole number is needed")
    if not low <= value <= high:
        raise OptionError(f"recipe: {name} is {value}; {low} to {high} is possible")
