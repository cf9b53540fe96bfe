"""The frame of crop rows: metres along and across them, straight or on arcs, and their wheels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agriseg.simulate.noise import Floats, Ints, cos_sin, noise_at, smoothstep

__all__ = ["WHEEL_HALF_WIDTH_M", "Passes", "Rect", "Rows", "passes", "track"]

SWAY_M = 0.30
"""Rows swing this far to both sides, as a driver steers."""
_SWAY_LENGTH_M = 9.0

# Two wheels of a tractor, this far apart; they run between rows.
_WHEELS_M = 1.5
# Where in a pass the first wheel runs: 13 of 24 rows.
_FIRST_WHEEL = 13 / 24
WHEEL_HALF_WIDTH_M = 0.19
"""Half the width of the track that a wheel leaves."""

# Nearer to the middle of the arcs than this share of the radius nothing is sown.
_INNERMOST = 0.1


@dataclass(frozen=True)
class Rect:
    """A rectangle in field coordinates, metres; y grows southwards."""

    left: float
    top: float
    right: float
    bottom: float

    def grown(self, metres: float) -> Rect:
        return Rect(
            self.left - metres, self.top - metres, self.right + metres, self.bottom + metres
        )

    def holds(self, x: Floats, y: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which of the points lie inside."""
        return (x >= self.left) & (x < self.right) & (y >= self.top) & (y < self.bottom)

    @property
    def corners(self) -> list[tuple[float, float]]:
        """The four corners, around."""
        return [
            (self.left, self.top),
            (self.right, self.top),
            (self.right, self.bottom),
            (self.left, self.bottom),
        ]


@dataclass(frozen=True)
class Passes:
    """Where wheels run, counted in rows: a pass every `period`, its two wheels after `first`.

    Wheels run between two rows.
    """

    period: int
    first: int
    wheels: int


def passes(pass_m: float, spacing_m: float) -> Passes | None:
    """The passes of a machine `pass_m` wide over rows `spacing_m` apart; None without passes."""
    if pass_m == 0:
        return None
    period, wheels = max(round(pass_m / spacing_m), 1), max(round(_WHEELS_M / spacing_m), 1)
    return Passes(period, round(period * _FIRST_WHEEL), wheels)


def track(aside: Floats) -> Floats:
    """How much a wheel has pressed the ground: 1 in its track, 0 outside, soft between.

    Args:
        aside: Metres from the middle of the track.
    """
    return smoothstep((WHEEL_HALF_WIDTH_M + 0.05 - aside) / 0.1)


