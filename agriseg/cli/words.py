"""Numbers as a person reads them."""

from __future__ import annotations

import json

__all__ = [
    "area_words",
    "count_words",
    "number_words",
    "numerics_words",
    "size_words",
    "time_words",
]


def size_words(metres: float) -> str:
    """A pixel size: `2.00 cm`, `10 m`, `0.11 mm`."""
    if metres < 1e-3:
        return f"{metres * 1000:.3g} mm"
    return f"{metres * 100:.3g} cm" if metres < 1 else f"{metres:.4g} m"


def area_words(square_metres: float) -> str:
    """An area in hectares."""
    hectares = square_metres / 1e4
    return f"{hectares:,.0f} ha" if hectares >= 1000 else f"{hectares:.3g} ha"


def time_words(seconds: float) -> str:
    """A duration."""
    if seconds < 1:
        return "less than a second"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{int(seconds // 3600)} h {seconds % 3600 / 60:.0f} min"


def count_words(count: int, what: str) -> str:
    """A number of things: `1 chip`, `12 chips`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def numerics_words(key: str) -> str:
    """What computes, from a numerics key."""
    try:
        facts = json.loads(key)
    except ValueError:
        return key
    if not isinstance(facts, dict):
        return key
    engine = f"{facts.get('engine', '')} {facts.get('engine_version', '')}".strip()
    device, precision = facts.get("device"), facts.get("precision")
    return engine + (f" on {device}" if device else "") + (f", {precision}" if precision else "")


def number_words(value: float | None) -> str:
    """A measured value with four digits that count."""
    return "-" if value is None else f"{value:.4g}"
