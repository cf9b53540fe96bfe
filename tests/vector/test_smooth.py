"""Straightened borders: less than half a pixel off, and every pixel still in its own polygon."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import example, given
from hypothesis import strategies as st
from rasterio.features import rasterize

from agriseg.vector import smooth as module
from agriseg.vector.network import Network
from agriseg.vector.rings import assemble
from agriseg.vector.shapes import Simplified
from agriseg.vector.smooth import Lines, exact, smooth
from agriseg.vector.strip import OUTSIDE
from tests.vector.truth import (
    NAMED,
    Map,
    assert_partition,
    cut_maps,
    maps,
    network_of,
    polygons_of,
    regions_of,
)


def pieces(lines: Lines) -> list[np.ndarray]:
    """Vertices of each line, in pixels."""
    return [lines.xy[a:b] / 2 for a, b in pairwise(lines.offsets)]


def check_near(network: Network, limit: float) -> None:
    """Corners lie near their line, and vertices on their arc."""
    lines, arcs = smooth(network, limit), network.arcs
    assert lines.xy.dtype == np.int32
    is_fixed = (arcs.left == OUTSIDE) | (arcs.right == OUTSIDE)
    for k, (flat, stairs) in enumerate(zip(pieces(lines), pieces(exact(arcs)), strict=True)):
        if is_fixed[k]:
            assert flat.tolist() == stairs.tolist()
            continue
        line, arc = shapely.linestrings(flat), shapely.linestrings(stairs)
        # Nearer than the limit, across and down: the square about each corner meets the line.
        reach = limit * (1 - 1e-7)
        squares = shapely.box(*(stairs - reach).T, *(stairs + reach).T)
        assert shapely.intersects(squares, line).all()
        assert shapely.distance(shapely.points(flat), arc).max() == 0
        assert len(flat) <= len(stairs) + 1
        if network.rings[k]:
            assert flat[0].tolist() == flat[-1].tolist()
        else:
            assert (flat[[0, -1]] == stairs[[0, -1]]).all()


@given(maps(), st.sampled_from([0.5, 0.5, 0.499, 0.4, 0.36, 0.3, 0.2, 0.05, 1e-3, 1e-9]))
def test_lines_keep_near_their_pixels(map_: Map, limit: float) -> None:
    check_near(network_of(map_), limit)


@pytest.mark.parametrize("map_", NAMED.values(), ids=NAMED.keys())
def test_lines_of_named_maps_keep_near_their_pixels(map_: Map) -> None:
    check_near(network_of(map_), 0.5)


@given(maps(), st.sampled_from([1, 1, 4]), st.sampled_from([0.5, 0.5, 0.35]))
@example(NAMED["stairs"], 1, 0.5)
@example(NAMED["a class for each pixel"], 1, 0.5)
def test_burning_gives_the_map_back(map_: Map, min_pixels: int, limit: float) -> None:
    network = network_of(map_, (), min_pixels)
    values = network.regions.value
    burnt, before = (
        rasterize(
            ((polygon, k + 1) for k, polygon in enumerate(polygons_of(network, how))),
            out_shape=map_.shape,
            fill=0,
            dtype="int32",
        )
        for how in (limit, 0)
    )
    assert (burnt == before).all()
    assert ((burnt > 0) == map_.valid).all()
    if min_pixels == 1:
        assert (burnt == regions_of(map_) + 1).all()
        assert (values[burnt[map_.valid] - 1] == map_.classes[map_.valid]).all()


@given(cut_maps(16), st.sampled_from([0.26, 0.3, 0.36, 0.5]))
def test_lines_do_not_depend_on_the_cuts_nor_on_the_chunks(
    cut: tuple[Map, list[int]], limit: float
) -> None:
    map_, cuts = cut
    one = smooth(network_of(map_), limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", 7)
        other = smooth(network_of(map_, cuts), limit)
    assert one.xy.tolist() == other.xy.tolist()
    assert one.offsets.tolist() == other.offsets.tolist()


@pytest.mark.parametrize("limit", [0.26, 0.3])
def test_a_long_diagonal_changes_no_line_but_its_own(limit: float) -> None:
    """Under these limits it unravels step by step, far longer than any border beside it."""
    noise = np.random.default_rng(5).integers(0, 2, (50, 30)).astype(np.uint8)
    stairs = np.tri(50, dtype=np.uint8)
    beside = np.full((50, 1), 9, np.uint8)
    found = []
    for left in (np.zeros_like(stairs), stairs):
        classes = np.hstack([left, beside, noise])
        network = network_of(Map(classes, classes != 9))
        lines = pieces(smooth(network, limit))
        found.append(sorted(line.tolist() for line in lines if line[:, 0].min() > 50))
    assert found[0] == found[1]


def slanted(across: int, along: int, is_steep: bool) -> tuple[Network, int]:
    """A straight border over 200 pixels, and which of the arcs it is."""
    x = np.arange(200)
    y = np.arange(200 * across // along + 5)[:, None]
    classes = (y * along > x * across + 2 * along).astype(np.uint8)
    classes = classes.T if is_steep else classes
    network = network_of(Map(classes, np.ones(classes.shape, bool)))
    (arc,) = np.flatnonzero(network.arcs.right >= 0).tolist()
    return network, arc


@pytest.mark.parametrize("along", [1, 2, 3, 4, 5, 7, 10, 31])
@pytest.mark.parametrize("is_steep", [False, True])
def test_a_straight_border_becomes_few_vertices(along: int, is_steep: bool) -> None:
    network, arc = slanted(1, along, is_steep)
    assert len(pieces(smooth(network))[arc]) <= 6
    check_near(network, 0.5)


@pytest.mark.parametrize("slope", [(2, 3), (2, 5), (3, 7), (7, 31), (7, 10), (13, 40)])
@pytest.mark.parametrize("is_steep", [False, True])
def test_any_straight_border_becomes_fewer(slope: tuple[int, int], is_steep: bool) -> None:
    """At a slope of 2 in 3 the corners fill nearly all the room that a line has, so that vertices
    on the border find no line past all of them."""
    network, arc = slanted(*slope, is_steep)
    assert len(pieces(smooth(network))[arc]) < 0.52 * network.arcs.counts[arc]
    check_near(network, 0.5)


@pytest.mark.parametrize(("radius", "off"), [(2, 0.02), (5, 0.01), (10, 0.005), (40, 0.002)])
def test_discs_keep_their_area(radius: float, off: float) -> None:
    rng = np.random.default_rng(0)
    side = int(2 * radius + 7)
    ratios = []
    for _ in range(60):
        at = side / 2 + rng.uniform(-0.5, 0.5, 2)
        y, x = np.indices((side, side)) + 0.5
        inside = np.hypot(y - at[0], x - at[1]) < radius
        network = network_of(Map(inside.astype(np.uint8), np.ones_like(inside)))
        assert len(network.regions) == 2
        disc = polygons_of(network, 0.5)[1]
        assert shapely.hausdorff_distance(disc.boundary, polygons_of(network)[1].boundary) < 0.75
        ratios.append(shapely.area(disc) / inside.sum())
    assert abs(np.mean(ratios) - 1) < off


@given(maps(16), st.sampled_from([0.6, 1, 1.5, 3, 20]))
def test_beyond_half_a_pixel_polygons_still_tile_the_map(map_: Map, limit: float) -> None:
    network = network_of(map_)
    lines = smooth(network, limit)
    shapes = Simplified(lines, assemble(network, lines), Affine.identity(), limit)
    polygons = shapes.polygons(np.arange(len(network.regions)))
    assert len(polygons) == len(network.regions)
    assert_partition(polygons, map_.valid)


def test_steps_of_a_diagonal_vanish() -> None:
    side = 30
    classes = (np.indices((side, side)).sum(axis=0) >= side).astype(np.uint8)
    network = network_of(Map(classes, np.ones((side, side), bool)))
    before, after = (
        shapely.get_num_coordinates(polygons_of(network, limit)).sum() for limit in (0, 0.5)
    )
    assert after < before / 4
