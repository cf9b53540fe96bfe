"""What lies thin on the ground: crust, specks, moss, drifts of residue; and spots of other soil.

Each is a share of a pixel that shows another colour, so it is seen from any height: as single
grains, or as a shift in the colour of the ground. Crust and its edges change the relief as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats, cos_sin, noise_at, noise_grid, smoothstep, uniform
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.spectra import LEAFY_WEED, RESIDUE, STONE, Palette

__all__ = ["CRUST_M", "crust", "crust_at", "spots", "strew"]

Float32 = NDArray[np.float32]

CRUST_M = 0.006
"""How high a plate of crust stands above the crumbs beside it, metres."""

# Outline of the plates: lattice cell in metres, weight, and turn of the lattice, which would show
# in long edges; for none the quicker noise is taken.
_PLATES = ((0.37, 0.60, 0.07), (0.13, 0.32, 0.18), (0.043, 0.17, 0.0), (0.013, 0.08, 0.0))
# Width of a plate's edge, in units of the noise that outlines it.
_EDGE = 0.05

# Grains: their size in metres. Wider pixels see them as a faint unrest.
_SPECK_M, _SEEDLING_M, _HUMUS_M = 0.0026, 0.0042, 0.0034
# Most of a pixel that moss covers; more would be called a plant.
_MOSS_MOST = 0.42


def crust(recipe: FieldRecipe, xs: Floats, ys: Floats) -> Float32:
    """Where rain has slaked the ground to a smooth plate, 0..1, on the grid `ys` by `xs`."""
    seed, field = recipe.seed, np.full((len(ys), len(xs)), _sealed(recipe), dtype=np.float32)
    for cell, weight, turn in _PLATES:
        if cell <= recipe.gsd_m:
            continue
        name = f"crust.{cell}"
        if turn:
            x, y = _turned(xs[None, :], ys[:, None], turn)
            part = noise_at(seed, name, x, y, cell).astype(np.float32)
        else:
            part = noise_grid(seed, name, xs, ys, cell)
        part *= np.float32(weight)
        field += part
    return _rise(field * np.float32(1.0 / _EDGE) + np.float32(0.5))


def crust_at(recipe: FieldRecipe, x: Floats, y: Floats) -> Floats:
    """The same at points; the finest raggedness of the edges left out."""
    field = np.full(len(x), _sealed(recipe))
    for cell, weight, turn in _PLATES[:3]:
        field += weight * noise_at(recipe.seed, f"crust.{cell}", *_turned(x, y, turn), cell)
    return smoothstep(field / _EDGE + 0.5)


def _turned(x: Floats, y: Floats, turn: float) -> tuple[Floats, Floats]:
    c, s = (float(a) for a in cos_sin(turn))
    return x * c + y * s, y * c - x * s


def _sealed(recipe: FieldRecipe) -> float:
    """From no plate at 0 to a sealed surface with a few holes at 1."""
    return 1.35 * recipe.crust - 0.75


def spots(recipe: FieldRecipe, xs: Floats, ys: Floats) -> tuple[Float32, Float32, Float32]:
    """How the soil differs from its kind, as a whole and from spot to spot.

    Returns:
        Three of (height, width): what to add to the tone and to the hue of `ground.soil`, and the
        share of grey mineral (ash, silt, lime) in the soil.
    """
    seed, much, gsd = recipe.seed, recipe.soil_variety, recipe.gsd_m

    def noise(name: str, *octaves: tuple[float, float]) -> Float32:
        total = np.zeros((len(ys), len(xs)), dtype=np.float32)
        for cell, weight in octaves:
            if cell > gsd:
                part = noise_grid(seed, f"spots.{name}.{cell}", xs, ys, cell)
                part *= np.float32(weight)
                total += part
        return total

    own = [float(uniform(seed, "spots.own", k)[0]) for k in range(3)]
    fine = max(1.3 * gsd, 0.005)
    tone = noise("tone", (0.9, 0.10), (0.19, 0.11), (0.052, 0.10), (0.017, 0.12), (fine, 0.18))
    tone += np.float32(0.5 * own[0] - 0.25)
    hue = noise("hue", (3.3, 0.14), (0.41, 0.12), (0.067, 0.13), (0.021, 0.08), (fine, 0.10))
    hue += np.float32(0.44 * own[1] - 0.22)
    grey = noise("grey", (5.3, 0.24), (0.61, 0.20), (0.11, 0.17), (0.023, 0.15))
    grey += np.float32(0.75 * own[2])
    np.clip(grey, np.float32(0), np.float32(0.75), out=grey)
    for part in (tone, hue, grey):
        part *= np.float32(much)
    return tone, hue, grey


def strew(
    recipe: FieldRecipe,
    xs: Floats,
    ys: Floats,
    seen: Palette,
    wet: Float32,
    plates: Float32 | None,
    colour: Float32,
) -> None:
    """Lay residue, humus, moss and specks on the ground, in place.

    Args:
        recipe: The field.
        xs: x of the columns, metres.
        ys: y of the rows, metres.
        seen: What the camera sees of them.
        wet: Wetness of the soil, (height, width).
        plates: Where the ground is crusted, or None.
        colour: Reflectance of the ground, (bands, height, width).
    """
    ends = seen.endmembers
    if recipe.debris:
        drift, dark = _debris(recipe, xs, ys)
        _mix(colour, drift, 0.6 * ends[RESIDUE, 0] + 0.4 * ends[RESIDUE, 1])
        # Humus and rotten leaves are nearly black, less so in near infrared.
        _mix(colour, dark, 0.25 * ends[RESIDUE, 0])
    if recipe.moss:
        green = 0.45 * ends[LEAFY_WEED, 0] + 0.55 * ends[LEAFY_WEED, 1]
        _mix(colour, _moss(recipe, xs, ys, wet), 0.85 * green)
    if recipe.specks:
        _mix(colour, _specks(recipe, xs, ys, plates), 1.2 * ends[STONE, 1])


def _mix(colour: Float32, share: Float32, other: Float32) -> None:
    for plane, value in zip(colour, other, strict=True):
        change = np.float32(value) - plane
        change *= share
        plane += change


def _grains(
    recipe: FieldRecipe, name: str, xs: Floats, ys: Floats, cover: Float32, size_m: float
) -> Float32:
    """Single grains of about `size_m`, one to three pixels each; wide pixels hold many, faintly.

    Args:
        recipe: The field.
        name: Which grains.
        xs: x of the columns, metres.
        ys: y of the rows, metres.
        cover: Share of the ground that they cover, (height, width).
        size_m: Their size.

    Returns:
        Share of each pixel that they cover, (height, width).
    """
    # Drawn by pixel, not on a lattice, which would line them up.
    columns, rows = (np.floor(at / recipe.gsd_m).astype(np.int64) for at in (xs, ys))
    lots = uniform(
        recipe.seed,
        name,
        np.append(columns, columns[-1] + 1)[None, :],
        np.append(rows, rows[-1] + 1)[:, None],
    ).astype(np.float32)
    wide = (recipe.gsd_m / size_m) ** 2
    chance = np.clip(cover * np.float32(max(1.2 * wide, 0.5)), np.float32(1e-4), np.float32(0.97))
    strength = np.float32(min(1.0, 1.0 / wide))
    share = np.zeros_like(cover)
    # The largest grains reach into the pixels beside and above.
    for down, right, least, most in ((0, 0, -0.1, 1.0), (0, 1, 0.45, 0.8), (1, 0, 0.6, 0.7)):
        lot = lots[down : down + len(ys), right : right + len(xs)]
        rank = (lot - (np.float32(1) - chance)) / chance
        rank -= np.float32(least)
        rank *= np.float32(most / (1.0 - max(least, 0.0)))
        rank[lot < np.float32(1) - chance] = 0
        np.maximum(share, np.clip(rank, np.float32(0), np.float32(1)), out=share)
    share *= strength
    return share


def _specks(recipe: FieldRecipe, xs: Floats, ys: Floats, plates: Float32 | None) -> Float32:
    """Pale grains of sand, shell and salt: a few everywhere, many in nests and on crust."""
    seed, much = recipe.seed, np.float32(recipe.specks)
    nest = noise_grid(seed, "speck.nest", xs, ys, 0.085)
    nest += np.float32(0.8) * noise_grid(seed, "speck.land", xs, ys, 0.33)
    nest += np.float32(0.5) * noise_grid(seed, "speck.few", xs, ys, 0.027)
    if plates is not None:
        nest += np.float32(0.35) * plates
    nest = _rise(nest - (np.float32(1.0) - np.float32(0.4) * much))
    nest *= np.float32(0.32) * much
    nest += np.float32(0.004) * much
    return _grains(recipe, "speck", xs, ys, nest, _SPECK_M)


def _rise(x: Float32) -> Float32:
    """`noise.smoothstep` in single precision."""
    x = np.clip(x, np.float32(0), np.float32(1))
    return np.asarray(x * x * (np.float32(3) - np.float32(2) * x))


def _moss(recipe: FieldRecipe, xs: Floats, ys: Floats, wet: Float32) -> Float32:
    """Algae, moss, and seedlings too small to be told: more on moist ground, in patches."""
    seed, gsd, much = recipe.seed, recipe.gsd_m, np.float32(recipe.moss)
    film = noise_grid(seed, "moss.land", xs, ys, 0.83)
    film += np.float32(0.7) * noise_grid(seed, "moss.patch", xs, ys, 0.17)
    film += np.float32(0.45) * noise_grid(seed, "moss.spot", xs, ys, 0.038)
    film += np.float32(0.6) * wet + np.float32(0.2)
    film = _rise((film - np.float32(1.2)) * np.float32(0.6) + much * np.float32(0.5))
    seedlings = _grains(
        recipe, "moss.seedling", xs, ys, film * (np.float32(0.06) * much), _SEEDLING_M
    )
    grain = noise_grid(seed, "moss.grain", xs, ys, max(0.0065, 1.3 * gsd))
    film *= np.float32(0.24) + np.float32(0.17) * grain
    film += np.float32(0.02)
    film *= much
    film += np.float32(0.5) * seedlings
    return np.minimum(film, np.float32(_MOSS_MOST), out=film)


def _debris(recipe: FieldRecipe, xs: Floats, ys: Floats) -> tuple[Float32, Float32]:
    """Shares of chaff and of dark crumbs of humus; tools rake both into lines along the rows."""
    seed, gsd, much = recipe.seed, recipe.gsd_m, np.float32(recipe.debris)
    u, v = _turned(xs[None, :], ys[:, None], recipe.row_direction_deg / 360.0)
    # Bent a little, or they would be ruled lines.
    v = v + 0.05 * noise_grid(seed, "debris.bend", xs, ys, 0.9)
    raked = noise_at(seed, "debris.line", 0.06 * u, v, max(0.08, 2.0 * gsd)).astype(np.float32)
    heap = noise_grid(seed, "debris.land", xs, ys, 1.7)
    heap += np.float32(0.7) * noise_grid(seed, "debris.heap", xs, ys, 0.29)
    drift = heap + np.float32(1.3) * raked
    drift += np.float32(0.5) * noise_grid(seed, "debris.bit", xs, ys, max(0.012, 1.3 * gsd))
    drift = _rise((drift - np.float32(0.5)) * np.float32(0.7) + much * np.float32(0.35))
    bits = np.float32(0.05) * much * (np.float32(0.2) + np.float32(1.4) * drift)
    drift *= np.float32(0.45) * much
    dark = _grains(recipe, "debris.humus", xs, ys, bits, _HUMUS_M)
    dark *= np.float32(0.6)
    return drift, dark
