"""A grid of cells over a field, turned as its machines drive, in metres on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from agriseg.errors import OptionError
from agriseg.fields.given import GivenField, turned
from agriseg.geobox import GeoBox, Window
from agriseg.vector.ground import Ground

__all__ = ["CellSize", "Lattice", "Line", "lattice_on", "longest_direction_deg", "only_polygons"]

Line = tuple[tuple[float, float], tuple[float, float]]
Floats = NDArray[np.float64]

# More cells than any terminal draws; a width in the wrong unit comes to as many.
_MOST_CELLS = 20_000_000
# A field that reaches into the next cell by less than this part of it does not count there.
_HAIR = 1e-6


@dataclass(frozen=True)
class CellSize:
    """Sides of a cell in metres on the ground: across the way machines drive, and along it."""

    width_m: float
    length_m: float

    def __post_init__(self) -> None:
        for name, value in (("width", self.width_m), ("length", self.length_m)):
            if not (math.isfinite(value) and value > 0):
                raise OptionError(f"--cell-{name}-m {value:g}: a positive number of metres is due")


@dataclass(frozen=True)
class Lattice:
    """The cells of one field. In units of cells, u counts to the right of the way, v along it.

    Args:
        field: The field.
        window: Its pixels.
        transform: Pixels of the map to map coordinates, from the window's upper left.
        to_cells: Columns and rows of pixels, from there too, to (u, v); 0 is the least of either.
        shape: Rows and columns of cells, which cover the field.
        first: Numbers of the first row and column.
        direction_deg: Of v, clockwise from north.
    """

    field: GivenField
    window: Window
    transform: Affine
    to_cells: Affine
    shape: tuple[int, int]
    first: tuple[int, int]
    direction_deg: float

    @cached_property
    def pieces(self) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        """Cells cut to the field, in (u, v), and the place of each: row x columns + column."""
        outline = self.outline
        columns = np.arange(self.shape[1])
        # By columns first: a field with ten thousand corners is cut a hundred times, not each cell.
        strips = shapely.intersection(
            outline, shapely.box(columns, -1, columns + 1, self.shape[0] + 1)
        )
        low, high = shapely.bounds(strips)[:, 1], shapely.bounds(strips)[:, 3]
        some = np.isfinite(low)
        first = np.floor(np.where(some, low, 0)).astype(np.int64)
        counts = np.where(some, np.ceil(high) - first, 0).astype(np.int64)
        column = np.repeat(columns, counts)
        start = np.cumsum(counts) - counts
        row = np.arange(len(column)) - np.repeat(start - first, counts)
        cells = shapely.intersection(
            strips[column], shapely.box(column, row, column + 1, row + 1), grid_size=None
        )
        cells = only_polygons(cells)
        kept = (shapely.area(cells) > _HAIR**2) & (row >= 0) & (row < self.shape[0])
        order = np.lexsort((column[kept], row[kept]))
        place = (row * self.shape[1] + column)[kept][order]
        return cells[kept][order], place

    @cached_property
    def outline(self) -> Any:
        """The field in (u, v)."""
        back = self.to_cells @ ~self.transform
        return shapely.make_valid(turned(self.field.shape, back))

    @property
    def polygons(self) -> NDArray[np.object_]:
        """Cells cut to the field, in map coordinates; neighbours share their corners."""
        forth = self.transform @ ~self.to_cells
        found: NDArray[np.object_] = shapely.orient_polygons(turned(self.pieces[0], forth))
        return found


def lattice_on(
    box: GeoBox,
    field: GivenField,
    size: CellSize,
    *,
    direction_deg: float | None = None,
    ab_line: Line | None = None,
) -> Lattice:
    """Lay cells over a field.

    Without an A-B line the first row and column begin at the field's edge. With one, A lies in the
    middle of the near side of cell (0, 0): the line runs through the middle of a column, as a
    machine whose working width is a cell drives along it; to the left columns count below 0.

    Args:
        box: The grid of the map.
        field: The field; it meets the map.
        size: Of a cell.
        direction_deg: The way that machines drive, clockwise from north; by default along the
            field's rows, and without them along its longest side.
        ab_line: A and B in map coordinates, instead of a direction.

    Raises:
        OptionError: A and B are one point, or there would be millions of cells.
    """
    part = box.crop(field.window)
    metres = _metres(part)
    back = ~part.transform
    if ab_line is not None:
        (ax, ay), (bx, by) = (metres @ (back @ point) for point in ab_line)
        if not math.hypot(bx - ax, by - ay) > 0:
            raise OptionError(f"--ab-line: A and B are the same point, {ab_line[0]}; give two")
        direction = math.degrees(math.atan2(bx - ax, by - ay))
    elif direction_deg is not None:
        if not math.isfinite(direction_deg):
            raise OptionError(f"--direction-deg {direction_deg}: degrees from north are needed")
        direction = direction_deg
    elif field.row_direction_deg is not None:
        direction = field.row_direction_deg
    else:
        flat = turned(field.shape, metres @ back)
        direction = longest_direction_deg(flat)
    turn = math.radians(direction)
    cos, sin = math.cos(turn), math.sin(turn)
    along = Affine(cos, -sin, 0, sin, cos, 0)
    to_cells = Affine.scale(1 / size.width_m, 1 / size.length_m) @ along @ metres
    low_u, low_v, high_u, high_v = shapely.bounds(turned(field.shape, to_cells @ back)).tolist()
    start_u, start_v, first = low_u, low_v, (0, 0)
    if ab_line is not None:
        a_u, a_v = to_cells @ (back @ ab_line[0])
        column, row = math.floor(low_u - a_u + 0.5 + _HAIR), math.floor(low_v - a_v + _HAIR)
        start_u, start_v, first = a_u - 0.5 + column, a_v + row, (row, column)
    shape = (
        max(math.ceil(high_v - start_v - _HAIR), 1),
        max(math.ceil(high_u - start_u - _HAIR), 1),
    )
    if shape[0] * shape[1] > _MOST_CELLS:
        raise OptionError(
            f"cells of {size.width_m:g} x {size.length_m:g} m come to {shape[0] * shape[1]:,} over "
            f"{field}, more than {_MOST_CELLS:,}; make them larger"
        )
    placed = Affine.translation(-start_u, -start_v) @ to_cells
    return Lattice(field, field.window, part.transform, placed, shape, first, direction % 360)


def longest_direction_deg(flat: Any) -> float:
    """Direction of a shape's longest side, degrees clockwise from north, 0 to 180.

    Of the rectangle of least area around it: what machines drive along where nothing else is known.
    """
    around = shapely.minimum_rotated_rectangle(flat)
    corners = shapely.get_coordinates(around)
    sides = np.diff(corners, axis=0)
    dx, dy = sides[np.hypot(sides[:, 0], sides[:, 1]).argmax()].tolist()
    return math.degrees(math.atan2(dx, dy)) % 180


def only_polygons(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Shapes (n,) as multipolygons (n,), without the points and lines where shapes only touch."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    # Collections may hold multipolygons.
    parts, inner = shapely.get_parts(parts, return_index=True)
    owner = owner[inner]
    flat = shapely.get_type_id(parts) == 3
    found = np.full(len(shapes), shapely.MultiPolygon(), object)
    shapely.multipolygons(parts[flat], indices=owner[flat], out=found)
    return found


def _metres(part: GeoBox) -> Affine:
    """Pixels to metres eastwards and northwards, true at the middle of a grid."""
    ground = Ground(part)
    x, y = part.width / 2, part.height / 2
    step_x, step_y = max(x / 2, 0.5), max(y / 2, 0.5)
    pixels = [(x, y), (x - step_x, y), (x + step_x, y), (x, y - step_y), (x, y + step_y)]
    centre, west, east, up, down = ground.flatten(
        np.array([part.transform @ pixel for pixel in pixels])
    )
    ex, ey = (east - west) / (2 * step_x), (down - up) / (2 * step_y)
    c, f = centre - ex * x - ey * y
    return Affine(ex[0], ey[0], c, ex[1], ey[1], f)
