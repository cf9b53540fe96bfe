"""The crops and weeds that can be drawn: how they stand, and how their leaves grow with age."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agriseg.simulate.forms import GOLDEN_TURN, Form
from agriseg.simulate.spectra import CROP, GRASS_WEED, WAXY_LEAF
from agriseg.simulate.weeds import WEEDS

__all__ = ["CROPS", "WEEDS", "Crop", "Form", "field_forms"]


@dataclass(frozen=True)
class Crop:
    """A crop: how it is sown, and its forms at stage 0 (seedling), 0.5 and 1 (full grown).

    Args:
        row_spacing_m: Metres between rows, as it is usually sown.
        plant_spacing_m: Metres between plants of a row.
        radius_m: Half the width of a middling plant at the three stages, metres.
        forms: Its form at the three stages.
        leaf: Material whose reflectance its leaves have, a row of `spectra.Palette.endmembers`.
        stray: Standard deviation of a plant's place along the row, in plant spacings.
        aside_m: Standard deviation of its place across the row, metres.
        sizes: Least and greatest size of a plant over that of the middling one.
        depth: How deep below the topmost leaf leaves keep the sun out, over the middling plant's
            size: infinite for leaves that stand close down to the ground.
        ears_from: Stage from which ears stand above the leaves.
        closed: How far below the mean of its neighbourhood half of the sky is left, over the
            middling plant's size; 0 for plants that stand apart (see `light.openness`).
        glow: Share of `spectra.Palette.passed_on` that plants give each other where they cover the
            ground; most in near infrared.
    """

    row_spacing_m: float
    plant_spacing_m: float
    radius_m: tuple[float, float, float]
    forms: tuple[Form, Form, Form]
    leaf: int = CROP
    stray: float = 0.13
    aside_m: float = 0.018
    sizes: tuple[float, float] = (0.35, 1.5)
    depth: float = math.inf
    glow: float = 0.0
    closed: float = 0.0
    ears_from: float = math.inf

    def form(self, stage: float) -> Form:
        """The form at `stage`, 0..1."""
        first, share = _between(stage)
        return self.forms[first].towards(self.forms[min(first + 1, 2)], share)

    def radius(self, stage: float) -> float:
        """Half the width of a middling plant at `stage`, metres to the millimetre."""
        first, share = _between(stage)
        a, b = self.radius_m[first], self.radius_m[min(first + 1, 2)]
        return round(a + (b - a) * share, 3)


def _between(stage: float) -> tuple[int, float]:
    """Which of the three stages comes before `stage`, and the share of the way to the next."""
    first = min(int(2.0 * stage), 2)
    return first, 2.0 * stage - first


def _three(forms: Iterable[Form]) -> tuple[Form, Form, Form]:
    young, middling, full = forms
    return young, middling, full


_BEET: Final = _three(
    Form(
        leaves, turn, inner, ratio, petiole, egg, lobes, depth, height, fold, bend, rib,
        veins=7.0, slant=0.8, gloss=0.2,
    )
    for leaves, turn, inner, ratio, petiole, egg, lobes, depth, height, fold, bend, rib in (
        ((2, 5), 0.45, 0.55, 0.24, 0.25, 0.10, 1.0, 0.05, 0.5, 0.2, 0.05, 0.003),
        ((9, 15), GOLDEN_TURN, 0.38, 0.27, 0.24, 0.40, 3.5, 0.20, 0.75, 0.34, 0.10, 0.012),
        ((18, 28), GOLDEN_TURN, 0.30, 0.27, 0.30, 0.40, 3.5, 0.22, 0.85, 0.34, 0.12, 0.013),
    )
)  # fmt: skip

_MAIZE: Final = _three(
    Form(
        leaves, 0.5, inner, 0.0, 0.0, 0.45, lobes, 0.12, height, 0.30, bend, rib,
        linear=True, blade_m=blade, blade_share=0.036, peak=peak, unrest=unrest,
        gloss=0.5,
    )
    for leaves, inner, lobes, height, bend, rib, blade, peak, unrest in (
        ((3, 4), 0.50, 1.5, 0.7, 0.14, 0.001, 0.004, 0.75, 0.03),
        ((7, 9), 0.40, 2.5, 1.0, 0.20, 0.003, 0.007, 0.58, 0.045),
        ((12, 15), 0.60, 3.5, 1.4, 0.26, 0.004, 0.010, 0.52, 0.06),
    )
)  # fmt: skip

_WHEAT: Final = _three(
    Form(
        leaves, 0.29, inner, 0.0, 0.0, 0.15, 1.0, 0.0, height, 0.45, bend, 0.0008,
        linear=True, blade_m=blade, blade_share=0.01, peak=peak, scatter=scatter, unrest=0.09,
        gloss=0.35,
    )
    for leaves, inner, height, bend, blade, peak, scatter in (
        ((2, 4), 0.50, 0.6, 0.22, 0.0020, 0.90, 0.05),
        ((5, 10), 0.40, 1.3, 0.30, 0.0026, 0.85, 0.10),
        ((9, 15), 0.45, 1.9, 0.35, 0.0042, 0.70, 0.16),
    )
)  # fmt: skip

_SOYBEAN: Final = _three(
    Form(
        leaves, turn, inner, 0.32, 0.06, 0.50, 1.0, 0.02, height, 0.12, 0.05, 0.0025,
        leaflets=3, stalk=stalk, scatter=scatter, unrest=0.06, veins=7.0, slant=0.8,
    )
    for leaves, turn, inner, height, stalk, scatter in (
        ((2, 3), 0.47, 0.55, 0.6, 0.25, 0.03),
        ((7, 10), 0.42, 0.50, 1.0, 0.55, 0.08),
        ((14, 20), GOLDEN_TURN, 0.55, 1.2, 0.62, 0.16),
    )
)  # fmt: skip

_CARROT: Final = _three(
    Form(
        leaves, turn, inner, 0.10, 0.04, 0.30, 2.4, 0.60, height, 0.22, 0.16, 0.0006,
        leaflets=9, scatter=0.05, unrest=0.11, pair_long=0.30, pair_turn=0.11, pair_from=0.42,
        slant=1.2, cut=0.9,
    )
    for leaves, turn, inner, height in (
        ((2, 4), 0.43, 0.45, 0.6),
        ((4, 7), GOLDEN_TURN, 0.40, 1.0),
        ((9, 14), GOLDEN_TURN, 0.45, 1.3),
    )
)  # fmt: skip

_POTATO: Final = _three(
    Form(
        leaves, GOLDEN_TURN, inner, 0.33, 0.08, 0.40, 1.0, 0.05, height, 0.25, 0.10, 0.0035,
        leaflets=7, stalk=stalk, scatter=scatter, unrest=0.06,
        pair_long=0.42, pair_turn=0.20, pair_from=0.20, veins=6.0, slant=0.8,
    )
    for leaves, inner, height, stalk, scatter in (
        ((4, 6), 0.50, 0.6, 0.05, 0.06),
        ((10, 14), 0.45, 0.9, 0.20, 0.16),
        ((20, 28), 0.55, 1.0, 0.38, 0.24),
    )
)  # fmt: skip

_SUNFLOWER: Final = _three(
    Form(
        leaves, turn, inner, 0.36, petiole, egg, lobes, 0.05, height, 0.14, 0.05, rib,
        unrest=0.04, veins=6.0, slant=0.7, teeth=9.0, tooth=0.10,
    )
    for leaves, turn, inner, petiole, egg, lobes, height, rib in (
        ((2, 4), 0.26, 0.60, 0.15, 0.20, 1.0, 0.5, 0.003),
        ((7, 10), 0.27, 0.45, 0.28, 0.75, 5.0, 1.0, 0.006),
        ((14, 20), GOLDEN_TURN, 0.42, 0.30, 0.85, 6.0, 1.4, 0.008),
    )
)  # fmt: skip

_BRASSICA: Final = _three(
    Form(
        leaves, turn, inner, 0.31, petiole, -0.15, lobes, depth, height, 0.20, 0.08, 0.0025,
        unrest=0.06, veins=5.0, slant=0.8, teeth=8.0, tooth=0.07, gloss=0.05,
    )
    for leaves, turn, inner, petiole, lobes, depth, height in (
        ((3, 5), 0.41, 0.45, 0.40, 2.0, 0.03, 0.5),
        ((6, 10), GOLDEN_TURN, 0.36, 0.36, 3.5, 0.08, 0.7),
        ((12, 18), GOLDEN_TURN, 0.42, 0.22, 4.5, 0.16, 0.65),
    )
)  # fmt: skip

CROPS: Final[dict[str, Crop]] = {
    "beet": Crop(0.75, 0.42, (0.06, 0.25, 0.36), _BEET),
    "maize": Crop(
        row_spacing_m=0.75,
        plant_spacing_m=0.16,
        radius_m=(0.09, 0.36, 0.58),
        forms=_MAIZE,
        leaf=GRASS_WEED,
        sizes=(0.5, 1.2),
        depth=0.14,
        glow=0.6,
        closed=0.4,
    ),
    "wheat": Crop(
        row_spacing_m=0.15,
        plant_spacing_m=0.035,
        radius_m=(0.06, 0.11, 0.16),
        forms=_WHEAT,
        leaf=WAXY_LEAF,
        stray=0.45,
        aside_m=0.01,
        sizes=(0.5, 1.25),
        depth=0.9,
        glow=0.6,
        closed=0.45,
        ears_from=0.75,
    ),
    "soybean": Crop(
        row_spacing_m=0.5,
        plant_spacing_m=0.08,
        radius_m=(0.06, 0.17, 0.28),
        forms=_SOYBEAN,
        stray=0.25,
        aside_m=0.015,
        sizes=(0.5, 1.3),
        depth=0.8,
        glow=0.6,
        closed=0.4,
    ),
    "carrot": Crop(
        row_spacing_m=0.4,
        plant_spacing_m=0.05,
        radius_m=(0.05, 0.13, 0.22),
        forms=_CARROT,
        stray=0.75,
        aside_m=0.014,
        sizes=(0.35, 1.45),
        depth=0.3,
        glow=0.6,
    ),
    "potato": Crop(
        row_spacing_m=0.75,
        plant_spacing_m=0.33,
        radius_m=(0.09, 0.22, 0.36),
        forms=_POTATO,
        stray=0.15,
        sizes=(0.5, 1.3),
        depth=0.8,
        glow=0.6,
        closed=0.4,
    ),
    "sunflower": Crop(
        row_spacing_m=0.7,
        plant_spacing_m=0.22,
        radius_m=(0.06, 0.22, 0.38),
        forms=_SUNFLOWER,
        sizes=(0.5, 1.3),
        depth=0.4,
        glow=0.6,
    ),
    "cabbage": Crop(0.6, 0.45, (0.07, 0.19, 0.32), _BRASSICA, WAXY_LEAF, sizes=(0.4, 1.35)),
    "rapeseed": Crop(
        row_spacing_m=0.3,
        plant_spacing_m=0.07,
        radius_m=(0.05, 0.13, 0.20),
        forms=_BRASSICA,
        leaf=WAXY_LEAF,
        stray=0.3,
        sizes=(0.4, 1.35),
        glow=0.4,
    ),
}
"""The crops that a recipe can name. The first stands as the simulator has always drawn it."""


def field_forms(crop: str, stage: float, weed_kinds: int) -> list[Form]:
    """The forms of all plants of a field: the crop, then its weeds (see `Plants.species`)."""
    return [CROPS[crop].form(stage), *WEEDS[:weed_kinds]]
