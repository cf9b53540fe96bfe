"""Rendering a window of a simulated field: reflectance and labels from one geometry.

The work of a window: the plants whose leaves or shadows can reach it are looked up and drawn into
a height buffer, four samples a pixel; the sun is followed through the heights for cast shadows;
each sample reflects the light that it gets; samples become pixels, pixels pass the camera's blur
and noise. Labels are the surface that most samples of a pixel show, before the blur; instances
are the plants among it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.legend import NODATA, Legend
from agriseg.simulate import camera, clods, ears, ground, light, litter, shapes
from agriseg.simulate.canvas import Canvas, Sun, Surface
from agriseg.simulate.crops import CROPS
from agriseg.simulate.instances import plants_of_pixels
from agriseg.simulate.leaf_detail import leaf_of
from agriseg.simulate.noise import Floats, Ints, cos_sin
from agriseg.simulate.plants import Plants, Rect, field_plants, largest_plant_m
from agriseg.simulate.recipe import SAME_CROP, FieldRecipe
from agriseg.simulate.spectra import (
    CLOD,
    CROP,
    CROPS_DRAWN,
    NEIGHBOUR_CROP,
    SOIL,
    TO_GLINT,
    TO_YELLOW,
    Palette,
    palette,
    plain,
)
from agriseg.simulate.stands import forms_of, layout_of

__all__ = ["CLASS_OF", "LEGEND", "Rendering", "height_limit_m", "render", "sun_of"]

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]

LEGEND = Legend.of(("soil", "#c8a882"), ("crop", "#1b6e2b"), ("weed", "#d81b9a"))
"""What the labels mean; clods, stones and residue are soil."""

_KINDS = plain(np.arange(CROP + TO_GLINT + TO_YELLOW, dtype=np.uint8))
CLASS_OF = np.where(_KINDS < CROP, 0, np.where(np.isin(_KINDS, CROPS_DRAWN), 1, 2)).astype(np.uint8)
"""The label of each material."""

# Samples along a pixel's side. Two draw a leaf of 1 cm at 2 cm a pixel as half a pixel of green;
# three cost 2.6 times the time and change 1.5 % of the labels, all at leaf edges.
_SAMPLES = 2

# Light that reaches a place from sunlit ground and leaves around, over that which falls on them:
# where they hide the sky, and where they hide the sun.
_LIT_GROUND, _LIT_SIDES = 0.6, 0.3


# In close-up shadows are followed no farther, or a low sun takes in a field for a few pixels.
_LONGEST_SHADOW_PX = 400
# How deep single leaves keep the sun out, where they are drawn in all detail, metres.
_THIN_M = 0.012

# The tallest leaf over its plant's size; the odd one that stands higher throws a shorter shadow.
_TALLEST = 1.1
# The same over the height that its form gives it, for crops that are taller than wide.
_OVER_FORM = 1.3


@dataclass(frozen=True)
class Rendering:
    """A window of a field.

    Args:
        reflectance: (bands, height, width) float32 in the order of `spectra.SENSORS[sensor]`;
            NaN outside the mosaic.
        labels: (height, width) uint8, values of `LEGEND`, 255 outside the mosaic.
        valid: (height, width), True inside the mosaic.
        instances: (height, width) int64, `Plants.identity` of the plant that the pixel shows, 0
            where its label is no plant.
    """

    reflectance: Float32
    labels: UInt8
    valid: NDArray[np.bool_]
    instances: Ints


def sun_of(recipe: FieldRecipe) -> Sun:
    """The sun in field coordinates, where y grows southwards."""
    east, north = cos_sin((90.0 - recipe.sun_azimuth_deg) / 360.0)
    c, s = cos_sin(recipe.sun_elevation_deg / 360.0)
    return Sun(float(east), -float(north), float(s) / float(c))


def height_limit_m(recipe: FieldRecipe) -> float:
    """Height up to which things throw their full shadow, metres."""
    grown = max(form.height for form in forms_of(recipe))
    return max(_TALLEST, _OVER_FORM * grown) * largest_plant_m(recipe)


def render(recipe: FieldRecipe, window: Window) -> Rendering:
    """Render the pixels of `window`; any tiling of a field gives the same pixels.

    Args:
        recipe: The field.
        window: Pixels of `recipe.geobox`. It may reach beyond: the field goes on there, without
            photographs.

    Returns:
        Reflectance, labels, the valid mask and instances. Memory is about 400 bytes a pixel:
        render a large field window by window.
    """
    sun = sun_of(recipe)
    reach_px = math.ceil(height_limit_m(recipe) / sun.tan_elevation / recipe.gsd_m)
    if recipe.leaf_detail:
        reach_px = min(reach_px, _LONGEST_SHADOW_PX)
    around_px = light.BLUR_REACH + light.HAZE_REACH + camera.reach_px(recipe)
    inner = window.grown(around_px)
    outer, core = _sunwards(inner, reach_px, sun)
    canvas, plants = _draw(recipe, outer, sun)
    drawn = canvas.finish()
    xs, ys = _centres(inner, recipe.gsd_m)
    other = _neighbours(recipe, xs, ys)
    hidden = _hidden(recipe, drawn.height_m, sun, reach_px * _SAMPLES, core, other)
    glow = np.asarray(CROPS[recipe.crop].glow, dtype=np.float32)
    if other is not None:
        glow = np.where(other, np.float32(CROPS[recipe.neighbour_crop].glow), glow)
    drawn = drawn.part(core)
    closed_m = CROPS[recipe.crop].closed * recipe.plant_radius_m
    lit = _Light(
        sun=drawn.light * (1.0 - hidden),
        sky=light.openness(drawn.height_m, _SAMPLES, closed_m),
        leak=hidden,
        passed=light.cover(drawn.material >= CROP, _SAMPLES),
    )
    shade = ground.tree_shade(recipe, xs, ys, sun)
    if shade.any():
        clear = light.expand(np.float32(1) - shade, _SAMPLES)
        for part in (lit.sun, lit.leak, lit.passed):
            part *= clear
    lit.passed[:] *= glow
    if recipe.diffuse or recipe.roughness or recipe.leaf_detail:
        _soften(recipe, drawn, lit)
    pixels = _reflect(
        _seen(recipe),
        drawn,
        lit,
        *ground.soil(recipe, xs, ys, sun),
        recipe,
    )
    haze = slice(light.HAZE_REACH, -light.HAZE_REACH)
    pixels = light.blur(pixels, recipe.blur_px)[:, haze, haze]
    pixels = camera.take(recipe, window, pixels)
    around = around_px * _SAMPLES
    drawn = drawn.part(Window(around, around, window.width * _SAMPLES, window.height * _SAMPLES))
    labels = _labels(drawn.material)
    valid = ground.inside_mosaic(recipe, *_centres(window, recipe.gsd_m))
    if not valid.all():
        pixels[:, ~valid] = np.nan
        labels[~valid] = NODATA
    classes = CLASS_OF[plants.material]
    instances = plants_of_pixels(drawn.plant, labels, plants, classes, _SAMPLES)
    return Rendering(pixels, labels, valid, instances)


def _sunwards(window: Window, reach_px: int, sun: Sun) -> tuple[Window, Window]:
    """`window` and all from where shadows of `reach_px` fall into it, and where it lies in that.

    Returns:
        Pixels, and samples counted from the first of those pixels.
    """
    across, down = (math.ceil(reach_px * abs(part)) for part in (sun.x, sun.y))
    left, top = across if sun.x < 0 else 0, down if sun.y < 0 else 0
    outer = Window(
        window.col_off - left, window.row_off - top, window.width + across, window.height + down
    )
    return outer, Window(*(_SAMPLES * n for n in (left, top, window.width, window.height)))


def penumbra_m(recipe: FieldRecipe) -> float:
    """Height over which a shadow goes from none to full; haze spreads the sun, clods are sharp."""
    sharp = light.PENUMBRA_M - 0.005 * recipe.roughness
    return sharp + 0.02 * recipe.diffuse


def _soften(recipe: FieldRecipe, drawn: Surface, lit: _Light) -> None:
    """Change the light, in place, to that of a clouded sky and of ground full of crevices."""
    if recipe.diffuse:
        # The sky is brightest where the sun is: leaves that face it stand out a little still.
        facing = drawn.light - np.float32(1)
        facing *= np.float32(0.4 * recipe.diffuse)
        facing += np.float32(1)
        lit.sky[:] *= facing
    if recipe.roughness:
        step = recipe.gsd_m / _SAMPLES
        reach = min(max(round(0.012 / step), 1), light.HAZE_REACH * _SAMPLES)
        leafy = drawn.material >= CROP
        # Leaves hang over the ground, and make no crevices.
        deep = light.crevices(np.where(leafy, np.float32(0), drawn.height_m), reach, step)
        deep[leafy] = 1
        lit.sky[:] *= deep
        lit.sun[:] *= np.float32(0.2) + np.float32(0.8) * deep
    if recipe.leaf_detail:
        # Below and between leaves it is dark, the more so the closer they stand.
        step = recipe.gsd_m / _SAMPLES
        reach = min(max(round(0.01 / step), 1), light.HAZE_REACH * _SAMPLES)
        deep = np.float32(1) - light.crevices(drawn.height_m, reach, step)
        # Walls all around leave a little sky, however high they are.
        np.minimum(deep, np.float32(0.6), out=deep)
        deep *= np.float32(0.9 * recipe.leaf_detail)
        deep[drawn.material < CROP] = 0
        lit.sky[:] *= np.float32(1) - deep
        lit.leak[:] *= np.float32(1) - deep
        lit.passed[:] *= np.float32(1) - deep


def _neighbours(recipe: FieldRecipe, xs: Floats, ys: Floats) -> NDArray[np.bool_] | None:
    """The samples where neighbours have sown another crop; None where there are none."""
    layout = layout_of(recipe)
    other = layout.column("material", CROP) == NEIGHBOUR_CROP
    if not other.any():
        return None
    there = other[layout.at(xs[None, :], ys[:, None])]
    return light.expand(there, _SAMPLES) if there.any() else None


def _hidden(
    recipe: FieldRecipe,
    height_m: Float32,
    sun: Sun,
    reach: int,
    core: Window,
    other: NDArray[np.bool_] | None,
) -> Float32:
    """Share of the sun that higher things hide; leaves let it through as those of the crop do."""

    def shadow(depth_m: float) -> Float32:
        return light.cast_shadow(
            height_m,
            (sun.x, sun.y),
            sun.tan_elevation,
            recipe.gsd_m / _SAMPLES,
            height_limit_m(recipe),
            reach,
            core,
            depth_m,
            penumbra_m(recipe),
        )

    own = CROPS[recipe.crop].depth * recipe.plant_radius_m
    if recipe.leaf_detail:
        # Single leaves are thin, and the sun comes in under them.
        own = min(own, recipe.plant_radius_m)
        own += recipe.leaf_detail * (max(_THIN_M, 0.3 * recipe.plant_radius_m) - own)
    if other is None:
        return shadow(own)
    crop = CROPS[recipe.neighbour_crop]
    theirs = shadow(crop.depth * crop.radius(recipe.stage))
    return theirs if other.all() else np.where(other, theirs, shadow(own))


def _seen(recipe: FieldRecipe) -> Palette:
    """What the camera sees of the scene's materials."""
    crop = CROPS[recipe.crop]
    other = crop if recipe.neighbour_crop == SAME_CROP else CROPS[recipe.neighbour_crop]
    return palette(recipe.sensor, leaf_of(recipe, crop), recipe.soil, leaf_of(recipe, other))


