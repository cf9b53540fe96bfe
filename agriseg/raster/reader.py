"""Reading pixels: reflectance and one explicit valid mask, on the scene's grid."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.arrays import among
from agriseg.bands import Band
from agriseg.errors import InputError
from agriseg.geobox import GeoBox, Window
from agriseg.raster.masks import AreaMask, BandMask, ClassMask
from agriseg.raster.resample import Axis, resample
from agriseg.raster.scene import Pixels, Scene
from agriseg.raster.source import RasterFile

__all__ = [
    "ABSURD",
    "OpenFiles",
    "SceneReader",
    "apart_words",
    "crs_words",
    "drop_nodata",
    "grid_axes",
    "mask_axes",
    "nodata_rule",
]

_Values = tuple[NDArray[np.float32], NDArray[np.bool_]]
_Rest = Callable[[], _Values]

# Bytes of source pixels held at once where a finer source is averaged down.
_STRIP_BYTES = 64 << 20
# Targets along each side that are resampled at once. The weights are dense matrices: over a whole
# raster they would grow with the square of its width. For a chip of 1024 x 1024 the mean of 3.5
# pixels in four bands takes 0.48 s with 128 and 0.97 s with 512, twofold bilinear 19 and 29 ms.
_PATCH = 128
# No light is measured in such numbers: they stand for missing pixels, declared or not, and one of
# them in a chip would drown the rest of it in a network.
ABSURD = 1e30


def grid_axes(target: GeoBox, source: GeoBox, path: str) -> tuple[Axis, Axis]:
    """How `target` pixels map to `source` pixels, along columns and along rows.

    Raises:
        InputError: The grids are turned against each other.
    """
    t = ~source.transform @ target.transform
    turn = max(abs(t.b) * target.height, abs(t.d) * target.width)
    if turn > 0.01 * max(abs(t.a), abs(t.e), 1):
        raise InputError(
            f"{path} is turned against the scene's grid; warp whichever of the two is turned to "
            f'north up first: gdalwarp -r bilinear "{path}" aligned.tif'
        )
    return Axis(t.a, t.c), Axis(t.e, t.f)


def mask_axes(mask: ClassMask, source: GeoBox, scene: GeoBox) -> tuple[Axis, Axis]:
    """How a scene's pixels map to those of a class mask on the grid `source`.

    Raises:
        InputError: The two do not lie in one CRS or are turned, or metres are unknown.
    """
    if source.crs != scene.crs:
        warp = f'gdalwarp -r near -t_srs "{crs_words(scene)}" "{mask.path}" mask.tif'
        raise InputError(apart_words(f"--mask {mask.path}", source, "the scene", scene, warp))
    if mask.grow_m and source.crs is None:
        raise InputError(
            f"--mask-grow-m: {mask.path} has no CRS, so metres are unknown; assign one with "
            "gdal_edit.py -a_srs, or leave the option out"
        )
    return grid_axes(scene, source, mask.path)


def crs_words(box: GeoBox) -> str:
    """A CRS as GDAL's tools take it, or that there is none."""
    return "no CRS" if box.crs is None else str(box.crs.to_string())


def apart_words(one: str, box: GeoBox, other: str, other_box: GeoBox, warp: str) -> str:
    """That two rasters lie in different coordinate systems, and the line that helps.

    `warp` brings them together; where one has no CRS at all, it must be given one first.
    """
    known = box.crs is not None and other_box.crs is not None
    remedy = warp if known else "gdal_edit.py -a_srs EPSG:... gives a raster the CRS that it lacks"
    return (
        f"{one} is in {crs_words(box)}, {other} in {crs_words(other_box)}; bring them together "
        f"first: {remedy}"
    )


