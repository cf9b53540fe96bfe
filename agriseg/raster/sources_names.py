"""What the scenes of a season are called: names that stay the same when flights are added."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agriseg.errors import InputError, OptionError
from agriseg.raster.opener import is_local
from agriseg.raster.opening import common_stem

__all__ = ["Found", "Given", "found", "key_of", "name_all", "safe_name", "without_doubles"]

Given = str | Mapping[str, str]

# What Scene refuses in a name, and what no folder should have in its name.
_UNFIT = re.compile(r"[/\\\x00-\x1f]+")


@dataclass(frozen=True)
class Found:
    """A scene that was found, before it has its name.

    Args:
        inputs: What `open_scene` gets.
        origin: Where it was given, for messages.
        parts: Words that lead to it from outside in: folders and its own name without the ending.
        depth: How many of the last words make its name, as long as nobody else has the same.
        options: Its own keywords of `open_scene`, without `name`.
        name: Its name, where the user gave it one.
        stated: The options are a catalogue's statements, not the user's words.
    """

    inputs: Given
    origin: str
    parts: tuple[str, ...]
    depth: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    stated: bool = False


def found(
    inputs: Given,
    origin: str,
    *,
    root: str | None = None,
    whole: bool = False,
    options: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Found:
    """A scene of a file, a folder, or files by role.

    Args:
        inputs: The path, or paths by role.
        origin: Where it was given, for messages.
        root: The folder whose name and whose place say nothing about the scene; where it lies
            below, it is called after all folders in between, too.
        whole: A folder, in whose name a dot begins no ending.
        options: Its own keywords of `open_scene`, without `name`.
        name: Its name, where the user gave it one.
    """
    if isinstance(inputs, str):
        parts = _parts(inputs)
        if not whole and parts:
            parts = (*parts[:-1], os.path.splitext(parts[-1])[0])
    else:
        paths = list(inputs.values())
        stem = common_stem(paths)
        parts = _parts(paths[0])[:-1]
        if not parts or parts[-1] != stem:
            parts = (*parts, stem)
    depth = 1
    if root is not None:
        above = _parts(root)
        if parts[: len(above)] == above and len(parts) > len(above):
            depth = len(parts) - len(above)
    return Found(inputs, origin, parts or ("scene",), depth, options or {}, name)


def _parts(path: str) -> tuple[str, ...]:
    if is_local(path):
        return tuple(part for part in os.path.abspath(path).split(os.sep) if part)
    if "://" in path:
        # A signed address ends with its signature, another one each day.
        path = re.split(r"[?#]", path, maxsplit=1)[0]
    return tuple(part for part in re.split(r"[/\\]", path) if part and not part.endswith(":"))


def key_of(inputs: Given) -> str:
    """What tells one scene from another, whatever folder the paths were given from."""
    if isinstance(inputs, str):
        return os.path.abspath(inputs) if is_local(inputs) else inputs
    return " ".join(f"{role}={key_of(path)}" for role, path in sorted(inputs.items()))


def without_doubles(every: Iterable[Found]) -> list[Found]:
    """Each scene once; the same one may come by several patterns, or stand under several names.

    Raises:
        InputError: It was given twice with different options, and has no names to tell them apart.
    """
    kept: list[Found] = []
    seen: dict[str, Found] = {}
    for one in every:
        other = seen.setdefault(key_of(one.inputs), one)
        if other is one or (one.name and other.name and one.name != other.name):
            kept.append(one)
        elif (one.options, one.name) != (other.options, other.name):
            raise InputError(
                f"{one.origin} gives the scene of {other.origin} again, with other options; leave "
                "one out, or give each a name of its own"
            )
    return kept


def name_all(scenes: Sequence[Found], earlier: Mapping[str, str]) -> list[str]:
    """Names for all scenes, no two of which are one folder on any disk.

    Args:
        scenes: The scenes, each once.
        earlier: Names given before, by `key_of`; scenes keep them, and no other gets them.

    Raises:
        OptionError: Two scenes were given one name.
    """
    names: dict[int, str] = {}
    owners: dict[str, str] = {}
    for index, one in enumerate(scenes):
        if one.name is None:
            continue
        origin = owners.setdefault(_folded(one.name), one.origin)
        if origin != one.origin:
            raise OptionError(
                f"{origin} and {one.origin} are both called {one.name!r}; give each a name of its "
                "own, since it names the folder of its results (capitals make no difference)"
            )
        names[index] = one.name
    keys = {index: key_of(one.inputs) for index, one in enumerate(scenes) if index not in names}
    for index, key in keys.items():
        kept = earlier.get(key)
        if kept is not None and _folded(kept) not in owners:
            owners[_folded(kept)] = key
            names[index] = kept
    taken = owners.keys() | {_folded(name) for name in earlier.values()}
    free = {index: key for index, key in keys.items() if index not in names}
    names |= _derived(scenes, free, taken)
    return [names[index] for index in range(len(scenes))]


def _derived(
    scenes: Sequence[Found], keys: Mapping[int, str], taken: Iterable[str]
) -> dict[int, str]:
    """Names from the scenes' own places, longer only where two would be the same."""
    taken = set(taken)
    parts = _told_apart(scenes, keys)
    depths = {index: scenes[index].depth for index in keys}
    names = {index: _joined(parts[index], depths[index]) for index in keys}
    while clashes := _clashes(names, taken):
        longer = [index for index in clashes if depths[index] < len(parts[index])]
        if not longer:
            return _numbered(names, clashes, keys, taken)
        for index in longer:
            depths[index] += 1
            names[index] = _joined(parts[index], depths[index])
    return names


