"""Windows and grids, against pyproj and formulas worked out here."""

from __future__ import annotations

import math
import pickle

import pyproj
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from agriseg.errors import OptionError
from agriseg.geobox import GeoBox, Window

UTM = CRS.from_epsg(32632)
WGS84 = CRS.from_epsg(4326)
WEB_MERCATOR = CRS.from_epsg(3857)
EARTH_RADIUS_M = 6378137.0
GEOD = pyproj.Geod(ellps="WGS84")


def utm_box(width: int = 7, height: int = 5, gsd: float = 0.5, angle: float = 0.0) -> GeoBox:
    transform = (
        Affine.translation(500_000.25, 5_600_000.75)
        @ Affine.rotation(angle)
        @ Affine.scale(gsd, -gsd)
    )
    return GeoBox(UTM, transform, width, height)


def mercator_y(latitude: float) -> float:
    return EARTH_RADIUS_M * math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))


class TestWindow:
    def test_ends_shape_and_slices(self) -> None:
        window = Window(col_off=3, row_off=5, width=7, height=2)
        assert (window.col_end, window.row_end, window.shape) == (10, 7, (2, 7))
        assert window.slices == (slice(5, 7), slice(3, 10))
        assert str(window) == "columns 3..9, rows 5..6"

    @pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, 4)])
    def test_empty_is_refused(self, size: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="empty"):
            Window(0, 0, *size)

    @pytest.mark.parametrize("value", [1.0, True, "1", None])
    def test_only_whole_numbers(self, value: object) -> None:
        with pytest.raises(TypeError, match=r"Window\.col_off"):
            Window(value, 0, 1, 1)  # type: ignore[arg-type]

    def test_shifted_and_grown(self) -> None:
        window = Window(3, 5, 7, 2)
        assert window.shifted(-4, 10) == Window(-1, 15, 7, 2)
        assert window.grown(2) == Window(1, 3, 11, 6)

    @given(*[st.tuples(*[st.integers(-6, 6)] * 2, *[st.integers(1, 8)] * 2)] * 2)
    def test_intersection_is_the_common_pixels(
        self, a: tuple[int, ...], b: tuple[int, ...]
    ) -> None:
        def pixels(w: Window) -> set[tuple[int, int]]:
            rows, cols = range(w.row_off, w.row_end), range(w.col_off, w.col_end)
            return {(row, col) for row in rows for col in cols}

        first, second = Window(*a), Window(*b)
        both = first.intersection(second)
        assert (pixels(both) if both else set()) == pixels(first) & pixels(second)
        assert both == second.intersection(first)


class TestGeoBox:
    @pytest.mark.parametrize(("width", "height"), [(0, 3), (3, 0), (-2, 2)])
    def test_empty_is_refused(self, width: int, height: int) -> None:
        with pytest.raises(ValueError, match="empty"):
            GeoBox(UTM, Affine.identity(), width, height)

    @pytest.mark.parametrize(
        "transform",
        [Affine(0, 0, 5, 0, -1, 5), Affine(1, 2, 0, 2, 4, 0), Affine(math.nan, 0, 0, 0, 1, 0)],
    )
    def test_a_flat_transform_is_refused(self, transform: Affine) -> None:
        with pytest.raises(ValueError, match="cannot be inverted"):
            GeoBox(UTM, transform, 3, 3)

    def test_corners_bounds_shape(self) -> None:
        box = GeoBox(UTM, Affine(2, 0, 100, 0, -3, 50), 4, 5)
        assert box.corners == [(100, 50), (108, 50), (108, 35), (100, 35)]
        assert box.bounds == (100, 35, 108, 50)
        assert (box.shape, box.window) == ((5, 4), Window(0, 0, 4, 5))

    def test_bounds_of_south_up_and_rotated(self) -> None:
        south_up = GeoBox(UTM, Affine(2, 0, 100, 0, 3, 50), 4, 5)
        assert south_up.bounds == (100, 50, 108, 65)
        quarter = GeoBox(UTM, Affine(0, 2, 100, 3, 0, 50), 4, 5)  # columns go north, rows east
        assert quarter.bounds == (100, 50, 110, 62)

    def test_is_georeferenced(self) -> None:
        assert GeoBox(UTM, Affine.identity(), 2, 2).is_georeferenced
        assert GeoBox(None, Affine.scale(2), 2, 2).is_georeferenced
        assert not GeoBox(None, Affine.identity(), 2, 2).is_georeferenced

    def test_pickling_keeps_it_equal(self) -> None:
        box = utm_box(angle=12)
        assert box.gsd_m  # a value that has been worked out travels along, and does no harm
        copy = pickle.loads(pickle.dumps(box))
        assert copy == box
        assert hash(copy) == hash(box)
        assert copy.gsd_m == box.gsd_m
        assert pickle.loads(pickle.dumps(box.window)) == box.window


