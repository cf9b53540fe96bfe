"""What changed between two runs, pixel by pixel on their common grid, and summed up by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from agriseg.farm.transitions import Transitions
from agriseg.fields.dates.class_grid import ClassGridReader, ClassShares
from agriseg.fields.dates.overlay import GridReader
from agriseg.geobox import GeoBox, Window
from agriseg.indices import Index, compute
from agriseg.legend import NODATA, Legend
from agriseg.raster.floats import FloatWriter
from agriseg.raster.scene import Pixels, Scene

__all__ = ["Outputs", "Side", "Sums", "grid_moved", "sum_changes"]

_BLOCK = 512
# Pixels of the finer of the two rasters that one tile of the common grid may take.
_TILE_PIXELS = 4_000_000


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Args:
        classes: Its class raster.
        legend: Its classes.
        gsd_m: Side of its pixels in metres.
        scene: What it was made from; None where that is not there.
        indices: The indices to compare, of this scene.
        moved_px: Columns and rows of the common grid by which it is read further along.
    """

    classes: Path
    legend: Legend
    gsd_m: float
    scene: Scene | None = None
    indices: tuple[Index, ...] = ()
    moved_px: tuple[float, float] = (0.0, 0.0)


@dataclass
class Sums:
    """Sums over the pixels of each of n fields in which both runs have a class.

    Args:
        pixels: (n,) how many.
        cover_a: (n, classes of the first) sums of their shares.
        cover_b: (n, classes of the second).
        moves: (n, codes) pixels of each transition; no codes where the legends differ.
        known: (n, indices) pixels in which both have a value of the index.
        index_a: (n, indices) sums of the first's values there.
        index_b: (n, indices) sums of the second's.
    """

    pixels: NDArray[np.int64]
    cover_a: NDArray[np.float64]
    cover_b: NDArray[np.float64]
    moves: NDArray[np.int64]
    known: NDArray[np.int64]
    index_a: NDArray[np.float64]
    index_b: NDArray[np.float64]

    @classmethod
    def empty(cls, fields: int, a: Side, b: Side, codes: int) -> Sums:
        """Nothing summed up yet."""
        indices = len(a.indices)
        return cls(
            np.zeros(fields, np.int64),
            np.zeros((fields, len(a.legend))),
            np.zeros((fields, len(b.legend))),
            np.zeros((fields, codes), np.int64),
            np.zeros((fields, indices), np.int64),
            np.zeros((fields, indices)),
            np.zeros((fields, indices)),
        )


@dataclass(frozen=True)
class _Tile:
    """What both runs hold in a window of the common grid."""

    a: ClassShares
    b: ClassShares
    values_a: NDArray[np.float32]
    values_b: NDArray[np.float32]
    codes: NDArray[np.uint8] | None

    @property
    def both(self) -> NDArray[np.bool_]:
        return self.a.valid & self.b.valid


@dataclass
class Outputs:
    """Where maps of the change go, as far as there are any."""

    transitions: Any = None
    indices: FloatWriter | None = None


def sum_changes(
    grid: GeoBox,
    sides: tuple[Side, Side],
    fields: NDArray[np.object_],
    transitions: Transitions | None,
    outputs: Outputs,
    on_share: Callable[[float], None] | None = None,
) -> Sums:
    """Go over the common grid tile by tile; write what changed, and sum it up by field.

    Memory does not grow with the rasters: a tile takes at most about 4 million pixels of either,
    beside the blocks that GDAL keeps.

    Args:
        grid: The common grid.
        sides: The two runs.
        fields: (n,) polygons in the CRS of the grid, which may overlap. A pixel is in those in
            which its centre lies.
        transitions: Of the classes; None where the legends differ.
        outputs: Open files.
        on_share: Is told which share of the pixels is done.
    """
    a, b = sides
    codes = 0 if transitions is None else len(transitions.legend)
    sums = Sums.empty(len(fields), a, b, codes)
    tree = shapely.STRtree(fields)
    done = 0
    with _Pair(grid, a, b, transitions) as pair:
        for window in _tiles(grid, min(a.gsd_m, b.gsd_m)):
            tile = pair.read(window)
            _write(tile, window, outputs)
            box = grid.crop(window)
            near = tree.query(shapely.Polygon(box.corners), predicate="intersects")
            for index in np.sort(near):
                _add(sums, int(index), tile, box, fields[index])
            done += window.width * window.height
            if on_share is not None:
                on_share(done / (grid.width * grid.height))
    return sums


