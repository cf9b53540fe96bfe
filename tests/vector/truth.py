"""What the tests of polygons share: maps, and what becomes of them, worked out pixel by pixel."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import shapely
from affine import Affine
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from scipy.ndimage import gaussian_filter, label

from agriseg.geobox import GeoBox
from agriseg.vector.network import Network, join
from agriseg.vector.rings import assemble
from agriseg.vector.shapes import Shapes
from agriseg.vector.smooth import exact, smooth
from agriseg.vector.specks import merge_specks
from agriseg.vector.strip import Strip, trace

UTM_HALF_METRE = Affine(0.5, 0, 5e5, 0, -0.5, 5.6e6)

Labels = NDArray[np.int64]
Edge = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Map:
    """Classes (h, w) and where they count."""

    classes: NDArray[np.integer]
    valid: NDArray[np.bool_]

    @classmethod
    def of(cls, *rows: str) -> Map:
        """From rows of digits; a dot is a pixel without a class."""
        text = np.array([list(row) for row in rows])
        valid = text != "."
        return cls(np.where(valid, text, "0").astype(np.uint8), valid)

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.classes.shape
        return height, width

    def __repr__(self) -> str:
        rows = np.where(self.valid, self.classes.astype(str), ".")
        return "Map.of(" + ", ".join(repr("".join(row)) for row in rows) + ")"


def _spiral(turns: int) -> Map:
    side = 4 * turns + 1
    text = np.full((side, side), "0")
    for ring in range(turns):
        low, high = 2 * ring, side - 2 * ring
        text[low, max(low - 2, 0) : high] = "1"
        text[low:high, high - 1] = text[high - 1, low:high] = "1"
        text[low + 2 : high, low] = "1"
    return Map.of(*("".join(row) for row in text))


NAMED = {
    "one pixel": Map.of("3"),
    "one row": Map.of("0011.20"),
    "one column": Map.of(*"0011.20"),
    "one class": Map.of("222", "222"),
    "a class for each pixel": Map.of("012", "345", "678"),
    "checkerboard": Map.of(*("01" * 4, "10" * 4) * 3),
    "checkerboard with holes": Map.of(*("0." * 4, ".0" * 4) * 3),
    "spiral": _spiral(3),
    "diagonal down": Map.of("1000", "0100", "0010", "0001"),
    "diagonal up": Map.of("0001", "0010", "0100", "1000"),
    "rings": Map.of("11111", "12221", "12321", "12221", "11111"),
    "holes in holes": Map.of(
        "000000000",
        "011111110",
        "010000010",
        "010111010",
        "0101.1010",
        "010111010",
        "010000010",
        "011111110",
        "000000000",
    ),
    "islands": Map.of("0.1.", "....", "11.0", "1..0"),
    "a strip of nothing": Map.of("0110", "0010", "....", "....", "1100"),
    "a column of nothing": Map.of("00.11", "01.10", "00.11"),
    "nothing around": Map.of(".....", ".010.", ".111.", "....."),
    "touches itself outside": Map.of("0001", "0110", "0100", "0000"),
    "touches itself around nothing": Map.of(".111", "11.1", "1.11", "1111"),
    "touches itself at a hole": Map.of("00000", "01110", "01200", "01110", "00000"),
    "holes that touch": Map.of("00000", "01000", "00200", "00010", "00000"),
    "four holes that touch": Map.of("000000", "012100", "021200", "000000"),
    "holes of nothing that touch": Map.of("0000", "0.00", "00.0", "0000"),
    "an eye of two": Map.of("11110", "10.10", "1.010", "11110", "00000"),
    "comb": Map.of("0101010", "0101010", "0101010", "0000000", "2020202", "2020202"),
    "a corner of four": Map.of("0011", "0011", "2233", "2233"),
    "stairs": Map.of("0111", "0011", "0001", "0000"),
}


@st.composite
def maps(draw: st.DrawFn, most: int = 24, *, masks: bool = True) -> Map:
    """Small maps drawn pixel by pixel, and larger ones: noise, blocks, soft borders, lines."""
    classes = draw(st.integers(1, 4))
    kind = draw(st.sampled_from(["pixels", "noise", "blocks", "soft", "lines", "named"]))
    if kind == "named":
        found = NAMED[draw(st.sampled_from(sorted(NAMED)))]
        return found if masks else Map(found.classes, np.ones(found.shape, bool))
    if kind == "pixels":
        height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
        codes = st.integers(-1 if masks else 0, classes - 1)
        flat = draw(st.lists(codes, min_size=height * width, max_size=height * width))
        codes_ = np.array(flat).reshape(height, width)
        valid = codes_ >= 0
        valid[0, 0] |= not valid.any()
        return Map(np.where(valid, codes_, 0).astype(np.uint8), valid)
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = (height, width)
    if kind == "noise":
        found = rng.integers(0, classes, size)
    elif kind == "blocks":
        block = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
        found = np.kron(rng.integers(0, classes, size), np.ones(block, int))[:height, :width]
    elif kind == "soft":
        level = gaussian_filter(rng.normal(size=size), draw(st.sampled_from([0.8, 1.5, 3.0])))
        found = np.searchsorted(np.quantile(level, np.arange(1, classes) / classes), level)
    else:
        dy, dx = rng.normal(size=2)
        y, x = np.indices(size)
        found = (np.floor((y * dy + x * dx) / rng.uniform(0.8, 4)).astype(int)) % classes
    valid = np.ones(size, bool)
    if masks and draw(st.booleans()):
        valid = rng.random(size) < draw(st.sampled_from([0.5, 0.9, 0.98]))
        if draw(st.booleans()):
            valid[:, rng.integers(width)] = valid[rng.integers(height)] = False
        valid[0, 0] |= not valid.any()
    return Map(found.astype(np.uint8), valid)


@st.composite
def cut_maps(draw: st.DrawFn, most: int = 24) -> tuple[Map, list[int]]:
    """A map, and the rows at which it is cut."""
    found = draw(maps(most))
    rows = st.integers(1, max(found.shape[0] - 1, 1))
    return found, sorted(r for r in draw(st.sets(rows)) if r < found.shape[0])


# Regions --------------------------------------------------------------------------------------


def regions_of(map_: Map) -> Labels:
    """The 4-connected regions of each class in reading order; -1 where there is no class."""
    labels, count = np.full(map_.shape, -1), 0
    for value in np.unique(map_.classes[map_.valid]):
        found, more = label((map_.classes == value) & map_.valid)
        labels[found > 0] = found[found > 0] + count
        count += more
    seen, first = np.unique(labels[map_.valid], return_index=True)
    number = np.full(count + 1, -1)
    number[seen[np.argsort(first)]] = np.arange(len(seen))
    return np.where(map_.valid, number[labels], -1)


def without_specks(map_: Map, min_pixels: int) -> Map:
    """The smallest region goes to its longest border, again and again."""
    classes = map_.classes.copy()
    while True:
        labels = regions_of(Map(classes, map_.valid))
        beside: dict[int, Counter[int]] = defaultdict(Counter)
        for a, b in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
            border = (a != b) & (a >= 0) & (b >= 0)
            for one, other in zip(a[border].tolist(), b[border].tolist(), strict=True):
                beside[one][other] += 1
                beside[other][one] += 1
        pixels = np.bincount(labels[labels >= 0])
        value = np.zeros(len(pixels), np.int64)
        value[labels[labels >= 0]] = classes[labels >= 0]
        small = [k for k in range(len(pixels)) if pixels[k] < min_pixels and beside[k]]
        if not small:
            return Map(classes, map_.valid)
        speck = min(small, key=lambda k: (pixels[k], k))
        best = min(beside[speck], key=lambda k: (-beside[speck][k], value[k]))
        classes[labels == speck] = value[best]


# From maps to networks and polygons -----------------------------------------------------------


def strips_of(
    map_: Map,
    cuts: Sequence[int] = (),
    steps: NDArray[np.integer] | None = None,
    known: NDArray[np.bool_] | None = None,
) -> list[Strip]:
    def part(plane, a, b):
        return None if plane is None else plane[a:b]

    return [
        trace(
            map_.classes[a:b], map_.valid[a:b], a, steps=part(steps, a, b), known=part(known, a, b)
        )
        for a, b in pairwise([0, *cuts, map_.shape[0]])
    ]


def network_of(map_: Map, cuts: Sequence[int] = (), min_pixels: int = 1) -> Network:
    return merge_specks(join(strips_of(map_, cuts)), min_pixels)


def polygons_of(
    network: Network, limit: float = 0.0, transform: Affine | None = None
) -> NDArray[np.object_]:
    """All polygons; in columns and rows from the upper left corner, unless told."""
    lines = smooth(network, limit) if limit else exact(network.arcs)
    shapes = Shapes(lines, assemble(network, lines), transform or Affine.identity())
    return shapes.polygons(np.arange(len(network.regions)))


def box_of(
    map_: Map,
    transform: Affine = UTM_HALF_METRE,
    crs: int | CRS | None = 32633,
) -> GeoBox:
    crs = CRS.from_epsg(crs) if isinstance(crs, int) else crs
    return GeoBox(crs, transform, map_.shape[1], map_.shape[0])


def assert_same(one: Network, other: Network) -> None:
    """Regions and arcs are the same, to the last number and its type."""
    assert (one.height, one.width) == (other.height, other.width)
    for table in ("regions", "arcs"):
        for field in fields(getattr(one, table)):
            a, b = (getattr(getattr(n, table), field.name) for n in (one, other))
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=f"{table}.{field.name}")


# Edges ----------------------------------------------------------------------------------------


def pixel_edges(inside: NDArray[np.bool_]) -> set[Edge]:
    """The pixel edges around the pixels of a mask, the mask on a reader's left: (x, y) each."""
    padded = np.pad(inside, 1)
    found: set[Edge] = set()
    # From a pixel (row, col), and the neighbour on the other side of the edge.
    for dy, dx, start, end in (
        (1, 0, (0, 1), (1, 1)),
        (-1, 0, (1, 0), (0, 0)),
        (0, 1, (1, 1), (1, 0)),
        (0, -1, (0, 0), (0, 1)),
    ):
        beyond = np.roll(padded, (-dy, -dx), (0, 1))[1:-1, 1:-1]
        for row, col in np.argwhere(inside & ~beyond).tolist():
            found.add(
                ((col + start[0], row + start[1]), (col + end[0], row + end[1])),
            )
    return found


