"""Colours beyond those of the legend: ramps that people with any kind of eyes can read."""

from __future__ import annotations

__all__ = ["CERTAINTY", "GROWTH", "INFESTATION", "darker", "pick", "rgba"]

CERTAINTY = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
"""viridis, by S. van der Walt and N. Smith (CC0), dark for what is doubtful."""

GROWTH = ("#ffffcc", "#a1dab4", "#41b6c4", "#2c7fb8", "#253494")
"""YlGnBu of ColorBrewer 2.0 (C. Brewer, Apache-2.0): lightness alone tells, and no crop is blue."""

INFESTATION = ("#fef0d9", "#fdcc8a", "#fc8d59", "#e34a33", "#b30000")
"""OrRd of ColorBrewer 2.0."""


def _channels(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def rgba(color: str, alpha: int = 255) -> str:
    """`#rrggbb` in QGIS's words for symbols: `r,g,b,a`."""
    return ",".join(map(str, (*_channels(color), alpha)))


def darker(color: str) -> str:
    """Half as light, for the outline of an area."""
    return "#" + "".join(f"{channel // 2:02x}" for channel in _channels(color))


def pick(ramp: tuple[str, ...], count: int) -> list[str]:
    """So many colours evenly spread over a ramp; the middle one where it is one."""
    if count == 1:
        return [ramp[len(ramp) // 2]]
    return [_between(ramp, k * (len(ramp) - 1) / (count - 1)) for k in range(count)]


def _between(ramp: tuple[str, ...], place: float) -> str:
    low = min(int(place), len(ramp) - 2)
    pairs = zip(_channels(ramp[low]), _channels(ramp[low + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - low)):02x}" for a, b in pairs)
