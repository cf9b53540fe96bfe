"""What legends say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agriseg.publish.words import class_words, number, percent, pretty_breaks, range_words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0146372, "0.0146"),
        (0.00087, "0.00087"),
        (27.31, "27.3"),
        (999.6, "1,000"),
        (0.000012, "0.000012"),
        (1234.6, "1,235"),
        (-0.4, "-0.4"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_little_is_not_nothing() -> None:
    assert percent(0.0) == "0.0 %"
    assert percent(0.01) == "< 0.1 %"
    assert percent(99.96) == "100.0 %"


def test_all_classes_of_a_legend_are_in_one_unit() -> None:
    small = class_words(["soil", "weed"], [(0.05, 99.9), (0.00002, 0.1)])
    assert small == ["soil  500 m²  (99.9 %)", "weed  0.2 m²  (0.1 %)"]
    large = class_words(["soil", "weed"], [(1234.0, 99.9), (0.02, 0.1)])
    assert large == ["soil  1,234 ha  (99.9 %)", "weed  0.02 ha  (0.1 %)"]
    assert class_words(["soil"], [(None, 100.0)]) == ["soil  (100.0 %)"]


def test_ranges() -> None:
    assert range_words(40, 60, "%") == "40 to 60 %"
    assert range_words(0.3, 0.3) == "0.3"


@pytest.mark.parametrize(
    ("low", "high", "breaks"),
    [
        (62, 97, (60, 70, 80, 90, 100)),
        (0.31, 0.78, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
        (0, 100, (0, 20, 40, 60, 80, 100)),
        (-3, 2, (-3, -2, -1, 0, 1, 2)),
        (5, 5, (5, 5)),
    ],
)
def test_breaks_are_round(low: float, high: float, breaks: tuple[float, ...]) -> None:
    assert tuple(pretty_breaks(low, high)) == breaks


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
)
def test_breaks_hold_all_values(low: float, width: float) -> None:
    breaks = pretty_breaks(low, low + width)
    slack = 1e-6 * max(width, abs(low), 1e-3)
    assert breaks[0] <= low + slack
    assert breaks[-1] >= low + width - slack
    assert 2 <= len(breaks) <= 7
    assert list(breaks) == sorted(set(breaks))
