"""Merged specks against relabelling the smallest region again and again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rasterio.features import rasterize

from tests.vector.truth import (
    NAMED,
    Map,
    cut_maps,
    network_of,
    polygons_of,
    regions_of,
    without_specks,
)


def check(map_: Map, cuts: list[int], min_pixels: int) -> None:
    regions = network_of(map_, cuts, min_pixels).regions
    truth = without_specks(map_, min_pixels)
    labels = regions_of(truth)
    assert len(regions) == labels.max() + 1
    flat = labels.ravel().tolist()
    assert regions.first.tolist() == [flat.index(k) for k in range(len(regions))]
    assert regions.value.tolist() == truth.classes.ravel()[regions.first].tolist()
    assert regions.pixels.tolist() == np.bincount(labels[labels >= 0]).tolist()


@given(cut_maps(16), st.sampled_from([2, 3, 4, 4, 9, 30, 10_000]))
@example((NAMED["a class for each pixel"], [1]), 2)
@example((NAMED["rings"], []), 9)
def test_specks_go_where_they_should(cut: tuple[Map, list[int]], min_pixels: int) -> None:
    check(*cut, min_pixels)


@pytest.mark.parametrize("map_", NAMED.values(), ids=NAMED.keys())
@pytest.mark.parametrize("min_pixels", [2, 4, 12])
def test_named_maps(map_: Map, min_pixels: int) -> None:
    check(map_, [], min_pixels)


def merged(map_: Map, min_pixels: int) -> list[str]:
    """The map after merging, from the network alone."""
    network = network_of(map_, (), min_pixels)
    values = network.regions.value.tolist()
    burnt = rasterize(
        zip(polygons_of(network), values, strict=True), map_.shape, fill=255, dtype="uint8"
    )
    return ["".join("." if v == 255 else str(v) for v in row) for row in burnt.tolist()]


def test_the_longest_border_wins() -> None:
    assert merged(Map.of("011", "021", "111"), 2) == ["011", "011", "111"]
    assert merged(Map.of("100", "120", "000"), 2) == ["100", "100", "000"]


def test_of_equal_borders_the_lower_class_wins() -> None:
    assert merged(Map.of("111.000", "1112000", "111.000"), 2) == ["111.000", "1110000", "111.000"]
    assert merged(Map.of("000.111", "0002111", "000.111"), 2) == ["000.111", "0000111", "000.111"]


def test_the_smallest_goes_first_and_may_save_the_next() -> None:
    # The 2 becomes 1, and the 1s are then large enough.
    assert merged(Map.of("555112555"), 3) == ["555111555"]


def test_what_merges_joins_all_of_its_new_class() -> None:
    network = network_of(Map.of("11211", "11211"), (), 3)
    assert network.regions.value.tolist() == [1]
    assert network.regions.pixels.tolist() == [10]


def test_nodata_is_no_neighbour() -> None:
    map_ = Map.of("1.0", "..0", "2.0")
    assert merged(map_, 100) == ["1.0", "..0", "2.0"]


def test_a_chain_of_specks_becomes_one() -> None:
    rng = np.random.default_rng(0)
    classes = rng.permutation(200).reshape(1, -1).astype(np.uint8)
    regions = network_of(Map(classes, np.ones(classes.shape, bool)), (), 10**6).regions
    assert regions.pixels.tolist() == [200]


@given(cut_maps(16), st.integers(2, 12))
def test_no_speck_is_left_that_has_a_neighbour(cut: tuple[Map, list[int]], least: int) -> None:
    network = network_of(*cut, least)
    arcs = network.arcs
    has_neighbour = np.zeros(len(network.regions), bool)
    both = arcs.right >= 0
    has_neighbour[arcs.left[both]] = has_neighbour[arcs.right[both]] = True
    assert (network.regions.pixels[has_neighbour] >= least).all()
    assert network.regions.pixels.sum() == cut[0].valid.sum()
    # Neighbours differ in their class.
    value = network.regions.value
    assert (value[arcs.left[both]] != value[arcs.right[both]]).all()
