"""Flat YAML: keys with a value or a list of values; nothing nests, repeats or runs."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from agriseg.errors import OptionError

__all__ = ["read_flat", "shown"]

# A recipe with a comment to each line has two kilobytes.
_MOST_BYTES = 64 * 1024
_OLD_NUMBER = re.compile(r"[-+]?0[0-9_box]|.*:")
# Of a value or a key that is repeated in a message.
_MOST_SHOWN = 60


def read_flat(path: Path) -> dict[str, object]:
    """The keys and values of a file, in its order; a value is plain, or a list of plain ones.

    Args:
        path: The file.

    Raises:
        OptionError: It is not such a file; the message names it, and the line.
    """
    return _values(_text(path), str(path))


def shown(value: object) -> str:
    """A value as messages repeat it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."


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
    """The keys of one flat mapping, and their plain values or lists of such."""
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
                    f"{where}: {shown(key)} stands there twice, again on line {line}; leave one"
                )
            _refuse_old_numbers(value_node, f"{where}: the value of {shown(key)} on line {line}")
            try:
                found[key] = loader.construct_object(value_node, deep=True)
            except ValueError as error:
                raise OptionError(
                    f"{where}: the value of {shown(key)} on line {line} cannot be read; a number "
                    "such as 0.75 or a word is needed"
                ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line_words = f" on line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or "it cannot be parsed"
        raise OptionError(f"{where} is not YAML{line_words} ({said}); {example}") from error
    return found


def _refuse_old_numbers(node: yaml.Node, what: str) -> None:
    """YAML 1.1 reads 0512 as 330 and 1:30 as 90; nobody means that."""
    for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        is_number = part.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if is_number and _OLD_NUMBER.match(str(part.value)):
            raise OptionError(
                f"{what} is {shown(part.value)}; write a plain number, as 512 or 0.75"
            )


def _refuse_structure(text: str, where: str) -> None:
    """Refuse all but one flat mapping of values and lists of values, before any is built."""
    depth = documents = values = 0
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
        elif isinstance(event, yaml.SequenceStartEvent) and depth == 1 and values % 2:
            depth, values = 2, values + 1
        elif isinstance(event, yaml.CollectionStartEvent):
            raise OptionError(
                f"{where}: a list or a nested mapping on line {line}; a recipe is flat, with one "
                "number or word behind each key"
            )
        elif isinstance(event, yaml.SequenceEndEvent):
            depth = 1
        elif isinstance(event, yaml.ScalarEvent) and depth == 1:
            values += 1
        elif isinstance(event, yaml.ScalarEvent) and depth == 0 and event.value:
            raise OptionError(
                f"{where} holds only {shown(event.value)}; lines such as 'row_spacing_m: 0.75' "
                "are needed"
            )
        elif isinstance(event, yaml.ScalarEvent) and depth == 0:
            raise OptionError(f"{where} is empty; lines such as 'row_spacing_m: 0.75' are needed")
        elif isinstance(event, yaml.MappingEndEvent):
            depth = 0
    if documents > 1:
        raise OptionError(f"{where} holds {documents} YAML documents (---); a recipe is one")
