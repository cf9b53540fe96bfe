"""Recipes as YAML files: flat, safe, and told where they are wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import yaml

from agriseg._version import __version__
from agriseg.errors import OptionError, nearest, shown
from agriseg.simulate.grid_recipe import GridRecipe
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.yaml_file import read_yaml

__all__ = ["DATASET", "KINDS", "read_flat", "read_recipe", "recipe_from", "recipe_text", "typed"]

KINDS: Final[dict[str, type[GridRecipe]]] = {
    recipe.kind: recipe for recipe in (FieldRecipe, SatelliteRecipe)
}
"""What `kind` in a recipe can say; the first is meant where it is left out."""

DATASET: Final = "dataset"
"""The kind of recipe that stands for many of the others (see `dataset_recipe`)."""

# YAML 1.1 takes 1e-3 for a word; people mean the number.
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\Z")


def read_flat(path: Path) -> dict[str, object]:
    """The keys and values of a recipe's file, as they stand there; see `read_yaml`."""
    return read_yaml(path, "row_spacing_m: 0.75", flat=True)


def read_recipe(path: str | Path) -> GridRecipe:
    """Read a recipe from a YAML file: one `key: value` a line, what is left out has its default.

    Args:
        path: The file. Its keys are `kind` and the fields of that kind of recipe.

    Raises:
        OptionError: It is not such a file; the message names the file, and the key where one is at
            fault.
    """
    path = Path(path)
    return recipe_from(read_flat(path), str(path))


def recipe_from(values: Mapping[str, object], where: str = "recipe") -> GridRecipe:
    """A recipe from names and values.

    Args:
        values: `kind` and fields of that kind; those left out have their defaults, or what is
            usual beside the others.
        where: What messages call the source.

    Raises:
        OptionError: A name is unknown, or a value makes no scene.
    """
    kind = values.get("kind", FieldRecipe.kind)
    if not isinstance(kind, str) or kind not in KINDS:
        possible = ", ".join([*KINDS, DATASET])
        raise OptionError(f"{where}: kind is {shown(kind)}; possible are {possible}")
    recipe = KINDS[kind]
    checked = {key: typed(recipe, key, value, where) for key, value in _rest(values)}
    try:
        return recipe.filled(**checked)
    except OptionError as error:
        raise OptionError(f"{where}: {str(error).removeprefix('recipe: ')}") from error


def recipe_text(recipe: GridRecipe) -> str:
    """The YAML text of a recipe, with every value; `read_recipe` gives the same recipe back."""
    values: dict[str, Any] = {} if isinstance(recipe, FieldRecipe) else {"kind": recipe.kind}
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        values[field.name] = float(value) if field.type == "float" else value
    head = (
        f"# Every value of this scene, which agriseg {__version__} drew; "
        "agriseg simulate makes it again.\n"
    )
    return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def typed(recipe: type[GridRecipe], key: str, value: object, where: str) -> Any:
    """A value of a recipe as its field wants it.

    Raises:
        OptionError: The key is no field of `recipe`, or the value is of another kind.
    """
    kinds = {field.name: field.type for field in fields(recipe)}
    if key not in kinds:
        raise OptionError(f"{where}: {shown(key)} is no key of a recipe; {nearest(key, kinds)}")
    kind = kinds[key]
    if isinstance(value, list):
        raise OptionError(
            f"{where}: {key} is a list; one value is needed: ranges and choices are for recipes "
            "of kind 'dataset'"
        )
    if kind == "str":
        if not isinstance(value, str):
            raise OptionError(f"{where}: {key} is {shown(value)}; a word in quotes is needed")
        return value
    if isinstance(value, str) and _FLOAT.match(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        needed = "a whole number" if kind == "int" else "a number"
        raise OptionError(f"{where}: {key} is {shown(value)}; {needed} is needed")
    if kind == "float" and isinstance(value, int) and abs(value) < 2**53:
        # So that 1 and 1.0 are one recipe.
        return float(value)
    return value


def _rest(values: Mapping[str, object]) -> list[tuple[str, object]]:
    return [(key, value) for key, value in values.items() if key != "kind"]
