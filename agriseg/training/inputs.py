"""Which files a training learns from, so that it is noticed when others are in their place.

They are told apart as those of a run are: by their size, time, and both ends. What viewers write
beside rasters (statistics, overviews) does not count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agriseg.errors import OptionError, redacted
from agriseg.labels import Material
from agriseg.labels.pairs import is_vector, seen_from
from agriseg.raster.whole_file import write_bytes
from agriseg.runs.key import file_print, fingerprint, is_same_file
from agriseg.threads import in_threads

__all__ = ["Inputs", "check_inputs", "inputs_of", "read_inputs", "write_inputs"]

Inputs = Mapping[str, Sequence[Mapping[str, Any]]]
"""The prints of all files behind each image or label file, by its path seen from the base."""

_FILE = "inputs.json"
_FORMAT = 1
_OF_VIEWERS = (".aux.xml", ".ovr")
# A shapefile has its classes in another file than its outlines.
_OF_SHAPES = (".shp", ".dbf", ".prj", ".cpg")
# So many names are listed in a message.
_MOST_NAMED = 3


def inputs_of(material: Material, base: Path, init: Path | None = None) -> Inputs:
    """What the scenes, their labels and the start are read from now.

    Args:
        material: The scenes.
        base: The folder that paths are told from, so that it may be moved with all in it.
        init: The file of the weights that a training starts from.
    """
    paths: dict[str, None] = {}
    for one in material.scenes:
        paths |= dict.fromkeys(band.path for band in one.scene.bands)
        paths |= dict.fromkeys(getattr(one.labels, "files", ()))
    if init is not None:
        paths[str(init)] = None
    return {seen_from(redacted(path), base): found for path, found in in_threads(_prints, paths)}


def _prints(path: str) -> list[dict[str, Any]]:
    if not is_vector(path) and (found := fingerprint(path)):
        return [one for one in found if not one["name"].endswith(_OF_VIEWERS)]
    place = Path(path)
    if place.is_dir():
        parts = sorted(file for file in place.rglob("*") if file.is_file())
    elif place.suffix.lower() == ".shp" and place.exists():
        # Those that are there, in letters of either case.
        beside = sorted(file for file in place.parent.iterdir() if file.stem == place.stem)
        parts = [file for file in beside if file.suffix.lower() in _OF_SHAPES]
    else:
        parts = [place]
    return [file_print(str(part)) for part in parts]


def write_inputs(folder: Path, inputs: Inputs) -> None:
    """Write inputs.json into the folder of a training."""
    text = json.dumps({"format": _FORMAT, "files": inputs}, indent=1, ensure_ascii=False) + "\n"
    write_bytes(folder / _FILE, text.encode())


def read_inputs(folder: Path) -> Inputs | None:
    """What the training in a folder began with; None where nothing says so."""
    try:
        found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        files = found["files"] if found["format"] == _FORMAT else {}
        return {path: [dict(one) for one in prints] for path, prints in files.items()} or None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def check_inputs(folder: Path, now: Inputs) -> bool:
    """See that a training is asked to go on with what it began with.

    Args:
        folder: Of the training.
        now: What `inputs_of` finds.

    Returns:
        False where nothing says what it began with.

    Raises:
        OptionError: Files are gone, new or changed; the message names some.
    """
    before = read_inputs(folder)
    if before is None:
        return False
    both = [path for path in now if path in before]
    changed = [path for path in both if not _are_same(before[path], now[path])]
    new = [path for path in now if path not in before]
    gone = [path for path in before if path not in now]
    words = [
        f"{len(paths)} {word} ({_some(paths)})"
        for word, paths in (("changed", changed), ("new", new), ("gone", gone))
        if paths
    ]
    if not words:
        return True
    todo = "begin anew with --fresh, or give another folder with -o"
    if not new and not gone and all(_are_copies(before[path], now[path]) for path in changed):
        todo += f"; if they are mere copies, with other times, remove {folder / _FILE}"
    raise OptionError(f"{folder} was trained on other files: {', '.join(words)}; {todo}")


def _are_same(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    return len(one) == len(other) and all(map(is_same_file, one, other))


def _are_copies(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether nothing but their times tells them apart."""
    timeless = [
        [{key: value for key, value in each.items() if key != "modified_ns"} for each in files]
        for files in (one, other)
    ]
    return timeless[0] == timeless[1]


def _some(paths: Sequence[str]) -> str:
    named = ", ".join(paths[:_MOST_NAMED])
    return named + (", ..." if len(paths) > _MOST_NAMED else "")