class _File:
    """One open file of a scene: the bands that are wanted of it, if any, and its alpha band."""

    def __init__(self, file: RasterFile, scene: Scene, bands: Sequence[Band], alpha: int | None):
        dataset = file.dataset
        self.path = file.path
        self._file = file
        self._bands = tuple(bands)
        self._alpha = alpha
        self._size = Window(0, 0, dataset.width, dataset.height)
        source = GeoBox(dataset.crs, dataset.transform, dataset.width, dataset.height)
        self._cols, self._rows = grid_axes(scene.geobox, source, self.path)
        self._same_grid = self._cols.is_whole(scene.geobox.width) and self._rows.is_whole(
            scene.geobox.height
        )
        flags = {flag.name for flag in dataset.mask_flag_enums[0]}
        self._dataset_mask = "per_dataset" in flags and "alpha" not in flags
        self._rules = [nodata_rule(band.nodata, dataset.dtypes[band.index - 1]) for band in bands]
        scale = np.array([band.scale for band in bands], np.float32).reshape(-1, 1, 1)
        offset = np.array([band.offset for band in bands], np.float32).reshape(-1, 1, 1)
        self._moves = bool((offset != 0).any())
        self._plain = bool((scale == 1).all()) and not self._moves
        self._scale, self._offset = scale, offset

    def fetch(self, window: Window) -> _Rest:
        """Read a window; what comes is reflectance (bands, h, w) and valid (h, w) of it."""
        if not self._same_grid:
            found = self._read_resampled(window)
            return lambda: found
        moved = window.shifted(round(self._cols.shift), round(self._rows.shift))
        inside = moved.intersection(self._size)
        if inside == moved:
            return self._fetch_source(moved)
        rest = None if inside is None else self._fetch_source(inside)

        def laid() -> _Values:
            data = np.zeros((len(self._bands), *window.shape), np.float32)
            valid = np.zeros(window.shape, bool)
            if inside is not None and rest is not None:
                rows, cols = inside.shifted(-moved.col_off, -moved.row_off).slices
                data[:, rows, cols], valid[rows, cols] = rest()
            return data, valid

        return laid

    def _fetch_source(self, window: Window) -> _Rest:
        """As `fetch`, of a window of the file's own pixels."""
        indexes = [band.index for band in self._bands]
        if self._alpha is not None:
            indexes.append(self._alpha)
        raw = self._file.read(indexes, window)
        usable = self._file.read_mask(window) if self._dataset_mask else None
        return partial(self._values, raw, usable)

    def _values(self, raw: NDArray[Any], usable: NDArray[Any] | None) -> _Values:
        valid = np.ones(raw.shape[1:], bool) if usable is None else usable != 0
        if self._alpha is not None:
            valid &= raw[-1] != 0
            raw = raw[:-1]
        drop_nodata(raw, self._rules, valid)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is told by isfinite
            data = raw.astype(np.float32, copy=raw.dtype == np.float32 and not self._plain)
            if not self._plain:
                data *= self._scale
                if self._moves:
                    data += self._offset
            if raw.dtype.kind == "f":
                # NaN compares as False.
                valid &= (np.abs(data) < ABSURD).all(axis=0)
        return data, valid

    def _read_resampled(self, window: Window) -> _Values:
        data = np.zeros((len(self._bands), *window.shape), np.float32)
        valid = np.zeros(window.shape, bool)
        width, height = self._size.width, self._size.height
        left, right = self._cols.source_range(window.col_off, window.col_end, width)
        if right == left:
            return data, valid
        row_bytes = (right - left) * max(len(self._bands), 1) * 4 * max(abs(self._rows.factor), 1)
        step = min(max(int(_STRIP_BYTES / row_bytes), 1), _PATCH)
        for start in range(window.row_off, window.row_end, step):
            stop = min(start + step, window.row_end)
            top, bottom = self._rows.source_range(start, stop, height)
            if bottom == top:
                continue
            source = Window(left, top, right - left, bottom - top)
            values, usable = self._fetch_source(source)()
            down = self._rows.weights(start, stop, top, bottom, height)
            rows = slice(start - window.row_off, stop - window.row_off)
            for begin in range(window.col_off, window.col_end, _PATCH):
                end = min(begin + _PATCH, window.col_end)
                first, last = self._cols.source_range(begin, end, width)
                if first == last:
                    continue
                across = self._cols.weights(begin, end, first, last, width)
                part = slice(first - left, last - left)
                cols = slice(begin - window.col_off, end - window.col_off)
                data[:, rows, cols], valid[rows, cols] = resample(
                    values[..., part], usable[:, part], down, across
                )
        return data, valid


