"""Polygons tile the valid pixels; a class map and its polygons say the same."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from scipy.ndimage import label

from agriseg.vector import shapes as shapes_module
from agriseg.vector.rings import assemble
from agriseg.vector.shapes import Shapes
from agriseg.vector.smooth import exact, smooth
from tests.vector.truth import (
    NAMED,
    Map,
    assert_partition,
    maps,
    network_of,
    pixel_edges,
    polygons_of,
    regions_of,
    ring_edges,
    unit_edges,
)

LIMITS = [0, 0.5]


def check(map_: Map, limit: float) -> None:
    labels = regions_of(map_)
    polygons = polygons_of(network_of(map_), limit)
    assert len(polygons) == labels.max() + 1
    assert_partition(polygons, map_.valid)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("map_", NAMED.values(), ids=NAMED.keys())
def test_named_maps_are_tiled(map_: Map, limit: float) -> None:
    check(map_, limit)


@given(maps(), st.sampled_from([0, 0.5, 0.5, 0.3]))
def test_polygons_tile_the_map(map_: Map, limit: float) -> None:
    check(map_, limit)


@given(maps(16))
def test_each_polygon_follows_its_own_pixels(map_: Map) -> None:
    labels = regions_of(map_)
    polygons = polygons_of(network_of(map_))
    for k, polygon in enumerate(polygons):
        mine = labels == k
        assert shapely.area(polygon) == mine.sum()
        around = unit_edges(*ring_edges(np.array([polygon])))
        assert around == {(b, a) for a, b in pixel_edges(mine)}


@given(maps(16))
def test_holes_are_counted(map_: Map) -> None:
    """As many rings as an image has holes: what is not the region, 8-connected."""
    labels = regions_of(map_)
    polygons = polygons_of(network_of(map_))
    for k, polygon in enumerate(polygons):
        # Two holes that meet at a corner are two rings, since neither passes a point twice.
        _, apart = label(np.pad(labels != k, 1, constant_values=True), np.ones((3, 3)))
        holes = shapely.get_num_interior_rings(shapely.get_geometry(polygon, 0))
        assert holes >= apart - 1
        _, apart = label(np.pad(labels != k, 1, constant_values=True))
        assert holes <= apart - 1


@pytest.mark.parametrize(
    ("name", "region", "holes"),
    [
        ("holes that touch", 0, 3),
        ("touches itself outside", 0, 1),
        ("touches itself around nothing", 0, 2),
        ("holes of nothing that touch", 0, 2),
        ("rings", 0, 1),
        ("holes in holes", 0, 1),
        ("spiral", 0, 0),
    ],
)
def test_holes_of_named_maps(name: str, region: int, holes: int) -> None:
    polygon = polygons_of(network_of(NAMED[name]))[region]
    assert shapely.get_num_interior_rings(shapely.get_geometry(polygon, 0)) == holes


TRANSFORMS = {
    "north up": Affine(0.02, 0, 360_123.4567, 0, -0.02, 5_350_000.25),
    "south up": Affine(0.5, 0, 5e5, 0, 0.5, 5.6e6),
    "mirrored": Affine(-0.5, 0, 5e5, 0, -0.5, 5.6e6),
    "turned": Affine(3, 0, 5e5, 0, -3, 5.6e6) @ Affine.rotation(31),
    "by the side": Affine(0, 2, 5e5, 3, 0, 5.6e6),
    "sheared": Affine(1, 0.3, 5e5, -0.2, -2, 5.6e6),
    "flat pixels": Affine(0.1, 0, 5e5, 0, -7, 5.6e6),
    "degrees": Affine(1e-6, 0, 13.37, 0, -1e-6, 52.1),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
@settings(max_examples=25)
@given(map_=maps(12), limit=st.sampled_from(LIMITS))
@example(map_=NAMED["holes that touch"], limit=0)
def test_polygons_lie_where_the_pixels_do(map_: Map, limit: float, transform: Affine) -> None:
    network = network_of(map_)
    polygons = polygons_of(network, limit, transform)
    assert shapely.is_valid(polygons).all()
    parts = shapely.get_geometry(polygons, 0)
    assert shapely.is_ccw(shapely.get_exterior_ring(parts)).all()
    for part in parts[:5]:
        assert not any(ring.is_ccw for ring in part.interiors)
    # The very same coordinates at both sides of a border.
    start, end = ring_edges(polygons)
    edges = {tuple(edge) for edge in np.hstack([start, end]).tolist()}
    assert len(edges) == len(start)
    alone = [edge for edge in edges if (*edge[2:], *edge[:2]) not in edges]
    flat = polygons_of(network, limit)
    flat_start, flat_end = ring_edges(flat)
    there = {tuple(edge) for edge in np.hstack([flat_start, flat_end]).tolist()}
    assert len(alone) == sum((*edge[2:], *edge[:2]) not in there for edge in there)
    burnt = rasterize(
        ((polygon, k + 1) for k, polygon in enumerate(polygons)),
        out_shape=map_.shape,
        transform=transform,
        fill=0,
        dtype="int32",
    )
    assert (burnt == regions_of(map_) + 1).all()


@given(maps(12), st.data())
def test_some_polygons_are_as_in_all(map_: Map, data: st.DataObject) -> None:
    network = network_of(map_)
    lines = smooth(network)
    shapes = Shapes(lines, assemble(network, lines), TRANSFORMS["south up"])
    every = shapes.polygons(np.arange(len(network.regions)))
    which = np.array(
        sorted(data.draw(st.sets(st.integers(0, len(every) - 1)), label="which")), np.int64
    )
    assert shapely.to_wkb(shapes.polygons(which)).tolist() == shapely.to_wkb(every[which]).tolist()


def test_batches_hold_each_polygon_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    network = network_of(Map(rng.integers(0, 3, (20, 30)), np.ones((20, 30), bool)))
    lines = exact(network.arcs)
    shapes = Shapes(lines, assemble(network, lines), Affine.identity())
    selected = np.arange(1, len(network.regions), 2)
    assert len(list(shapes.batches(selected))) == 1
    monkeypatch.setattr(shapes_module, "_BATCH", 50)
    batches = list(shapes.batches(selected))
    assert len(batches) > 10
    assert np.concatenate(batches).tolist() == selected.tolist()
    assert all(len(batch) for batch in batches)
    assert [len(batch) for batch in shapes.batches(selected[:0])] == [0]
