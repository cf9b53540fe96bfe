"""Intervals that know that pixels beside each other are not independent.

What is drawn again and again, with replacement, are whole scenes, or groups of scenes, or where
there are few of those, square blocks inside of them. The interval is the percentile one of Efron
(1979, Ann. Stat. 7); blocks against dependence are those of Kuensch (1989, Ann. Stat. 17), here
without overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agriseg.evaluation.scores import Floats

__all__ = [
    "FEW",
    "LEVEL",
    "RESAMPLES",
    "BlockSize",
    "draws",
    "fine_side",
    "merge_blocks",
    "percentiles",
    "summed",
]

RESAMPLES, LEVEL, SEED = 1000, 0.95, 20_240_501

FEW = 8
"""Fewer scenes than these say little of each other: their blocks are drawn instead."""

_FINE, _MOST_BLOCKS, _FEWEST_BLOCKS = 4096, 128, 32
_LEAST_SIDE = 16
_MOST_UNKNOWN = 0.05
_PIECES = 64


@dataclass(frozen=True)
class BlockSize:
    """Blocks that stand for each other.

    Args:
        side: Pixels of a side.
        blocks: How many have labels.
    """

    side: int
    blocks: int


def fine_side(pixels: int) -> int:
    """Side of blocks that are small enough to be merged later, once it is known which count."""
    side = _LEAST_SIDE
    while pixels > _FINE * side * side:
        side *= 2
    return side


def merge_blocks(places: NDArray[np.int64], side: int) -> tuple[NDArray[np.int64], BlockSize]:
    """Merge blocks, four to one, until they are few and large.

    Large blocks are less alike than small ones, and a hundred are enough for an interval.

    Args:
        places: (blocks, 3) scene, row and column of each block.
        side: Pixels of a side.

    Returns:
        The merged block (blocks,) that each belongs to, and what became of them.
    """
    owner = np.arange(len(places))
    while len(places) > _MOST_BLOCKS:
        halved = places.copy()
        halved[:, 1:] //= 2
        fewer, which = np.unique(halved, axis=0, return_inverse=True)
        if len(fewer) < _FEWEST_BLOCKS or not places[:, 1:].any():
            break
        places, owner, side = fewer, which.ravel()[owner], side * 2
    return owner, BlockSize(side, len(places))


def summed(values: NDArray[np.int64], owner: NDArray[np.int64], units: int) -> NDArray[np.int64]:
    """Sums (units, ...) of values (n, ...) that belong to the units `owner` (n,)."""
    found = np.zeros((units, *values.shape[1:]), np.int64)
    np.add.at(found, owner, values)
    return found


def draws(values: NDArray[np.number], resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Sums of units that were drawn with replacement, as many as there are.

    Args:
        values: (units, ...) counts.
        resamples: How often.
        seed: Two models on equal units are drawn alike.

    Returns:
        (resamples, ...).
    """
    units = len(values)
    rng = np.random.default_rng(seed)
    flat = np.asarray(values, float).reshape(units, -1)
    found = np.empty((resamples, flat.shape[1]))
    for start in range(0, resamples, _PIECES):
        stop = min(start + _PIECES, resamples)
        times = rng.multinomial(units, np.full(units, 1 / units), size=stop - start)
        found[start:stop] = times @ flat
    return found.reshape(resamples, *values.shape[1:])


def percentiles(drawn: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Lower and upper end (...) of the interval of scores (resamples, ...).

    NaN where the score was unknown in more than 5 % of the draws: a class that few units have.
    """
    tail = (1 - level) / 2
    unknown = np.isnan(drawn).mean(axis=0)
    known = np.where(unknown < 1, drawn, 0.0)
    low, high = np.nanquantile(known, [tail, 1 - tail], axis=0)
    lost = unknown > _MOST_UNKNOWN
    return np.where(lost, np.nan, low), np.where(lost, np.nan, high)
