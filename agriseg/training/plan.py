"""What a training works on: the configuration, and which pixels are for what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agriseg.errors import LabelError
from agriseg.labels import (
    Codes,
    Material,
    Split,
    Survey,
    check_material,
    check_survey,
    make_split,
    open_material,
    survey,
)
from agriseg.labels.split import PARTS
from agriseg.training.config import TrainConfig
from agriseg.training.parts import ScenePart

__all__ = ["Plan", "make_plan"]

# Chips are drawn by what is labelled around: in cells of at most half a chip.
_CELLS_A_CHIP = 4
_CELL_PIXELS = (16, 128)


@dataclass(frozen=True)
class Plan:
    """All that a training needs to know.

    Args:
        config: What was asked for.
        codes: What the numbers in labels mean.
        training: What is learned from.
        validation: What is not, and tells how good the model is; may be empty.
        notes: What a person should know.
        split: Which parts are for what, where it was drawn.
    """

    config: TrainConfig
    codes: Codes
    training: tuple[ScenePart, ...]
    validation: tuple[ScenePart, ...]
    notes: tuple[str, ...] = ()
    split: Split | None = None


def make_plan(config: TrainConfig, base: Path) -> Plan:
    """Open the data, see what is labelled, and divide it.

    Args:
        config: What is asked for.
        base: The folder that its paths are relative to.

    Raises:
        AgrisegError: Data, labels or the division cannot be used.
    """
    material = open_material(config.data, config.legend, base=base)
    needed = [band.role for band in config.bands if band.required]
    looked = check_material(material, needed)
    looked.refuse()
    low, high = _CELL_PIXELS
    cell = min(max(config.chips.size // _CELLS_A_CHIP, low), high)
    found = survey(material, cell)
    counted = check_survey(found)
    counted.refuse()
    split = make_split(material, found, chip=config.chips.size, settings=config.split)
    training = _parts(material, found, split, PARTS["train"])
    if not training:
        raise LabelError("no labelled pixel is left for training; label more, or change the split")
    validation = _parts(material, found, split, PARTS["validation"])
    notes = (*looked.notes, *counted.notes, *split.notes)
    return Plan(config, material.codes, training, validation, notes, split)


def _parts(material: Material, found: Survey, split: Split, number: int) -> tuple[ScenePart, ...]:
    parts = []
    for labelled, counted, mask in zip(material.scenes, found.scenes, split.masks, strict=True):
        counts = counted.counts[..., :-1].astype(np.int64)  # what is ignored is not drawn
        part = ScenePart(labelled, found.cell, mask == number, counts)
        if part.pixels.any():
            parts.append(part)
    return tuple(parts)
