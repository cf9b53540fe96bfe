"""Counting: one pass over mapped rows, after which all scores are sums of small tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby

import numpy as np
from numpy.typing import NDArray

from agriseg.evaluation.boundaries import COUNTS, Cuts, boundary_counts, halo_of
from agriseg.evaluation.legends import Matched
from agriseg.evaluation.mapping import MappedRows, Task
from agriseg.evaluation.objects import Counts, ObjectTracker
from agriseg.evaluation.pictures import Album
from agriseg.evaluation.strips import Planes, Strip, strips_of
from agriseg.labels import IGNORE
from agriseg.legend import NODATA
from agriseg.tiling import CONFIDENCE_STEPS, SeamCounter

__all__ = ["Tally", "tally_rows"]

_TILE = 2048
_CLASSES, _CODES, _SURE = 0, 1, 2


@dataclass
class Tally:
    """What was counted.

    Args:
        matched: The classes.
        side: Pixels of a side of the blocks that are counted apart; 0: whole scenes.
        radii: (scenes,) tolerance of borders in pixels.
        areas: (scenes,) area of a pixel in the unit of object sizes.
        pixels: Scene, row and column of a block to (codes, scored classes) pixels.
        borders: The same to (scored classes, `COUNTS`).
        confidence: (steps + 1, 2) pixels by confidence: wrong, right.
        objects: Objects of the truth.
        called: Objects on the map.
        ignored: Pixels without a label.
        unpredicted: Pixels with a label and without a prediction, for want of valid pixels.
        mapped: Scene to its pixels with a prediction.
    """

    matched: Matched
    side: int
    radii: tuple[float, ...]
    areas: tuple[float, ...]
    album: Album
    pixels: dict[tuple[int, int, int], NDArray[np.int64]] = field(default_factory=dict)
    borders: dict[tuple[int, int, int], NDArray[np.int64]] = field(default_factory=dict)
    confidence: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((CONFIDENCE_STEPS + 1, 2), np.int64)
    )
    objects: Counts = field(default_factory=Counter)
    called: Counts = field(default_factory=Counter)
    seams: SeamCounter = field(default_factory=SeamCounter)
    ignored: int = 0
    unpredicted: int = 0
    mapped: Counter[int] = field(default_factory=Counter)

    def places(self) -> NDArray[np.int64]:
        """(blocks, 3) scene, row and column of the blocks that have labels, in order."""
        return np.array(sorted(self.pixels), np.int64).reshape(-1, 3)

    def tables(self, blocks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixels (blocks, codes, classes) and borders (blocks, classes, `COUNTS`) of `places`."""
        matched = self.matched
        many = len(matched.scored)
        places = [(int(a), int(b), int(c)) for a, b, c in blocks]
        pixels = np.zeros((len(places), matched.known_codes, many), np.int64)
        borders = np.zeros((len(places), many, COUNTS), np.int64)
        for index, place in enumerate(places):
            pixels[index] = self.pixels.get(place, 0)
            borders[index] = self.borders.get(place, 0)
        return pixels, borders


def tally_rows(rows: Iterable[MappedRows], tally: Tally) -> None:
    """Count all rows of all scenes."""
    for task, mine in _by_scene(rows):
        tally.seams.start(task.grid)
        halo = halo_of(tally.radii[task.place])
        area = tally.areas[task.place]
        trackers = ObjectTracker(area, tally.objects), ObjectTracker(area, tally.called)
        planes = (_scored(one, tally) for one in mine)
        for strip in strips_of(planes, task.grid.height, halo):
            _count_strip(strip, task, tally, trackers, halo)
        for tracker in trackers:
            tracker.finish()


def _by_scene(rows: Iterable[MappedRows]) -> Iterator[tuple[Task, Iterator[MappedRows]]]:
    for _, mine in groupby(rows, lambda one: one.task.place):
        first = next(mine)
        yield first.task, chain([first], mine)  # noqa: B031, used once


def _scored(rows: MappedRows, tally: Tally) -> Planes:
    """Scored class, code and confidence, (3, h, w)."""
    tally.seams.add(rows.classes)
    matched = tally.matched
    classes = matched.model_table[rows.classes]
    sure = rows.confidence
    if rows.probabilities is not None:
        sure = np.zeros_like(rows.confidence)
        for value in set(matched.of_model):
            here = classes == value
            mine = [k for k, scored in enumerate(matched.of_model) if scored == value]
            total = rows.probabilities[mine].sum(axis=0, dtype=np.int32)
            sure[here] = np.minimum(total, CONFIDENCE_STEPS)[here]
    tally.ignored += int(np.count_nonzero(rows.codes == IGNORE))
    tally.mapped[rows.task.place] += int(np.count_nonzero(rows.classes != NODATA))
    lost = (rows.classes == NODATA) & (rows.codes != IGNORE)
    tally.unpredicted += int(np.count_nonzero(lost))
    codes = np.where(lost, np.uint8(IGNORE), rows.codes)
    return np.stack([classes, codes, sure])


