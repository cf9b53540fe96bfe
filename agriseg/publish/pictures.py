"""Small pictures of large rasters: north up, true in their proportions, in bounded memory.

A picture has a grid of its own, its frame: square pixels on the ground, north up, whatever the
raster is turned by and whatever its CRS counts in. Several pictures on one frame lie on each other.
Pixels come from overviews where a file has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from agriseg.bands import Band
from agriseg.errors import InputError
from agriseg.geobox import GeoBox, Window
from agriseg.legend import NODATA, Legend
from agriseg.raster import BandMask, Scene
from agriseg.raster.reader import ABSURD, drop_nodata, nodata_rule
from agriseg.raster.remote import is_remote
from agriseg.raster.source import RasterFile, inspect

__all__ = [
    "FALSE_COLOR",
    "TRUE_COLOR",
    "Picture",
    "class_codes",
    "class_picture",
    "frame_of",
    "roles_of",
    "sampled",
    "scene_picture",
]

TRUE_COLOR = (("red", "green", "blue"),)
"""Roles that become red, green and blue, as the eye sees them."""
FALSE_COLOR = (("nir", "red", "green"), ("nir", "red", "red"), ("red", "green", "green"))
"""Roles that make plants red, the best first; the last is of cameras without blue."""
_MAX_PIXELS = 1200
# Percentiles of the stretch: a glint or a burnt pixel must not darken the rest.
_LOW, _HIGH = 2.0, 98.0
# Plants are darker than soil; a screen shows them lighter so.
_GAMMA = 0.8
# Each pixel of an image is the mean of so many along a side: crop rows in single pixels flicker.
_FINER = 2
_STRIP_ROWS = 128
# Of a remote file without overviews every pixel would be fetched.
_MOST_REMOTE_PIXELS = 1 << 26

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Picture:
    """A picture and where it lies.

    Args:
        rgb: (h, w, 3) uint8; white where there is nothing.
        there: (h, w) bool, where there is something.
        box: Its frame: north up; without a place, rows count downwards from 0.
    """

    rgb: NDArray[np.uint8]
    there: Mask
    box: GeoBox

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, right, bottom, top) in units of the CRS, as matplotlib's imshow wants it."""
        t, (height, width) = self.box.transform, self.there.shape
        return t.c, t.c + t.a * width, t.f + t.e * height, t.f

    @property
    def gsd_m(self) -> float | None:
        """Side of a pixel on the ground in metres; None where that is unknown."""
        return self.box.mean_gsd_m


def frame_of(box: GeoBox, *, max_pixels: int = _MAX_PIXELS) -> GeoBox:
    """The frame of a picture of all of a grid.

    Its pixels are square on the ground at the centre of the grid, and no finer than those of the
    grid. A grid that fits already and is north up with square pixels is its own frame.

    Args:
        box: The grid.
        max_pixels: Of the longer side.
    """
    if box.transform.is_identity or not box.is_georeferenced:
        step = max(box.width, box.height, max_pixels) / max_pixels
        size = (math.ceil(box.width / step - 1e-9), math.ceil(box.height / step - 1e-9))
        return GeoBox(box.crs, Affine.scale(step, step), *size)
    left, bottom, right, top = box.bounds
    across, down = _metres_per_unit(box)
    width_m, height_m = (right - left) * across, (top - bottom) * down
    own_m = math.sqrt(abs(box.transform.determinant) * across * down)
    pixel_m = max(width_m / max_pixels, height_m / max_pixels, own_m)
    # Rounding must not add a column.
    width, height = (max(math.ceil(side / pixel_m - 1e-6), 1) for side in (width_m, height_m))
    transform = Affine(pixel_m / across, 0, left, 0, -pixel_m / down, top)
    return GeoBox(box.crs, transform, width, height)


def _metres_per_unit(box: GeoBox) -> tuple[float, float]:
    """Metres on the ground of a unit of the CRS along x and along y; 1 where nobody knows."""
    left, bottom, right, top = box.bounds
    dx, dy = (right - left) / 100, (top - bottom) / 100
    gsd = GeoBox(box.crs, Affine(dx, 0, left, 0, -dy, top), 100, 100).gsd_m
    return (1.0, 1.0) if gsd is None else (gsd[0] / dx, gsd[1] / dy)


def roles_of(
    scene: Scene, choices: Sequence[tuple[str, ...]], date: str | None = None
) -> tuple[str, ...] | None:
    """The first of some triples of roles that a scene has, at a date where it has dates."""
    at = f"@{date}" if date else ""
    for roles in choices:
        keys = tuple(f"{role}{at}" for role in roles)
        if all(map(scene.has, keys)):
            return keys
    return None


