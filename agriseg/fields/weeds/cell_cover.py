"""How much of each cell of a lattice is weed: pixels shared out by the area that lies in a cell.

A pixel that lies in one cell counts there. One that a line between two cells cuts is shared by the
exact area on either side. Where lines cross, and along the edge of the field, pixels are cut with
the cells themselves. So covers are exact for any size of cells and any turn between the two grids,
and no loop runs over cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.fields.weeds.lattice import Lattice

__all__ = ["BandPixels", "CellCover", "share_below"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Pixels that are cut with cells at once.
_CHUNK = 100_000


@dataclass(frozen=True)
class BandPixels:
    """Pixels of a band of rows of a lattice's window.

    Args:
        row: Its first row, in the window.
        valid: (h, w) where there is a class.
        weed: (h, w) where that is a weed.
        inside: (h, w) where the pixel's centre lies in the field.
        edge: (h, w) pixels that the field's outline touches.
        steps: (h, w) confidence in whole steps; None: none.
        known: (h, w) where `steps` counts.
    """

    row: int
    valid: Bools
    weed: Bools
    inside: Bools
    edge: Bools
    steps: NDArray[np.integer[Any]] | None = None
    known: Bools | None = None


@dataclass
class CellCover:
    """What is in each cell of a lattice (rows x columns,), in pixels; it grows band by band."""

    lattice: Lattice
    valid: Floats = field(init=False)
    weed: Floats = field(init=False)
    known: Floats = field(init=False)
    steps: Floats = field(init=False)

    def __post_init__(self) -> None:
        count = self.lattice.shape[0] * self.lattice.shape[1]
        for name in ("valid", "weed", "known", "steps"):
            setattr(self, name, np.zeros(count))
        self._tree = shapely.STRtree(self.lattice.pieces[0])

    def add(self, band: BandPixels) -> None:
        """Count a band of rows."""
        counts = band.valid & (band.inside | band.edge)
        if not counts.any():
            return
        rows, columns = np.nonzero(counts)
        a = self.lattice.to_cells
        x: Floats = (columns + 0.5).astype(np.float64)
        y: Floats = (rows + (band.row + 0.5)).astype(np.float64)
        u, v = a.a * x + a.b * y + a.c, a.d * x + a.e * y + a.f
        values = _Values.of(band, rows, columns)
        half_u, half_v = (abs(a.a) + abs(a.b)) / 2, (abs(a.d) + abs(a.e)) / 2
        if max(half_u, half_v) > 0.5:
            # Pixels as large as cells: more than one line may cut them.
            self._cut(np.arange(len(u)), x, y, values)
            return
        line_u, line_v = np.rint(u), np.rint(v)
        by_u, by_v = np.abs(line_u - u) < half_u, np.abs(line_v - v) < half_v
        hard = band.edge[rows, columns] | (by_u & by_v)
        row, column = np.floor(v).astype(np.int64), np.floor(u).astype(np.int64)
        whole = np.flatnonzero(~(hard | by_u | by_v))
        self._sum(self._places(row[whole], column[whole]), None, values.take(whole))
        for cut, across, line, at, sides in (
            (by_u, True, line_u, u, (a.a, a.b)),
            (by_v, False, line_v, v, (a.d, a.e)),
        ):
            mine = np.flatnonzero(cut & ~hard)
            share = share_below(line[mine] - at[mine], *sides)
            after, some = line[mine].astype(np.int64), values.take(mine)
            for cell, weight in ((after - 1, share), (after, 1 - share)):
                places = (
                    self._places(row[mine], cell) if across else self._places(cell, column[mine])
                )
                self._sum(places, weight, some)
        self._cut(np.flatnonzero(hard), x, y, values)

    def _places(self, row: Ints, column: Ints) -> Ints:
        # A hair beyond the last cell belongs to it.
        rows, columns = self.lattice.shape
        placed: Ints = np.clip(row, 0, rows - 1) * columns + np.clip(column, 0, columns - 1)
        return placed

    def _cut(self, which: Ints, x: Floats, y: Floats, values: _Values) -> None:
        """Share out pixels by cutting their outlines with the cells."""
        a, (pieces, places) = self.lattice.to_cells, self.lattice.pieces
        size = abs(a.determinant)
        for start in range(0, len(which), _CHUNK):
            mine = which[start : start + _CHUNK]
            corner = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)])
            px, py = x[mine][:, None] + corner[:, 0], y[mine][:, None] + corner[:, 1]
            u, v = a.a * px + a.b * py + a.c, a.d * px + a.e * py + a.f
            pixels = shapely.polygons(np.stack([u, v], axis=2))
            pixel, cell = self._tree.query(pixels, predicate="intersects")
            share = shapely.area(shapely.intersection(pixels[pixel], pieces[cell])) / size
            self._sum(places[cell], share, values.take(mine[pixel]))

    def _sum(self, places: Ints, weight: Floats | None, values: _Values) -> None:
        if not len(places):
            return
        low = int(places.min())
        part, end = places - low, int(places.max()) + 1

        def total(share: Floats | None, which: Bools | None = None) -> Floats:
            if which is None:
                found = np.bincount(part, share)
            else:
                found = np.bincount(part[which], None if share is None else share[which])
            whole = np.zeros(end - low)
            whole[: len(found)] = found
            return whole

        self.valid[low:end] += total(weight)
        self.weed[low:end] += total(weight, values.weed)
        if values.steps is not None:
            steps = values.steps if weight is None else values.steps * weight
            if values.known is None:
                self.known[low:end] += total(weight)
                self.steps[low:end] += total(steps)
            else:
                self.known[low:end] += total(weight, values.known)
                self.steps[low:end] += total(steps, values.known)


@dataclass(frozen=True)
class _Values:
    """What some pixels (n,) hold."""

    weed: Bools
    steps: Floats | None
    known: Bools | None

    @classmethod
    def of(cls, band: BandPixels, rows: Ints, columns: Ints) -> _Values:
        return cls(
            band.weed[rows, columns],
            None if band.steps is None else band.steps[rows, columns].astype(np.float64),
            None if band.known is None else band.known[rows, columns],
        )

    def take(self, which: Ints) -> _Values:
        return _Values(
            self.weed[which],
            None if self.steps is None else self.steps[which],
            None if self.known is None else self.known[which],
        )


def share_below(line: Floats, p: float, q: float) -> Floats:
    """Share of a pixel that lies below a line, from 0 to 1.

    Along an axis across the line, a pixel spreads like the sum of two even spreads, of its two
    sides: the share is the cumulative distribution of a trapezoid.

    Args:
        line: How far beyond the pixel's centre the line lies (n,).
        p, q: How far either side of the pixel reaches along that axis; the sign is of no account.
    """
    p, q = max(abs(p), abs(q)), min(abs(p), abs(q))
    if q < 1e-7 * p:
        return np.clip(line / p + 0.5, 0, 1)

    def square(x: Floats) -> Floats:
        return np.asarray(np.square(np.maximum(x, 0)))

    far, near = (p + q) / 2, (p - q) / 2
    total = square(line + far) - square(line + near) - square(line - near) + square(line - far)
    return np.clip(total / (2 * p * q), 0, 1)
