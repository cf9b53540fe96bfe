"""Material to learn from, or to compare with: scenes with labels, from a configuration."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agriseg.errors import AgrisegError, LabelError
from agriseg.labels.coco import CocoLabels, image_path, read_coco
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
from agriseg.labels.index_labels import IndexLabels
from agriseg.labels.labelled import LabelledScene, Labels
from agriseg.labels.pairs import Pairs, as_written, is_vector, paired
from agriseg.labels.raster_labels import RasterLabels
from agriseg.labels.simulated import simulated_folders
from agriseg.labels.values import texts_of, value_table
from agriseg.labels.vector_labels import VectorLabels, classes_in
from agriseg.legend import Legend
from agriseg.raster import Scene, open_scene

__all__ = ["Material", "open_material"]

# So many names are listed in a note.
_MOST_NAMED = 3
_NAMES = ("scenes", "labels")


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
    is_placed: bool


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
    codes = codes or _codes(entries, legend, Path(base))
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
    # Simulated scenes all lie on the same spot, and show different ground.
    real = [scene for scene, one in zip(scenes, found, strict=True) if one.is_placed]
    notes += _overlaps(real)
    return Material(scenes, codes, tuple(notes), tuple(one.part for one in found))


def _codes(entries: Sequence[DataEntry], legend: Legend, base: Path) -> Codes:
    """Codes for all that the entries call classes."""
    texts: list[str] = []
    for place, entry in enumerate(entries):
        try:
            mine = list(_texts(entry, base))
            Codes.of(legend, mine)
        except LabelError as error:
            raise LabelError(f"data[{place}]: {error}") from error
        texts += mine
    return Codes.of(legend, texts)


def _texts(entry: DataEntry, base: Path) -> Iterator[str]:
    yield from texts_of(entry.values)
    if isinstance(entry, SceneEntry | CocoEntry):
        yield entry.elsewhere
    if isinstance(entry, SceneEntry) and entry.values is None:
        found = paired(entry.scenes, entry.labels, base, names=_NAMES, folders=True).found
        for path in {path for _, path in found if is_vector(path)}:
            yield from classes_in(path, entry.layer, entry.column)


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
        pairs = paired(entry.scenes, entry.labels, base, names=_NAMES, folders=True)
        notes = _pair_notes(pairs, "scenes", "labels")
        made = [(image, "", _scene_labels(entry, path, codes, base)) for image, path in pairs.found]
    elif isinstance(entry, SimulatedEntry):
        table, notes = value_table(entry.values, codes), []
        made = [
            (str(folder / "scene.tif"), folder.name, RasterLabels(str(path), codes, table))
            for folder, path in simulated_folders(entry.folder, base)
        ]
    else:
        marked = list(_coco_labels(entry, codes, base))
        unmarked = sum(not read_coco(one.path).annotations[one.image] for _, one in marked)
        made = [(image, "", labels) for image, labels in marked]
        notes = [f"pictures without an annotation in {entry.annotations}: {unmarked}"] * bool(
            unmarked
        )
    if entry.by_index is not None:
        low, high = (_single(codes, text) for text in (entry.by_index.low, entry.by_index.high))
        made = [
            (image, name, IndexLabels(labels, codes, low, high)) for image, name, labels in made
        ]
    opened = [_opened(entry, image, name, labels, base) for image, name, labels in made]
    return opened, notes


def _single(codes: Codes, text: str) -> int:
    classes = codes.classes(text)
    if len(classes) != 1:
        raise LabelError(f"by_index: {text!r} is not one class; name one, such as low: soil")
    return classes[0]


def _overlaps(scenes: Sequence[LabelledScene]) -> list[str]:
    """A note on scenes of the same ground that could end up in different parts."""
    placed = [one for one in scenes if one.scene.geobox.crs is not None]
    if len(placed) < 2:
        return []
    boxes = np.array([one.scene.geobox.bounds for one in placed])
    for k, (left, bottom, right, top) in enumerate(boxes[:-1]):
        rest = boxes[k + 1 :]
        wide = np.minimum(rest[:, 2], right) - np.maximum(rest[:, 0], left)
        high = np.minimum(rest[:, 3], top) - np.maximum(rest[:, 1], bottom)
        # Neighbours may touch by rounding.
        meets = (wide > 0.01 * (right - left)) & (high > 0.01 * (top - bottom))
        for other in np.flatnonzero(meets) + k + 1:
            one, two = placed[k], placed[other]
            same = one.scene.geobox.crs == two.scene.geobox.crs
            if same and one.group != two.group:
                return [
                    f"{one.name} and {two.name} (and perhaps others) show the same ground; give "
                    "such scenes one group, so that none is tested on what was learnt from another"
                ]
    return []


def _scene_labels(entry: SceneEntry, path: str, codes: Codes, base: Path) -> Labels:
    if is_vector(path):
        within = None if entry.within is None else os.path.join(base, entry.within)
        return VectorLabels(
            path,
            codes,
            value_table(entry.values, codes),
            entry.column,
            entry.layer,
            codes.code(entry.elsewhere),
            within,
        )
    if entry.elsewhere != "ignore":
        raise LabelError(f"elsewhere is for vector files, and {path} is a raster: list its values")
    for key in ("column", "layer", "within"):
        if getattr(entry, key) is not None:
            raise LabelError(f"{key} is for vector files, and {path} is a raster; leave it out")
    return RasterLabels(path, codes, value_table(entry.values, codes))


def _coco_labels(entry: CocoEntry, codes: Codes, base: Path) -> Iterator[tuple[str, CocoLabels]]:
    path = Path(os.path.normpath(base / os.path.expanduser(entry.annotations)))
    folder = path.parent if entry.images is None else Path(os.path.normpath(base / entry.images))
    table, elsewhere = value_table(entry.values, codes), codes.code(entry.elsewhere)
    for key, (name, *_) in read_coco(str(path)).images.items():
        labels = CocoLabels(str(path), key, codes, table, elsewhere)
        yield str(image_path(folder, name)), labels


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


def _opened(entry: Any, image: str, name: str, labels: Labels, base: Path) -> _Found:
    scene: Scene = open_scene(image, name=name or None, **options_of(entry))
    labelled = LabelledScene(
        scene, labels, gsd_m=entry.gsd_m, group=_group(entry, image, base), weight=entry.weight
    )
    return _Found(image, labelled, entry.part, isinstance(entry, SceneEntry))


def _group(entry: Any, image: str, base: Path) -> str:
    """The group that a scene's path tells; nothing where each scene is one."""
    if entry.group is None:
        return ""
    # What the folder is called that all lies in tells nothing of the scenes.
    path = as_written(image, entry.image_paths, base)
    found = re.search(entry.group, path)
    if found is None:
        raise LabelError(
            f"group {entry.group!r} is not found in {path}; give a regular expression that finds "
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
