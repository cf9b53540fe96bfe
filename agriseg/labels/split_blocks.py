"""Dividing scenes into blocks, with a gap between the parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agriseg.labels.split_groups import drawn, unevenness
from agriseg.labels.survey import Survey

__all__ = ["assign_blocks", "with_gaps"]

_TRIALS = 200
# Of labelled pixels that are lost to gaps, against those that lie in the wrong part.
_LOST = 0.5
# A way may be so much worse than the best one that was found.
_GOOD_ENOUGH = 0.05
# With fewer blocks nothing can be balanced.
_LEAST_BLOCKS = 16


def with_gaps(mask: NDArray[np.uint8], gap: int) -> NDArray[np.uint8]:
    """A mask with `gap` cells at least between any two parts.

    Training gives way to validation and testing, and validation to testing.
    """
    from scipy.ndimage import maximum_filter

    out = mask.copy()
    for number in (3, 2):
        near = maximum_filter(out == number, size=2 * gap + 1, mode="constant")
        out[near & (out < number)] = 0
    return out


def _where_chips_fit(mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A mask without the cells of a part in which no square of `side` cells fits."""
    from scipy.ndimage import binary_opening

    square = np.ones((min(side, mask.shape[0]), min(side, mask.shape[1])), bool)
    out = np.zeros_like(mask)
    for number in (1, 2, 3):
        out[binary_opening(mask == number, square)] = number
    return out


def assign_blocks(
    masks: list[NDArray[np.uint8]],
    survey: Survey,
    free: Sequence[int],
    wanted: Mapping[int, float],
    chip: int,
    block: float,
    seed: int,
) -> float:
    """Fill the masks of scenes that are free.

    Args:
        masks: (rows, cols) of each scene; those of `free` are replaced.
        survey: What their labels hold.
        free: Scenes to divide.
        wanted: Share of each part but training.
        chip: Pixels between the parts.
        block: Side of a block in chips; smaller ones are taken where there would be few.
        seed: From which all that is random follows.

    Returns:
        Share of the labelled pixels that lie in gaps.
    """
    cell = survey.cell
    gap = -(-chip // cell)
    counts = [survey.scenes[k].counts[..., :-1].astype(np.float64) for k in free]
    side = max(round(block * chip / cell), 1)
    while True:
        ids, places = _blocks([one.shape[:2] for one in counts], side)
        if len(places) >= _LEAST_BLOCKS or side <= max(gap // 2, 1):
            break
        side = max(side * 3 // 4, 1)
    sizes = np.zeros(len(places))
    for each, one in zip(ids, counts, strict=True):
        sizes += np.bincount(each.ravel(), one.sum(axis=-1).ravel(), len(places))
    total = max(float(sizes.sum()), 1)
    tried: list[list[NDArray[np.uint8]]] = []
    bad, lost = [], []
    for order in _orders(places, seed):
        parts = drawn(sizes, order, wanted)
        here = [_where_chips_fit(with_gaps(parts[each], gap), gap) for each in ids]
        sums = np.zeros((4, counts[0].shape[-1]))
        for mask, one in zip(here, counts, strict=True):
            for number in range(4):
                sums[number] += one[mask == number].sum(axis=0)
        tried.append(here)
        lost.append(float(sums[0].sum()) / total)
        bad.append(unevenness(sums, wanted) + _LOST * lost[-1])
    # The first that is good enough, not the best: else all seeds would give the same one.
    chosen = int(np.argmax(np.array(bad) <= min(bad) + _GOOD_ENOUGH))
    for index, mask in zip(free, tried[chosen], strict=True):
        masks[index] = mask
    return lost[chosen]


def _blocks(
    shapes: Sequence[tuple[int, int]], side: int
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """The block of each cell of each scene, and (scene, row, col) of each block from 0 to 1."""
    ids, places, first = [], [], 0
    for scene, (rows, cols) in enumerate(shapes):
        high, wide = max(round(rows / side), 1), max(round(cols / side), 1)
        row = np.arange(rows) * high // rows
        col = np.arange(cols) * wide // cols
        ids.append(first + row[:, None] * wide + col)
        first += high * wide
        places += [
            (scene, (r + 0.5) / high, (c + 0.5) / wide) for r in range(high) for c in range(wide)
        ]
    return ids, np.array(places)


def _orders(places: NDArray[np.float64], seed: int) -> Iterator[NDArray[np.intp]]:
    """Orders of blocks to try: scattered ones, and along a direction, which costs fewer gaps."""
    rng = np.random.default_rng(seed)
    for trial in range(_TRIALS):
        if trial % 2:
            yield rng.permutation(len(places))
            continue
        angle = rng.choice(8) * np.pi / 4
        along = places[:, 1] * np.sin(angle) + places[:, 2] * np.cos(angle)
        # Of equal ones the order is drawn: else each trial of a direction would be the same.
        yield np.lexsort((rng.random(len(places)), along.round(6)))
