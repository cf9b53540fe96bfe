"""A class map on another grid: the share of each class in every pixel there."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.errors import InputError
from agriseg.fields.dates.overlay import outline, reproject_points
from agriseg.geobox import GeoBox, Window
from agriseg.raster.source import RasterFile

__all__ = ["ClassGridReader", "ClassShares"]

# From so many pixels of the map along a side of a new one on, they are counted; below, the one
# under the centre stands for it.
_COUNTED = 1.5
_MARGIN = 2


@dataclass(frozen=True)
class ClassShares:
    """Classes on a grid.

    Args:
        shares: (classes, h, w) float32, adding up to 1 where valid, 0 elsewhere.
        valid: (h, w) True where at least half of the pixel has a class.
    """

    shares: NDArray[np.float32]
    valid: NDArray[np.bool_]

    @property
    def most(self) -> NDArray[np.intp]:
        """(h, w) the class with the largest share, the first of several; where valid."""
        found: NDArray[np.intp] = self.shares.argmax(axis=0)
        return found


class ClassGridReader:
    """Reads a class raster on another grid. Use it in a `with` block, in one thread.

    Where the map is finer, the pixels of it whose centres lie in a new one are counted, so that
    covers stay what they are; else the class under the new pixel's centre is taken.

    Args:
        path: Band 1 holds classes 0 to `classes` - 1; all other values are none.
        target: The grid on which they are wanted; in any CRS, turned or not.
        classes: How many classes there are.

    Raises:
        InputError: It cannot be opened.
    """

    def __init__(self, path: str, target: GeoBox, classes: int) -> None:
        self._target, self._classes = target, classes
        self._file = RasterFile(path)

    def __enter__(self) -> ClassGridReader:
        self._file.__enter__()
        dataset = self._file.dataset
        self._box = GeoBox(dataset.crs, dataset.transform, dataset.width, dataset.height)
        ours, theirs = self._box.mean_gsd_m, self._target.mean_gsd_m
        if ours is None or theirs is None:
            raise InputError(f"{self._file.path} has no CRS, so it cannot be laid over another map")
        self._counted = theirs / ours >= _COUNTED
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def read(self, window: Window) -> ClassShares:
        """The classes in a window of the target grid.

        Raises:
            ReadError: Pixels cannot be read; the message names file and window.
        """
        part = self._target.crop(window)
        points = reproject_points(outline(part), part.crs, self._box.crs)
        source = self._box.covering(points) if points else None
        if source is None:
            empty = np.zeros((self._classes, *window.shape), np.float32)
            return ClassShares(empty, np.zeros(window.shape, bool))
        source = source.grown(_MARGIN).intersection(self._box.window)
        assert source is not None
        values = self._file.read([1], source)[0]
        box = self._box.crop(source)
        if self._counted:
            return _counted(values, box, part, self._classes)
        return _under_centres(values, box, part, self._classes)


def _counted(
    values: NDArray[np.integer[Any]], source: GeoBox, target: GeoBox, classes: int
) -> ClassShares:
    """Count the source's pixels in each target pixel."""
    cols, rows = _places(source, target)
    col, row = np.floor(cols).astype(np.int64), np.floor(rows).astype(np.int64)
    inside = (col >= 0) & (col < target.width) & (row >= 0) & (row < target.height)
    cell = (row * target.width + col)[inside]
    size = target.width * target.height
    value = values[inside]
    has_class = value < classes
    key = value[has_class].astype(np.int64) * size + cell[has_class]
    counts = np.bincount(key, minlength=classes * size).reshape(classes, *target.shape)
    # What lies outside of the source counts as without a class too.
    ratio = abs(target.transform.determinant / source.transform.determinant)
    if source.crs != target.crs:
        ratio = float(np.median(np.bincount(cell, minlength=size))) or 1.0
    total = counts.sum(axis=0)
    valid: NDArray[np.bool_] = total >= max(0.5 * ratio, 1.0) * (1 - 1e-6)
    shares = np.where(valid, counts / np.maximum(total, 1), 0).astype(np.float32)
    return ClassShares(shares, valid)


def _under_centres(
    values: NDArray[np.integer[Any]], source: GeoBox, target: GeoBox, classes: int
) -> ClassShares:
    """Take the source's pixel under the centre of each target pixel."""
    cols, rows = _places(target, source)
    # Centres on an edge between two pixels: rounding must not send neighbours different ways.
    col = np.floor(cols + 1e-6).astype(np.int64)
    row = np.floor(rows + 1e-6).astype(np.int64)
    inside = (col >= 0) & (col < source.width) & (row >= 0) & (row < source.height)
    found = np.full(target.shape, classes, np.int64)
    found[inside] = values[row[inside], col[inside]]
    valid: NDArray[np.bool_] = found < classes
    shares = np.zeros((classes, *target.shape), np.float32)
    at = np.nonzero(valid)
    shares[(found[at], *at)] = 1
    return ClassShares(shares, valid)


def _places(box: GeoBox, other: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns and rows (h, w) of `other` under the pixel centres of `box`."""
    cols, rows = np.meshgrid(np.arange(box.width) + 0.5, np.arange(box.height) + 0.5)
    t = box.transform
    if box.crs == other.crs:
        t = ~other.transform @ t
        return t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    xs, ys = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    xs, ys = _turned(xs, ys, box.crs, other.crs)
    back = ~other.transform
    # What the other CRS cannot show lies nowhere.
    lost = ~(np.isfinite(xs) & np.isfinite(ys))
    xs, ys = np.where(lost, 0, xs), np.where(lost, 0, ys)
    found_cols = np.where(lost, -1.0, back.a * xs + back.b * ys + back.c)
    return found_cols, back.d * xs + back.e * ys + back.f


def _turned(
    xs: NDArray[np.float64], ys: NDArray[np.float64], source: CRS | None, target: CRS | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import pyproj

    assert source is not None
    assert target is not None
    turn = pyproj.Transformer.from_crs(source.to_wkt(), target.to_wkt(), always_xy=True)
    found_x, found_y = turn.transform(xs, ys)
    return np.asarray(found_x), np.asarray(found_y)
