"""Looking at scenes and labels before anything expensive is done with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agriseg.errors import AgrisegError, BandError, InputError, LabelError
from agriseg.labels.index_labels import IndexLabels
from agriseg.labels.labelled import LabelledScene
from agriseg.labels.material import Material
from agriseg.labels.raster_labels import RasterLabels
from agriseg.labels.survey import Survey, without_warnings
from agriseg.raster import Scene, sample_pixels
from agriseg.raster.source import inspect
from agriseg.threads import in_threads

__all__ = ["Findings", "check_material", "check_survey"]

# Pixels that are looked at in each scene.
_SAMPLE = 50_000
# Scenes whose pixels are looked at; the survey reads all of them anyway.
_MOST_SCENES = 200
_MOST_NAMED = 3


@dataclass(frozen=True)
class Findings:
    """What was found out about data.

    Args:
        faults: What must be mended first, a line each.
        notes: What a person should know, a line each.
    """

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        return Findings(self.faults + other.faults, self.notes + other.notes)

    def refuse(self) -> None:
        """Raise the first fault, and say how many more there are.

        Raises:
            LabelError: There is one.
        """
        if self.faults:
            more = len(self.faults) - 1
            raise LabelError(self.faults[0] + (f" (and {more} more faults)" if more else ""))


def check_material(material: Material, bands: Sequence[str] | None = None) -> Findings:
    """Look at each scene and its labels, and at a few pixels of each.

    Args:
        material: The scenes.
        bands: The bands that are needed, as `role` or `role@date`; by default all with a role.
    """
    faults: list[str] = []
    notes = list(material.notes)
    flat: list[str] = []
    step = -(-len(material.scenes) // _MOST_SCENES)
    sampled = set(range(0, len(material.scenes), step))

    def look(place: int) -> tuple[list[str], list[str], str]:
        return _looked_at(material.scenes[place], bands, place in sampled)

    with without_warnings():
        for _, (mine, said, dull) in in_threads(look, range(len(material.scenes)), name="check"):
            faults += mine
            notes += said
            flat += [dull] if dull else []
    if flat:
        # One picture of many may be overexposed; where most are flat, a band is not what it seems.
        most = len(flat) * 2 > len(sampled)
        (faults if most else notes).extend(_joined(flat))
    unknown = [one.name for one in material.scenes if one.gsd_m is None]
    if unknown:
        notes.append(
            f"the pixel size of {_some(unknown)} is unknown; say it with gsd_m: and metres, so "
            "that scenes of other sizes can be told apart"
        )
    return Findings(tuple(_joined(faults)), tuple(_joined(notes)))


def _looked_at(
    labelled: LabelledScene, bands: Sequence[str] | None, is_sampled: bool
) -> tuple[list[str], list[str], str]:
    """Faults, notes, and what is flat in one scene."""
    faults: list[str] = []
    notes: list[str] = []
    dull = ""
    for look in (_turned, _labels):
        try:
            notes += look(labelled)
        except AgrisegError as error:
            faults.append(str(error))
    try:
        dull = _flat(labelled.scene, bands) if is_sampled else ""
    except AgrisegError as error:
        faults.append(str(error))
    return faults, notes, dull


def _labels(labelled: LabelledScene) -> list[str]:
    labels: Any = labelled.labels
    return list(labels.look(labelled.scene)) if hasattr(labels, "look") else []


def _turned(labelled: LabelledScene) -> list[str]:
    """Refuse a picture that viewers show turned: its labels were drawn on what they show.

    Raises:
        LabelError: It is one, and its labels do not say the same.
    """
    path = labelled.scene.bands[0].path
    turn = _orientation(path)
    if turn == 1:
        return []
    labels = labelled.labels
    if isinstance(labels, IndexLabels):
        labels = labels.labels
    if isinstance(labels, RasterLabels) and _orientation(labels.path) == turn:
        return []
    raise LabelError(
        f"{path} has EXIF orientation {turn}: viewers show it turned or mirrored, while its pixels "
        "and labels may lie otherwise; turn the pixels with 'mogrify -auto-orient' if the labels "
        "were drawn on what viewers show, else remove the tag with 'exiftool -Orientation='"
    )


def _orientation(path: str) -> int:
    try:
        tags = inspect(path).tags
    except InputError:
        return 1
    text = tags.get("EXIF_Orientation", "1").strip()
    return int(text) if text.isdecimal() and 1 <= int(text) <= 8 else 1


def _flat(scene: Scene, bands: Sequence[str] | None) -> str:
    """Which bands are the same everywhere, or nothing.

    Raises:
        LabelError: There are no usable pixels at all.
        BandError: A band is not there.
    """
    keys = list(bands) if bands is not None else [b.key for b in scene.bands if b.key]
    if not keys:
        raise BandError(
            f"{scene.name}: none of its bands has a role; name them in the file's order, such as "
            "bands: red,green,blue"
        )
    usable = [key for key in keys if scene.has(key)]
    if not usable:
        raise BandError(f"{scene.name} has none of {', '.join(keys)}; {scene.band_summary()}")
    pixels = sample_pixels(scene, usable, max_pixels=_SAMPLE)
    values = pixels.data[:, pixels.valid]
    if values.shape[-1] == 0:
        raise LabelError(
            f"{scene.name} has no pixel that is usable in all of {', '.join(usable)}: they are "
            "missing or not numbers; leave it out, or leave out the band that is empty"
        )
    ends = np.stack([values.min(axis=-1), values.max(axis=-1)])
    dull = [key for key, low, high in zip(usable, *ends, strict=True) if low == high]
    if not dull or values.shape[-1] < 2:
        return ""
    return f"{', '.join(dull)} of {scene.name} is the same everywhere; leave it out with bands: '-'"


def check_survey(survey: Survey) -> Findings:
    """Look at what the labels hold."""
    codes, totals = survey.codes, survey.totals
    known = survey.class_pixels
    faults: list[str] = []
    notes: list[str] = []
    if not totals[:-1].any():
        faults.append(
            "no pixel is labelled: all labels are ignored or lie elsewhere; check values and "
            "elsewhere, and that labels and scenes belong together"
        )
        return Findings(tuple(faults))
    some = [k for k in range(len(codes.legend)) if known[k]]
    sets = totals[len(codes.legend) : -1]
    if len(codes.legend) > 1 and len(some) == 1 and not sets.any():
        faults.append(
            f"all labels are {codes.legend.names[some[0]]}; at least two classes are needed to "
            "learn from: label another one, say what lies outside of polygons with elsewhere:, or "
            "what values mean with values: (255 is nothing unless they list it)"
        )
    missing = [name for k, name in enumerate(codes.legend.names) if not known[k]]
    if missing and not faults:
        notes.append(f"no pixel is known to be {', or '.join(missing)}")
    empty = [
        one.name
        for one, total in zip(survey.scenes, survey.scene_totals, strict=True)
        if not total[:-1].any()
    ]
    if empty:
        notes.append(f"{_some(empty)} without a labelled pixel")
    clashes = sum(one.clashes for one in survey.scenes)
    if clashes:
        notes.append(
            f"{clashes} pixels lie in polygons of different classes: the smaller polygon counts"
        )
    return Findings(tuple(faults), tuple(notes))


def _some(names: Sequence[str]) -> str:
    named = ", ".join(names[:_MOST_NAMED])
    if len(names) == 1:
        return named
    return f"{len(names)} scenes ({named}{', ...' if len(names) > _MOST_NAMED else ''})"


def _joined(lines: Sequence[str]) -> list[str]:
    """Each line once, with how often it came."""
    return [
        line if times == 1 else f"{line} ({times} times)" for line, times in Counter(lines).items()
    ]
