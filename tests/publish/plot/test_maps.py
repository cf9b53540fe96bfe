"""Scale bars are as long as they say."""

from __future__ import annotations

import pyproj
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rasterio.crs import CRS

from agriseg.geobox import GeoBox
from agriseg.publish.plot.maps import Entry, key, map_axes, round_length
from tests.support import UTM


@given(st.floats(1e-3, 1e7))
def test_round_lengths(most: float) -> None:
    found = round_length(most)
    assert found <= most * (1 + 1e-9)
    assert found > most / 2.5 * (1 - 1e-9)
    digits = f"{found:.3e}"
    assert digits[0] in "125"
    assert digits[1:5] == ".000"


def bar_of(ax: Axes) -> tuple[float, float]:
    """Where the bar begins and ends, in map units."""
    halves = [one for one in ax.patches if isinstance(one, Rectangle) and one.get_height() < 0.02]
    assert len(halves) == 2
    return halves[0].get_x(), halves[1].get_x() + halves[1].get_width()


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (UTM, Affine(0.02, 0, 360000, 0, -0.02, 5350000)),
        (CRS.from_epsg(4326), Affine(1e-5, 0, 16.7, 0, -1e-5, 61.0)),
        (CRS.from_epsg(3857), Affine(0.5, 0, 1860000, 0, -0.5, 6150000)),
        (CRS.from_epsg(2263), Affine(1.0, 0, 1000000, 0, -1.0, 200000)),  # US survey feet
    ],
    ids=["utm", "degrees", "mercator", "feet"],
)
def test_the_bar_is_as_long_as_it_says(crs: CRS, transform: Affine) -> None:
    ax = Figure().add_subplot()
    frame = GeoBox(crs, transform, 300, 200)
    map_axes(ax, frame)
    start, end = bar_of(ax)
    x, y = transform @ (0, 100)
    to = pyproj.Transformer.from_crs(crs.to_wkt(), "EPSG:4326", always_xy=True)
    (lon_a, lon_b), (lat_a, lat_b) = to.transform([start, end], [y, y])
    metres = pyproj.Geod(ellps="WGS84").inv(lon_a, lat_a, lon_b, lat_b)[2]
    said = next(one.get_text() for one in ax.texts if one.get_text().endswith("m"))
    amount, unit = said.split()
    assert float(amount) * {"m": 1, "km": 1000, "cm": 0.01}[unit] == pytest.approx(metres, rel=0.01)
    assert x < start < end < (transform @ (300, 0))[0]


def test_the_second_layer_keeps_the_map() -> None:
    ax = Figure().add_subplot()
    frame = GeoBox(UTM, Affine(0.02, 0, 360000, 0, -0.02, 5350000), 300, 200)
    map_axes(ax, frame, "one")
    artists = len(ax.patches) + len(ax.texts)
    map_axes(ax, GeoBox(UTM, Affine(5, 0, 0, 0, -5, 0), 7, 9))
    assert ax.get_xlim() == (360000, 360006)
    assert len(ax.patches) + len(ax.texts) == artists
    assert ax.get_title() == "one"


def test_two_legends_stay() -> None:
    ax = Figure().add_subplot()
    key(ax, [Entry("a", "#112233")])
    key(ax, [Entry("b", None)])
    from matplotlib.legend import Legend

    found = [one for one in ax.get_children() if isinstance(one, Legend)]
    assert {text.get_text() for one in found for text in one.get_texts()} == {"a", "b"}
