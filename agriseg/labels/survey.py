"""One pass over all labels: how many pixels of each code lie in each cell of each scene."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from agriseg.geobox import Window
from agriseg.labels.codes import IGNORE, Codes
from agriseg.labels.labelled import LabelledReader, LabelledScene
from agriseg.labels.material import Material
from agriseg.threads import in_threads

__all__ = ["SceneSurvey", "Survey", "cells_of", "survey"]

# Rows of cells that are read at once: about so many pixels.
_AT_ONCE = 1 << 22


def cells_of(shape: tuple[int, int], cell: int) -> tuple[int, int]:
    """Rows and columns of cells over (height, width) pixels; the last ones may be cut."""
    return -(-shape[0] // cell), -(-shape[1] // cell)


@dataclass(frozen=True, eq=False)
class SceneSurvey:
    """What the labels of one scene hold.

    Args:
        name: The scene's name.
        counts: (rows, cols, kinds) uint32 pixels of each kind in each cell: the classes, then the
            sets of classes, then ignored ones.
        clashes: Pixels that annotations of different classes claim.
    """

    name: str
    counts: NDArray[np.uint32]
    clashes: int = 0


@dataclass(frozen=True, eq=False)
class Survey:
    """What the labels of all scenes hold.

    Args:
        codes: What the labels mean.
        cell: Side of a cell in pixels.
        scenes: In the order of the material's.
    """

    codes: Codes
    cell: int
    scenes: tuple[SceneSurvey, ...]

    @cached_property
    def scene_totals(self) -> NDArray[np.int64]:
        """(scenes, kinds) pixels: the classes, then the sets of classes, then ignored ones."""
        return np.array([one.counts.sum(axis=(0, 1), dtype=np.int64) for one in self.scenes])

    @property
    def totals(self) -> NDArray[np.int64]:
        """(kinds,) pixels in all scenes."""
        totals: NDArray[np.int64] = self.scene_totals.sum(axis=0)
        return totals

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """(classes,) pixels that are known to be of each class."""
        return self.totals[: len(self.codes.legend)]

    def words(self) -> str:
        """The shares of labelled pixels, in words."""
        known = self.totals[:-1]
        total = max(int(known.sum()), 1)
        names = [self.codes.name(k) for k in range(len(known))]
        shares = ", ".join(f"{n} {c / total:.1%}" for n, c in zip(names, known, strict=True))
        return f"{total / 1e6:.2f} Mpixel labelled: {shares}"


@contextmanager
def without_warnings() -> Iterator[None]:
    """Do not warn of pictures without a place on the ground while threads open them.

    What each of them sets for itself, another one may undo: filters belong to the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def survey(
    material: Material,
    cell: int = 64,
    *,
    threads: int | None = None,
    advance: Callable[[LabelledScene], None] | None = None,
) -> Survey:
    """Count the codes of all labels, cell by cell.

    One band is read along with them, because pixels without data count as ignored.

    Args:
        material: The scenes.
        cell: Side of a cell in pixels.
        threads: How many scenes at a time; None: one a core, up to eight.
        advance: Is told of each scene that is done.

    Raises:
        ReadError: Pixels cannot be read.
        LabelError: Labels cannot be used, such as a value that is not listed.
    """

    def one(labelled: LabelledScene) -> SceneSurvey:
        return _scene(labelled, material.codes, cell)

    found = []
    with without_warnings():
        for labelled, counted in in_threads(one, material.scenes, threads, "survey"):
            found.append(counted)
            if advance is not None:
                advance(labelled)
    return Survey(material.codes, cell, tuple(found))


def _scene(labelled: LabelledScene, codes: Codes, cell: int) -> SceneSurvey:
    height, width = labelled.scene.geobox.shape
    rows, cols = cells_of((height, width), cell)
    kinds = len(codes.legend) + len(codes.sets) + 1
    counts = np.zeros((rows, cols, kinds), np.uint32)
    # Blocks of files are squares most often, and bands of rows may be very long.
    side = max(int(_AT_ONCE**0.5) // cell, 1)
    band = next((band.key for band in labelled.scene.bands if band.key), None)
    with LabelledReader(labelled, None if band is None else [band]) as reader:
        for row in range(0, rows, side):
            for col in range(0, cols, side):
                left, top = col * cell, row * cell
                right = min((col + side) * cell, width)
                bottom = min((row + side) * cell, height)
                _, found = reader.read(Window(left, top, right - left, bottom - top))
                part = _counted(found, cell, kinds)
                counts[row : row + part.shape[0], col : col + part.shape[1]] = part
        clashes = reader.clashes
    return SceneSurvey(labelled.name, counts, clashes)


def _counted(codes: NDArray[np.uint8], cell: int, kinds: int) -> NDArray[np.int64]:
    """Pixels of each code (rows, cols, kinds) in the cells of a block."""
    height, width = codes.shape
    rows, cols = cells_of((height, width), cell)
    kind = np.where(codes == IGNORE, kinds - 1, codes).astype(np.int64)
    place = (np.arange(height) // cell)[:, None] * cols + np.arange(width) // cell
    flat = np.bincount((place * kinds + kind).ravel(), minlength=rows * cols * kinds)
    return flat.reshape(rows, cols, kinds)
