"""The rows of a field as lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.fields.frame import frame_at
from agriseg.fields.kinds import Kinds
from agriseg.fields.rows.measuring import Rows
from agriseg.fields.rows.patches import CropReader, in_pixels
from agriseg.fields.rows.phase import Track, track_phase
from agriseg.vector.measure import placed
from agriseg.vector.source import ClassRaster

__all__ = ["RowLine", "row_lines"]

Floats = NDArray[np.float64]

# Distance of the vertices of a row in spacings, and how far those may lie aside that are left out.
_VERTEX, _STRAIGHT = 1.5, 0.02
# Vertices that are laid at one time.
_VERTICES = 1 << 19
# Rows sway little over a spacing: three steps bring a vertex onto its row.
_ROUNDS = 3
# Shorter pieces are no rows, in spacings.
_LEAST = 0.5


@dataclass(frozen=True)
class RowLine:
    """A row of a field.

    Args:
        number: From 1 on, counted to the right of who looks along the rows' direction.
        line: In coordinates of the map; in several parts where the field is.
        length_m: Metres on the ground.
    """

    number: int
    line: shapely.MultiLineString
    length_m: float


def row_lines(
    raster: ClassRaster, kinds: Kinds, rows: Rows, area: shapely.Geometry | None = None
) -> Iterator[RowLine]:
    """The rows of a field along the crop on them, cut at the field's border.

    They follow the crop where it sways or bends, and go straight on where there is none.

    Args:
        raster: The class map.
        kinds: Which of its classes are crop.
        rows: What `measure_rows` found in this field.
        area: The field in coordinates of the map; None: all of it.

    Raises:
        InputError: The map has no CRS, or reaches off the globe.
        ReadError: Pixels cannot be read.
    """
    box = raster.geobox
    corners = [(0, 0), (box.width, 0), (box.width, box.height), (0, box.height)]
    place = shapely.Polygon(corners) if area is None else in_pixels(area, box)
    with CropReader(raster, kinds.crop, None if area is None else place) as reader:
        extent = reader.extent
        if extent is None:
            return
        middle = extent.col_off + extent.width / 2, extent.row_off + extent.height / 2
        frame = frame_at(box, *middle)
        track = track_phase(reader, frame, rows.across / rows.spacing_m)
    if track is None:
        return
    yield from _cut(_Laid(track), place, raster)


def _cut(laid: _Laid, place: shapely.Geometry, raster: ClassRaster) -> Iterator[RowLine]:
    ground = shapely.transform(place, laid.track.frame.to_metres)
    if not shapely.is_valid(ground):
        ground = shapely.make_valid(ground)
    shapely.prepare(ground)
    transform = raster.geobox.transform

    def on_map(metres: Floats) -> Floats:
        return placed(laid.track.frame.to_pixels(metres), transform)

    number = 0
    for line in laid.lines(ground):
        inside = shapely.get_parts(shapely.intersection(line, ground))
        inside = inside[shapely.get_type_id(inside) == shapely.GeometryType.LINESTRING]
        inside = inside[shapely.length(inside) >= _LEAST * laid.spacing_m]
        if len(inside):
            number += 1
            found = shapely.multilinestrings(inside)
            length = float(shapely.length(found))
            yield RowLine(number, shapely.transform(found, on_map), length)


class _Laid:
    """Lines along a track, in metres."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.spacing_m = 1.0 / float(np.hypot(*track.wave))
        # The wave points to the right of the direction, which is less than half a turn.
        across = track.wave * self.spacing_m
        if -across[1] < 0 or (across[1] == 0 and across[0] < 0):
            across = -across
        self._sign = float(np.sign(across @ track.wave))
        self._across = across
        self._along = np.array([-across[1], across[0]])

    def lines(self, ground: shapely.Geometry) -> Iterator[shapely.LineString]:
        """All lines that may meet a shape, from the left to the right."""
        corners = shapely.get_coordinates(shapely.envelope(ground))
        u, v = corners @ self._along, corners @ self._across
        sway = float(np.ptp(self.track.aside)) + abs(float(self.track.aside.mean())) + 1
        first = int(np.floor(v.min() / self.spacing_m - sway))
        last = int(np.ceil(v.max() / self.spacing_m + sway))
        step = _VERTEX * self.spacing_m
        us = np.arange(np.floor(u.min() / step) - 1, np.ceil(u.max() / step) + 2) * step
        many = max(_VERTICES // len(us), 1)
        for start in range(first, last + 1, many):
            numbers = np.arange(start, min(start + many, last + 1))
            yield from self._some(numbers, us)

    def _some(self, numbers: NDArray[np.int64], us: Floats) -> Iterator[shapely.LineString]:
        us = np.tile(us, len(numbers))
        whole = np.repeat(numbers, len(us) // len(numbers)).astype(np.float64)
        vs = whole * self.spacing_m
        for _ in range(_ROUNDS):
            aside = self.track.at(self._metres(us, vs)) * self._sign
            vs = (whole + aside) * self.spacing_m
        metres = self._metres(us, vs).reshape(len(numbers), -1, 2)
        lines = shapely.linestrings(metres)
        yield from shapely.simplify(lines, _STRAIGHT * self.spacing_m)

    def _metres(self, us: Floats, vs: Floats) -> Floats:
        found: Floats = us[:, None] * self._along + vs[:, None] * self._across
        return found
