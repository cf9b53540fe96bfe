"""The bare ground: its colour, its roughness, wheel tracks, tree shade and the mosaic's border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.canvas import Sun
from agriseg.simulate.cover import CRUST_M, crust, spots, strew
from agriseg.simulate.cracks import crack_light
from agriseg.simulate.noise import (
    Floats,
    cos_sin,
    noise_at,
    noise_grid,
    ripple,
    uniform,
)
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.rows import WHEEL_HALF_WIDTH_M, track
from agriseg.simulate.spectra import STONE, Palette, palette
from agriseg.simulate.stands import Layout, Stand, layout_of

__all__ = ["inside_mosaic", "soil", "tree_shade"]

Float32 = NDArray[np.float32]

# Roughness of a seedbed: lattice cell in metres, height of the bumps in metres, turned by.
_RELIEF = ((0.041, 0.0038, 0.06), (0.10, 0.008, 0.14), (0.31, 0.012, 0.21))

# Crumbs that only a camera close to the ground resolves; finer than pixels they would be noise.
_CRUMBS = (
    (0.017, 0.0026, 0.09),
    (0.0093, 0.0017, 0.19),
    (0.0048, 0.0026, 0.04),
    (0.0029, 0.0018, 0.12),
)
_CRUMB_PIXELS = 1.4

# Ash, silt and lime over a dark grey stone: brighter, and half as coloured.
_GREY = np.float32(0.6)

# Frames of the mosaic: every so many metres along a side the border jumps.
_FRAME_M = 4.3


def soil(recipe: FieldRecipe, xs: Floats, ys: Floats, sun: Sun) -> tuple[Float32, Float32]:
    """Colour and sunlight of the ground on the grid `ys` by `xs`, without plants.

    Args:
        recipe: The field.
        xs: x of the columns, metres.
        ys: y of the rows, metres.
        sun: The light.

    Returns:
        Reflectance (bands, height, width), and (height, width): the sun on the rough surface over
        that on a level one.
    """
    seed = recipe.seed
    pressed, lugs, groove = _worked(recipe, xs, ys)
    light, plates = _relief_light(recipe, xs, ys, sun)
    light = (light - 1.0) * (1.0 - 0.6 * pressed) + 1.0 + 0.07 * lugs
    light *= 1.0 + 0.05 * groove * (1.0 - pressed)
    if recipe.cracks:
        light *= crack_light(recipe, xs, ys)

    wet = _moisture(recipe, xs, ys, pressed, groove)
    tone = _tone(recipe, xs, ys)
    # Iron and humus shift the colour a little; red soil is darker in blue.
    hue = 0.06 * noise_grid(seed, "soil.hue", xs, ys, 4.7)
    if plates is not None:
        # A crust dries first; its fines are pale.
        wet *= np.float32(1) - np.float32(0.45) * plates
        tone += np.float32(0.12) * plates
    grey = None
    if recipe.soil_variety:
        other_tone, other_hue, grey = spots(recipe, xs, ys)
        if plates is not None:
            # What is slaked together is mixed.
            even = np.float32(1) - np.float32(0.65) * plates
            other_tone *= even
            other_hue *= even
        tone = np.maximum(tone + other_tone, np.float32(0.2))
        hue += other_hue
    seen = palette(recipe.sensor, soil=recipe.soil)
    colour = _coloured(seen, wet, tone, hue, grey)
    strew(recipe, xs, ys, seen, wet, plates, colour)
    return colour, light.astype(np.float32, copy=False)


def _coloured(
    seen: Palette, wet: Float32, tone: Float32, hue: Float32, grey: Float32 | None
) -> Float32:
    """Reflectance of soil (bands, height, width), `grey` the share of other mineral in it."""
    dry, to_wet = seen.soil_dry, seen.soil_wet - seen.soil_dry
    colour = np.empty((len(dry), *wet.shape), dtype=np.float32)
    for band, plane in enumerate(colour):
        np.multiply(wet, to_wet[band], out=plane)
        plane += dry[band]
        turned = hue * seen.redness[band]
        turned += 1.0
        turned *= tone
        plane *= turned
    if grey is not None:
        stone = seen.endmembers[STONE, 0]
        bright = tone * (np.float32(1) - np.float32(0.5) * wet)
        for plane, mineral in zip(colour, _GREY * (stone + stone.mean()), strict=True):
            change = bright * mineral
            change -= plane
            change *= grey
            plane += change
    return colour


def _moisture(
    recipe: FieldRecipe, xs: Floats, ys: Floats, pressed: Float32, groove: Float32
) -> Float32:
    """Wetness of the soil, 0..1."""
    seed = recipe.seed
    wet = recipe.moisture + 0.45 * noise_grid(seed, "soil.slope", xs, ys, 19.0)
    wet += 0.30 * noise_grid(seed, "soil.wet", xs, ys, 6.0)
    wet += 0.13 * noise_grid(seed, "soil.damp", xs, ys, 1.3)
    wet += 0.10 * noise_grid(seed, "soil.spot", xs, ys, 0.21) + 0.16 * pressed
    wet = np.clip(wet, 0.0, 1.0).astype(np.float32)
    if recipe.patchiness:
        wet = np.clip(wet + _patches(recipe, xs, ys, groove), 0.0, 1.0).astype(np.float32)
    return np.asarray(wet)


def _tone(recipe: FieldRecipe, xs: Floats, ys: Floats) -> Float32:
    """Brightness of the soil over that of its kind."""
    seed = recipe.seed
    tone = 1.0 + 0.09 * noise_grid(seed, "soil.tone", xs, ys, 2.9)
    tone += 0.06 * noise_grid(seed, "soil.crumb", xs, ys, 0.07)
    tone += 0.04 * noise_grid(seed, "soil.grain", xs, ys, 0.031)
    for scale, _, _ in _crumbs(recipe.gsd_m):
        tone += 0.07 * noise_grid(seed, f"soil.tone.{scale}", xs, ys, 0.8 * scale)
    if recipe.roughness:
        # Grains and crumbs of other rock and other dampness, as fine as pixels.
        grain = noise_grid(seed, "soil.speck", xs, ys, max(1.3 * recipe.gsd_m, 0.003))
        tone += 0.16 * recipe.roughness * grain
    if recipe.patchiness:
        land = noise_grid(seed, "soil.land", xs, ys, 7.7)
        land += 0.6 * noise_grid(seed, "soil.wash", xs, ys, 2.1)
        tone += 0.22 * recipe.patchiness * land
    return tone


def _patches(recipe: FieldRecipe, xs: Floats, ys: Floats, groove: Float32) -> Float32:
    """Wetness beyond the usual: hollows, drying knolls, and moist furrows along the rows."""
    seed = recipe.seed
    wet = 0.55 * noise_grid(seed, "patch.slope", xs, ys, 8.3)
    wet += 0.30 * noise_grid(seed, "patch.wet", xs, ys, 2.3)
    wet -= 0.12 * groove * (1.0 + noise_grid(seed, "patch.furrow", xs, ys, 5.1))
    return np.asarray(recipe.patchiness * wet, dtype=np.float32)


def _worked(recipe: FieldRecipe, xs: Floats, ys: Floats) -> tuple[Float32, Float32, Float32]:
    """What machines leave on the ground: wheel tracks (0..1), their lugs, and grooves (-1..1)."""
    layout = layout_of(recipe)
    x, y = np.broadcast_arrays(xs[None, :], ys[:, None])
    parts = list(layout.parts(x, y))
    if len(parts) == 1:
        return _worked_part(recipe, layout, parts[0][0], x, y)
    out = tuple(np.empty(x.shape, dtype=np.float32) for _ in range(3))
    for stand, here in parts:
        for whole, part in zip(
            out, _worked_part(recipe, layout, stand, x[here], y[here]), strict=True
        ):
            whole[here] = part
    return out[0], out[1], out[2]


def _worked_part(
    recipe: FieldRecipe, layout: Layout, stand: Stand | None, x: Floats, y: Floats
) -> tuple[Float32, Float32, Float32]:
    """The same at points of one stand, or of a margin."""
    if stand is None:
        aside = layout.rut_distance(x, y)
        pressed = track(aside).astype(np.float32)
        return pressed, np.zeros_like(pressed), np.zeros_like(pressed)
    u, v = stand.rows.to_uv(x, y)
    aside = stand.wheel_distance(x, y, v)
    pressed = track(aside).astype(np.float32)
    # Lugs of the tyres press a herringbone, each a hand wide.
    lugs, here = np.zeros_like(pressed), pressed > 0
    if here.any():
        wave = u[here] / 0.17 + 1.6 * np.minimum(aside[here], 1.0) / WHEEL_HALF_WIDTH_M
        lugs[here] = ripple(wave).astype(np.float32) * pressed[here]
    # The seedbed tool leaves shallow grooves along the rows.
    groove = noise_at(recipe.seed, "soil.groove", u * 0.05, v, 0.06).astype(np.float32)
    return pressed, lugs, groove


def _crumbs(gsd_m: float) -> list[tuple[float, float, float]]:
    """The fine crumbs that pixels of `gsd_m` show."""
    return [crumb for crumb in _CRUMBS if crumb[0] > _CRUMB_PIXELS * gsd_m]


def _relief_light(
    recipe: FieldRecipe, xs: Floats, ys: Floats, sun: Sun
) -> tuple[Float32, Float32 | None]:
    """Sunlight on the crumbs: brighter where the ground falls towards the sun; and the crust."""
    gsd = recipe.gsd_m
    # One more pixel on every side, for the slopes; turned, so that no lattice lines up with pixels.
    wide = np.concatenate([xs[:1] - gsd, xs, xs[-1:] + gsd])
    high = np.concatenate([ys[:1] - gsd, ys, ys[-1:] + gsd])
    relief = np.zeros((len(high), len(wide)), dtype=np.float32)
    # Where clods are drawn one by one (see `clods`), noise is what lies beneath them.
    smooth, wavy = 1.0 / (1.0 + 1.2 * recipe.roughness), 1.0 + 0.8 * recipe.roughness
    for scale, height, turn in (*_RELIEF, *_crumbs(gsd)):
        if recipe.roughness:
            height *= smooth if scale < 0.05 else wavy
        c, s = (float(a) for a in cos_sin(turn))
        u = wide[None, :] * c + high[:, None] * s
        v = high[:, None] * c - wide[None, :] * s
        bumps = noise_at(recipe.seed, f"soil.relief.{scale}", u, v, scale)
        if recipe.roughness and scale < 0.05:
            # Crumbs lie apart on even ground; the finest are drawn as clods.
            bumps *= np.float32(1.5) * np.abs(bumps)
            if scale < 0.02:
                height *= 0.9
        bumps *= np.float32(height)
        relief += bumps
    plates = crust(recipe, wide, high) if recipe.crust else None
    if plates is not None:
        relief *= np.float32(1) - np.float32(0.75) * plates
        relief += np.float32(CRUST_M) * plates
    slope = (relief[1:-1, 2:] - relief[1:-1, :-2]) * np.float32(sun.x)
    slope += (relief[2:, 1:-1] - relief[:-2, 1:-1]) * np.float32(sun.y)
    light = np.float32(1.0) - slope * np.float32(0.5 / (gsd * sun.tan_elevation))
    np.clip(light, np.float32(0.3), np.float32(1.5), out=light)
    if plates is None:
        return light, None
    plates = plates[1:-1, 1:-1]
    # The foot of a plate's edge lies in its shade, whichever way it faces.
    foot = np.float32(1) - plates
    foot *= foot * plates * np.float32(2.4 * min(1.0, 0.006 / gsd))
    light *= np.float32(1) - foot
    return light, plates


def tree_shade(recipe: FieldRecipe, xs: Floats, ys: Floats, sun: Sun) -> Float32:
    """Share of the sun that trees at the field's edge take away, 0..0.92, with soft edges.

    Tall crowns stand outside, on the side of the sun, and throw their shade in: far from its cause
    it is blurred by the width of the sun (0.53 degrees, some 10 cm over 12 m), and dappled by the
    gaps between leaves.
    """
    seed = recipe.seed
    width, height = recipe.size_m
    shade = np.zeros((len(ys), len(xs)), dtype=np.float32)
    trees = []
    for k in range(3):
        at, size = (float(uniform(seed, f"tree.{what}", k)[0]) for what in ("at", "size"))
        along, beyond = 0.16 + 0.08 * k + 0.04 * at, 0.02 - 0.05 * at
        if abs(sun.x) >= abs(sun.y):
            cx, cy = width * (beyond if sun.x < 0 else 1.0 - beyond), height * along
        else:
            cx, cy = width * along, height * (beyond if sun.y < 0 else 1.0 - beyond)
        # Small fields have small trees, or they would lie in the shade altogether.
        radius = min(1.5 + 1.1 * size, 0.12 * min(width, height))
        # Warped outwards by 0.37 of the radius at most.
        reach = 1.38 * radius
        if np.abs(xs - cx).min() < reach and np.abs(ys - cy).min() < reach:
            trees.append((cx, cy, radius))
    if not trees:
        return shade
    warp = 0.26 * noise_grid(seed, "tree.warp", xs, ys, 0.8)
    warp += 0.11 * noise_grid(seed, "tree.twig", xs, ys, 0.25)
    for cx, cy, radius in trees:
        dx, dy = (xs - cx).astype(np.float32)[None, :], (ys - cy).astype(np.float32)[:, None]
        distance = np.sqrt(dx * dx + dy * dy) + warp * np.float32(radius)
        edge = np.clip((radius - distance) / np.float32(0.22), 0.0, 1.0)
        np.maximum(shade, edge, out=shade)
    rows, columns = np.nonzero(shade)
    x, y = xs[columns], ys[rows]
    gaps = noise_at(seed, "tree.gap", 0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x, 0.19)
    gaps += 0.6 * noise_at(seed, "tree.sky", 0.6 * x + 0.8 * y, 0.6 * y - 0.8 * x, 0.43)
    dapple = np.clip((gaps - 0.42) / 0.55, 0.0, 1.0)
    shade[rows, columns] *= 0.92 * (1.0 - 0.75 * dapple)
    return shade


def inside_mosaic(recipe: FieldRecipe, xs: Floats, ys: Floats) -> NDArray[np.bool_]:
    """Which pixels the photographs cover: a field cut along the edges of slanting frames."""
    width, height = recipe.size_m
    if recipe.border_m == 0:
        within_x, within_y = (xs >= 0) & (xs < width), (ys >= 0) & (ys < height)
        return np.asarray(within_x[None, :] & within_y[:, None])
    left, right = (_inset(recipe, side, ys)[:, None] for side in ("left", "right"))
    top, bottom = (_inset(recipe, side, xs)[None, :] for side in ("top", "bottom"))
    x, y = xs[None, :], ys[:, None]
    return np.asarray((x >= left) & (x < width - right) & (y >= top) & (y < height - bottom))


def _inset(recipe: FieldRecipe, side: str, along: Floats) -> Floats:
    """Metres from the raster's edge to the first photograph, at places `along` that side."""
    seed, stream = recipe.seed, f"border.{side}"
    frame = np.floor(along / _FRAME_M + 0.35).astype(np.int64)
    part = along / _FRAME_M + 0.35 - frame
    # Frames lie a few degrees askew, one leaning as the last did, and overlap with a jump.
    lean = 0.45 + 0.25 * uniform(seed, stream + ".lean", frame)
    jump = uniform(seed, stream + ".jump", frame)
    wobble = noise_at(seed, stream + ".wobble", along, np.zeros_like(along), 0.12)
    return recipe.border_m * np.maximum(0.35 + 0.9 * jump + lean * part + 0.03 * wobble, 0.02)
