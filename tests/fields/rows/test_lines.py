"""Lines along rows, against where the rows were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from agriseg.fields.rows.lines import row_lines
from agriseg.fields.rows.measuring import Rows, measure_rows
from agriseg.vector.source import open_classes
from tests.fields.drawn import EAST, KINDS, NORTH, matrix_of, placed, rows_of, write_classes

DIRECTION, SPACING, SWAY = 37.0, 0.75, 0.2


def aside(lines: list[shapely.MultiLineString], sway_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Number of the drawn row (n,) of points on the lines, and spacings off its middle."""
    xy = np.concatenate(
        [
            shapely.get_coordinates(shapely.line_interpolate_point(part, np.arange(0, length, 0.4)))
            for line in lines
            for part, length in zip(
                shapely.get_parts(line), shapely.length(shapely.get_parts(line)), strict=True
            )
        ]
    ) - (EAST, NORTH)
    turn = np.radians(DIRECTION)
    along = xy @ (np.sin(turn), np.cos(turn))
    across = xy @ (np.cos(turn), -np.sin(turn)) - sway_m * np.sin(along * 2 * np.pi / 12)
    number = np.rint(across / SPACING)
    return number, across / SPACING - number


def test_they_follow_the_crop_as_it_sways(tmp_path: Path) -> None:
    transform = placed(0.05, 0.01, 0.01, -0.05)
    classes = rows_of(420, 500, matrix_of(transform), DIRECTION, SPACING, sway_m=SWAY)
    classes[200:240, 200:260] = 0  # nothing grows there
    raster = open_classes(write_classes(tmp_path / "map.tif", classes, transform))
    rows = measure_rows(raster, KINDS)
    assert rows is not None
    found = list(row_lines(raster, KINDS, rows))
    assert [line.number for line in found] == list(range(1, len(found) + 1))
    number, off = aside([line.line for line in found], SWAY)
    # Straight ones would lie up to 0.27 spacings aside.
    assert np.percentile(np.abs(off), 95) < 0.1
    corners = np.array([(0, 0), (500, 0), (500, 420), (0, 420)]) @ matrix_of(transform).T
    turn = np.radians(DIRECTION)
    reach = corners @ (np.cos(turn), -np.sin(turn)) / SPACING
    assert len(found) == len(np.unique(number))
    assert abs(len(found) - np.ptp(reach)) < 2
    # From the left to the right of who looks along them.
    firsts = [aside([line.line], SWAY)[0][0] for line in found]
    assert firsts == sorted(firsts)


def test_they_end_at_the_field_and_are_measured(tmp_path: Path) -> None:
    transform = placed(0.05, 0, 0, -0.05)
    classes = rows_of(400, 500, matrix_of(transform), DIRECTION, SPACING)
    raster = open_classes(write_classes(tmp_path / "map.tif", classes, transform))
    ring = shapely.box(EAST + 2, NORTH - 18, EAST + 22, NORTH - 3)
    field = ring - shapely.Point(EAST + 12, NORTH - 10).buffer(3)
    rows = measure_rows(raster, KINDS, field)
    assert rows is not None
    found = list(row_lines(raster, KINDS, rows, field))
    lines = np.array([line.line for line in found])
    assert shapely.covers(field.buffer(1e-6), lines).all()
    assert any(len(line.geoms) > 1 for line in lines)
    lengths = [line.length_m for line in found]
    np.testing.assert_allclose(lengths, shapely.length(lines), rtol=1e-9)
    # Rows have a length for each spacing of ground.
    assert abs(sum(lengths) * SPACING / field.area - 1) < 0.03


def test_nothing_comes_of_nothing(tmp_path: Path) -> None:
    transform = placed(0.05, 0, 0, -0.05)
    raster = open_classes(write_classes(tmp_path / "map.tif", np.zeros((60, 70)), transform))
    rows = Rows(DIRECTION, SPACING, 0.5)
    assert list(row_lines(raster, KINDS, rows)) == []
    assert list(row_lines(raster, KINDS, rows, shapely.box(0, 0, 1, 1))) == []
