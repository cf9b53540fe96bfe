"""Drawing shapes into a height buffer: the highest surface wins, on a grid fixed to the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.simulate.leaf_surface import glints, inside, markings, quilted
from agriseg.simulate.noise import Floats, Ints, ripple32
from agriseg.simulate.rocks import Rocks, rock_surface
from agriseg.simulate.shapes import Blades, Domes, Leaves

__all__ = ["Canvas", "Sun", "Surface"]

Float32 = NDArray[np.float32]
Shapes = Blades | Domes | Rocks

# Shapes are drawn in batches of equal square patches; a shape takes the next larger patch.
_PATCHES = (
    *(6, 8, 10, 13, 17, 22, 29, 38, 50, 66, 88, 120, 160),
    *(240, 360, 540, 810, 1200, 1800, 2700, 4050, 6100),
)
# Samples of the patches of a batch; shapes fill a tenth of them, which stays in the cache.
_BATCH_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Sun:
    """Where the light comes from: (x, y) is the level unit vector towards the sun."""

    x: float
    y: float
    tan_elevation: float


@dataclass(frozen=True)
class Surface:
    """What is seen from above, sample by sample; all arrays are (height, width).

    Args:
        height_m: Height above the ground, metres.
        material: `spectra.SOIL`, ...
        pale: Paleness, 0..1.
        light: Sun on the surface over that on level ground, times the shape's own brightness.
        plant: The plant's line in the table of those that were drawn, -1 where there is none.
    """

    height_m: Float32
    material: NDArray[np.uint8]
    pale: Float32
    light: Float32
    plant: NDArray[np.int32]

    def part(self, window: Window) -> Surface:
        """The samples of a window of this surface."""
        return Surface(*(getattr(self, f.name)[window.slices] for f in fields(self)))


@dataclass(frozen=True)
class _Hits:
    """Samples that a batch covers: where, how high, and how they look."""

    at: Ints
    height_m: Float32
    material: NDArray[np.uint8]
    pale: Float32
    light: Float32
    plant: NDArray[np.int32]


@dataclass
class Canvas:
    """Samples of a part of the field, the first at (`col`, `row`) of the field's sample grid.

    Args:
        col: First column, counted from the field's left edge.
        row: First row, counted from its upper edge.
        width: Columns.
        height: Rows.
        step_m: Distance between two samples, metres.
        sun: The light.
    """

    col: int
    row: int
    width: int
    height: int
    step_m: float
    sun: Sun
    _top: Float32 = field(init=False)
    _hits: list[_Hits] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._top = np.zeros(self.width * self.height, dtype=np.float32)

    def draw(self, shapes: Shapes) -> None:
        """Draw `shapes`; where two are equally high, the later one is seen."""
        if isinstance(shapes, Blades):
            reach = 0.5 * shapes.length_m * (1.0 + 2.0 * np.abs(shapes.bend)) + shapes.half_m
            middle_x = shapes.x + 0.5 * shapes.length_m * shapes.cx
            middle_y = shapes.y + 0.5 * shapes.length_m * shapes.cy
        else:
            reach, middle_x, middle_y = 1.2 * shapes.long_m, shapes.x, shapes.y
        side = np.ceil(2.0 * reach / self.step_m).astype(np.int64) + 2
        bins = np.searchsorted(_PATCHES, side)
        col = np.floor(middle_x / self.step_m).astype(np.int64) - self.col
        row = np.floor(middle_y / self.step_m).astype(np.int64) - self.row
        for k in range(len(_PATCHES)):
            patch = _PATCHES[k]
            half = patch // 2
            seen = (bins == k) & (col + half >= 0) & (row + half >= 0)
            seen &= (col - half < self.width) & (row - half < self.height)
            members = np.flatnonzero(seen)
            batch = max(_BATCH_SAMPLES // (patch * patch), 1)
            for start in range(0, len(members), batch):
                some = members[start : start + batch]
                self._draw_batch(shapes.take(some), col[some] - half, row[some] - half, patch)

    def _draw_batch(self, shapes: Shapes, col: Ints, row: Ints, patch: int) -> None:
        offsets = np.arange(patch)
        cols, rows = col[:, None] + offsets, row[:, None] + offsets
        # Double precision until the shape's own place is taken off, single after: a wide field
        # has more metres than a float32 has digits.
        dx = (cols + (self.col + 0.5)) * self.step_m - shapes.x[:, None]
        dy = (rows + (self.row + 0.5)) * self.step_m - shapes.y[:, None]
        first, count = self._spans(shapes, dx[:, 0], dy, col, row)
        # One number a line of a patch, then one a sample.
        line = np.repeat(np.arange(count.size), count)
        start = first - (np.cumsum(count) - count)
        number = np.arange(len(line))
        n = np.repeat(np.arange(len(shapes)), count.reshape(-1, patch).sum(axis=1))
        x_at = (start + np.arange(count.size) // patch * patch).take(line) + number
        at = (start + (rows * self.width + col[:, None]).ravel()).take(line) + number
        x, y = dx.astype(np.float32), dy.astype(np.float32)
        cx, cy = (a.astype(np.float32)[:, None] for a in (shapes.cx, shapes.cy))
        along: Float32 = (x * cx).take(x_at) + (y * cy).take(line)
        across: Float32 = (y * cx).take(line) - (x * cy).take(x_at)
        near = np.flatnonzero(_near(shapes, n, along, across))
        n, at = n.take(near), at.take(near)
        along, across = along.take(near), across.take(near)
        if isinstance(shapes, Blades):
            hits = _blade_hits(shapes, n, at, along, across, self.sun, self.step_m)
        elif isinstance(shapes, Domes):
            hits = _dome_hits(shapes, n, at, along, across, self.sun)
        else:
            hits = _rock_hits(shapes, n, at, along, across, self.sun)
        np.maximum.at(self._top, hits.at, hits.height_m)
        self._hits.append(hits)

    def _spans(
        self, shapes: Shapes, left: Floats, dy: Floats, col: Ints, row: Ints
    ) -> tuple[Ints, Ints]:
        """First sample and number of samples that a shape can reach in each line of its patch.

        A long thin leaf fills a small part of its patch. Its parallelogram is a little wider than
        what `_near` lets through: between two lines across it, and two along its chord.

        Args:
            shapes: A batch of them.
            left: x of the first column of each patch over the shape's own, metres, (shapes,).
            dy: y of the lines, likewise, (shapes, patch).
            col: First column of each patch on the canvas.
            row: First row.

        Returns:
            Two of (shapes * patch,).
        """
        lean, room = np.zeros(len(shapes)), 0.01 * self.step_m
        if isinstance(shapes, Blades):
            lean, sag = shapes.bend, 0.25 * shapes.bend * shapes.length_m
            low, high = np.zeros(len(shapes)), shapes.length_m
            one_side = -1.35 * shapes.half_m - np.maximum(sag, 0.0)
            other_side = 1.35 * shapes.half_m - np.minimum(sag, 0.0)
        else:
            low, high = -1.2 * shapes.long_m, 1.2 * shapes.long_m
            one_side, other_side = low, high
        patch = dy.shape[1]
        least = np.maximum(-col, 0)[:, None].astype(np.float64)
        most = np.minimum(self.width - col, patch)[:, None].astype(np.float64)
        cx, cy = shapes.cx, shapes.cy
        for by_x, by_y, lower, upper in (
            (cx, cy, low, high),
            (-cy - lean * cx, cx - lean * cy, one_side, other_side),
        ):
            by_x = np.where(np.abs(by_x) < 1e-9, 1e-9, by_x)
            scale = (1.0 / (by_x * self.step_m))[:, None]
            middle = ((0.5 * (lower + upper))[:, None] - dy * by_y[:, None]) * scale
            middle -= (left / self.step_m)[:, None]
            half = np.abs((0.5 * (upper - lower) + room)[:, None] * scale)
            least = np.maximum(least, np.ceil(middle - half))
            most = np.minimum(most, np.floor(middle + half) + 1.0)
        lines = row[:, None] + np.arange(patch)
        most[(lines < 0) | (lines >= self.height)] = -np.inf
        count = np.maximum(most - least, 0.0)
        first = np.minimum(least, float(patch))
        return first.astype(np.int64).ravel(), count.astype(np.int64).ravel()

    def finish(self) -> Surface:
        """The surface that all shapes together show; level soil where none was drawn."""
        size = self.width * self.height
        material = np.zeros(size, dtype=np.uint8)
        pale = np.zeros(size, dtype=np.float32)
        light = np.ones(size, dtype=np.float32)
        plant = np.full(size, -1, dtype=np.int32)
        for hits in self._hits:
            wins = np.flatnonzero(hits.height_m == self._top.take(hits.at))
            at = hits.at.take(wins)
            material[at] = hits.material.take(wins)
            pale[at] = hits.pale.take(wins)
            light[at] = hits.light.take(wins)
            plant[at] = hits.plant.take(wins)
        shape = (self.height, self.width)
        return Surface(
            self._top.reshape(shape),
            material.reshape(shape),
            pale.reshape(shape),
            light.reshape(shape),
            plant.reshape(shape),
        )


def _near(shapes: Shapes, n: Ints, along: Float32, across: Float32) -> NDArray[np.bool_]:
    """Samples inside the bent strip or the square that holds shape `n`."""
    if not isinstance(shapes, Blades):
        limit = np.repeat((1.2 * shapes.long_m).astype(np.float32), _counts(shapes, n))
        return np.asarray((np.abs(along) < limit) & (np.abs(across) < limit))
    count = _counts(shapes, n)
    length = np.repeat(shapes.length_m.astype(np.float32), count)
    aside = np.repeat((shapes.bend / shapes.length_m).astype(np.float32), count)
    half = np.repeat(shapes.half_m.astype(np.float32) * np.float32(1.35), count)
    aside *= along
    aside *= along
    np.abs(np.subtract(across, aside, out=aside), out=aside)
    near = (along > 0) & (along < length) & (aside < half)
    if not isinstance(shapes, Leaves):
        # A stalk is a quarter as wide as its leaf; both with some room.
        stalk = np.where(shapes.linear > 0.5, 0.0, 0.99 * shapes.petiole * shapes.length_m)
        half *= np.float32(0.26 / 1.35)
        near &= (aside < half) | (along > np.repeat(stalk.astype(np.float32), count))
    return np.asarray(near)


def _facing(gx: Float32, gy: Float32, sun: Sun) -> Float32:
    """Sunlight on a surface of slope (gx, gy) over that on level ground; steep ones are rare."""
    tan = np.float32(sun.tan_elevation)
    dot = tan - gx * np.float32(sun.x) - gy * np.float32(sun.y)
    cosine = dot / (tan * np.sqrt(np.float32(1.0) + gx * gx + gy * gy))
    return np.clip(cosine, np.float32(0.12), np.float32(1.45))


def _of(shapes: Shapes, n: Ints) -> Callable[[str], Float32]:
    """What shows a column of `shapes` as the samples of shapes `n`, which rise, have it."""
    # Repeating takes a quarter of the time that looking up does.
    count = _counts(shapes, n)
    return lambda name: np.repeat(getattr(shapes, name).astype(np.float32), count)


def _counts(shapes: Shapes, n: Ints) -> Ints:
    """How often each of the shapes stands in `n`, which rise."""
    return np.diff(np.searchsorted(n, np.arange(len(shapes) + 1)))


def _blade_hits(
    blades: Blades, n: Ints, at: Ints, along: Float32, across: Float32, sun: Sun, step_m: float
) -> _Hits:
    """Shape, height and light of the samples `along` and `across` of blades `n`."""
    close = blades if isinstance(blades, Leaves) else None
    of = _of(blades, n)
    one, half = np.float32(1.0), np.float32(0.5)
    length = of("length_m")
    t = along / length
    across = across - of("bend") * along * t
    stalk = of("petiole")
    b = np.clip((t - stalk) / (one - stalk), np.float32(0.0), one)
    profile = np.float32(2.0) * np.sqrt(b * (one - b)) * (one + of("egg") * (half - b))
    at_lobe = b
    if close is not None:
        at_lobe = b - of("slant") * np.abs(across) / length
    wave = ripple32(of("lobes") * at_lobe + of("phase"))
    linear = blades.linear > 0.5
    if linear.any():
        # A blade of maize is wavy, and narrow where it leaves the stem.
        strips = np.flatnonzero(np.repeat(linear, _counts(blades, n)))
        along_strip = b.take(strips)
        foot = one - along_strip
        strip = one - of("egg").take(strips) * foot * foot * foot
        profile[strips] = (one - along_strip * along_strip) * strip
    profile *= one - of("lobe_depth") * (half + half * wave)
    full = of("half_m")
    width = np.asarray(full * profile, dtype=np.float32)
    full *= half * half
    full *= t < stalk + np.float32(0.2)
    np.maximum(width, full, out=width)
    aside = np.abs(across)
    on = np.flatnonzero(aside < width) if close is None else inside(close, n, b, across, width)
    n, at = n.take(on), at.take(on)
    t, across, aside, wave, length = (a.take(on) for a in (t, across, aside, wave, length))
    of = _of(blades, n)
    peak, rise, fold = of("peak"), of("rise_m"), of("fold")
    arch = t * (np.float32(2.0) * peak - t) / (peak * peak)
    height = of("base_m") + rise * arch + fold * aside
    down_leaf = rise * np.float32(2.0) * (peak - t) / (peak * peak * length)
    down_side = np.copysign(fold + np.float32(0.12) * wave, across)
    rib = np.clip(one - aside / of("rib_m"), np.float32(0.0), one) * (one - half * t)
    pale = of("pale") + np.float32(0.8) * rib
    if close is not None:
        slope, vein, waves = quilted(close, n, b.take(on), across, length, step_m)
        down_leaf += slope
        down_side += of("tilt") + of("twist") * t
        pale += vein
    cx, cy = of("cx"), of("cy")
    gx, gy = down_leaf * cx - down_side * cy, down_leaf * cy + down_side * cx
    light = _facing(gx, gy, sun)
    if close is None:
        material = np.repeat(blades.material.astype(np.uint8), _counts(blades, n))
    else:
        material, pale = markings(close, n, t, across, pale, waves)
        glints(close, n, material, pale, (gx, gy), sun)
    return _Hits(
        at,
        np.maximum(height, np.float32(0.004)),
        material,
        np.clip(pale, np.float32(0.0), one),
        light * of("bright"),
        np.repeat(blades.plant.astype(np.int32), _counts(blades, n)),
    )


def _dome_hits(domes: Domes, n: Ints, at: Ints, along: Float32, across: Float32, sun: Sun) -> _Hits:
    """Shape, height and light of the samples `along` and `across` of domes `n`."""
    of = _of(domes, n)
    one = np.float32(1.0)
    a, b = along / of("long_m"), across / of("short_m")
    phase = of("phase")
    lumps = ripple32(a * np.float32(0.8) + phase) * ripple32(b * np.float32(0.7) - phase)
    lumps = of("lumps") * lumps
    r2 = (a * a + b * b) * (one + lumps)
    on = np.flatnonzero(r2 < one)
    n, at = n.take(on), at.take(on)
    a, b, r2 = (v.take(on) for v in (a, b, r2))
    of = _of(domes, n)
    # Flatter than a half ellipsoid on top and steep at the edge: broken, not rolled.
    shape = one - r2 * r2
    height = of("height_m")
    steep = np.float32(-2.2) * r2 * height
    slope_a, slope_b = steep * a / of("long_m"), steep * b / of("short_m")
    cx, cy = of("cx"), of("cy")
    light = _facing(slope_a * cx - slope_b * cy, slope_a * cy + slope_b * cx, sun)
    return _Hits(
        at,
        height * shape + np.float32(0.002),
        domes.material[n].astype(np.uint8),
        of("pale"),
        light * of("bright"),
        np.broadcast_to(np.int32(-1), n.shape),
    )


def _rock_hits(rocks: Rocks, n: Ints, at: Ints, along: Float32, across: Float32, sun: Sun) -> _Hits:
    """Shape, height and light of the samples `along` and `across` of blocks `n`."""
    of = _of(rocks, n)
    a, b = along / of("long_m"), across / of("short_m")
    inside, height, fall_a, fall_b = rock_surface(rocks, n, a, b)
    n, at = n.take(inside), at.take(inside)
    of = _of(rocks, n)
    tall = of("height_m")
    slope_a, slope_b = -tall * fall_a / of("long_m"), -tall * fall_b / of("short_m")
    cx, cy = of("cx"), of("cy")
    light = _facing(slope_a * cx - slope_b * cy, slope_a * cy + slope_b * cx, sun)
    # Tops are dry and pale, what lies low is moist.
    light *= of("bright") * (np.float32(0.82) + np.float32(0.26) * height)
    above = of("base_m") + tall * height
    seen = np.flatnonzero(above > 0)
    n = n.take(seen)
    of = _of(rocks, n)
    return _Hits(
        at.take(seen),
        above.take(seen) + np.float32(0.0005),
        rocks.material.take(n).astype(np.uint8),
        of("pale"),
        light.take(seen),
        np.broadcast_to(np.int32(-1), n.shape),
    )
