"""Direction and spacing of crop rows, measured from where the crop stands on a class map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.fields.frame import Frame, frame_at
from agriseg.fields.kinds import Kinds
from agriseg.fields.rows.patches import CropReader, in_pixels
from agriseg.fields.rows.phase import track_phase
from agriseg.fields.rows.waves import MOST_SPACING_M, Wave, strongest_wave
from agriseg.geobox import Window
from agriseg.vector.source import ClassRaster

__all__ = ["Rows", "Stands", "measure_rows", "survey"]

Floats = NDArray[np.float64]

# Cells along the side of a patch, and pixels along a cell's, from the finest on.
_SIDE = 256
_STEPS = (1, 2, 4, 8, 16)
# Patches along the longer side of a field, and pixels read for patches of one step at most.
_PATCHES, _MOST_PIXELS = 4, 1 << 26
# A patch with less crop, or fewer pixels that count, says nothing of rows.
_LEAST_CROP, _LEAST_COUNTED = 0.002, 0.25
# Two patches agree within so many degrees and this share of the spacing; rows sway and bend.
_DEGREES, _SHARE = 6.0, 0.1
# So many of the patches with crop must agree, or there are no rows to speak of.
_MOST = 0.55
# Where so many agree, stand out so far and fit so often into a patch, no coarser step is tried.
_CLEAR_AGREEMENT, _CLEAR, _CLEAR_EXPLAINED, _CLEAR_TIMES = 0.75, 100.0, 0.15, 7.0
# Rows are no rows where crop keeps to them less.
_LEAST_KEEPING = 0.05
# A kind of rows that so many patches show is one of the map's; where it fits fewer times into them,
# it may be no more than the edge of a field.
_SEEN, _SEEN_TIMES = 0.15, 4.0


@dataclass(frozen=True)
class Rows:
    """The rows of a field.

    Args:
        direction_deg: Degrees clockwise from north, 0 <= direction < 180, on the ground: from the
            north of the map's grid where that is true to scale (as UTM), else from true north. The
            mean of the field, where rows bend.
        spacing_m: Metres on the ground between two rows.
        strength: 0..1: how near crop keeps to the middle of the rows, times the share of the field
            that agrees. 0: crop stands anywhere; 1: it could not stand nearer.  It is the mean
            resultant length of the crop's place between two rows (Mardia & Jupp, Directional
            Statistics, 2000, 2.3), over that of as much crop in one solid band.
    """

    direction_deg: float
    spacing_m: float
    strength: float

    @property
    def along(self) -> Floats:
        """Unit vector (2,) along the rows, to the east and north."""
        turn = np.radians(self.direction_deg)
        return np.array([np.sin(turn), np.cos(turn)])

    @property
    def across(self) -> Floats:
        """Unit vector (2,) square to the rows, to the right of `along`."""
        turn = np.radians(self.direction_deg)
        return np.array([np.cos(turn), -np.sin(turn)])


@dataclass(frozen=True)
class Stands:
    """What patches of a map show of its rows.

    Args:
        waves: The wave of each patch that has one.
        patches: How many had crop enough to tell.
        crop: Share of the pixels with a class that are crop.
    """

    waves: tuple[Wave, ...] = ()
    patches: int = 0
    crop: float = 0.0

    def like(self, wave: Wave) -> list[Wave]:
        """The waves that agree with one."""
        return [other for other in self.waves if _agree(wave, other)]

    @property
    def best(self) -> list[Wave]:
        """The waves of the largest group that agrees."""
        groups = [self.like(wave) for wave in self.waves]
        return max(groups, key=lambda group: (len(group), _clearness(group)), default=[])

    @property
    def agreement(self) -> float:
        """Share of the patches that agree, 0..1."""
        return len(self.best) / self.patches if self.patches else 0.0

    @property
    def seen(self) -> list[Wave]:
        """Waves of all kinds of rows that many patches show, the narrowest spacing first."""
        most = max(_SEEN * self.patches, min(2, self.patches // 2))
        clear = [wave for wave in self.waves if wave.times >= _SEEN_TIMES]
        seen = [wave for wave in clear if len(self.like(wave)) >= most]
        return sorted(seen, key=lambda wave: wave.spacing_m)


def measure_rows(
    raster: ClassRaster, kinds: Kinds, area: shapely.Geometry | None = None
) -> Rows | None:
    """Measure direction and spacing of the rows in a field.

    The strongest wave is found in patches all over the field, then followed through the whole of
    it. Memory does not grow with the field beyond some tens of megabytes.

    Args:
        raster: The class map.
        kinds: Which of its classes are crop; weeds play no part.
        area: The field in coordinates of the map; None: all of it.

    Returns:
        The rows; None where there are none: the crop was broadcast, closes over the rows, pixels
        are too coarse to show them, or parts of the field disagree.

    Raises:
        InputError: The map has no CRS, or reaches off the globe.
        ReadError: Pixels cannot be read.
    """
    box = raster.geobox
    frame_at(box, box.width / 2, box.height / 2)  # refuses what has no metres
    place = None if area is None else in_pixels(area, box)
    with CropReader(raster, kinds.crop, place) as reader:
        extent = reader.extent
        if extent is None or not kinds.crop:
            return None
        frame = _frame(raster, extent)
        stands = _survey(reader, frame, extent)
        group = stands.best
        if not group or stands.agreement < _MOST:
            return None
        found = _mean(group, stands.agreement)
        if found.strength < _LEAST_KEEPING:
            return None
        track = track_phase(reader, frame, found.across / found.spacing_m)
        if track is None:
            return found
        return replace(found, **_line(track.wave))


def survey(raster: ClassRaster, kinds: Kinds) -> Stands:
    """What patches all over a map show of its rows.

    Raises:
        InputError: The map has no CRS, or reaches off the globe.
        ReadError: Pixels cannot be read.
    """
    with CropReader(raster, kinds.crop) as reader:
        extent = raster.geobox.window
        return _survey(reader, _frame(raster, extent), extent)


def _frame(raster: ClassRaster, extent: Window) -> Frame:
    middle = extent.col_off + extent.width / 2, extent.row_off + extent.height / 2
    return frame_at(raster.geobox, *middle)


def _survey(reader: CropReader, frame: Frame, extent: Window) -> Stands:
    """The patches of the step that shows rows best."""
    best, best_score = Stands(), -1.0
    for step in _STEPS:
        if frame.pixel_m[0] * step * 3 > MOST_SPACING_M:
            break
        if step > 1 and max(extent.width, extent.height) <= _SIDE * step // 4:
            break
        found = _look(reader, frame, extent, step)
        group = found.best
        score = _score(found, group)
        if score > best_score or (not best.patches and found.patches):
            best, best_score = found, score
        if (
            found.agreement >= _CLEAR_AGREEMENT
            and _clearness(group) >= _CLEAR
            and _middle([wave.explained for wave in group]) >= _CLEAR_EXPLAINED
            and _middle([wave.times for wave in group]) >= _CLEAR_TIMES
        ):
            break
    return best


def _look(reader: CropReader, frame: Frame, extent: Window, step: int) -> Stands:
    waves, patches, crop, pixels = [], 0, 0.0, 0.0
    for window in _windows(extent, step):
        patch = reader.patch(window, step)
        if patch.counted.mean() < _LEAST_COUNTED:
            continue
        crop += patch.crop * patch.counted.sum()
        pixels += patch.counted.sum()
        if patch.crop < _LEAST_CROP:
            continue
        patches += 1
        wave = strongest_wave(patch, frame)
        if wave is not None:
            waves.append(wave)
    return Stands(tuple(waves), patches, crop / pixels if pixels else 0.0)


def _windows(extent: Window, step: int) -> Iterator[Window]:
    """Windows spread over a field, such as a patch is made from."""
    side = _SIDE * step
    width, height = min(side, extent.width), min(side, extent.height)
    if width < 8 * step or height < 8 * step:
        return
    most = max(int((_MOST_PIXELS / (width * height)) ** 0.5), 1)
    counts = [
        # Half as many again as lie side by side: a patch with two kinds of rows tells of neither.
        min(-(-3 * whole // (2 * part)) if whole > part else 1, _PATCHES, most)
        for whole, part in ((extent.width, width), (extent.height, height))
    ]
    cols = np.linspace(0, extent.width - width, counts[0]) if counts[0] > 1 else [0]
    rows = np.linspace(0, extent.height - height, counts[1]) if counts[1] > 1 else [0]
    for row in rows:
        for col in cols:
            yield Window(extent.col_off + int(col), extent.row_off + int(row), width, height)


def _score(stands: Stands, group: Sequence[Wave]) -> float:
    """How well patches of a step show rows.

    Of rows 6 m apart, small patches see no more than their half; that explains little.
    """
    explained = _middle([wave.explained for wave in group])
    return stands.agreement * _clearness(group) * explained


def _clearness(group: Sequence[Wave]) -> float:
    return _middle([wave.stands_out for wave in group])


def _middle(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else 0.0


def _agree(one: Wave, other: Wave) -> bool:
    if abs(np.log(one.spacing_m / other.spacing_m)) > _SHARE:
        return False
    cosine = abs(float(one.cycles @ other.cycles)) * one.spacing_m * other.spacing_m
    return bool(cosine >= np.cos(np.radians(_DEGREES)))


def _mean(group: Sequence[Wave], agreement: float) -> Rows:
    """The rows that waves show which agree."""
    first = group[0].cycles
    signed = [wave.cycles * np.sign(wave.cycles @ first) for wave in group]
    keeping = float(np.mean([wave.keeping for wave in group]))
    return Rows(**_line(np.mean(signed, axis=0)), strength=keeping * agreement)


def _line(cycles: Floats) -> dict[str, float]:
    """Direction and spacing of the rows that a wave of `cycles` a metre stands for."""
    direction = float(np.degrees(np.arctan2(cycles[0], cycles[1])) + 90.0) % 180.0
    return {"direction_deg": direction % 180.0, "spacing_m": 1.0 / float(np.hypot(*cycles))}
