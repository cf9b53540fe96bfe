"""Zones as polygons that tile their field: same corners on either side of every border."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.fields.given import turned
from agriseg.fields.weeds.lattice import only_polygons
from agriseg.geobox import GeoBox
from agriseg.vector.segments import PolygonOptions, build
from agriseg.vector.strip import trace_band

__all__ = ["Tiles", "zone_tiles"]

# Corners are snapped to this part of a cell: so lines that cross have one corner there, and those
# that should be one line are.
_SNAP = 1e-6


class Tiles:
    """Faces (n,) that tile a field, in cells of its grid, and the zone of each."""

    def __init__(self, faces: NDArray[np.object_], zones: NDArray[np.int64]) -> None:
        self.faces, self.zones = faces, zones

    def shape_of(self, zone: int) -> Any:
        """All of a zone, as one multipolygon."""
        mine = self.faces[self.zones == zone]
        return only_polygons(np.array([shapely.coverage_union_all(mine)], object))[0]

    def parts(self) -> Tiles:
        """The same with faces of one zone that share a border as one."""
        faces, zones = [np.zeros(0, object)], [np.zeros(0, np.int64)]
        for zone in np.unique(self.zones).tolist():
            some = shapely.get_parts(self.shape_of(zone))
            faces.append(some)
            zones.append(np.full(len(some), zone))
        return Tiles(np.concatenate(faces), np.concatenate(zones))


def zone_tiles(
    labels: NDArray[np.integer[Any]],
    valid: NDArray[np.bool_],
    box: GeoBox,
    field: Any,
    min_zone_m2: float,
) -> Tiles:
    """Turn labels of cells into zones of a field, each part of at least a given size.

    Parts that are smaller go to the neighbour with the longest common border, the smallest first;
    one that has no neighbour stays. Borders are straightened by less than half a cell.

    Args:
        labels: (h, w) zone of each cell.
        valid: (h, w) cells that are on the map; the others belong to no zone.
        box: The grid of the cells.
        field: The field in cells of the grid.
        min_zone_m2: The least area.
    """
    from rasterio.features import rasterize
    from scipy.ndimage import binary_dilation

    touched = rasterize([(field, 1)], box.shape, all_touched=True, dtype="uint8").astype(bool)
    # A ring more, so that nothing is lost to rounding; it is cut off below.
    near = binary_dilation(touched, np.ones((3, 3), bool)) & valid
    if not near.any():
        return Tiles(np.zeros(0, object), np.zeros(0, np.int64))
    options = PolygonOptions(min_area_m2=min_zone_m2)
    segments = build(trace_band(labels.astype(np.uint8), near), box, {}, None, options)
    batches = list(segments.batches())
    back = ~box.transform
    shapes = turned(np.concatenate([batch.geometry for batch in batches]), back)
    values = np.concatenate([batch.columns["class_id"] for batch in batches])
    tiles = _tiles(shapes, values, field).parts()
    cell_m2 = (box.area_m2 or 0) / (box.width * box.height)
    return _without_small(tiles, min_zone_m2 / cell_m2 * (1 - 1e-6))


def _tiles(shapes: NDArray[np.object_], values: NDArray[np.int64], field: Any) -> Tiles:
    """The faces between the borders of the zones and the field's."""
    lines = [*shapely.boundary(shapes), shapely.boundary(field)]
    network = shapely.unary_union(np.array(lines, object), grid_size=_SNAP)
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts([network])))
    inner = shapely.point_on_surface(faces)
    shapely.prepare(field)
    faces, inner = faces[shapely.contains(field, inner)], inner[shapely.contains(field, inner)]
    point, shape = shapely.STRtree(shapes).query(inner, predicate="within")
    zones = np.full(len(faces), -1)
    zones[point] = values[shape]
    return Tiles(faces[zones >= 0], zones[zones >= 0])


def _without_small(tiles: Tiles, least: float) -> Tiles:
    """The same with parts that the field's own border made too small merged, too."""
    stays: set[tuple[float, float]] = set()
    while True:
        areas = shapely.area(tiles.faces)
        places = shapely.get_coordinates(shapely.centroid(tiles.faces))
        small = [
            k
            for k in np.argsort(areas, kind="stable").tolist()
            if areas[k] < least and tuple(places[k].tolist()) not in stays
        ]
        if not small:
            return tiles
        me = small[0]
        others = shapely.STRtree(tiles.faces).query(tiles.faces[me], predicate="intersects")
        others = np.sort(others[tiles.zones[others] != tiles.zones[me]])
        lengths = shapely.length(shapely.intersection(tiles.faces[others], tiles.faces[me]))
        if not len(others) or not lengths.max() > 0:
            stays.add(tuple(places[me].tolist()))
            continue
        zones = tiles.zones.copy()
        zones[me] = zones[others[lengths.argmax()]]
        tiles = Tiles(tiles.faces, zones).parts()
