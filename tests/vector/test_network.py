"""A raster cut into bands, anywhere: the same network, to the last number."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agriseg.vector.network import Network, dissolve, join
from agriseg.vector.specks import merge_specks
from agriseg.vector.strip import OUTSIDE, Arcs, Regions, Strip, trace
from tests.vector.truth import (
    NAMED,
    Map,
    assert_same,
    cut_maps,
    maps,
    network_of,
    pixel_edges,
    regions_of,
    strips_of,
    unit_edges,
    without_specks,
)


@given(cut_maps(16), st.sampled_from([1, 1, 3, 6]), st.integers(0, 2**32 - 1))
@example((NAMED["spiral"], list(range(1, 13))), 1, 0)
@example((NAMED["checkerboard"], list(range(1, 6))), 4, 0)
@example((NAMED["a strip of nothing"], [2, 3, 4]), 1, 0)
def test_cuts_leave_no_trace(cut: tuple[Map, list[int]], min_pixels: int, seed: int) -> None:
    map_, cuts = cut
    rng = np.random.default_rng(seed)
    steps, known = rng.integers(0, 256, map_.shape), rng.random(map_.shape) < 0.8
    networks = [
        merge_specks(join(strips_of(map_, rows, steps, known)), min_pixels)
        for rows in ((), cuts, range(1, map_.shape[0]))
    ]
    assert_same(networks[0], networks[1])
    assert_same(networks[0], networks[2])
    labels = regions_of(without_specks(map_, min_pixels))
    assert_labels(networks[1], labels)
    for k in range(len(networks[0].regions)):
        mine = labels == k
        assert networks[0].regions.steps[k] == steps[mine & known].sum()
        assert networks[0].regions.known[k] == (mine & known).sum()


def assert_labels(network: Network, labels: np.ndarray) -> None:
    """Regions and borders are those of the labels."""
    regions, arcs = network.regions, network.arcs
    assert regions.pixels.tolist() == np.bincount(labels[labels >= 0]).tolist()
    flat = labels.ravel().tolist()
    assert regions.first.tolist() == [flat.index(k) for k in range(len(regions))]
    around: dict[int, set] = {k: set() for k in range(-1, len(regions))}
    for k in range(len(arcs)):
        xy = arcs.xy[arcs.offsets[k] : arcs.offsets[k + 1]].astype(float)
        edges = unit_edges(xy[:-1], xy[1:])
        for side, flip in ((arcs.left[k], False), (arcs.right[k], True)):
            mine = {(b, a) for a, b in edges} if flip else edges
            assert not mine & around[int(side)]
            around[int(side)] |= mine
    for k in range(len(regions)):
        assert around[k] == pixel_edges(labels == k)


@pytest.mark.parametrize("map_", NAMED.values(), ids=NAMED.keys())
def test_named_maps(map_: Map) -> None:
    one, rows = network_of(map_), network_of(map_, range(1, map_.shape[0]))
    assert_same(one, rows)
    assert_labels(rows, regions_of(map_))


@given(cut_maps(16))
def test_arcs_run_from_meeting_point_to_meeting_point(cut: tuple[Map, list[int]]) -> None:
    network = network_of(*cut)
    arcs = network.arcs
    assert (arcs.left > arcs.right).all()
    assert (arcs.right >= OUTSIDE).all()
    meets: Counter = Counter()
    pieces = [arcs.xy[a:b] for a, b in zip(arcs.offsets, arcs.offsets[1:], strict=False)]
    for xy, is_ring in zip(pieces, network.rings.tolist(), strict=True):
        steps = np.diff(xy.astype(int), axis=0)
        assert ((steps == 0).sum(axis=1) == 1).all()
        # It turns at each of its corners.
        assert not ((steps[1:] == 0) == (steps[:-1] == 0)).all(axis=1).any()
        ends = [tuple(xy[0].tolist()), tuple(xy[-1].tolist())]
        assert (ends[0] == ends[1]) or not is_ring
        if is_ring:
            # From the uppermost, then leftmost corner.
            assert tuple(xy[0, ::-1].tolist()) == min(map(tuple, xy[:, ::-1].tolist()))
        else:
            meets.update(ends)
    # Three or four borders meet at the ends of all others; nothing else goes through there.
    assert set(meets.values()) <= {3, 4}
    inner = [tuple(p) for xy in pieces for p in xy[1:-1].tolist()]
    assert len(set(inner)) == len(inner)
    assert not set(inner) & set(meets)
    # In order, so that there is one way to write it.
    starts = [(xy[0, 1], xy[0, 0], xy[1, 1], xy[1, 0]) for xy in pieces]
    assert starts == sorted(starts)
    assert len(set(starts)) == len(starts)


@given(maps(16))
def test_regions_are_numbered_by_their_first_pixel(map_: Map) -> None:
    first = network_of(map_, range(1, map_.shape[0])).regions.first
    assert (np.diff(first) > 0).all()
    labels = regions_of(map_).ravel().tolist()
    assert first.tolist() == [labels.index(k) for k in range(len(first))]


@given(maps(12), st.integers(1, 4))
def test_dissolving_all_leaves_the_outline(map_: Map, step: int) -> None:
    network = join(strips_of(map_, range(step, map_.shape[0], step)))
    count = len(network.regions)
    whole = dissolve(network, np.zeros(count, np.int64), np.array([7]))
    assert whole.regions.value.tolist() == [7]
    assert whole.regions.pixels.tolist() == [map_.valid.sum()]
    assert (whole.arcs.right == OUTSIDE).all()
    assert whole.arcs.lengths().sum() == len(pixel_edges(map_.valid))


def test_nothing_at_all() -> None:
    empty = Map(np.zeros((6, 5), np.uint8), np.zeros((6, 5), bool))
    for cuts in ((), (2, 3)):
        network = network_of(empty, cuts, 4)
        assert (len(network.regions), len(network.arcs)) == (0, 0)
        assert (network.height, network.width) == (6, 5)
        assert network.rings.tolist() == []


def test_places_beyond_the_reach_of_32_bits() -> None:
    """Below 2**30 rows of nothing: keys of corners and pixels are 64 bits wide."""
    map_, deep = NAMED["comb"], 2**30
    width = map_.shape[1]
    none, side = np.zeros(0, np.int64), np.full(width, OUTSIDE, np.int64)
    empty = Strip(
        0,
        deep,
        width,
        Regions(none, none, none, none, none),
        Arcs(np.zeros((0, 2), np.int32), np.zeros(1, np.int64), none, none),
        side,
        side,
    )
    rows = [(0, 2), (2, map_.shape[0])]
    far = [trace(map_.classes[a:b], map_.valid[a:b], deep + a) for a, b in rows]
    near_net = network_of(map_, [2], 3)
    far_net = merge_specks(join([empty, *far]), 3)
    assert far_net.arcs.xy.tolist() == (near_net.arcs.xy + np.array([0, deep])).tolist()
    assert far_net.arcs.left.tolist() == near_net.arcs.left.tolist()
    assert (far_net.regions.first - near_net.regions.first == deep * width).all()
    assert far_net.nodes()[0].min() > 2**32
