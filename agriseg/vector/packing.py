"""Strips as bytes, so that a run can leave them beside the rows they were traced from."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from agriseg.vector.strip import Arcs, Regions, Strip

__all__ = ["pack", "unpack"]

_ARCS = [field.name for field in fields(Arcs)]
_REGIONS = [field.name for field in fields(Regions)]


def pack(strips: Sequence[Strip]) -> memoryview:
    """Strips that follow each other as an .npz archive."""
    arrays = {"count": np.array(len(strips))}
    for k, strip in enumerate(strips):
        arrays[f"{k}_place"] = np.array([strip.row_off, strip.height, strip.width])
        arrays |= {f"{k}_top": strip.top, f"{k}_bottom": strip.bottom}
        arrays |= {f"{k}_arcs_{name}": getattr(strip.arcs, name) for name in _ARCS}
        arrays |= {f"{k}_regions_{name}": getattr(strip.regions, name) for name in _REGIONS}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getbuffer()


def unpack(data: bytes) -> list[Strip]:
    """The strips that `pack` made bytes of.

    Raises:
        ValueError: They are damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as packed:
            return [_unpacked(packed, k) for k in range(int(packed["count"]))]
    except (BadZipFile, EOFError, KeyError, OSError) as error:
        raise ValueError(f"damaged strips: {error}") from error


def _unpacked(packed: Mapping[str, NDArray[Any]], k: int) -> Strip:
    row_off, height, width = packed[f"{k}_place"].tolist()
    arcs = Arcs(*(packed[f"{k}_arcs_{name}"] for name in _ARCS))
    regions = Regions(*(packed[f"{k}_regions_{name}"] for name in _REGIONS))
    top, bottom = packed[f"{k}_top"], packed[f"{k}_bottom"]
    return Strip(row_off, height, width, regions, arcs, top, bottom)
