"""From one class map to another: classes matched by name, and what became of what."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

from agriseg.legend import NODATA, ClassLabel, Legend

__all__ = ["ARROW", "Transitions", "transitions_of"]

ARROW = " > "
"""Stands between the two classes in the name of a transition."""

# Pixels that stayed are washed out so far towards white, so that the others stand out.
_WASHED = 0.7
# The colour of what became, with so much of what was.
_OF_BEFORE = 0.3


@dataclass(frozen=True)
class Transitions:
    """What can become of what, and how it is coded.

    The code of a pixel is (class before) x n + (class after), n classes counted as in `names`: with
    soil, crop, weed, 1 is soil that became crop, and 0, 4 and 8 stayed what they were.

    Args:
        names: The classes of both maps, in the order of the first one's legend.
        after: For each class of the second map its place in `names`.
        legend: One entry a transition, in the order of the codes.
    """

    names: tuple[str, ...]
    after: tuple[int, ...]
    legend: Legend

    def name(self, before: int, after: int) -> str:
        """What a transition is called: `soil > crop`, and `soil` where it stayed."""
        return self.legend.classes[before * len(self.names) + after].name


def transitions_of(before: Sequence[ClassLabel], after: Sequence[ClassLabel]) -> Transitions | None:
    """The transitions between two legends; None where these differ in their names.

    None too where there are more classes than pairs fit into a byte.
    """
    names = tuple(label.name for label in before)
    place = {name: k for k, name in enumerate(names)}
    if set(place) != {label.name for label in after} or len(names) ** 2 > NODATA:
        return None
    entries = []
    for one in before:
        for other in before:
            stayed = one.name == other.name
            color = (
                _mixed(one.rgb, (255, 255, 255), _WASHED)
                if stayed
                else _strong(_mixed(other.rgb, one.rgb, _OF_BEFORE))
            )
            entries.append((one.name if stayed else f"{one.name}{ARROW}{other.name}", color))
    named = Legend.of(*((name, f"#{bytes(color).hex()}") for name, color in entries))
    return Transitions(names, tuple(place[label.name] for label in after), named)


_RGB = tuple[int, int, int]


def _mixed(color: _RGB, other: _RGB, share: float) -> _RGB:
    r, g, b = (round(a * (1 - share) + o * share) for a, o in zip(color, other, strict=True))
    return r, g, b


def _strong(color: _RGB) -> _RGB:
    """The same hue, more saturated: mixing greys."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in color))
    r, g, b = colorsys.hsv_to_rgb(hue, min(saturation * 1.3, 1.0), value)
    return round(r * 255), round(g * 255), round(b * 255)
