"""How the ground of a scene is parted: convex fields, and grassy margins between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agriseg.simulate.noise import Floats, cos_sin, uniform
from agriseg.simulate.recipe import BORDER_WIDTHS, VERGE_M, FieldRecipe
from agriseg.simulate.rows import Rect

__all__ = ["MEETS", "Corners", "Edge", "Parcel", "Track", "inside", "parcels", "part_of", "touches"]

Edge = tuple[float, float, float]
"""(a, b, c): inside is where a x + b y <= c; (a, b) is a unit vector that points out."""
Corners = list[tuple[float, float]]

# Fields that are not cut by the picture's edge go on this far beyond it.
_BEYOND_M = 10.0
# Edges are not quite square to rows, nor to the picture: at most this much, in turns.
_SKEW = 0.011
MEETS = 0.5
"""Rows meet an edge, and do not run along it, where the sine of their angle is above this."""
# Margins as wide as this are tracks: two ruts, so far apart; wider ones are roads, bare between.
_TRACK_M, _ROAD_M, _RUTS_M = 2.4, 4.0, 1.5


@dataclass(frozen=True)
class Track:
    """Wheel tracks along a margin.

    Args:
        edges: It ends where these do.
        line: Its middle: a x + b y = c.
        road: It is bare between the ruts too.
    """

    edges: tuple[Edge, ...]
    line: Edge
    road: bool

    def rut_distance(self, x: Floats, y: Floats) -> Floats:
        """Metres from the middle of the nearest rut, or the bare road; infinite beyond its ends."""
        a, b, c = self.line
        aside = np.abs(a * x + b * y - c) - 0.5 * _RUTS_M
        aside = np.maximum(aside, 0.0) if self.road else np.abs(aside)
        return np.where(inside(self.edges, x, y), aside, np.inf)


@dataclass(frozen=True)
class Parcel:
    """The ground of a field: inside all of `edges`.

    Args:
        edges: Its edges, those with a neighbour last; none for a field without end.
        inner: How many of them part it from a neighbour.
    """

    edges: tuple[Edge, ...]
    inner: int = 0


def inside(
    edges: tuple[Edge, ...], x: Floats, y: Floats
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which points lie inside all of `edges`."""
    found = np.ones(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
    for a, b, c in edges:
        found &= a * x + b * y <= c
    return found


def touches(edges: tuple[Edge, ...], rect: Rect) -> tuple[bool, bool]:
    """Whether a part of `rect` can lie inside all of `edges`, and whether all of it does."""
    least = [min(a * x + b * y for x, y in rect.corners) - c for a, b, c in edges]
    most = [max(a * x + b * y for x, y in rect.corners) - c for a, b, c in edges]
    return all(d <= 0 for d in least), all(d <= 0 for d in most)


def part_of(corners: Corners, edges: tuple[Edge, ...]) -> Corners:
    """The corners of a convex polygon cut along `edges`; none where nothing is left."""
    for a, b, c in edges:
        kept: Corners = []
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            d0, d1 = a * x0 + b * y0 - c, a * x1 + b * y1 - c
            if d0 <= 0:
                kept.append((x0, y0))
            if (d0 < 0 < d1) or (d1 < 0 < d0):
                share = d0 / (d0 - d1)
                kept.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
        corners = kept
        if len(corners) < 3:
            return []
    return corners


def parcels(recipe: FieldRecipe) -> tuple[list[Parcel], list[Track]]:
    """The fields of a scene, and the tracks between them.

    The picture is cut in two, then its largest part, and so on: first across the rows, so that
    their ends are seen, then across the longer side of a part. The first field keeps the recipe's
    rows.
    """
    if recipe.fields == 1 and recipe.headland_m == 0:
        return [Parcel(())], []
    picture = Rect(0.0, 0.0, *recipe.size_m).corners
    cuts: list[tuple[Edge, ...]] = [()]
    tracks: list[Track] = []
    for number in range(recipe.fields - 1):
        areas = [_area(part_of(picture, edges)) for edges in cuts]
        k = areas.index(max(areas))
        a, b, c = _cut(recipe, number, part_of(picture, cuts[k]))
        half = 0.5 * recipe.margin_m
        if recipe.margin_m >= _TRACK_M:
            tracks.append(Track(cuts[k], (a, b, c), recipe.margin_m >= _ROAD_M))
        cuts[k : k + 1] = [(*cuts[k], (a, b, c - half)), (*cuts[k], (-a, -b, -c - half))]
    outer = tuple(_outer_edges(recipe))
    return [Parcel((*outer, *edges), len(edges)) for edges in cuts], tracks


def _cut(recipe: FieldRecipe, number: int, corners: Corners) -> Edge:
    """The line along which a part of the picture is cut in two."""
    chance = [float(uniform(recipe.seed, f"parcel.{what}", number)[0]) for what in ("turn", "at")]
    along = recipe.row_direction_deg / 360.0 + _SKEW * (2.0 * chance[0] - 1.0)
    wide = []
    for turn in (along, along + 0.25):
        a, b = (float(value) for value in cos_sin(turn))
        across = [a * x + b * y for x, y in corners]
        wide.append((max(across) - min(across), a, b, min(across)))
    extent, a, b, low = wide[0] if number == 0 or wide[0][0] >= wide[1][0] else wide[1]
    return a, b, low + extent * (0.42 + 0.16 * chance[1])


def _outer_edges(recipe: FieldRecipe) -> list[Edge]:
    """Where the fields end to the outside: a single one, where rows meet it, inside the picture."""
    width, height = recipe.size_m
    c, s = (float(value) for value in cos_sin(recipe.row_direction_deg / 360.0))
    edges = []
    for k, (nx, ny) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        x, y = width * (nx + 1) / 2, height * (ny + 1) / 2
        if recipe.fields > 1 or abs(nx * c + ny * s) <= MEETS:
            far = _BEYOND_M + recipe.headland_m
            edges.append((float(nx), float(ny), x * nx + y * ny + far))
            continue
        skew = _SKEW * (2.0 * float(uniform(recipe.seed, "parcel.skew", k)[0]) - 1.0)
        a, b = (float(value) for value in cos_sin(k / 4 + skew))
        side = height if ny == 0 else width
        inset = VERGE_M + BORDER_WIDTHS * recipe.border_m
        inset += 0.5 * side * abs(a * ny - b * nx)
        edges.append((a, b, a * x + b * y - inset))
    return edges


def _area(corners: Corners) -> float:
    pairs = zip(corners, corners[1:] + corners[:1], strict=True)
    return 0.5 * abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs))
