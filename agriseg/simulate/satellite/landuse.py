"""What covers the land: the classes of the labels, and what lines between parcels are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agriseg.legend import Legend

__all__ = [
    "BOUNDARIES",
    "BUILT",
    "CLOUDS",
    "CROP_SHARES",
    "FALLOW",
    "GRASS",
    "HALF_M",
    "KINDS",
    "LEGEND",
    "LINES",
    "MATERIALS",
    "WATER",
    "WOOD",
    "Line",
]

LEGEND: Final = Legend.of(
    ("built", "#9a9a9a"),
    ("water", "#3d7fb8"),
    ("wood", "#1f5b2e"),
    ("grassland", "#8fbf5a"),
    ("winter wheat", "#d9b650"),
    ("winter barley", "#b8a06a"),
    ("rapeseed", "#f2e338"),
    ("maize", "#e08a2e"),
    ("sugar beet", "#a8486f"),
    ("soybean", "#5aa892"),
    ("potato", "#8a5fa8"),
    ("fallow", "#c9b6a0"),
)
"""What the labels mean. From grassland on, a parcel is a field."""

BUILT, WATER, WOOD, GRASS = range(4)
FALLOW: Final = 11

BOUNDARIES: Final = Legend.of(
    ("background", "#303030"), ("field", "#8fbf5a"), ("boundary", "#ffd23f")
)
"""As in Fields of The World (Kerner et al. 2024): 2 lines the inside of every field."""

CLOUDS: Final = Legend.of(("clear", "#6fa8dc"), ("cloud", "#ffffff"), ("cloud shadow", "#3b3b5a"))

CROP_SHARES: Final = {4: 0.29, 5: 0.11, 6: 0.10, 7: 0.25, 8: 0.09, 9: 0.07, 10: 0.05, 11: 0.04}
"""Share of the arable land under each class."""

MATERIALS: Final = {
    "asphalt": BUILT,
    "gravel": BUILT,
    "verge": GRASS,
    "trees": WOOD,
    "clearing": WOOD,
    "water": WATER,
    "red roof": BUILT,
    "dark roof": BUILT,
    "bright roof": BUILT,
    "garden": BUILT,
}
"""What lies between the parcels and in villages, each with its class."""


@dataclass(frozen=True)
class Line:
    """What runs along the border of two parcels.

    Args:
        core: Material of its middle.
        core_m: Half the width of the middle, metres.
        side: Material beside it.
        half_m: Half the width of all; fields end here.
    """

    core: str
    core_m: float
    side: str
    half_m: float


LINES: Final = {
    "edge": Line("verge", 0.0, "verge", 0.0),
    "woodside": Line("verge", 0.0, "verge", 0.0),
    "margin": Line("verge", 0.0, "verge", 0.7),
    "hedge": Line("verge", 0.0, "verge", 3.0),
    "treeline": Line("verge", 0.0, "verge", 1.8),
    "track": Line("gravel", 1.2, "verge", 2.2),
    "street": Line("asphalt", 2.4, "garden", 3.5),
    "stream": Line("water", 2.5, "verge", 11.0),
    "road": Line("asphalt", 3.0, "verge", 5.0),
}
"""Those that come later lie on top."""

KINDS: Final = {name: number for number, name in enumerate(LINES)}
"""The number of each line."""

HALF_M: Final = tuple(line.half_m for line in LINES.values())
"""Half the width of each line, by its number."""
