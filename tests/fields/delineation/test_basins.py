"""Basins: everybody's summit is found by walking there, and strips change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt, gaussian_filter

from agriseg.fields.delineation import basins
from agriseg.fields.delineation.basins import NO_FIELD, basins_of, distances, heights_of, smoothed

OUTSIDE = np.iinfo(np.int16).min


@pytest.fixture
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basins, "_CHUNK", 50)


@pytest.mark.usefixtures("small_strips")
def test_distances_do_not_depend_on_strips() -> None:
    rng = np.random.default_rng(3)
    inside = rng.random((67, 13)) > 0.02
    inside[20:50, 2:11] = True
    found = distances(inside, (1.0, 1.5), 6.0)
    truth = np.minimum(distance_transform_edt(inside, sampling=(1.0, 1.5)), 6.0)
    np.testing.assert_array_equal(found, truth.astype(np.float32))
    assert (distances(np.ones((30, 4), bool), (1.0, 1.0), 6.0) == 6).all()


@pytest.mark.usefixtures("small_strips")
def test_smoothing_does_not_depend_on_strips() -> None:
    plane = np.random.default_rng(4).random((71, 9), dtype=np.float32)
    truth = gaussian_filter(plane, 0.7)
    np.testing.assert_array_equal(smoothed(plane.copy(), 0.7), truth)


def summit_of(height: np.ndarray, y: int, x: int) -> tuple[int, int]:
    """Walk up, one pixel after the other."""
    while True:
        near = [(y, x), (y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)]
        inside = [(r, c) for r, c in near if 0 <= r < len(height) and 0 <= c < height.shape[1]]
        best = min(inside, key=lambda place: (-int(height[place]), place))
        if best == (y, x):
            return best
        y, x = best


@given(
    arrays(
        np.int16,
        st.tuples(st.integers(1, 9), st.integers(1, 7)),
        elements=st.sampled_from([OUTSIDE, -64, 0, 64, 65, 300]),
    ),
    st.sampled_from([3, 17, 1 << 22]),
)
def test_every_pixel_belongs_to_the_summit_above_it(height: np.ndarray, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(basins, "_CHUNK", chunk)
        found = basins_of(height)
    summits = {}
    for y, x in np.ndindex(height.shape):
        if height[y, x] == OUTSIDE:
            assert found.label[y, x] == NO_FIELD
        else:
            summits[y, x] = summit_of(height, y, x)
    order = sorted(set(summits.values()))
    assert len(found) == len(order)
    for place, summit in summits.items():
        assert found.label[place] == order.index(summit)
    assert found.summit.tolist() == [height[place] for place in order]


def test_boundaries_go_to_the_nearer_field_and_not_too_far() -> None:
    farmland = np.ones((7, 23), bool)
    interior = np.zeros((7, 23), bool)
    interior[:, 1:6] = interior[:, 10:14] = True
    found = basins_of(heights_of(interior, farmland, (1.0, 1.0), reach=3.0))
    row = found.label[3]
    assert len(set(row[:8])) == len(set(row[8:17])) == 1
    assert row[7] != row[8]
    assert (row[17:] == NO_FIELD).all()
    assert (found.label >= 0)[:, :17].all()
