"""Outlines of fields, against the areas that were drawn and simulated."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from agriseg import simulate
from agriseg.errors import OptionError
from agriseg.fields.managed.outlines import Outlines, find_outlines
from agriseg.fields.rows.measuring import measure_rows
from agriseg.vector.source import open_classes
from tests.fields.drawn import KINDS, matrix_of, placed, rows_of, write_classes

NORTH_UP = placed(0.05, 0, 0, -0.05)


def outlined(path: Path, **options: float) -> Outlines:
    return find_outlines(open_classes(path), KINDS, **options)


def iou(one: shapely.Geometry, other: shapely.Geometry) -> float:
    return float(one.intersection(other).area / one.union(other).area)


def on_map(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return shapely.Polygon([NORTH_UP @ corner for corner in corners])


def managed(*window: float) -> shapely.Polygon:
    """A window with half of the bare strip between two rows around."""
    return on_map(*window).buffer(0.15, join_style="mitre")


def sown(*fields: tuple[int, int, int, int], height: int = 420, width: int = 560) -> np.ndarray:
    """Soil, and in each window (left, top, right, bottom) rows of crop."""
    classes = np.zeros((height, width), np.uint8)
    for number, (left, top, right, bottom) in enumerate(fields):
        part = rows_of(
            bottom - top, right - left, matrix_of(NORTH_UP), 20 + 50 * number, 0.5, weeds=0.005
        )
        classes[top:bottom, left:right] = part
    return classes


def test_fields_end_at_a_track_and_have_an_order(tmp_path: Path) -> None:
    fields = [(20, 15, 300, 230), (20, 270, 540, 400), (330, 15, 540, 230)]
    classes = sown(*fields)
    classes[100:112, 100:112] = 255  # a hole without pixels
    classes[150:165, 60:75] = 0  # a place where nothing grows
    found = outlined(write_classes(tmp_path / "map.tif", classes, NORTH_UP))
    assert found.is_sown
    assert len(found.shapes) == 3
    for shape, field in zip(found.shapes, fields, strict=True):
        assert iou(shape, managed(*field)) > 0.95
        assert not shapely.get_num_interior_rings(shapely.get_parts(shape)).any()
    assert shapely.is_valid(found.shapes).all()
    assert (shapely.get_num_coordinates(found.shapes) < 80).all()


def test_what_has_no_class_is_no_field(tmp_path: Path) -> None:
    classes = sown((0, 0, 560, 420))
    classes[:, :133] = 255
    classes[300:, :] = 255
    found = outlined(write_classes(tmp_path / "map.tif", classes, NORTH_UP))
    assert len(found.shapes) == 1
    assert iou(found.shapes[0], on_map(133, 0, 560, 300)) > 0.98


def test_the_gap_and_the_smallest_field_can_be_said(tmp_path: Path) -> None:
    fields = [(20, 15, 300, 230), (345, 15, 540, 230), (20, 300, 80, 360)]
    classes = sown(*fields)
    path = write_classes(tmp_path / "map.tif", classes, NORTH_UP)
    areas = shapely.area(outlined(path).shapes)
    assert sorted(areas) == pytest.approx(
        [managed(*field).area for field in (fields[2], fields[1], fields[0])], rel=0.06
    )
    assert len(outlined(path, gap_m=3).shapes) == 2
    few = outlined(path, min_field_ha=0.002)
    assert (len(few.shapes), few.left_out, few.least_ha) == (2, 1, 0.002)
    assert len(outlined(path, min_field_ha=0.0).shapes) >= 3
    for bad in ({"gap_m": -1.0}, {"min_field_ha": float("nan")}):
        with pytest.raises(OptionError, match="positive"):
            outlined(path, **bad)


def test_single_weeds_taken_for_crop_make_no_field(tmp_path: Path) -> None:
    classes = sown((20, 15, 300, 230))
    spots = np.random.default_rng(5).random(classes.shape) < 0.002
    classes[spots] = 1
    found = outlined(write_classes(tmp_path / "map.tif", classes, NORTH_UP))
    assert len(found.shapes) == 1
    assert iou(found.shapes[0], managed(20, 15, 300, 230)) > 0.9


def test_trees_beside_a_narrow_crop_are_a_field_of_their_own(tmp_path: Path) -> None:
    transform = placed(0.1, 0, 0, -0.1)
    classes = np.zeros((500, 700), np.uint8)
    classes[:, :300] = rows_of(500, 300, matrix_of(transform), 80, 2.0, band=0.5, weeds=0)
    classes[:, 340:] = rows_of(500, 360, matrix_of(transform), 80, 6.0, band=0.3, weeds=0, gaps=0)
    raster = open_classes(write_classes(tmp_path / "map.tif", classes, transform))
    found = find_outlines(raster, KINDS)
    assert len(found.shapes) == 2
    spacings = [measure_rows(raster, KINDS, shape) for shape in found.shapes]
    assert [rows and round(rows.spacing_m, 1) for rows in spacings] == [2.0, 6.0]


def test_tall_maps_are_traced_as_one(tmp_path: Path) -> None:
    transform = placed(0.125, 0, 0, -0.125)
    classes = np.zeros((1150, 120), np.uint8)
    classes[950:1100, 20:100] = 1
    classes[1022:1026, 60:62] = 0
    found = outlined(write_classes(tmp_path / "map.tif", classes, transform))
    assert len(found.shapes) == 1
    assert found.shapes[0].area == pytest.approx(150 * 80 / 64, rel=0.02)


def test_coarse_maps_have_fields_too(tmp_path: Path) -> None:
    classes = np.zeros((60, 80), np.uint8)
    classes[5:30, 5:40] = 1
    classes[34:50, 10:70] = 1
    found = outlined(write_classes(tmp_path / "map.tif", classes, placed(10, 0, 0, -10)))
    assert not found.is_sown
    assert found.gap_m == pytest.approx(30)
    assert shapely.area(found.shapes) / 1e4 == pytest.approx([8.75, 9.6], rel=0.03)


@pytest.mark.parametrize(
    ("shape", "value", "count"),
    [((40, 50), 0, 0), ((40, 50), 255, 0), ((90, 1), 1, 1), ((1, 1), 1, 1), ((2, 300), 1, 1)],
)
def test_odd_maps(tmp_path: Path, shape: tuple[int, int], value: int, count: int) -> None:
    path = write_classes(tmp_path / "map.tif", np.full(shape, value), NORTH_UP)
    found = outlined(path)
    assert len(found.shapes) == count
    if count:
        assert found.shapes[0].area == pytest.approx(shape[0] * shape[1] * 0.0025, rel=0.02)


def test_simulated_fields(tmp_path: Path) -> None:
    recipe = {"seed": 3, "width": 700, "height": 560, "gsd_m": 0.04, "fields": 2}
    recipe |= {"margin_m": 1.8, "row_spacing_m": 0.5, "plant_spacing_m": 0.25, "pass_m": 0}
    simulate({**recipe, "plant_radius_m": 0.15, "row_direction_deg": 33.0}, tmp_path / "out")
    raster = open_classes(tmp_path / "out" / "labels.tif")
    truth = gpd.read_file(tmp_path / "out" / "field.gpkg")
    lines = gpd.read_file(tmp_path / "out" / "rows.gpkg")
    found = find_outlines(raster, KINDS)
    assert len(found.shapes) == len(truth) == 2
    for number, area in zip(truth.field, truth.geometry, strict=True):
        mine = max(found.shapes, key=lambda shape: iou(shape, area))
        assert iou(mine, area) >= 0.97
        rows = measure_rows(raster, KINDS, mine)
        assert rows is not None
        # The plane through the numbers of the rows tells how they lie.
        here = lines[lines.field == number]
        points = [shapely.get_coordinates(shape.segmentize(0.3)) for shape in here.geometry]
        xy = np.concatenate(points)
        numbers = np.repeat(here["row"].to_numpy(), [len(part) for part in points])
        system = np.column_stack([xy - xy.mean(axis=0), np.ones(len(xy))])
        slope = np.linalg.lstsq(system, numbers, rcond=None)[0][:2]
        true_deg = np.degrees(np.arctan2(slope[0], slope[1])) + 90
        assert abs((rows.direction_deg - true_deg + 90) % 180 - 90) < 0.5
        assert rows.spacing_m == pytest.approx(1 / np.hypot(*slope), rel=0.02)
