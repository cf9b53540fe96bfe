"""Metres around a place, against geodesics."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.crs import CRS

from agriseg.errors import InputError
from agriseg.fields.frame import frame_at
from agriseg.geobox import GeoBox
from tests.support import UTM


@pytest.mark.parametrize(
    ("epsg", "transform"),
    [
        (4326, Affine(3e-7, 0, 16.0, 0, -2e-7, 48.3)),
        (4326, Affine(2e-7, 1e-7, -71.2, 1.5e-7, -2e-7, -33.1)),
        (3857, Affine(0.03, 0, 1_781_111.0, 0, -0.02, 6_157_000.0)),
    ],
)
def test_it_measures_as_geodesics_do(epsg: int, transform: Affine) -> None:
    box = GeoBox(CRS.from_epsg(epsg), transform, 301, 207)
    frame = frame_at(box, 150.5, 103.5)
    to = pyproj.Transformer.from_crs(epsg, 4326, always_xy=True)
    origin = to.transform(*(transform @ (150.5, 103.5)))
    for pixel in ((250.5, 103.5), (150.5, 203.5), (200.5, 73.5)):
        azimuth, _, metres = pyproj.Geod(ellps="WGS84").inv(
            *origin, *to.transform(*(transform @ pixel))
        )
        east, north = frame.to_metres(np.array([pixel]))[0]
        assert np.hypot(east, north) == pytest.approx(metres, rel=1e-5)
        assert np.degrees(np.arctan2(east, north)) % 360 == pytest.approx(azimuth % 360, abs=1e-3)


def test_feet_become_metres_and_back() -> None:
    foot = 1200 / 3937
    box = GeoBox(CRS.from_epsg(2263), Affine(0.3, 0.1, 1e6, 0.1, -0.2, 2e5), 40, 30)
    frame = frame_at(box, 7, 11)
    np.testing.assert_allclose(frame.matrix, np.array([[0.3, 0.1], [0.1, -0.2]]) * foot)
    points = np.array([[3.0, 4.0], [39.5, -2.25]])
    np.testing.assert_allclose(frame.to_pixels(frame.to_metres(points)), points)


def test_waves_turn_with_the_grid() -> None:
    box = GeoBox(UTM, Affine(0.02, 0.03, 0, 0.01, -0.02, 0), 40, 30)
    frame = frame_at(box, 0, 0)
    cycles = np.array([[0.11, -0.05]])
    pixels = np.array([[13.0, 8.0]])
    phase = (cycles * pixels).sum()
    assert (frame.waves_to_metres(cycles) * frame.to_metres(pixels)).sum() == pytest.approx(phase)
    np.testing.assert_allclose(frame.waves_to_pixels(frame.waves_to_metres(cycles)), cycles)


def test_without_a_crs_there_are_no_metres() -> None:
    with pytest.raises(InputError, match=r"no CRS.*gdal_edit"):
        frame_at(GeoBox(None, Affine(0.02, 0, 0, 0, -0.02, 0), 40, 30), 0, 0)