class TestGsd:
    def test_utm_is_the_pixel_size(self) -> None:
        box = GeoBox(UTM, Affine(0.05, 0, 5e5, 0, -0.07, 5.6e6), 9, 4)
        assert box.gsd_m == (0.05, 0.07)
        assert box.mean_gsd_m == pytest.approx(math.sqrt(0.05 * 0.07))
        assert box.area_m2 == pytest.approx(9 * 4 * 0.05 * 0.07)

    def test_feet_become_metres(self) -> None:
        box = GeoBox(CRS.from_epsg(2229), Affine(2, 0, 6.4e6, 0, -2, 1.8e6), 10, 5)
        foot = 1200 / 3937  # the US survey foot, by its definition
        assert box.gsd_m == pytest.approx((2 * foot, 2 * foot), rel=1e-12)
        assert box.area_m2 == pytest.approx(10 * 5 * (2 * foot) ** 2, rel=1e-12)

    @pytest.mark.parametrize("angle", [0, 17.5, 90, 180, -63])
    def test_rotation_changes_nothing(self, angle: float) -> None:
        box = utm_box(11, 3, gsd=0.25, angle=angle)
        assert box.gsd_m == pytest.approx((0.25, 0.25))
        assert box.area_m2 == pytest.approx(33 * 0.25**2)

    def test_south_up_is_positive(self) -> None:
        box = GeoBox(UTM, Affine(0.5, 0, 5e5, 0, 0.25, 5.6e6), 4, 6)
        assert box.gsd_m == (0.5, 0.25)
        assert box.area_m2 == pytest.approx(4 * 6 * 0.5 * 0.25)

    @pytest.mark.parametrize("latitude", [-38.0, 0.0, 50.0, 67.5])
    def test_geographic_is_geodesic(self, latitude: float) -> None:
        size = 1e-5
        box = GeoBox(WGS84, Affine(size, 0, 7.0, 0, -size, latitude), 200, 100)
        lon, lat = 7.0 + 100 * size, latitude - 50 * size
        along = GEOD.inv(lon, lat, lon + size, lat)[2]
        down = GEOD.inv(lon, lat, lon, lat - size)[2]
        assert box.gsd_m == pytest.approx((along, down), rel=1e-7)
        assert box.area_m2 == pytest.approx(along * down * 200 * 100, rel=1e-4)

    def test_geographic_south_up_and_rotated(self) -> None:
        size = 1e-5
        north_up = GeoBox(WGS84, Affine(size, 0, 7.0, 0, -size, 50.0), 64, 64)
        left, bottom, _, _ = north_up.bounds
        south_up = GeoBox(WGS84, Affine(size, 0, left, 0, size, bottom), 64, 64)
        quarter = GeoBox(WGS84, Affine(0, size, left, size, 0, bottom), 64, 64)
        along, down = north_up.gsd_m or (0, 0)
        assert south_up.gsd_m == pytest.approx((along, down), rel=1e-5)
        assert quarter.gsd_m == pytest.approx((down, along), rel=1e-5)
        for box in (south_up, quarter):
            assert box.area_m2 == pytest.approx(north_up.area_m2, rel=1e-6)

    @pytest.mark.parametrize(("south", "north"), [(49.0, 50.0), (-0.5, 0.5), (60.0, 70.0)])
    def test_area_between_parallels(self, south: float, north: float) -> None:
        """Snyder, Map Projections: A Working Manual (USGS 1395), equation 3-12: zone area."""
        e2 = GEOD.es
        e = math.sqrt(e2)

        def q(latitude: float) -> float:
            s = math.sin(math.radians(latitude))
            log = math.log((1 - e * s) / (1 + e * s)) / (2 * e)
            return (1 - e2) * (s / (1 - e2 * s * s) - log)

        zone = GEOD.a**2 * math.radians(1) * (q(north) - q(south)) / 2
        pixels = 100
        transform = Affine(1 / pixels, 0, 8, 0, -(north - south) / pixels, north)
        box = GeoBox(WGS84, transform, pixels, pixels)
        assert box.area_m2 == pytest.approx(zone, rel=2e-6)

    @pytest.mark.parametrize(
        "crs",
        [
            WEB_MERCATOR,
            CRS.from_string(
                "+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 "
                "+units=m +nadgrids=@null +wktext +no_defs"
            ),
            CRS.from_wkt(pyproj.CRS.from_epsg(3857).to_wkt("WKT1_ESRI")),
        ],
        ids=["epsg", "proj4", "esri"],
    )
    def test_web_mercator_is_true_ground(self, crs: CRS) -> None:
        y = mercator_y(50.0)
        box = GeoBox(crs, Affine(10, 0, 1e6 - 500, 0, -10, y + 500), 100, 100)

        def lonlat(x: float, y: float) -> tuple[float, float]:
            lat = 2 * math.atan(math.exp(y / EARTH_RADIUS_M)) - math.pi / 2
            return math.degrees(x / EARTH_RADIUS_M), math.degrees(lat)

        along = GEOD.inv(*lonlat(1e6, y), *lonlat(1e6 + 10, y))[2]
        down = GEOD.inv(*lonlat(1e6, y), *lonlat(1e6, y - 10))[2]
        # A pixel of 10 map metres is about 6.4 m on the ground here: cos(50 degrees) = 0.643.
        assert along == pytest.approx(6.44, abs=0.01)
        assert box.gsd_m == pytest.approx((along, down), rel=1e-6)
        assert box.area_m2 == pytest.approx(along * down * 100 * 100, rel=1e-4)

    @pytest.mark.parametrize(
        ("unit", "metres"), [('"metre",1', 1.0), ('"US survey foot",0.304800609601219', 0.3048006)]
    )
    def test_a_local_crs_has_metres_too(self, unit: str, metres: float) -> None:
        """Photogrammetry without ground control exports grids in local coordinates."""
        crs = CRS.from_wkt(f'LOCAL_CS["Local Coordinates",LOCAL_DATUM["Local",0],UNIT[{unit}]]')
        box = GeoBox(crs, Affine(0.1, 0, 3, 0, -0.1, 4), 20, 10)
        assert box.gsd_m == pytest.approx((0.1 * metres, 0.1 * metres), rel=1e-6)
        assert box.area_m2 == pytest.approx(2 * metres**2, rel=1e-6)

    def test_nothing_is_known_without_a_crs(self) -> None:
        box = GeoBox(None, Affine.scale(0.5, -0.5), 4, 4)
        assert (box.gsd_m, box.mean_gsd_m, box.area_m2) == (None, None, None)


