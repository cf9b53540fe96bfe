"""Formulas: what may stand in them, and what they come to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agriseg.indices.formula import Node, Term, bind, degree, evaluate, parse


def value(
    text: str, constants: dict[str, float] | None = None, **planes: list[float]
) -> tuple[list[float], list[bool]]:
    """The values of a formula on a row of pixels, and where it is undefined."""
    arrays = {name: np.array([row], np.float32) for name, row in planes.items()}
    undefined = np.zeros((1, len(next(iter(planes.values())))), bool)
    found = evaluate(bind(parse(text), constants or {}), arrays, undefined)
    assert found.dtype == np.float32
    return found[0].tolist(), undefined[0].tolist()


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "N.real",
        "N[0]",
        "N if R else B",
        "(lambda: 1)()",
        "exp(N)",
        "tanh(N, R)",
        "'N'",
        "True",
        "N == R",
        "N // R",
        "~N",
        "N +",
        "",
    ],
)
def test_only_arithmetic_may_stand_in_a_formula(text: str) -> None:
    with pytest.raises(ValueError, match="formula"):
        parse(text)


def test_precedence_and_signs_are_those_of_arithmetic() -> None:
    assert value("-N**2.0+2*R/4-(-1.5)", N=[3.0], R=[5.0])[0] == [-9 + 2.5 + 1.5]
    assert value("N-R-1", N=[3.0], R=[5.0])[0] == [-3.0]
    assert value("N", N=[3.0])[0] == [3.0]
    assert value("tanh((N-R)**2)", N=[0.9], R=[0.2])[0] == pytest.approx([math.tanh(0.49)])


def test_bands_stay_as_they_are() -> None:
    bands = {name: np.full((2, 3), k, np.float32) for k, name in enumerate("NRB", 1)}
    before = {name: band.copy() for name, band in bands.items()}
    for text in ("N", "N*R", "(N+1)*(N-R)/(B+N)", "((N+R)**2-N)**0.5", "N/R/B", "1/N"):
        found = evaluate(parse(text), bands, np.zeros((2, 3), bool))
        found[:] = -7  # nor may the result be a band
        for name, band in bands.items():
            np.testing.assert_array_equal(band, before[name])


def test_zero_below_a_line_is_undefined_also_where_infinity_vanishes() -> None:
    found, undefined = value("1/(1+1/R)", R=[0.0, 1.0])
    assert undefined == [True, False]
    assert found[1] == 0.5
    assert value("N/(R*B)", N=[1.0] * 3, R=[0.0, 1, 1], B=[1.0, 0, 1])[1] == [True, True, False]
    assert value("N/(R**0.5)", N=[1.0, 1], R=[0.0, 4])[1] == [True, False]
    assert value("R**-1", R=[0.0, 4.0])[1] == [True, False]


def test_what_rounding_leaves_of_zero_is_zero() -> None:
    """Counts of 16 bits, scaled to reflectance: 2556 + 1349 - 3905 is 0 in whole numbers."""
    counts = np.array([[2556, 1349, 3905], [40000, 25534, 65535]], np.float32)
    green, red, blue = (counts * np.float32(1e-4)).T
    left_over = green + red - blue
    assert 0 < abs(left_over[0]) < 1e-7, "nothing to be tested: find other counts"
    found, undefined = value("1/(G+R-B)", G=green.tolist(), R=red.tolist(), B=blue.tolist())
    assert undefined == [True, False]
    assert found[1] == pytest.approx(-1e4, rel=0.01)


def test_constants_are_put_in_and_computed_once() -> None:
    bound = bind(parse("(1.0+L)*(N-R)/(N+R+L)"), {"L": 0.5})
    assert isinstance(bound, Term)
    product = bound.parts[0]
    assert isinstance(product, Term)
    assert product.parts[0] == 1.5


@pytest.mark.parametrize(
    ("text", "constants"),
    [
        ("N+slb/sla", {"slb": 1.0, "sla": 0.0}),
        ("N+a**0.5", {"a": -1.0}),
        ("N+a**a", {"a": 1e3}),
        ("N+a*a", {"a": 1e300}),
        ("N**R", {}),
    ],
)
def test_constants_that_make_no_sense_are_refused(text: str, constants: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"number"):
        bind(parse(text), constants)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(N-R)/(N+R)", 0),
        ("(N/G)-1.0", 0),
        ("N-R", 1),
        ("1/G-1/R", -1),
        ("N*R/G**2.0", 0),
        ("((N*R)**0.5+G)/B", 0),
        ("tanh((N/R)**2)", 0),
        ("tanh(N)", None),
        ("(N-R)/(N+R+0.16)", None),
        ("N**2-R", None),
        ("(N-R)/(N+R+0.0)", 0),
        ("0.0*N+1", 0),
        ("2.0", 0),
    ],
)
def test_the_power_of_brightness(text: str, expected: float | None) -> None:
    assert degree(parse(text)) == expected


LEAVES = st.sampled_from(["N", "R", "B"]) | st.floats(0.1, 4)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda op, a, b: Term(op, (a, b)), st.sampled_from("+*/"), inner, inner
    ),
    max_leaves=8,
)


@given(tree=TREES, k=st.floats(0.25, 4))
def test_the_power_of_brightness_is_what_scaling_shows(tree: Node, k: float) -> None:
    power = degree(bind(tree, {}))
    bands = {name: np.full((1, 1), v, np.float32) for name, v in (("N", 0.7), ("R", 0.3), ("B", 2))}
    bright = {name: band * np.float32(k) for name, band in bands.items()}
    node = bind(tree, {})
    plain, scaled = (evaluate(node, each, np.zeros((1, 1), bool)) for each in (bands, bright))
    if power is not None:
        assert scaled[0, 0] == pytest.approx(plain[0, 0] * k**power, rel=1e-3)


@given(tree=TREES)
def test_it_computes_what_python_computes(tree: Node) -> None:
    def text(node: Node) -> str:
        if isinstance(node, Term):
            return f"({text(node.parts[0])}{node.op}{text(node.parts[1])})"
        return node if isinstance(node, str) else repr(node)

    values = {"N": 0.7, "R": 0.3, "B": 2.0}
    planes = {name: np.full((1, 1), value, np.float32) for name, value in values.items()}
    undefined = np.zeros((1, 1), bool)
    found = evaluate(bind(parse(text(tree)), {}), planes, undefined)
    assert found[0, 0] == pytest.approx(eval(text(tree), {}, values), rel=1e-4)
    assert not undefined.any()
