"""Which pixels of a scene are for training: cells on its grid, and what is labelled in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agriseg.labels import Codes, LabelledScene

__all__ = ["ScenePart", "cell_weights", "class_shares"]


@dataclass(frozen=True)
class ScenePart:
    """A part of a scene, as cells of a lattice that begins at the scene's first pixel.

    Args:
        labelled: The scene and its labels.
        cell: Side of the cells in pixels; those at the right and bottom edges are cut off.
        mask: (rows, cols) bool, True for the cells of the part.
        counts: (rows, cols, codes) pixels of each code up to the last that is not IGNORE.
    """

    labelled: LabelledScene
    cell: int
    mask: NDArray[np.bool_]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        box = self.labelled.scene.geobox
        expected = (-(-box.height // self.cell), -(-box.width // self.cell))
        if self.mask.shape != expected or self.counts.shape[:2] != expected:
            raise ValueError(f"{self.labelled.name}: {expected} cells, not {self.mask.shape}")

    @property
    def name(self) -> str:
        return self.labelled.name

    @cached_property
    def pixels(self) -> NDArray[np.int64]:
        """(codes,) labelled pixels of the part."""
        total: NDArray[np.int64] = self.counts[self.mask].sum(axis=0, dtype=np.int64)
        return total

    def inside(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(rows, cols) whether pixels belong to the part; what is off the scene does not."""
        height, width = self.labelled.scene.geobox.shape
        down, across = (rows >= 0) & (rows < height), (cols >= 0) & (cols < width)
        row = np.clip(rows, 0, height - 1) // self.cell
        col = np.clip(cols, 0, width - 1) // self.cell
        part: NDArray[np.bool_] = self.mask[np.ix_(row, col)]
        return part & down[:, None] & across[None, :]


def class_shares(parts: list[ScenePart], codes: Codes) -> NDArray[np.float64]:
    """(classes,) how much of what is known each class has; sets of classes are divided evenly."""
    counts: NDArray[np.float64] = np.stack([part.pixels for part in parts]).sum(0, dtype=float)
    per_class = counts @ _divided(codes, len(counts))
    shares: NDArray[np.float64] = per_class / max(per_class.sum(), 1.0)
    return shares


def cell_weights(
    part: ScenePart, codes: Codes, shares: NDArray[np.float64], rare: float
) -> NDArray[np.float64]:
    """(rows, cols) how likely a chip is centred in each cell; 0 where nothing is labelled.

    Args:
        part: Of which scene.
        codes: What the counts stand for.
        shares: (classes,) of the classes in all scenes.
        rare: 0 for cells by their labelled pixels, 1 for as many pixels of each class.
    """
    boost = np.power(np.maximum(shares, 1e-3), -rare)
    per_class = part.counts @ _divided(codes, part.counts.shape[2])
    weights: NDArray[np.float64] = np.where(part.mask, per_class @ boost, 0.0)
    return weights


def _divided(codes: Codes, known: int) -> NDArray[np.float64]:
    """(codes, classes) what a pixel of each code adds to each class."""
    allowed = codes.allowed[:known].astype(np.float64)
    divided: NDArray[np.float64] = allowed / allowed.sum(axis=1, keepdims=True)
    return divided
