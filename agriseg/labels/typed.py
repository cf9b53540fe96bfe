"""Settings from YAML into pydantic models; every fault is told in one line, with the nearest key.

What pydantic says of a fault fills a screen. Here it becomes a line such as

    field.yaml: data[0].imags is no key here; did you mean images?
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from agriseg.errors import OptionError

__all__ = ["Settings", "checked", "nearest", "read_yaml", "shown"]

_MOST_BYTES = 1 << 20
_MOST_SHOWN = 60
_MOST_DEEP = 20
# YAML 1.1 reads 0512 as 330 and 1:30 as 90; nobody means that.
_OLD_NUMBER = re.compile(r"[-+]?0[0-9_box]|.*:")

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


def nearest(key: object, possible: Iterable[str]) -> str:
    """What to write in place of an unknown `key`."""
    possible = [str(one) for one in possible]
    folded = {one.casefold(): one for one in possible}
    near = difflib.get_close_matches(str(key).casefold(), list(folded), n=1, cutoff=0.5)
    return f"did you mean {folded[near[0]]}?" if near else f"possible are {', '.join(possible)}"


def shown(value: object) -> str:
    """A value as messages repeat it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."


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
        return f"{place} is missing; give it"
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
        holders = [kind for kind in models if part in _names(kind)]
        if holders:
            plain.append(part)
            kinds = [
                inner for kind in holders for inner in _alternatives(_field(kind, part).annotation)
            ]
        elif any(_tag(kind) == part for kind in models):
            kinds = [kind for kind in models if _tag(kind) == part]
        elif any(typing.get_origin(kind) in (dict, Mapping) for kind in kinds) or (models and last):
            plain.append(part)
    return plain


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


def read_yaml(path: Path, example: str) -> dict[str, Any]:
    """The keys and values of a YAML file, lists and nested keys as plain Python.

    Args:
        path: The file.
        example: A line that such a file could have, for messages.

    Raises:
        OptionError: It is not such a file; the message names it, and the line.
    """
    where = str(path)
    text = _text(path, example)
    try:
        _refuse_tricks(text, where)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise OptionError(f"{where} holds no keys; lines such as {example!r} are needed")
        _refuse_doubles(root, where)
        values: dict[str, Any] = yaml.SafeLoader("").construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" on line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or "it cannot be parsed"
        raise OptionError(f"{where} is not YAML{line} ({said}); such as {example!r}") from error
    except (ValueError, TypeError) as error:
        raise OptionError(f"{where}: a value cannot be read ({error}); put it in quotes") from error
    return values


def _text(path: Path, example: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise OptionError(f"{path}: there is no such file; check the path") from error
    except OSError as error:
        raise OptionError(f"{path} cannot be read ({error.strerror}); give a YAML file") from error
    if len(data) > _MOST_BYTES:
        raise OptionError(f"{path} has more than 1 MB; a short YAML file is needed, as {example!r}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OptionError(
            f"{path} is not UTF-8 text (byte {error.start}); a YAML file is needed"
        ) from error


def _refuse_tricks(text: str, where: str) -> None:
    """Refuse aliases, and nesting without end: a short file could grow without end by them."""
    deep = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise OptionError(
                f"{where}: an alias or anchor (* or &) on line {line}; write the value out, and "
                "put quotes around a text that begins with * or &"
            )
        deep += isinstance(event, yaml.CollectionStartEvent)
        deep -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if deep > _MOST_DEEP:
            raise OptionError(f"{where}: line {line} is nested {deep} deep; {_MOST_DEEP} is enough")
    if documents > 1:
        raise OptionError(f"{where} holds {documents} YAML documents (---); one is needed")


def _refuse_doubles(node: yaml.Node, where: str) -> None:
    """Refuse a key that stands there twice, and numbers that YAML reads as others."""
    line = node.start_mark.line + 1 if node.start_mark else 0
    if isinstance(node, yaml.MappingNode):
        seen: set[tuple[str, str]] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise OptionError(f"{where}: a key on line {line} is a list; give a word")
            name = (key.tag, str(key.value))
            if name in seen:
                at = key.start_mark.line + 1 if key.start_mark else 0
                raise OptionError(
                    f"{where}: {shown(key.value)} stands there twice, again on line {at}; leave one"
                )
            seen.add(name)
            _refuse_doubles(key, where)
            _refuse_doubles(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_doubles(value, where)
    elif node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and _OLD_NUMBER.match(
        str(node.value)
    ):
        raise OptionError(
            f"{where}: {shown(node.value)} on line {line}; write a plain number, as 512 or 0.75"
        )
