"""Labels from polygons in any vector format and CRS, painted onto the scene's grid as it is read.

Where polygons of different classes lie over each other, the smaller one lies on top: people draw a
weed into a field, not a field over a weed. A pixel belongs to the polygon that its centre lies in.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from agriseg.errors import LabelError
from agriseg.geobox import GeoBox, Window
from agriseg.labels.codes import IGNORE, Codes
from agriseg.labels.paint import Outlines, paint
from agriseg.labels.values import ValueTable
from agriseg.labels.vector_classes import class_codes
from agriseg.labels.vector_file import VectorFile, read_vector
from agriseg.raster import Scene

__all__ = ["VectorLabels"]

_POLYGON, _MULTIPOLYGON, _COLLECTION = 3, 6, 7


@dataclass(frozen=True)
class VectorLabels:
    """Polygons of classes.

    Args:
        path: The vector file.
        codes: The classes.
        table: What the entries of the column mean; by default they are names of the legend.
        column: The column with the class; by default one that is called class, or the like.
        layer: The layer; by default the only one.
        elsewhere: Code of what lies outside of all polygons.
        within: A vector file with the areas that were labelled; all else is ignored.
    """

    path: str
    codes: Codes
    table: ValueTable | None = None
    column: str | None = None
    layer: str | None = None
    elsewhere: int = IGNORE
    within: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """What they are read from."""
        return (self.path,) if self.within is None else (self.path, self.within)

    def open(self, scene: Scene) -> VectorReader:
        """Open them for the grid of `scene`.

        Raises:
            LabelError: They cannot be used with it.
        """
        return VectorReader(self, *self._shapes(scene)[:2])

    def look(self, scene: Scene) -> tuple[str, ...]:
        """What a person should know of them, such as how many polygons were repaired.

        Raises:
            LabelError: They cannot be used with `scene`.
        """
        return self._shapes(scene)[2]

    def _shapes(self, scene: Scene) -> tuple[Outlines, Outlines | None, tuple[str, ...]]:
        times = [os.stat(p).st_mtime for p in (self.path, self.within) if p and os.path.exists(p)]
        return _shapes(self, scene.name, scene.geobox, tuple(times))


# Threads of one training open the same labels; more would hold memory for scenes long past.
@lru_cache(maxsize=8)
def _shapes(
    labels: VectorLabels, name: str, grid: GeoBox, times: tuple[float, ...]
) -> tuple[Outlines, Outlines | None, tuple[str, ...]]:
    """The polygons that meet a scene, the areas that were labelled, and notes."""
    needs_class = labels.table is None or not labels.table.only_other
    file = VectorFile(labels.path, labels.layer, labels.column, needs_class)
    found = read_vector(file, grid, name)
    polygons, kept, notes = _polygons(found.shapes, labels.path)
    classes = None if found.classes is None else found.classes[kept]
    codes, unnamed = class_codes(classes, len(polygons), labels.table, labels.codes, labels.path)
    if unnamed:
        notes.append(f"polygons without a class in {labels.path}: {unnamed}, which are ignored")
    if found.note:
        notes.insert(0, found.note)
    if not len(polygons):
        notes.append(f"no polygon of {labels.path} lies in {name}")
    areas = None
    if labels.within is not None:
        inside = read_vector(VectorFile(labels.within, None, None, False), grid, name)
        shapes, _, more = _polygons(inside.shapes, labels.within)
        areas = _on_grid(shapes, np.zeros(len(shapes), np.uint8), grid)
        notes += more
    return _on_grid(polygons, codes, grid), areas, tuple(notes)


def _polygons(shapes: NDArray[Any], path: str) -> tuple[NDArray[Any], NDArray[np.intp], list[str]]:
    """The valid polygons among shapes, their places there, and notes."""
    import shapely

    notes = []
    shapes = shapes.copy()
    here = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    flat = here & np.isin(shapely.get_type_id(shapes), (_POLYGON, _MULTIPOLYGON, _COLLECTION))
    bad = flat & ~shapely.is_valid(shapes)
    if bad.any():
        shapes[bad] = shapely.make_valid(shapes[bad])
        notes.append(f"invalid polygons in {path}: {int(bad.sum())}, which were repaired")
    mixed = flat & (shapely.get_type_id(shapes) == _COLLECTION)
    for place in np.flatnonzero(mixed):
        shapes[place] = _flat_part(shapes[place])
        flat[place] = not shapes[place].is_empty
    lost = int((here & ~flat).sum())
    if lost and not flat.any():
        raise LabelError(
            f"{path} holds no polygon but points or lines; labels are areas: draw polygons, or "
            "widen points and lines with a buffer (Vector > Geoprocessing > Buffer in QGIS)"
        )
    if lost:
        notes.append(f"points or lines in {path}: {lost}, which are left out")
    kept = np.flatnonzero(flat)
    return shapes[kept], kept, notes


def _flat_part(collection: Any) -> Any:
    """The polygons in a collection, which may lie in collections themselves."""
    import shapely

    parts = [collection]
    while any(shapely.get_type_id(part) == _COLLECTION for part in parts):
        parts = [inner for part in parts for inner in shapely.get_parts(part)]
    flat = [p for p in parts if shapely.get_type_id(p) in (_POLYGON, _MULTIPOLYGON)]
    return shapely.union_all(flat) if flat else shapely.Polygon()


def _on_grid(polygons: NDArray[Any], codes: NDArray[np.uint8], grid: GeoBox) -> Outlines:
    """World polygons as outlines in pixels."""
    import shapely

    back: Affine = ~grid.transform
    matrix = np.array([[back.a, back.d], [back.b, back.e]])
    shift = np.array([back.c, back.f])
    return Outlines.of(shapely.transform(polygons, lambda xy: xy @ matrix + shift), codes)


class VectorReader:
    """Open vector labels. Used in a `with` block, in one thread.

    Args:
        labels: What they are.
        outlines: Their polygons.
        areas: Where all was labelled, or None.

    Attributes:
        clashes: Pixels read so far on which polygons of different classes lie.
    """

    def __init__(self, labels: VectorLabels, outlines: Outlines, areas: Outlines | None) -> None:
        self._labels, self._outlines, self._areas = labels, outlines, areas
        self.clashes = 0

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Codes (h, w) of a window of the scene's grid."""
        ground = np.full(window.shape, self._labels.elsewhere, np.uint8)
        codes, clash = paint(self._outlines, window, ground)
        self.clashes += int(np.count_nonzero(clash))
        if self._areas is not None:
            outside, _ = paint(self._areas, window, np.full(window.shape, IGNORE, np.uint8))
            codes[outside == IGNORE] = IGNORE
        return codes

    def __enter__(self) -> VectorReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def classes_in(path: str, layer: str | None, column: str | None) -> Iterable[str]:
    """The words in the class column of a vector file that stand for several classes."""
    from agriseg.labels.vector_file import words_of

    return (word for word in words_of(VectorFile(path, layer, column, True)) if " or " in word)