class OpenFiles(ExitStack):
    """Files that several readers of one thread share: no block of them is decoded twice."""

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[str, RasterFile] = {}

    def open(self, path: str) -> RasterFile:
        """The open file of a path."""
        if path not in self._files:
            self._files[path] = self.enter_context(RasterFile(path))
        return self._files[path]


class SceneReader:
    """Reads windows of a scene; opens each file once. Use it in a `with` block, in one thread.

    Args:
        scene: What to read.
        keys: Roles, `role@date`, or bands, in the order wanted; all bands with a role by default.
        files: Where it has its files from, which stay open; by default it opens its own.

    Raises:
        BandError: A band is not there.
        InputError: A file cannot be opened.
    """

    def __init__(
        self,
        scene: Scene,
        keys: Sequence[str | Band] | None = None,
        files: OpenFiles | None = None,
    ) -> None:
        if keys is None:
            bands = [band for band in scene.bands if band.role] or list(scene.bands)
        else:
            bands = [scene.band(key) if isinstance(key, str) else key for key in keys]
        self.scene = scene
        self._bands = tuple(bands)
        self._stack = ExitStack()
        self._files: list[tuple[_File, list[int]]] = []
        self._class_masks: list[_OpenClassMask] = []
        try:
            self._open(self._stack.enter_context(OpenFiles()) if files is None else files)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, files: OpenFiles) -> None:
        places: dict[str, list[int]] = defaultdict(list)
        for place, band in enumerate(self._bands):
            places[band.path].append(place)
        alphas = {mask.path: mask.index for mask in self.scene.masks if isinstance(mask, BandMask)}
        for path, mine in places.items():
            opened = files.open(path)
            bands = [self._bands[place] for place in mine]
            self._files.append((_File(opened, self.scene, bands, alphas.get(path)), mine))
        # Alpha in a file of its own counts for all bands; in a file of bands, for those.
        for path in alphas.keys() - {band.path for band in self.scene.bands}:
            file = _File(files.open(path), self.scene, (), alphas[path])
            self._files.append((file, []))
        for mask in self.scene.masks:
            if isinstance(mask, ClassMask):
                opened = files.open(mask.path)
                self._class_masks.append(_OpenClassMask(opened, mask, self.scene))

    def __enter__(self) -> SceneReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def read(self, window: Window) -> Pixels:
        """Read a window of the scene's grid.

        Raises:
            ReadError: Pixels cannot be read; the message names file and window.
        """
        return self.fetch(window)()

    def fetch(self, window: Window) -> Callable[[], Pixels]:
        """Read a window of the scene's grid, and leave what is to be computed of it for later.

        Returns:
            What gives the pixels. It opens and reads nothing: any thread may call it, once.

        Raises:
            ReadError: Pixels cannot be read; the message names file and window.
        """
        parts = [file.fetch(window) for file, _ in self._files]
        hidden = [hiding.hidden(window) for hiding in self._class_masks]
        return partial(self._pixels, window, parts, hidden)

    def _pixels(
        self, window: Window, parts: Sequence[_Rest], hidden: Sequence[NDArray[np.bool_]]
    ) -> Pixels:
        valid = np.ones(window.shape, bool)
        for mask in self.scene.masks:
            if isinstance(mask, AreaMask):
                valid &= mask.inside(self.scene.geobox.crop(window))
        if len(parts) == 1:
            data, usable = parts[0]()
            valid &= usable
        else:
            data = np.empty((len(self._bands), *window.shape), np.float32)
            for (_, mine), part in zip(self._files, parts, strict=True):
                values, usable = part()
                if mine:
                    data[mine] = values
                valid &= usable
        for hiding in hidden:
            valid &= ~hiding
        return Pixels(data, valid)


