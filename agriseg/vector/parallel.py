"""How many threads may trace at a time."""

from __future__ import annotations

import os

__all__ = ["BYTES_PER_PIXEL", "threads_for"]

BYTES_PER_PIXEL = 25
"""What tracing takes of memory while it is at it."""

_MOST = 8
# Pixels that are traced at one time.
_PIXELS = 64 << 20


def threads_for(pixels: int, most: int = _MOST) -> int:
    """How many threads may trace so many pixels each."""
    return max(min(os.cpu_count() or 1, most, _MOST, _PIXELS // max(pixels, 1)), 1)
