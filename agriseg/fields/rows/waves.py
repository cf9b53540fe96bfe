"""The strongest wave in a patch of crop: how its rows lie, from its power spectrum.

Rows are a grating: they put their power on one line of the two-dimensional spectrum, at multiples
of 1 / spacing, square to the rows. Patches and gaps put theirs around zero, where they fall off
quickly, so a peak is judged against the median of its own ring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agriseg.fields.frame import Frame
from agriseg.fields.rows.patches import Patch

__all__ = ["MOST_SPACING_M", "Wave", "strongest_wave"]

Floats = NDArray[np.float64]

MOST_SPACING_M = 10.0
"""No crop is sown wider: palms stand 9 m apart."""
# A wave has as many cells at least, and fits so many times into a patch.
_LEAST_CELLS, _LEAST_TIMES = 2.8, 3.5
# Peaks of the spectrum that are looked at, each by its power and by how it stands out.
_PEAKS = 4
# A peak stands so many times above the median of its ring: of the 30,000 values of a patch without
# rows, the largest stands 15 times above (they are exponentially distributed: ln 30,000 / ln 2).
_STANDS_OUT = 25.0
_LARGE = 128
# Rings of the spectrum.
_RINGS = 12
# Of what a pure wave rises, from its troughs to one spacing on.
_LEAST_RISE = 0.25
# Rows under a nearly closed canopy of wheat explain 0.03; ripples of a solid field's edge a tenth.
_LEAST_EXPLAINED = 0.005
# Phases between two rows at which crop is counted.
_PHASES = 24
# Of all waves that explain nearly as much, the shortest: rows twice as wide explain as much too.
_AS_GOOD = 0.8


@dataclass(frozen=True)
class Wave:
    """A wave in a patch.

    Args:
        cycles: (2,) cycles a metre to the east and to the north.
        stands_out: Power over the median of its ring.
        explained: Share of the variance between pixels, crop or not, that lies across the rows.
        keeping: How near crop keeps to the middle of the rows, 0..1 (see `Rows.strength`).
        width: Width of the crop's band over the spacing, 0..1.
        times: How many spacings fit into the patch.
    """

    cycles: Floats
    stands_out: float
    explained: float
    keeping: float
    width: float
    times: float

    @property
    def spacing_m(self) -> float:
        return 1.0 / float(np.hypot(*self.cycles))


def strongest_wave(patch: Patch, frame: Frame) -> Wave | None:
    """The wave that the rows of a patch make; None where none stands out."""
    weight = _taper(patch.share.shape) * patch.counted
    total = weight.sum()
    if not total:
        return None
    mean = (patch.share * weight).sum() / total
    signal = (patch.share - mean) * weight
    # Small patches have few points in their spectrum: more are put between them.
    size = [int(2 ** np.ceil(np.log2(n if n > _LARGE else 2 * n))) for n in signal.shape]
    power = np.abs(np.fft.rfft2(signal, size)) ** 2
    rows, cols = np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1])
    cycles = np.stack(np.meshgrid(cols, rows), axis=-1) / patch.step
    ground = frame.waves_to_metres(cycles.reshape(-1, 2)).reshape(cycles.shape)
    times = np.hypot(ground[..., 0], ground[..., 1])
    least, most = _band(patch, frame)
    inside = (times >= least) & (times <= most)
    # Of columns that stand for themselves, half says all.
    inside[rows < 0, 0] = False
    if least >= most or np.count_nonzero(inside) < 4 * _RINGS:
        return None
    stands_out = _over_ring(power, times, inside)
    near = np.array([_LEAST_TIMES / n for n in signal.shape[::-1]]) / patch.step / 2
    peaks = []
    for measure in (power, stands_out):
        peaks += _peaks(np.where(inside, measure, 0.0), cycles, near)
    found = []
    for at in dict.fromkeys(peaks):
        if stands_out[at] >= _STANDS_OUT:
            fine = _refined(signal, cycles[at] * patch.step) / patch.step
            wave = frame.waves_to_metres(fine[None])[0]
            judged = _judged(patch, frame, wave, float(stands_out[at]))
            if _repeats(patch, fine, judged.explained):
                found.append(judged)
    if not found:
        return None
    best = max(wave.explained for wave in found)
    return min(
        (wave for wave in found if wave.explained >= _AS_GOOD * best),
        key=lambda wave: wave.spacing_m,
    )


def _band(patch: Patch, frame: Frame) -> tuple[float, float]:
    """Least and most cycles a metre that a patch can show."""
    least = max(_LEAST_TIMES / _across(patch, frame), 1.0 / MOST_SPACING_M)
    return least, 1.0 / (_LEAST_CELLS * patch.step * max(frame.pixel_m))


def _across(patch: Patch, frame: Frame) -> float:
    """Metres along the longer side of a patch."""
    width, height = frame.pixel_m
    return max(patch.window.width * width, patch.window.height * height)


def _taper(shape: tuple[int, ...]) -> Floats:
    """Falls off to the edges, so that these make no lines in the spectrum."""
    one, other = (np.hanning(n + 2)[1:-1] for n in shape)
    return np.asarray(np.outer(one, other))


def _over_ring(power: Floats, times: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Power over the median of all that has about the same wavelength."""
    some = times[inside]
    edges = np.geomspace(some.min() * 0.999, some.max() * 1.001, _RINGS + 1)
    ring = np.clip(np.digitize(some, edges) - 1, 0, _RINGS - 1)
    levels = [np.median(power[inside][ring == k]) for k in range(_RINGS) if (ring == k).any()]
    centres = [some[ring == k].mean() for k in range(_RINGS) if (ring == k).any()]
    level = np.exp(np.interp(np.log(some), np.log(centres), np.log(np.maximum(levels, 1e-30))))
    found = np.zeros_like(power)
    found[inside] = power[inside] / level
    return found


