"""COCO's run lengths: masks as the lengths of runs of 0 and 1, column by column.

The packed form is COCO's own (pycocotools, `rleFrString`): five bits a character, the lowest first,
and from the third run on the difference to the run before the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode", "runs_of"]


def runs_of(text: str) -> list[int]:
    """The run lengths in a packed text.

    Raises:
        ValueError: It is none.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{letter!r} does not occur in run lengths")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the run lengths are cut off")
    return runs


def decode(counts: str | Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """The mask (height, width) of run lengths, packed or not.

    Raises:
        ValueError: They do not make up such a mask.
    """
    runs = np.array(runs_of(counts) if isinstance(counts, str) else counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"the run lengths make up {int(runs.sum())} of {height * width} pixels")
    flags = np.arange(len(runs)) % 2 == 1
    return np.repeat(flags, runs).reshape(width, height).T
