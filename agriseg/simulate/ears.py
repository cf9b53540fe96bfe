"""Ears of cereals, which stand above the leaves: a slender spike and its awns."""

from __future__ import annotations

import numpy as np

from agriseg.simulate.crops import CROPS
from agriseg.simulate.noise import Floats, cos_sin, normal, uniform
from agriseg.simulate.plants import Plants
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.shapes import Blades
from agriseg.simulate.spectra import CROP, TO_YELLOW

__all__ = ["ears"]

# Stems of a plant that bear an ear, and blades of each: the spike, then its awns.
_EARS, _PARTS = 2, 5
_SPIKE_M, _SPIKE_HALF_M = 0.085, 0.0065
_AWN_M, _AWN_HALF_M = 0.06, 0.0009


def ears(recipe: FieldRecipe, plants: Plants) -> Blades:
    """The ears of the recipe's crop among `plants`; `plant` is the line there."""
    seed, crop = recipe.seed, CROPS[recipe.crop]
    number, part = (
        a.ravel() for a in np.meshgrid(np.arange(_EARS), np.arange(_PARTS), indexing="ij")
    )
    own = np.flatnonzero(plants.material == CROP)
    plant = np.repeat(own, len(number))
    number, part = np.tile(number, len(own)), np.tile(part, len(own))
    key, size = plants.key[plant], plants.size_m[plant]

    def lot(stream: str) -> Floats:
        return uniform(seed, f"ear.{stream}", key, number)

    # They come out one by one.
    out = (recipe.stage - crop.ears_from) / (1.0 - crop.ears_from)
    here = lot("here") < 0.35 + 0.6 * out
    angle = lot("angle")
    awn, spread = part > 0, 0.035 * (part - 0.5 * _PARTS) * (part > 0)
    cx, cy = cos_sin(angle + spread + 0.01 * normal(seed, "ear.askew", key, number * 8 + part))
    spike_x, spike_y = cos_sin(angle)
    # Erect ears are seen from above nearly end on, nodding ones along.
    lean = 0.3 + 0.6 * lot("lean")
    spike = _SPIKE_M * (0.75 + 0.4 * lot("long")) * lean
    foot = 0.55 * size * (lot("foot") - 0.2)
    start = foot + np.where(awn, (0.35 + 0.13 * part) * spike, 0.0)
    height = crop.form(recipe.stage).height * crop.radius(recipe.stage)
    high = height * (0.85 + 0.3 * lot("high"))
    ones = np.ones(len(plant))
    ripe = np.clip(1.7 * recipe.senescence - 0.25 + 0.2 * (lot("ripe") - 0.5), 0.0, 1.0)
    yellow = ripe > 0.25
    pale = np.where(yellow, 0.35 + 0.65 * ripe, 0.55 + 0.3 * lot("pale"))
    return Blades(
        material=plants.material[plant] + np.where(yellow, TO_YELLOW, 0),
        plant=plant,
        x=plants.x[plant] + start * spike_x,
        y=plants.y[plant] + start * spike_y,
        cx=cx,
        cy=cy,
        length_m=np.where(awn, _AWN_M * (0.5 + 0.5 * lean), spike),
        half_m=np.where(awn, _AWN_HALF_M, _SPIKE_HALF_M),
        petiole=0.0 * ones,
        egg=0.2 * ones,
        # Spikelets stand in two rows.
        lobes=np.where(awn, 1.0, 9.0),
        lobe_depth=np.where(awn, 0.0, 0.35),
        phase=lot("phase"),
        base_m=high + np.where(awn, 0.02, 0.0),
        rise_m=np.where(awn, 0.02, 0.03),
        peak=ones,
        fold=-0.6 * ones,
        bend=np.where(awn, 0.1, 0.05) * normal(seed, "ear.bend", key, number),
        rib_m=0.001 * ones,
        pale=pale,
        bright=(1.0 + 0.08 * normal(seed, "ear.bright", key, number)) * np.where(awn, 0.9, 1.0),
        linear=ones,
    ).take(np.flatnonzero(here))
