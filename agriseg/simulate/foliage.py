"""What becomes of leaves once they are grown: leaflets in pairs, and colours of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from agriseg.simulate.noise import Floats, Ints, cos_sin, normal, uniform
from agriseg.simulate.spectra import CROPS_DRAWN, TO_RED, TO_YELLOW, plain

if TYPE_CHECKING:
    from agriseg.simulate.plants import Plants
    from agriseg.simulate.recipe import FieldRecipe
    from agriseg.simulate.shapes import Blades

__all__ = ["coloured", "pinnate"]

# The last pair stands here on a leaf; the leaflet at its end takes the rest.
_LAST_PAIR = 0.8
# Dryness at which a leaf is yellow all over.
_YELLOW = 0.4


def pinnate(seed: int, blades: Blades, of: Mapping[str, Floats], part: Ints, key: Ints) -> Blades:
    """Spread the leaflets of divided leaves in pairs along their stalks.

    Args:
        seed: The field's seed.
        blades: All leaves of some plants; the parts of a leaf follow each other.
        of: Values of `crops.Form` for each blade.
        part: Number of each blade in its leaf: 0 carries stalk and last leaflet, then pair by pair.
        key: The plant of each blade.
    """
    paired = of["pair_long"] > 0
    number = np.arange(len(part))
    stem = number - part
    pairs = np.maximum((of["leaflets"] - 1.0) / 2.0, 1.0)
    share = ((part - 1) // 2 + 0.5) / pairs
    at = of["pair_from"] + (_LAST_PAIR - of["pair_from"]) * share
    length, bend = blades.length_m[stem], blades.bend[stem]
    along, across = length * at, bend * length * at * at
    cx, cy = blades.cx[stem], blades.cy[stem]
    arch = at * (2.0 * blades.peak[stem] - at) / (blades.peak[stem] ** 2)
    turn = np.where(part % 2 == 1, of["pair_turn"], -of["pair_turn"])
    # Pairs near the tip point forwards, and leaflets do not lie as on a drawing.
    turn = turn * (1.15 - 0.35 * share) + 0.025 * normal(seed, "leaflet.angle", key, number - stem)
    turn_x, turn_y = cos_sin(turn)
    side = paired & (part > 0)
    long = length * of["pair_long"] * (1.2 - 0.65 * share)
    long *= 1.0 + 0.1 * normal(seed, "leaflet.long", key, part)
    # The leaf's half width is that of a leaflet; the last one is as long as the rest of the leaf.
    half = np.where(side, long, length * (1.0 - _LAST_PAIR)) * of["ratio"]
    return replace(
        blades,
        x=np.where(side, blades.x[stem] + along * cx - across * cy, blades.x),
        y=np.where(side, blades.y[stem] + along * cy + across * cx, blades.y),
        cx=np.where(side, cx * turn_x - cy * turn_y, blades.cx),
        cy=np.where(side, cy * turn_x + cx * turn_y, blades.cy),
        length_m=np.where(side, long, blades.length_m),
        half_m=np.where(paired, half, blades.half_m),
        petiole=np.where(paired, np.where(side, of["petiole"], _LAST_PAIR), blades.petiole),
        base_m=np.where(side, blades.base_m[stem] + blades.rise_m[stem] * arch, blades.base_m),
        rise_m=np.where(side, 0.1 * long, blades.rise_m),
    )


def coloured(
    recipe: FieldRecipe, plants: Plants, blades: Blades, plant: Ints, leaf: Ints, age: Floats
) -> Blades:
    """Give the crop its ripeness, and plants the colours of their own that the recipe asks for.

    Args:
        recipe: The field.
        plants: The plants.
        blades: Their leaves.
        plant: Line of each leaf's plant in `plants`.
        leaf: Number of the leaf on its plant.
        age: Age of the leaf, 0..1.
    """
    if recipe.leaf_variety > 0:
        blades = _varied(recipe, plants, blades, plant, leaf)
    if recipe.senescence > 0:
        blades = _ripened(recipe, plants, blades, plant, leaf, age)
    return blades


def _varied(recipe: FieldRecipe, plants: Plants, blades: Blades, plant: Ints, leaf: Ints) -> Blades:
    seed, much = recipe.seed, recipe.leaf_variety
    weed = (~np.isin(plants.material, CROPS_DRAWN)).astype(np.float64)

    def of_species(stream: str) -> Floats:
        return 2.0 * uniform(seed, stream, plants.species) - 1.0

    pale = weed * 0.30 * of_species("species.pale") + 0.13 * normal(seed, "plant.tint", plants.key)
    bright = weed * 0.16 * of_species("species.bright")
    bright += 0.07 * normal(seed, "plant.bright", plants.key)
    # Leaves of a plant differ too: in age, in dust, in what they have caught of light.
    own = normal(seed, "leaf.tint", plants.key[plant], leaf)
    # One species in three is red in part of its plants; of a crop, the odd starved plant.
    chance = np.where(weed > 0, np.maximum(of_species("species.red") - 0.3, 0.0), 0.02)
    red = uniform(seed, "plant.red", plants.key) < much * chance
    some = uniform(seed, "leaf.red", plants.key[plant], leaf) < 0.75
    return replace(
        blades,
        material=np.where(red[plant] & some, blades.material + TO_RED, blades.material),
        pale=np.clip(blades.pale + much * (pale[plant] + 0.16 * own), 0.0, 1.0),
        bright=np.maximum(blades.bright * (1.0 + much * (bright[plant] - 0.10 * own)), 0.5),
    )


def _ripened(
    recipe: FieldRecipe, plants: Plants, blades: Blades, plant: Ints, leaf: Ints, age: Floats
) -> Blades:
    seed, key = recipe.seed, plants.key[plant]
    dry = 1.6 * recipe.senescence - 0.35 + 0.5 * (age - 0.5)
    dry += 0.10 * normal(seed, "plant.ripe", key) + 0.17 * normal(seed, "leaf.ripe", key, leaf)
    crop = np.isin(plants.material, CROPS_DRAWN)[plant]
    yellow = crop & (dry > _YELLOW)
    # A leaf pales until it is yellow; what was yellow dries.
    fading = np.clip(dry / _YELLOW, 0.0, 1.0)
    pale = np.where(crop, blades.pale + (1.0 - blades.pale) * fading, blades.pale)
    straw = np.clip((dry - _YELLOW) / (1.0 - _YELLOW), 0.0, 1.0)
    return replace(
        blades,
        material=np.where(yellow, plain(blades.material) + TO_YELLOW, blades.material),
        pale=np.where(yellow, straw, pale),
    )
