"""What the camera and the mosaicking do to a picture: bands aside, flight lines, noise.

Two faults that drone mosaics show, both off by default:

- A multi-lens camera takes each band through a lens of its own; laid over each other afterwards the
  bands are a third of a pixel apart at best (Jhan et al. 2016, ISPRS Journal of Photogrammetry and
  Remote Sensing 114, 66-77), and farther where plants stand above the ground that the fit is for
  (Hassanpour et al. 2019, ISPRS Archives XLII-4/W18, 467-474). Leaf edges get coloured fringes, and
  a band that is moved by a part of a pixel is a little softer than one that stays.
- A mosaic is put together from flight lines taken under changing light, each seen from another
  side; what correction leaves is a step in brightness at the seams and a gradient between them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.simulate.noise import (
    Floats,
    Ints,
    cos_sin,
    noise_grid,
    normal,
    smoothstep,
    uniform,
)
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.spectra import SENSORS

__all__ = ["band_offset", "line_gains", "reach_px", "take"]

Float32 = NDArray[np.float32]

# The band that the others are laid over, and that the labels are in register with.
_REFERENCE = "green"

# A band's own offset is so much of the greatest possible, and this more or less over the scene.
_OWN_OFFSET = (0.4, 0.36)
_DRIFT = 0.16  # in x and in y: together less than what the own offset leaves
_DRIFT_M = 7.0

# Pixels between two flight lines: a quarter of a frame of 1280 pixels (75 % sidelap), and more.
_LINE_PX = (300.0, 120.0)
# Lines follow the rows but for so many degrees to one side or the other.
_LINE_LEAN_DEG = 12.0
# Seams run ragged, in parts of a line's width, and are blended over so many pixels.
_RAGGED = ((0.09, 2.3), (0.02, 0.35))
_FEATHER_PX = 7.0
# Of the variance between lines, this share is the band's own: the light changes its colour.
_OWN_VARIANCE = 0.06
# Darkening towards a line's seams, and from one to the other, over the steps between lines.
_VIGNETTE, _SLOPE = 0.35, 0.6

_NOISE_ROWS = 64


def reach_px(recipe: FieldRecipe) -> int:
    """Pixels that `take` needs on each side of the window that it gives."""
    return math.ceil(recipe.misregistration_px) + 1 if recipe.misregistration_px else 0


def take(recipe: FieldRecipe, window: Window, pixels: Float32) -> Float32:
    """What the mosaic shows of `window`.

    Args:
        recipe: The field.
        window: Pixels of `recipe.geobox`.
        pixels: What came through the lens, (bands, height, width): `window` and `reach_px` more on
            each side.

    Returns:
        (bands, height, width) of `window`.
    """
    columns = np.arange(window.col_off, window.col_end)
    rows = np.arange(window.row_off, window.row_end)
    xs, ys = (place.astype(np.float64) * recipe.gsd_m for place in (columns + 0.5, rows + 0.5))
    if recipe.misregistration_px:
        pixels = _laid_over(recipe, xs, ys, pixels)
    if recipe.exposure_steps:
        pixels *= line_gains(recipe, xs, ys)
    return _with_noise(recipe, columns, rows, pixels)


def band_offset(recipe: FieldRecipe, role: str, xs: Floats, ys: Floats) -> tuple[Float32, Float32]:
    """Where a band shows what the reference band shows at `xs`, `ys`.

    Args:
        recipe: The field.
        role: Of the band.
        xs: Rising x of the columns in metres, (width,).
        ys: Rising y of the rows in metres, (height,).

    Returns:
        Pixels to the right and pixels down, (height, width) each; together never farther than
        `recipe.misregistration_px`.
    """
    seed, stream = recipe.seed, f"camera.{role}"
    least, more = _OWN_OFFSET
    length = least + more * float(uniform(seed, stream + ".length", 0)[0])
    own = cos_sin(uniform(seed, stream + ".angle", 0))
    most = np.float32(recipe.misregistration_px)
    right, down = (
        most
        * (
            np.float32(length * float(part[0]))
            + np.float32(_DRIFT) * noise_grid(seed, f"{stream}.{axis}", xs, ys, _DRIFT_M)
        )
        for part, axis in zip(own, "xy", strict=True)
    )
    return right, down


def _laid_over(recipe: FieldRecipe, xs: Floats, ys: Floats, pixels: Float32) -> Float32:
    """The bands as they come to lie, each moved by its offset; bilinear between pixels."""
    reach, one = reach_px(recipe), np.float32(1)
    bands = SENSORS[recipe.sensor]
    roles = [band.role for band in bands]
    reference = roles.index(_REFERENCE) if _REFERENCE in roles else 0
    out = np.empty((len(bands), len(ys), len(xs)), dtype=np.float32)
    row, column = np.arange(len(ys))[:, None] + reach, np.arange(len(xs)) + reach
    for number, band in enumerate(bands):
        if number == reference:
            out[number] = pixels[number, reach:-reach, reach:-reach]
            continue
        right, down = band_offset(recipe, band.role, xs, ys)
        left, up = np.floor(-right), np.floor(-down)
        a, b = -right - left, -down - up
        at = (row + up.astype(np.int64)) * pixels.shape[2] + column + left.astype(np.int64)
        flat = pixels[number].ravel()
        top = flat[at] * (one - a) + flat[at + 1] * a
        at += pixels.shape[2]
        low = flat[at] * (one - a) + flat[at + 1] * a
        out[number] = top * (one - b) + low * b
    return out


def line_gains(recipe: FieldRecipe, xs: Floats, ys: Floats) -> Float32:
    """Brightness that flight lines give, over the true one.

    Args:
        recipe: The field.
        xs: x of the columns, metres.
        ys: y of the rows, metres.

    Returns:
        (bands, height, width); lines differ by `recipe.exposure_steps`, as standard deviation.
    """
    seed, gsd, steps = recipe.seed, recipe.gsd_m, recipe.exposure_steps
    width, lean = (float(uniform(seed, f"camera.{what}", 0)[0]) for what in ("width", "lean"))
    width = (_LINE_PX[0] + _LINE_PX[1] * width) * gsd
    turn = cos_sin((recipe.row_direction_deg + _LINE_LEAN_DEG * (2 * lean - 1)) / 360.0)
    c, s = (float(part) for part in turn)
    place = (ys[:, None] * c - xs[None, :] * s) / width
    ragged = place
    for part, scale in _RAGGED:
        ragged = ragged + part * noise_grid(seed, f"camera.seam.{scale}", xs, ys, scale)
    # Seam n lies between line n - 1 and line n.
    n = np.floor(ragged + 0.5)
    blend = smoothstep((ragged - n) * (width / (_FEATHER_PX * gsd)) + 0.5)
    # With the sun behind the camera things are brighter, and at a picture's edges darker.
    east, north = (float(part) for part in cos_sin((90.0 - recipe.sun_azimuth_deg) / 360.0))
    slope = steps * _SLOPE * (s * east + c * north)
    shape = [
        1.0 + slope * aside - 4.0 * _VIGNETTE * steps * aside * aside
        for aside in (place - n + 0.5, place - n - 0.5)
    ]
    first = int(n.min()) - 1
    lines = np.arange(first, int(n.max()) + 1)
    index = n.astype(np.int64) - first
    out = np.empty((len(SENSORS[recipe.sensor]), len(ys), len(xs)), dtype=np.float32)
    for number, band in enumerate(SENSORS[recipe.sensor]):
        gains = 1.0 + steps * _line_normals(seed, band.role, lines)
        before, after = gains[index - 1] * shape[0], gains[index] * shape[1]
        out[number] = before + (after - before) * blend
    return out


def _line_normals(seed: int, role: str, lines: Ints) -> Floats:
    """Standard normal numbers of `lines` in a band, mostly those of all bands."""
    shared, own = (normal(seed, f"camera.line{which}", lines) for which in ("", f".{role}"))
    return math.sqrt(1 - _OWN_VARIANCE) * shared + math.sqrt(_OWN_VARIANCE) * own


def _with_noise(recipe: FieldRecipe, columns: Ints, rows: Ints, pixels: Float32) -> Float32:
    """Add the sensor's noise, half of it growing with the light, and keep reflectance positive."""
    out = np.empty_like(pixels)
    # A few rows at a time: they stay in the processor's cache.
    for start in range(0, len(rows), _NOISE_ROWS):
        part = slice(start, start + _NOISE_ROWS)
        for number, band in enumerate(SENSORS[recipe.sensor]):
            stream, here = f"sensor.{band.role}", rows[part, None]
            grain = normal(recipe.seed, stream, columns[None, :], here).astype(np.float32)
            plane = np.multiply(pixels[number, part], np.float32(2.0), out=out[number, part])
            plane += np.float32(0.5)
            plane *= np.float32(recipe.noise)
            plane *= grain
            plane += pixels[number, part]
            np.maximum(plane, np.float32(1e-4), out=plane)
    return out
