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

from agriseg.simulate.noise import Floats, normal, uniform
from agriseg.simulate.satellite.landuse import BUILT, GRASS, MATERIALS, WATER, WOOD
from agriseg.simulate.satellite.materials import Seen, seen_by
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.satellite.season import State, Traits, state_on, traits_of
from agriseg.simulate.spectra import SENSORS

__all__ = ["Look", "look_of", "reflectance"]

Float32 = NDArray[np.float32]

# Extinction by leaves: upright ones let more light down than level ones (Monsi & Saeki 1953, in
# English in Annals of Botany 95, 549-567, 2005: 0.3 to 0.5 for grasses, 0.7 to 1 for broad leaves).
_EXTINCTION: Final = 0.5
_EXTINCTIONS: Final = {4: 0.46, 5: 0.44, 6: 0.55, 7: 0.54, 8: 0.76, 9: 0.68, 10: 0.64}
# How far leaves of one crop differ from field to field, as paleness for each unit of `tone`.
_OWN_PALE: Final = 0.19
# Stronger or weaker growth inside a field, and how much of its leaf area that is.
_WITHIN: Final = 0.33
# Leaves that stand otherwise, clods, lodged straw: how much brighter a place is with its growth.
_TEXTURE: Final = 0.13
# Standard deviation of what makes one field brighter, or its longer wavelengths, than others.
_BRIGHT, _REDDER = 0.12, 0.07
# Crowns: days when leaves come and go, leaf area.
_TREES: Final = (95.0, 130.0, 275.0, 310.0, 4.8)


@dataclass(frozen=True)
class Look:
    """How materials and parcels look on both dates, and how that changes inside them.

    Reflectance is terms[0] + v terms[1] + v^2 terms[2] + t terms[3], with v the growth (in woods:
    the light) at a place, and t the tone of the soil (in woods: the share of spruce).

    Args:
        terms: (4, 2 x bands, entries) float32.
        slow: (entries,) float32, as all that follow: slow swings of growth.
        fine: Swings from pixel to pixel.
        relief: Slopes that face the sun or turn away.
        patches: How much less grows in bad spots.
        stripes: Swings from one pass of the machines to the next.
        wide: Width of these, metres.
        headland: How much less grows where machines turn.
        slope: How much more grows at one end than in the middle.
        soil: Share of the soil's tone in t.
        stand: Share of the stand's in t.
    """

    terms: Float32
    slow: Float32
    fine: Float32
    relief: Float32
    patches: Float32
    stripes: Float32
    wide: Float32
    headland: Float32
    slope: Float32
    soil: Float32
    stand: Float32


def look_of(recipe: SatelliteRecipe, key: NDArray[np.int64], use: NDArray[np.int64]) -> Look:
    """The look of all materials, and then of parcels with these keys and classes."""
    seed, traits, seen = recipe.seed, traits_of(recipe.seed, key, use), seen_by(recipe.sensor)
    terms = []
    for date, day in enumerate(recipe.dates):
        parcels = _terms(recipe, seen, traits, state_on(day, traits), day)
        parcels[use >= GRASS] *= _tint(recipe, key[use >= GRASS], date)
        terms.append(np.concatenate([_materials(recipe, seen, day), parcels]))
    field, wood = use >= GRASS, use == WOOD
    draw = {name: uniform(seed, f"look.{name}", key) for name in ("slow", "stripes", "patches")}
    signed = normal(seed, "look.slope", key)
    parcels_ = {
        "slow": np.where(field, 0.40 + 0.9 * draw["slow"] ** 2, np.where(wood, 0.35, 0.5)),
        "fine": np.where(field, 0.42, np.where(wood, 1.0, 0.8)),
        "relief": np.where(wood, 1.25, np.where(field, 0.16, 0.0)),
        "patches": np.where(field, np.maximum(2.6 * draw["patches"] - 1.0, 0.0), 0.0),
        "stripes": np.where(field, 0.15 + 0.9 * draw["stripes"] ** 2, 0.0),
        "wide": 14.0 + 26.0 * traits.days,
        "headland": np.where(field, 0.75 * traits.after, 0.0),
        "slope": np.where(field, 0.4 * signed, 0.0),
        "soil": np.where(wood, 0.0, 1.0),
        "stand": np.where(wood, 1.0, 0.0),
    }
    own = dict.fromkeys(parcels_, 0.0) | {"slow": 0.3, "fine": 0.75, "wide": 1.0}
    return Look(
        np.ascontiguousarray(np.concatenate(terms, axis=2).transpose(1, 2, 0), dtype=np.float32),
        **{
            name: np.concatenate([np.full(len(MATERIALS), own[name]), values]).astype(np.float32)
            for name, values in parcels_.items()
        },
    )


def _tint(recipe: SatelliteRecipe, key: NDArray[np.int64], date: int) -> Floats:
    """What varieties, rows and the view make brighter or redder, (fields, 1, bands)."""
    bands = np.linspace(-1.0, 1.0, len(SENSORS[recipe.sensor]))
    bright, red = (normal(recipe.seed, f"tint.{k}.{date}", key) for k in ("bright", "red"))
    tint = 1.0 + _BRIGHT * bright[:, None] + _REDDER * red[:, None] * bands
    return np.asarray(np.clip(tint, 0.6, 1.5)[:, None, :])


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
    out[wood] = _wood(seen, day)
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


def _wood(seen: Seen, day: int) -> Floats:
    """(4, bands): crowns and the shade between them, and what changes where all are spruces."""
    out_of, full, fading, bare, area = _TREES
    leafy = min(max((day - out_of) / (full - out_of), 0.0), 1.0)
    leafy *= 1.0 - min(max((day - fading) / (bare - fading), 0.0), 1.0)
    none, litter = np.zeros((1, 1)), 0.45 * seen.stubble
    broad = 0.96 * _canopy(seen.green[None], none + 0.3 + area * leafy, litter)[0]
    spruce = 0.74 * _canopy(0.86 * seen.green[None], none + 4.5, litter)[0]
    return np.stack([broad, 0.46 * broad, 0.04 * broad, spruce - broad])


def _materials(recipe: SatelliteRecipe, seen: Seen, day: int) -> Floats:
    """(materials, 4, bands)."""
    none = np.zeros(1)
    grass = Traits(np.array([GRASS]), none, none + 1.0, none + 1.0, none, none + 0.3, none)
    verge = _field(recipe, seen, grass, state_on(day, grass), 0.0, 1.0)[0]
    trees = _wood(seen, day)[0]
    rows = []
    for name, use in MATERIALS.items():
        if name == "garden":
            # Lawn, trees, and paths between them.
            row = 0.4 * verge + 0.36 * trees + 0.24 * seen.curves["asphalt"]
        elif name == "verge":
            row = 0.75 * verge + 0.25 * seen.curves["gravel"]
        elif name == "clearing":
            # Young trees and grass between stumps.
            row = 0.5 * verge + 0.42 * trees + 0.08 * seen.curves["gravel"]
        elif use == WOOD:
            row = 0.88 * trees
        else:
            row = seen.curves[name]
        swing = 0.02 if use == WATER else 0.4 if name == "garden" else 0.2
        rows.append(np.stack([row, swing * row, 0.0 * row, 0.0 * row]))
    return np.array(rows)
