"""Light and camera: cast shadows, sky light between leaves, and the blur of the lens."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.simulate.spectra import CROP, TO_YELLOW, Palette

__all__ = [
    "BLUR_REACH",
    "HAZE_REACH",
    "PENUMBRA_M",
    "Shares",
    "blur",
    "cast_shadow",
    "cover",
    "crevices",
    "expand",
    "gather",
    "openness",
    "shares",
]

Float32 = NDArray[np.float32]
_Value = TypeVar("_Value", bound=np.generic)

BLUR_REACH = 4
"""Pixels that the camera's blur reaches: 2.7 standard deviations of the widest allowed."""
HAZE_REACH = 6
"""Pixels over which taller neighbours hide the sky."""

PENUMBRA_M = 0.008
"""Height over which a shadow goes from none to full: the sun is a disc, edges of leaves curl."""

# Rows that are worked on at a time, so that they stay in the processor's cache.
_SHADOW_ROWS, _BLUR_ROWS = 32, 64


@dataclass(frozen=True)
class Shares:
    """Parts of the light on open level ground in one band; direct and sky sum to 1."""

    direct: np.float32
    sky: np.float32
    leak: np.float32
    passed: np.float32


def shares(seen: Palette, band: int, diffuse: float = 0.0, dried: float = 0.0) -> Shares:
    """The parts of the light in `band` (an index into `seen.bands`).

    Args:
        seen: What the camera sees of the light.
        band: The band.
        diffuse: Share of the sun's light that comes from the sky instead.
        dried: How far the crop has dried, 0..1: straw passes red light on as well as near infrared.
    """
    sky = seen.sky_share[band]
    sky += (np.float32(1) - sky) * np.float32(diffuse)
    passed = seen.passed_on[band]
    if dried:
        # As `Palette.passed_on`, of leaves that transmit 0.4 of what they reflect.
        again = np.float32(0.7) * seen.endmembers[CROP + TO_YELLOW, 1, band]
        passed += np.float32(dried) * (again / (np.float32(1) - again) - passed)
    return Shares(np.float32(1) - sky, sky, seen.through_leaves[band], passed)


def cast_shadow(
    height: Float32,
    towards_sun: tuple[float, float],
    tan_elevation: float,
    step_m: float,
    tallest_m: float,
    reach: int,
    core: Window,
    depth_m: float = math.inf,
    penumbra_m: float = PENUMBRA_M,
) -> Float32:
    """Share of the sun's disc that higher things hide, 0..1, for the samples of `core`.

    Follows the ray towards the sun by whole samples, so that no window moves it by a fraction.

    Args:
        height: Height of the surface in metres, (rows, columns).
        towards_sun: Level unit vector (x, y) towards the sun.
        tan_elevation: Tangent of its elevation.
        step_m: Distance between samples, metres.
        tallest_m: No shadow is looked for beyond what this height can throw.
        reach: Steps along the ray after which nothing is looked for either.
        core: The samples of `height` that are asked for; the others only throw shadows, and where
            the ray ends in them have room for it.
        depth_m: How deep below the surface things keep the sun out; light passes underneath.
        penumbra_m: Height over which a shadow goes from none to full.

    Returns:
        (core.height, core.width).
    """
    rows, columns = core.shape
    own = height[core.slices]
    # Nothing throws a shadow from farther away; a little more, because the heights are rounded.
    highest = height.max() + np.float32(0.001)
    steps: dict[tuple[int, int], np.float32] = {}
    for k in range(1, min(math.floor(tallest_m / tan_elevation / step_m), reach) + 1):
        dx, dy = round(k * towards_sun[0]), round(k * towards_sun[1])
        drop = np.float32(math.sqrt(dx * dx + dy * dy) * step_m * tan_elevation)
        if drop < highest:
            steps.setdefault((dx, dy), drop)
    steps.pop((0, 0), None)
    roof = np.empty_like(own)
    # A few rows at a time: they stay in the processor's cache while the ray is followed.
    for start in range(0, rows, _SHADOW_ROWS):
        part = slice(start, min(start + _SHADOW_ROWS, rows))
        views = (
            (height[core.row_off + dy :, core.col_off + dx :][part, :columns], drop)
            for (dx, dy), drop in steps.items()
        )
        if math.isinf(depth_m):
            roof[part] = _under_solid(own[part], views)
        else:
            roof[part] = _under_leaves(own[part], views, np.float32(0.5 * depth_m))
    roof -= np.float32(0.25 * penumbra_m)
    roof *= np.float32(1 / penumbra_m)
    return np.clip(roof, np.float32(0), np.float32(1), out=roof)


def _under_solid(own: Float32, views: Iterable[tuple[Float32, np.float32]]) -> Float32:
    """Metres by which the highest of `views` stands above the ray; solid down to the ground."""
    roof, ray = np.zeros_like(own), np.empty_like(own)
    for view, drop in views:
        np.subtract(view, drop, out=ray)
        np.maximum(roof, ray, out=roof)
    roof -= own
    return roof


def _under_leaves(
    own: Float32, views: Iterable[tuple[Float32, np.float32]], half_depth: np.float32
) -> Float32:
    """Metres that the ray runs inside the nearest of `views`, from its top or from its underside.

    Each is a layer of twice `half_depth`.
    """
    # The ray is deepest inside where it meets the middle of a layer.
    middle = own + half_depth
    least, ray = np.full_like(own, half_depth), np.empty_like(own)
    for view, drop in views:
        np.subtract(view, middle, out=ray)
        ray -= drop
        np.abs(ray, out=ray)
        np.minimum(least, ray, out=least)
    return np.asarray(half_depth - least)


