"""What legends say: areas, shares and ranges, as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "SMALL_HA",
    "area_words",
    "class_words",
    "length_words",
    "number",
    "percent",
    "pretty_breaks",
    "range_words",
]

SMALL_HA = 0.1
"""Where all of a legend is less than this, it speaks of square metres."""


def number(value: float) -> str:
    """Three digits that count, with commas: `0.0146`, `27.3`, `1,235`."""
    if not value:
        return "0"
    digits = max(2 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def area_words(area_ha: float, *, in_m2: bool = False) -> str:
    """An area in hectares, or in square metres."""
    return f"{number(area_ha * 1e4)} m²" if in_m2 else f"{number(area_ha)} ha"


def length_words(metres: float) -> str:
    """A length in the unit that fits: `2 km`, `10 m`, `2.27 cm`, `0.42 mm`."""
    for limit, unit in ((1e3, "km"), (1.0, "m"), (1e-2, "cm")):
        if metres >= limit * (1 - 1e-9):
            return f"{number(metres / limit)} {unit}"
    return f"{number(metres * 1e3)} mm"


def percent(share: float) -> str:
    """A share in percent; what is there, however little, is never 0."""
    return "< 0.1 %" if 0 < share < 0.05 else f"{share:.1f} %"


def class_words(names: Sequence[str], rows: Sequence[tuple[float | None, float]]) -> list[str]:
    """The classes of a legend with their (hectares, percent): `crop  1.46 ha  (27.3 %)`.

    All in one unit: square metres where hectares would be all zeros, as of a plot of a trial.
    """
    in_m2 = sum(area or 0.0 for area, _ in rows) < SMALL_HA
    areas = ["" if a is None else f"  {area_words(a, in_m2=in_m2)}" for a, _ in rows]
    shares = [percent(share) for _, share in rows]
    return [f"{n}{a}  ({s})" for n, a, s in zip(names, areas, shares, strict=True)]


def range_words(lower: float, upper: float, unit: str = "") -> str:
    """A range of values: `40 to 60 %`."""
    both = number(lower) if lower == upper else f"{number(lower)} to {number(upper)}"
    return f"{both} {unit}".rstrip()


def pretty_breaks(low: float, high: float, most: int = 6) -> Sequence[float]:
    """Borders of at most `most` ranges of equal width on round numbers that hold low..high.

    The widths are 1, 2 or 5 times a power of ten, as on the axis of a graph.
    """
    if not high > low:
        return (low, low)
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    # Floors and ceilings may take in one range more than the width alone would.
    for step in (power * factor for factor in (1, 2, 5, 10, 20, 50)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= most:
            break
    # Rounded, so that 3 x 0.1 is 0.3.
    digits = max(0, 1 - math.floor(math.log10(step)))
    return tuple(round(k * step, digits) for k in range(first, last + 1))
