"""Which pixels are for training, which for validation, which for testing: without leaks.

Neighbouring chips of one field are as good as copies, so parts are whole scenes, or groups of
them; or where there are few scenes, blocks of them with a gap of at least a chip between the parts
(Roberts et al. 2017, "Cross-validation strategies for data with temporal, spatial, hierarchical, or
phylogenetic structure", Ecography 40:913-929).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from agriseg.errors import LabelError, OptionError
from agriseg.geobox import Window
from agriseg.labels.config import Part
from agriseg.labels.material import Material
from agriseg.labels.split_blocks import assign_blocks
from agriseg.labels.split_groups import assign_folds, assign_groups, group_shares
from agriseg.labels.survey import Survey
from agriseg.settings import Settings

__all__ = ["PARTS", "Split", "SplitSettings", "make_split"]

PARTS: dict[Part, int] = {"train": 1, "validation": 2, "test": 3}
"""The number of each part in the masks; 0 is unused."""

# With fewer groups, one of them is no sample of all.
_FEW = 4


class SplitSettings(Settings):
    """How scenes are divided.

    Args:
        by: "group": scenes, or groups of them, are never divided; "blocks": each scene is;
            "auto": groups where there are at least four, else blocks.
        validation: Share of labelled pixels for validation.
        test: Share for testing.
        block: Side of a block, in chips.
        seed: Whole number from which all that is random follows.
        folds: Instead of those shares, so many parts of equal size; 0: none.
        fold: Which of these, counted from 1, is for validation; all others are for training.
    """

    by: Literal["auto", "group", "blocks"] = "auto"
    validation: float = Field(default=0.2, ge=0, lt=1, allow_inf_nan=False)
    test: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    block: float = Field(default=4.0, ge=1, le=1000, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**63)
    folds: int = Field(default=0, ge=0, le=1000)
    fold: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _is_a_fold(self) -> SplitSettings:
        if self.folds == 1 or self.fold > max(self.folds, 1):
            raise ValueError(
                f"fold {self.fold} of {self.folds} folds: at least 2 are needed, and one of them"
            )
        return self

    @model_validator(mode="after")
    def _leaves_some(self) -> SplitSettings:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation:g} and test {self.test:g} leave nothing to train on; "
                "0.2 and 0 are usual"
            )
        return self


@dataclass(frozen=True, eq=False)
class Split:
    """What each pixel of each scene is for.

    Args:
        names: Of the scenes.
        shapes: (height, width) of each in pixels.
        cell: Side of a cell in pixels.
        masks: (rows, cols) uint8 of each: the part of each cell (`PARTS`), 0 where it is unused.
        how: How it was made, in words.
        notes: What a person should know of it.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    cell: int
    masks: tuple[NDArray[np.uint8], ...]
    how: str = ""
    notes: tuple[str, ...] = ()

    def windows(self, part: Part) -> tuple[tuple[int, Window], ...]:
        """Rectangles of pixels that make up a part: (index of the scene, window) each.

        They do not overlap; chips that reach over two of them are in the part all the same, as
        `allows` says.
        """
        return tuple(
            (index, window)
            for index in range(len(self.names))
            for window in _rectangles(
                self.masks[index] == PARTS[part], self.cell, self.shapes[index]
            )
        )

    def allows(self, index: int, window: Window, part: Part) -> bool:
        """Whether all pixels of a window that lie in scene `index` are in the part."""
        height, width = self.shapes[index]
        inside = window.intersection(Window(0, 0, width, height))
        if inside is None:
            return False
        rows = slice(inside.row_off // self.cell, -(-inside.row_end // self.cell))
        cols = slice(inside.col_off // self.cell, -(-inside.col_end // self.cell))
        return bool((self.masks[index][rows, cols] == PARTS[part]).all())

    def counts(self, survey: Survey) -> dict[Part, NDArray[np.int64]]:
        """(kinds,) pixels of each kind in each part, as the survey of the same cells has them."""
        found: dict[Part, NDArray[np.int64]] = {}
        for part, number in PARTS.items():
            pairs = zip(survey.scenes, self.masks, strict=True)
            sums = [one.counts[mask == number].sum(axis=0, dtype=np.int64) for one, mask in pairs]
            found[part] = np.sum(sums, axis=0)
        return found

    def to_json(self) -> str:
        """As text; `from_json` gives the same split back."""
        scenes = []
        for index, (name, shape) in enumerate(zip(self.names, self.shapes, strict=True)):
            parts: dict[str, Any] = {"name": name, "height": shape[0], "width": shape[1]}
            for part, number in PARTS.items():
                windows = _rectangles(self.masks[index] == number, self.cell, shape)
                if windows:
                    parts[part] = [[w.col_off, w.row_off, w.width, w.height] for w in windows]
            scenes.append(parts)
        head = {"cell": self.cell, "how": self.how, "notes": list(self.notes)}
        lines = ",\n".join(f"  {json.dumps(scene)}" for scene in scenes)
        return json.dumps(head)[:-1] + f', "scenes": [\n{lines}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> Split:
        """From what `to_json` gave.

        Raises:
            OptionError: It is not such a text.
        """
        try:
            data = json.loads(text)
            cell, scenes = int(data["cell"]), data["scenes"]
            shapes = tuple((int(one["height"]), int(one["width"])) for one in scenes)
            masks = []
            for one, (height, width) in zip(scenes, shapes, strict=True):
                mask = np.zeros((-(-height // cell), -(-width // cell)), np.uint8)
                for part, number in PARTS.items():
                    for col, row, wide, high in one.get(part, ()):
                        right, bottom = -(-(col + wide) // cell), -(-(row + high) // cell)
                        mask[row // cell : bottom, col // cell : right] = number
                masks.append(mask)
            names = tuple(str(one["name"]) for one in scenes)
            return cls(names, shapes, cell, tuple(masks), str(data["how"]), tuple(data["notes"]))
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise OptionError(f"this is no split of agriseg's ({error}); make it anew") from error


def make_split(
    material: Material,
    survey: Survey,
    *,
    chip: int,
    settings: SplitSettings | None = None,
) -> Split:
    """Divide scenes so that each part has about its share of each class.

    What the user fixed (`part`) stays. The same input gives the same split.

    Args:
        material: The scenes.
        survey: What their labels hold; its cells are those of the split.
        chip: Side of a chip in pixels: the gap between the parts.
        settings: How.

    Raises:
        LabelError: They cannot be divided so.
    """
    settings = settings or SplitSettings()
    shapes = tuple(one.scene.geobox.shape for one in material.scenes)
    masks = [np.zeros(one.counts.shape[:2], np.uint8) for one in survey.scenes]
    fixed = _fixed(material)
    free = [k for k in range(len(material.scenes)) if fixed[k] is None]
    for index, part in enumerate(fixed):
        if part is not None:
            masks[index][:] = PARTS[part]
    wanted = _wanted(settings, {part for part in fixed if part})
    notes: list[str] = []
    if not free:
        how = "as the configuration says"
    elif settings.folds:
        groups, shares = group_shares(material, survey, free)
        if len(groups) < settings.folds:
            raise LabelError(
                f"{settings.folds} folds need as many groups of scenes at least, and there are "
                f"{len(groups)}; ask for fewer, or give more scenes"
            )
        how = f"fold {settings.fold} of {settings.folds} for validation"
        for members, fold in zip(
            groups.values(), assign_folds(shares, settings.folds, settings.seed), strict=True
        ):
            for index in members:
                masks[index][:] = PARTS["validation" if fold == settings.fold - 1 else "train"]
    elif not any(wanted.values()):
        how = "all for training"
        for index in free:
            masks[index][:] = PARTS["train"]
    elif _by_group(material, free, settings):
        groups, shares = group_shares(material, survey, free)
        how = f"by {'scene' if len(groups) == len(free) else 'group'}"
        chosen = assign_groups(shares, wanted, settings.seed)
        for members, number in zip(groups.values(), chosen, strict=True):
            for index in members:
                masks[index][:] = number
    else:
        how = f"by blocks of {settings.block:g} chips with a gap of a chip ({chip} pixels)"
        lost = assign_blocks(masks, survey, free, wanted, chip, settings.block, settings.seed)
        notes.append(f"gaps between the parts leave {lost:.0%} of the labelled pixels unused")
    names = tuple(one.name for one in material.scenes)
    split = Split(names, shapes, survey.cell, tuple(masks), how, tuple(notes))
    return _checked(split, survey, wanted)


def _fixed(material: Material) -> list[Part | None]:
    """The part of each scene, where the user said it of it or of one of its group.

    Raises:
        LabelError: The user put a group into two parts.
    """
    said: dict[str, Part] = {}
    for labelled, part in zip(material.scenes, material.parts, strict=True):
        if part is None:
            continue
        if said.setdefault(labelled.group, part) != part:
            raise LabelError(
                f"the group {labelled.group!r} is for {said[labelled.group]} in one entry and for "
                f"{part} in another; scenes of a group go to one part"
            )
    return [said.get(one.group) for one in material.scenes]


def _wanted(settings: SplitSettings, said: set[Part]) -> dict[int, float]:
    """Share of the free scenes for each part but training; none where the user chose its scenes."""
    shares: dict[Part, float] = {"validation": settings.validation, "test": settings.test}
    return {PARTS[part]: share for part, share in shares.items() if part not in said and share}


def _by_group(material: Material, free: list[int], settings: SplitSettings) -> bool:
    if settings.by == "auto":
        return len({material.scenes[k].group for k in free}) >= _FEW
    if settings.by == "group" and len({material.scenes[k].group for k in free}) < 2:
        raise LabelError(
            "split by group needs two groups of scenes at least, and there is one; use by: blocks"
        )
    return settings.by == "group"


def _checked(split: Split, survey: Survey, wanted: dict[int, float]) -> Split:
    """The split, with a note for each class that a part lacks."""
    found = split.counts(survey)
    notes = list(split.notes)
    legend = survey.codes.legend
    for part, number in PARTS.items():
        known = found[part][:-1]
        if not known.any():
            if part == "train" or wanted.get(number):
                raise LabelError(
                    f"the split leaves no labelled pixel for {part}; give more scenes, smaller "
                    "blocks or chips, or say the parts yourself with part:"
                )
            continue
        # A class that lies nowhere is told by the check of the labels.
        lacking = [
            name
            for k, name in enumerate(legend.names)
            if not found[part][k] and survey.class_pixels[k]
        ]
        if lacking:
            notes.append(f"{part} has no pixel that is known to be {' or '.join(lacking)}")
    return Split(split.names, split.shapes, split.cell, split.masks, split.how, tuple(notes))


def _rectangles(mask: NDArray[np.bool_], cell: int, shape: tuple[int, int]) -> list[Window]:
    """Windows of pixels that make up the cells of a mask: runs of a row, joined downwards."""
    open_runs: dict[tuple[int, int], int] = {}
    found: list[Window] = []

    def close(run: tuple[int, int], top: int, bottom: int) -> None:
        left, right = run[0] * cell, min(run[1] * cell, shape[1])
        upper, lower = top * cell, min(bottom * cell, shape[0])
        found.append(Window(left, upper, right - left, lower - upper))

    for row in range(len(mask) + 1):
        runs: set[tuple[int, int]] = set()
        if row < len(mask):
            edges = np.flatnonzero(np.diff(mask[row].astype(np.int8), prepend=0, append=0))
            runs = set(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
        for run in sorted(open_runs.keys() - runs):
            close(run, open_runs.pop(run), row)
        for run in runs - open_runs.keys():
            open_runs[run] = row
    return sorted(found, key=lambda w: (w.row_off, w.col_off))
