"""Many convex polygons at once: cut, measured, and laid on the map as chains of short edges.

Each is a row of `corners` (polygons, most, 2), of which the first `size` count. They run clockwise
as one looks at a raster. `edge` says of each corner what lies along the edge that begins there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats

__all__ = ["Convex", "Index", "chains", "clip", "joined"]

Index = NDArray[np.intp]


@dataclass(frozen=True)
class Convex:
    """Convex polygons.

    Args:
        corners: (polygons, most, 2) metres; what lies behind `size` is any number.
        size: Corners of each.
        edge: (polygons, most) whole numbers.
    """

    corners: Floats
    size: Index
    edge: Index

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, at: Index | NDArray[np.bool_] | slice) -> Convex:
        return Convex(self.corners[at], self.size[at], self.edge[at])

    @property
    def used(self) -> NDArray[np.bool_]:
        """(polygons, most): which corners count."""
        return np.asarray(np.arange(self.corners.shape[1]) < self.size[:, None])

    @property
    def after(self) -> Index:
        """(polygons, most): the number of the corner that follows."""
        number = np.arange(self.corners.shape[1]) + 1
        return np.where(number >= self.size[:, None], 0, number)

    @property
    def ends(self) -> Floats:
        """(polygons, most, 2): where the edges end."""
        return np.take_along_axis(self.corners, self.after[..., None], axis=1)

    @property
    def area(self) -> Floats:
        """Square metres."""
        here, there = self.corners - self.corners[:, :1], self.ends - self.corners[:, :1]
        cross = here[..., 0] * there[..., 1] - here[..., 1] * there[..., 0]
        return np.asarray(np.where(self.used, cross, 0.0).sum(axis=1) / 2.0)

    @property
    def middle(self) -> Floats:
        """Mean of the corners, (polygons, 2)."""
        total = np.where(self.used[..., None], self.corners, 0.0).sum(axis=1)
        return np.asarray(total / np.maximum(self.size, 1)[:, None])

    def extent(self, c: Floats, s: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Least and greatest along (c, s), then along (-s, c), of each."""
        along = self.corners[..., 0] * c[:, None] + self.corners[..., 1] * s[:, None]
        over = self.corners[..., 1] * c[:, None] - self.corners[..., 0] * s[:, None]
        used = self.used
        low, least = (np.where(used, a, np.inf).min(axis=1) for a in (along, over))
        top, most = (np.where(used, a, -np.inf).max(axis=1) for a in (along, over))
        return low, top, least, most


def joined(parts: list[Convex]) -> Convex:
    """All polygons of several lists."""
    most = max(part.corners.shape[1] for part in parts)

    def wide(a: NDArray[np.generic]) -> NDArray[np.generic]:
        missing = [(0, 0), (0, most - a.shape[1])] + [(0, 0)] * (a.ndim - 2)
        return np.pad(a, missing)

    values = {f.name: [getattr(part, f.name) for part in parts] for f in fields(Convex)}
    return Convex(
        np.concatenate([wide(a) for a in values["corners"]]),
        np.concatenate(values["size"]),
        np.concatenate([wide(a) for a in values["edge"]]),
    )


def clip(
    shapes: Convex, a: Floats, b: Floats, c: Floats, kind: Index | int
) -> tuple[Convex, Floats, Floats]:
    """The parts where a u + b v > c, and the edges that the lines leave.

    Args:
        shapes: Polygons.
        a: (polygons,).
        b: (polygons,).
        c: (polygons,).
        kind: What lies along the new edges.

    Returns:
        The parts, of size 0 where nothing is left, and the ends (polygons, 2) of the new edges; 0
        where the line misses.
    """
    u, v = shapes.corners[..., 0], shapes.corners[..., 1]
    used, after = shapes.used, shapes.after
    d = a[:, None] * u + b[:, None] * v - c[:, None]
    inside = d > 0
    there = np.take_along_axis(d, after, axis=1)
    crossing = (inside != (there > 0)) & used
    # From either side the same two numbers meet in the same order: neighbours share the corner.
    part = np.where(crossing, d / np.where(crossing, d - there, 1.0), 0.0)[..., None]
    met = shapes.corners + (shapes.ends - shapes.corners) * part
    count, most = u.shape
    corners = np.stack([shapes.corners, met], axis=2).reshape(count, 2 * most, 2)
    fresh = np.broadcast_to(np.asarray(kind, dtype=np.intp).reshape(-1, 1), u.shape)
    edge = np.stack([shapes.edge, np.where(inside, fresh, shapes.edge)], axis=2)
    valid = np.stack([inside & used, crossing], axis=2).reshape(count, 2 * most)
    order = np.argsort(~valid, axis=1, kind="stable")
    size = valid.sum(axis=1)
    size[size < 3] = 0
    order = order[:, : max(int(size.max(initial=3)), 3)]
    out = Convex(
        np.take_along_axis(corners, order[..., None], axis=1),
        size,
        np.take_along_axis(edge.reshape(count, 2 * most), order, axis=1),
    )
    leaves = np.where((crossing & inside)[..., None], met, 0.0).sum(axis=1)
    enters = np.where((crossing & ~inside)[..., None], met, 0.0).sum(axis=1)
    return out, leaves, enters


def chains(starts: Floats, ends: Floats, step: float) -> tuple[Floats, Index]:
    """Points along edges, from each start, no further than `step` apart; the ends are left out.

    Args:
        starts: (edges, 2) metres.
        ends: (edges, 2).
        step: Metres.

    Returns:
        (points, 2), and how many belong to each edge.
    """
    away = ends - starts
    length = np.sqrt(away[:, 0] ** 2 + away[:, 1] ** 2)
    count = np.maximum(np.ceil(length / step), 1.0).astype(np.intp)
    edge = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    part = number / count[edge]
    return starts[edge] + away[edge] * part[:, None], count
