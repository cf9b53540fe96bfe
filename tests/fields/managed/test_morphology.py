"""Closing and opening, against shapely's buffers of the same areas."""

from __future__ import annotations

import numpy as np
import shapely

from agriseg.fields.managed.morphology import closed, opened, rounded, without_holes

SIZE = (0.5, 0.25)
HEIGHT, WIDTH = 120, 90
NOTHING = np.zeros((HEIGHT, WIDTH), bool)


def burnt(shape: shapely.Geometry) -> np.ndarray:
    """Cells whose middle lies in a shape in metres."""
    row, col = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return shapely.contains_xy(shape, col * SIZE[0], row * SIZE[1])


def differ(one: np.ndarray, other: np.ndarray) -> int:
    return int((one != other).sum())


def test_closing_and_its_rim_are_buffers() -> None:
    shape = shapely.union_all(
        [shapely.box(10, 8, 20, 12), shapely.box(10, 13.5, 20, 20), shapely.box(26, 8, 30, 20)]
    )
    found = closed(burnt(shape), NOTHING, 1.5, 0.0, 0.5, SIZE)
    assert found[51, 30]  # between the two that are 1.5 m apart
    assert not found[60, 45]  # but not over 6 m
    edge = shape.length / 0.25 * 0.5
    assert differ(found, burnt(shape.buffer(1.5).buffer(-1.5))) < edge
    grown = closed(burnt(shape), NOTHING, 1.5, 0.7, 0.5, SIZE)
    assert differ(grown, burnt(shape.buffer(1.5).buffer(-0.8))) < edge


def test_opening_takes_what_is_narrow() -> None:
    shape = shapely.union_all([shapely.box(10, 8, 20, 20), shapely.box(20, 13, 40, 14)])
    found = opened(burnt(shape), NOTHING, 1.5, SIZE)
    assert not found[54, 60:].any()
    assert differ(found, burnt(shapely.box(10, 8, 20, 20).buffer(-1.5).buffer(1.5))) < 40


def test_what_is_unknown_eats_nothing() -> None:
    unknown = NOTHING.copy()
    unknown[:, :20] = True
    shape = shapely.box(10, 0, 30, 30) - shapely.box(10, 10, 10.8, 11)
    area = burnt(shape) & ~unknown
    assert (closed(area, unknown, 1.5, 0.0, 0.5, SIZE) == burnt(shapely.box(10, 0, 30, 30))).all()
    assert (opened(area, unknown, 2.0, SIZE)[:, 24:58]).all()
    whole = burnt(shapely.box(10, 0, 30, 30))
    assert (rounded(whole, unknown, 1.0, SIZE) == whole).all()


def test_small_holes_are_filled_but_bays_are_not() -> None:
    area = np.ones((30, 40), bool)
    area[5:7, 5:8] = False
    area[10:20, 10:20] = False
    area[28:, 30:33] = False
    found = without_holes(area, 50)
    assert found[5:7, 5:8].all()
    assert not found[10:20, 10:20].any()
    assert not found[28:, 30:33].any()
