"""Pixel and world arithmetic: integer windows and the grid that they lie on. No IO."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from affine import Affine
from rasterio.crs import CRS

from agriseg.errors import OptionError

if TYPE_CHECKING:  # pyproj is loaded only where it is needed
    import pyproj

__all__ = ["GeoBox", "Window"]

# A corner that lies this close to a pixel edge is taken to lie on it: bounds typed by a person or
# printed by another program carry rounding, and must not pull in one more row of pixels. Doubles
# alone come to 2e-6 of a 5 mm pixel where eastings carry a zone number (32,500,000 m).
_SNAP = 1e-4
# A map whose lengths are this near to those on the ground is taken to be true to scale.
_TRUE_SCALE = 0.005
# New pixels may be this much finer than the old ones; beyond, a typing error is likelier.
_FINEST = 0.01


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A rectangle of whole pixels, counted from the upper left of a raster.

    Args:
        col_off: First column.
        row_off: First row.
        width: Columns; at least 1.
        height: Rows; at least 1.
    """

    col_off: int
    row_off: int
    width: int
    height: int

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"Window.{name} is {value!r}: a whole number is needed")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a window of {self.width} x {self.height} pixels is empty")

    @property
    def col_end(self) -> int:
        return self.col_off + self.width

    @property
    def row_end(self) -> int:
        return self.row_off + self.height

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), as numpy counts."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of this window in a (height, width) array."""
        return slice(self.row_off, self.row_end), slice(self.col_off, self.col_end)

    def intersection(self, other: Window) -> Window | None:
        """The pixels in both windows, or None where they do not meet."""
        col, row = max(self.col_off, other.col_off), max(self.row_off, other.row_off)
        width = min(self.col_end, other.col_end) - col
        height = min(self.row_end, other.row_end) - row
        return Window(col, row, width, height) if width > 0 and height > 0 else None

    def shifted(self, cols: int, rows: int) -> Window:
        return Window(self.col_off + cols, self.row_off + rows, self.width, self.height)

    def grown(self, pixels: int) -> Window:
        """This window with a margin of `pixels` on every side (it may reach below 0)."""
        return Window(
            self.col_off - pixels,
            self.row_off - pixels,
            self.width + 2 * pixels,
            self.height + 2 * pixels,
        )

    def __str__(self) -> str:
        return (
            f"columns {self.col_off}..{self.col_end - 1}, rows {self.row_off}..{self.row_end - 1}"
        )


