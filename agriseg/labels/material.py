"""Material to learn from, or to compare with: scenes with labels, from a configuration."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agriseg.errors import AgrisegError, LabelError
from agriseg.labels.codes import Codes
from agriseg.labels.config import (
    CocoEntry,
    DataEntry,
    FolderEntry,
    Part,
    SceneEntry,
    SimulatedEntry,
    options_of,
)
from agriseg.labels.labelled import LabelledScene, Labels
from agriseg.labels.pairs import Pairs, is_vector, paired
from agriseg.labels.raster_labels import RasterLabels
from agriseg.labels.simulated import simulated_folders
from agriseg.labels.values import texts_of, value_table
from agriseg.legend import Legend
from agriseg.raster import Scene, open_scene

__all__ = ["Material", "open_material"]

# So many names are listed in a note.
_MOST_NAMED = 3


@dataclass(frozen=True)
class Material:
    """Scenes with labels in one set of codes.

    Args:
        scenes: Of any sensor and resolution; no two of one name.
        codes: What their labels mean.
        notes: What a person should know of them, a line each.
        parts: What each is for, where the user said so; None where a split decides.
    """

    scenes: tuple[LabelledScene, ...]
    codes: Codes
    notes: tuple[str, ...] = ()
    parts: tuple[Part | None, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts) or (None,) * len(self.scenes))
        if len(self.parts) != len(self.scenes):
            raise ValueError(f"{len(self.parts)} parts for {len(self.scenes)} scenes")

    @property
    def legend(self) -> Legend:
        return self.codes.legend


@dataclass(frozen=True)
class _Found:
    """A scene before all of them are known."""

    path: str
    labelled: LabelledScene
    part: Part | None


def open_material(
    entries: Sequence[DataEntry],
    legend: Legend,
    *,
    base: str | os.PathLike[str] = ".",
    codes: Codes | None = None,
) -> Material:
    """Find and open all scenes with their labels; no pixels are read.

    Args:
        entries: What the configuration lists under `data:`.
        legend: The classes.
        base: The folder that paths are relative to: that of the configuration.
        codes: Codes to use; by default those that suffice.

    Raises:
        LabelError: Labels are not there, or cannot be used.
        InputError: Images are not there, or cannot be used.
        OptionError: What is said of them makes no sense.
    """
    if not entries:
        raise LabelError("data is empty; list at least one entry, such as kind: scenes")
    codes = codes or Codes.of(legend, _texts(entries, legend, Path(base)))
    found: list[_Found] = []
    notes: list[str] = []
    for place, entry in enumerate(entries):
        try:
            more, said = _open(entry, codes, Path(base))
        except AgrisegError as error:
            raise type(error)(f"data[{place}]: {error}") from error
        found += more
        notes += said
    names = _names([one.path for one in found], [one.labelled.name for one in found])
    scenes = tuple(_named(one.labelled, name) for one, name in zip(found, names, strict=True))
    return Material(scenes, codes, tuple(notes), tuple(one.part for one in found))


def _texts(entries: Sequence[DataEntry], legend: Legend, base: Path) -> Iterator[str]:
    """All that the entries call classes."""
    for entry in entries:
        yield from texts_of(entry.values)
        if isinstance(entry, SceneEntry | CocoEntry):
            yield entry.elsewhere


def _open(entry: DataEntry, codes: Codes, base: Path) -> tuple[list[_Found], list[str]]:
    if isinstance(entry, FolderEntry):
        pairs = paired(entry.images, entry.labels, base)
        notes = _pair_notes(pairs, "images", "labels")
        table = value_table(entry.values, codes)
        made: list[tuple[str, str, Labels]] = [
            (image, "", RasterLabels(path, codes, table, by_pixel=True))
            for image, path in pairs.found
        ]
    elif isinstance(entry, SceneEntry):
        pairs = paired(entry.scenes, entry.labels, base, names=("scenes", "labels"), folders=True)
        notes = _pair_notes(pairs, "scenes", "labels")
        made = [(image, "", _scene_labels(entry, path, codes)) for image, path in pairs.found]
    elif isinstance(entry, SimulatedEntry):
        table, notes = value_table(entry.values, codes), []
        made = [
            (str(folder / "scene.tif"), folder.name, RasterLabels(str(path), codes, table))
            for folder, path in simulated_folders(entry.folder, base)
        ]
    else:
        raise LabelError("COCO is not read yet")
    opened = [_opened(entry, image, name, labels) for image, name, labels in made]
    return opened, notes


def _scene_labels(entry: SceneEntry, path: str, codes: Codes) -> Labels:
    if is_vector(path):
        raise LabelError("vector labels are not read yet")
    for key in ("column", "layer", "within"):
        if getattr(entry, key) is not None:
            raise LabelError(f"{key} is for vector files, and {path} is a raster; leave it out")
    return RasterLabels(path, codes, value_table(entry.values, codes))


def _pair_notes(pairs: Pairs, images: str, labels: str) -> list[str]:
    notes = []
    if pairs.alone:
        notes.append(f"{_some(pairs.alone)} of {images} without labels: left out")
    if pairs.spare:
        notes.append(f"{_some(pairs.spare)} of {labels} without an image: left out")
    return notes


def _some(paths: Sequence[str]) -> str:
    named = ", ".join(os.path.basename(path) for path in paths[:_MOST_NAMED])
    return f"{len(paths)} ({named}{', ...' if len(paths) > _MOST_NAMED else ''})"


def _opened(entry: Any, image: str, name: str, labels: Labels) -> _Found:
    scene: Scene = open_scene(image, name=name or None, **options_of(entry))
    labelled = LabelledScene(
        scene, labels, gsd_m=entry.gsd_m, group=_group(entry, image), weight=entry.weight
    )
    return _Found(image, labelled, entry.part)


def _group(entry: Any, image: str) -> str:
    """The group that a scene's path tells; nothing where each scene is one."""
    if entry.group is None:
        return ""
    found = re.search(entry.group, Path(image).as_posix())
    if found is None:
        raise LabelError(
            f"group {entry.group!r} is not found in {image}; give a regular expression that finds "
            "the group in each path"
        )
    return found[1] if found.groups() and found[1] else found[0]


def _names(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Names that differ: with the name of the folder, or a number, where they do not."""
    times = Counter(names)
    longer = [
        f"{Path(path).parent.name}-{name}" if times[name] > 1 else name
        for path, name in zip(paths, names, strict=True)
    ]
    seen: Counter[str] = Counter()
    unique = []
    for name in longer:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return unique


def _named(labelled: LabelledScene, name: str) -> LabelledScene:
    if name == labelled.name:
        return labelled
    group = "" if labelled.group == labelled.name else labelled.group
    return replace(labelled, scene=replace(labelled.scene, name=name), group=group)
