"""How a species grows its leaves: what all forms of crops and weeds have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

__all__ = ["GOLDEN_TURN", "Form"]

GOLDEN_TURN: Final = 0.381966
"""137.5 degrees: the angle between one leaf of a rosette and the next."""


@dataclass(frozen=True)
class Form:
    """How a species grows its leaves; lengths are shares of the plant's or the leaf's size.

    Args:
        leaves: Least and greatest number of leaves.
        turn: Angle from one leaf to the next, in turns.
        inner: Length of the youngest leaf over that of the oldest.
        ratio: Half width of a leaf over its length; of no use to grass blades.
        petiole: Share of the length that is stalk.
        egg: Above 0 the leaf is widest below its middle, as an egg; a grass blade narrows towards
            its foot.
        lobes: Number of lobes (or teeth) along one side.
        lobe_depth: How deep they are cut, 0..1.
        height: Height of the plant over its reach.
        fold: Slope of the two halves of a leaf up from the midrib.
        bend: How far leaves bend aside.
        rib_m: Half width of the pale midrib in metres.
        linear: Grass blade in place of a stalked leaf.
        blade_m: Half width of a grass blade, metres, on the smallest plant.
        blade_share: What a metre of the plant's size adds to it, metres.
        peak: Share of its length at which the oldest grass blade stands highest; at 1 and above it
            stands upright, below it hangs over.
        leaflets: Leaflets of one leaf, side by side at the end of its stalk.
        stalk: Share of the plant's size that lies between its middle and the leaflets.
        scatter: How far the feet of leaves lie from the plant's middle.
        unrest: Standard deviation of a leaf's direction, in turns.
        pair_long: Length of a side leaflet over the leaf's, where leaflets stand in pairs along it
            (then `leaflets` is odd, and `ratio` is that of a leaflet); 0 where they do not.
        pair_turn: Angle between leaf and side leaflet, in turns.
        pair_from: Share of the leaf's length below the first pair.
        slant: How far lobes, teeth and side veins point forwards: leaf lengths for one aside.
        cut: As `lobe_depth`, of a leaf that is drawn in all its detail; 0 for no other than that.
        teeth: Teeth along one side, between the lobes.
        tooth: How deep they are cut, 0..1.
        veins: Side veins on one side.
        gloss: How much the leaf glints, 0..1.
    """

    leaves: tuple[int, int]
    turn: float
    inner: float
    ratio: float
    petiole: float
    egg: float
    lobes: float
    lobe_depth: float
    height: float
    fold: float
    bend: float
    rib_m: float
    linear: bool = False
    blade_m: float = 0.0
    blade_share: float = 0.0
    peak: float = 0.62
    leaflets: int = 1
    stalk: float = 0.0
    scatter: float = 0.02
    unrest: float = 0.035
    pair_long: float = 0.0
    pair_turn: float = 0.16
    pair_from: float = 0.3
    slant: float = 0.5
    cut: float = 0.0
    teeth: float = 0.0
    tooth: float = 0.0
    veins: float = 0.0
    gloss: float = 0.12

    @property
    def reach(self) -> float:
        """No leaf reaches farther from its plant's middle, in sizes of the plant.

        A chance is at most 3.46 standard deviations: leaves are 1.38 long, bent aside by 0.6.
        Side leaflets stand off to the side, and are up to 1.6 of what they should be.
        """
        longest = 1.38 * math.hypot(1.0, 0.6) * (1.0 + 0.6 * self.pair_long)
        return self.stalk + (1.0 - self.stalk) * longest + 3.47 * math.sqrt(2.0) * self.scatter

    def towards(self, other: Form, share: float) -> Form:
        """The form `share` (0..1) of the way to `other`; at 0 it is this one to the last bit."""
        values: dict[str, object] = {}
        for field in fields(self):
            a, b = getattr(self, field.name), getattr(other, field.name)
            if field.name == "leaves":
                values["leaves"] = tuple(
                    round(p + (q - p) * share) for p, q in zip(a, b, strict=True)
                )
            else:
                values[field.name] = a + (b - a) * share if isinstance(a, float) else a
        return Form(**values)  # type: ignore[arg-type]