class _OpenClassMask:
    """A class mask on its own grid, laid onto the scene's by the nearest pixel."""

    def __init__(self, file: RasterFile, mask: ClassMask, scene: Scene) -> None:
        self._file, self._mask = file, mask
        dataset = file.dataset
        source = GeoBox(dataset.crs, dataset.transform, dataset.width, dataset.height)
        self._size = source.window
        self._cols, self._rows = mask_axes(mask, source, scene.geobox)
        self._gsd = source.gsd_m

    def hidden(self, window: Window) -> NDArray[np.bool_]:
        """(h, w) True where the scene is to be hidden; outside of the mask nothing is.

        A coarser mask counts under the pixel's centre, a finer one anywhere in the pixel.
        """
        left, right = self._cols.covered(window.col_off, window.col_end)
        top, bottom = self._rows.covered(window.row_off, window.row_end)
        margin = 0
        if self._mask.grow_m:
            assert self._gsd is not None
            margin = math.ceil(self._mask.grow_m / min(self._gsd)) + 1
        width, height = int(right.max() - left.min()), int(bottom.max() - top.min())
        box = Window(int(left.min()), int(top.min()), width, height).grown(margin)
        part = box.intersection(self._size)
        bad = np.zeros(box.shape, bool)
        if part is not None:
            classes = self._file.read([self._mask.band or 1], part)[0]
            inner = part.shifted(-box.col_off, -box.row_off).slices
            bad[inner] = among(classes, self._mask.values)
        if margin and bad.any():
            from scipy.ndimage import distance_transform_edt

            assert self._gsd is not None
            away = distance_transform_edt(~bad, sampling=(self._gsd[1], self._gsd[0]))
            bad = away <= self._mask.grow_m
        return _any_within(
            bad, top - box.row_off, bottom - box.row_off, left - box.col_off, right - box.col_off
        )


def _any_within(
    bad: NDArray[np.bool_],
    top: NDArray[np.intp],
    bottom: NDArray[np.intp],
    left: NDArray[np.intp],
    right: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """(rows, cols) True where `bad` is, anywhere in [top, bottom) x [left, right).

    A pixel with a part of a cloud in it is cloudy: its mean would be too bright.
    """
    sums = np.zeros((bad.shape[0] + 1, bad.shape[1] + 1), np.int64)
    sums[1:, 1:] = bad.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    inside = (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )
    found: NDArray[np.bool_] = inside > 0
    return found


def nodata_rule(nodata: float | None, dtype: str) -> tuple[Any, bool] | None:
    """The value to look for in the file's own type, and whether one band suffices.

    A value that a camera can never measure (negative, or outside any scale) marks the pixel as soon
    as one band has it. A value that is also a measurement (0 in a shadow, 255 in a highlight) marks
    it only where every band has it: else a dark or bright pixel would be a hole.
    """
    if nodata is None or math.isnan(nodata):
        return None  # NaN is always missing
    if math.isinf(nodata):
        return None  # and so is infinity
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        if nodata != int(nodata) or not limits.min <= nodata <= limits.max:
            return None
        value: Any = kind.type(int(nodata))
        return value, nodata < 0
    with np.errstate(over="ignore"):  # a value beyond the type is infinity in it
        return kind.type(nodata), not 0 <= nodata <= 1


def drop_nodata(
    raw: NDArray[Any], rules: Sequence[tuple[Any, bool] | None], valid: NDArray[np.bool_]
) -> None:
    """Clear `valid` (h, w) where `raw` (bands, h, w) holds nodata."""
    together: NDArray[np.bool_] | None = None
    for plane, rule in zip(raw, rules, strict=True):
        if rule is None:
            continue
        value, alone = rule
        missing = plane == value
        if alone:
            valid &= ~missing
        else:
            together = missing if together is None else together & missing
    if together is not None:
        valid &= ~together
