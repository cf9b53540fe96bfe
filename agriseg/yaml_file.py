"""YAML files of settings: small, safe, and told where they are wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from agriseg.errors import OptionError, shown

__all__ = ["read_yaml"]

# Settings with a comment to each line have some kilobytes.
_MOST_BYTES = 1 << 20
_MOST_DEEP = 20
# YAML 1.1 reads 0512 as 330 and 1:30 as 90; nobody means that.
_OLD_NUMBER = re.compile(r"[-+]?0[0-9_box]|.*:")
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def read_yaml(path: Path, example: str, *, flat: bool = False) -> dict[str, Any]:
    """The keys and values of a YAML file, lists and nested keys as plain Python.

    Nothing in it repeats, refers to another place or runs.

    Args:
        path: The file.
        example: A line that such a file could have, for messages.
        flat: Refuse nested keys; a value is plain, or a list of plain ones.

    Raises:
        OptionError: It is not such a file; the message names it, and the line.
    """
    where, example = str(path), f"lines such as {example!r} are needed"
    text = _text(path, example)
    try:
        # Events before nodes: nothing can grow without end, or be nested too deep to compose.
        _refuse_structure(text, where, flat)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None or root.value == "":
            raise OptionError(f"{where} is empty; {example}")
        if not isinstance(root, yaml.MappingNode):
            what = shown(root.value) if isinstance(root, yaml.ScalarNode) else "a list"
            raise OptionError(f"{where} holds only {what}; {example}")
        _refuse_doubles(root, where, where)
        return {key.value: _value(key, value, where) for key, value in root.value}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" on line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or "it cannot be parsed"
        if "got '?'" in said:
            said += "; a word with a question mark needs quotes"
        raise OptionError(f"{where} is not YAML{line} ({said}); {example}") from error


def _text(path: Path, example: str) -> str:
    if path.is_dir():
        raise OptionError(f"{path} is a folder; give a YAML file")
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise OptionError(f"{path}: there is no such file; give the path of a YAML file") from error
    except OSError as error:
        raise OptionError(
            f"{path} cannot be read ({error.strerror}); give a file that you may read"
        ) from error
    if len(data) > _MOST_BYTES:
        raise OptionError(f"{path} has more than 1 MB; a short YAML file with {example}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OptionError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error


def _refuse_structure(text: str, where: str, flat: bool) -> None:
    deep = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise OptionError(
                f"{where}: an alias or anchor (* or &) on line {line}; write the value out, and "
                "put quotes around a text that begins with * or &"
            )
        if flat and isinstance(event, yaml.CollectionStartEvent):
            is_list = isinstance(event, yaml.SequenceStartEvent)
            if deep != int(is_list):
                raise OptionError(
                    f"{where}: {'a list' if is_list else 'a nested key'} on line {line}; such a "
                    "file is flat, with one number or word behind each key"
                )
        deep += isinstance(event, yaml.CollectionStartEvent)
        deep -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if deep > _MOST_DEEP:
            raise OptionError(f"{where}: line {line} is nested {deep} deep; {_MOST_DEEP} is enough")
    if documents > 1:
        raise OptionError(f"{where} holds {documents} YAML documents (---); one is needed")


def _refuse_doubles(node: yaml.Node, where: str, what: str) -> None:
    """Refuse a key that stands there twice, and numbers that YAML reads as others."""
    if isinstance(node, yaml.MappingNode):
        seen: set[tuple[str, str]] = set()
        for key, value in node.value:
            line = _line(key)
            if not isinstance(key, yaml.ScalarNode):
                raise OptionError(f"{where}: a key on line {line} is a list; give a word")
            name = (key.tag, str(key.value))
            if name in seen:
                raise OptionError(
                    f"{where}: {shown(key.value)} stands there twice, again on line {line}; "
                    "leave one"
                )
            seen.add(name)
            _refuse_doubles(key, where, f"{where}: a key on line {line}")
            _refuse_doubles(value, where, f"{where}: {shown(key.value)} on line {line}")
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_doubles(value, where, what)
    elif node.tag in _NUMBERS and _OLD_NUMBER.match(str(node.value)):
        raise OptionError(f"{what} is {shown(node.value)}; write a plain number, as 512 or 0.75")


def _value(key: yaml.Node, value: yaml.Node, where: str) -> Any:
    try:
        return yaml.SafeLoader("").construct_object(value, deep=True)
    except (ValueError, TypeError) as error:
        raise OptionError(
            f"{where}: {shown(key.value)} on line {_line(key)} cannot be read; a number such as "
            "0.75 or a word is needed"
        ) from error


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1 if node.start_mark else 0