def openness(height: Float32, samples: int, closed_m: float = 0.0) -> Float32:
    """Share of the sky that a sample sees: less, the taller its neighbourhood stands.

    Args:
        height: Height of the surface in metres, (rows, columns) of samples.
        samples: Samples along a pixel's side.
        closed_m: Where plants close over the ground, how far below the mean of its neighbourhood
            half of the sky is left to a sample, and so on down to nothing. Without, a sample always
            sees 0.4 of the sky.
    """
    seen = _around(height, samples)
    seen -= height
    np.maximum(seen, np.float32(0), out=seen)
    if closed_m:
        # A quotient, because the last bits of an exponential differ between processors.
        seen *= np.float32(1.0 / closed_m)
        seen *= seen
        seen += np.float32(1)
        return np.divide(np.float32(1), seen, out=seen)
    # Ten centimetres below the mean of its neighbourhood, a leaf sees six tenths of the sky.
    seen *= np.float32(4.0)
    np.subtract(np.float32(1), seen, out=seen)
    return np.maximum(seen, np.float32(0.4), out=seen)


def cover(plants: NDArray[np.bool_], samples: int) -> Float32:
    """Share of a sample's neighbourhood that `plants` (rows, columns of samples) cover, 0..1."""
    return _around(plants.astype(np.float32), samples)


def crevices(height: Float32, reach: int, step_m: float) -> Float32:
    """Share of the light that reaches the ground between clods, 0..1: less in narrow gaps.

    Args:
        height: Height of the surface in metres, (rows, columns) of samples.
        reach: Samples to each side that stand in the light.
        step_m: Distance between samples, metres.
    """
    # Two boxes, so that the shade of a clod on even ground fades outwards.
    around = _box(_box(height, reach - reach // 2), reach // 2)
    deep: Float32 = around - height
    # A single low clod on even ground makes no gap.
    deep -= np.float32(0.05 * reach * step_m)
    np.maximum(deep, np.float32(0), out=deep)
    deep *= np.float32(5.5 / (reach * step_m))
    deep += np.float32(1)
    return np.asarray(np.float32(1) / deep)


def _around(a: Float32, samples: int) -> Float32:
    """Mean of the neighbourhood of each sample, pixel by pixel."""
    mean = gather(a, samples)
    for reach in (1, 2, 3):  # three boxes make nearly a bell; together they reach HAZE_REACH
        mean = _box(mean, reach)
    return expand(mean, samples)


def _box(a: Float32, reach: int) -> Float32:
    """Mean over a square of 2 reach + 1; rows and columns within `reach` of the edge stay."""
    out = a.copy()
    weight = np.float32(1.0 / (2 * reach + 1))
    n = a.shape[0]
    inner = a[0 : n - 2 * reach].copy()
    for k in range(1, 2 * reach + 1):
        inner += a[k : n - 2 * reach + k]
    out[reach : n - reach] = inner * weight
    n = a.shape[1]
    inner = out[:, 0 : n - 2 * reach].copy()
    for k in range(1, 2 * reach + 1):
        inner += out[:, k : n - 2 * reach + k]
    out[:, reach : n - reach] = inner * weight
    return out


def gather(a: Float32, samples: int) -> Float32:
    """Mean of the samples of each pixel, summed in a fixed order."""
    total = a[0::samples, 0::samples].copy()
    for r in range(samples):
        for c in range(samples):
            if r or c:
                total += a[r::samples, c::samples]
    total *= np.float32(1.0 / samples**2)
    return total


def expand(a: NDArray[_Value], samples: int) -> NDArray[_Value]:
    """Each pixel's value for all its samples."""
    out = np.empty((a.shape[0], samples, a.shape[1], samples), dtype=a.dtype)
    for r in range(samples):
        for c in range(samples):
            out[:, r, :, c] = a
    return out.reshape(a.shape[0] * samples, a.shape[1] * samples)


def blur(pixels: Float32, sigma_px: float) -> Float32:
    """The camera's point spread, a Gaussian; `BLUR_REACH` pixels are lost on each side.

    Args:
        pixels: (bands, height, width).
        sigma_px: Standard deviation in pixels; 0 for a perfect lens.
    """
    steps = range(-BLUR_REACH, BLUR_REACH + 1)
    bell = [math.exp(-0.5 * (k / sigma_px) ** 2) if sigma_px else float(k == 0) for k in steps]
    # Rounded, as all that comes out of the mathematical library (see `noise`).
    weights = [round(w / sum(bell), 6) for w in bell]
    taps = [(k, np.float32(weight)) for k, weight in enumerate(weights) if weight]
    bands, height, width = pixels.shape
    height, width = height - 2 * BLUR_REACH, width - 2 * BLUR_REACH
    out = np.empty((bands, height, width), dtype=np.float32)
    tall = np.empty((_BLUR_ROWS, pixels.shape[2]), dtype=np.float32)
    part = np.empty_like(tall)
    for band in range(bands):
        for start in range(0, height, _BLUR_ROWS):
            n = min(_BLUR_ROWS, height - start)
            rows = [pixels[band, start + k : start + k + n] for k, _ in taps]
            _weigh(rows, taps, part[:n], tall[:n])
            columns = [tall[:n, k : k + width] for k, _ in taps]
            _weigh(columns, taps, part[:n, :width], out[band, start : start + n])
    return out


def _weigh(
    views: list[Float32], taps: list[tuple[int, np.float32]], part: Float32, out: Float32
) -> None:
    """Put the weighted sum of `views` into `out`; `part` is room to work in."""
    np.multiply(views[0], taps[0][1], out=out)
    for view, (_, weight) in zip(views[1:], taps[1:], strict=True):
        np.multiply(view, weight, out=part)
        out += part
