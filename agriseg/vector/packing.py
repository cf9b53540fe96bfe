"""Strips as bytes, so that a run can leave them beside the rows they were traced from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.arrays import from_bytes, to_bytes
from agriseg.vector.strip import Arcs, Regions, Strip

__all__ = ["pack", "unpack"]

_VERSION = b"agriseg borders 2\n"
_ARCS = [field.name for field in fields(Arcs)]
_REGIONS = [field.name for field in fields(Regions)]


def pack(strips: Sequence[Strip]) -> bytes:
    """Strips that follow each other as named arrays behind a checksum."""
    arrays = {"count": np.array(len(strips))}
    for k, strip in enumerate(strips):
        arrays[f"{k}_place"] = np.array([strip.row_off, strip.height, strip.width])
        arrays |= {f"{k}_top": strip.top, f"{k}_bottom": strip.bottom}
        arrays |= {f"{k}_arcs_{name}": getattr(strip.arcs, name) for name in _ARCS}
        arrays |= {f"{k}_regions_{name}": getattr(strip.regions, name) for name in _REGIONS}
    packed = to_bytes(arrays)
    return _head(packed) + packed


def unpack(data: bytes) -> list[Strip]:
    """The strips that `pack` made bytes of.

    Raises:
        ValueError: They are damaged, or of another version.
    """
    head, packed = data[: len(_head(b""))], data[len(_head(b"")) :]
    if head != _head(packed):
        raise ValueError("strips of another version, or damaged")
    arrays = from_bytes(packed)
    return [_unpacked(arrays, k) for k in range(int(arrays["count"]))]


def _head(packed: bytes) -> bytes:
    """Version and checksum: numbers that are damaged would make a map, a false one."""
    return _VERSION + hashlib.sha256(packed).digest()


def _unpacked(packed: Mapping[str, NDArray[Any]], k: int) -> Strip:
    row_off, height, width = packed[f"{k}_place"].tolist()
    arcs = Arcs(*(packed[f"{k}_arcs_{name}"] for name in _ARCS))
    regions = Regions(*(packed[f"{k}_regions_{name}"] for name in _REGIONS))
    top, bottom = packed[f"{k}_top"], packed[f"{k}_bottom"]
    return Strip(row_off, height, width, regions, arcs, top, bottom)
