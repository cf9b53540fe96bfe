"""Leaves in close-up: what sets a leaf apart from the next, and a species from its usual form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from agriseg.simulate.noise import Floats, Ints, normal, uniform
from agriseg.simulate.spectra import CROP, GRASS_WEED, TO_WAXY, TO_YELLOW, WAXY_LEAF

if TYPE_CHECKING:
    from agriseg.simulate.crops import Crop
    from agriseg.simulate.plants import Plants
    from agriseg.simulate.recipe import FieldRecipe
    from agriseg.simulate.shapes import Blades

__all__ = ["Skin", "leaf_of", "of_variety", "skin", "stalks", "tinted"]

Some = TypeVar("Some", bound="Blades")

# What of a form differs between fields: least and most over the usual, whatever the species.
_VARIED = (
    ("ratio", 0.65, 1.45),
    ("petiole", 0.5, 1.4),
    ("lobes", 0.6, 1.5),
    ("lobe_depth", 0.3, 1.6),
    ("inner", 0.7, 1.3),
    ("height", 0.6, 1.15),
    ("fold", 0.3, 1.8),
    ("bend", 0.5, 2.2),
    ("rib_m", 0.4, 1.5),
    ("unrest", 0.5, 2.5),
    ("blade_m", 0.5, 1.3),
    ("cut", 0.5, 1.1),
    ("teeth", 0.5, 1.6),
    ("tooth", 0.0, 1.8),
    ("veins", 0.7, 1.4),
    ("gloss", 0.0, 2.0),
)
_MOST = {"ratio": 0.5, "lobe_depth": 0.75, "inner": 0.9, "petiole": 0.6, "cut": 0.92, "tooth": 0.5}


@dataclass(frozen=True)
class Skin:
    """What is seen on leaves close up, one a line, as `shapes.Leaves` has it.

    Args:
        slant: As in `forms.Form`.
        teeth: Teeth along a side.
        tooth: How deep they are cut, 0..1.
        veins: Side veins on a side.
        vein: How much paler they are than the leaf.
        blotch: How much paleness differs over the leaf.
        dried: Share of the length, from the tip, that has dried.
        eaten: How large holes are, 0 for none.
        gloss: How much it glints, 0..1.
        tilt: Slope of the whole leaf to its side at its foot.
        twist: How much that changes up to the tip.
    """

    slant: Floats
    teeth: Floats
    tooth: Floats
    veins: Floats
    vein: Floats
    blotch: Floats
    dried: Floats
    eaten: Floats
    gloss: Floats
    tilt: Floats
    twist: Floats

    def columns(self) -> dict[str, Any]:
        """Its fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def of_variety(
    recipe: FieldRecipe, of: Mapping[str, Floats], species: Ints, key: Ints
) -> dict[str, Floats]:
    """Values of `forms.Form` as species, and a little as plants, have them in this field.

    Args:
        recipe: The field.
        of: Values for each blade, as they usually are.
        species: Species of each blade's plant.
        key: The plant's key.
    """
    seed, much, varied = recipe.seed, recipe.plant_variety, dict(of)
    for name, least, most in _VARIED:
        share = uniform(seed, f"form.{name}", species)
        share = 0.75 * share + 0.25 * uniform(seed, f"form.{name}.plant", key)
        values = of[name] * (1.0 + much * (least - 1.0 + (most - least) * share))
        varied[name] = np.minimum(values, np.maximum(_MOST.get(name, np.inf), of[name]))
    egg = 2.0 * uniform(seed, "form.egg", species) - 1.0
    varied["egg"] = np.clip(of["egg"] + much * 0.4 * egg, -0.8, 0.9)
    return varied


