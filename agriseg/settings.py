"""Plain values, as YAML gives them, into pydantic models; every fault is one line.

What pydantic says of a fault fills a screen. Here it becomes a line such as

    field.yaml: data[0].imags is no key here; did you mean images?
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agriseg.errors import OptionError, nearest, shown

__all__ = ["Settings", "checked"]

_M = TypeVar("_M", bound=BaseModel)


class Settings(BaseModel):
    """Base of all settings that are read from YAML: no other keys, and no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def checked(model: type[_M], values: object, where: str) -> _M:
    """Settings from plain values, as YAML gives them.

    Args:
        model: What they should be.
        values: A mapping.
        where: What messages call the source, such as the file's path.

    Raises:
        OptionError: They are not such settings; the first fault, and how many more there are.
    """
    if not isinstance(values, Mapping):
        possible = ", ".join(model.model_fields)
        raise OptionError(f"{where}: {shown(values)} stands where keys are needed: {possible}")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise OptionError(f"{where}: {_line(model, _worst(model, error))}") from error


def _worst(model: type[BaseModel], error: ValidationError) -> Any:
    """The fault that explains most: of an unknown key, and of alternatives the nearest one."""
    faults = error.errors(include_url=False)
    # A key that is unknown explains why another one is missing.
    faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
    first = _place(faults[0]["loc"], model)
    inner = [f for f in faults if _place(f["loc"], model).startswith(first)]
    return max(inner, key=lambda fault: len(_plain(fault["loc"], model)))


def _line(model: type[BaseModel], fault: Any) -> str:
    """One fault of pydantic's in the words of the house."""
    kind, given, context = fault["type"], fault["input"], fault.get("ctx", {})
    place = _place(fault["loc"], model)
    if kind == "extra_forbidden":
        return f"{place} is no key here; {nearest(fault['loc'][-1], _keys(model, fault['loc']))}"
    if kind == "missing":
        return f"{place} is missing; give it{_example(model, fault['loc'])}"
    if kind == "union_tag_invalid":
        tag = context["tag"]
        expected = re.findall(r"'([^']*)'", context["expected_tags"])
        word = context["discriminator"].strip("'")
        return f"{place}.{word} is {shown(tag)}; {nearest(tag, expected)}"
    if kind == "union_tag_not_found":
        word = context["discriminator"].strip("'")
        return f"{place}.{word} is missing; give it"
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", context["expected"])
        return f"{place} is {shown(given)}; {nearest(given, expected)}"
    if kind in ("value_error", "assertion_error"):
        said = fault["msg"].partition(", ")[2] or fault["msg"]
        return f"{place}: {said}" if place else said
    return f"{place} is {shown(given)}; {_wanted(kind, context, fault['msg'])}"


# What pydantic calls plain types in the paths of unions.
_PLAIN_TAGS = frozenset({"str", "int", "float", "bool", "none"})

_WANTED = {
    "bool": "true or false is needed",
    "int": "a whole number is needed",
    "float": "a number is needed",
    "string": "a word or text is needed",
    "list": "a list is needed",
    "tuple": "a list is needed",
    "dict": "keys with values are needed",
    "mapping": "keys with values are needed",
    "model": "keys with values are needed",
    "finite": "a finite number is needed",
}
_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _wanted(kind: str, context: Mapping[str, Any], said: str) -> str:
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"{words} {context[key]} is needed"
    return _WANTED.get(kind.partition("_")[0], said[:1].lower() + said[1:])


def _place(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """`data[0].images` from pydantic's path, without the names of alternatives in it."""
    text = ""
    for part in _plain(loc, model):
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _plain(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[int | str]:
    """The path as it stands in the file: pydantic puts tags and types of unions between."""
    plain: list[int | str] = []
    kinds: list[Any] = [model]
    for place, part in enumerate(loc):
        last = place == len(loc) - 1
        if isinstance(part, int):
            plain.append(part)
            kinds = [arg for kind in kinds for arg in typing.get_args(kind)]
            kinds = [inner for kind in kinds for inner in _alternatives(kind)]
            continue
        if len(kinds) > 1 and (part in _PLAIN_TAGS or "[" in part):
            continue
        models = [kind for kind in kinds if _is_model(kind)]
        tagged = [kind for kind in models if _tag(kind) == part]
        holders = [kind for kind in models if part in _names(kind)]
        if len(models) > 1 and tagged:
            # A tag may be called as a key of its model is.
            kinds = list(tagged)
        elif holders:
            plain.append(part)
            kinds = [
                inner for kind in holders for inner in _alternatives(_field(kind, part).annotation)
            ]
        elif tagged:
            kinds = list(tagged)
        elif any(typing.get_origin(kind) in (dict, Mapping) for kind in kinds) or (models and last):
            plain.append(part)
    return plain


def _example(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """How a key of the outermost model could look, where the model knows."""
    field = model.model_fields.get(str(loc[0])) if len(loc) == 1 else None
    return f", such as {loc[0]}: {field.examples[0]}" if field and field.examples else ""


def _keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are possible beside the last one of `loc`."""
    kinds: list[Any] = [model]
    for part in loc[:-1]:
        if isinstance(part, int):
            kinds = [arg for kind in kinds for arg in typing.get_args(kind)]
            kinds = [inner for kind in kinds for inner in _alternatives(kind)]
            continue
        models = [kind for kind in kinds if _is_model(kind)]
        tagged = [kind for kind in models if _tag(kind) == part]
        holders = [kind for kind in models if part in _names(kind)]
        kinds = (
            tagged
            or [inner for kind in holders for inner in _alternatives(_field(kind, part).annotation)]
            or [kind for kind in models if kind.__name__ == part]
        )
    return sorted({name for kind in kinds if _is_model(kind) for name in _names(kind)})


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _field(model: type[BaseModel], name: str) -> Any:
    return next(f for key, f in model.model_fields.items() if name in (key, f.alias))


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _tag(model: type[BaseModel]) -> object:
    """What `kind` says in a model that is one of several."""
    field = model.model_fields.get("kind")
    return (
        typing.get_args(field.annotation)[0]
        if field and typing.get_args(field.annotation)
        else None
    )


def _alternatives(kind: Any) -> list[Any]:
    """The members of a union, itself where it is none."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [inner for arg in typing.get_args(kind) for inner in _alternatives(arg)]
    return [kind]
