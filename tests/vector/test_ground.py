"""Areas and lengths on the ground, against geodesics worked out by pyproj."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyproj
import pytest
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.geobox import GeoBox
from agriseg.vector.ground import Ground

LOCAL = 'LOCAL_CS["field",UNIT["metre",1]]'
# Rotated by a few degrees, mirrored, sheared: any grid is measured.
TURNED = Affine.rotation(7) @ Affine.scale(1, -1.3) @ Affine.shear(5)


def crs_of(code: int | str) -> CRS:
    return CRS.from_epsg(code) if isinstance(code, int) else CRS.from_string(code)


def box_at(
    code: int | str, x: float, y: float, pixel: float, size: int = 40, turn: Affine | None = None
) -> GeoBox:
    """A grid whose centre lies at map coordinates (x, y)."""
    half = Affine.translation(-size / 2, -size / 2)
    shape = Affine.scale(pixel) @ (turn or Affine.scale(1, -1))
    return GeoBox(crs_of(code), Affine.translation(x, y) @ shape @ half, size, size)


def centre(code: int, lon: float, lat: float) -> tuple[float, float]:
    to = pyproj.Transformer.from_crs(4326, code, always_xy=True)
    x, y = to.transform(lon, lat)
    return float(x), float(y)


def shoelace(ring: NDArray[np.float64]) -> float:
    x, y = ring.T
    return abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)


def ring_of(box: GeoBox, corners: list[tuple[float, float]], steps: int) -> NDArray[np.float64]:
    """Map coordinates of a ring of pixel corners, with `steps` pieces an edge."""
    points = []
    for (c0, r0), (c1, r1) in zip(corners, corners[1:] + corners[:1], strict=True):
        for k in range(steps):
            t = k / steps
            points.append(box.transform @ (c0 + (c1 - c0) * t, r0 + (r1 - r0) * t))
    return np.array(points)


def geodesic_area(box: GeoBox, corners: list[tuple[float, float]]) -> float:
    """Area of a ring, with vertices so close that edges between them are geodesics.

    Not closer, since each adds rounding: it weighs with the distance to the equator.
    """
    assert box.crs is not None
    metres = (box.bounds[2] - box.bounds[0]) * (1e5 if box.crs.is_geographic else 1)
    ring = ring_of(box, corners, 2048 if metres > 1e4 else 128 if metres > 200 else 8)
    crs = pyproj.CRS.from_wkt(box.crs.to_wkt())
    base = crs.geodetic_crs
    assert base is not None
    unit = math.degrees(base.axis_info[0].unit_conversion_factor)
    lon, lat = ring.T
    if not crs.is_geographic:
        lon, lat = pyproj.Transformer.from_crs(crs, base, always_xy=True).transform(lon, lat)
    geod = crs.get_geod()
    assert geod is not None
    east = np.asarray(lon) * unit - np.rint(lon[0] * unit)
    east -= 360 * np.rint(east / 360)
    return abs(geod.polygon_area_perimeter(east, np.asarray(lat) * unit)[0])


# An L, as pixel edges draw it.
ELL = [(3, 2), (31, 2), (31, 9), (12, 9), (12, 37), (3, 37)]

STRETCHED = {
    "degrees at the equator": box_at(4326, 12.0, 0.0001, 2e-5),
    "degrees at 45": box_at(4326, 15.0, 45.0, 2e-5),
    "degrees at 70 south": box_at(4326, -70.0, -70.0, 2e-5),
    "degrees, turned": box_at(4326, 15.0, 52.0, 2e-5, turn=TURNED),
    "degrees, coarse": box_at(4326, 15.0, 52.0, 0.1),
    "degrees beyond 180": box_at(4326, 180.0001, -17.0, 2e-5),
    "degrees 0 to 360": box_at(4326, 359.9, 20.0, 0.01),
    "Web Mercator": box_at(3857, *centre(3857, 13.0, 52.0), 0.05),
    "Web Mercator beyond 180": box_at(3857, 20037508.34, -1.9e6, 30.0),
    "Web Mercator, coarse": box_at(3857, *centre(3857, 13.0, 60.0), 5000.0),
    "World Mercator": box_at(3395, *centre(3395, 13.0, 52.0), 1.0),
    "plate carree": box_at(32662, *centre(32662, 13.0, 52.0), 1.0),
    "polar stereographic": box_at(3031, 1_500_000.0, -700_000.0, 10.0),
    "over the pole": box_at(3031, 13.0, -7.0, 100.0),
    "polar at 180": box_at(3413, -2_000_000.0, 2_000_000.0, 10.0),
    "grads from Paris": box_at(4807, 1.0, 52.0, 2e-5),
    "Bessel": box_at(4314, 9.0, 49.0, 2e-5),
    "sphere": box_at("+proj=longlat +R=6371000 +no_defs", 9.0, 49.0, 2e-5),
    "far off the zone": box_at(32633, *centre(32633, 28.0, 48.0), 1.0),
}


@pytest.mark.parametrize("box", STRETCHED.values(), ids=STRETCHED.keys())
def test_areas_are_those_on_the_ground(box: GeoBox) -> None:
    assert not box.is_true_to_scale
    # The vertices that a polygon has are enough on the cylinder; the other plane wants some more.
    ours = shoelace(Ground(box).flatten(ring_of(box, ELL, 32)))
    assert ours == pytest.approx(geodesic_area(box, ELL), rel=2e-7)


@pytest.mark.parametrize(
    "name", [n for n in STRETCHED if "degrees" in n or "Mercator" in n or "grads" in n]
)
def test_pixel_edges_need_no_more_vertices_on_the_cylinder(name: str) -> None:
    box = STRETCHED[name]
    ours, fine = (shoelace(Ground(box).flatten(ring_of(box, ELL, n))) for n in (1, 64))
    # Slanting ones bend a little: by 0.1 mm where they are 60 m long.
    assert ours == pytest.approx(fine, rel=2e-6 if "turned" in name else 1e-9)


@pytest.mark.parametrize("code", [4326, 3857, 3031, 32633])
def test_two_centimetres_are_measured(code: int) -> None:
    lon, lat = (-70.0, -75.0) if code == 3031 else (16.0, 52.0)
    x, y = centre(code, lon, lat)
    box = box_at(code, x, y, 2e-7 if code == 4326 else 0.02, size=20_000)
    # Pixels of one row, and how much they differ that should not.
    cols = np.arange(20_001)
    t = box.transform
    edges = [
        np.column_stack([t.a * cols + t.c, np.full(20_001, t.f + t.e * row)]) for row in (7, 8)
    ]
    flat = [Ground(box).flatten(edge) for edge in edges]
    first, second = flat[1][1:] - flat[0][:-1], flat[1][:-1] - flat[0][1:]
    areas = abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    # Across a polar map the scale changes from pixel to pixel: 400 m of it are smooth.
    bend = np.polynomial.Polynomial.fit(cols[1:], areas, 2)(cols[1:])
    assert (areas - bend).std() / areas.mean() < 5e-7  # a double of degrees ends at 1 nm
    assert areas.mean() == pytest.approx(box.area_m2 / 4e8, rel=1e-4)


@pytest.mark.parametrize("box", STRETCHED.values(), ids=STRETCHED.keys())
def test_lengths_are_geodesics(box: GeoBox) -> None:
    points = ring_of(box, ELL, 1)
    ends = np.roll(points, -1, axis=0)
    metres = Ground(box).lengths(points, ends)
    assert metres.shape == (len(points),)
    # The same from a plane about the start of each edge, which is true to length from there.
    assert box.crs is not None
    crs = pyproj.CRS.from_wkt(box.crs.to_wkt())
    base = crs.geodetic_crs
    assert base is not None
    geod = crs.get_geod()
    assert geod is not None
    shape = f"+a={geod.a!r} +b={geod.b!r}"
    unit = math.degrees(base.axis_info[0].unit_conversion_factor)
    to = pyproj.Transformer.from_crs(crs, base, always_xy=True)
    for start, end, length in zip(points, ends, metres, strict=True):
        (lon, lat), other = (np.array(to.transform(*p)) * unit for p in (start, end))
        plane = pyproj.Transformer.from_pipeline(
            f"+proj=aeqd +lon_0={float(lon)} +lat_0={float(lat)} {shape}"
        )
        assert length == pytest.approx(math.hypot(*plane.transform(*other)), rel=1e-6)


FLAT = {
    "UTM": (box_at(32633, 500_000.1, 5_600_000.3, 0.02), 1.0),
    "UTM, turned": (box_at(32633, 500_000.1, 5_600_000.3, 0.02, turn=TURNED), 1.0),
    "US feet": (box_at(2263, 1_000_000.0, 200_000.0, 0.25), 1200 / 3937),
    "engineering": (box_at(LOCAL, 10.0, 20.0, 0.01), 1.0),
}


@pytest.mark.parametrize(("box", "metre"), FLAT.values(), ids=FLAT.keys())
def test_a_map_true_to_scale_is_measured_as_it_is(box: GeoBox, metre: float) -> None:
    assert box.is_true_to_scale
    ground = Ground(box)
    pixels = 28 * 7 + 9 * 28
    pixel = abs(box.transform.determinant) * metre**2
    ring = ring_of(box, ELL, 1)
    flat = ground.flatten(ring)
    assert shoelace(flat) == pytest.approx(pixels * pixel, rel=1e-7)
    assert np.abs(flat).max() < 100
    apart = np.hypot(*(np.roll(ring, -1, axis=0) - ring).T) * metre
    assert ground.lengths(ring, np.roll(ring, -1, axis=0)) == pytest.approx(apart, rel=1e-12)
    if box.crs != crs_of(LOCAL):
        assert shoelace(flat) == pytest.approx(geodesic_area(box, ELL), rel=2e-3)


@pytest.mark.parametrize(
    "box",
    [box for name, box in STRETCHED.items() if "grads" not in name] + [b for b, _ in FLAT.values()],
    ids=[name for name in STRETCHED if "grads" not in name] + list(FLAT),
)
def test_pixels_add_up_to_the_area_of_the_grid(box: GeoBox) -> None:
    rows, cols = np.mgrid[: box.height + 1, : box.width + 1]
    t = box.transform
    xy = np.column_stack(
        [
            (t.a * cols + t.b * rows + t.c).ravel(),
            (t.d * cols + t.e * rows + t.f).ravel(),
        ]
    )
    flat = Ground(box).flatten(xy).reshape(box.height + 1, box.width + 1, 2)
    first = flat[1:, 1:] - flat[:-1, :-1]
    second = flat[1:, :-1] - flat[:-1, 1:]
    pixels = np.abs(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]) / 2
    assert (pixels > 0).all()
    assert pixels.sum() == pytest.approx(box.area_m2, rel=1e-6)


def test_the_whole_globe_has_its_area() -> None:
    # Half a pixel over each pole, as grids of pixel centres have it.
    box = GeoBox(crs_of(4326), Affine(1, 0, -180.5, 0, -1, 90.5), 361, 181)
    globe = [(0.5, 0), (360.5, 0), (360.5, 181), (0.5, 181)]
    area = shoelace(Ground(box).flatten(ring_of(box, globe, 1)))
    assert area == pytest.approx(510_065_621.724e6, rel=1e-9)


def test_a_map_around_the_globe_does_not_wrap() -> None:
    edge = 20037508.342789244
    # Three quarters of the world: at the equator Mercator is true to scale.
    box = GeoBox(crs_of(3857), Affine(edge / 128, 0, -edge, 0, -edge / 128, edge), 256, 192)
    world = ring_of(box, [(0, 0), (256, 0), (256, 192), (0, 192)], 1)
    sphere = pyproj.Transformer.from_crs(3857, 4326, always_xy=True)
    _, (north, south) = sphere.transform([0, 0], [world[0, 1], world[-1, 1]])
    lons, lats = np.linspace(0, 1, 999), np.ones(999)
    degree, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(
        np.r_[lons, lons[::-1]], np.r_[lats * south, lats * north]
    )
    assert shoelace(Ground(box).flatten(world)) == pytest.approx(degree * 360, rel=1e-7)


def test_points_off_the_globe_are_no_numbers() -> None:
    crs = "+proj=ortho +lat_0=50 +lon_0=10 +ellps=WGS84"
    box = box_at(crs, 4_000_000.0, 0.0, 1000.0)
    assert not box.is_true_to_scale
    ground = Ground(box)
    points = np.array([[4e6, 0.0], [9e6, 9e6]])
    assert np.isfinite(ground.flatten(points)).tolist() == [[True, True], [False, False]]
    assert np.isnan(ground.lengths(points, points[::-1])).all()


@pytest.mark.parametrize("box", [STRETCHED["over the pole"], STRETCHED["degrees at 45"]])
def test_no_points_have_no_length(box: GeoBox) -> None:
    none = np.empty((0, 2))
    assert Ground(box).flatten(none).shape == (0, 2)
    assert Ground(box).lengths(none, none).shape == (0,)


def test_threads_share_it() -> None:
    for name in ("polar stereographic", "Web Mercator"):
        box = STRETCHED[name]
        ground, points = Ground(box), ring_of(box, ELL, 500)
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: ground.flatten(points), range(16)))  # noqa: B023
        assert all((flat == results[0]).all() for flat in results)
        assert (pickle.loads(pickle.dumps(ground)).flatten(points) == results[0]).all()


def test_without_a_crs_there_is_no_ground() -> None:
    box = GeoBox(None, Affine.scale(1, -1), 5, 5)
    assert not box.is_true_to_scale
    with pytest.raises(ValueError, match="CRS"):
        Ground(box)
