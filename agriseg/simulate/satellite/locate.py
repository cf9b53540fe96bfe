"""Which parcel, or which line between parcels, is at a place: for many places at once.

The trees of all blocks around a window are laid into flat arrays, and all places walk down them
together, one cut a step. All comparisons are float64 on coordinates of the frame, so that a place
falls to the same parcel in every window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats
from agriseg.simulate.satellite.landuse import LINES, MATERIALS
from agriseg.simulate.satellite.lattice import across_lines, block_size, strip_lines
from agriseg.simulate.satellite.parcels import Leaf, block_at
from agriseg.simulate.satellite.recipe import SatelliteRecipe

__all__ = ["FIRST_PARCEL", "Map", "map_around"]

Index = NDArray[np.intp]

FIRST_PARCEL: Final = len(MATERIALS)
"""Entries below are `MATERIALS`, those from here on the parcels of a `Map`."""

# Steps that all places take.
_ALL_WALK: Final = 4

_NAMES: Final = list(MATERIALS)
_CORE_M: Final = np.array([line.core_m for line in LINES.values()])
_HALF_M: Final = np.array([line.half_m for line in LINES.values()])
_CORE: Final = np.array([_NAMES.index(line.core) for line in LINES.values()], dtype=np.intp)
_SIDE: Final = np.array([_NAMES.index(line.side) for line in LINES.values()], dtype=np.intp)
_KINDS: Final = {name: k for k, name in enumerate(LINES)}


@dataclass(frozen=True)
class Map:
    """The parcels around a window.

    Args:
        recipe: The scene.
        leaves: The parcels; entry `FIRST_PARCEL` + k is leaf k.
        first: Numbers of the first strip, and of the first lane across each strip.
        lanes: v of the lanes, (strips + 1,).
        lane_kinds: Their kinds, numbers in `LINES`.
        across: u of the lanes across each strip, (strips, lanes).
        across_kinds: Their kinds.
        roots: Node of each block, (strips, lanes - 1).
        lines: a, b, c and half width of each cut, (cuts, 4); then one of width 0 a leaf.
        kinds: Their kinds, (nodes,).
        below: Nodes on both sides of a cut, (nodes, 2); a leaf leads to itself.
        depth: Steps from a root to the deepest leaf.
    """

    recipe: SatelliteRecipe
    leaves: list[Leaf]
    first: tuple[int, int]
    lanes: Floats
    lane_kinds: Index
    across: Floats
    across_kinds: Index
    roots: Index
    lines: tuple[Floats, Floats, Floats, Floats]
    kinds: Index
    below: Index
    depth: int

    def entries(self, u: Floats, v: Floats) -> tuple[Index, Floats]:
        """What is at places.

        Args:
            u: (places,).
            v: (places,).

        Returns:
            The entry of each, and how far the nearest edge of a parcel or a line is, metres of
            the frame: all places nearer than this are of the same entry or of the same line.
        """
        places = u, v
        long, high = block_size(self.recipe)
        strip = np.floor(v / high).astype(np.intp) - self.first[0]
        strip += (v >= self.lanes.take(strip + 1)).astype(np.intp)
        strip -= (v < self.lanes.take(strip)).astype(np.intp)
        lanes = self.across.shape[1]
        # Lanes across lie somewhere in their step of the lattice: try the three that can be next.
        number = np.floor(u / long).astype(np.intp) - self.first[1] - 1
        at = strip * lanes + number
        flat = self.across.ravel()
        at += (u >= flat.take(at + 1)).astype(np.intp) + (u >= flat.take(at + 2))
        at -= u < flat.take(at)
        line: Index = np.full(u.shape, -1, dtype=np.intp)
        slack = np.full(u.shape, np.inf)
        _pass(line, slack, v - self.lanes.take(strip), self.lane_kinds.take(strip))
        _pass(line, slack, self.lanes.take(strip + 1) - v, self.lane_kinds.take(strip + 1))
        kinds = self.across_kinds.ravel()
        _pass(line, slack, u - flat.take(at), kinds.take(at))
        _pass(line, slack, flat.take(at + 1) - u, kinds.take(at + 1))
        node = self.roots.ravel().take(at - strip)
        # Most places are at a leaf after a few cuts: only the others go on.
        walking, cuts = np.arange(len(u)), len(self.kinds) - len(self.leaves)
        for step in range(self.depth):
            if step >= _ALL_WALK:
                walking = walking[node.take(walking) < cuts]
                u, v = places[0].take(walking), places[1].take(walking)
            self._step(walking, u, v, node, line, slack)
        entry = node + (FIRST_PARCEL - cuts)
        on_line = np.flatnonzero(line >= 0)
        entry[on_line] = line[on_line]
        return entry, slack

    def _step(
        self, walking: Index, u: Floats, v: Floats, node: Index, line: Index, slack: Floats
    ) -> None:
        """Take the places `walking`, which lie at u and v, past one cut."""
        a, b, c, half = self.lines
        here = node.take(walking)
        off = a.take(here) * u
        off += b.take(here) * v
        off -= c.take(here)
        beyond = off > 0
        np.abs(off, out=off)
        off -= half.take(here)
        hit = np.flatnonzero(off < 0)
        if hit.size:
            places = walking[hit]
            fresh = line[places] < 0
            hit, places = hit[fresh], places[fresh]
            kind = self.kinds[here[hit]]
            # Lines of earlier cuts run through.
            core = off[hit] + _HALF_M[kind] < _CORE_M[kind]
            line[places] = np.where(core, _CORE[kind], _SIDE[kind])
            np.abs(off, out=off)
        here *= 2
        here += beyond
        if len(walking) == len(node):
            np.minimum(slack, off, out=slack)
            node[:] = self.below.take(here)
        else:
            slack[walking] = np.minimum(slack.take(walking), off)
            node[walking] = self.below.take(here)


def _pass(line: Index, slack: Floats, distance: Floats, kind: Index) -> None:
    """Note the lines of lanes at a distance of places."""
    half = _HALF_M.take(kind)
    off = distance - half
    hit = np.flatnonzero((off < 0) & (line < 0))
    core = distance[hit] < _CORE_M[kind[hit]]
    line[hit] = np.where(core, _CORE[kind[hit]], _SIDE[kind[hit]])
    np.minimum(slack, np.abs(off), out=slack)


def map_around(recipe: SatelliteRecipe, u: Floats, v: Floats) -> Map:
    """The map of all places between the least and the greatest `u` and `v`."""
    long, high = block_size(recipe)
    strip0 = int(np.floor(v.min() / high)) - 1
    strips = int(np.floor(v.max() / high)) + 2 - strip0
    lane0 = int(np.floor(u.min() / long)) - 3
    numbers = int(np.floor(u.max() / long)) + 3 - lane0
    lanes, lane_kinds = strip_lines(recipe, strip0, strips + 1)
    rows = [across_lines(recipe, strip0 + k, lane0, numbers + 1) for k in range(strips)]
    across = np.array([row[0] for row in rows])
    needed = (across[:, 1:] >= u.min()) & (across[:, :-1] <= u.max())
    needed &= (lanes[1:] >= v.min())[:, None] & (lanes[:-1] <= v.max())[:, None]
    blocks = {
        (k, m): block_at(recipe, strip0 + k, lane0 + m)
        for k, m in zip(*(i.tolist() for i in np.nonzero(needed)), strict=True)
    }
    cuts = [cut for block in blocks.values() for cut in block.cuts]
    leaves = [leaf for block in blocks.values() for leaf in block.leaves]
    roots: Index = np.full(needed.shape, len(cuts), dtype=np.intp)
    below = np.repeat(np.arange(len(cuts) + len(leaves), dtype=np.intp), 2).reshape(-1, 2)
    cut0 = leaf0 = 0
    for place, block in blocks.items():
        nodes = np.array(block.below or [(0, 0)], dtype=np.intp)[: len(block.cuts)]
        moved = np.where(nodes >= 0, nodes + cut0, len(cuts) + leaf0 - 1 - nodes)
        below[cut0 : cut0 + len(block.cuts)] = moved
        root = block.root
        roots[place] = root + cut0 if root >= 0 else len(cuts) + leaf0 - 1 - root
        cut0, leaf0 = cut0 + len(block.cuts), leaf0 + len(block.leaves)
    # A leaf is a line infinitely far away: its width is minus infinity.
    none = [0.0] * len(leaves)
    lines = (
        np.array([cut.a for cut in cuts] + none),
        np.array([cut.b for cut in cuts] + none),
        np.array([cut.c for cut in cuts] + none),
        np.array([LINES[cut.kind].half_m for cut in cuts] + [-np.inf] * len(leaves)),
    )
    return Map(
        recipe,
        leaves,
        (strip0, lane0),
        lanes,
        np.array([_KINDS[kind] for kind in lane_kinds], dtype=np.intp),
        across,
        np.array([[_KINDS[kind] for kind in row[1]] for row in rows], dtype=np.intp),
        roots,
        lines,
        np.array([_KINDS[cut.kind] for cut in cuts] + [0] * len(leaves), dtype=np.intp),
        below,
        max((len(leaf.path) for leaf in leaves), default=0),
    )
