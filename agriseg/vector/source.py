"""A class raster from anywhere: what it says of itself, and its pixels by bands of rows."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import InputError, OptionError
from agriseg.geobox import GeoBox, Window
from agriseg.raster.source import READ_FAULTS, RasterFile, Source, inspect, open_raster
from agriseg.vector.names import clean_names, read_names

__all__ = ["ClassRaster", "ClassReader", "ClassRows", "open_classes"]

# Numbers that are not whole are kept as whole millionths: sums of them do not depend on the order.
_MICRO = 1e-6
# No confidence is such: larger numbers are missing values that nobody declared.
_ABSURD = 1e6
# Tiles of most files have sides that divide it: rows cut at its multiples are decoded once.
_ROWS = 512
# Bands of rows grow at most so much beyond what was asked, for the sake of whole blocks.
_GROWTH = 4
# What comes out of a header that makes no sense.
_ODD: tuple[type[Exception], ...] = (*READ_FAULTS, ValueError, TypeError, OverflowError)
# Two grids are one where their corners lie within this part of a pixel.
_SAME = 0.01


@dataclass(frozen=True)
class ClassRows:
    """A band of rows as read.

    Args:
        row_off: First row.
        classes: Class values (h, w), in the file's own type.
        valid: (h, w) True where there is a class.
        steps: Confidence as whole steps (h, w); None where there is none.
        has_steps: (h, w) True where `steps` means something; None for everywhere that is valid.
    """

    row_off: int
    classes: NDArray[np.integer[Any]]
    valid: NDArray[np.bool_]
    steps: NDArray[np.integer[Any]] | None = None
    has_steps: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class _Layer:
    """One band of a file, and what tells which of its pixels hold nothing."""

    path: str
    dtype: str
    missing: tuple[int | float, ...]
    alpha: int | None
    has_mask: bool
    block_rows: int

    def read(
        self, file: RasterFile, window: Window
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Raw values and where they count, (h, w) each; None for everywhere."""
        raw = file.read([1], window)[0]
        shown = [file.read([self.alpha], window)[0]] if self.alpha else []
        shown += [file.read_mask(window)] if self.has_mask else []
        valid: NDArray[np.bool_] | None = None
        for plane, hidden in [(raw, value) for value in self.missing] + [(p, 0) for p in shown]:
            counts = plane != plane.dtype.type(hidden)
            valid = counts if valid is None else valid & counts
        return raw, valid


