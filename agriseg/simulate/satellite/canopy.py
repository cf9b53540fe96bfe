"""Reflectance of parcels and materials on a day, from leaf area, ripeness and soil.

A canopy over soil reflects as in Goudriaan 1977 (Crop Micrometeorology, Pudoc, Wageningen): with
s the leaf's single scattering albedo and k its extinction, a deep canopy reflects

    deep = (1 - q) / (1 + q) 2 k / (k + 1),  q = sqrt(1 - s)

and over soil of reflectance g a leaf area L reflects

    (deep + e) / (1 + deep e),  e = (deep - g) / (deep g - 1) exp(-2 k q L).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats
from agriseg.simulate.satellite.landuse import BUILT, GRASS, MATERIALS, WATER, WOOD
from agriseg.simulate.satellite.materials import Seen, seen_by
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.satellite.season import State, Traits, state_on, traits_of

__all__ = ["Look", "look_of", "reflectance"]

Float32 = NDArray[np.float32]

# Extinction by leaves: upright ones let more light down than level ones (Monsi & Saeki 1953, in
# English in Annals of Botany 95, 549-567, 2005: 0.3 to 0.5 for grasses, 0.7 to 1 for broad leaves).
_EXTINCTION: Final = 0.5
_EXTINCTIONS: Final = {4: 0.42, 5: 0.42, 6: 0.55, 7: 0.5, 8: 0.66, 9: 0.62, 10: 0.66}
# How far leaves of one crop differ from field to field, as paleness for each unit of `tone`.
_OWN_PALE: Final = 0.13
# Stronger or weaker growth inside a field, and how much of its leaf area that is.
_WITHIN: Final = 0.33
# Leaves that stand otherwise, clods, lodged straw: how much brighter a place is with its growth.
_TEXTURE: Final = 0.055
# Crowns: days when leaves come and go, leaf area.
_TREES: Final = (95.0, 130.0, 275.0, 310.0, 4.8)


@dataclass(frozen=True)
class Look:
    """How parcels look on both dates, and how that changes inside them.

    Args:
        terms: (entries, 4, 2 x bands) float32: reflectance is
            terms[0] + v terms[1] + v^2 terms[2] + t terms[3], with v the growth and t the tone of
            the soil at a place.
        texture: (entries, 4): how much slow, and pixel-fine noise there is in v, how strong stripes
            are, and how wide, metres: stripes along the lanes have a positive width, others a
            negative one.
    """

    terms: Float32
    texture: Float32


def look_of(recipe: SatelliteRecipe, key: NDArray[np.int64], use: NDArray[np.int64]) -> Look:
    """The look of all materials, and then of parcels with these keys and classes."""
    traits = traits_of(recipe.seed, key, use)
    seen = seen_by(recipe.sensor)
    terms = []
    for day in recipe.dates:
        state = state_on(day, traits)
        parcels = _terms(recipe, seen, traits, state, day)
        terms.append(np.concatenate([_materials(recipe, seen, day), parcels]))
    texture = np.zeros((len(MATERIALS) + len(use), 4))
    texture[: len(MATERIALS), 1] = 0.55
    own = texture[len(MATERIALS) :]
    field = use >= GRASS
    own[:, 0] = np.where(field, 0.6 + 0.45 * traits.days, 0.5)
    own[:, 1] = np.where(use == WOOD, 0.95, np.where(field, 0.34, 0.5))
    own[:, 2] = np.where(field, 0.06 + 0.22 * traits.after**3, 0.0)
    own[:, 3] = (24.0 + 60.0 * traits.days) * np.where(key % 2, 1.0, -1.0)
    joined = np.concatenate(terms, axis=2)
    return Look(joined.astype(np.float32), texture.astype(np.float32))


def reflectance(recipe: SatelliteRecipe, traits: Traits, state: State) -> Floats:
    """Reflectance of fields at middling growth, (fields, bands)."""
    return _field(recipe, seen_by(recipe.sensor), traits, state, 0.0, 1.0)


def _terms(recipe: SatelliteRecipe, seen: Seen, traits: Traits, state: State, day: int) -> Floats:
    """(parcels, 4, bands)."""
    mean, more, less = (_field(recipe, seen, traits, state, v, 1.0) for v in (0.0, 1.0, -1.0))
    bright = _field(recipe, seen, traits, state, 0.0, 1.1)
    out = np.stack([mean, (more - less) / 2, (more + less) / 2 - mean, (bright - mean) / 0.1], 1)
    out[:, 1] += _TEXTURE * mean
    wood = traits.use == WOOD
    out[wood] = _wood(seen, day, traits.tone[wood], traits.days[wood])
    out[traits.use == BUILT] = _materials(recipe, seen, day)[list(MATERIALS).index("garden")]
    return out


def _field(
    recipe: SatelliteRecipe, seen: Seen, traits: Traits, state: State, growth: float, tone: float
) -> Floats:
    """Reflectance (fields, bands) where growth is `growth`, -1..1, and soil `tone` as bright."""
    green = (state.green * (1.0 + _WITHIN * growth))[:, None]
    straw = np.broadcast_to(state.straw[:, None], green.shape)
    # Where more grows it stays green longer.
    pale = np.clip(0.06 + state.pale * (1.0 - 0.35 * growth) + _OWN_PALE * traits.tone, 0.0, 1.0)[
        :, None
    ]
    leaf = seen.green + (seen.pale - seen.green) * pale
    area = green + straw
    albedo = (leaf * green + seen.straw * straw) / np.maximum(area, 1e-9)
    wet = np.clip(recipe.moisture + 0.16 * traits.tone, 0.0, 1.0)[:, None]
    soil = (seen.dry + (seen.wet - seen.dry) * wet) * (traits.dark * tone)[:, None]
    residue = state.residue[:, None]
    ground = soil + (seen.stubble * (1.0 + 0.08 * traits.tone[:, None]) - soil) * residue
    spread = np.full((len(green), 1), _EXTINCTION)
    for use, value in _EXTINCTIONS.items():
        spread[traits.use == use] = value
    out = _canopy(albedo, area, ground, spread)
    return out + (seen.curves["petals"] - out) * state.flowers[:, None]


def _canopy(
    albedo: Floats, area: Floats, ground: Floats, spread: Floats | float = _EXTINCTION
) -> Floats:
    q = np.sqrt(1.0 - albedo)
    deep = (1.0 - q) / (1.0 + q) * (2.0 * spread / (spread + 1.0))
    # Rounded, as all that comes out of the mathematical library (see `noise`).
    fall = np.exp(-2.0 * spread * q * area).round(9)
    left = (deep - ground) / (deep * ground - 1.0) * fall
    return np.asarray((deep + left) / (1.0 + deep * left))


def _wood(seen: Seen, day: int, tone: Floats, days: Floats) -> Floats:
    """(woods, 4, bands): crowns and the shade between them; some woods are spruce."""
    out_of, full, fading, bare, area = _TREES
    leafy = np.clip((day - out_of) / (full - out_of), 0.0, 1.0)
    leafy *= 1.0 - np.clip((day - fading) / (bare - fading), 0.0, 1.0)
    spruce = (days > 0.62)[:, None]
    leaves = np.where(spruce, 4.5, 0.3 + area * leafy)
    albedo = np.where(spruce, seen.green * 0.86, seen.green)
    litter = 0.45 * seen.stubble
    crown = _canopy(albedo, leaves, litter)
    lit = np.where(spruce, 0.62, 0.82) * (1.0 + 0.07 * tone[:, None])
    mean = crown * lit
    return np.stack([mean, 0.46 * mean, 0.05 * mean, 0.0 * mean], axis=1)


def _materials(recipe: SatelliteRecipe, seen: Seen, day: int) -> Floats:
    """(materials, 4, bands)."""
    none = np.zeros(1)
    grass = Traits(np.array([GRASS]), none, none + 1.0, none + 1.0, none, none + 0.3, none)
    verge = _field(recipe, seen, grass, state_on(day, grass), 0.0, 1.0)[0]
    trees = _wood(seen, day, none, none)[0, 0]
    rows = []
    for name, use in MATERIALS.items():
        if name == "garden":
            # Lawn, trees, and paths between them.
            row = 0.4 * verge + 0.36 * trees + 0.24 * seen.curves["asphalt"]
        elif name == "verge":
            row = 0.75 * verge + 0.25 * seen.curves["gravel"]
        elif use == WOOD:
            row = trees
        else:
            row = seen.curves[name]
        swing = 0.02 if use == WATER else 0.4 if name == "garden" else 0.2
        rows.append(np.stack([row, swing * row, 0.0 * row, 0.0 * row]))
    return np.array(rows)
