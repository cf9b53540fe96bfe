"""True areas and lengths on the ground from map coordinates, whatever the CRS."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import GeoBox

__all__ = ["Ground"]

Floats = NDArray[np.float64]

# The parallel at which the cylinder is true to shape; beyond, it would shrink to a line at a pole.
_STEEPEST = 85.0


class _Way(Protocol):
    """How map coordinates come to metres."""

    def flatten(self, xy: Floats) -> Floats: ...

    def lengths(self, start: Floats, end: Floats) -> Floats: ...


class Ground:
    """Measures on the ground what is drawn on the map of a grid.

    A map that is true to scale is measured as it is. In degrees, and in projections such as Web
    Mercator that turn degrees into a rectangle, vertices go onto an equal-area cylinder about the
    raster's centre: there pixel edges are straight, and areas exact. In other projections that
    stretch, they go onto the azimuthal equal-area plane that touches the raster's centre; edges
    between two vertices are taken as straight there, so those of many kilometres want vertices in
    between.

    Points that the projection cannot place on the globe come out as NaN. Safe in several threads.

    Args:
        box: The grid; it must have a CRS.
    """

    def __init__(self, box: GeoBox) -> None:
        if box.crs is None:
            raise ValueError("without a CRS nothing is known of the ground")
        self._way: _Way = _Scaled(box) if box.is_true_to_scale else _Curved(box)

    def flatten(self, xy: Floats) -> Floats:
        """Lay map coordinates (n, 2) onto a plane in metres where the shoelace gives ground areas.

        The plane's origin lies at the raster, so that the sum loses no digits.
        """
        return self._way.flatten(xy)

    def lengths(self, start: Floats, end: Floats) -> Floats:
        """Metres on the ground from each of `start` (n, 2) to its point of `end` (n, 2).

        Geodesic where the map stretches.
        """
        return self._way.lengths(start, end)


class _Scaled:
    """A map that is true to scale: only the unit counts."""

    def __init__(self, box: GeoBox) -> None:
        assert box.crs is not None
        self._metre = float(box.crs.units_factor[1])
        self._origin = np.array(box.transform @ (0, 0))

    def flatten(self, xy: Floats) -> Floats:
        flat: Floats = (xy - self._origin) * self._metre
        return flat

    def lengths(self, start: Floats, end: Floats) -> Floats:
        dx, dy = (end - start).T
        metres: Floats = np.hypot(dx, dy) * self._metre
        return metres


class _Curved:
    """A map that stretches: by way of longitude and latitude on the CRS's own ellipsoid."""

    def __init__(self, box: GeoBox) -> None:
        import pyproj

        assert box.crs is not None
        crs = pyproj.CRS.from_wkt(box.crs.to_wkt())
        geod = crs.get_geod() or pyproj.Geod(ellps="WGS84")
        self._geod = geod
        self._centre = np.array(box.transform @ (box.width / 2, box.height / 2))
        # Longitude by the way along the cylinder, where there is one; else None.
        self._per_x: float | None = None
        self._to_degrees: Any = None
        if box.crs.is_geographic:
            self._per_x = self._per_y = math.degrees(float(box.crs.units_factor[1]))
        else:
            base = crs.geodetic_crs
            assert base is not None
            self._to_degrees = pyproj.Transformer.from_crs(crs, base, always_xy=True)
            # Some geodetic systems count in grads.
            self._unit = math.degrees(base.axis_info[0].unit_conversion_factor)
            self._centre_lon, _ = self._inverse(self._centre[None])[0]
            self._per_x = self._cylinder(box)
        lat = float(self._lonlat(self._centre[None])[0, 1])
        ellipsoid = f"+a={geod.a!r} +b={geod.b!r}"
        if self._per_x is None:
            plane = f"+proj=laea +lat_0={lat!r} {ellipsoid}"
        else:
            # Nothing wraps: a raster may lie across 180 degrees, and reach around the globe.
            true_at = min(max(lat, -_STEEPEST), _STEEPEST)
            plane = f"+proj=cea +over +lat_ts={true_at!r} {ellipsoid}"
        self._plane = pyproj.Transformer.from_pipeline(plane)
        self._origin = np.zeros(2)
        self._origin = self.flatten(self._centre[None])[0]

    def flatten(self, xy: Floats) -> Floats:
        lonlat = self._lonlat(xy)
        flat = np.column_stack(self._plane.transform(lonlat[:, 0], lonlat[:, 1]))
        flat[~np.isfinite(flat).all(axis=1)] = np.nan
        return flat - self._origin

    def lengths(self, start: Floats, end: Floats) -> Floats:
        one, other = self._lonlat(start), self._lonlat(end)
        metres = self._geod.inv(one[:, 0], one[:, 1], other[:, 0], other[:, 1])[2]
        return np.asarray(metres, np.float64)

    def _lonlat(self, xy: Floats) -> Floats:
        """Degrees (n, 2): longitude counted from the raster's centre, and latitude."""
        if self._to_degrees is None:
            assert self._per_x is not None
            lon = (xy[:, 0] - self._centre[0]) * self._per_x
            # Grids of the whole globe reach over the poles by half a pixel, where there is nothing.
            return np.column_stack([lon, np.clip(xy[:, 1] * self._per_y, -90, 90)])
        lonlat = self._inverse(xy)
        lon = lonlat[:, 0] - self._centre_lon
        expected = 0.0 if self._per_x is None else (xy[:, 0] - self._centre[0]) * self._per_x
        # 179 and -179 degrees are neighbours.
        lonlat[:, 0] = lon + 360 * np.rint((expected - lon) / 360)
        return lonlat

    def _inverse(self, xy: Floats) -> Floats:
        """Degrees (n, 2) from the coordinates of a projection; NaN where there are none."""
        x, y = self._to_degrees.transform(xy[:, 0], xy[:, 1])
        lonlat: Floats = np.column_stack([x, y]) * self._unit
        lonlat[~np.isfinite(lonlat).all(axis=1)] = np.nan
        return lonlat

    def _cylinder(self, box: GeoBox) -> float | None:
        """Degrees of longitude per map unit in x, where x depends on nothing else, nor y.

        So in Web Mercator, and every cylindrical projection about the poles' axis.
        """
        left, bottom, right, top = box.bounds
        x0, y0 = self._centre
        # Points so close to the centre that no longitude wraps between them.
        reach = min(right - left, top - bottom) / 8
        steps = np.array([[0, 0], [reach, 0], [-reach, 0], [0, reach], [0, -reach]])
        lonlat = self._lonlat(np.array([x0, y0]) + steps)
        (lon, lat), (east, lat_e), (west, lat_w), (lon_n, north), (lon_s, south) = lonlat
        span = min(abs(east - west), abs(north - south))
        # NaN compares as False.
        if not span > 0:
            return None
        off = max(abs(lon_n - lon), abs(lon_s - lon), abs(lat_e - lat), abs(lat_w - lat))
        bent = abs(east + west - 2 * lon)
        straight = off < 1e-7 * span and bent < 1e-7 * span
        return (east - west) / (2 * reach) if straight else None