@dataclass(frozen=True)
class GeoBox:
    """The grid of a raster: its size, where it lies, and in which coordinate system.

    Args:
        crs: Coordinate reference system; None where the raster has none.
        transform: Maps (column, row) of a pixel's upper left corner to (x, y).
        width: Columns.
        height: Rows.
    """

    crs: CRS | None
    transform: Affine
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a grid of {self.width} x {self.height} pixels is empty")
        determinant = self.transform.determinant
        if not math.isfinite(determinant) or determinant == 0:
            raise ValueError(f"the transform {tuple(self.transform)[:6]} cannot be inverted")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), as numpy counts."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The whole grid as a window."""
        return Window(0, 0, self.width, self.height)

    @property
    def corners(self) -> list[tuple[float, float]]:
        """World (x, y) of the upper left, upper right, lower right and lower left corner."""
        w, h = self.width, self.height
        return [self.transform @ corner for corner in ((0, 0), (w, 0), (w, h), (0, h))]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in units of the CRS; of a rotated grid, the box around it."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def is_georeferenced(self) -> bool:
        return self.crs is not None or not self.transform.is_identity

    def crop(self, window: Window) -> GeoBox:
        """The part of this grid under `window`."""
        transform = self.transform @ Affine.translation(window.col_off, window.row_off)
        return GeoBox(self.crs, transform, window.width, window.height)

    def covering(self, points: Iterable[tuple[float, float]]) -> Window | None:
        """The smallest window of this grid whose pixels cover all world `points`.

        Returns:
            The window, clipped to the grid, or None where it lies outside.
        """
        inverse = ~self.transform
        cols, rows = zip(*(inverse @ point for point in points), strict=True)
        col, row = math.floor(min(cols) + _SNAP), math.floor(min(rows) + _SNAP)
        width = max(math.ceil(max(cols) - _SNAP) - col, 1)
        height = max(math.ceil(max(rows) - _SNAP) - row, 1)
        return Window(col, row, width, height).intersection(self.window)

    @cached_property
    def gsd_m(self) -> tuple[float, float] | None:
        """Ground sampling distance in metres along (columns, rows), or None where it is unknown.

        True ground distance: geodesic at the centre where the CRS is geographic, or stretches
        lengths by more than 1 %.
        Unknown without a CRS, and where the grid reaches beyond the poles.
        """
        if self.crs is None:
            return None
        t = self.transform
        if self.is_true_to_scale:
            metre = float(self.crs.units_factor[1])
            return math.hypot(t.a, t.d) * metre, math.hypot(t.b, t.e) * metre
        col, row = self.width / 2, self.height / 2
        centre, right, down = (col, row), (col + 1, row), (col, row + 1)
        lons, lats = self._lonlat([t @ p for p in (centre, right, down)])
        geod = _geod(self.crs.to_wkt())
        distances = [geod.inv(lons[0], lats[0], lons[k], lats[k])[2] for k in (1, 2)]
        x, y = float(distances[0]), float(distances[1])
        return (x, y) if 0 < x < math.inf and 0 < y < math.inf else None

    @property
    def mean_gsd_m(self) -> float | None:
        """Side in metres of a square pixel of the same area, or None without a CRS."""
        gsd = self.gsd_m
        return None if gsd is None else math.sqrt(gsd[0] * gsd[1])

    @cached_property
    def area_m2(self) -> float | None:
        """True ground area of the whole grid in square metres, or None where it is unknown."""
        if self.crs is None:
            return None
        if self.is_true_to_scale:
            metre = float(self.crs.units_factor[1])
            return abs(self.transform.determinant) * metre**2 * self.width * self.height
        # Densified outline: a long edge of constant latitude is no geodesic.
        steps = [k / 64 for k in range(64)]
        w, h = self.width, self.height
        ring = [(w * s, 0.0) for s in steps] + [(w, h * s) for s in steps]
        ring += [(w * (1 - s), h) for s in steps] + [(0.0, h * (1 - s)) for s in steps]
        lons, lats = self._lonlat([self.transform @ p for p in ring])
        area = abs(float(_geod(self.crs.to_wkt()).polygon_area_perimeter(lons, lats)[0]))
        return area if 0 < area < math.inf else None

    def at_gsd(self, gsd_m: float) -> GeoBox:
        """The grid with the same origin and axes whose pixels are `gsd_m` metres a side.

        The last column and row may reach over the old edge by less than one new pixel.

        Raises:
            OptionError: The grid has no CRS, or `gsd_m` is not a positive number.
        """
        if not (math.isfinite(gsd_m) and gsd_m > 0):
            raise OptionError(f"--gsd {gsd_m}: a positive number of metres is needed")
        now = self.gsd_m
        if now is None:
            raise OptionError(
                f"--gsd {gsd_m}: the raster has no CRS, so the size of its pixels in metres is "
                "unknown; assign one with gdal_edit.py -a_srs, or leave --gsd out"
            )
        fx, fy = gsd_m / now[0], gsd_m / now[1]
        if min(fx, fy) < _FINEST:
            raise OptionError(
                f"--gsd {gsd_m}: the raster has {now[0]:.3g} m, and pixels a hundred times finer "
                "show nothing new; --gsd is in metres"
            )
        width = max(math.ceil(self.width / fx - _SNAP), 1)
        height = max(math.ceil(self.height / fy - _SNAP), 1)
        return GeoBox(self.crs, self.transform @ Affine.scale(fx, fy), width, height)

    @cached_property
    def is_true_to_scale(self) -> bool:
        """Whether lengths on the map are those on the ground, but for their unit.

        Not so in degrees, nor in projections that stretch: Web Mercator doubles areas at 45
        degrees. A UTM zone, at most 0.1 % off in length, is taken as it is, as surveyors take it.
        Without a CRS nobody knows: False.
        """
        crs = self.crs
        if crs is None or crs.is_geographic:
            return False
        if not crs.is_projected:
            return True
        # Over 100 m: a pixel of millimetres drowns in rounding. At the corners too: Web Mercator is
        # true to scale at the equator.
        step = 100 / float(crs.units_factor[1])
        w, h = self.width, self.height
        places = [self.transform @ p for p in ((w / 2, h / 2), (0, 0), (w, 0), (0, h), (w, h))]
        try:
            geod = _geod(crs.to_wkt())
            for x, y in places:
                lons, lats = self._lonlat([(x, y), (x + step, y), (x, y + step)])
                on_ground = [geod.inv(lons[0], lats[0], lons[k], lats[k])[2] for k in (1, 2)]
                # NaN, where a corner lies off the globe, compares as False.
                if any(abs(length / 100 - 1) > _TRUE_SCALE for length in on_ground):
                    return False
        except Exception:  # pyproj cannot place this projection on the globe
            return True
        return True

    def _lonlat(self, points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
        assert self.crs is not None
        xs, ys = zip(*points, strict=True)
        to, degree = _globe(self.crs.to_wkt())
        if to is not None:
            xs, ys = to.transform(xs, ys)
        return [x * degree for x in xs], [y * degree for y in ys]


# A field is a grid of its own, and a map has thousands of them in one CRS.
@lru_cache(maxsize=16)
def _globe(wkt: str) -> tuple[pyproj.Transformer | None, float]:
    """What brings a projected CRS to longitudes and latitudes; and degrees in a unit of these."""
    import pyproj

    source, to = pyproj.CRS.from_wkt(wkt), None
    if not source.is_geographic:
        assert source.geodetic_crs is not None
        to = pyproj.Transformer.from_crs(source, source.geodetic_crs, always_xy=True)
        source = source.geodetic_crs
    # Some systems count in grads.
    return to, math.degrees(source.axis_info[0].unit_conversion_factor)


@lru_cache(maxsize=16)
def _geod(wkt: str) -> pyproj.Geod:
    import pyproj

    return pyproj.CRS.from_wkt(wkt).get_geod() or pyproj.Geod(ellps="WGS84")