def scene_picture(scene: Scene, keys: Sequence[str | Band], frame: GeoBox | None = None) -> Picture:
    """Three bands of a scene as red, green and blue, stretched for the eye.

    True colours get one stretch for all three, which keeps soil brown; else each band has its own.
    What nodata, alpha or a mask in the file hides is not shown; other masks of the scene are not
    applied, since one wants to see what they hide.

    Args:
        scene: The scene.
        keys: Three roles, `role@date`, or bands; or one for grey.
        frame: Where; by default all of the scene.

    Raises:
        BandError: The scene has no such band.
        InputError: A file cannot be opened, or lies in another CRS than the frame.
        ReadError: Pixels cannot be read.
    """
    frame = frame or frame_of(scene.geobox)
    bands = [scene.band(key) if isinstance(key, str) else key for key in keys]
    data, there = sampled(scene, list(dict.fromkeys(bands)), frame)
    planes = data[[list(dict.fromkeys(bands)).index(band) for band in bands]]
    alike = {band.role for band in bands} == {"red", "green", "blue"}
    shown = _stretched(planes, there, alike=alike)
    rgb = np.full((*there.shape, 3), 255, np.uint8)
    rgb[there] = np.moveaxis(np.broadcast_to(shown, (3, *there.shape)), 0, -1)[there]
    return Picture(rgb, there, frame)


def _stretched(planes: Floats, there: Mask, *, alike: bool) -> NDArray[np.uint8]:
    """(bands, h, w) of 0..255 from percentiles of what is there."""
    usable = planes[:, there]
    if not usable.size:
        return np.zeros(planes.shape, np.uint8)
    low, high = np.percentile(usable, (_LOW, _HIGH), axis=None if alike else 1)
    low, high = (np.reshape(end, (-1, 1, 1)).astype(np.float32) for end in (low, high))
    spread = np.where(high > low, high - low, np.float32(1))
    with np.errstate(invalid="ignore", over="ignore"):  # what is not there may be anything
        part = np.where(there, (planes - low) / spread, 0).clip(0, 1)
    return np.rint(part**_GAMMA * 255).astype(np.uint8)


def sampled(scene: Scene, bands: Sequence[Band], frame: GeoBox) -> tuple[Floats, Mask]:
    """Reflectance (bands, h, w) of a scene on a frame, and where all of it is there."""
    fine = _finer(frame)
    data = np.zeros((len(bands), fine.height, fine.width), np.float32)
    there = _inside(scene.geobox, fine)
    alphas = {mask.path: mask.index for mask in scene.masks if isinstance(mask, BandMask)}
    for path in dict.fromkeys(band.path for band in bands):
        places = [k for k, band in enumerate(bands) if band.path == path]
        mine = [bands[k] for k in places]
        values, usable = _file_sampled(path, mine, alphas.get(path), scene.geobox, fine)
        data[places] = values
        there &= usable
    return _means(data, there)


def _finer(frame: GeoBox) -> GeoBox:
    transform = frame.transform @ Affine.scale(1 / _FINER, 1 / _FINER)
    return GeoBox(frame.crs, transform, frame.width * _FINER, frame.height * _FINER)


