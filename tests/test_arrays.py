"""Named arrays as bytes."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import numpy as np
import pytest

from agriseg.arrays import among, block_sums, from_bytes, to_bytes

ARRAYS = {
    "count": np.array(3),
    "empty": np.zeros((0, 4), np.int64),
    "mask": np.arange(12).reshape(3, 4) % 5 == 0,
    "columns first": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "every second": np.arange(20, dtype=np.uint16)[::2],
}


def test_arrays_come_back_as_they_went() -> None:
    back = from_bytes(to_bytes(ARRAYS))
    assert set(back) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("left", [0, 5, 60, -1])
def test_what_is_cut_off_is_told(left: int) -> None:
    with pytest.raises(ValueError, match="damaged arrays"):
        from_bytes(to_bytes(ARRAYS)[:left])


def test_nothing_is_parsed_as_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that parse at a time break each other in CPython 3.11; npz heads are parsed."""

    def refused(*args: object, **options: object) -> None:
        raise AssertionError("parsed as Python")

    packed = to_bytes(ARRAYS)
    monkeypatch.setattr("ast.parse", refused)
    assert set(from_bytes(packed)) == set(ARRAYS)


@pytest.mark.parametrize("kind", [np.int64, np.float64])
@pytest.mark.parametrize("starts", [([0], [0]), ([0, 1, 4], [0, 3, 4, 8]), ([0, 2, 4, 6], [0])])
def test_blocks_add_up(starts: tuple[list[int], list[int]], kind: type) -> None:
    plane = np.random.default_rng(0).random((7, 9)) < 0.6
    values = plane if kind is np.int64 else np.where(plane, np.float32(0.1), np.float32(2))
    found = block_sums(values, *starts, kind)
    rows, cols = ([*some, end] for some, end in zip(starts, plane.shape, strict=True))
    expected = [
        [values[a:b, c:d].astype(kind).sum() for c, d in pairwise(cols)] for a, b in pairwise(rows)
    ]
    assert found.dtype == kind
    np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("values", [[], [0], [3, 255], frozenset({1, 2, 300})])
def test_what_is_among_some_values(kind: str, values: Collection[int]) -> None:
    plane = np.arange(256).reshape(16, 16).astype(kind)
    found = among(plane, values)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, np.isin(plane, list(values)))
