"""The samples of leaves in close-up: outlines with teeth and holes, veins, dry tips, glints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Ints, ripple32
from agriseg.simulate.spectra import CROP, TO_GLINT, TO_YELLOW

if TYPE_CHECKING:
    from agriseg.simulate.canvas import Sun
    from agriseg.simulate.shapes import Leaves

__all__ = ["glints", "inside", "markings", "quilted"]

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]

_HALF, _ONE = np.float32(0.5), np.float32(1.0)
# Samples from one side vein to the next, from which on they are drawn; fully at twice as many.
_LEAST_GAP = 2.5
# Slope of the leaf between two side veins, over a seventh of it.
_BULGE = 1.0
# Places of holes: along and across the leaf, and size, as shares; an odd multiple of the phase.
_HOLES = (3.71, 11.3, 23.9)
# The cosine between a leaf's normal and the mirror's, from which on it glints, and where fully.
_GLINT_FROM, _GLINT_FULL = 0.94, 1.0


def _of(leaves: Leaves, name: str, n: Ints) -> Float32:
    return np.asarray(getattr(leaves, name).astype(np.float32).take(n))


def _part(x: Float32) -> Float32:
    return np.asarray(x - np.floor(x))


def inside(leaves: Leaves, n: Ints, b: Float32, across: Float32, width: Float32) -> Ints:
    """Which samples lie on leaves `n`, not between their teeth nor in a hole.

    Args:
        leaves: Some leaves.
        n: The leaf of each sample.
        b: Its place along the leaf without the stalk, 0..1.
        across: Metres off the midrib, to the left or right.
        width: Half width there of a leaf with a smooth edge, metres.
    """
    half = _of(leaves, "half_m", n)
    # A stalk is thin, whatever the leaf.
    stem = np.float32(0.12) * half + np.float32(0.0006)
    aside = np.abs(across)
    tooth = _part(_of(leaves, "teeth", n) * b + _of(leaves, "phase", n))
    tooth *= _of(leaves, "tooth", n)
    edge = np.where(b > 0, np.maximum(width * (_ONE - tooth), np.float32(0.08) * half), stem)
    on = aside < edge
    bitten = np.flatnonzero(on & (_of(leaves, "eaten", n) > 0))
    if len(bitten):
        on[bitten[_in_holes(leaves, n.take(bitten), b.take(bitten), across.take(bitten))]] = False
    return np.flatnonzero(on)


def _in_holes(leaves: Leaves, n: Ints, b: Float32, across: Float32) -> NDArray[np.bool_]:
    """Which samples lie in a hole, or where something was bitten off the edge."""
    phase, half = _of(leaves, "phase", n), _of(leaves, "half_m", n)
    blade = _of(leaves, "length_m", n) * (_ONE - _of(leaves, "petiole", n))
    size = _of(leaves, "eaten", n) * half
    hole = np.zeros(len(n), dtype=np.bool_)
    for many in _HOLES:
        lot = _part(phase * np.float32(many))
        x = (b - (np.float32(0.25) + np.float32(0.65) * lot)) * blade
        y = across - (np.float32(2.2) * _part(lot * np.float32(7.3)) - np.float32(1.1)) * half
        # Not round: stretched along one diagonal.
        x += np.float32(0.4) * y
        r = size * (np.float32(0.3) + np.float32(0.7) * _part(lot * np.float32(17.9)))
        hole |= x * x + y * y < r * r
    return hole & (b > 0)


def quilted(
    leaves: Leaves, n: Ints, b: Float32, across: Float32, length: Float32, step_m: float
) -> tuple[Float32, Float32, Float32]:
    """Slope along the leaf between side veins, paleness of side veins, and waves of the leaf.

    Args:
        leaves: Some leaves.
        n: The leaf of each sample.
        b: Its place along the leaf without the stalk, 0..1.
        across: Metres off the midrib.
        length: Length of the leaf, metres.
        step_m: Distance between samples, metres: veins that are closer together are not seen.
    """
    gap = leaves.length_m / np.maximum(leaves.veins, 0.1) / (step_m * _LEAST_GAP)
    seen = (np.clip(gap - 1.0, 0.0, 1.0) * (leaves.vein > 0)).astype(np.float32).take(n)
    part = _part(_of(leaves, "veins", n) * (b - _of(leaves, "slant", n) * np.abs(across) / length))
    part -= _HALF
    vein = np.abs(part) * np.float32(16.0) - np.float32(7.0)
    vein = np.clip(vein, np.float32(0.0), _ONE) * seen
    vein *= _of(leaves, "vein", n)
    # The leaf bulges between them, and is level in the middle and at the vein.
    part *= np.float32(0.25) - part * part
    part *= seen * np.float32(_BULGE)
    phase, y = _of(leaves, "phase", n), across / _of(leaves, "half_m", n)
    wave = ripple32(b * np.float32(1.7) + y * np.float32(0.3) + phase)
    wave *= ripple32(y * np.float32(0.6) - b * np.float32(1.1) + phase * np.float32(5.0))
    wave *= _of(leaves, "blotch", n)
    part += wave
    return part, vein, wave


def markings(
    leaves: Leaves, n: Ints, t: Float32, across: Float32, pale: Float32, wave: Float32
) -> tuple[UInt8, Float32]:
    """Material and paleness of samples, with blotches and tips that have dried.

    Args:
        leaves: Some leaves.
        n: The leaf of each sample.
        t: Its place along the leaf, 0..1.
        across: Metres off the midrib.
        pale: Paleness of the leaf.
        wave: Of the leaf, see `quilted`.
    """
    pale = pale + wave
    material = leaves.material[n].astype(np.uint8)
    dried = _of(leaves, "dried", n)
    dry = np.flatnonzero(dried > 0)
    if len(dry):
        # From the tip, along the edges more than in the middle.
        depth = t.take(dry) - _ONE + dried.take(dry) * (_ONE + np.float32(4.0) * wave.take(dry))
        y = np.abs(across.take(dry)) / _of(leaves, "half_m", n.take(dry))
        depth += np.float32(0.12) * (y - _HALF)
        there = depth > 0
        dry = dry[there]
        material[dry] = (material[dry] - CROP) % TO_YELLOW + (CROP + TO_YELLOW)
        # Yellow first, straw towards the tip: paleness 0 to 1 of another material.
        pale[dry] = np.minimum(np.float32(5.0) * depth[there], _ONE)
    return material, pale


def glints(
    leaves: Leaves,
    n: Ints,
    material: UInt8,
    pale: Float32,
    slope: tuple[Float32, Float32],
    sun: Sun,
) -> None:
    """Put the sun on samples that mirror it straight up, in place.

    Args:
        leaves: Some leaves.
        n: The leaf of each sample.
        material: Their material.
        pale: Their paleness; of a glint how bright it is.
        slope: Of the surface, eastwards and southwards.
        sun: The light.
    """
    gloss = _of(leaves, "gloss", n)
    sine = sun.tan_elevation / math.sqrt(1.0 + sun.tan_elevation**2)
    cosine = sine / sun.tan_elevation
    # The mirror's normal lies half-way between the sun and the zenith.
    up = math.sqrt(0.5 * (1.0 + sine))
    level = cosine / (2.0 * up)
    gx, gy = slope
    dot = np.float32(up) - gx * np.float32(level * sun.x) - gy * np.float32(level * sun.y)
    dot /= np.sqrt(_ONE + gx * gx + gy * gy)
    dot -= np.float32(_GLINT_FROM)
    dot *= np.float32(1.0 / (_GLINT_FULL - _GLINT_FROM))
    dot = np.clip(dot, np.float32(0), _ONE)
    shine = dot * dot * gloss
    bright = np.flatnonzero((shine > np.float32(0.05)) & (material < CROP + TO_YELLOW))
    material[bright] += np.uint8(TO_GLINT)
    pale[bright] = shine.take(bright)