class TestCrop:
    def test_corners_are_the_pixels_corners(self) -> None:
        box = utm_box(20, 30, angle=25)
        part = box.crop(Window(3, 7, 5, 2))
        assert part.shape == (2, 5)
        expected = [box.transform @ c for c in ((3, 7), (8, 7), (8, 9), (3, 9))]
        for got, want in zip(part.corners, expected, strict=True):
            assert got == pytest.approx(want, abs=1e-6)

    def test_whole_window_changes_nothing(self) -> None:
        box = utm_box(angle=25)
        assert box.crop(box.window) == box

    def test_crop_of_a_crop_adds_up(self) -> None:
        box = GeoBox(UTM, Affine(0.5, 0, 5e5, 0, -0.5, 5.6e6), 50, 40)
        twice = box.crop(Window(4, 6, 20, 20)).crop(Window(3, 1, 5, 7))
        assert twice == box.crop(Window(7, 7, 5, 7))


class TestCovering:
    def test_partly_covered_pixels_count(self) -> None:
        box = GeoBox(UTM, Affine(2, 0, 100, 0, -2, 50), 10, 10)
        assert box.covering([(103, 47), (107, 43)]) == Window(1, 1, 3, 3)
        assert box.covering([(103, 47)]) == Window(1, 1, 1, 1)

    def test_it_is_clipped_to_the_grid(self) -> None:
        box = GeoBox(UTM, Affine(2, 0, 100, 0, -2, 50), 10, 10)
        assert box.covering([(0, 0), (103, 1000)]) == Window(0, 0, 2, 10)
        assert box.covering([(-1000, -1000), (1000, 1000)]) == box.window

    @pytest.mark.parametrize("point", [(99, 45), (121, 45), (110, 51), (110, 29)])
    def test_outside_is_none(self, point: tuple[float, float]) -> None:
        assert GeoBox(UTM, Affine(2, 0, 100, 0, -2, 50), 10, 10).covering([point]) is None

    def test_neighbours_that_only_touch_are_outside(self) -> None:
        box = GeoBox(UTM, Affine(2, 0, 100, 0, -2, 50), 10, 10)
        assert box.covering([(120, 50), (140, 30)]) is None
        assert box.covering([(80, 50), (100, 30)]) is None

    def test_rounding_pulls_in_no_pixel_but_a_real_part_does(self) -> None:
        box = GeoBox(UTM, Affine(1, 0, 0, 0, -1, 0), 10, 10)
        assert box.covering([(2 - 1e-8, -3 + 1e-8), (5 + 1e-8, -6 - 1e-8)]) == Window(2, 3, 3, 3)
        assert box.covering([(2 - 0.01, -3 + 0.01), (5.01, -6.01)]) == Window(1, 2, 5, 5)

    def test_south_up(self) -> None:
        box = GeoBox(UTM, Affine(2, 0, 100, 0, 2, 50), 10, 10)
        assert box.covering([(103, 53), (107, 57)]) == Window(1, 1, 3, 3)

    @pytest.mark.parametrize(
        ("angle", "window"),
        [
            (119, Window(23, 11, 36_113, 26_120)),
            (-87, Window(69, 26, 20_141, 6_528)),
            (133, Window(56, 43, 17_995, 3_869)),
            (-26, Window(16, 64, 29_110, 19_211)),
        ],
    )
    def test_doubles_are_coarse_where_eastings_carry_a_zone(
        self, angle: float, window: Window
    ) -> None:
        """At 32,731,234 m and 5 mm a pixel, going there and back is off by over 1e-6 of a pixel."""
        transform = (
            Affine.translation(32_731_234.567, 9_876_543.21)
            @ Affine.rotation(angle)
            @ Affine.scale(0.005, -0.005)
        )
        box = GeoBox(UTM, transform, 40_000, 30_000)
        assert box.covering(box.crop(window).corners) == window

    @given(
        st.floats(-180, 180),
        st.sampled_from([0.005, 0.0123, 0.05, 0.3, 10.0]),
        st.booleans(),
        st.data(),
    )
    @settings(max_examples=500)
    def test_the_corners_of_a_window_give_it_back(
        self, angle: float, gsd: float, south_up: bool, data: st.DataObject
    ) -> None:
        """Rotated, south-up, and with the rounding of true map coordinates."""
        easting = data.draw(st.sampled_from([731_234.567, 32_731_234.567]))
        transform = (
            Affine.translation(easting, 9_876_543.21)
            @ Affine.rotation(angle)
            @ Affine.scale(gsd, gsd if south_up else -gsd)
        )
        box = GeoBox(UTM, transform, 40_000, 30_000)
        col, row = data.draw(st.integers(0, 39_999)), data.draw(st.integers(0, 29_999))
        width = data.draw(st.integers(1, box.width - col))
        height = data.draw(st.integers(1, box.height - row))
        window = Window(col, row, width, height)
        assert box.covering(box.crop(window).corners) == window


