"""Random numbers that belong to a place: a function of seed and position, not of calls before.

A field is rendered window by window, in any order and on any number of workers, and every window
must show the same field. So nothing here keeps a state: each number is the hash of the seed, of a
stream (which question is asked) and of two integers (where, or which plant).

Per-pixel arithmetic in this package uses only operations that IEEE 754 rounds exactly (+, -, *, /,
square root, floor). Library functions such as exp or sin differ in the last bit between processors,
and one last bit is enough to move a rounded reflectance.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Floats",
    "Ints",
    "cos_sin",
    "hash_u32",
    "noise_at",
    "noise_grid",
    "normal",
    "ripple",
    "ripple32",
    "smoothstep",
    "uniform",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Float32 = NDArray[np.float32]
UInt32 = NDArray[np.uint32]

_GOLDEN = np.uint32(0x9E3779B9)

# Sums of four bytes as normal numbers. Four uniform bytes have mean 510 and variance
# 4 * (256^2 - 1) / 12.
_NORMAL = (np.arange(4 * 255 + 1) - np.float64(510.0)) / np.float64(147.801)

# Points of `noise_at` that are worked on at a time, so that all arrays stay in the cache.
_CHUNK = 1 << 14


def _mix(x: UInt32) -> UInt32:
    """Finalise a 32-bit hash ("lowbias32" of Chris Wellons' hash prospector, 2018)."""
    x = x ^ (x >> np.uint32(16))
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def hash_u32(seed: int, stream: str, i: Ints | int, j: Ints | int = 0) -> UInt32:
    """Hash two integers (any sign, broadcast against each other) into 32 random bits.

    Args:
        seed: The field's seed.
        stream: Which question is asked; two streams are independent of each other.
        i: First integer.
        j: Second integer.
    """
    key = np.array([crc32(f"{seed}:{stream}".encode())], dtype=np.uint32)
    a = np.atleast_1d(np.asarray(i, dtype=np.int64)).astype(np.uint32)
    b = np.atleast_1d(np.asarray(j, dtype=np.int64)).astype(np.uint32)
    return _mix(_mix(_mix(b + key) + a * _GOLDEN) ^ key)


def uniform(seed: int, stream: str, i: Ints | int, j: Ints | int = 0) -> Floats:
    """Uniform numbers in [0, 1); arguments as in `hash_u32`."""
    return hash_u32(seed, stream, i, j) * np.float64(2.0**-32)


def normal(seed: int, stream: str, i: Ints | int, j: Ints | int = 0) -> Floats:
    """Nearly normal numbers, mean 0, standard deviation 1, never beyond 3.46.

    The sum of the four bytes of a hash: no logarithm, no cosine, a quarter of the time.
    """
    bits = hash_u32(seed, stream, i, j)
    total = bits & np.uint32(0xFF)
    total += bits >> np.uint32(24)
    for _ in range(2):
        bits >>= np.uint32(8)
        total += bits & np.uint32(0xFF)
    return _NORMAL.take(total)


def smoothstep(x: Floats) -> Floats:
    """0 below 0, 1 above 1, and 3x^2 - 2x^3 between."""
    return _smooth(np.clip(x, 0.0, 1.0))


def _smooth(x: Floats) -> Floats:
    """`smoothstep` of numbers that lie between 0 and 1."""
    rest = -2.0 * x
    rest += 3.0
    rest *= x * x
    return rest


def ripple(x: Floats) -> Floats:
    """A wave of period 1 between -1 and 1, sine-like, made of parabolas."""
    x = x - np.floor(x)
    return np.where(x < 0.5, 16.0 * x * (0.5 - x), -16.0 * (x - 0.5) * (1.0 - x))


def ripple32(x: Float32) -> Float32:
    """`ripple` in single precision."""
    x = x - np.floor(x)
    y = np.minimum(x, np.float32(1.0) - x)
    wave = np.float32(16.0) * y
    wave *= np.float32(0.5) - y
    return np.asarray(np.copysign(wave, np.float32(0.5) - x))


def cos_sin(turns: Floats | float) -> tuple[Floats, Floats]:
    """Cosine and sine of `turns` (1 = a full circle), rounded to nine digits.

    The rounding takes away the last bits in which mathematical libraries differ.
    """
    angle: Floats = 2.0 * np.pi * np.asarray(turns, dtype=np.float64)
    cosine, sine = np.asarray(np.cos(angle)), np.asarray(np.sin(angle))
    return cosine.round(9), sine.round(9)


def noise_at(seed: int, stream: str, x: Floats, y: Floats, scale: float) -> Floats:
    """Smooth noise in [-1, 1] at scattered points.

    Args:
        seed: The field's seed.
        stream: Which noise.
        x: Coordinates in metres.
        y: Coordinates in metres, of the same shape.
        scale: Side of a lattice cell in metres; bumps are about twice as wide.
    """
    if x.size == 0:
        return np.zeros(x.shape)
    # The lattice under the points is small where points are many: hash it once, then look up.
    (i0, i1), (j0, j1) = (
        (int(np.floor(a.min() / scale)), int(np.floor(a.max() / scale))) for a in (x, y)
    )
    ni, nj = i1 - i0 + 2, j1 - j0 + 2
    if ni * nj > 4 * x.size + 1024:
        return _noise_apart(seed, stream, x, y, scale)
    lattice = _lattice(seed, stream, i0, j0, ni, nj)
    first, step = lattice.ravel(), np.diff(lattice, axis=1, append=0.0).ravel()
    out = np.empty(x.size)
    us, vs = x.reshape(-1), y.reshape(-1)
    for start in range(0, x.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        u, v = us[part] / scale, vs[part] / scale
        i, j = np.floor(u), np.floor(v)
        u -= i
        v -= j
        a, b = _smooth(u), _smooth(v)
        j -= j0
        j *= ni
        j += i
        j -= i0
        flat = j.astype(np.int64)
        top, low = step.take(flat), step.take(flat + ni)
        top *= a
        top += first.take(flat)
        flat += ni
        low *= a
        low += first.take(flat)
        low -= top
        low *= b
        np.add(top, low, out=out[part])
    return out.reshape(x.shape)


def _noise_apart(seed: int, stream: str, x: Floats, y: Floats, scale: float) -> Floats:
    """`noise_at` for points far from each other: the corners of each are hashed for it alone."""
    u, v = (x / scale).ravel(), (y / scale).ravel()
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    a, b = _smooth(u - i), _smooth(v - j)
    corner = [
        uniform(seed, stream, i + di, j + dj) * 2.0 - 1.0
        for di, dj in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    top = corner[0] + (corner[1] - corner[0]) * a
    low = corner[2] + (corner[3] - corner[2]) * a
    return np.asarray(top + (low - top) * b).reshape(x.shape)


def noise_grid(seed: int, stream: str, xs: Floats, ys: Floats, scale: float) -> Float32:
    """The noise of `noise_at` on the grid `ys` by `xs`, in float32 and about ten times faster.

    Args:
        seed: The field's seed.
        stream: Which noise.
        xs: Rising x of the columns in metres, (width,).
        ys: Rising y of the rows in metres, (height,).
        scale: Side of a lattice cell in metres.

    Returns:
        (height, width).
    """
    u, v = xs / scale, ys / scale
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    a = _smooth(u - i).astype(np.float32)
    b = _smooth(v - j).astype(np.float32)[:, None]
    i0, j0 = int(i[0]), int(j[0])
    doubles = _lattice(seed, stream, i0, j0, int(i[-1]) - i0 + 2, int(j[-1]) - j0 + 2)
    lattice = doubles.astype(np.float32)
    left, right = lattice[:, i - i0], lattice[:, i - i0 + 1]
    lines = left + (right - left) * a
    top, low = lines[j - j0], lines[j - j0 + 1]
    low -= top
    low *= b
    low += top
    return low


def _lattice(seed: int, stream: str, i0: int, j0: int, ni: int, nj: int) -> Floats:
    """Lattice values in [-1, 1) for columns from `i0` and rows from `j0`, shape (nj, ni)."""
    columns = np.arange(i0, i0 + ni, dtype=np.int64)[None, :]
    rows = np.arange(j0, j0 + nj, dtype=np.int64)[:, None]
    return uniform(seed, stream, columns, rows) * 2.0 - 1.0