def unit_edges(start: NDArray[np.float64], end: NDArray[np.float64]) -> set[Edge]:
    """Edges (n, 2) along rows and columns, taken apart into those of single pixels."""
    found: set[Edge] = set()
    whole = zip(start.astype(int).tolist(), end.astype(int).tolist(), strict=True)
    assert (start == start.astype(int)).all()
    assert (end == end.astype(int)).all()
    for (x0, y0), (x1, y1) in whole:
        assert (x0 == x1) != (y0 == y1)
        dx, dy = np.sign([x1 - x0, y1 - y0]).tolist()
        for k in range(abs(x1 - x0) + abs(y1 - y0)):
            edge = (x0 + k * dx, y0 + k * dy), (x0 + (k + 1) * dx, y0 + (k + 1) * dy)
            assert edge not in found
            found.add(edge)
    return found


def ring_edges(
    polygons: NDArray[np.object_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The edges (n, 2) and (n, 2) of all rings."""
    xy, ring = shapely.get_coordinates(
        shapely.get_rings(shapely.get_parts(polygons)), return_index=True
    )
    inside = ring[1:] == ring[:-1]
    return xy[:-1][inside], xy[1:][inside]


def assert_partition(polygons: NDArray[np.object_], valid: NDArray[np.bool_]) -> None:
    """Polygons in columns and rows tile the valid pixels, and share the vertices of borders.

    Each edge inside occurs twice, once in either direction, and the others are the pixel outline.
    """
    assert shapely.is_valid(polygons).all(), shapely.is_valid_reason(polygons).tolist()
    assert bool(shapely.coverage_is_valid(polygons))
    assert (shapely.get_type_id(polygons) == shapely.GeometryType.MULTIPOLYGON).all()
    assert (shapely.get_num_geometries(polygons) == 1).all()
    parts = shapely.get_geometry(polygons, 0)
    assert shapely.is_ccw(shapely.get_exterior_ring(parts)).all()
    rings, owner = shapely.get_rings(parts, return_index=True)
    is_hole = np.append(False, owner[1:] == owner[:-1])
    assert (shapely.is_ccw(rings) != is_hole).all()
    assert shapely.area(polygons).sum() == valid.sum()  # quarters of pixels: no rounding
    for ring in rings:
        points = shapely.get_coordinates(ring)[:-1]
        assert len(np.unique(points, axis=0)) == len(points), "a point of a ring twice"
    start, end = ring_edges(polygons)
    edges = [tuple(edge) for edge in np.hstack([start, end]).tolist()]
    assert len(set(edges)) == len(edges), "an edge twice in one direction"
    known = set(edges)
    alone = np.array([(x1, y1, x0, y0) not in known for x0, y0, x1, y1 in edges])
    outline = unit_edges(start[alone], end[alone])
    # Columns and rows of `valid` run southwards, and so does the y of these polygons: a shell that
    # goes counter-clockwise in a frame whose y runs northwards has its inside on the right here.
    assert outline == {(b, a) for a, b in pixel_edges(valid)}
