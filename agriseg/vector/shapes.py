"""Polygons as objects, made from shared lines batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from agriseg.geobox import GeoBox
from agriseg.vector.measure import Measures, measure_polygons, placed
from agriseg.vector.ragged import Ints, positions
from agriseg.vector.rings import Rings
from agriseg.vector.smooth import Lines

__all__ = ["Shapes", "Simplified"]

# Vertices in memory as polygons at a time.
_BATCH = 1 << 20


class Shapes:
    """The polygons of all regions, in map coordinates.

    Args:
        lines: The lines that they share.
        rings: How these go around each of them.
        transform: From columns and rows to the map.
    """

    def __init__(self, lines: Lines, rings: Rings, transform: Affine) -> None:
        self._lines, self._rings, self._transform = lines, rings, transform

    def batches(self, selected: Ints) -> Iterator[Ints]:
        """Regions in order, as many at a time as come to about a million vertices."""
        per_line = np.diff(self._lines.offsets)
        owner = np.repeat(self._rings.region, np.diff(self._rings.offsets))
        total = np.bincount(owner, per_line[self._rings.sides // 2])
        done = np.cumsum(total[selected]) // _BATCH
        yield from np.split(selected, np.flatnonzero(np.diff(done)) + 1)

    def polygons(self, which: Ints) -> NDArray[np.object_]:
        """Some regions as MultiPolygons of one part; shells run counter-clockwise."""
        found: NDArray[np.object_] = shapely.multipolygons(
            self.parts(which), indices=np.arange(len(which))
        )
        return found

    def parts(self, which: Ints) -> NDArray[np.object_]:
        """The same as Polygons."""
        if not len(which):
            return np.empty(0, object)
        lines, rings = self._lines, self._rings
        first = np.searchsorted(rings.region, which, "left")
        counts = np.searchsorted(rings.region, which, "right") - first
        mine = positions(first, counts, np.zeros(len(first), bool))
        sides_per_ring = np.diff(rings.offsets)[mine]
        take = positions(rings.offsets[:-1][mine], sides_per_ring, np.zeros(len(mine), bool))
        sides = rings.sides[take]
        backward = sides % 2 == 1
        # The last vertex of a line is the first one of the next.
        per_side = np.diff(lines.offsets)[sides // 2] - 1
        at = positions(lines.offsets[:-1][sides // 2] + backward, per_side, backward)
        ring = np.repeat(np.repeat(np.arange(len(mine)), sides_per_ring), per_side)
        xy = lines.xy[at] / 2
        if self._transform.determinant > 0:
            # A map whose rows run northwards: left and right change places.
            xy, ring = xy[::-1], ring[::-1]
            back = np.argsort(ring, kind="stable")
            xy, ring = xy[back], ring[back]
        shapes = shapely.linearrings(placed(xy, self._transform), indices=ring)
        found: NDArray[np.object_] = shapely.polygons(
            shapes, indices=np.repeat(np.arange(len(which)), counts)
        )
        return found


class Simplified(Shapes):
    """The same, simplified further by GEOS: all together as one coverage, so borders stay shared.

    Args:
        pixels: Corners of triangles of less than the square of this are left out.
    """

    def __init__(self, lines: Lines, rings: Rings, transform: Affine, pixels: float) -> None:
        super().__init__(lines, rings, Affine.identity())
        whole = super().polygons(np.unique(rings.region))
        flat = shapely.coverage_simplify(whole, pixels, simplify_boundary=False)
        self._shapes = shapely.orient_polygons(
            shapely.transform(flat, lambda xy: placed(xy, transform))
        )

    def polygons(self, which: Ints) -> NDArray[np.object_]:
        found: NDArray[np.object_] = self._shapes[which]
        return found

    def measure(self, box: GeoBox) -> Measures:
        return measure_polygons(self._shapes, box)
