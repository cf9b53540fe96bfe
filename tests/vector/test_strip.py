"""Bands of rows against pixel by pixel; and flat lists of lists against plain Python."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agriseg.vector.ragged import components, follow, offsets_of, positions, spread
from agriseg.vector.strip import OUTSIDE, Regions, trace
from tests.vector.truth import NAMED, Map, maps, pixel_edges, regions_of, unit_edges


@given(maps(), st.integers(0, 50), st.integers(0, 2**32 - 1))
@example(NAMED["one pixel"], 3, 0)
@example(NAMED["islands"], 0, 0)
def test_regions_are_those_of_the_pixels(map_: Map, row_off: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.integers(0, 256, map_.shape).astype(np.uint8)
    known = rng.random(map_.shape) < 0.7
    strip = trace(map_.classes, map_.valid, row_off, steps=steps, known=known)
    labels, width = regions_of(map_), map_.shape[1]
    regions = strip.regions
    assert len(regions) == labels.max() + 1
    for k in range(len(regions)):
        mine = labels == k
        assert regions.value[k] == map_.classes[mine][0]
        assert regions.pixels[k] == mine.sum()
        assert regions.steps[k] == steps[mine & known].astype(int).sum()
        assert regions.known[k] == (mine & known).sum()
        assert regions.first[k] == np.flatnonzero(mine)[0] + row_off * width
    assert strip.top.tolist() == labels[0].tolist()
    assert strip.bottom.tolist() == labels[-1].tolist()
    assert (strip.row_off, strip.height, strip.width) == (row_off, *map_.shape)


@given(maps())
def test_confidence_counts_everywhere_or_nowhere(map_: Map) -> None:
    steps = np.full(map_.shape, 200, np.uint8)
    with_all = trace(map_.classes, map_.valid, steps=steps).regions
    assert (with_all.known == with_all.pixels).all()
    assert (with_all.steps == 200 * with_all.pixels).all()
    without = trace(map_.classes, map_.valid).regions
    assert not without.known.any()
    assert not without.steps.any()


@given(maps(16))
@example(NAMED["checkerboard"])
def test_arcs_are_the_borders_between_rows_and_columns(map_: Map) -> None:
    """Each pixel edge between two regions once, with the right regions beside it."""
    labels = regions_of(map_)
    strip = trace(map_.classes, map_.valid)
    arcs, height = strip.arcs, map_.shape[0]
    found = set()
    for k in range(len(arcs)):
        xy = arcs.xy[arcs.offsets[k] : arcs.offsets[k + 1]].astype(float)
        edges = unit_edges(xy[:-1], xy[1:])
        assert len(edges) == arcs.lengths()[k]
        assert len(xy) == arcs.counts[k]
        found |= {(edge, int(arcs.left[k]), int(arcs.right[k])) for edge in edges}
    assert len(found) == arcs.lengths().sum()
    expected = set()
    for region in range(-1, labels.max() + 1):
        for edge in pixel_edges(labels == region):
            (x0, y0), (x1, y1) = edge
            if y0 == y1 and y0 in (0, height):
                continue  # these belong to the seams
            # Where a pixel lies beside an edge, seen along it: right for `pixel_edges` of nothing.
            row, col = min(y0, y1), min(x0, x1)
            sides = ((row - 1, col), (row, col)) if y0 == y1 else ((row, col), (row, col - 1))
            if (x1, y1) < (x0, y0):
                sides = sides[::-1]
            left, right = (
                int(labels[at]) if 0 <= at[1] < map_.shape[1] else OUTSIDE for at in sides
            )
            expected.add((edge, left, right))
    # Either direction of an edge will do, with its sides exchanged.
    assert len({min(item, _turned(item)) for item in found}) == len(found)
    assert {min(item, _turned(item)) for item in found} == {
        min(item, _turned(item)) for item in expected if item[1] != item[2]
    }


def _turned(item):
    (start, end), left, right = item
    return (end, start), right, left


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64])
def test_class_values_of_any_type(dtype: type) -> None:
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    lowest = max(lowest, -(2**62))  # one value stands for no class
    classes = np.array([[lowest, highest, 0], [highest, highest, 0]], dtype)
    for valid in (np.ones((2, 3), bool), np.array([[1, 1, 1], [0, 1, 1]], bool)):
        regions = trace(classes, valid).regions
        assert set(regions.value.tolist()) == set(classes[valid].tolist())
        assert regions.pixels.sum() == valid.sum()


def test_a_band_without_a_class_has_nothing() -> None:
    strip = trace(np.zeros((3, 4), np.uint8), np.zeros((3, 4), bool), 7)
    assert (len(strip.regions), len(strip.arcs)) == (0, 0)
    assert strip.arcs.offsets.tolist() == [0]
    assert strip.top.tolist() == strip.bottom.tolist() == [OUTSIDE] * 4


def test_what_is_under_nodata_does_not_count() -> None:
    rng = np.random.default_rng(1)
    valid = rng.random((9, 7)) < 0.6
    classes = rng.integers(0, 3, (9, 7)).astype(np.uint8)
    other = np.where(valid, classes, rng.integers(0, 256, (9, 7))).astype(np.uint8)
    one, two = trace(classes, valid), trace(other, valid)
    assert one.arcs.xy.tolist() == two.arcs.xy.tolist()
    assert one.regions.pixels.tolist() == two.regions.pixels.tolist()


def test_corners_far_down_a_large_raster_keep_their_place() -> None:
    """Rows x columns go beyond 2**31."""
    map_ = NAMED["rings"]
    strip = trace(map_.classes, map_.valid, 2**30)
    assert strip.arcs.xy[:, 1].min() >= 2**30
    assert strip.regions.first.tolist() == [2**30 * 5 + k for k in (0, 6, 12)]
    wide = trace(np.zeros((1, 70_000), np.uint8), np.ones((1, 70_000), bool), 70_000)
    assert wide.regions.first.tolist() == [70_000**2]


def test_merged_tables_keep_their_sums() -> None:
    table = Regions(
        *(np.array(column) for column in ([1, 2, 1], [5, 1, 3], [9, 8, 7], [4, 0, 3], [0, 2, 9]))
    )
    merged = table.merged(np.array([1, 1, 0]), np.array([1, 2]))
    assert merged.value.tolist() == [1, 2]
    assert merged.pixels.tolist() == [3, 6]
    assert merged.steps.tolist() == [7, 17]
    assert merged.known.tolist() == [3, 4]
    assert merged.first.tolist() == [9, 0]


# Flat lists -----------------------------------------------------------------------------------


@st.composite
def chains(draw: st.DrawFn) -> list[int]:
    """What follows each element, in chains open and closed."""
    order = draw(st.permutations(range(draw(st.integers(0, 30)))))
    after, at = [-1] * len(order), 0
    while at < len(order):
        chain = order[at : at + draw(st.integers(1, 8))]
        for one, other in pairwise(chain):
            after[one] = other
        if draw(st.booleans()):
            after[chain[-1]] = chain[0]
        at += len(chain)
    return after


@given(chains())
@example([])
@example([0])
@example([1, 0])
def test_chains_in_order(after: list[int]) -> None:
    order, starts, is_closed = follow(np.array(after, np.int64))
    assert order.dtype == starts.dtype == np.int64
    assert sorted(order.tolist()) == list(range(len(after)))
    assert starts[-1] == len(after)
    assert len(is_closed) == len(starts) - 1
    for k, closed in enumerate(is_closed.tolist()):
        chain = order[starts[k] : starts[k + 1]].tolist()
        assert [after[x] for x in chain[:-1]] == chain[1:]
        assert after[chain[-1]] == (chain[0] if closed else -1)
        assert closed or chain[0] not in after
        assert not closed or chain[0] == min(chain)
    # Open ones first; both by the element that they begin with.
    heads = order[starts[:-1]]
    for kind in (False, True):
        assert (np.diff(heads[is_closed == kind]) > 0).all()
    assert is_closed.tolist() == sorted(is_closed.tolist())


def test_a_very_long_chain() -> None:
    count = 200_000
    after = np.append(np.arange(1, count), -1)
    order, starts, is_closed = follow(after[::-1].copy())  # much the same, from the other end
    assert sorted(order.tolist()) == list(range(count))
    order, starts, is_closed = follow(after)
    assert (order == np.arange(count)).all()
    assert (starts.tolist(), is_closed.tolist()) == ([0, count], [False])
    after[-1] = 0
    order, _, is_closed = follow(after)
    assert (order == np.arange(count)).all()
    assert is_closed.tolist() == [True]


@given(st.integers(1, 30), st.data())
def test_components_are_numbered_by_their_first_node(count: int, data: st.DataObject) -> None:
    nodes = st.integers(0, count - 1)
    links = data.draw(st.lists(st.tuples(nodes, nodes), max_size=40), label="links")
    group = list(range(count))
    for one, other in links:
        low, high = sorted((group[one], group[other]))
        group = [low if g == high else g for g in group]
    expected = [sorted(set(group)).index(g) for g in group]
    a, b = (np.array([link[k] for link in links], np.int64) for k in (0, 1))
    assert components(count, a, b).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12), st.data())
def test_lists_forward_and_backward(lists: list[tuple[int, bool]], data: st.DataObject) -> None:
    lengths = np.array([length for length, _ in lists], np.int64)
    backward = np.array([is_back for _, is_back in lists], bool)
    starts = np.array([data.draw(st.integers(0, 99)) for _ in lists], np.int64)
    expected = []
    for start, (length, is_back) in zip(starts.tolist(), lists, strict=True):
        mine = list(range(start, start + length))
        expected += mine[::-1] if is_back else mine
    assert positions(starts, lengths, backward).tolist() == expected
    owner, place = spread(lengths)
    pairs = [(k, p) for k, (length, _) in enumerate(lists) for p in range(length)]
    assert list(zip(owner.tolist(), place.tolist(), strict=True)) == pairs
    assert offsets_of(lengths).tolist() == [
        sum(lengths[:k].tolist()) for k in range(len(lists) + 1)
    ]