def _means(data: Floats, there: Mask) -> tuple[Floats, Mask]:
    """Means of what is there of blocks of `_FINER` pixels a side; there where half of one is."""
    shape = (there.shape[0] // _FINER, _FINER, there.shape[1] // _FINER, _FINER)
    count = there.reshape(shape).sum(axis=(1, 3))
    total = np.stack([np.where(there, plane, 0).reshape(shape).sum(axis=(1, 3)) for plane in data])
    mean: Floats = (total / np.maximum(count, 1)).astype(np.float32)
    return mean, 2 * count >= _FINER * _FINER


def _file_sampled(
    path: str, bands: Sequence[Band], alpha: int | None, area: GeoBox, frame: GeoBox
) -> tuple[Floats, Mask]:
    """Reflectance of bands of one file at the centres of a frame's pixels, and what is usable."""
    source = inspect(path)
    _check(path, source.geobox, frame)
    data = np.zeros((len(bands), frame.height, frame.width), np.float32)
    there = np.zeros((frame.height, frame.width), bool)
    window = source.geobox.covering(area.corners)
    if window is None:
        return data, there
    pixels = window.width * window.height
    if is_remote(path) and not source.overviews and pixels > _MOST_REMOTE_PIXELS:
        raise InputError(f"{path} has no overviews, and all of it would have to be fetched")
    shape = _read_shape(source.geobox, window, frame)
    indexes = [band.index for band in bands] + ([alpha] if alpha else [])
    with RasterFile(path) as file:
        raw = file.read_shrunk(indexes, shape, window)
        usable = np.ones(shape, bool)
        if source.dataset_mask:
            usable &= file.read_mask_shrunk(shape, window) != 0
    if alpha:
        usable &= raw[-1] != 0
        raw = raw[:-1]
    drop_nodata(raw, [nodata_rule(b.nodata, source.dtypes[b.index - 1]) for b in bands], usable)
    if raw.dtype.kind == "f":
        usable &= (np.abs(raw) < ABSURD).all(axis=0)  # NaN compares as False
    for rows, (at, hit) in _places(source.geobox, window, shape, frame):
        there[rows] = hit & usable[at]
        for place, band in enumerate(bands):
            data[place, rows] = raw[place][at] * np.float32(band.scale) + np.float32(band.offset)
    return data, there


def _check(path: str, box: GeoBox, frame: GeoBox) -> None:
    if box.crs != frame.crs:
        raise InputError(f"{path} lies in another coordinate system than the map")


def _read_shape(box: GeoBox, window: Window, frame: GeoBox) -> tuple[int, int]:
    """(rows, columns) to read of a window: about as fine as the frame, no finer than the file."""
    step = ~box.transform @ frame.transform
    cols, rows = math.hypot(step.a, step.b), math.hypot(step.d, step.e)
    return math.ceil(window.height / max(rows, 1)), math.ceil(window.width / max(cols, 1))


def _places(
    box: GeoBox, window: Window, shape: tuple[int, int], frame: GeoBox
) -> Iterator[tuple[slice, tuple[tuple[NDArray[Any], NDArray[Any]], Mask]]]:
    """Where the centres of a frame's pixels lie in what was read of a window, strip by strip.

    Yields:
        Rows of the frame; rows and columns of what was read, kept inside; whether they were inside.
    """
    to = ~box.transform @ frame.transform
    x = np.arange(frame.width) + 0.5
    for start in range(0, frame.height, _STRIP_ROWS):
        rows = slice(start, min(start + _STRIP_ROWS, frame.height))
        y = (np.arange(rows.start, rows.stop) + 0.5)[:, None]
        col = (to.a * x + to.b * y + to.c - window.col_off) * (shape[1] / window.width)
        row = (to.d * x + to.e * y + to.f - window.row_off) * (shape[0] / window.height)
        col, row = np.floor(col).astype(np.int64), np.floor(row).astype(np.int64)
        hit = (col >= 0) & (col < shape[1]) & (row >= 0) & (row < shape[0])
        at = (row.clip(0, shape[0] - 1), col.clip(0, shape[1] - 1))
        yield rows, (at, hit)


def _inside(box: GeoBox, frame: GeoBox) -> Mask:
    """Which pixels of a frame have their centre in a grid."""
    found = np.zeros((frame.height, frame.width), bool)
    for rows, (_, hit) in _places(box, box.window, (box.height, box.width), frame):
        found[rows] = hit
    return found


def class_codes(path: str | Path, frame: GeoBox | None = None) -> tuple[NDArray[np.uint8], GeoBox]:
    """The classes of a class raster on a frame, by default one of all of it.

    Returns:
        (h, w) class values, 255 where there is none, and the frame.

    Raises:
        InputError: The file cannot be opened, or lies in another CRS than the frame.
        ReadError: Its pixels cannot be read.
    """
    source = inspect(str(path))
    frame = frame or frame_of(source.geobox)
    _check(str(path), source.geobox, frame)
    codes = np.full((frame.height, frame.width), NODATA, np.uint8)
    window = source.geobox.window
    shape = _read_shape(source.geobox, window, frame)
    with RasterFile(str(path)) as file:
        raw = file.read_shrunk([1], shape)[0]
    for rows, (at, hit) in _places(source.geobox, window, shape, frame):
        codes[rows] = np.where(hit, raw[at], NODATA)
    return codes, frame


def class_picture(path: str | Path, legend: Legend, frame: GeoBox | None = None) -> Picture:
    """A class raster in the colours of its legend. Raises as `class_codes` does."""
    codes, frame = class_codes(path, frame)
    colors = np.full((NODATA + 1, 3), 255, np.uint8)
    colors[: len(legend)] = [label.rgb for label in legend]
    return Picture(colors[codes], codes < len(legend), frame)
