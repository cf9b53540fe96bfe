"""The managed area on a class map: crop and the soil between its rows, field by field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.errors import OptionError
from agriseg.fields.frame import frame_at
from agriseg.fields.kinds import Kinds
from agriseg.fields.managed.cells import Cells, count_cells
from agriseg.fields.managed.morphology import closed, distance, opened, rounded, without_holes
from agriseg.fields.rows.measuring import survey
from agriseg.fields.rows.patches import CropReader
from agriseg.fields.rows.waves import Wave
from agriseg.vector.network import Stack
from agriseg.vector.rings import assemble
from agriseg.vector.shapes import Simplified
from agriseg.vector.smooth import smooth
from agriseg.vector.source import ClassRaster
from agriseg.vector.specks import merge_specks
from agriseg.vector.strip import trace_band

__all__ = ["Outlines", "find_outlines"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# The gap that parts two fields, at least: a tractor's wheels leave tracks up to 0.6 m wide, with
# crop missing beside them. And at least so many pixels.
_LEAST_GAP_M, _LEAST_GAP_PX = 1.0, 3
# Over the bare strip between two rows; never more than this times the spacing.
_OVER_BARE, _OVER_SPACING = 1.5, 1.25
# Cells to a gap: 1.25 spacings are closed as discs of ten cells.
_CELLS = 8
# Crop stands where its share, averaged over a gap, is above this part of what is usual.
_DENSE = 0.2
# Cells with more crop than this count; and with more than this part of what such cells hold.
_CROPPED, _OF_OTHERS = 0.05, 0.2
# Rows are of another kind where gaps are so many times as wide; and what is so many of the widest
# gaps across is a field of the kind with the narrower ones.
_OTHER_KIND, _WHOLE = 1.5, 4.0
# Without `--min-field-ha`: this part of the largest outline.
_PART_OF_LARGEST = 0.02
# Crumbs of fewer cells than this, which rounding leaves, go to their neighbour.
_SPECK = 4
# Borders may move by this part of a gap to become straight.
_STRAIGHT = 0.15


@dataclass(frozen=True)
class Gap:
    """What is closed.

    Args:
        width_m: Gaps narrower than this.
        rim_m: What belongs to a field beyond its outer rows.
        is_measured: Whether it follows from rows.
    """

    width_m: float
    rim_m: float
    is_measured: bool


@dataclass(frozen=True)
class Outlines:
    """The fields of a map.

    Args:
        shapes: (n,) MultiPolygons in coordinates of the map; the north-western first.
        gap_m: Fields that are farther apart than this are two.
        least_ha: Smaller ones were left out.
        left_out: How many were.
        is_sown: Whether rows were found, from whose spacing the gap follows.
    """

    shapes: NDArray[np.object_]
    gap_m: float
    least_ha: float
    left_out: int
    is_sown: bool


def find_outlines(
    raster: ClassRaster,
    kinds: Kinds,
    *,
    gap_m: float | None = None,
    min_field_ha: float | None = None,
) -> Outlines:
    """Draw the outlines of the fields on a class map.

    A field is crop and what lies between it: gaps narrower than `gap_m` are closed, and so are
    holes smaller than the smallest field, be they bare, weedy or without a class. Where two rows
    stand apart farther than that, and along tracks and other land, fields end; half a bare strip
    beyond the outer rows still belongs to them, as it does to every row. What has no class lies
    outside of the fields.

    The work is done in cells of an eighth of `gap_m`, about four million of them at most: the map
    is read by bands of rows, and 0.4 GB are enough for any size.

    Args:
        raster: The class map.
        kinds: Which of its classes are crop.
        gap_m: Metres; by default half again as wide as the bare strip between two rows, measured on
            the map, between 1 m (a tractor's wheels do not part a field) and 1.25 row spacings.
            Where there are no rows to be seen, 1 m or three pixels.
        min_field_ha: Smaller areas are no fields; by default a fiftieth of the largest.

    Raises:
        OptionError: An option is no positive number.
        InputError: The map has no CRS, or reaches off the globe.
        ReadError: Pixels cannot be read.
    """
    for name, value in (("gap-m", gap_m), ("min-field-ha", min_field_ha)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise OptionError(f"--{name} {value}: a positive number is needed")
    box = raster.geobox
    frame = frame_at(box, box.width / 2, box.height / 2)
    gaps = _gaps(survey(raster, kinds).seen, frame.pixel_m)
    is_sown = gaps[0].is_measured
    if gap_m:
        gaps = [Gap(max(gap_m, max(frame.pixel_m)), min(gaps[0].rim_m, gap_m), is_sown)]
    with CropReader(raster, kinds.crop) as reader:
        cells = count_cells(reader, gaps[0].width_m / _CELLS)
    crop = _dense(cells, gaps[0].width_m)
    labels = _stages(crop, cells, gaps)
    fields, least, left_out = _kept(labels, cells, gaps[-1], min_field_ha)
    shapes = _drawn(fields, cells, gaps[0].width_m)
    # The last cells reach over the map where they do not divide it.
    shapes = _clipped(shapes, shapely.Polygon(box.corners))
    return Outlines(_in_order(shapes), gaps[-1].width_m, least, left_out, is_sown)


def _gaps(waves: Sequence[Wave], pixel_m: tuple[float, float]) -> list[Gap]:
    """How wide gaps are closed, the narrowest first: one for each kind of rows, if they differ."""
    least = max(_LEAST_GAP_M, _LEAST_GAP_PX * max(pixel_m))
    found: list[Gap] = []
    for wave in waves:
        bare = (1 - wave.width) * wave.spacing_m
        width = max(min(_OVER_BARE * bare, _OVER_SPACING * wave.spacing_m), least)
        found.append(Gap(width, min(bare / 2, width), True))
    kept: list[Gap] = []
    for gap in sorted(found, key=lambda one: one.width_m):
        if kept and gap.width_m < _OTHER_KIND * kept[-1].width_m:
            kept[-1] = gap  # one kind of rows, seen in several patches
        else:
            kept.append(gap)
    return kept or [Gap(least, 0.0, False)]


def _stages(crop: Bools, cells: Cells, gaps: Sequence[Gap]) -> NDArray[np.int32]:
    """Number of the area that each cell lies in, 0 for none.

    Crop in narrow rows comes first: what is a field with its gaps closed is none of the trees
    beside it, whose wider gaps would bridge the track between.
    """
    from scipy.ndimage import label

    found = np.zeros(crop.shape, np.int32)
    rest, count = crop, 0
    for place, gap in enumerate(gaps):
        if not rest.any():
            break
        area = _managed(rest, cells, gap) & (found == 0)
        labels, many = label(area)
        if place < len(gaps) - 1:
            least_m2 = (_WHOLE * gaps[-1].width_m) ** 2
            sizes = np.bincount(labels.ravel(), minlength=many + 1) * cells.cell_m2
            sizes[0] = 0
            whole = sizes >= least_m2
            labels[~whole[labels]] = 0
        found = np.where(labels > 0, labels + count, found).astype(np.int32)
        count += many
        # Crumbs at its border belong to what was found.
        rest = rest & (distance(found == 0, cells.size_m) > gap.width_m)
    return found


def _managed(crop: Bools, cells: Cells, gap: Gap) -> Bools:
    """Cells (h, w) of crop, closed, with its rim, without what is narrow."""
    unknown = cells.known < 0.5
    # Where a row ends at the map's edge, so does the soil beside it; a strip along it is a verge.
    edge_m = max(gap.rim_m, gap.width_m / 3)
    area = closed(crop, unknown, gap.width_m / 2, gap.rim_m, edge_m, cells.size_m)
    return opened(area, unknown, gap.width_m / 2, cells.size_m)


def _dense(cells: Cells, gap_m: float) -> Bools:
    """Cells with crop that has more around it: no single weed that was taken for crop."""
    from scipy.ndimage import gaussian_filter

    crop = cells.crop > _CROPPED
    if not crop.any():
        return crop
    held = cells.crop[crop]
    crop &= cells.crop > _OF_OTHERS * float(np.average(held, weights=held))
    sigma = [gap_m / size for size in cells.size_m[::-1]]
    around = gaussian_filter(cells.crop * cells.known, sigma, mode="constant", truncate=2.0)
    counted = gaussian_filter(cells.known, sigma, mode="constant", truncate=2.0)
    np.divide(around, counted, out=around, where=counted > 1e-6)
    usual = float(np.average(around[crop], weights=cells.crop[crop]))
    return np.asarray(crop & (around >= _DENSE * usual), bool)


def _kept(
    labels: NDArray[np.int32], cells: Cells, gap: Gap, min_field_ha: float | None
) -> tuple[NDArray[np.int32], float, int]:
    """The areas that are fields, without holes and bays; the least hectares; how many are none."""
    from scipy.ndimage import find_objects

    cell_ha = cells.cell_m2 / 1e4
    sizes = np.bincount(labels.ravel())[1:] * cell_ha
    if not sizes.any():
        return np.zeros_like(labels), min_field_ha or 0.0, 0
    least = _PART_OF_LARGEST * float(sizes.max()) if min_field_ha is None else min_field_ha
    hole_ha = max(least, gap.width_m**2 / 1e4)
    fields = np.zeros_like(labels)
    unknown = cells.known < 0.5
    pad = [int(np.ceil(2 * gap.width_m / size)) + 1 for size in cells.size_m[::-1]]
    for number, place in enumerate(find_objects(labels), start=1):
        if place is None or sizes[number - 1] < least:
            continue
        part = tuple(
            slice(max(span.start - more, 0), span.stop + more)
            for span, more in zip(place, pad, strict=True)
        )
        mine = labels[part] == number
        others = (labels[part] > 0) & ~mine
        # Bays at the border, as where plants are missing.
        mine = closed(mine, unknown[part], gap.width_m, 0.0, max(cells.size_m), cells.size_m)
        mine = without_holes(mine, hole_ha / cell_ha)
        mine = rounded(mine, unknown[part], gap.width_m / 4, cells.size_m)
        free = (fields[part] == 0) & ~others
        fields[part] = np.where(mine & free, number, fields[part])
    return fields, least, int(((sizes > 0) & (sizes < least)).sum())


def _drawn(fields: NDArray[np.int32], cells: Cells, gap_m: float) -> NDArray[np.object_]:
    """The fields as polygons with straight borders, which neighbours share."""
    if not fields.any():
        return np.empty(0, object)
    network = Stack.of(trace_band(fields, np.ones(fields.shape, bool))).joined()
    network = merge_specks(network, _SPECK)
    lines = smooth(network)
    rings = assemble(network, lines)
    pixels = max(_STRAIGHT * gap_m / min(cells.size_m), 0.5)
    shapes = Simplified(lines, rings, cells.box.transform, pixels)
    value = network.regions.value
    found = []
    for number in np.unique(value[value > 0]):
        parts = shapely.get_parts(shapes.polygons(np.flatnonzero(value == number)))
        largest = float(shapely.area(parts).max())
        # Larger crumbs: no more than a corner.
        found.append(shapely.MultiPolygon(list(parts[shapely.area(parts) > 0.01 * largest])))
    return np.array([*found, None], object)[:-1]


def _clipped(shapes: NDArray[np.object_], footprint: shapely.Polygon) -> NDArray[np.object_]:
    found = []
    for shape in shapes:
        parts = shapely.get_parts(shapely.intersection(shape, footprint))
        found.append(shapely.MultiPolygon([p for p in parts if p.geom_type == "Polygon"]))
    kept = [shape for shape in found if not shape.is_empty]
    return np.array([*kept, None], object)[:-1]


def _in_order(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """North-western first: by the corner of the box around each, from the upper left of the map."""
    left, _, _, top = shapely.bounds(shapes).T if len(shapes) else np.empty((4, 0))
    return shapes[np.lexsort((-top, left, left - top))]
