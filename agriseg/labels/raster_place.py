"""Where a label raster lies against the grid of its scene."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from agriseg.errors import InputError, LabelError
from agriseg.geobox import GeoBox, Window
from agriseg.raster import Scene
from agriseg.raster.reader import crs_words, grid_axes
from agriseg.raster.resample import Axis
from agriseg.raster.source import Source

__all__ = ["Place", "placed"]


@dataclass(frozen=True)
class Place:
    """Where labels lie against the scene's grid.

    Args:
        size: The label raster's own pixels; of a warped one, the scene's.
        cols: How columns of the scene map to its own.
        rows: How rows do.
        warp: The scene's grid, where only warping brings the two together.
        note: What to say of it, or nothing.
    """

    size: Window
    cols: Axis = field(default_factory=lambda: Axis(1, 0))
    rows: Axis = field(default_factory=lambda: Axis(1, 0))
    warp: GeoBox | None = None
    note: str = ""


def placed(path: str, source: Source, scene: Scene, *, by_pixel: bool) -> Place:
    """Where a label raster lies against a scene.

    Args:
        path: The raster.
        source: What it says of itself.
        scene: Its scene.
        by_pixel: Lay its pixels on those of the scene, whatever it says of its place.

    Raises:
        LabelError: It has another size without a place, or lies elsewhere.
    """
    mine, grid = source.geobox, scene.geobox
    apart = (mine.crs is None) != (grid.crs is None)
    loose = mine.crs is None and not mine.is_georeferenced
    if by_pixel or apart or loose or not grid.is_georeferenced:
        if mine.shape != grid.shape:
            factor = _coarser(grid, mine)
            if factor is None:
                raise LabelError(_sizes(path, source, scene))
            return Place(mine.window, Axis(factor, 0), Axis(factor, 0))
        without = scene.name if grid.crs is None else path
        note = f"{without} has no CRS: pixels are paired by their place in the picture"
        return Place(mine.window, note=note if apart and not by_pixel else "")
    if mine.crs != grid.crs:
        note = (
            f"{path} is in {crs_words(mine)}, {scene.name} in {crs_words(grid)}: each pixel "
            "takes the nearest label"
        )
        return Place(grid.window, warp=grid, note=note)
    try:
        cols, rows = grid_axes(grid, mine, path)
    except InputError:
        note = f"{path} is turned against {scene.name}: each pixel takes the nearest label"
        return Place(grid.window, warp=grid, note=note)
    if not (cols.meets(grid.width, mine.width) and rows.meets(grid.height, mine.height)):
        raise LabelError(
            f"{path} spans {_span(mine)}, {scene.name} {_span(grid)}; the labels lie "
            "outside of the scene: give those of the same place"
        )
    note = ""
    if not (cols.is_whole(grid.width) and rows.is_whole(grid.height)):
        note = (
            f"{path} has pixels of {abs(mine.transform.a):.6g}, {scene.name} of "
            f"{abs(grid.transform.a):.6g}, or lies between them: each pixel takes the nearest label"
        )
    return Place(mine.window, cols, rows, note=note)


def _coarser(grid: GeoBox, mine: GeoBox) -> float | None:
    """Pixels of labels to one of a photo that was brought to coarser pixels; None: it was not."""
    t = grid.transform
    if grid.crs is not None or (t.b, t.c, t.d, t.f) != (0, 0, 0, 0) or not 0 < t.a == t.e:
        return None
    # As many as cover the photo, whatever doubles say.
    shape = tuple(max(math.ceil(side / t.a - 1e-4), 1) for side in mine.shape)
    return float(t.a) if shape == grid.shape else None


def _sizes(path: str, source: Source, scene: Scene) -> str:
    mine, grid = source.geobox, scene.geobox
    turned = mine.shape == (grid.width, grid.height)
    todo = (
        "one of the two is turned by a quarter: save both upright"
        if turned
        else "give labels of the same size, pixel by pixel"
    )
    if mine.crs is not None or grid.crs is not None:
        todo += ", or assign the CRS that is missing: gdal_edit.py -a_srs EPSG:..."
    return (
        f"{path} has {mine.width} x {mine.height} pixels, {scene.name} {grid.width} x "
        f"{grid.height}; {todo}"
    )


def _span(box: GeoBox) -> str:
    return "left, bottom, right, top = " + ", ".join(f"{value:.10g}" for value in box.bounds)
