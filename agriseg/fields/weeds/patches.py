"""The verb `weed_patches`: where in each field weeds stand together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.errors import OptionError
from agriseg.fields.given import GivenField, fields_on
from agriseg.fields.output import frame_of
from agriseg.fields.weeds.grid import SPECK_PIXELS, weed_values
from agriseg.fields.weeds.lattice import only_polygons
from agriseg.geobox import GeoBox
from agriseg.vector.files import PolygonBatch
from agriseg.vector.ground import Ground
from agriseg.vector.measure import measure_polygons
from agriseg.vector.segments import PolygonOptions, Segments
from agriseg.vector.source import ClassRaster, open_classes
from agriseg.vector.vectorize import make_segments

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["patch_batch", "weed_patches"]

Path_ = str | os.PathLike[str]


def weed_patches(
    classes: Path_,
    fields: gpd.GeoDataFrame | Path_,
    *,
    min_patch_m2: float | None = None,
    join_m: float | None = None,
    confidence: Path_ | bool | None = None,
    weed: Sequence[str] = (),
    names: Mapping[int, str] | None = None,
    nodata: float | None = None,
) -> gpd.GeoDataFrame:
    """Patches of weeds in fields, as polygons.

    They are those of `vectorize`, cut at the borders of fields.

    Args:
        classes: A class raster: `classes.tif` of a run, or any with named classes.
        fields: Outlines of fields, or a vector file with some, in any CRS.
        min_patch_m2: Patches that are smaller, after they were joined, are left out. By default
            those of fewer than four pixels; 0 keeps all.
        join_m: Weeds of one field that stand nearer to each other than this are one patch, of
            several parts; the ground between them is no part of it.
        confidence: As for `vectorize`: by default confidence.tif beside a classes.tif.
        weed: Names of the classes that are weeds; by default `weed`.
        names: Names of the raster's classes, before those in the file.
        nodata: A value that is no class, beside those that the file declares.

    Returns:
        A patch a row, by field: `patch_id` (from 1), `field_id`, `parts`, `area_m2` on the ground,
        `confidence` (mean over its area; NaN where it is unknown).

    Raises:
        InputError: The raster or the fields cannot be used.
        OptionError: No class is a weed, or an option makes no sense.
    """
    raster = open_classes(classes, confidence=confidence, nodata=nodata, names=names)
    batch = patch_batch(
        raster,
        fields_on(raster.geobox, fields, raster.path).logged(),
        min_patch_m2=min_patch_m2,
        join_m=join_m,
        weed=weed,
        confidence=confidence,
        nodata=nodata,
    )
    return frame_of([batch], raster)


def patch_batch(
    raster: ClassRaster,
    fields: Sequence[GivenField],
    *,
    min_patch_m2: float | None = None,
    join_m: float | None = None,
    weed: Sequence[str] = (),
    confidence: Path_ | bool | None = None,
    nodata: float | None = None,
) -> PolygonBatch:
    """The patches of `weed_patches`.

    Raises:
        InputError, OptionError: As in `weed_patches`.
    """
    for option, value in (("min-patch-m2", min_patch_m2), ("join-m", join_m)):
        if value is not None and not 0 <= value < np.inf:
            raise OptionError(f"--{option} {value:g}: 0 or a positive number is needed")
    weeds = weed_values(raster, weed)
    # A weed that leaves but one pixel of soil inside is one without a hole: specks go, as always.
    segments = make_segments(
        raster.path,
        None,
        PolygonOptions(classes=None, min_area_m2=0 if min_patch_m2 == 0 else None),
        confidence=confidence,
        nodata=nodata,
        names=raster.names,
    )
    shapes, sure = _weeds(segments, weeds)
    least = min_patch_m2
    if least is None:
        least = SPECK_PIXELS * (raster.geobox.area_m2 or 0) / np.prod(raster.geobox.shape)
    parts = [
        _in_field(field, shapes, sure, raster.geobox, (least * (1 - 1e-9), join_m or 0))
        for field in fields
    ]
    geometry = np.concatenate([part.pop("geometry") for part in parts])
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return PolygonBatch(geometry, {"patch_id": np.arange(1, len(geometry) + 1), **columns})


def _weeds(
    segments: Segments, weeds: frozenset[int]
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """All polygons of weeds, and the confidence of each."""
    shapes, sure = [np.zeros(0, object)], [np.zeros(0)]
    for batch in segments.batches():
        mine = np.isin(batch.columns["class_id"], sorted(weeds))
        shapes.append(batch.geometry[mine])
        sure.append(batch.columns["confidence"][mine])
    return np.concatenate(shapes), np.concatenate(sure)


def _in_field(
    field: GivenField,
    shapes: NDArray[np.object_],
    sure: NDArray[np.float64],
    box: GeoBox,
    limits: tuple[float, float],
) -> dict[str, NDArray[Any]]:
    """The table of one field's patches; `limits`: least area in m2, and metres to join over."""
    least, join_m = limits
    tree = shapely.STRtree(shapes)
    mine = np.sort(tree.query(field.shape, predicate="intersects"))
    whole = np.zeros(len(mine), bool)
    whole[np.searchsorted(mine, np.sort(tree.query(field.shape, predicate="contains")))] = True
    cut, sure = shapes[mine], sure[mine]
    cut[~whole] = only_polygons(shapely.intersection(cut[~whole], field.shape))
    some = ~shapely.is_empty(cut)
    cut, sure = cut[some], sure[some]
    areas = measure_polygons(cut, box).areas_m2
    owner = _joined(cut, box, join_m)
    count = int(owner.max(initial=-1)) + 1
    area = np.bincount(owner, areas, count)
    parts, part_of = shapely.get_parts(cut, return_index=True)
    order = np.argsort(owner[part_of], kind="stable")
    patches = np.full(count, shapely.MultiPolygon(), object)
    shapely.multipolygons(parts[order], indices=owner[part_of][order], out=patches)
    with np.errstate(invalid="ignore", divide="ignore"):
        known = ~np.isnan(sure)
        weight = np.bincount(owner[known], areas[known], count)
        mean = np.bincount(owner[known], (areas * sure)[known], count) / weight
    kept = np.flatnonzero((area >= least) & (area > 0))
    return {
        "geometry": patches[kept],
        "field_id": np.full(len(kept), field.field_id, object),
        "parts": shapely.get_num_geometries(patches[kept]).astype(np.int64),
        "area_m2": area[kept],
        "confidence": mean[kept],
    }


def _joined(shapes: NDArray[np.object_], box: GeoBox, join_m: float) -> NDArray[np.int64]:
    """Number of the patch that each shape belongs to; patches in the order of their first shape."""
    count = len(shapes)
    if not join_m or not count:
        return np.arange(count)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    flat = shapely.transform(shapes, Ground(box).flatten)
    one, other = shapely.STRtree(flat).query(flat, predicate="dwithin", distance=join_m)
    graph = coo_array((np.ones(len(one)), (one, other)), (count, count))
    owner = connected_components(graph, directed=False)[1]
    _, first, number = np.unique(owner, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[number], np.int64)
