"""What a training works on: the configuration, and which pixels are for what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agriseg.errors import AgrisegError, LabelError, OptionError
from agriseg.labels import (
    Codes,
    Findings,
    Material,
    Split,
    Survey,
    check_material,
    check_survey,
    open_material,
    survey,
)
from agriseg.labels.division import cell_of, divided
from agriseg.labels.split import PARTS
from agriseg.training.config import TrainConfig
from agriseg.training.parts import ScenePart

__all__ = ["Looked", "Plan", "look_at_data", "make_plan"]

# Pixels of a scene that a pixel of a chip spans at most.
_COARSEST = 32


@dataclass(frozen=True)
class Plan:
    """All that a training needs to know.

    Args:
        config: What was asked for.
        base: The folder that its paths are relative to.
        material: All scenes.
        survey: What their labels hold, in the cells of the split.
        split: Which pixels are for what.
        training: What is learned from.
        validation: What is not, and tells how good the model is; may be empty.
        notes: What a person should know.
    """

    config: TrainConfig
    base: Path
    material: Material
    survey: Survey
    split: Split
    training: tuple[ScenePart, ...]
    validation: tuple[ScenePart, ...]
    notes: tuple[str, ...] = ()

    @property
    def codes(self) -> Codes:
        """What the numbers in labels mean."""
        return self.material.codes


@dataclass(frozen=True)
class Looked:
    """What is known of the data before they are divided.

    Args:
        material: All scenes.
        survey: What their labels hold; None where a fault forbids to look.
        findings: Faults and notes.
    """

    material: Material
    survey: Survey | None
    findings: Findings


def look_at_data(config: TrainConfig, base: Path) -> Looked:
    """Open the data and look at them, at all faults before the first is told.

    Args:
        config: What is asked for.
        base: The folder that its paths are relative to.

    Raises:
        AgrisegError: They cannot even be opened.
    """
    material = open_material(config.data, config.legend, base=base)
    _check_gsd(config, material)
    # Also those that may be missing: where a scene has one, it hides pixels that lack it.
    findings = check_material(material, [band.role for band in config.bands])
    if findings.faults:
        return Looked(material, None, findings)
    try:
        counted = survey(material, cell_of(config.chips.size))
    except AgrisegError as error:
        return Looked(material, None, findings + Findings((str(error),)))
    return Looked(material, counted, findings + check_survey(counted))


def _check_gsd(config: TrainConfig, material: Material) -> None:
    """Refuse chips for which windows of thousands of pixels a side would be read.

    Raises:
        OptionError: Their pixels are far larger than those of a scene, or those are unknown.
    """
    wanted = config.chips.gsd_range_m
    if wanted is None:
        return
    for one in material.scenes:
        if one.gsd_m is None:
            raise OptionError(
                f"chips.gsd_m is {wanted[1]:g}, and the pixel size of {one.name} is unknown; say "
                "it with gsd_m: in its data, or leave chips.gsd_m out"
            )
        if wanted[1] > _COARSEST * one.gsd_m:
            raise OptionError(
                f"chips.gsd_m is {wanted[1]:g}, and {one.name} has pixels of {one.gsd_m:.3g} m: at "
                f"most {_COARSEST} of them make one; expected are metres, or resample it first"
            )


def make_plan(config: TrainConfig, base: Path, looked: Looked | None = None) -> Plan:
    """Open the data, see what is labelled, and divide it.

    Args:
        config: What is asked for.
        base: The folder that its paths are relative to.
        looked: What `look_at_data` found, where it was done.

    Raises:
        AgrisegError: Data, labels or the division cannot be used.
    """
    looked = looked or look_at_data(config, base)
    looked.findings.refuse()
    material, found = looked.material, looked.survey
    assert found is not None, "without faults the labels were counted"
    chips = config.chips
    split = divided(material, found, config.split, chip=chips.size, gsd_m=chips.gsd_range_m)
    training = _parts(material, found, split, PARTS["train"])
    if not training:
        raise LabelError("no labelled pixel is left for training; label more, or change the split")
    validation = _parts(material, found, split, PARTS["validation"])
    notes = (*looked.findings.notes, *split.notes)
    return Plan(config, base, material, found, split, training, validation, notes)


def _parts(material: Material, found: Survey, split: Split, number: int) -> tuple[ScenePart, ...]:
    parts = []
    for labelled, counted, mask in zip(material.scenes, found.scenes, split.masks, strict=True):
        counts = counted.counts[..., :-1].astype(np.int64)  # what is ignored is not drawn
        part = ScenePart(labelled, found.cell, mask == number, counts)
        if part.pixels.any():
            parts.append(part)
    return tuple(parts)
