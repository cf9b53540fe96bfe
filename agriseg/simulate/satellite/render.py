"""Rendering a window of a landscape: reflectance on both dates, labels, boundaries and clouds.

Most pixels lie inside one parcel, and one look at their centre tells all. Where an edge is near,
eight samples a pixel are looked up, and the pixel is their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.simulate.light import BLUR_REACH, blur
from agriseg.simulate.noise import Floats, noise_grid, normal, ripple, uniform
from agriseg.simulate.satellite.canopy import Look, look_of
from agriseg.simulate.satellite.clouds import sky_over
from agriseg.simulate.satellite.frame import STRETCH, corners
from agriseg.simulate.satellite.landuse import BUILT, GRASS, LEGEND, MATERIALS
from agriseg.simulate.satellite.locate import FIRST_PARCEL, Map, map_around
from agriseg.simulate.satellite.materials import seen_by
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.spectra import SENSORS

__all__ = ["Rendering", "render"]

Float32 = NDArray[np.float32]
Index = NDArray[np.intp]
UInt8 = NDArray[np.uint8]

# Samples of a pixel, as eight queens on a chess board: no two in one row, column or diagonal, so
# that an edge in any of these directions is met in eight steps.
_QUEENS: Final = (0, 4, 7, 5, 2, 6, 1, 3)
_SAMPLES: Final = [((k + 0.5) / 8, (row + 0.5) / 8) for k, row in enumerate(_QUEENS)]
# How far the farthest is from the centre, pixels.
_REACH: Final = max(((x - 0.5) ** 2 + (y - 0.5) ** 2) ** 0.5 for x, y in _SAMPLES)

# Plots with a house, metres; the share with a house, and how long and wide those are.
_PLOT_M: Final = (27.0, 23.0)
_HOUSES: Final = 0.6
_HOUSE_M: Final = ((9.0, 17.0), (8.0, 12.0))
_ROOFS: Final = ("red roof", "dark roof", "bright roof")
# Beyond this v^2 would bend the wrong way.
_MOST_GROWTH: Final = 1.25


@dataclass(frozen=True)
class Rendering:
    """A window of a landscape.

    Args:
        reflectance: (2 x bands, height, width) float32: all bands of the first date, then of the
            second.
        labels: (height, width) uint8, values of `LEGEND`.
        boundaries: (height, width) uint8, values of `BOUNDARIES`.
        clouds: (2, height, width) uint8, values of `CLOUDS`.
    """

    reflectance: Float32
    labels: UInt8
    boundaries: UInt8
    clouds: UInt8


def render(recipe: SatelliteRecipe, window: Window) -> Rendering:
    """Render the pixels of `window`; any tiling of a landscape gives the same pixels."""
    outer = window.grown(BLUR_REACH)
    u, v = corners(recipe, outer)
    map_ = map_around(recipe, u, v)
    key = np.array([leaf.key for leaf in map_.leaves], dtype=np.int64)
    use = np.array([leaf.use for leaf in map_.leaves], dtype=np.int64)
    look = look_of(recipe, key, use)
    classes = np.concatenate([list(MATERIALS.values()), use]).astype(np.uint8)

    middle_u = (u[:-1, :-1] + u[:-1, 1:] + u[1:, :-1] + u[1:, 1:]) * 0.25
    middle_v = (v[:-1, :-1] + v[:-1, 1:] + v[1:, :-1] + v[1:, 1:]) * 0.25
    entry, slack = map_.entries(middle_u.ravel(), middle_v.ravel())
    mixed = slack < _REACH * STRETCH * recipe.gsd_m
    built = classes[entry] == BUILT
    mixed |= built & (entry >= FIRST_PARCEL)
    at = np.flatnonzero(mixed)
    samples = _samples(recipe, map_, classes, u, v, at)

    growth, tone = _variation(recipe, outer, look, entry, middle_u, middle_v)
    pixels = _reflect(look, entry, at, samples, growth, tone)
    count = 2 * len(SENSORS[recipe.sensor])
    image = np.ascontiguousarray(pixels.T).reshape(count, outer.height, outer.width)
    image = blur(image, recipe.blur_px)

    labels = classes[entry]
    labels[at] = _majority(classes[samples])
    near = entry.reshape(outer.shape)
    field = (classes >= GRASS) & (np.arange(len(classes)) >= FIRST_PARCEL)
    inner = slice(BLUR_REACH, -BLUR_REACH)
    image, clouds = _atmosphere(recipe, window, image)
    return Rendering(
        image,
        labels.reshape(outer.shape)[inner, inner].copy(),
        _boundaries(near, field)[inner, inner].copy(),
        clouds,
    )


def _samples(
    recipe: SatelliteRecipe, map_: Map, classes: UInt8, u: Floats, v: Floats, at: Index
) -> Index:
    """Entries of the samples of the pixels `at`, (8, pixels)."""
    row, column = np.divmod(at, u.shape[1] - 1)
    us: list[Floats] = []
    vs: list[Floats] = []
    for x, y in _SAMPLES:
        for grid, out in ((u, us), (v, vs)):
            flat, k = grid.ravel(), row * grid.shape[1] + column
            top = flat[k] * (1.0 - x) + flat[k + 1] * x
            low = flat[k + grid.shape[1]] * (1.0 - x) + flat[k + grid.shape[1] + 1] * x
            out.append(top * (1.0 - y) + low * y)
    all_u, all_v = np.concatenate(us), np.concatenate(vs)
    entry, _ = map_.entries(all_u, all_v)
    village = np.flatnonzero((entry >= FIRST_PARCEL) & (classes[entry] == BUILT))
    if village.size:
        farm = np.array([leaf.farm for leaf in map_.leaves])[entry[village] - FIRST_PARCEL]
        entry[village] = _houses(recipe, all_u[village], all_v[village], farm)
    return entry.reshape(len(_SAMPLES), len(at))


def _houses(recipe: SatelliteRecipe, u: Floats, v: Floats, farm: NDArray[np.bool_]) -> Index:
    """Roofs and gardens at places of villages, and the larger ones of farms."""
    names = list(MATERIALS)
    scale = np.where(farm, 1.7, 1.0)
    a, b = u / (_PLOT_M[0] * scale), v / (_PLOT_M[1] * scale)
    i, j = np.floor(a).astype(np.int64), np.floor(b).astype(np.int64)
    seed = recipe.seed
    size = [
        (low + (high - low) * uniform(seed, f"house.{k}", i, j)) / _PLOT_M[k] / 2
        for k, (low, high) in enumerate(_HOUSE_M)
    ]
    off = [0.3 + 0.4 * uniform(seed, f"house.at.{k}", i, j) for k in (0, 1)]
    inside = (np.abs(a - i - off[0]) < size[0]) & (np.abs(b - j - off[1]) < size[1])
    inside &= uniform(seed, "house", i, j) < _HOUSES
    colour = uniform(seed, "house.roof", i, j)
    pick = np.where(colour < 0.5, 0, np.where(colour < 0.9, 1, 2))
    roofs = np.array([names.index(name) for name in _ROOFS])
    return np.where(inside, roofs[pick], names.index("garden")).astype(np.intp)


def _variation(
    recipe: SatelliteRecipe,
    window: Window,
    look: Look,
    entry: Index,
    u: Floats,
    v: Floats,
) -> tuple[Float32, Float32]:
    """Growth and tone of the soil of each pixel, (pixels,)."""
    gsd, seed = recipe.gsd_m, recipe.seed
    xs = (np.arange(window.col_off, window.col_end, dtype=np.float64) + 0.5) * gsd
    ys = (np.arange(window.row_off, window.row_end, dtype=np.float64) + 0.5) * gsd
    slow = noise_grid(seed, "grow.210", xs, ys, 210.0)
    slow += np.float32(0.7) * noise_grid(seed, "grow.80", xs, ys, 80.0)
    tone = np.float32(0.19) * noise_grid(seed, "soil.430", xs, ys, 430.0)
    tone += np.float32(0.14) * noise_grid(seed, "soil.95", xs, ys, 95.0)
    fine = noise_grid(seed, "grow.fine", xs, ys, max(16.0, 1.1 * gsd))
    tone += np.float32(0.07) * fine
    texture = look.texture.take(entry, axis=0)
    growth = texture[:, 0] * slow.ravel() + texture[:, 1] * fine.ravel()
    striped = np.flatnonzero(texture[:, 2] > 0.12)
    # Bands of sowing or fertiliser along the lanes or across them.
    wide = texture[striped, 3].astype(np.float64)
    place = np.where(wide > 0, v.ravel()[striped], u.ravel()[striped]) / wide
    growth[striped] += texture[striped, 2] * ripple(place).astype(np.float32)
    most = np.float32(_MOST_GROWTH)
    return np.clip(growth, -most, most), tone.ravel()


def _reflect(
    look: Look,
    entry: Index,
    at: Index,
    samples: Index,
    growth: Float32,
    tone: Float32,
) -> Float32:
    """Reflectance (pixels, 2 x bands)."""
    out = _sum_terms(look.terms.take(entry, axis=0), growth, tone)
    terms = look.terms.take(samples[0], axis=0)
    for more in samples[1:]:
        terms += look.terms.take(more, axis=0)
    terms *= np.float32(1 / len(samples))
    out[at] = _sum_terms(terms, growth[at], tone[at])
    return out


def _sum_terms(terms: Float32, growth: Float32, tone: Float32) -> Float32:
    v = growth[:, None]
    out = terms[:, 2] * v
    out += terms[:, 1]
    out *= v
    out += terms[:, 0]
    out += terms[:, 3] * tone[:, None]
    return out


def _majority(classes: UInt8) -> UInt8:
    """The class of most samples (samples, pixels); the least of several as frequent ones."""
    best = np.zeros(classes.shape[1], dtype=np.uint8)
    most = np.zeros(classes.shape[1], dtype=np.uint8)
    for value in range(len(LEGEND)):
        count = np.count_nonzero(classes == value, axis=0).astype(np.uint8)
        best = np.where(count > most, np.uint8(value), best)
        np.maximum(most, count, out=most)
    return best


def _boundaries(entry: Index, field: NDArray[np.bool_]) -> UInt8:
    """Values of `BOUNDARIES`; the outermost ring of pixels is not right."""
    same = np.ones(entry.shape, dtype=bool)
    down, right = entry[1:] == entry[:-1], entry[:, 1:] == entry[:, :-1]
    same[1:] &= down
    same[:-1] &= down
    same[:, 1:] &= right
    same[:, :-1] &= right
    falling, rising = entry[1:, 1:] == entry[:-1, :-1], entry[1:, :-1] == entry[:-1, 1:]
    same[1:, 1:] &= falling
    same[:-1, :-1] &= falling
    same[1:, :-1] &= rising
    same[:-1, 1:] &= rising
    out = np.where(same, np.uint8(1), np.uint8(2))
    out[~field[entry]] = 0
    return out


def _atmosphere(recipe: SatelliteRecipe, window: Window, image: Float32) -> tuple[Float32, UInt8]:
    """Shadows, haze, clouds and the sensor's noise over an image; and the mask of clouds."""
    gsd, bands = recipe.gsd_m, len(SENSORS[recipe.sensor])
    columns = np.arange(window.col_off, window.col_end, dtype=np.int64)
    rows = np.arange(window.row_off, window.row_end, dtype=np.int64)
    xs, ys = (columns.astype(np.float64) + 0.5) * gsd, (rows.astype(np.float64) + 0.5) * gsd
    curves = seen_by(recipe.sensor).curves
    haze = np.float32(recipe.haze)
    masks = []
    for date in (0, 1):
        sky = sky_over(recipe, date, xs, ys)
        masks.append(sky.mask)
        cloudy = bool(sky.thick.any() or sky.shade.any())
        for band in range(bands):
            plane = image[date * bands + band]
            # Shadows are bluish: what is left is light of the sky, more in the first bands.
            air = np.float32(curves["haze"][band])
            if cloudy:
                left = np.float32(0.12 + 1.2 * air)
                plane *= np.float32(1.0) - sky.shade * (np.float32(1.0) - left)
            # Path radiance that no correction takes away altogether.
            plane += (np.float32(2.0) * air - plane) * haze
            if cloudy:
                white = np.float32(curves["cloud"][band])
                plane += (white * (np.float32(0.45) + sky.thick) - plane) * sky.thick
            if recipe.noise:
                bell = normal(recipe.seed, f"noise.{date}.{band}", columns[None, :], rows[:, None])
                plane += (bell * recipe.noise).astype(np.float32)
    return image, np.stack(masks)