def _count_strip(
    strip: Strip, task: Task, tally: Tally, trackers: tuple[ObjectTracker, ObjectTracker], halo: int
) -> None:
    matched = tally.matched
    many = len(matched.scored)
    core = strip.core
    truth_of = np.full(256, NODATA, np.uint8)
    truth_of[: matched.known_codes] = np.where(matched.decided < 0, NODATA, matched.decided)
    truth = truth_of[core[_CODES]]
    decided = truth != NODATA
    right = truth == core[_CLASSES]
    key = core[_SURE][decided].astype(np.int64) * 2 + right[decided]
    size = 2 * (CONFIDENCE_STEPS + 1)
    tally.confidence += np.bincount(key, minlength=size)[:size].reshape(-1, 2)
    trackers[0].add(truth, core[_CLASSES], many)
    trackers[1].add(_judged(core, decided, matched), truth, many)
    tally.album.look(task, strip.row_off, core[_CLASSES], core[_CODES], decided, ~right & decided)
    if (core[_CODES] == IGNORE).all():
        return
    width = core.shape[2]
    step = max(_TILE // tally.side, 1) * tally.side if 0 < tally.side < _TILE else _TILE
    for left in range(0, width, step):
        _count_tile(strip, (left, min(left + step, width)), task.place, tally, halo)


def _judged(core: Planes, decided: NDArray[np.bool_], matched: Matched) -> Planes:
    """(h, w) called class where it is known to be right or wrong, NODATA elsewhere."""
    known = decided
    if (matched.decided < 0).any():
        several = ~decided & (core[_CODES] < matched.known_codes)
        known = decided.copy()
        # One of several classes: what is called none of them is wrong, the rest nobody knows.
        known[several] = ~matched.allowed[core[_CODES][several], core[_CLASSES][several]]
    judged: Planes = np.where(known, core[_CLASSES], np.uint8(NODATA))
    return judged


def _count_tile(strip: Strip, cols: tuple[int, int], place: int, tally: Tally, halo: int) -> None:
    """Count the pixels and borders of a part of a strip, block by block."""
    matched, side = tally.matched, tally.side
    left, right = cols
    core = strip.core[:, :, left:right]
    if (core[_CODES] == IGNORE).all():
        return
    cuts = (_cuts(strip.row_off, core.shape[1], side), _cuts(left, right - left, side))
    pixels = _tables(core, matched, cuts)
    low = max(left - halo, 0)
    part = strip.planes[:, :, low : right + halo]
    borders = boundary_counts(
        part[_CODES],
        part[_CLASSES],
        matched.allowed,
        tally.radii[place],
        (strip.rows, slice(left - low, right - low)),
        cuts,
    )
    for down, row in enumerate(cuts[0]):
        for across, col in enumerate(cuts[1]):
            block = (place, 0, 0)
            if side:
                block = (place, (strip.row_off + row) // side, (left + col) // side)
            if pixels[down, across].any():
                zero = np.zeros_like(pixels[0, 0])
                tally.pixels[block] = tally.pixels.get(block, zero) + pixels[down, across]
            if borders[down, across].any():
                none = np.zeros_like(borders[0, 0])
                tally.borders[block] = tally.borders.get(block, none) + borders[down, across]


def _cuts(first: int, length: int, side: int) -> list[int]:
    """Where blocks begin within `length` pixels from `first` on, counted from there."""
    if not side:
        return [0]
    start = -first % side
    return sorted({0, *range(start, length, side)})


def _tables(core: Planes, matched: Matched, cuts: Cuts) -> NDArray[np.int64]:
    """(blocks down, blocks across, codes, classes) pixels."""
    codes, many = matched.known_codes, len(matched.scored)
    kinds = codes * many + 1  # the last: no label
    key_of = np.full(256, codes * many, np.int64)
    key_of[:codes] = np.arange(codes) * many
    known = core[_CODES] < codes
    key = key_of[core[_CODES]] + np.where(known, core[_CLASSES], 0)
    shape = (len(cuts[0]), len(cuts[1]))
    if shape != (1, 1):
        down = np.repeat(np.arange(shape[0]), np.diff([*cuts[0], core.shape[1]]))
        across = np.repeat(np.arange(shape[1]), np.diff([*cuts[1], core.shape[2]]))
        key += (down[:, None] * shape[1] + across) * kinds
    counts = np.bincount(key.ravel(), minlength=shape[0] * shape[1] * kinds)
    return counts.reshape(*shape, kinds)[..., :-1].reshape(*shape, codes, many)