@dataclass(frozen=True)
class _Light:
    """Light on each sample, over that on open level ground.

    Args:
        sun: Of the sun.
        sky: Of the sky.
        leak: Through leaves, in their shadow.
        passed: From the plants around.
    """

    sun: Float32
    sky: Float32
    leak: Float32
    passed: Float32


def _centres(window: Window, gsd_m: float) -> tuple[Floats, Floats]:
    """x of the columns' and y of the rows' centres, metres."""
    xs = np.arange(window.col_off, window.col_end, dtype=np.float64) + 0.5
    ys = np.arange(window.row_off, window.row_end, dtype=np.float64) + 0.5
    return xs * gsd_m, ys * gsd_m


def _draw(recipe: FieldRecipe, window: Window, sun: Sun) -> tuple[Canvas, Plants]:
    """All that stands or lies on the ground, drawn over `window`; and the plants among it."""
    canvas = Canvas(
        window.col_off * _SAMPLES,
        window.row_off * _SAMPLES,
        window.width * _SAMPLES,
        window.height * _SAMPLES,
        recipe.gsd_m / _SAMPLES,
        sun,
    )
    gsd = recipe.gsd_m
    rect = Rect(
        window.col_off * gsd, window.row_off * gsd, window.col_end * gsd, window.row_end * gsd
    )
    around = rect.grown(shapes.leaf_reach(recipe) * largest_plant_m(recipe))
    if recipe.roughness == 0:
        canvas.draw(shapes.clods(recipe, rect.grown(0.1)))
    canvas.draw(shapes.stones(recipe, rect.grown(0.1)))
    canvas.draw(shapes.straws(recipe, rect.grown(0.25)))
    for some in clods.broken(recipe, rect):
        canvas.draw(some)
    canvas.draw(litter.crumbs(recipe, rect.grown(0.05)))
    canvas.draw(litter.more_stones(recipe, rect.grown(0.1)))
    canvas.draw(litter.pebbles(recipe, rect.grown(0.1)))
    canvas.draw(litter.fibres(recipe, rect.grown(0.06)))
    canvas.draw(litter.more_straws(recipe, rect.grown(0.3)))
    plants = field_plants(recipe, around)
    canvas.draw(shapes.leaves(recipe, plants))
    if CROPS[recipe.crop].ears_from < recipe.stage:
        canvas.draw(ears.ears(recipe, plants))
    return canvas, plants