def _peaks(values: Floats, cycles: Floats, near: Floats) -> list[tuple[int, ...]]:
    """The largest values, none in the skirts of a larger one."""
    values, found = values.copy(), []
    for _ in range(_PEAKS):
        at = tuple(int(n) for n in np.unravel_index(int(values.argmax()), values.shape))
        if values[at] <= 0:
            break
        found.append(at)
        # The spectrum goes around: beyond its upper edge lies the lower one.
        off = np.abs(cycles - cycles[at])
        values[(off <= near).all(axis=-1)] = 0
    return found


def _refined(signal: Floats, start: Floats) -> Floats:
    """Where the spectrum of a signal peaks between its grid's points, cycles a cell (2,)."""
    height, width = signal.shape
    at = start.copy()
    step = np.array([0.25 / width, 0.25 / height])
    for _ in range(4):
        reach = np.arange(-2, 3)
        us, vs = at[0] + reach * step[0], at[1] + reach * step[1]
        turns = 2 * np.pi * np.outer(np.arange(width), us)
        # In real numbers: a product with complex ones first copies the signal into such.
        lines = signal @ np.hstack([np.cos(turns), np.sin(turns)])
        down = np.exp(-2j * np.pi * np.outer(vs, np.arange(height)))
        power = np.abs(down @ (lines[:, :5] - 1j * lines[:, 5:])) ** 2
        v, u = np.unravel_index(int(power.argmax()), power.shape)
        at = np.array([us[u], vs[v]])
        step = step / 2.5
    return at


def _judged(patch: Patch, frame: Frame, cycles: Floats, stands_out: float) -> Wave:
    """Lay all cells onto one row spacing, and see how crop is spread over it."""
    wave = frame.waves_to_pixels(cycles[None])[0] * patch.step
    rows, cols = patch.share.shape
    phase = (np.arange(cols) + 0.5) * wave[0] + ((np.arange(rows) + 0.5) * wave[1])[:, None]
    phase -= np.floor(phase)
    weight, share = patch.counted.ravel(), patch.share.ravel()
    # No more classes than cells between two rows: rows along the grid 10 cells apart fall into ten,
    # and so they do at every seventh or third of their spacing.
    few = int(np.clip(1.0 / np.hypot(*wave), 3, _PHASES))
    here, profile = _folded(phase.ravel(), weight, share, few)
    mean = (here * profile).sum() / max(here.sum(), 1e-12)
    spread = here.sum() * mean * (1 - mean)
    between = (here * (profile - mean) ** 2).sum()
    here, profile = _folded(phase.ravel(), weight, share, _PHASES)
    seen = here > 0
    angle = np.exp(2j * np.pi * (np.arange(_PHASES) + 0.5) / _PHASES)
    keeping = abs((profile * angle).sum()) / max(profile.sum(), 1e-12)
    sharpest = float(np.sinc(min(mean, 0.98)))
    half = (profile[seen].min() + profile[seen].max()) / 2
    return Wave(
        cycles,
        stands_out,
        float(between / spread) if spread > 0 else 0.0,
        min(float(keeping) / sharpest, 1.0),
        float(np.mean(profile[seen] >= half)),
        _across(patch, frame) * float(np.hypot(*cycles)),
    )


def _repeats(patch: Patch, cycles: Floats, explained: float) -> bool:
    """Whether crop is alike at one spacing, and less so at a half and at one and a half.

    The straight edge of a solid field has peaks in its spectrum, too, but its likeness only falls
    with distance; and that of rows is no better at two spacings than at one or three.

    Args:
        patch: The cells.
        cycles: (2,) cycles a column and a row of pixels.
        explained: See `Wave`; a pure wave has four halves of this between crest and trough.
    """
    mean = patch.crop
    signal = (patch.share - mean) * patch.counted
    size = [2 * n for n in signal.shape]
    power = np.abs(np.fft.rfft2(signal, size)) ** 2
    power[:, 1 : (size[1] + 1) // 2] *= 2  # the half that rfft2 leaves out
    wave = cycles * patch.step
    lag = wave / float(wave @ wave)
    rows, cols = np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1])
    likeness = []
    for times in (0.5, 1.0, 1.5):
        down = np.exp(2j * np.pi * rows * lag[1] * times)
        across = np.exp(2j * np.pi * cols * lag[0] * times)
        likeness.append(float((down @ power @ across).real) / (size[0] * size[1]))
    between = explained * mean * (1 - mean) * float((patch.counted**2).sum())
    rise = likeness[1] - (likeness[0] + likeness[2]) / 2
    return explained > _LEAST_EXPLAINED and bool(rise > _LEAST_RISE * 2 * between)


def _folded(phase: Floats, weight: Floats, share: Floats, bins: int) -> tuple[Floats, Floats]:
    """Weight of each of `bins` phases, and the share of crop there."""
    of = np.minimum((phase * bins).astype(np.int64), bins - 1)
    here = np.bincount(of, weight, bins).astype(np.float64)
    return here, np.bincount(of, weight * share, bins) / np.maximum(here, 1e-12)
