"""From a raster of field numbers to polygons that share their borders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agriseg.fields.delineation.farmland import UNKNOWN
from agriseg.vector.measure import Measures, measure
from agriseg.vector.network import Stack, dissolve
from agriseg.vector.rings import assemble
from agriseg.vector.segments import PolygonOptions
from agriseg.vector.shapes import Shapes, Simplified
from agriseg.vector.smooth import HALF_PIXEL, exact, smooth
from agriseg.vector.source import ClassRaster, ClassReader
from agriseg.vector.strip import Strip, trace_band

__all__ = ["Outlines", "outlines_of"]

_ROWS = 1024


@dataclass(frozen=True)
class Outlines:
    """Fields as polygons, in the order of their first pixels.

    Args:
        number: (n,) the number of each in the raster.
        geometry: (n,) polygons in the CRS of the map.
        measures: Area and perimeter on the ground.
        confidence: (n,) mean confidence of the map over the field; NaN where it is not known.
    """

    number: NDArray[np.int64]
    geometry: NDArray[np.object_]
    measures: Measures
    confidence: NDArray[np.float64]


def outlines_of(
    number: NDArray[np.int32],
    kind: NDArray[np.uint8],
    source: ClassRaster,
    simplify_m: float | None = None,
) -> Outlines:
    """Draw the outlines of fields.

    Args:
        number: (h, w) the field of each pixel, from 1; 0 where there is none. A field is in one
            piece: its pixels hang together by their sides.
        kind: (h, w) `UNKNOWN` where the map has no class: outlines along it stay where they are.
        source: The map.
        simplify_m: As in `agriseg.vectorize`.
    """
    box = source.geobox
    _, limit = PolygonOptions(simplify_m=simplify_m).in_pixels(box)
    network = Stack.of(_strips(number, kind, source)).joined()
    # Nothing becomes part of anything else, but for what the seams of strips cut.
    network = dissolve(network, np.arange(len(network.regions)), network.regions.value)
    lines = exact(network.arcs) if limit == 0 else smooth(network, limit)
    rings = assemble(network, lines)
    shapes = Shapes(lines, rings, box.transform)
    if limit > HALF_PIXEL:
        simplified = Simplified(lines, rings, box.transform, limit)
        shapes, measures = simplified, simplified.measure(box)
    else:
        measures = measure(lines, rings, box, len(network.regions))
    regions = network.regions
    fields = np.flatnonzero(regions.value > 0)
    geometry = np.empty(len(fields), object)
    done = 0
    for which in shapes.batches(fields) if len(fields) else ():
        geometry[done : done + len(which)] = _singles(shapes, which)
        done += len(which)
    known = regions.known[fields]
    confidence = np.full(len(fields), np.nan)
    if source.confidence is not None:
        has = known > 0
        mean = regions.steps[fields][has] / known[has]
        confidence[has] = mean * source.step + source.step_offset
    return Outlines(
        regions.value[fields],
        geometry,
        Measures(measures.areas_m2[fields], measures.perimeters_m[fields]),
        confidence,
    )


def _singles(shapes: Shapes, which: NDArray[np.int64]) -> NDArray[np.object_]:
    """Polygons, not multipolygons, where there is one part."""
    import shapely

    multi = shapes.polygons(which)
    alone = shapely.get_num_geometries(multi) == 1
    return np.where(alone, shapely.get_geometry(multi, 0), multi)


def _strips(
    number: NDArray[np.int32], kind: NDArray[np.uint8], source: ClassRaster
) -> Iterator[Strip]:
    with ClassReader(source) as reader:
        for row, height in source.bands_of_rows(_ROWS):
            steps = known = None
            if source.confidence is not None:
                rows = reader.read(row, height)
                steps, known = rows.steps, rows.has_steps
            part = slice(row, row + height)
            yield from trace_band(
                number[part], kind[part] != UNKNOWN, row, steps=steps, known=known
            )