def _reflect(
    seen: Palette,
    drawn: Surface,
    lit: _Light,
    colour: Float32,
    rough: Float32,
    recipe: FieldRecipe,
) -> Float32:
    """Reflectance of pixels (bands, height, width).

    Args:
        seen: What the camera sees of each material.
        drawn: What the samples show.
        lit: Their light.
        colour: Reflectance of the bare ground, (bands, height, width) of the pixels.
        rough: Sunlight on the rough ground over that on a level one, (height, width).
        recipe: The field.
    """
    # Pixels with a plant, straw or stone in them; the others need no look at single samples.
    leafy = drawn.material > CLOD
    corners = [leafy[r::_SAMPLES, c::_SAMPLES] for r in range(_SAMPLES) for c in range(_SAMPLES)]
    at = np.flatnonzero(np.logical_or.reduce(corners))
    # Their samples, (samples of a pixel, pixels).
    row, column = np.divmod(at, rough.shape[1])
    first = (row * leafy.shape[1] + column) * _SAMPLES
    steps = np.add.outer(np.arange(_SAMPLES) * leafy.shape[1], np.arange(_SAMPLES))
    samples = steps.reshape(-1, 1) + first
    here = leafy.take(samples)
    kind = drawn.material.take(samples).astype(np.intp)
    mix = drawn.pale.take(samples)
    # Products with 0 and 1: a choice sample by sample takes ten times as long.
    bare_ground = (~leafy).astype(np.float32)
    ground_light, on_leaves = [], []
    for part in (lit.sun, lit.sky, lit.leak, lit.passed):
        ground_light.append(light.gather(part * bare_ground, _SAMPLES))
        on_leaves.append(part.take(samples) * here)
    if recipe.roughness:
        # Clods lie upon the unevenness and the cracks of the ground, and have little of their own.
        bare = light.gather((drawn.material == SOIL).astype(np.float32), _SAMPLES)
        rough = np.float32(1) + (rough - np.float32(1)) * (np.float32(0.3) + np.float32(0.7) * bare)
    ground_light[0] *= rough
    if recipe.roughness:
        # What hides sun or sky shines itself: shadows are less blue than the sky.
        around = np.float32(_LIT_GROUND) * (np.float32(1) - lit.sky)
        around += np.float32(_LIT_SIDES) * lit.leak
        around[leafy] = 0
        hides = light.gather(around, _SAMPLES)
    diffuse = recipe.diffuse
    if diffuse:
        # Hollows see less of the sky, by about as much as slopes see less of the sun.
        ground_light[1] *= 1.0 + np.float32(0.6 * diffuse) * (rough - np.float32(1))
    out = np.empty(colour.shape, dtype=np.float32)
    for band, plane in enumerate(out):
        share = light.shares(seen, band, diffuse, recipe.senescence)
        shares = (share.direct, share.sky, share.leak, share.passed)
        falls = _weighed(ground_light, shares)
        if recipe.roughness:
            falls += hides * (colour[band] * share.direct)
        np.multiply(falls, colour[band], out=plane)
        low, high = (seen.endmembers[:, pale, band] for pale in (0, 1))
        glow = (high - low).take(kind)
        glow *= mix
        glow += low.take(kind)
        glow *= _weighed(on_leaves, shares)
        covered = glow.sum(axis=0, dtype=np.float64)
        covered /= _SAMPLES**2
        plane.ravel()[at] = covered + plane.take(at)
    return out


def _weighed(parts: list[Float32], weights: tuple[np.float32, ...]) -> Float32:
    """The sum of `parts` times `weights`."""
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total += part * weight
    return total


def _labels(material: UInt8) -> UInt8:
    """The class that most of a pixel's samples show; at a draw the plant, then the crop."""
    kind = CLASS_OF.take(material)
    crop, weed = (_count(kind == label) for label in (1, 2))
    bare = np.uint8(_SAMPLES**2) - crop - weed
    plant = np.uint8(2) - (crop >= weed)
    return np.asarray(plant * (np.maximum(crop, weed) >= bare), dtype=np.uint8)


def _count(samples: NDArray[np.bool_]) -> UInt8:
    """How many of each pixel's samples are marked."""
    total = np.zeros((samples.shape[0] // _SAMPLES, samples.shape[1] // _SAMPLES), dtype=np.uint8)
    for r in range(_SAMPLES):
        for c in range(_SAMPLES):
            total += samples[r::_SAMPLES, c::_SAMPLES]
    return total