class TestAtGsd:
    def test_origin_and_axes_stay(self) -> None:
        box = utm_box(101, 57, gsd=0.1, angle=30)
        coarse = box.at_gsd(0.25)
        assert coarse.crs == box.crs
        assert coarse.corners[0] == pytest.approx(box.corners[0])
        assert coarse.gsd_m == pytest.approx((0.25, 0.25))
        assert (coarse.width, coarse.height) == (41, 23)  # 10.1 m and 5.7 m, rounded up
        t, c = box.transform, coarse.transform
        assert math.atan2(c.d, c.a) == pytest.approx(math.atan2(t.d, t.a))
        assert math.atan2(c.e, c.b) == pytest.approx(math.atan2(t.e, t.b))

    def test_the_same_gsd_gives_the_same_grid(self) -> None:
        box = utm_box(13, 9, gsd=0.1)
        assert box.at_gsd(0.1).shape == box.shape
        assert box.at_gsd(0.2).at_gsd(0.1).shape == (10, 14)

    def test_oblong_pixels_become_square(self) -> None:
        box = GeoBox(UTM, Affine(0.1, 0, 5e5, 0, 0.4, 5.6e6), 40, 10)  # south-up too
        square = box.at_gsd(0.2)
        assert square.shape == (20, 20)
        assert square.transform.e == pytest.approx(0.2)

    def test_feet_and_degrees(self) -> None:
        feet = GeoBox(CRS.from_epsg(2229), Affine(1, 0, 6.4e6, 0, -1, 1.8e6), 300, 300)
        assert feet.at_gsd(0.5).gsd_m == pytest.approx((0.5, 0.5))
        degrees = GeoBox(WGS84, Affine(1e-5, 0, 7, 0, -1e-5, 50), 300, 300)
        assert degrees.at_gsd(2.0).gsd_m == pytest.approx((2.0, 2.0), rel=1e-5)

    @given(st.integers(1, 500), st.integers(1, 500), st.floats(0.01, 30))
    def test_it_covers_the_old_grid_and_less_than_a_pixel_more(
        self, width: int, height: int, gsd: float
    ) -> None:
        old = GeoBox(UTM, Affine(0.1, 0, 0, 0, -0.1, 0), width, height)
        new = old.at_gsd(gsd)
        for have, need in ((new.width * gsd, width * 0.1), (new.height * gsd, height * 0.1)):
            assert need - 1e-5 * gsd <= have < need + gsd * (1 + 1e-9)

    @pytest.mark.parametrize("gsd", [0.0, -1.0, math.nan, math.inf])
    def test_nonsense_is_refused(self, gsd: float) -> None:
        with pytest.raises(OptionError, match="positive"):
            utm_box().at_gsd(gsd)

    def test_without_a_crs_it_is_refused(self) -> None:
        with pytest.raises(OptionError, match="no CRS"):
            GeoBox(None, Affine.scale(0.5, -0.5), 4, 4).at_gsd(1.0)