class _Pair:
    """Reads both runs on the common grid."""

    def __init__(self, grid: GeoBox, a: Side, b: Side, transitions: Transitions | None) -> None:
        self._a, self._b, self._transitions = a, b, transitions
        self._grids = [grid_moved(grid, side.moved_px) for side in (a, b)]
        self._stack = ExitStack()

    def __enter__(self) -> _Pair:
        open_ = self._stack.enter_context
        try:
            self._classes = [
                open_(ClassGridReader(str(side.classes), grid, len(side.legend)))
                for side, grid in zip((self._a, self._b), self._grids, strict=True)
            ]
            self._scenes = []
            for side, grid in zip((self._a, self._b), self._grids, strict=True):
                # Each index with a reader of its own: a hole in blue is none in NDVI.
                assert side.scene is not None or not side.indices
                self._scenes.append(
                    [
                        open_(GridReader(side.scene, grid, index.keys))
                        for index in side.indices
                        if side.scene is not None
                    ]
                )
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *fault: object) -> None:
        self._stack.close()

    def read(self, window: Window) -> _Tile:
        a, b = (reader.read(window) for reader in self._classes)
        both = a.valid & b.valid
        found = []
        for side, readers in zip((self._a, self._b), self._scenes, strict=True):
            planes = np.full((len(side.indices), *window.shape), np.nan, np.float32)
            for plane, index, reader in zip(planes, side.indices, readers, strict=True):
                pixels = reader.read(window)
                seen = Pixels(pixels.data, pixels.valid & both)
                plane[:] = compute(index, seen, index.keys).data
            found.append(planes)
        codes = None
        if self._transitions is not None:
            after = np.array(self._transitions.after)
            pairs = a.most * len(self._transitions.names) + after[b.most]
            codes = np.where(both, pairs, NODATA).astype(np.uint8)
        return _Tile(a, b, found[0], found[1], codes)


def grid_moved(grid: GeoBox, pixels: tuple[float, float]) -> GeoBox:
    """The grid moved by (columns, rows), fractions too."""
    if pixels == (0.0, 0.0):
        return grid
    transform = grid.transform @ Affine.translation(*pixels)
    return GeoBox(grid.crs, transform, grid.width, grid.height)


def _tiles(grid: GeoBox, finest_m: float) -> Iterator[Window]:
    ratio = max((grid.mean_gsd_m or finest_m) / finest_m, 1.0)
    side = max(min(_BLOCK, int(_TILE_PIXELS**0.5 / ratio)), 1)
    for row in range(0, grid.height, side):
        for col in range(0, grid.width, side):
            yield Window(col, row, min(side, grid.width - col), min(side, grid.height - row))


def _write(tile: _Tile, window: Window, outputs: Outputs) -> None:
    if outputs.transitions is not None and tile.codes is not None:
        place = ((window.row_off, window.row_end), (window.col_off, window.col_end))
        outputs.transitions.write(tile.codes, 1, window=place)
    if outputs.indices is not None:
        outputs.indices.write(tile.values_b - tile.values_a, window)


def _add(sums: Sums, index: int, tile: _Tile, box: GeoBox, shape: Any) -> None:
    """Add a field's pixels of a tile."""
    from rasterio.features import geometry_mask

    part = box.covering([*map(tuple, shapely.get_coordinates(shapely.envelope(shape)))])
    if part is None:
        return
    inside = geometry_mask(
        [shape], out_shape=part.shape, transform=box.crop(part).transform, invert=True
    )
    rows, cols = part.slices
    mine = inside & tile.both[rows, cols]
    count = int(mine.sum())
    if not count:
        return
    sums.pixels[index] += count
    sums.cover_a[index] += tile.a.shares[:, rows, cols][:, mine].sum(axis=1, dtype=np.float64)
    sums.cover_b[index] += tile.b.shares[:, rows, cols][:, mine].sum(axis=1, dtype=np.float64)
    if tile.codes is not None:
        codes = tile.codes[rows, cols][mine]
        sums.moves[index] += np.bincount(codes, minlength=sums.moves.shape[1])
    a, b = tile.values_a[:, rows, cols][:, mine], tile.values_b[:, rows, cols][:, mine]
    known = ~(np.isnan(a) | np.isnan(b))
    sums.known[index] += known.sum(axis=1)
    sums.index_a[index] += np.where(known, a, 0).sum(axis=1, dtype=np.float64)
    sums.index_b[index] += np.where(known, b, 0).sum(axis=1, dtype=np.float64)