@dataclass(frozen=True)
class Rows:
    """The frame of the rows: u metres along them, v metres across, both bent with the sway.

    Row k runs along v = (k + 0.5) `spacing_m`. Curved rows are arcs about one point, which lies
    `radius_m` from the origin on the side of falling v; u is counted on the arc v = 0.

    Args:
        seed: From which the sway follows.
        axis: Unit vector along the rows at the origin, in field coordinates.
        spacing_m: Metres between two rows.
        wheels: Where wheels run.
        origin: Where u and v are zero, but for the sway; metres.
        radius_m: Of the arcs; 0 for straight rows.
        sway_m: How far the rows swing to each side.
    """

    seed: int
    axis: tuple[float, float]
    spacing_m: float
    wheels: Passes | None
    origin: tuple[float, float] = (0.0, 0.0)
    radius_m: float = 0.0
    sway_m: float = SWAY_M

    def sway(self, u: Floats) -> Floats:
        """Metres by which all rows lie to the side at `u`."""
        lines = np.zeros_like(u)
        return self.sway_m * noise_at(self.seed, "rows.sway", u, lines, _SWAY_LENGTH_M)

    def to_uv(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        c, s = self.axis
        x, y = x - self.origin[0], y - self.origin[1]
        u, v = x * c + y * s, y * c - x * s
        if self.radius_m:
            u, v = self._on_arcs(u, v)
        return u, v - self.sway(u)

    def to_xy(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        c, s = self.axis
        across = v + self.sway(u)
        if self.radius_m:
            cosine, sine = cos_sin(u / (2.0 * np.pi * self.radius_m))
            out = self.radius_m + across
            u, across = out * sine, out * cosine - self.radius_m
        return u * c - across * s + self.origin[0], u * s + across * c + self.origin[1]

    def stretch(self, v: Floats) -> Floats:
        """Metres along the row at `v` for a metre of u."""
        if not self.radius_m:
            return np.ones_like(v)
        return np.maximum((self.radius_m + v) / self.radius_m, _INNERMOST)

    def axis_at(self, x: float, y: float) -> tuple[float, float]:
        """Unit vector along the rows at a point, without the sway."""
        c, s = self.axis
        if not self.radius_m:
            return c, s
        x, y = x - self.origin[0], y - self.origin[1]
        u, _ = self._on_arcs(np.array([x * c + y * s]), np.array([y * c - x * s]))
        cosine, sine = (float(a[0]) for a in cos_sin(u / (2.0 * np.pi * self.radius_m)))
        return c * cosine + s * sine, s * cosine - c * sine

    def ranges(self, rect: Rect) -> tuple[float, float, float, float]:
        """(least u, greatest u, least v, greatest v) that `rect` can hold."""
        c, s = self.axis
        corners = [(x - self.origin[0], y - self.origin[1]) for x, y in rect.corners]
        us = [x * c + y * s for x, y in corners]
        vs = [y * c - x * s for x, y in corners]
        if self.radius_m:
            us, vs = self._arc_ranges(us, vs)
        return min(us), max(us), min(vs) - self.sway_m, max(vs) + self.sway_m

    def _on_arcs(self, along: Floats, across: Floats) -> tuple[Floats, Floats]:
        """u, and v without the sway, from the straight frame at the origin."""
        out = across + self.radius_m
        # Rounded, as all that comes out of the mathematical library (see `noise`).
        turn = np.arctan2(along, out).round(9)
        return turn * self.radius_m, np.sqrt(along * along + out * out) - self.radius_m

    def _arc_ranges(self, us: list[float], vs: list[float]) -> tuple[list[float], list[float]]:
        """Values among which u and v of a rectangle lie; its corners are given, around."""
        along, out = np.array(us), np.array(vs) + self.radius_m
        far = float(np.sqrt(along * along + out * out).max())
        if out.min() <= 0:  # it reaches behind the middle of the arcs: all around
            half = math.pi * self.radius_m
            near = _INNERMOST * self.radius_m
            return [-half, half], [near - self.radius_m, far - self.radius_m]
        turns, _ = self._on_arcs(along, np.array(vs))
        # The nearest point lies on a side: the foot of the middle on it, or a corner.
        dx, dy = np.roll(along, -1) - along, np.roll(out, -1) - out
        length = np.maximum(dx * dx + dy * dy, 1e-12)
        share = np.clip(-(along * dx + out * dy) / length, 0.0, 1.0)
        nearest = (along + share * dx) ** 2 + (out + share * dy) ** 2
        near = max(float(np.sqrt(nearest.min())), _INNERMOST * self.radius_m)
        return [float(turn) for turn in turns], [near - self.radius_m, far - self.radius_m]

    def wheel_distance(self, v: Floats) -> Floats:
        """Metres from the middle of the nearest wheel track."""
        if self.wheels is None:
            return np.full_like(v, np.inf)
        spacing = self.spacing_m
        period = self.wheels.period * spacing
        first = self.wheels.first * spacing
        distances = []
        for wheel in (0, self.wheels.wheels):
            offset = (v - first - wheel * spacing) / period
            distances.append(np.abs(offset - np.floor(offset + 0.5)) * period)
        return np.minimum(distances[0], distances[1])

    def numbers(self, v: Floats) -> tuple[Ints, Floats]:
        """The nearest row, and metres off its middle."""
        row = np.floor(v / self.spacing_m).astype(np.int64)
        return row, v - (row + 0.5) * self.spacing_m
