"""Named arrays as bytes, for what one part of a run leaves for another.

They are safetensors, not npz: numpy reads the head of each npz array by parsing it as Python, and
two threads that parse at a time can break each other's parser (CPython issue 106905).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_bytes", "to_bytes"]


def to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays of numbers or truths, of any shapes, as bytes that `from_bytes` takes."""
    from safetensors.numpy import save

    # It writes the memory as it lies and trusts that this is row by row.
    packed: bytes = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    return packed


def from_bytes(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays that `to_bytes` made bytes of.

    Raises:
        ValueError: They are damaged or cut off.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[Any]] = load(data)
    except SafetensorError as error:
        raise ValueError(f"damaged arrays: {error}") from error
    return arrays