def skin(
    recipe: FieldRecipe, of: Mapping[str, Floats], key: Ints, number: Ints, age: Floats
) -> Skin:
    """What is seen on the leaves of the plants `key`.

    Args:
        recipe: The field.
        of: Values of `forms.Form` for each blade.
        key: The plant of each blade.
        number: Number of each blade in its plant.
        age: Age of each leaf, 0..1.
    """
    seed, much = recipe.seed, recipe.leaf_detail

    def lot(stream: str) -> Floats:
        return uniform(seed, f"skin.{stream}", key, number)

    # Insects and diseases find some plants, and leave others alone.
    found = uniform(seed, "skin.found", key)
    whole = (of["linear"] > 0.5) | (of["pair_long"] > 0)
    eaten = (lot("eaten") < much * 0.7 * found * found) & ~whole
    grass = of["linear"] > 0.5
    shine = much * (1.0 - 0.85 * recipe.diffuse)
    dry = much * np.where(grass, 0.30, 0.14) * age * (0.4 + 1.2 * uniform(seed, "skin.dry", key))
    return Skin(
        slant=of["slant"] * (0.7 + 0.6 * lot("slant")),
        teeth=of["teeth"] * (0.85 + 0.3 * lot("teeth")),
        tooth=np.minimum(much * of["tooth"] * (0.6 + 0.8 * lot("tooth")), 0.6),
        veins=of["veins"] * (0.9 + 0.2 * lot("veins")),
        vein=np.where(of["veins"] > 0, much * (0.10 + 0.22 * lot("vein")), 0.0),
        blotch=much * (0.04 + 0.14 * lot("blotch")),
        dried=np.where(lot("dry") < dry, 0.03 + 0.4 * lot("dried") ** 2, 0.0),
        eaten=np.where(eaten, 0.10 + 0.26 * lot("hole"), 0.0),
        gloss=np.minimum(shine * of["gloss"] * (0.5 + lot("gloss")), 1.0),
        tilt=much * 0.30 * normal(seed, "skin.tilt", key, number),
        twist=much * np.where(grass, 0.9, 0.25) * normal(seed, "skin.twist", key, number),
    )


def tinted(
    recipe: FieldRecipe, plants: Plants, blades: Blades, plant: Ints, leaf: Ints, age: Floats
) -> Blades:
    """`blades` in the colours that their species, plants and leaves have in this field.

    Args:
        recipe: The field.
        plants: The plants.
        blades: Their leaves.
        plant: Line of each leaf's plant in `plants`.
        leaf: Number of the leaf on its plant.
        age: Age of the leaf, 0..1.
    """
    seed, much, key = recipe.seed, recipe.plant_variety, plants.key
    species = plants.species
    pale = 0.24 * normal(seed, "tint.species", species) + 0.10 * normal(seed, "tint.plant", key)
    bright = 0.14 * normal(seed, "tint.light", species) + 0.06 * normal(seed, "tint.bright", key)
    # Darker and greener than usual on the whole: pale leaves are the odd ones.
    bright -= 0.10
    pale -= 0.16
    # The odd plant starves, or drowns.
    pale += 0.35 * (uniform(seed, "tint.ill", key) < 0.05)
    wax = 1.6 * uniform(seed, "tint.wax", species) - 0.8 + 0.2 * normal(seed, "tint.bloom", key)
    own = normal(seed, "tint.leaf", key[plant], leaf)
    # Old leaves have lost some of their green, or are dark with it: by species.
    ageing = (uniform(seed, "tint.age", species) - 0.35)[plant] * (age - 0.5)
    waxy = uniform(seed, "tint.waxy", key[plant], leaf) < much * (wax[plant] + 0.5 * (age - 0.5))
    waxy &= blades.material < plants.material[plant] + TO_YELLOW
    return replace(
        blades,
        material=np.where(waxy, blades.material + TO_WAXY, blades.material),
        pale=np.clip(blades.pale + much * (pale[plant] + 0.11 * own + 0.5 * ageing), 0.0, 1.0),
        bright=np.maximum(blades.bright * (1.0 + much * (bright[plant] - 0.10 * own)), 0.5),
    )


def leaf_of(recipe: FieldRecipe, crop: Crop) -> int:
    """The material whose reflectance the crop's leaves have: not every cultivar bears wax."""
    bare = float(uniform(recipe.seed, "leaf.bare", 0)[0]) < 0.6 * recipe.plant_variety
    if crop.leaf != WAXY_LEAF or not bare:
        return crop.leaf
    return GRASS_WEED if crop.forms[0].linear else CROP


def stalks(leaves: Some, plants: Plants, first: Ints) -> Some:
    """The stalks that bear the leaves numbered `first`, from the middle of their plant."""
    borne = leaves.take(first)
    x, y = plants.x[borne.plant], plants.y[borne.plant]
    east, south = borne.x - x, borne.y - y
    long = np.maximum(np.sqrt(east * east + south * south), 1e-6)
    nought = np.zeros(len(first))
    return replace(
        borne,
        x=x,
        y=y,
        cx=(east / long).round(9),
        cy=(south / long).round(9),
        length_m=long,
        half_m=0.0008 + 0.035 * borne.half_m,
        petiole=nought,
        egg=nought,
        lobes=nought + 1.0,
        lobe_depth=nought,
        base_m=nought + 0.006,
        rise_m=np.maximum(borne.base_m - 0.006, 0.002),
        peak=nought + 1.0,
        fold=nought - 0.5,
        bend=nought,
        pale=np.clip(borne.pale + 0.25, 0.0, 1.0),
        linear=nought + 1.0,
    )
