"""Scenes divided into parts: what a training makes of a material, and what evaluation asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import LabelError
from agriseg.geobox import GeoBox, Window
from agriseg.labels.codes import IGNORE
from agriseg.labels.config import Part
from agriseg.labels.labelled import LabelledScene, LabelReader, Labels
from agriseg.labels.material import Material
from agriseg.labels.split import PARTS, Split, SplitSettings, make_split
from agriseg.labels.survey import Survey
from agriseg.raster import Scene

__all__ = ["CHIP_SIZE", "PartLabels", "cell_of", "chosen", "divided", "part_of"]

CHIP_SIZE = 256
"""Side of a chip in training, where nothing else is said."""

# Chips are drawn by what is labelled around: in cells of at most half a chip.
_CELLS_A_CHIP = 4
_CELL_PIXELS = (16, 128)


def cell_of(chip: int) -> int:
    """Side of the cells that a training with chips of `chip` pixels counts labels in."""
    low, high = _CELL_PIXELS
    return min(max(chip // _CELLS_A_CHIP, low), high)


def divided(
    material: Material,
    counted: Survey,
    settings: SplitSettings,
    *,
    chip: int,
    gsd_m: float | tuple[float, float] | None = None,
) -> Split:
    """The split of a training, with gaps as wide as a chip is on the ground.

    Args:
        material: The scenes.
        counted: Their labels.
        settings: How they are divided.
        chip: Side of a chip in pixels.
        gsd_m: Metres to which chips are resampled, one number or the least and the most; None:
            scenes keep theirs.
    """
    coarsest = max(gsd_m) if isinstance(gsd_m, tuple) else gsd_m
    known = [one.gsd_m for one in material.scenes if one.gsd_m is not None]
    # A chip of coarser pixels spans more of a scene's own.
    wider = 1.0 if coarsest is None or not known else max(coarsest / min(known), 1.0)
    reach = math.ceil(chip * wider - 1e-6)
    return make_split(material, counted, chip=reach, settings=settings)


@dataclass(frozen=True, eq=False)
class PartLabels:
    """Labels of one part of a scene; outside of it nothing is labelled.

    Args:
        labels: Of the whole scene.
        geobox: The grid that the part was made on.
        cell: Side of a cell in pixels of that grid.
        mask: (rows, cols) bool, True for the cells of the part.
    """

    labels: Labels
    geobox: GeoBox
    cell: int
    mask: NDArray[np.bool_]

    def open(self, scene: Scene) -> LabelReader:
        """Open them for the grid of `scene`, which may have larger pixels, but the same axes."""
        return _PartReader(self, scene.geobox, self.labels.open(scene))


class _PartReader:
    def __init__(self, part: PartLabels, geobox: GeoBox, reader: LabelReader) -> None:
        self._part, self._reader = part, reader
        to_part = ~part.geobox.transform @ geobox.transform
        self._cols, self._rows = (to_part.a, to_part.c), (to_part.e, to_part.f)

    def read(self, window: Window) -> NDArray[np.uint8]:
        part = self._part
        rows = _cells(window.row_off, window.height, self._rows, part.cell, part.mask.shape[0])
        cols = _cells(window.col_off, window.width, self._cols, part.cell, part.mask.shape[1])
        codes = self._reader.read(window)
        return np.where(part.mask[np.ix_(rows, cols)], codes, np.uint8(IGNORE))

    def __enter__(self) -> _PartReader:
        self._reader.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._reader.__exit__(*error)  # type: ignore[arg-type]


def _cells(
    start: int, length: int, line: tuple[float, float], cell: int, count: int
) -> NDArray[np.intp]:
    """The cells (length,) in which the centres of pixels lie."""
    at = (np.arange(start, start + length) + 0.5) * line[0] + line[1]
    return np.clip(np.floor(at / cell).astype(np.intp), 0, count - 1)


def part_of(material: Material, survey: Survey, split: Split, part: Part) -> Material:
    """One part of a split: the scenes that have labels in it, and only those labels.

    Args:
        material: All scenes.
        survey: What their labels hold.
        split: What each pixel is for; of the survey's cells.
        part: Which part.

    Raises:
        LabelError: It has no labelled pixel.
    """
    scenes = []
    for labelled, counted, mask in zip(material.scenes, survey.scenes, split.masks, strict=True):
        inside = mask == PARTS[part]
        if counted.counts[inside][:, :-1].any():
            scenes.append(_limited(labelled, split.cell, inside))
    if not scenes:
        there = [name for name, counts in split.counts(survey).items() if counts[:-1].any()]
        raise LabelError(f"the split leaves nothing for {part!r}; there is {', '.join(there)}")
    note = f"only what is for {part} in the split {split.how}"
    return Material(tuple(scenes), material.codes, (*material.notes, note), (part,) * len(scenes))


def _limited(labelled: LabelledScene, cell: int, inside: NDArray[np.bool_]) -> LabelledScene:
    if inside.all():
        return labelled
    labels = PartLabels(labelled.labels, labelled.scene.geobox, cell, inside)
    return replace(labelled, labels=labels)


def chosen(material: Material, part: str) -> Material:
    """The scenes that the user set apart for `part`.

    Raises:
        LabelError: There are none.
    """
    pairs = zip(material.scenes, material.parts, strict=True)
    scenes = tuple(one for one, mine in pairs if mine == part)
    if not scenes:
        there = sorted({str(mine) for mine in material.parts if mine is not None})
        known = f"there are {', '.join(there)}" if there else "give the data a part: in the file"
        raise LabelError(f"no scene is set apart for {part!r}; {known}")
    kept = tuple(mine for mine in material.parts if mine == part)
    return replace(material, scenes=scenes, parts=kept)
