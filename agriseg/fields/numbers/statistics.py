"""Numbers of each field: cover, shade, confidence, and how the indices of its crop are spread.

Each band of rows is read once, and each index computed once. A pixel on the edge of a field counts
by the share of it that lies inside (`agriseg.fields.numbers.coverage`). The numbers do not depend
on where the raster is cut, nor on the order of the fields.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.fields.kinds import Kinds, kinds_of
from agriseg.fields.numbers.coverage import Covered, bands_of_rows, covered, in_pixels
from agriseg.fields.numbers.planes import Layers, Planes, read_planes
from agriseg.fields.numbers.shade import BINS, brightness_bins, shadow_percent
from agriseg.fields.numbers.weighted import Summary, Values
from agriseg.fields.pixels import PixelChoice
from agriseg.legend import NODATA
from agriseg.threads import in_threads

if TYPE_CHECKING:
    from agriseg.geobox import Window

__all__ = ["FieldCounts", "count_fields", "counted_values"]

Floats = NDArray[np.float64]

# So many values of fields that are not yet complete are kept as they are, 4 bytes each; beyond, the
# largest field's are rounded (`Values.compact`).
_MOST_KEPT = 2**27
# So many are worth a thread for each index.
_MANY = 2**20


@dataclass(frozen=True, eq=False)
class FieldCounts:
    """What was counted in each field; pixels are weighted by the share that lies inside.

    Args:
        area: (fields,) pixels that the field covers, also where the raster ends.
        cover: (fields, 256) pixels of each class value; `NODATA` for those without one.
        confidence: (fields,) mean confidence, 0..1; NaN where there is none.
        shadow_percent: (fields,) share in the shade; NaN where the scene is not there.
        chosen: (fields,) pixels in which the indices are looked at.
        indices: For each index the summaries of the fields.
    """

    area: Floats
    cover: Floats
    confidence: Floats
    shadow_percent: Floats
    chosen: Floats
    indices: tuple[tuple[Summary, ...], ...]

    @property
    def valid(self) -> Floats:
        """(fields,) pixels that have a class."""
        found: Floats = self.cover[:, :NODATA].sum(axis=1)
        return found

    @property
    def inside(self) -> Floats:
        """(fields,) pixels on the raster."""
        found: Floats = self.cover.sum(axis=1)
        return found


def counted_values(pixels: PixelChoice, kinds: Kinds) -> frozenset[int]:
    """The class values in which indices are looked at."""
    if pixels == "all":
        return kinds.plants | kinds.ground
    return kinds.crop if pixels == "crop" else kinds.plants


def count_fields(
    shapes: NDArray[np.object_],
    layers: Layers,
    *,
    kinds: Kinds | None = None,
    pixels: PixelChoice = "crop",
) -> FieldCounts:
    """Go over the raster once, and count what lies in each field.

    Memory holds a few bands of rows, and 4 bytes for each pixel and index of the fields that the
    current band cuts; beyond half a gigabyte of these, values of the largest fields are rounded to
    a relative 8e-6.

    Args:
        shapes: Polygons (fields,) in map coordinates of the classes' CRS; they may overlap.
        layers: What to look at.
        kinds: What the classes are; by default by their names.
        pixels: Where to look at the indices.

    Raises:
        ReadError: Pixels cannot be read; the message names file and window.
    """
    box = layers.classes.geobox
    kinds = kinds or kinds_of(layers.classes.names)
    polygons = in_pixels(shapes, box)
    tally = _Tally.of(polygons, layers, kinds, counted_values(pixels, kinds))
    bands = list(bands_of_rows(box, polygons))
    for (window, planes), (_, which) in zip(
        read_planes(layers, [window for window, _ in bands]), bands, strict=True
    ):
        for one in covered(window, polygons, which):
            tally.add(one, planes)
        tally.close(window)
    return tally.result()


@dataclass(eq=False)
class _Tally:
    """What is counted so far."""

    polygons: NDArray[np.object_]
    last_rows: Floats
    is_chosen: NDArray[np.bool_]
    ground: NDArray[np.bool_]
    step: tuple[float, float]
    cover: Floats
    sure: Floats
    steps: Floats
    chosen: Floats
    light: Floats | None
    open: dict[int, list[Values]] = field(default_factory=dict)
    done: dict[int, list[Summary]] = field(default_factory=dict)
    indices: int = 0

    @classmethod
    def of(
        cls,
        polygons: NDArray[np.object_],
        layers: Layers,
        kinds: Kinds,
        chosen: frozenset[int],
    ) -> _Tally:
        count = len(polygons)
        return cls(
            polygons=polygons,
            last_rows=shapely.bounds(polygons)[:, 3] if count else np.empty(0),
            is_chosen=np.isin(np.arange(256), list(chosen)),
            ground=np.isin(np.arange(256), list(kinds.ground)),
            step=(layers.classes.step, layers.classes.step_offset),
            cover=np.zeros((count, 256)),
            sure=np.zeros(count),
            steps=np.zeros(count),
            chosen=np.zeros(count),
            light=None if layers.scene is None else np.zeros((count, 2, BINS)),
            indices=len(layers.indices),
        )

    def add(self, one: Covered, planes: Planes) -> None:
        """Count what one field has in one window."""
        if one.cells.size:
            self._count(one.index, planes.at(one.cells), one.weights)
        for block in one.inner:
            self._count(one.index, planes.at(block), None)

    def _count(self, at: int, pixels: Planes, weights: Floats | None) -> None:
        """Count (n,) pixels of a field, of some weight; of 1 where it is None."""

        def weight_of(which: NDArray[np.bool_]) -> Floats | None:
            return None if weights is None else weights[which]

        def total(which: NDArray[np.bool_]) -> float:
            return float(np.count_nonzero(which) if weights is None else weights[which].sum())

        classes = pixels.classes
        self.cover[at] += np.bincount(classes, weights, 256)
        if pixels.steps is not None:
            known = classes != NODATA
            if pixels.has_steps is not None:
                known &= pixels.has_steps
            self.sure[at] += total(known)
            steps = pixels.steps[known]
            some = weight_of(known)
            self.steps[at] += steps.sum(dtype=np.int64) if some is None else some @ steps
        if self.light is not None and pixels.brightness is not None:
            usable = pixels.brightness.valid & (classes != NODATA)
            bins = brightness_bins(pixels.brightness.data[usable])
            bins += np.int32(BINS) * self.ground[classes[usable]]
            found = np.bincount(bins, weight_of(usable), 2 * BINS)
            self.light[at] += found.reshape(2, BINS)
        is_chosen = self.is_chosen[classes]
        self.chosen[at] += total(is_chosen)
        if not self.indices:
            return
        values = self.open.setdefault(at, [Values() for _ in range(self.indices)])
        for plane, kept in zip(pixels.indices, values, strict=True):
            usable = plane.valid & is_chosen
            kept.add(plane.data[usable], weight_of(usable))

    def close(self, window: Window) -> None:
        """Sum up fields that end in a window, and keep the memory of the others in bounds."""
        for at in [at for at in self.open if self.last_rows[at] <= window.row_end]:
            self._finish(at)
        sizes = {at: sum(map(len, values)) for at, values in self.open.items()}
        for at in sorted(sizes, key=lambda at: (-sizes[at], at)):
            if sum(sizes.values()) <= _MOST_KEPT:
                break
            for values in self.open[at]:
                values.compact()
            sizes[at] = sum(map(len, self.open[at]))

    def _finish(self, at: int) -> None:
        values = self.open.pop(at)
        threads = len(values) if sum(map(len, values)) > _MANY else 1
        self.done[at] = [found for _, found in in_threads(Values.summary, values, threads, "sum")]

    def result(self) -> FieldCounts:
        for at in list(self.open):
            self._finish(at)
        count = len(self.polygons)
        nothing = [Summary()] * self.indices
        summaries = [self.done.get(at, nothing) for at in range(count)]
        mean = np.divide(self.steps, self.sure, out=np.full(count, math.nan), where=self.sure > 0)
        step, offset = self.step
        return FieldCounts(
            area=shapely.area(self.polygons),
            cover=self.cover,
            confidence=mean * step + offset,
            shadow_percent=(
                np.full(count, math.nan) if self.light is None else shadow_percent(self.light)
            ),
            chosen=self.chosen,
            indices=tuple(tuple(each[k] for each in summaries) for k in range(self.indices)),
        )