def test_a_grid_beyond_the_poles_has_no_size_in_metres() -> None:
    box = GeoBox(CRS.from_epsg(4326), Affine(90, 0, -180, 0, -100, 90), 4, 4)
    assert box.gsd_m is None
    assert box.area_m2 is None
    assert box.mean_gsd_m is None


@pytest.mark.parametrize("code", [3395, 4087, 3857])
def test_maps_that_stretch_give_ground_sizes(code: int) -> None:
    """World Mercator and plate carree are as far from the ground at 48 degrees as Web Mercator."""
    to = pyproj.Transformer.from_crs(4326, code, always_xy=True)
    x, y = to.transform(11.0, 48.0)
    box = GeoBox(CRS.from_epsg(code), Affine(10, 0, x - 500, 0, -10, y + 500), 100, 100)
    back = pyproj.Transformer.from_crs(code, 4326, always_xy=True)
    lons, lats = back.transform(*zip(*box.corners, strict=True))
    area, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(lons, lats)
    assert box.area_m2 == pytest.approx(abs(area), rel=1e-3)
    assert box.gsd_m is not None
    assert box.gsd_m[0] * box.gsd_m[1] * 100 * 100 == pytest.approx(abs(area), rel=2e-3)


def test_pixels_a_hundred_times_finer_are_a_mistake() -> None:
    box = GeoBox(CRS.from_epsg(32633), Affine(1, 0, 5e5, 0, -1, 5e6), 10, 10)
    with pytest.raises(OptionError, match="in metres"):
        box.at_gsd(1e-9)


@pytest.mark.parametrize("code", [4807, 27572])
def test_systems_in_grads_have_true_areas(code: int) -> None:
    """NTF (Paris) counts its angles in grads, by itself and under its projections."""
    side = 0.01 if code == 4807 else 1000.0
    x, y = (0.5, 52.0) if code == 4807 else (600_000.0, 2_200_000.0)
    box = GeoBox(CRS.from_epsg(code), Affine(side / 10, 0, x, 0, -side / 10, y), 10, 10)
    assert box.area_m2 is not None
    assert box.gsd_m is not None
    # 0.01 grad is a kilometre of latitude, and 0.683 km of longitude at 52 grads (46.8 degrees).
    expected = 1000.0 * 686.0 if code == 4807 else 1e6
    assert box.area_m2 == pytest.approx(expected, rel=0.005)
    assert box.gsd_m[0] * box.gsd_m[1] * 100 == pytest.approx(box.area_m2, rel=0.005)


def test_web_mercator_about_the_equator_is_not_true_to_scale() -> None:
    half = 20_037_508.342789244
    world = GeoBox(CRS.from_epsg(3857), Affine(half / 50, 0, -half, 0, -half / 50, half), 100, 100)
    assert not world.is_true_to_scale
