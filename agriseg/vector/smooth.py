"""Straightening borders within half a pixel, so that every pixel keeps to its own polygon.

Borders that follow pixel edges are stairs. Here each arc becomes a line whose vertices lie on the
arc, at corners or at midpoints of pixel edges, and which passes every corner of the arc at less
than half a pixel. Distance is the larger of that across and that down, as for digital straight
lines (Rosenfeld 1974), so that a straight border of any slope can become one line. Then

- no pixel centre changes sides: burning the polygons gives the class raster back, pixel by pixel;
- no two lines cross or touch, but where arcs meet, and no polygon vanishes. For a point of a line
  lies nearer than half a pixel to its own arc; at a point of two lines two arcs would pass each
  other at less than one pixel, and these share a corner then: a meeting point, where both lines
  begin. A line that begins there leaves within 45 degrees of its first pixel edge, or from the
  middle of that edge, in either case on its own side.

So neither has to be searched for, each arc is straightened by itself, and arcs of different chunks
in different threads.

A single step of a stair (a pixel edge of length one whose ends turn opposite ways) is taken at its
middle, which makes the stairs of a slanting border one straight line. Then Douglas and Peucker's
method (in GEOS) leaves out what deviates little.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.threads import in_threads
from agriseg.vector.network import Network
from agriseg.vector.pile import Pile
from agriseg.vector.ragged import Ints, chunks, offsets_of
from agriseg.vector.strip import OUTSIDE, Arcs

__all__ = ["HALF_PIXEL", "Lines", "exact", "smooth"]

HALF_PIXEL = 0.5
"""No line moves as far as this, in pixels, across or down."""

# Half pixels in all that follows: whole numbers for corners and midpoints.
_UNIT = 2
_FLAT = 0.2
_CHUNK = 1 << 20
_STRICTLY = 1 - 1e-6
_TRIES = 8

_Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Lines:
    """What arcs become: vertices in half pixels, one line after the other.

    Args:
        xy: (m, 2) vertices, in half pixels from the raster's upper left corner.
        offsets: (n + 1,) where each line begins.
    """

    xy: NDArray[np.int32]
    offsets: Ints

    def part(self, which: slice) -> Lines:
        """Some lines that follow each other."""
        offsets = self.offsets[which.start : which.stop + 1]
        return Lines(self.xy[offsets[0] : offsets[-1]], offsets - offsets[0])


def exact(arcs: Arcs) -> Lines:
    """Lines along the pixel edges themselves."""
    return Lines(arcs.xy * np.int32(_UNIT), arcs.offsets)


def smooth(network: Network, limit: float = HALF_PIXEL, scratch: Path | None = None) -> Lines:
    """Straighten the arcs of a dissolved network; those against nodata stay on their pixel edges.

    Args:
        network: As `dissolve` leaves it.
        limit: No corner is passed at this distance or more; in pixels, at most `HALF_PIXEL`.
        scratch: A folder for what does not fit into memory.
    """
    arcs, is_ring = network.arcs, network.rings
    is_fixed = (arcs.left == OUTSIDE) | (arcs.right == OUTSIDE)
    limit = min(limit, HALF_PIXEL)
    pile, counts = Pile(scratch), [np.zeros(0, np.int64)]

    def work(part: slice) -> tuple[NDArray[np.int32], Ints]:
        return _smooth_chunk(arcs, is_ring[part], is_fixed[part], limit, part)

    for _, (xy, lengths) in in_threads(work, chunks(arcs.offsets, _CHUNK)):
        pile.add(xy)
        counts.append(lengths)
    return Lines(pile.done(), offsets_of(np.concatenate(counts)))


def _smooth_chunk(
    arcs: Arcs, is_ring: _Bools, is_fixed: _Bools, limit: float, part: slice
) -> tuple[NDArray[np.int32], Ints]:
    path = _Path.of(arcs, is_ring, is_fixed, part)
    is_step = path.steps()
    for tries in count():
        knots = path.knots(is_step)
        bad = path.deviation(knots) >= _UNIT * limit * _STRICTLY
        if not bad.any():
            break
        # Only for limits under half a pixel: these steps stay.
        if tries < _TRIES:
            is_step[:-1] &= ~(bad[:-1] | bad[1:])
        else:
            # A long diagonal would unravel step by step: it stays as a whole.
            unravels = np.zeros(len(is_ring), bool)
            unravels[path.arc[bad]] = True
            is_step &= ~unravels[path.arc]
    flat = path.flattened(knots, limit)
    return path.opened(flat, limit)


@dataclass(frozen=True)
class _Knots:
    """Points of a path that a line may use.

    Args:
        xy: (k, 2) in half pixels.
        arc: (k,) the arc of each.
        before: (m,) for each corner of the path the last knot at or before it.
    """

    xy: NDArray[np.int64]
    arc: Ints
    before: Ints

    def only(self, kept: _Bools) -> _Knots:
        """Without the knots that are not kept; the first and last of an arc must be."""
        return _Knots(self.xy[kept], self.arc[kept], (np.cumsum(kept) - 1)[self.before])


@dataclass(frozen=True)
class _Path:
    """Arcs of one chunk as corners in half pixels; closed ones begin amid their first pixel run.

    Args:
        xy: (m, 2) corners.
        arc: (m,) the arc of each corner.
        ends: (m,) whether an arc begins or ends here.
        is_closed: (n,) whether an arc is a ring that meets no other arc.
        is_fixed: (n,) whether it stays as it is.
    """

    xy: NDArray[np.int64]
    arc: Ints
    ends: _Bools
    is_closed: _Bools
    is_fixed: _Bools

    @classmethod
    def of(cls, arcs: Arcs, is_ring: _Bools, is_fixed: _Bools, part: slice) -> _Path:
        offsets = arcs.offsets[part.start : part.stop + 1]
        xy = arcs.xy[offsets[0] : offsets[-1]].astype(np.int64) * _UNIT
        offsets = offsets - offsets[0]
        counts = np.diff(offsets)
        is_closed = is_ring & ~is_fixed
        first, last = offsets[:-1], offsets[1:] - 1
        # A ring may begin anywhere: not at a corner, which could then not be left out.
        middle = (xy[first[is_closed]] + xy[first[is_closed] + 1]) // 2
        closing = xy[first[is_closed]]
        xy[first[is_closed]] = middle
        added = last[is_closed]
        xy[added] = closing
        xy = np.insert(xy, added + 1, middle, axis=0)
        counts = counts + is_closed
        arc = np.repeat(np.arange(len(counts)), counts)
        offsets = offsets_of(counts)
        ends = np.zeros(len(xy), bool)
        ends[offsets[:-1]] = ends[offsets[1:] - 1] = True
        return cls(xy, arc, ends, is_closed, is_fixed)

    @property
    def _runs(self) -> NDArray[np.int64]:
        """(m, 2) from each corner to the next; nought behind the last one of an arc."""
        runs = np.zeros_like(self.xy)
        runs[:-1] = np.diff(self.xy, axis=0)
        runs[:-1][self.arc[1:] != self.arc[:-1]] = 0
        return runs

    @property
    def _turns(self) -> NDArray[np.int64]:
        """(m,) 1 and -1 for turns to either side, 0 at ends."""
        runs = np.sign(self._runs)
        turns = np.zeros(len(runs), np.int64)
        turns[1:] = runs[:-1, 0] * runs[1:, 1] - runs[:-1, 1] * runs[1:, 0]
        turns[self.ends] = 0
        return turns

    def steps(self) -> _Bools:
        """(m,) whether the run from a corner to the next is a single step of a stair."""
        turns = self._turns
        is_step: _Bools = np.abs(self._runs).sum(axis=1) == _UNIT
        is_step[:-1] &= turns[:-1] * turns[1:] < 0
        is_step &= ~self.is_fixed[self.arc]
        return is_step

    def knots(self, is_step: _Bools) -> _Knots:
        """Corners that are no end of a step, middles of steps, and where plateaus begin and end."""
        turns, runs = self._turns, self._runs
        is_cut = is_step.copy()
        is_cut[1:] |= is_step[:-1]
        length = np.abs(runs).sum(axis=1)
        follows = np.zeros(len(turns), np.int64)
        follows[:-1] = turns[1:]
        # A plateau: both ends turn the same way. Its cut ends are chamfered by half a pixel.
        begins_ring = self.ends & self.is_closed[self.arc]
        ends_ring = np.zeros(len(turns), bool)
        ends_ring[:-1] = begins_ring[1:]
        is_plateau = (turns * follows > 0) | begins_ring | ends_ring
        next_cut = np.zeros(len(turns), bool)
        next_cut[:-1] = is_cut[1:]
        has = np.zeros((len(turns), 3), bool)
        has[:, 0] = ~is_cut
        has[:, 1] = is_step | (is_plateau & is_cut & (length > 1))
        has[:, 2] = is_plateau & next_cut & ~is_step & (length > 1 + is_cut)
        unit = np.sign(runs)
        xy = np.empty((len(turns), 3, 2), np.int64)
        xy[:, 0] = self.xy
        xy[:, 1] = self.xy + unit
        xy[:, 2] = self.xy + runs - unit
        count = np.cumsum(has.ravel()).reshape(has.shape)
        return _Knots(xy[has], np.repeat(self.arc, has.sum(axis=1)), count[:, 0] - 1)

    def deviation(self, knots: _Knots) -> NDArray[np.float64]:
        """(m,) distance of each corner from its piece of the line, in half pixels."""
        here = knots.before
        there = np.minimum(here + 1, len(knots.xy) - 1)
        there = np.where(knots.arc[there] == knots.arc[here], there, here)
        return _distance(self.xy, knots.xy[here], knots.xy[there])

    def flattened(self, knots: _Knots, limit: float) -> _Knots:
        """Leave out knots that deviate little.

        Where a corner is then passed too far off, the farthest knot of that piece comes back, until
        none is.
        """
        coords = np.empty((len(knots.xy), 3))
        coords[:, :2], coords[:, 2] = knots.xy, np.arange(len(knots.xy))
        lines = shapely.linestrings(coords, indices=knots.arc)
        lines = shapely.simplify(lines, _UNIT * _FLAT * limit / HALF_PIXEL, preserve_topology=False)
        kept = np.zeros(len(knots.xy), bool)
        kept[shapely.get_coordinates(lines, include_z=True)[:, 2].astype(np.int64)] = True
        kept[self.is_fixed[knots.arc]] = True
        flat = knots.only(kept)
        bad = self.deviation(flat) >= _UNIT * limit * _STRICTLY
        corners, out = np.arange(len(self.xy)), np.flatnonzero(~kept)
        while bad.any():
            at, piece = np.flatnonzero(kept), np.cumsum(kept) - 1
            mine = piece[knots.before[corners]]
            is_bad = np.zeros(len(at), bool)
            is_bad[mine[bad]] = True
            # Only pieces with such a corner change: there are ever fewer to look at.
            corners = corners[is_bad[mine]]
            out = out[is_bad[piece[out]]]
            owner = piece[out]
            off = _distance(knots.xy[out], knots.xy[at[owner]], knots.xy[at[owner + 1]])
            farthest = np.lexsort((-off, owner))
            kept[out[farthest[np.diff(owner, prepend=-1) > 0]]] = True
            at, piece = np.flatnonzero(kept), np.cumsum(kept) - 1
            here = piece[knots.before[corners]]
            off = _distance(self.xy[corners], knots.xy[at[here]], knots.xy[at[here + 1]])
            bad = off >= _UNIT * limit * _STRICTLY
            out = out[~kept[out]]
        return knots.only(kept)

    def opened(self, knots: _Knots, limit: float) -> tuple[NDArray[np.int32], Ints]:
        """Leave out the point at which a ring was made to begin, where it can be; the lines."""
        counts = np.bincount(knots.arc, minlength=len(self.is_closed))
        xy, offsets = knots.xy, offsets_of(counts)
        rings = np.flatnonzero(self.is_closed & (counts > 4))
        if not len(rings):
            return xy.astype(np.int32), counts
        first, last = offsets[rings], offsets[rings + 1] - 1
        start, along = xy[last - 1], xy[first + 1] - xy[last - 1]
        # What lies between: the corners of the first and of the last piece, and the point itself.
        ring_of = np.full(len(counts), -1)
        ring_of[rings] = np.arange(len(rings))
        mine = ring_of[self.arc]
        near = (mine >= 0) & ((knots.before == first[mine]) | (knots.before >= last[mine] - 1))
        owner = mine[near]
        far = np.zeros(len(rings))
        off = _distance(self.xy[near], start[owner], start[owner] + along[owner])
        np.maximum.at(far, owner, off)
        drop = far < _UNIT * limit * _STRICTLY
        at = xy[first] - start
        off = at[:, 0] * along[:, 1] - at[:, 1] * along[:, 0]
        drop &= off**2 <= (_UNIT * _FLAT) ** 2 * (along * along).sum(axis=1)
        xy = xy.copy()
        xy[last[drop]] = xy[first[drop] + 1]
        kept = np.ones(len(xy), bool)
        kept[first[drop]] = False
        counts = counts.copy()
        counts[rings[drop]] -= 1
        return xy[kept].astype(np.int32), counts


def _distance(
    points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Distance, across or down, of points (n, 2) from the pieces from `start` to `end`."""
    along, to = end - start, points - start
    # The nearest point lies on the diagonal that crosses the piece.
    side = np.where(along[:, 0] * along[:, 1] < 0, -1, 1)
    span = along[:, 0] + side * along[:, 1]
    share = np.clip((to[:, 0] + side * to[:, 1]) / np.where(span == 0, 1, span), 0, 1)
    distance: NDArray[np.float64] = np.abs(to - share[:, None] * along).max(axis=1)
    return distance
