"""Fields keep their ids: what is the same ground, what was split, merged, new."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st

from agriseg.errors import InputError
from agriseg.fields.dates.inherit import inherit_ids, natural

UTM = "EPSG:32633"


def fields(
    *boxes: tuple[float, float, float, float], ids: list[str] | None = None
) -> gpd.GeoDataFrame:
    """Rectangles (left, bottom, right, top), 500 km east and 5000 km north of the origin."""
    shapes = [shapely.box(*np.add(box, (5e5, 5e6, 5e5, 5e6))) for box in boxes]
    names = ids or [str(k) for k in range(1, len(boxes) + 1)]
    return gpd.GeoDataFrame({"field_id": names}, geometry=shapes, crs=UTM)


EARLIER = fields((0, 0, 100, 80), (110, 0, 210, 80), (0, 90, 100, 170), (110, 90, 210, 170))


def test_fields_in_another_order_keep_their_ids() -> None:
    later = EARLIER.iloc[[2, 0, 3, 1]].assign(field_id=["1", "2", "3", "4"])
    found = inherit_ids(EARLIER, later)
    assert found.ids == ("3", "1", "4", "2")
    assert found.overlap.tolist() == pytest.approx([1, 1, 1, 1])
    assert found.changes == ()


def test_an_outline_that_moved_a_little_is_the_same_field() -> None:
    later = EARLIER.translate(12, -9)
    found = inherit_ids(EARLIER, gpd.GeoDataFrame(geometry=later))
    assert found.ids == ("1", "2", "3", "4")
    # 100 x 80 moved by (12, 9): the rest over the union.
    shared = 88 * 71
    assert found.overlap.tolist() == pytest.approx([shared / (16000 - shared)] * 4)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32632"])
def test_another_crs_is_no_other_ground(crs: str) -> None:
    found = inherit_ids(EARLIER, EARLIER.iloc[::-1].to_crs(crs))
    assert found.ids == ("4", "3", "2", "1")
    assert found.overlap.min() > 0.99


def test_a_split_field_leaves_its_id_to_the_largest_part() -> None:
    later = fields((50, 0, 60, 80), (60, 0, 100, 80), (0, 0, 30, 80), (30, 0, 50, 80))
    found = inherit_ids(EARLIER.iloc[:1], later)
    # 40 m keep it; then 30, 20 and 10 m.
    assert found.ids == ("1.3", "1", "1.1", "1.2")
    (change,) = found.changes
    assert (change.kind, change.before, change.after) == (
        "split",
        ("1",),
        ("1", "1.1", "1.2", "1.3"),
    )
    assert change.words() == "field 1 was split into 1, 1.1, 1.2, 1.3"


def test_parts_get_ids_that_nobody_had() -> None:
    later = fields((0, 0, 60, 80), (60, 0, 100, 80))
    assert inherit_ids(EARLIER.iloc[:1], later, used={"1.1"}).ids == ("1", "1.2")


def test_merged_fields_keep_the_id_with_the_largest_overlap() -> None:
    earlier = fields((0, 0, 40, 80), (40, 0, 100, 80), (110, 0, 210, 80))
    found = inherit_ids(earlier, fields((0, 0, 100, 80), (110, 0, 210, 80)))
    assert found.ids == ("2", "3")
    (change,) = found.changes
    assert (change.kind, change.before, change.after) == ("merged", ("1", "2"), ("2",))


def test_new_fields_get_new_numbers_and_missing_ones_are_told() -> None:
    later = fields((0, 0, 100, 80), (300, 0, 400, 80), (500, 0, 600, 80))
    found = inherit_ids(EARLIER, later, used={"9"})
    assert found.ids == ("1", "10", "11")
    assert found.overlap.tolist() == pytest.approx([1, 0, 0])
    kinds = [(change.kind, change.before or change.after) for change in found.changes]
    assert kinds == [
        ("new", ("10",)),
        ("new", ("11",)),
        ("gone", ("2",)),
        ("gone", ("3",)),
        ("gone", ("4",)),
    ]


def test_less_than_half_of_the_smaller_is_other_ground() -> None:
    earlier = fields((0, 0, 100, 80))
    assert inherit_ids(earlier, fields((51, 0, 151, 80))).ids == ("2",)
    assert inherit_ids(earlier, fields((49, 0, 149, 80))).ids == ("1",)


@pytest.mark.parametrize(
    ("ids", "fresh"),
    [
        (["007", "012"], "013"),
        (["North 1", "North 2"], "North 3"),
        (["north", "south"], "1"),
        (["3", "3.7"], "4"),
    ],
)
def test_new_ids_are_in_the_style_of_the_others(ids: list[str], fresh: str) -> None:
    earlier = fields((0, 0, 100, 80), (110, 0, 210, 80), ids=ids)
    assert inherit_ids(earlier, fields((400, 0, 500, 80))).ids == (fresh,)


def test_broken_and_missing_outlines_do_no_harm() -> None:
    bow = shapely.Polygon([(5e5, 5e6), (5e5 + 100, 5e6 + 80), (5e5 + 100, 5e6), (5e5, 5e6 + 80)])
    later = gpd.GeoDataFrame(geometry=[bow, None, shapely.Polygon()], crs=UTM)
    assert inherit_ids(EARLIER, later).ids == ("1", "5", "6")
    assert inherit_ids(EARLIER, later.iloc[:0]).ids == ()
    assert inherit_ids(EARLIER.iloc[:0], EARLIER).ids == ("1", "2", "3", "4")


def test_what_cannot_be_laid_over_each_other_is_refused() -> None:
    with pytest.raises(InputError, match="no CRS"):
        inherit_ids(EARLIER, EARLIER.set_crs(None, allow_override=True))
    with pytest.raises(InputError, match="no column field_id, only geometry"):
        inherit_ids(EARLIER[["geometry"]], EARLIER)
    with pytest.raises(InputError, match="two of the earlier fields have the id 1"):
        inherit_ids(EARLIER.assign(field_id=["1", "2", "3", "1"]), EARLIER)


@settings(max_examples=25, deadline=None)
@given(
    order=st.permutations(range(9)),
    jitter=st.lists(st.floats(-14, 14), min_size=18, max_size=18),
    gone=st.sets(st.integers(0, 8), max_size=4),
)
def test_any_order_and_shift_of_a_grid_of_fields(
    order: list[int], jitter: list[float], gone: set[int]
) -> None:
    """Each keeps its id, whatever the order; ids differ; what is gone is told."""
    boxes = [(130 * x, 100 * y, 130 * x + 100, 100 * y + 80) for y in range(3) for x in range(3)]
    earlier = fields(*boxes)
    kept = [k for k in order if k not in gone]
    shapes = [
        shapely.affinity.translate(earlier.geometry[k], jitter[k], jitter[k + 9]) for k in kept
    ]
    found = inherit_ids(earlier, gpd.GeoDataFrame(geometry=shapes, crs=UTM))
    assert found.ids == tuple(str(k + 1) for k in kept)
    told = {name for change in found.changes for name in change.before if change.kind == "gone"}
    assert told == {str(k + 1) for k in gone}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_ids_are_one_to_one_and_do_not_depend_on_the_order(data: st.DataObject) -> None:
    def some(count: int) -> list[tuple[float, float, float, float]]:
        side, place = st.integers(20, 90), st.integers(0, 150)
        return [
            (x, y, x + data.draw(side), y + data.draw(side))
            for x, y in ((data.draw(place), data.draw(place)) for _ in range(count))
        ]

    earlier, boxes = fields(*some(4)), sorted(set(some(5)))
    found = inherit_ids(earlier, fields(*boxes))
    assert len(set(found.ids)) == len(boxes)
    kept = {name: share for name, share in zip(found.ids, found.overlap, strict=True) if share}
    back = inherit_ids(earlier.iloc[::-1], fields(*boxes))
    assert {n: s for n, s in zip(back.ids, back.overlap, strict=True) if s} == pytest.approx(kept)
    assert np.isin(list(kept), earlier.field_id).all()


def test_names_sort_as_people_sort_them() -> None:
    names = ["10", "2", "3.10", "3.2", "b", "North 2", "North 10"]
    assert sorted(names, key=natural) == ["2", "3.2", "3.10", "10", "North 2", "North 10", "b"]
