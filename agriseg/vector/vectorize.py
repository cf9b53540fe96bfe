"""The verb `vectorize`: any class raster into polygons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack, overload

import numpy as np
import rasterio

from agriseg.errors import InputError, OutputError
from agriseg.threads import in_threads
from agriseg.vector.files import check_format, write_polygons
from agriseg.vector.segments import (
    Confidence,
    OnStage,
    PolygonOptions,
    Segments,
    build,
    check_values,
)
from agriseg.vector.source import ClassRaster, open_classes
from agriseg.vector.strip import Strip, trace_band

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["make_segments", "trace_raster", "vectorize"]

# Pixels of a band of rows that one thread traces; it takes about 30 bytes for each.
_BAND_PIXELS = 6 << 20

Path_ = str | os.PathLike[str]


class _Options(TypedDict, total=False):
    min_area_m2: float | None
    simplify_m: float | None
    classes: Sequence[str | int] | str | int | None
    omit: Sequence[str | int] | str | int
    split_large: bool
    confidence: Path_ | bool | None
    nodata: float | None
    names: Mapping[int, str] | None
    on_stage: OnStage | None


@overload
def vectorize(raster: Path_, out: None = None, **options: Unpack[_Options]) -> gpd.GeoDataFrame: ...


@overload
def vectorize(raster: Path_, out: Path_, **options: Unpack[_Options]) -> Path: ...


def vectorize(
    raster: Path_,
    out: Path_ | None = None,
    *,
    min_area_m2: float | None = None,
    simplify_m: float | None = None,
    classes: Sequence[str | int] | str | int | None = None,
    omit: Sequence[str | int] | str | int = (),
    split_large: bool = False,
    confidence: Path_ | bool | None = None,
    nodata: float | None = None,
    names: Mapping[int, str] | None = None,
    on_stage: OnStage | None = None,
) -> gpd.GeoDataFrame | Path:
    """Turn a class raster into polygons that share their borders.

    The polygons tile the valid pixels without gap or overlap: neighbours have the same vertices
    along their border. By default borders are straightened by less than half a pixel, so that every
    pixel centre stays within its own polygon.

    Args:
        raster: A class raster: `classes.tif` of a run, or any raster of whole numbers.
        out: A file to write, by its ending GeoPackage (.gpkg), FlatGeobuf (.fgb), GeoParquet
            (.parquet) or GeoJSON (.geojson). Without it the polygons are returned: for maps that
            fit into memory.
        min_area_m2: Regions that are smaller on the ground become part of the neighbour with the
            longest common border. By default those of fewer than four pixels; 0 keeps all.
        simplify_m: By default borders move by less than half a pixel; 0 leaves them on the pixel
            edges. More than half a pixel, in metres, is a tolerance: corners whose triangle is
            smaller than its square go, small bays and lobes with them, and small polygons lose
            area. Borders against nodata never move.
        classes: Only these classes, by name or number.
        omit: All but these classes.
        split_large: Cut polygons with more than 200,000 pixel edges around along every 1024th row.
            They are quicker to draw, and no longer whole. Those with more than 20 million, which
            nothing can draw, are always cut.
        confidence: A raster of confidence on the same grid. By default confidence.tif beside a
            classes.tif; False for none.
        nodata: A value that is no class, beside those that the raster declares.
        names: Names of classes, before those in the raster.
        on_stage: Called with the name of each stage of the work as it begins.

    Returns:
        Without `out` a GeoDataFrame with the columns `segment_id` (stable: from the polygon's first
        pixel), `class_id`, `class_name`, `area_m2` and `perimeter_m` (on the ground, whatever the
        CRS, of the polygon as drawn), `confidence` (mean over its pixels); else the path of `out`.

    Raises:
        InputError: The raster cannot be used.
        OptionError: An option makes no sense for this raster.
        OutputError: The file cannot be written.
    """
    options = PolygonOptions(
        min_area_m2=min_area_m2,
        simplify_m=simplify_m,
        classes=None if classes is None else _listed(classes),
        omit=_listed(omit),
        split_large=split_large,
    )
    segments = make_segments(
        raster, out, options, confidence=confidence, nodata=nodata, names=names, on_stage=on_stage
    )
    return _frame(segments) if out is None else Path(out)


def make_segments(
    raster: Path_,
    out: Path_ | None,
    options: PolygonOptions,
    *,
    confidence: Path_ | bool | None = None,
    nodata: float | None = None,
    names: Mapping[int, str] | None = None,
    on_stage: OnStage | None = None,
) -> Segments:
    """What `vectorize` does, with its options in one; what was made, and written if `out` is given.

    Raises:
        InputError, OptionError, OutputError: As in `vectorize`.
    """
    source = open_classes(raster, confidence=confidence, nodata=nodata, names=names)
    scratch = None
    if out is not None:
        check_format(Path(out), source.geobox.crs)
        _refuse_overwriting(Path(out), source)
        scratch = Path(out).absolute().parent
    sure = Confidence(source.step, source.step_offset) if source.confidence is not None else None
    strips = trace_raster(source)
    segments = build(strips, source.geobox, source.names, sure, options, on_stage, scratch)
    if not len(segments.regions):
        raise InputError(
            f"{source.path} holds no pixel with a class: every one is nodata or masked; is it the "
            "right file, and --nodata the right value?"
        )
    if out is not None:
        if on_stage:
            on_stage("writing")
        write_polygons(Path(out), segments.batches(), source.geobox.crs)
    return segments


def _refuse_overwriting(out: Path, source: ClassRaster) -> None:
    # A GeoPackage may hold a raster, too.
    for path in (source.path, source.confidence):
        if path is not None and Path(path).resolve() == out.resolve():
            raise OutputError(
                f"{out} is the raster itself, which the polygons would replace; give another file "
                "with -o"
            )


def trace_raster(source: ClassRaster) -> Iterator[Strip]:
    """Trace a raster by bands of rows, in threads, a few bands ahead.

    Raises:
        InputError: It cannot be read, or holds more than 255 different values.
    """

    def work(band: tuple[int, int]) -> list[Strip]:
        with rasterio.Env():
            rows = source.read(*band)
        return trace_band(rows.classes, rows.valid, band[0], steps=rows.steps, known=rows.has_steps)

    values = np.zeros(0, np.int64)
    bands = source.bands_of_rows(max(_BAND_PIXELS // source.geobox.width, 1))
    for _, strips in in_threads(work, bands):
        for strip in strips:
            values = np.union1d(values, strip.regions.value)
            check_values(values, source.path)
            yield strip


def _listed(given: Sequence[str | int] | str | int) -> tuple[str | int, ...]:
    return (given,) if isinstance(given, str | int) else tuple(given)


def _frame(segments: Segments) -> gpd.GeoDataFrame:
    import geopandas as gpd

    batches = list(segments.batches())
    columns = {
        name: np.concatenate([batch.columns[name] for batch in batches])
        for name in batches[0].columns
    }
    geometry = np.concatenate([batch.geometry for batch in batches])
    crs = segments.box.crs
    return gpd.GeoDataFrame(columns, geometry=geometry, crs=crs and crs.to_wkt())
