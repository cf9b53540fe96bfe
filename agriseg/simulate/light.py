"""Light and camera: cast shadows, sky light between leaves, and the blur of the lens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.spectra import SKY_SHARE, THROUGH_LEAVES

__all__ = [
    "BLUR_REACH",
    "HAZE_REACH",
    "Shares",
    "blur",
    "cast_shadow",
    "expand",
    "gather",
    "openness",
    "shares",
]

Float32 = NDArray[np.float32]

BLUR_REACH = 4
"""Pixels that the camera's blur reaches: 2.7 standard deviations of the widest allowed."""
HAZE_REACH = 6
"""Pixels over which taller neighbours hide the sky."""

# Height over which a shadow goes from none to full: the sun is a disc, and edges of leaves curl.
_PENUMBRA_M = 0.008


@dataclass(frozen=True)
class Shares:
    """Parts of the light on open level ground in one band; direct and sky sum to 1."""

    direct: np.float32
    sky: np.float32
    leak: np.float32


def shares(band: int) -> Shares:
    """The parts of the light in `band` (an index into `spectra.BANDS`)."""
    sky = SKY_SHARE[band]
    return Shares(np.float32(1) - sky, sky, THROUGH_LEAVES[band])


def cast_shadow(
    height: Float32,
    towards_sun: tuple[float, float],
    tan_elevation: float,
    step_m: float,
    tallest_m: float,
    margin: int,
) -> Float32:
    """Share of the sun's disc that higher things hide, 0..1, for the inner samples.

    Follows the ray towards the sun by whole samples, so that no window moves it by a fraction.

    Args:
        height: Height of the surface in metres, (rows, columns).
        towards_sun: Level unit vector (x, y) towards the sun.
        tan_elevation: Tangent of its elevation.
        step_m: Distance between samples, metres.
        tallest_m: No shadow is looked for beyond what this height can throw.
        margin: Samples of `height` on each side that only throw shadows.

    Returns:
        (rows - 2 margin, columns - 2 margin).
    """
    rows, columns = height.shape[0] - 2 * margin, height.shape[1] - 2 * margin
    own = height[margin : margin + rows, margin : margin + columns]
    roof = np.zeros_like(own)
    ray = np.empty_like(own)
    seen = {(0, 0)}
    for k in range(1, min(math.floor(tallest_m / tan_elevation / step_m), margin) + 1):
        dx, dy = round(k * towards_sun[0]), round(k * towards_sun[1])
        if (dx, dy) in seen:
            continue
        seen.add((dx, dy))
        drop = np.float32(math.sqrt(dx * dx + dy * dy) * step_m * tan_elevation)
        top, left = margin + dy, margin + dx
        np.subtract(height[top : top + rows, left : left + columns], drop, out=ray)
        np.maximum(roof, ray, out=roof)
    roof -= own
    roof -= np.float32(0.002)
    roof *= np.float32(1 / _PENUMBRA_M)
    return np.clip(roof, np.float32(0), np.float32(1), out=roof)


def openness(height: Float32, samples: int) -> Float32:
    """Share of the sky that a sample sees, 0.4..1: less, the taller its neighbourhood stands."""
    mean = gather(height, samples)
    for reach in (1, 2, 3):  # three boxes make nearly a bell; together they reach HAZE_REACH
        mean = _box(mean, reach)
    sunk = expand(mean, samples) - height
    # Ten centimetres below the mean of its neighbourhood, a leaf sees six tenths of the sky.
    seen = np.float32(1) - np.float32(4.0) * np.maximum(sunk, np.float32(0))
    return np.asarray(np.maximum(seen, np.float32(0.4)))


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
    return np.asarray(total * np.float32(1.0 / samples**2))


def expand(a: Float32, samples: int) -> Float32:
    """Each pixel's value for all its samples."""
    return np.repeat(np.repeat(a, samples, axis=0), samples, axis=1)


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
    for axis in (1, 2):
        n = pixels.shape[axis] - 2 * BLUR_REACH
        out: Float32 | None = None
        for k, weight in enumerate(weights):
            if weight == 0:
                continue
            part = pixels[:, k : k + n] if axis == 1 else pixels[:, :, k : k + n]
            scaled = part * np.float32(weight)
            out = scaled if out is None else out + scaled
        assert out is not None
        pixels = out
    return pixels
