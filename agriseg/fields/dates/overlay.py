"""Two scenes on one grid: which part of the ground both show, and reading either of them there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.errors import InputError
from agriseg.geobox import GeoBox, Window
from agriseg.raster.reader import SceneReader
from agriseg.raster.scene import Pixels, Scene

__all__ = ["GridReader", "common_grid", "metres_per_unit", "outline", "reproject_points"]

# Points along each side of a grid's outline: lines that are straight in one CRS bend in another.
_STEPS = 16
# Source pixels around what a warped window needs, for the neighbours of its outermost pixels.
_MARGIN = 2
# A grid that is finer by less than this is read as it is.
_FINER = 1.5


def reproject_points(
    points: Sequence[tuple[float, float]], source: CRS | None, target: CRS | None
) -> list[tuple[float, float]]:
    """Points (x, y) of one CRS in another; those that it cannot show are left out."""
    if source == target or source is None or target is None:
        return list(points)
    import pyproj

    turn = pyproj.Transformer.from_crs(source.to_wkt(), target.to_wkt(), always_xy=True)
    xs, ys = zip(*points, strict=True)
    moved = zip(*turn.transform(xs, ys), strict=True)
    return [(float(x), float(y)) for x, y in moved if math.isfinite(x) and math.isfinite(y)]


def outline(box: GeoBox) -> list[tuple[float, float]]:
    """World points along the edges of a grid, closely enough that a warped line stays near."""
    ends = [(0, 0), (box.width, 0), (box.width, box.height), (0, box.height)]
    points = []
    for (x, y), (to_x, to_y) in zip(ends, ends[1:] + ends[:1], strict=True):
        steps = [k / _STEPS for k in range(_STEPS)]
        points += [box.transform @ (x + (to_x - x) * s, y + (to_y - y) * s) for s in steps]
    return points


def common_grid(one: GeoBox, other: GeoBox, names: tuple[str, str]) -> GeoBox:
    """The part of the coarser of two grids that both show; of `one` where they are equally fine.

    The coarser one, because finer pixels can be averaged onto it and nothing has to be made up.

    Args:
        one: A grid with a CRS.
        other: Another.
        names: What the two are called, for messages.

    Raises:
        InputError: A grid has no CRS, or they do not meet; the message holds both extents.
    """
    for box, name in zip((one, other), names, strict=True):
        if box.crs is None:
            raise InputError(
                f"{name} has no CRS, so where it lies beside the other is unknown; assign the "
                "right one to its raster with gdal_edit.py -a_srs EPSG:..., and segment it again"
            )
    sizes = [box.mean_gsd_m or 0.0 for box in (one, other)]
    base, guest = (other, one) if sizes[1] > sizes[0] * (1 + 1e-6) else (one, other)
    points = reproject_points(outline(guest), guest.crs, base.crs)
    window = base.covering(points) if points else None
    if window is None:
        raise InputError(
            f"{names[0]} and {names[1]} do not overlap: {_extent(one, names[0])}; "
            f"{_extent(other, names[1])}; give two runs of the same ground, or check the CRS of "
            "both"
        )
    return base.crop(window)


def _extent(box: GeoBox, name: str) -> str:
    """Where a grid lies, in degrees where they can be had."""
    points = reproject_points(outline(box), box.crs, CRS.from_epsg(4326))
    if points:
        lons, lats = zip(*points, strict=True)
        return (
            f"{name} spans longitude {min(lons):.5f} to {max(lons):.5f}, latitude "
            f"{min(lats):.5f} to {max(lats):.5f}"
        )
    left, bottom, right, top = box.bounds
    return f"{name} spans {left:.10g}, {bottom:.10g} to {right:.10g}, {top:.10g} in its own CRS"


def metres_per_unit(box: GeoBox) -> tuple[float, float]:
    """Metres on the ground of one unit along the map's x and y axis, at the grid's centre."""
    assert box.crs is not None
    if box.is_true_to_scale:
        metre = float(box.crs.units_factor[1])
        return metre, metre
    # A north-up grid of the same place and unit: its pixel sizes are geodesic.
    t = box.transform
    step = math.sqrt(abs(t.determinant))
    x, y = t @ (box.width / 2, box.height / 2)
    gsd = GeoBox(box.crs, Affine(step, 0, x, 0, -step, y), 1, 1).gsd_m
    assert gsd is not None
    return gsd[0] / step, gsd[1] / step


class GridReader:
    """Reads a scene on another grid. Use it in a `with` block, in one thread.

    Finer pixels are averaged, coarser ones and those of turned grids are interpolated between
    their centres. What is not valid carries no weight; a pixel is valid where at least half of its
    weight is.

    Args:
        scene: What to read.
        target: The grid on which pixels are wanted; in any CRS, turned or not.
        keys: Roles, in the order wanted.

    Raises:
        BandError: A band is not there.
        InputError: A file cannot be opened.
    """

    def __init__(self, scene: Scene, target: GeoBox, keys: Sequence[str]) -> None:
        self._target = target
        self._straight = _is_straight(scene.geobox, target)
        if self._straight:
            scene = replace(scene, geobox=target)
        else:
            ours, theirs = scene.geobox.mean_gsd_m, target.mean_gsd_m
            if ours and theirs and theirs > ours * _FINER:
                scene = scene.at_gsd(theirs)
        self._box, self._bands = scene.geobox, len(keys)
        self._reader = SceneReader(scene, keys)

    def __enter__(self) -> GridReader:
        self._reader.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    def read(self, window: Window) -> Pixels:
        """Reflectance (bands, h, w) and valid (h, w) of a window of the target grid."""
        if self._straight:
            return self._reader.read(window)
        part = self._target.crop(window)
        points = reproject_points(outline(part), part.crs, self._box.crs)
        source = self._box.covering(points) if points else None
        if source is None:
            return Pixels(
                np.zeros((self._bands, *window.shape), np.float32), np.zeros(window.shape, bool)
            )
        source = source.grown(_MARGIN).intersection(self._box.window)
        assert source is not None
        return _warped(self._reader.read(source), self._box.crop(source), part)


def _is_straight(source: GeoBox, target: GeoBox) -> bool:
    """Whether the grids differ by scale and shift alone."""
    if source.crs != target.crs:
        return False
    t = ~source.transform @ target.transform
    turn = max(abs(t.b) * target.height, abs(t.d) * target.width)
    return bool(turn <= 0.01 * max(abs(t.a), abs(t.e), 1))


def _warped(pixels: Pixels, source: GeoBox, target: GeoBox) -> Pixels:
    """Pixels bilinear on another grid, with the weight of what is valid beside them."""
    from rasterio.warp import Resampling, reproject

    stack = np.concatenate(
        [np.where(pixels.valid, pixels.data, np.float32(0)), pixels.valid[None].astype(np.float32)]
    )
    found = np.zeros((len(stack), *target.shape), np.float32)
    reproject(
        stack,
        found,
        src_transform=source.transform,
        src_crs=source.crs,
        dst_transform=target.transform,
        dst_crs=target.crs,
        resampling=Resampling.bilinear,
        init_dest_nodata=True,
        num_threads=1,
        tolerance=0.01,
    )
    weight = found[-1]
    valid: NDArray[np.bool_] = weight >= 0.5
    data = found[:-1]
    data /= np.where(valid, weight, np.float32(1))
    return Pixels(data, valid)
