"""How far two scenes of the same ground lie apart: the error of their georeference, measured.

Windows spread over the common ground are correlated in the frequency domain. What is compared is
the colour of each pixel, the logarithm of its bands less their mean, in which light, exposure and
the shading of clods cancel: on a simulated field of 2 cm pixels, with the sun at 120 and at 250
degrees, bands as they are came out 2.3 pixels wrong, all windows alike, and colours 0.1.

Each window is looked at twice. Finely: phase correlation, in which all frequencies count alike
(Kuglin and Hines 1975, The phase image alignment method), which finds stones, straw and soil that
stayed. Coarsely: cross-correlation of what is as large as plants, which stays where plants are but
the ground between them was worked or rained upon. Fractions of a pixel come from an upsampled
Fourier transform about the peak (Guizar-Sicairos et al. 2008, doi:10.1364/OL.33.000156).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from agriseg.errors import OptionError
from agriseg.fields.dates.overlay import GridReader, common_grid, metres_per_unit, reproject_points
from agriseg.geobox import GeoBox, Window
from agriseg.raster.scene import Pixels, Scene

__all__ = ["Shift", "measure_shift"]

Floats = NDArray[np.floating[Any]]
_Spectrum = NDArray[np.complexfloating[Any, Any]]

# The side of a window, in pixels: the largest of which two fit beside each other, else the
# smallest. A shift of half of it can be found.
_SIDES = (512, 256, 128, 64)
# Windows along each axis.
_MOST = 4
# A window says nothing where less of it is seen by both scenes.
_LEAST_SEEN = 0.5
# Windows agree that lie within so many pixels of each other.
_AGREE_PX = 1.0
# Beyond this part of a window's side the second scene is read anew, where it seems to lie.
_SMALL = 0.1
# Less contrast than this, in logarithms, is rounding.
_FLAT = 1e-4
# All windows together may correct by so many pixels what they say one by one.
_REFINED_PX = 1.5
# A shift is told where so many windows say so, and so large a share of them.
_LEAST_WINDOWS, _LEAST_AGREEMENT = 3, 0.6
# Standard deviations, in pixels, of the smallest and the largest things that are compared.
_FINE, _COARSE = (0.5, 24.0), (3.0, 24.0)
# Light of bands that a window is dark in, as a share of its mean: logarithms need a floor.
_DARK = 0.02
# Bands beyond these bring time, no certainty.
_MOST_BANDS = 6


@dataclass(frozen=True)
class Shift:
    """How far the second scene lies from the first.

    Args:
        east_m: What stands at some place in the first scene stands so many metres further along
            the x axis of the first's map in the second; None where it cannot be told.
        north_m: The same along the y axis.
        windows: Windows that were looked at.
        agreement: The share of them that lie within a pixel of what was found.
        spread_m: Median distance of these from it, in metres.
        pixel_m: Side of a pixel of the grid on which it was measured, in metres.
        why: Why it cannot be told; empty where it can.
        pixels: The same in columns and rows of that grid.
    """

    east_m: float | None
    north_m: float | None
    windows: int
    agreement: float
    spread_m: float | None
    pixel_m: float
    why: str = ""
    pixels: tuple[float, float] | None = None

    @property
    def is_known(self) -> bool:
        return self.east_m is not None

    @property
    def distance_m(self) -> float | None:
        """Length of the shift in metres."""
        if self.east_m is None or self.north_m is None:
            return None
        return math.hypot(self.east_m, self.north_m)

    def words(self) -> str:
        """What was found, for a person."""
        if self.east_m is None or self.north_m is None:
            return f"the shift between the two cannot be told: {self.why}"
        ways = []
        for metres, towards, away in (
            (self.east_m, "east", "west"),
            (self.north_m, "north", "south"),
        ):
            ways.append(f"{abs(metres):.3f} m {towards if metres >= 0 else away}")
        agree = round(self.agreement * self.windows)
        return (
            f"the second lies {ways[0]} and {ways[1]} of the first ({agree} of {self.windows} "
            f"windows agree; a pixel has {self.pixel_m:.3g} m)"
        )


def measure_shift(scene_a: Scene, scene_b: Scene, *, keys: Sequence[str] | None = None) -> Shift:
    """Measure how far one scene lies from another of the same ground, to a fraction of a pixel.

    Args:
        scene_a: The scene that counts as right.
        scene_b: The scene whose shift is wanted; in any CRS, of any pixel size.
        keys: Roles of the bands to compare; by default those of light that both have.

    Returns:
        The shift in metres along the axes of the first scene's map, or that it cannot be told:
        too little common ground, or windows that disagree, as where nothing stayed as it was.

    Raises:
        InputError: The scenes do not overlap, have no CRS, or cannot be read.
        OptionError: A scene lacks a band of `keys`.
    """
    names = (scene_a.name, scene_b.name)
    box = common_grid(scene_a.geobox, scene_b.geobox, names)
    roles = _shared(scene_a, scene_b) if keys is None else list(keys)
    for scene in (scene_a, scene_b):
        lacking = [key for key in roles if not scene.has(key)]
        if lacking:
            raise OptionError(f"{scene.name} has no band {lacking[0]}; {scene.band_summary()}")
    pixel = box.mean_gsd_m or math.nan
    if not roles:
        return _unknown("the two scenes have no band in common", 0, 0.0, pixel)
    windows = list(_windows(box))
    if not windows:
        return _unknown(
            f"they share {box.width} x {box.height} pixels, and {_SIDES[-1]} x {_SIDES[-1]} are "
            "needed",
            0,
            0.0,
            pixel,
        )
    pair = _Pair(scene_a, scene_b, box, roles, windows)
    start = pair.snapped(0, 0)
    looks = pair.look(start)
    shift = _agreed(looks, box, pixel, scene_a.geobox, start)
    if len(looks) < _LEAST_WINDOWS or (shift.pixels and _is_small(shift.pixels, windows)):
        return shift
    # Far apart, windows share little. With the second read where it seems to lie they share all,
    # and tell whether it does.
    large = replace(pair, windows=list(_windows(box, beside=1)))
    places = [] if shift.pixels is None else [shift.pixels]
    for some in (large.look(start), looks):
        places += [(cols + start[0], rows + start[1]) for cols, rows in _together(some)]
    for guess in dict.fromkeys(pair.snapped(*place) for place in places):
        again = _agreed(pair.look(guess), box, pixel, scene_a.geobox, guess)
        if again.is_known:
            return again
    return shift


@dataclass(frozen=True)
class _Pair:
    """Both scenes on one grid, and the windows in which they are looked at."""

    scene_a: Scene
    scene_b: Scene
    box: GeoBox
    keys: Sequence[str]
    windows: Sequence[Window]

    def snapped(self, cols: float, rows: float) -> tuple[float, float]:
        """A move near (cols, rows) of the grid by which the second scene's own pixels are read.

        Half way between two pixels interpolation takes away just what is fine: there a shift was
        0.7 pixels wrong. Where pixels are not alike a whole number of the grid's.
        """
        cols, rows = float(round(cols)), float(round(rows))
        t = ~self.scene_b.geobox.transform @ self._moved((cols, rows)).transform
        alike = max(abs(t.a - 1), abs(t.e - 1), abs(t.b), abs(t.d)) * max(self.box.shape) < 0.1
        if self.scene_b.geobox.crs != self.box.crs or not alike:
            return cols, rows
        return cols - (t.c - round(t.c)), rows - (t.f - round(t.f))

    def _moved(self, by: tuple[float, float]) -> GeoBox:
        return replace(self.box, transform=self.box.transform @ Affine.translation(*by))

    def look(self, moved: tuple[float, float]) -> list[_Look]:
        """Look at all windows that tell something, the second scene read further along."""
        there = self._moved(moved)
        found = []
        with (
            GridReader(self.scene_a, self.box, self.keys) as read_a,
            GridReader(self.scene_b, there, self.keys) as read_b,
        ):
            for window in self.windows:
                a, b = read_a.read(window), read_b.read(window)
                look = None
                if (a.valid & b.valid).mean() >= _LEAST_SEEN:
                    look = _look(a, b)
                found += [] if look is None else [look]
        return found


def _is_small(pixels: tuple[float, float], windows: Sequence[Window]) -> bool:
    return max(map(abs, pixels)) <= _SMALL * windows[0].width


def _together(looks: Sequence[_Look]) -> list[tuple[float, float]]:
    """(columns, rows) that windows say together: finely, and coarsely."""
    if not looks:
        return []
    fine = sum((look.fine_spectrum for look in looks[1:]), looks[0].fine_spectrum)
    coarse = sum((look.coarse_spectrum for look in looks[1:]), looks[0].coarse_spectrum)
    return [_peak(fine), _peak(coarse)]


def _shared(scene_a: Scene, scene_b: Scene) -> list[str]:
    keys = [band.key for band in scene_a.bands if band.key and not band.key.startswith("lwir")]
    return [key for key in keys if scene_b.has(key)][:_MOST_BANDS]


def _windows(box: GeoBox, beside: int = 2) -> Iterator[Window]:
    """Windows spread evenly over a grid, of the largest side of which so many fit beside others."""
    least = min(box.shape)
    side = next((side for side in _SIDES if least >= beside * side), _SIDES[-1])
    if least < side:
        return

    def starts(length: int) -> list[int]:
        count = min(max(2 * length // side - 1, 1), _MOST)
        return [round(k * (length - side) / max(count - 1, 1)) for k in range(count)]

    for row in starts(box.height):
        for col in starts(box.width):
            yield Window(col, row, side, side)


@dataclass(frozen=True)
class _Look:
    """A window, looked at in both ways.

    Args:
        fine: (columns, rows) by which the second lies further, by what is fine.
        coarse: The same by what is as large as plants.
        fine_spectrum: Of the fine correlation (rows, half of the columns).
        coarse_spectrum: Of the other.
    """

    fine: tuple[float, float]
    coarse: tuple[float, float]
    fine_spectrum: _Spectrum
    coarse_spectrum: _Spectrum


def _look(a: Pixels, b: Pixels) -> _Look | None:
    """Look at a window; None where one of the scenes shows nothing in it."""
    from scipy import fft

    shape = a.valid.shape
    weight = _weight(a.valid & b.valid)
    fine = np.zeros((shape[0], shape[1] // 2 + 1), np.complex64)
    coarse = fine.copy()
    told = False
    for one, other in zip(_colours(a, weight), _colours(b, weight), strict=True):
        if min(float(np.abs(one).max()), float(np.abs(other).max())) < _FLAT:
            continue
        told = True
        cross = fft.rfft2(one).conj() * fft.rfft2(other)
        size = np.abs(cross)
        fine += cross / np.maximum(size, np.finfo(np.float32).tiny)
        coarse += cross / max(float(size.sum()), 1e-30)
    if not told:
        return None
    fine *= _band_pass(shape, *_FINE)
    coarse *= _band_pass(shape, *_COARSE)
    return _Look(_peak(fine), _peak(coarse), fine, coarse)


def _weight(valid: NDArray[np.bool_]) -> Floats:
    """A weight that falls off towards the window's edges and towards what is not valid.

    Steeply cut edges lie in both scenes at the same place, and would be found instead.
    """
    from scipy.ndimage import gaussian_filter

    rows, cols = (np.hanning(length + 2)[1:-1].astype(np.float32) for length in valid.shape)
    weight: Floats = rows[:, None] * cols
    if not valid.all():
        inside = gaussian_filter(valid.astype(np.float32), 4.0, mode="nearest")
        weight = weight * np.where(valid, np.clip(2 * inside - 1, 0, 1), np.float32(0))
    return weight


def _colours(pixels: Pixels, weight: Floats) -> Iterator[Floats]:
    """The logarithm of each band less their mean; of a single band the logarithm itself."""
    data = np.where(pixels.valid, pixels.data, np.float32(0))
    floors = [_DARK * max(float(band[pixels.valid].mean()), 1e-9) for band in data]
    logs = np.log(np.maximum(data, np.array(floors, np.float32).reshape(-1, 1, 1)))
    if len(logs) > 1:
        logs = logs - logs.mean(axis=0)
    total = max(float(weight.sum()), 1e-9)
    for plane in logs:
        yield (plane - float((plane * weight).sum()) / total) * weight


def _band_pass(shape: tuple[int, int], smallest: float, largest: float) -> Floats:
    """Weights of frequencies that keep what is between two sizes (standard deviations, pixels)."""
    from scipy import fft

    squares = fft.fftfreq(shape[0])[:, None] ** 2 + fft.rfftfreq(shape[1])[None] ** 2
    keep: Floats = np.exp(-2 * (math.pi * smallest) ** 2 * squares)
    keep -= np.exp(-2 * (math.pi * largest) ** 2 * squares)
    return keep


def _peak(cross: _Spectrum) -> tuple[float, float]:
    """(columns, rows) of the highest place of a correlation, to a hundredth of a pixel."""
    from scipy import fft

    height, width = cross.shape[0], 2 * (cross.shape[1] - 1)
    correlation = fft.irfft2(cross, s=(height, width))
    row, col = np.unravel_index(int(correlation.argmax()), correlation.shape)
    y = float(row if row <= height // 2 else row - height)
    x = float(col if col <= width // 2 else col - width)
    down, across = fft.fftfreq(height), fft.rfftfreq(width)
    # The half of the spectrum that is not there mirrors the other.
    twice = np.full(across.size, 2.0)
    twice[[0, -1]] = 1.0
    for step in (0.1, 0.01):
        ys, xs = y + step * np.arange(-10, 11), x + step * np.arange(-10, 11)
        rows = np.exp(2j * math.pi * ys[:, None] * down)
        cols = np.exp(2j * math.pi * across[:, None] * xs)
        near = np.real(rows @ (cross * twice) @ cols)
        at = np.unravel_index(int(near.argmax()), near.shape)
        y, x = float(ys[at[0]]), float(xs[at[1]])
    return x, y


def _agreed(
    found: Sequence[_Look],
    box: GeoBox,
    pixel: float,
    frame: GeoBox,
    moved: tuple[float, float],
) -> Shift:
    """What most windows say: by the fine look if they agree there, else by the coarse one.

    All fine looks together then tell more exactly where, if they say nothing else: what is noise in
    one window cancels over many. From windows of 128 pixels alone a shift was 0.6 pixels wrong, and
    0.2 so.
    """
    if len(found) < _LEAST_WINDOWS:
        return _unknown(
            "too little ground is seen by both that shows anything", len(found), 0.0, pixel
        )
    best = 0.0
    for points in ([look.fine for look in found], [look.coarse for look in found]):
        at = np.array(points)
        apart = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1))
        together = apart[int((apart <= _AGREE_PX).sum(axis=1).argmax())] <= _AGREE_PX
        agreement = float(together.mean())
        if together.sum() < _LEAST_WINDOWS or agreement < _LEAST_AGREEMENT:
            best = max(best, agreement)
            continue
        cols, rows = (float(value) for value in np.median(at[together], axis=0))
        spread = float(np.median(np.hypot(*(at[together] - (cols, rows)).T)))
        sharp = _together(found)[0]
        if math.hypot(sharp[0] - cols, sharp[1] - rows) <= _REFINED_PX:
            cols, rows = sharp
        cols, rows = cols + moved[0], rows + moved[1]
        east, north = _metres(cols, rows, box, frame)
        count = len(found)
        return Shift(east, north, count, agreement, spread * pixel, pixel, "", (cols, rows))
    why = (
        f"{len(found)} windows disagree (at most {round(best * len(found))} say the same), as "
        "where little stayed as it was between the two dates"
    )
    return _unknown(why, len(found), best, pixel)


def _metres(cols: float, rows: float, box: GeoBox, frame: GeoBox) -> tuple[float, float]:
    """Pixels of a grid as metres along the axes of the map of `frame`, which may be turned."""
    centre = (box.width / 2, box.height / 2)
    points = [box.transform @ centre, box.transform @ (centre[0] + cols, centre[1] + rows)]
    (x, y), (to_x, to_y) = reproject_points(points, box.crs, frame.crs)
    per_x, per_y = metres_per_unit(frame)
    return (to_x - x) * per_x, (to_y - y) * per_y


def _unknown(why: str, windows: int, agreement: float, pixel: float) -> Shift:
    return Shift(None, None, windows, agreement, None, pixel, why)
