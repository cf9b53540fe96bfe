"""Recipes as YAML files: flat, safe, and told where they are wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from agriseg.errors import OptionError
from agriseg.simulate.recipe import FieldRecipe

__all__ = ["read_recipe", "recipe_from", "recipe_text"]

# A recipe with a comment to each line has two kilobytes.
_MOST_BYTES = 64 * 1024
# Of a value or a key that is repeated in a message.
_MOST_SHOWN = 60
# YAML 1.1 takes 1e-3 for a word; people mean the number.
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\Z")
_KINDS = {field.name: field.type for field in fields(FieldRecipe)}


def read_recipe(path: str | Path) -> FieldRecipe:
    """Read a recipe from a YAML file: one `key: value` a line, what is left out has its default.

    Args:
        path: The file. Its keys are the fields of `FieldRecipe`.

    Raises:
        OptionError: It is not such a file; the message names the file, and the key where one is at
            fault.
    """
    path = Path(path)
    values = _values(_text(path), str(path))
    return recipe_from(values, str(path))


def recipe_from(values: Mapping[str, object], where: str = "recipe") -> FieldRecipe:
    """A recipe from names and values.

    Args:
        values: Fields of `FieldRecipe`; those left out have their defaults, or what is usual for
            the crop.
        where: What messages call the source.

    Raises:
        OptionError: A name is unknown, or a value makes no field.
    """
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in _KINDS:
            raise OptionError(f"{where}: {_shown(key)} is no key of a recipe; {_nearest(key)}")
        checked[key] = _typed(key, value, where)
    try:
        return FieldRecipe.for_crop(**checked)
    except OptionError as error:
        raise OptionError(f"{where}: {str(error).removeprefix('recipe: ')}") from error


def recipe_text(recipe: FieldRecipe) -> str:
    """The YAML text of a recipe, with every value; `read_recipe` gives the same recipe back."""
    values = {field.name: getattr(recipe, field.name) for field in fields(FieldRecipe)}
    values = {key: float(v) if _KINDS[key] == "float" else v for key, v in values.items()}
    head = "# Every value of this scene; agriseg simulate makes the same scene from it.\n"
    return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _text(path: Path) -> str:
    if path.is_dir():
        raise OptionError(f"{path} is a folder; give the YAML file of a recipe")
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise OptionError(
            f"{path}: there is no such recipe; give the path of a YAML file"
        ) from error
    except OSError as error:
        raise OptionError(
            f"{path} cannot be read ({error.strerror}); give a recipe that you may read"
        ) from error
    if len(data) > _MOST_BYTES:
        raise OptionError(
            f"{path} has more than {_MOST_BYTES // 1024} kB; a recipe is a short YAML file of "
            "lines such as 'row_spacing_m: 0.75'"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OptionError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error


def _values(text: str, where: str) -> dict[str, object]:
    """The keys and plain values of one flat mapping."""
    example = "lines such as 'row_spacing_m: 0.75' are needed"
    try:
        # Events before nodes: nothing nests or repeats, so nothing can grow or recurse.
        _refuse_structure(text, where)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise OptionError(f"{where} is empty; {example}, even if only 'seed: 1'")
        assert isinstance(root, yaml.MappingNode)
        found: dict[str, object] = {}
        loader = yaml.SafeLoader("")
        for key_node, value_node in root.value:
            key = str(key_node.value)
            mark = key_node.start_mark
            line = mark.line + 1 if mark else 0
            if key in found:
                raise OptionError(
                    f"{where}: {_shown(key)} stands there twice, again on line {line}; leave one"
                )
            try:
                found[key] = loader.construct_object(value_node)
            except ValueError as error:
                raise OptionError(
                    f"{where}: the value of {_shown(key)} on line {line} cannot be read; a number "
                    "such as 0.75 or a word is needed"
                ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line_words = f" on line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or "it cannot be parsed"
        raise OptionError(f"{where} is not YAML{line_words} ({said}); {example}") from error
    return found


def _refuse_structure(text: str, where: str) -> None:
    """Refuse all that is not one flat mapping, without building any of it."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        line = mark.line + 1 if mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise OptionError(
                f"{where}: an alias or anchor (* or &) on line {line}; write the value out"
            )
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if isinstance(event, yaml.MappingStartEvent) and depth == 0:
            depth = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            raise OptionError(
                f"{where}: a list or a nested mapping on line {line}; a recipe is flat, with one "
                "number or word behind each key"
            )
        elif isinstance(event, yaml.ScalarEvent) and depth == 0 and event.value:
            raise OptionError(
                f"{where} holds only {_shown(event.value)}; lines such as 'row_spacing_m: 0.75' "
                "are needed"
            )
        elif isinstance(event, yaml.ScalarEvent) and depth == 0:
            raise OptionError(f"{where} is empty; lines such as 'row_spacing_m: 0.75' are needed")
        elif isinstance(event, yaml.MappingEndEvent):
            depth = 0
    if documents > 1:
        raise OptionError(f"{where} holds {documents} YAML documents (---); a recipe is one")


def _typed(key: str, value: object, where: str) -> object:
    kind = _KINDS[key]
    if kind == "str":
        if not isinstance(value, str):
            raise OptionError(f"{where}: {key} is {_shown(value)}; a word in quotes is needed")
        return value
    if isinstance(value, str) and _FLOAT.match(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        needed = "a whole number" if kind == "int" else "a number"
        raise OptionError(f"{where}: {key} is {_shown(value)}; {needed} is needed")
    if kind == "float" and isinstance(value, int) and abs(value) < 2**53:
        # So that 1 and 1.0 are one recipe.
        return float(value)
    return value


def _nearest(key: object) -> str:
    near = difflib.get_close_matches(str(key), _KINDS, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"possible are {', '.join(_KINDS)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."
