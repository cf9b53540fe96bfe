"""Rendering a window of a landscape: reflectance on both dates, labels, boundaries and clouds.

Eight samples a pixel say which parcels and things it sees; what is in its middle says how that
swings inside a parcel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.simulate.light import BLUR_REACH, blur
from agriseg.simulate.noise import Floats, cos_sin, hash_u32, noise_grid, normal, uniform
from agriseg.simulate.satellite.canopy import Look, look_of
from agriseg.simulate.satellite.clouds import sky_over
from agriseg.simulate.satellite.frame import to_map, turned_to_map
from agriseg.simulate.satellite.landscape import Landscape, landscape_in
from agriseg.simulate.satellite.landuse import GRASS, LEGEND, MATERIALS, WOOD
from agriseg.simulate.satellite.materials import seen_by
from agriseg.simulate.satellite.paint import CENTRE, PER_PIXEL, lay_things, paint_cells
from agriseg.simulate.satellite.polygons import Index
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.spectra import SENSORS

__all__ = ["Rendering", "render"]

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]

# Rows that are worked on at a time, so that they stay in the processor's cache.
_ROWS: Final = 64
# Beyond this v^2 would bend the wrong way.
_MOST_GROWTH: Final = 1.3
# Metres at the ends of a field where machines turn.
_HEADLAND_M: Final = 14.0
# Numbers of which stripes take one after the other.
_STRIPES: Final = 1 << 12
_CLEARING: Final = list(MATERIALS).index("clearing")


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
    gsd, outer = recipe.gsd_m, window.grown(BLUR_REACH)
    land = landscape_in(
        recipe, outer.col_off * gsd, outer.row_off * gsd, outer.col_end * gsd, outer.row_end * gsd
    )
    key, use = land.parcels.key, land.parcels.use
    look = look_of(recipe, key, use)
    materials = list(MATERIALS.values())
    classes = np.concatenate([materials, use]).astype(np.uint8)

    number = np.arange(len(materials), len(classes), dtype=np.int32)
    # All woods are one: no line shows where two meet.
    woods = use == WOOD
    number[woods] = number[woods][:1]
    grid = paint_cells(land.points, land.count, number, outer, gsd)
    lay_things(grid, land.things, outer, gsd)
    shape = outer.height, PER_PIXEL[0], outer.width, PER_PIXEL[1]
    split = grid.reshape(shape)
    # (samples, pixels)
    samples = np.stack([split[:, i, :, j].ravel() for i, j in np.ndindex(*PER_PIXEL)])
    entry = samples[CENTRE[0] * PER_PIXEL[1] + CENTRE[1]].astype(np.intp)
    mixed = samples[0] != samples[1]
    for other in samples[2:]:
        mixed |= samples[0] != other
    at = np.flatnonzero(mixed)

    image = _reflectance(recipe, outer, look, Passes.of(recipe, land), entry, at, samples[:, at])
    image = blur(image, recipe.blur_px)
    labels = classes[entry]
    labels[at] = _majority(classes[samples[:, at]])
    field = (classes >= GRASS) & (np.arange(len(classes)) >= len(materials))
    inner = slice(BLUR_REACH, -BLUR_REACH)
    image, clouds = _atmosphere(recipe, window, image)
    # A tree or a house may fill most of a pixel and miss its middle: no field is there either.
    other = labels != classes[entry]
    entry[other & (labels < GRASS)] = 0
    boundaries = _boundaries(entry.reshape(outer.height, outer.width), field)
    boundaries[(other & (labels >= GRASS)).reshape(boundaries.shape)] = 2
    return Rendering(
        image,
        labels.reshape(boundaries.shape)[inner, inner].copy(),
        boundaries[inner, inner].copy(),
        clouds,
    )


@dataclass(frozen=True)
class Passes:
    """Where machines drive in each entry: metres across and along their way, (entries,).

    Args:
        across: x, y and what is taken off, so that x across[0] + y across[1] - across[2] counts.
        along: The same, from the middle of a field.
        half: Half the length of a field.
        first: Number of the first stripe.
    """

    across: tuple[Floats, Floats, Floats]
    along: tuple[Floats, Floats, Floats]
    half: Float32
    first: Index

    @classmethod
    def of(cls, recipe: SatelliteRecipe, land: Landscape) -> Self:
        shapes, more = land.parcels.shapes, (len(MATERIALS), 0)
        away = np.where(shapes.used[..., None], shapes.ends - shapes.corners, 0.0)
        row, longest = np.arange(len(shapes)), (away**2).sum(axis=2).argmax(axis=1)
        east, south = turned_to_map(recipe, *away[row, longest].T)
        length = np.maximum(np.sqrt(east * east + south * south), 1e-6)
        c, s = east / length, south / length
        middle = to_map(recipe, shapes.middle)
        x, y = middle.T
        numbers = hash_u32(recipe.seed, "stripes.first", land.parcels.key) % _STRIPES
        zero = np.zeros(len(MATERIALS))

        def axis(*parts: Floats) -> tuple[Floats, Floats, Floats]:
            first, second, third = (np.concatenate([zero, part]) for part in parts)
            return first, second, third

        return cls(
            axis(-s, c, y * c - x * s),
            axis(c, s, x * c + y * s),
            np.pad(length / 2, more, constant_values=1e9).astype(np.float32),
            np.pad(numbers.astype(np.intp), more),
        )


def _reflectance(
    recipe: SatelliteRecipe,
    window: Window,
    look: Look,
    passes: Passes,
    entry: Index,
    at: Index,
    samples: NDArray[np.int32],
) -> Float32:
    """Reflectance (2 x bands, height, width), before the air and the lens."""
    bands = look.terms.shape[1]
    image = np.empty((bands, window.height * window.width), dtype=np.float32)
    for row in range(0, window.height, _ROWS):
        part = Window(
            window.col_off, window.row_off + row, window.width, min(_ROWS, window.height - row)
        )
        first, last = row * window.width, (row + part.height) * window.width
        here = entry[first:last]
        growth, tone, here = _variation(recipe, part, look, passes, here)
        low, high = np.searchsorted(at, (first, last))
        seen, places = samples[:, low:high], at[low:high] - first
        rest = np.empty(len(here), dtype=np.float32)
        for band in range(bands):
            base, one, two, soil = look.terms[:, band]
            out = image[band, first:last]
            two.take(here, out=rest, mode="clip")
            rest *= growth
            rest += one.take(here, mode="clip")
            rest *= growth
            base.take(here, out=out, mode="clip")
            out[places] = base.take(seen, mode="clip").sum(axis=0) * np.float32(1 / len(seen))
            out += rest
            soil.take(here, out=rest, mode="clip")
            rest *= tone
            out += rest
    np.maximum(image, np.float32(0.002), out=image)
    return image.reshape(bands, window.height, window.width)


def _variation(
    recipe: SatelliteRecipe, window: Window, look: Look, passes: Passes, entry: Index
) -> tuple[Float32, Float32, Index]:
    """Growth and tone of each pixel, (pixels,), and the entries with clearings in woods."""
    gsd, seed = recipe.gsd_m, recipe.seed
    xs = (np.arange(window.col_off, window.col_end, dtype=np.float64) + 0.5) * gsd
    ys = (np.arange(window.row_off, window.row_end, dtype=np.float64) + 0.5) * gsd

    def noise(name: str, size: float, dx: float = 0.0, dy: float = 0.0) -> Float32:
        return noise_grid(seed, f"{name}.{size:g}", xs + dx, ys + dy, max(size, gsd)).ravel()

    def of(values: Float32) -> Float32:
        return values.take(entry, mode="clip")

    middling, near = noise("grow", 85.0), noise("grow", 33.0)
    fine = noise("grow", 13.0)
    fine += np.float32(0.55) * near
    slow = noise("grow", 230.0)
    slow += np.float32(0.75) * middling
    east, north = cos_sin((90.0 - recipe.sun_azimuth_deg) / 360.0)
    light = np.zeros(len(entry), dtype=np.float32)
    for size, weight in ((420.0, 1.3), (120.0, 1.1), (48.0, 0.6)):
        step = 0.22 * size
        light += np.float32(weight) * (
            noise("relief", size, -step * float(east), step * float(north))
            - noise("relief", size, step * float(east), -step * float(north))
        )
    growth = of(look.slow) * slow
    growth += of(look.fine) * fine
    growth += of(look.relief) * light
    bad = np.clip((middling + np.float32(0.4) * near - np.float32(0.42)) * np.float32(3), 0, 1)
    growth -= of(look.patches) * bad
    _drive(recipe, xs, ys, look, passes, entry, growth)
    most = np.float32(_MOST_GROWTH)
    np.clip(growth, -most, most, out=growth)

    tone = np.float32(0.24) * noise("soil", 430.0)
    tone += np.float32(0.22) * noise("soil", 95.0)
    tone += np.float32(0.11) * fine
    tone *= of(look.soil)
    stand = noise("stand", 700.0) + np.float32(0.9) * noise("stand", 150.0) - np.float32(0.1)
    stand += np.float32(0.4) * near
    tone += of(look.stand) * np.clip(stand * np.float32(2.2) + np.float32(0.4), 0, 1)
    open_ = noise("clearing", 260.0) + np.float32(0.7) * noise("clearing", 70.0)
    open_ += np.float32(0.5) * near
    bare = np.flatnonzero((open_ > np.float32(0.95)) & (of(look.stand) > 0))
    if bare.size:
        entry = entry.copy()
        entry[bare] = _CLEARING
        tone[bare] = 0.0
    return growth, tone, entry


def _drive(
    recipe: SatelliteRecipe,
    xs: Floats,
    ys: Floats,
    look: Look,
    passes: Passes,
    entry: Index,
    growth: Float32,
) -> None:
    """Add to `growth` what comes from the ways of machines."""
    at = np.flatnonzero(look.stripes.take(entry, mode="clip") > 0)
    here = entry[at]
    row, column = np.divmod(at, len(xs))
    x, y = xs.take(column), ys.take(row)

    def along(axis: tuple[Floats, Floats, Floats]) -> Floats:
        place = axis[0].take(here) * x
        place += axis[1].take(here) * y
        place -= axis[2].take(here)
        return place

    place = along(passes.across)
    place /= look.wide.take(here)
    number = np.floor(place)
    part = (place - number).astype(np.float32)
    stripe = number.astype(np.intp)
    stripe += passes.first.take(here)
    # One pass goes over into the next: a pixel is about as wide.
    left, right = (_stripes(recipe.seed).take(stripe + k, mode="wrap") for k in (0, 1))
    right -= left
    right *= part
    right += left
    right *= look.stripes.take(here)
    far = along(passes.along).astype(np.float32)
    half = passes.half.take(here)
    right += look.slope.take(here) * np.clip(far / half, np.float32(-1), np.float32(1))
    ends = np.abs(far) > half - np.float32(_HEADLAND_M)
    right -= look.headland.take(here) * ends
    growth[at] += right


@lru_cache(maxsize=8)
def _stripes(seed: int) -> Float32:
    """How much more or less than its neighbours a pass of the machines leaves, -1..1."""
    return (uniform(seed, "stripes", np.arange(_STRIPES)) * 2.0 - 1.0).astype(np.float32)


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
