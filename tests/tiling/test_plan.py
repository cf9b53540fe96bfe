"""Plans: swaths that cover every chip row once."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agriseg.tiling import ChipGrid, Plan, Swath

GRID = ChipGrid(height=50, width=7, size=10, overlap=0)  # five chip rows


def test_swath() -> None:
    swath = Swath(2, 4)
    assert list(swath.rows) == [2, 3, 4]
    assert len(swath) == 3
    assert len(Swath(3, 3)) == 1
    assert sorted([Swath(3, 4), Swath(0, 2)]) == [Swath(0, 2), Swath(3, 4)]


@pytest.mark.parametrize(("first", "last"), [(1, 0), (-1, 2)])
def test_an_empty_swath_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="is empty"):
        Swath(first, last)


@given(st.integers(1, 300), st.integers(1, 12), st.integers(-2, 40), st.data())
def test_even_covers_every_row_once(
    height: int, size: int, count: int, data: st.DataObject
) -> None:
    grid = ChipGrid(height, 9, size, data.draw(st.integers(0, size // 2)))
    plan = Plan.even(grid, count)
    assert [row for swath in plan for row in swath.rows] == list(range(grid.rows))
    assert len(plan.swaths) == min(max(count, 1), grid.rows)
    lengths = [len(swath) for swath in plan]
    assert max(lengths) - min(lengths) <= 1


def test_one_swath_unless_asked() -> None:
    assert Plan.even(GRID).swaths == (Swath(0, 4),)


@pytest.mark.parametrize(
    ("swaths", "words"),
    [
        ((Swath(1, 4),), "does not begin at chip row 0"),
        ((Swath(0, 1), Swath(3, 4)), "does not begin at chip row 2"),
        ((Swath(0, 2), Swath(2, 4)), "does not begin at chip row 3"),
        ((Swath(2, 4), Swath(0, 1)), "does not begin at chip row 0"),
        ((Swath(0, 3),), "end at chip row 4 of 5"),
        ((Swath(0, 5),), "end at chip row 6 of 5"),
        ((), "end at chip row 0 of 5"),
    ],
)
def test_gaps_and_repeats_are_refused(swaths: tuple[Swath, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Plan(GRID, swaths)


def test_pickling() -> None:
    plan = Plan.even(GRID, 2)
    assert pickle.loads(pickle.dumps(plan)) == plan