def _told_apart(scenes: Sequence[Found], keys: Mapping[int, str]) -> dict[int, tuple[str, ...]]:
    """The scenes' words, with the ending in them where a.tif lies beside a.jp2."""
    groups: dict[str, list[int]] = {}
    for index in keys:
        groups.setdefault("\0".join(map(_folded, scenes[index].parts)), []).append(index)
    parts = {index: scenes[index].parts for index in keys}
    for group in groups.values():
        endings = {index: _ending(scenes[index].inputs) for index in group}
        if len(set(endings.values())) > 1:
            for index, ending in endings.items():
                *outer, last = parts[index]
                parts[index] = (*outer, f"{last}-{ending}" if ending else last)
    return parts


def _ending(inputs: Given) -> str:
    return os.path.splitext(inputs)[1][1:].lower() if isinstance(inputs, str) else ""


def _clashes(names: Mapping[int, str], taken: set[str]) -> list[int]:
    groups: dict[str, list[int]] = {}
    for index, name in names.items():
        groups.setdefault(_folded(name), []).append(index)
    return [
        index
        for name, group in groups.items()
        if len(group) > 1 or name in taken
        for index in group
    ]


def _numbered(
    names: dict[int, str], clashes: Sequence[int], keys: Mapping[int, str], taken: set[str]
) -> dict[int, str]:
    """What only a number tells apart: A/x.tif from a/x.tif; the first in the alphabet has none."""
    used = taken | {_folded(name) for index, name in names.items() if index not in set(clashes)}
    for index in sorted(clashes, key=keys.__getitem__):
        name, number = names[index], 1
        while _folded(name) in used:
            number += 1
            name = f"{names[index]}-{number}"
        used.add(_folded(name))
        names[index] = name
    return names


def _joined(parts: Sequence[str], depth: int) -> str:
    return safe_name("-".join(parts[-depth:]))


def safe_name(text: str) -> str:
    """The text as the name of a folder."""
    name = _UNFIT.sub("-", text).strip()
    return name if name not in ("", ".", "..") else "scene"


def _folded(name: str) -> str:
    """Disks differ in whether capitals count, and macOS stores an umlaut as two characters."""
    return unicodedata.normalize("NFC", name).casefold()