@dataclass(frozen=True)
class ClassRaster:
    """A class raster that can be turned into polygons; plain facts, no open file.

    Args:
        layer: The band with the classes.
        geobox: Its grid; it has a CRS.
        names: Name by class value, where there is one.
        confidence_layer: The band with the confidence of each pixel, on the same grid.
        step: A pixel's confidence is its steps times `step`, plus `step_offset`.
        step_offset: See `step`.
    """

    layer: _Layer
    geobox: GeoBox
    names: Mapping[int, str] = field(default_factory=dict)
    confidence_layer: _Layer | None = None
    step: float = 1.0
    step_offset: float = 0.0

    @property
    def path(self) -> str:
        return self.layer.path

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the class values."""
        return np.dtype(self.layer.dtype)

    @property
    def confidence(self) -> str | None:
        """Path of the confidence raster, or None."""
        return self.confidence_layer.path if self.confidence_layer else None

    def name_of(self, value: int) -> str:
        """The name of a class; its number, if it has none."""
        return self.names.get(int(value), str(int(value)))

    def bands_of_rows(self, height: int) -> list[tuple[int, int]]:
        """Cut the rows into bands of about `height`: (first row, rows) each.

        Bands end where blocks of the files end, so that no block is decoded twice; only where a
        block is much higher than `height` they do not.
        """
        rows, wanted = self.geobox.height, max(height, 1)
        blocks = [layer.block_rows for layer in (self.layer, self.confidence_layer) if layer]
        units = [unit for unit in (math.lcm(_ROWS, *blocks),) if unit <= wanted]
        units += [unit for unit in (math.lcm(*blocks), blocks[0]) if unit <= wanted * _GROWTH]
        if units:
            wanted = max(wanted // units[0], 1) * units[0]
        return [(row, min(wanted, rows - row)) for row in range(0, rows, wanted)]

    def read(self, row_off: int, height: int) -> ClassRows:
        """Read a band of rows with files opened for it alone; safe in several threads.

        Raises:
            ReadError: Pixels cannot be read; the message names file and window.
        """
        with ClassReader(self) as reader:
            return reader.read(row_off, height)


class ClassReader:
    """Reads bands of rows and keeps the files open. Use it in a `with` block, in one thread.

    Some files can be decoded from their beginning only, such as a TIFF of one compressed strip: in
    24 bands one reader took 0.7 s down such a file, and opening it anew for each band 2.2 s.
    """

    def __init__(self, raster: ClassRaster) -> None:
        self._raster = raster
        self._stack = ExitStack()
        self._open: dict[str, RasterFile] = {}

    def __enter__(self) -> ClassReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = {}
        self._stack.close()

    def read(self, row_off: int, height: int) -> ClassRows:
        """Read a band of rows.

        Raises:
            ReadError: Pixels cannot be read; the message names file and window.
        """
        return self.read_window(Window(0, row_off, self._raster.geobox.width, height))

    def read_window(self, window: Window) -> ClassRows:
        """Read some columns of a band of rows.

        Raises:
            ReadError: Pixels cannot be read; the message names file and window.
        """
        raster, row_off = self._raster, window.row_off
        classes, valid = self.window(window)
        if raster.confidence_layer is None:
            return ClassRows(row_off, classes, valid)
        raw, has_steps = self._layer(raster.confidence_layer, window)
        steps, has_steps = _steps(raw, has_steps)
        if has_steps is not None and not (valid & ~has_steps).any():
            has_steps = None
        return ClassRows(row_off, classes, valid, steps, has_steps)

    def window(self, window: Window) -> tuple[NDArray[np.integer[Any]], NDArray[np.bool_]]:
        """Read the classes (h, w) of any window, and where there are any.

        Raises:
            ReadError: Pixels cannot be read; the message names file and window.
        """
        if window.intersection(self._raster.geobox.window) != window:
            height, width = self._raster.geobox.shape
            raise ValueError(f"{window} reaches out of a raster of {height} rows of {width}")
        classes, valid = self._layer(self._raster.layer, window)
        return classes, np.ones(window.shape, bool) if valid is None else valid

    def _layer(
        self, layer: _Layer, window: Window
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        if layer.path not in self._open:
            self._open[layer.path] = self._stack.enter_context(RasterFile(layer.path))
        return layer.read(self._open[layer.path], window)


def _steps(
    raw: NDArray[Any], known: NDArray[np.bool_] | None
) -> tuple[NDArray[np.integer[Any]], NDArray[np.bool_] | None]:
    """Confidence as whole steps, and where they mean something."""
    if raw.dtype.kind in "iu":
        return raw, known
    usable = np.abs(raw) < _ABSURD  # NaN compares as False
    if known is not None:
        usable &= known
    micros = np.rint(np.where(usable, raw, 0).astype(np.float64) / _MICRO)
    return micros.astype(np.int64), usable


def open_classes(
    path: str | os.PathLike[str],
    *,
    confidence: str | os.PathLike[str] | bool | None = None,
    nodata: float | None = None,
    names: Mapping[int, str] | None = None,
    needs_crs: bool = True,
) -> ClassRaster:
    """Look at a class raster; no pixels are read.

    Pixels without a class are those of the file's nodata value, its mask band, .msk file or alpha
    band, and those of `nodata`. Where nothing says so, every value is a class, 255 too.

    Args:
        path: A raster of whole numbers with one band, or one and alpha; any path that GDAL knows.
        confidence: A raster of one band on the same grid. By default confidence.tif beside a
            classes.tif, as runs leave it; False for none.
        nodata: A value that is no class, beside those that the file declares.
        names: Names of classes; they go before those in the file.
        needs_crs: Refuse a raster without a CRS.

    Raises:
        InputError: It is no class raster, its place on the ground is unknown, or the confidence
            does not fit.
        OptionError: `nodata` is no value of the raster.
    """
    source = _look(os.fspath(path), "class")
    kind = np.dtype(source.dtypes[0])
    if kind.kind not in "iu":
        raise InputError(
            f"{source.path} holds {kind} numbers, and classes are whole numbers; if they are "
            f'classes, convert them: gdal_translate -ot Byte "{source.path}" classes.tif (-ot '
            "Int32 for values beyond 0..255), or Raster > Conversion > Translate in QGIS"
        )
    if source.geobox.crs is None and needs_crs:
        raise InputError(
            f"{source.path} has no CRS, so where its segments lie and how large they are is "
            f'unknown; assign the right one: gdal_edit.py -a_srs EPSG:... "{source.path}"'
        )
    layer = _layer_of(source, nodata)
    known = {**read_names(source.path), **clean_names(names or {})}
    beside = _confidence_source(source, confidence)
    if beside is None:
        return ClassRaster(layer, source.geobox, known)
    whole = np.dtype(beside.dtypes[0]).kind in "iu"
    step = beside.scales[0] * (1 if whole else _MICRO)
    offset = beside.offsets[0]
    return ClassRaster(layer, source.geobox, known, _layer_of(beside), step, offset)


def _look(path: str, what: str) -> Source:
    """The facts of a raster with one band, or one and alpha, that lies on a grid."""
    _refuse_early(path, what)
    source = inspect(path)
    if source.count > 1 and source.colors[1:] != ("alpha",):
        raise InputError(
            f"{path} has {source.count} bands, and a {what} raster has one (and an alpha band at "
            f'most); take the right one out: gdal_translate -b 1 "{path}" one_band.tif'
        )
    return source


def _refuse_early(path: str, what: str) -> None:
    """What `inspect` refuses with advice that is meant for images, or lets pass."""
    with open_raster(path) as dataset:
        try:
            types = [dtype for dtype in dataset.dtypes if "complex" in dtype]
            placed = not dataset.transform.is_identity
            points, rpcs = len(dataset.gcps[0]), dataset.rpcs is not None
        except _ODD:
            return  # inspect says what is wrong with it
        if dataset.count == 0:
            return
    if types:
        raise InputError(
            f"{path} holds complex numbers ({types[0]}), and those of a {what} raster are real; "
            "give the raster that was meant"
        )
    if placed:
        return
    if points or rpcs:
        found = f"{points} ground control points" if points else "polynomial coefficients (RPC)"
        how = "-tps" if points else "-rpc"
        raise InputError(
            f"{path} has no pixel grid on the ground, only {found}; warp it first, without "
            f'mixing values: gdalwarp {how} -r near "{path}" warped.tif'
        )
    raise InputError(
        f"{path} has no geotransform, so where its pixels lie on the ground is unknown; take the "
        f"raster that it was made from, or give it a place: gdal_edit.py -a_srs EPSG:... -a_ullr "
        f'LEFT TOP RIGHT BOTTOM "{path}"'
    )


def _layer_of(source: Source, nodata: float | None = None) -> _Layer:
    kind = np.dtype(source.dtypes[0])
    number = int if kind.kind in "iu" else float
    declared = source.nodata[0]
    missing = {number(declared)} if declared is not None and _holds(kind, declared) else set()
    if nodata is not None:
        if not _holds(kind, nodata):
            limits = np.iinfo(kind)
            raise OptionError(
                f"--nodata {nodata}: {source.path} holds whole numbers from {limits.min} to "
                f"{limits.max} ({kind}); give one of them, or leave the option out"
            )
        missing.add(number(nodata))
    return _Layer(
        source.path,
        source.dtypes[0],
        tuple(sorted(missing)),
        2 if source.count > 1 else None,
        source.dataset_mask,
        source.block_shapes[0][0],
    )


def _holds(kind: np.dtype[Any], value: float) -> bool:
    """Whether numbers of this type can have the value; NaN and infinity are missing anyway."""
    if not math.isfinite(value):
        return False
    if kind.kind == "f":
        return abs(value) <= float(np.finfo(kind).max)
    limits = np.iinfo(kind)
    return value == int(value) and limits.min <= int(value) <= limits.max


def _confidence_source(
    classes: Source, asked: str | os.PathLike[str] | bool | None
) -> Source | None:
    """The confidence raster to take, if any."""
    if asked is False:
        return None
    if asked is None or asked is True:
        path = Path(classes.path)
        beside = path.with_name("confidence.tif")
        if path.name != "classes.tif" or not beside.is_file():
            return None
        found = inspect(beside)
        return found if found.count == 1 and _same_grid(classes.geobox, found.geobox) else None
    given = _look(os.fspath(asked), "confidence")
    if not _same_grid(classes.geobox, given.geobox):
        raise InputError(
            f"--confidence {given.path} has {_grid_words(given.geobox)}, {classes.path} "
            f"{_grid_words(classes.geobox)}; both must lie on one grid: give the confidence that "
            "came with these classes, or warp it onto their grid with gdalwarp -t_srs -te -ts"
        )
    return given


def _same_grid(one: GeoBox, other: GeoBox) -> bool:
    if one.shape != other.shape or one.crs != other.crs:
        return False
    back = ~one.transform
    for x, y in other.corners:
        col, row = back @ (x, y)
        if min(abs(col), abs(col - one.width)) > _SAME:
            return False
        if min(abs(row), abs(row - one.height)) > _SAME:
            return False
    return True


def _grid_words(box: GeoBox) -> str:
    crs = "no CRS" if box.crs is None else box.crs.to_string()
    x, y = box.transform @ (0, 0)
    size = f"{math.hypot(box.transform.a, box.transform.d):.6g}"
    return f"{box.width} x {box.height} pixels of {size} from ({x:.10g}, {y:.10g}) in {crs}"
