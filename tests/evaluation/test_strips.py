"""Strips from pieces of any height."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agriseg.evaluation.strips import strips_of


@given(
    heights=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    halo=st.integers(0, 12),
    rows=st.integers(1, 25),
)
def test_strips_cover_the_raster_once_and_hold_their_margins(heights, halo, rows) -> None:
    height = sum(heights)
    raster = np.arange(height * 2, dtype=np.uint8).reshape(1, height, 2)
    pieces = np.split(raster, np.cumsum(heights)[:-1], axis=1)
    found = list(strips_of(pieces, height, halo, rows))
    np.testing.assert_array_equal(np.concatenate([one.core for one in found], axis=1), raster)
    for one in found:
        low, high = max(one.row_off - halo, 0), min(one.row_off + one.core.shape[1] + halo, height)
        np.testing.assert_array_equal(one.planes, raster[:, low:high])
