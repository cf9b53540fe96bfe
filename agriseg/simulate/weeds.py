"""The weeds that can be drawn, kind by kind."""

from __future__ import annotations

from typing import Final

from agriseg.simulate.forms import GOLDEN_TURN, Form

__all__ = ["WEEDS"]

WEEDS: Final = (
    # A rosette of toothed leaves, as of shepherd's purse.
    Form(
        (5, 9), 0.2639, 0.45, 0.24, 0.30, 0.75, 2.5, 0.42, 0.55, 0.22, 0.06, 0.004,
        slant=0.9, cut=0.55, teeth=9.0, tooth=0.15, veins=5.0,
    ),
    # A tuft of grass.
    Form(
        (6, 15), 0.2237, 0.45, 0.0, 0.0, 0.0, 1.0, 0.0, 0.7, 0.5, 0.34, 0.002,
        linear=True, blade_m=0.0045, blade_share=0.016, gloss=0.4,
    ),
    # Round leaves along runners on the ground, as of bindweed or chickweed.
    Form(
        (24, 40), 0.2610, 0.70, 0.40, 0.30, 0.30, 1.0, 0.04, 0.16, 0.15, 0.06, 0.002,
        stalk=0.50, scatter=0.17, unrest=0.15, veins=4.0,
    ),
    # A tall stem with toothed leaves, as of goosefoot.
    Form(
        (9, 16), GOLDEN_TURN, 0.35, 0.25, 0.28, 0.60, 3.5, 0.26, 1.4, 0.12, 0.05, 0.003,
        unrest=0.05, slant=0.8, cut=0.4, teeth=7.0, tooth=0.18, veins=6.0,
    ),
    # A young grass of a few narrow blades.
    Form(
        (3, 6), 0.31, 0.50, 0.0, 0.0, 0.1, 1.0, 0.0, 0.7, 0.35, 0.30, 0.0008,
        linear=True, blade_m=0.0018, blade_share=0.012, peak=0.75, unrest=0.08, gloss=0.6,
    ),
    # A seedling: two seed leaves and the first true ones.
    Form((3, 5), 0.26, 0.60, 0.30, 0.30, 0.20, 1.0, 0.03, 0.5, 0.12, 0.05, 0.001, unrest=0.03),
    # Finely divided leaves, as of chamomile.
    Form(
        (4, 9), GOLDEN_TURN, 0.50, 0.12, 0.05, 0.20, 2.4, 0.60, 0.5, 0.20, 0.16, 0.0006,
        leaflets=7, unrest=0.06, pair_long=0.32, pair_turn=0.13, pair_from=0.25, slant=1.1, cut=0.9,
    ),
    # A grass whose shoots lie on the ground, as of crabgrass: short blades in all directions.
    Form(
        (7, 16), 0.19, 0.60, 0.0, 0.0, 0.25, 1.0, 0.0, 0.28, 0.35, 0.34, 0.0006,
        linear=True, blade_m=0.0020, blade_share=0.014, peak=0.62, scatter=0.26, unrest=0.14,
        gloss=0.5,
    ),
    # A flat rosette whose leaves are cut to the midrib, as of dandelion or thistle.
    Form(
        (6, 12), GOLDEN_TURN, 0.50, 0.19, 0.12, -0.35, 4.5, 0.45, 0.35, 0.18, 0.08, 0.003,
        unrest=0.05, slant=-0.5, cut=0.8, teeth=13.0, tooth=0.25, veins=4.5, gloss=0.2,
    ),
    # Broad leaves on long stalks, as of galinsoga, nightshade or amaranth.
    Form(
        (4, 9), 0.26, 0.40, 0.37, 0.40, 0.60, 1.0, 0.03, 0.8, 0.16, 0.06, 0.002,
        unrest=0.06, slant=0.7, teeth=8.0, tooth=0.10, veins=5.0,
    ),
    # Runners with narrow leaves, as of knotgrass or cleavers.
    Form(
        (24, 40), 0.2610, 0.60, 0.14, 0.06, 0.10, 1.0, 0.0, 0.25, 0.15, 0.10, 0.001,
        stalk=0.50, scatter=0.17, unrest=0.15,
    ),
    # Three leaflets on a stalk, as of clover or wood sorrel.
    Form(
        (6, 14), GOLDEN_TURN, 0.60, 0.46, 0.04, -0.25, 1.0, 0.0, 0.45, 0.14, 0.05, 0.001,
        leaflets=3, stalk=0.50, scatter=0.14, unrest=0.10, veins=8.0, slant=0.9,
    ),
    # A cereal that has sown itself.
    Form(
        (3, 8), 0.29, 0.45, 0.0, 0.0, 0.15, 1.0, 0.0, 1.1, 0.45, 0.26, 0.0008,
        linear=True, blade_m=0.0028, blade_share=0.012, peak=0.85, unrest=0.09, gloss=0.6,
    ),
    # Small fleshy leaves that shine, as of purslane.
    Form(
        (16, 28), 0.2610, 0.65, 0.30, 0.08, -0.45, 1.0, 0.0, 0.18, 0.10, 0.05, 0.0008,
        stalk=0.40, scatter=0.14, unrest=0.12, gloss=0.4,
    ),
)  # fmt: skip
"""How weeds grow. The first two are those that the simulator has always drawn."""
