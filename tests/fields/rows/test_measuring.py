"""Direction and spacing of rows that were drawn with known ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from agriseg.errors import InputError
from agriseg.fields.rows.measuring import Rows, measure_rows
from agriseg.vector.source import open_classes
from tests.fields.drawn import KINDS, matrix_of, placed, rows_of, write_classes

NORTH_UP = placed(0.02, 0, 0, -0.02)


def measured(path: Path, area: shapely.Geometry | None = None) -> Rows | None:
    return measure_rows(open_classes(path, needs_crs=False), KINDS, area)


def off_deg(one: float, other: float) -> float:
    """Degrees between two directions of lines."""
    return abs((one - other + 90) % 180 - 90)


def check(rows: Rows | None, direction_deg: float, spacing_m: float) -> None:
    assert rows is not None
    assert off_deg(rows.direction_deg, direction_deg) < 0.3
    assert rows.spacing_m == pytest.approx(spacing_m, rel=0.01)
    assert 0 <= rows.direction_deg < 180
    assert 0 < rows.strength <= 1


@given(
    direction=st.floats(0, 179.99),
    spacing=st.floats(0.2, 1.0),
    band=st.floats(0.1, 0.8),
    seed=st.integers(0, 99),
)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_direction_and_spacing(
    tmp_path: Path, direction: float, spacing: float, band: float, seed: int
) -> None:
    classes = rows_of(
        331, 420, matrix_of(NORTH_UP), direction, spacing, band=band, weeds=0.01, seed=seed
    )
    check(measured(write_classes(tmp_path / "map.tif", classes, NORTH_UP)), direction, spacing)


@pytest.mark.parametrize(
    "transform",
    [
        placed(0.02, 0, 0, 0.02),  # south up
        placed(0.03, 0, 0, -0.02),
        placed(0.0173, 0.01, 0.01, -0.0173),
        placed(-0.01, 0.026, 0.0173, 0.015),
    ],
)
def test_however_the_grid_lies(tmp_path: Path, transform: Affine) -> None:
    classes = rows_of(333, 410, matrix_of(transform), 37.3, 0.5)
    check(measured(write_classes(tmp_path / "map.tif", classes, transform)), 37.3, 0.5)


@pytest.mark.parametrize("epsg", [4326, 3857])
def test_on_the_ground_where_the_map_stretches(tmp_path: Path, epsg: int) -> None:
    lon, lat = 16.2, 48.3
    to = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
    # Pixels of 2 cm by 3 cm on the ground.
    x, y = to.transform(lon, lat)
    geod = pyproj.Geod(ellps="WGS84")
    east = to.transform(*geod.fwd(lon, lat, 90, 20)[:2])
    south = to.transform(*geod.fwd(lon, lat, 180, 30)[:2])
    transform = Affine((east[0] - x) / 1000, 0, x, 0, (south[1] - y) / 1000, y)
    ground = np.array([[0.02, 0], [0, -0.03]])
    classes = rows_of(310, 420, ground, 64.2, 0.75)
    path = write_classes(tmp_path / "map.tif", classes, transform, CRS.from_epsg(epsg))
    check(measured(path), 64.2, 0.75)


def test_wide_rows_are_not_taken_for_their_half(tmp_path: Path) -> None:
    transform = placed(0.05, 0, 0, -0.05)
    classes = rows_of(500, 640, matrix_of(transform), 64.2, 3.5, band=0.4)
    check(measured(write_classes(tmp_path / "map.tif", classes, transform)), 64.2, 3.5)


def test_rows_that_lie_along_the_grid_in_a_small_plot(tmp_path: Path) -> None:
    classes = rows_of(100, 300, matrix_of(NORTH_UP), 90, 0.2, gaps=0)
    check(measured(write_classes(tmp_path / "map.tif", classes, NORTH_UP)), 90, 0.2)


def test_weeds_between_rows_do_not_matter(tmp_path: Path) -> None:
    classes = rows_of(330, 420, matrix_of(NORTH_UP), 131, 0.5, band=0.2, weeds=0.0)
    classes[classes == 0] = 2
    # A thick patch of them over the rows, and another kind of rows made of weeds.
    classes[100:180, 50:200] = 2
    check(measured(write_classes(tmp_path / "map.tif", classes, NORTH_UP)), 131, 0.5)


def test_only_the_field_counts(tmp_path: Path) -> None:
    classes = rows_of(300, 600, matrix_of(NORTH_UP), 20, 0.4)
    classes[:, 300:] = rows_of(300, 300, matrix_of(NORTH_UP), 110, 0.6)
    path = write_classes(tmp_path / "map.tif", classes, NORTH_UP)
    for cols, direction, spacing in (((10, 290), 20, 0.4), ((310, 590), 110, 0.6)):
        corners = [(cols[0], 5), (cols[1], 20), (cols[1] - 10, 290), (cols[0], 280)]
        field = shapely.Polygon([NORTH_UP @ corner for corner in corners])
        check(measured(path, field), direction, spacing)


def test_parts_that_disagree_have_no_rows_together(tmp_path: Path) -> None:
    classes = np.zeros((400, 480), np.uint8)
    for number, (row, col) in enumerate(((0, 0), (0, 240), (200, 0), (200, 240))):
        part = rows_of(200, 240, matrix_of(NORTH_UP), 15 + 43 * number, 0.3 + 0.1 * number)
        classes[row : row + 200, col : col + 240] = part
    assert measured(write_classes(tmp_path / "map.tif", classes, NORTH_UP)) is None


def test_swaying_rows_have_their_mean_direction(tmp_path: Path) -> None:
    transform = placed(0.05, 0, 0, -0.05)
    classes = rows_of(480, 480, matrix_of(transform), 12, 0.75, sway_m=0.2)
    check(measured(write_classes(tmp_path / "map.tif", classes, transform)), 12, 0.75)


def test_crop_nearer_to_the_row_is_stronger(tmp_path: Path) -> None:
    strengths = []
    for number, weeds in enumerate((0.0, 0.2)):
        classes = rows_of(300, 300, matrix_of(NORTH_UP), 50, 0.5, weeds=weeds)
        path = write_classes(tmp_path / f"map{number}.tif", classes, NORTH_UP)
        rows = measured(path)
        assert rows is not None
        strengths.append(rows.strength)
    assert strengths[0] > 0.9 > strengths[1] > 0.1


@pytest.mark.parametrize(
    "what", ["broadcast", "noise", "all crop", "no crop", "nodata", "coarse", "column", "one"]
)
def test_no_rows(tmp_path: Path, what: str) -> None:
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(3)
    transform = NORTH_UP
    if what == "broadcast":
        heaps = gaussian_filter(random.standard_normal((301, 420)), 4)
        classes = (heaps > np.quantile(heaps, 0.7)).astype(np.uint8)
    elif what == "noise":
        classes = (random.random((301, 420)) < 0.3).astype(np.uint8)
    elif what == "coarse":
        transform = placed(10, 0, 0, -10)
        classes = rows_of(200, 210, matrix_of(transform), 10, 40)
    else:
        shape = {"column": (300, 1), "one": (1, 1)}.get(what, (200, 300))
        value = {"no crop": 0, "nodata": 255}.get(what, 1)
        classes = np.full(shape, value, np.uint8)
    assert measured(write_classes(tmp_path / "map.tif", classes, transform)) is None


def test_a_field_beside_the_map_has_no_rows(tmp_path: Path) -> None:
    classes = rows_of(100, 120, matrix_of(NORTH_UP), 20, 0.4)
    path = write_classes(tmp_path / "map.tif", classes, NORTH_UP)
    assert measured(path, shapely.box(0, 0, 10, 10)) is None
    assert measured(path, shapely.Polygon()) is None


def test_a_map_without_crs_is_refused(tmp_path: Path) -> None:
    path = write_classes(tmp_path / "map.tif", np.ones((30, 40)), NORTH_UP, None)
    with pytest.raises(InputError, match="no CRS"):
        measured(path)


def test_the_axes_of_rows() -> None:
    rows = Rows(30.0, 0.5, 1.0)
    np.testing.assert_allclose(rows.along, [0.5, np.sqrt(0.75)])
    np.testing.assert_allclose(rows.across, [np.sqrt(0.75), -0.5])
