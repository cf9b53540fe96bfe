"""Writing polygons into vector files: one batch at a time, whole or not at all, same bytes again.

The polygons are cut anew into groups of a fixed size before they are written, so that a file's
bytes depend on the polygons alone and not on the batches they came in. The same bytes come from
the same versions of GDAL, SQLite and pyarrow on the same kind of machine: GDAL sorts the spatial
index of a GeoPackage differently on Windows.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio.crs
import shapely
from numpy.typing import NDArray

from agriseg.errors import OutputError
from agriseg.raster.place import check_place
from agriseg.raster.whole_file import replacing, sweep_abandoned
from agriseg.vector.lonlat import to_lonlat, wkt_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FORMATS", "PolygonBatch", "check_format", "write_polygons"]

# The kinds of shapes that a file holds, by shapely's numbers.
_TYPE_IDS = {"Point": 0, "MultiLineString": 5, "MultiPolygon": 6}
# A group ends with the polygon that brings it to this many vertices: 64 MB of coordinates.
_VERTICES = 2**22
_ARROW_TYPES = {"i": "int64", "f": "double", "O": "string"}
# What else belongs to a SQLite file; with a new file in its place it would damage that one.
_SQLITE_SIDECARS = ("-wal", "-shm", "-journal")
_GDAL_OPTIONS = {
    # Stands in gpkg_contents instead of today's date.
    "OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z",
    # Else the spatial index depends on the memory and the processors of the machine.
    "OGR_GPKG_MAX_RAM_USAGE_RTREE": str(2**27),
    "OGR_GPKG_ALLOW_THREADED_RTREE": "NO",
    # A file that is thrown away if anything fails needs no sync at each step, only one at its end.
    "OGR_SQLITE_SYNCHRONOUS": "OFF",
}
_GDAL_LOCK = threading.RLock()


@dataclass(frozen=True)
class PolygonBatch:
    """Some polygons, or other shapes of one kind, with their columns.

    Args:
        geometry: Shapes (n,) of `kind`, in the CRS of the file; heights are left out.
        columns: For each name n values: int64, float64 (NaN is written as null), or str objects.
        kind: "MultiPolygon", "MultiLineString" or "Point".
    """

    geometry: NDArray[np.object_]
    columns: Mapping[str, NDArray[Any]]
    kind: str = "MultiPolygon"

    def __post_init__(self) -> None:
        assert (shapely.get_type_id(self.geometry) == _TYPE_IDS[self.kind]).all()
        assert not shapely.is_empty(self.geometry).any()
        assert all(values.shape == self.geometry.shape for values in self.columns.values())
        assert all(values.dtype.kind in _ARROW_TYPES for values in self.columns.values())

    def part(self, start: int, stop: int) -> PolygonBatch:
        """A copy of some rows, which does not keep the others in memory."""
        return PolygonBatch(
            self.geometry[start:stop].copy(),
            {name: values[start:stop].copy() for name, values in self.columns.items()},
            self.kind,
        )


@dataclass
class _Stream:
    """The polygons on their way into a file; it remembers how many and what stopped them."""

    path: Path
    batches: Iterable[PolygonBatch]
    schema: pa.Schema
    crs: rasterio.crs.CRS | None
    layer: str
    kind: str = "MultiPolygon"
    count: int = 0
    fault: BaseException | None = field(default=None, init=False)

    def record_batches(
        self, form: _Format, schema: pa.Schema
    ) -> Iterator[tuple[NDArray[np.float64], pa.RecordBatch]]:
        """(bounds (n, 4), rows) of one group after the other."""
        import pyarrow as pa

        turn = to_lonlat(self.path, self.crs) if form.lonlat else None
        try:
            for group in _regrouped(self.batches, form.rows):
                shapes = turn(group.geometry) if turn else group.geometry
                wkb = shapely.to_wkb(shapes, output_dimension=2, byte_order=1, flavor="iso")
                # from_pandas: NaN is null.
                columns = (
                    pa.array(group.columns[name], schema.field(name).type, from_pandas=True)
                    for name in schema.names[1:]
                )
                rows = pa.record_batch([pa.array(wkb, pa.binary()), *columns], schema=schema)
                self.count += rows.num_rows
                yield shapely.bounds(shapes), rows
        except GeneratorExit:
            raise
        except BaseException as error:
            # Arrow and GDAL hand on no more than that there was an error.
            self.fault = error
            raise


@dataclass(frozen=True)
class _Format:
    """How files with one ending are written.

    Args:
        write: Fills a new file.
        is_whole: Whether all is in the file, where a full disk can go unreported: GDAL writes the
            last few kilobytes, or the spatial index, when it closes a file, and keeps silent.
        rows: Polygons in a group.
        driver: GDAL's name of the format, None where GDAL has no part in it.
        options: For GDAL.
        lonlat: Whether it holds longitude and latitude only.
    """

    write: Callable[[Path, _Stream, _Format], None]
    is_whole: Callable[[Path, _Stream], bool] | None
    rows: int
    driver: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    lonlat: bool = False


def check_format(path: Path, crs: rasterio.crs.CRS | None) -> None:
    """Make sure, before any work, that polygons can be written to a file.

    Raises:
        OutputError: They cannot: unknown ending, no such folder, CRS that the format cannot hold.
    """
    ending = path.suffix.lower()
    found = ""
    if ending == ".shp":
        found = (
            "a shapefile cuts column names to 10 letters and ends at 2 GB; write a GeoPackage, "
            f"which has no such limits: {path.stem}.gpkg"
        )
    elif ending not in FORMATS:
        *most, last = FORMATS
        found = f"the name must end in {', '.join(most)} or {last}"
    elif FORMATS[ending].driver and set("!;") & set(str(path.absolute())):
        # pyogrio takes them for parts of a URL, and would write to another place.
        found = f"GDAL takes no ! or ; in a path ({path.absolute()}); give one without"
    if found:
        raise OutputError(f"{path} cannot be written: {found}")
    check_place(path)
    if FORMATS[ending].lonlat:
        to_lonlat(path, crs)


def write_polygons(
    path: Path,
    batches: Iterable[PolygonBatch],
    crs: rasterio.crs.CRS | None,
    *,
    layer: str = "segments",
) -> int:
    """Write polygons, lines or points into a new file, in the format that its ending stands for.

    A file that was there before is replaced as a whole, and stays as it was if anything goes wrong.
    The order is kept, except in FlatGeobuf, which sorts by place. GeoPackages number the polygons
    from 1. GDAL's options are the whole process's, so one thread at a time gets to write.

    Args:
        path: The file; see `FORMATS` for the endings.
        batches: At least one, which may be empty: the first one's columns are the file's.
        crs: Of the polygons, None where there is none. GeoJSON files are always in longitude and
            latitude (WGS 84).
        layer: Name of the layer.

    Returns:
        How many polygons were written.

    Raises:
        OutputError: The file cannot be written. What `batches` raises comes through as it is.
    """
    check_format(path, crs)
    form = FORMATS[path.suffix.lower()]
    source = iter(batches)
    first = next(source, None)
    assert first is not None, "no batch, so no columns"
    stream = _Stream(path, itertools.chain([first], source), _schema(first), crs, layer, first.kind)
    del first
    sweep_abandoned(path)
    try:
        with replacing(path) as beside:
            # GDAL wants the ending; what begins with the name of `beside` is cleared away with it.
            part = beside.with_name(beside.name + path.suffix.lower())
            form.write(part, stream, form)
            with open(part, "r+b") as file:
                os.fsync(file.fileno())
            if form.is_whole and not form.is_whole(part, stream):
                raise OSError(28, "the file is cut off, there seems to be no room left")
            if form.driver == "GPKG":
                for ending in _SQLITE_SIDECARS:
                    path.with_name(path.name + ending).unlink(missing_ok=True)
            os.replace(part, beside)
    except BaseException as error:
        if stream.fault is None and "batch from stream" in str(error):
            # Ctrl-C reached Arrow's own code, which tells GDAL no more than that.
            raise KeyboardInterrupt from error
        if stream.fault is None or error is stream.fault:
            raise
        raise stream.fault from stream.fault.__cause__
    return stream.count


def _regrouped(batches: Iterable[PolygonBatch], rows: int) -> Iterator[PolygonBatch]:
    """Cut the batches anew, at places that depend on the polygons alone."""
    held: list[PolygonBatch] = []
    count = vertices = 0
    for batch in batches:
        ends = np.cumsum(shapely.get_num_coordinates(batch.geometry))
        start = before = 0
        while start < len(ends):
            full = int(np.searchsorted(ends, before + _VERTICES - vertices)) + 1
            stop = min(start + rows - count, full, len(ends))
            held.append(batch.part(start, stop))
            count += stop - start
            vertices += int(ends[stop - 1]) - before
            start, before = stop, int(ends[stop - 1])
            if count == rows or vertices >= _VERTICES:
                group, held, count, vertices = _joined(held), [], 0, 0
                yield group
        # Not kept while the next one is made.
        del batch
    if held:
        yield _joined(held)


def _joined(parts: list[PolygonBatch]) -> PolygonBatch:
    return PolygonBatch(
        np.concatenate([part.geometry for part in parts]),
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        parts[0].kind,
    )


def _schema(batch: PolygonBatch) -> pa.Schema:
    import pyarrow as pa

    # These names are the formats' own.
    assert not {"fid", "geometry", "geom", "bbox"} & {name.lower() for name in batch.columns}
    kinds = {name: _ARROW_TYPES[values.dtype.kind] for name, values in batch.columns.items()}
    columns = [(name, pa.type_for_alias(kind)) for name, kind in kinds.items()]
    return pa.schema([("geometry", pa.binary()), *columns])


def _write_gdal(part: Path, stream: _Stream, form: _Format) -> None:
    import pyarrow as pa
    import pyogrio

    # Marked so, the column is found as the geometry, and no CRS (GeoJSON has none) is no warning.
    mark = {"ARROW:extension:name": "geoarrow.wkb"}
    schema = stream.schema.set(0, stream.schema.field(0).with_metadata(mark))
    batches = (batch for _, batch in stream.record_batches(form, schema))
    try:
        with _gdal_options():
            pyogrio.write_arrow(
                pa.RecordBatchReader.from_batches(schema, batches),
                part.absolute(),
                layer=stream.layer,
                driver=form.driver,
                geometry_type=stream.kind,
                crs=wkt_of(stream.crs) if stream.crs and not form.lonlat else None,
                **form.options,
            )
    except RuntimeError as error:
        said = textwrap.shorten(str(error).replace(str(part.absolute()), stream.path.name), 200)
        raise OutputError(
            f"{stream.path} cannot be written (GDAL says: {said}); free some room on the disk or "
            "write into another folder, then run the same command again"
        ) from error


def _is_whole_gpkg(part: Path, stream: _Stream) -> bool:
    import sqlite3

    layer = stream.layer.replace('"', '""')
    counts = (
        f'SELECT coalesce(max(fid), 0) FROM "{layer}"',
        "SELECT feature_count FROM gpkg_ogr_contents",
        "SELECT count(max_y) * ? FROM gpkg_contents",
        # The table behind the spatial index: that one itself needs an extension of SQLite.
        f'SELECT count(*) FROM "rtree_{layer}_geom_rowid"',
    )
    place = f"{part.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(place, uri=True)) as base:
            found = [
                base.execute(sql, (stream.count,) * sql.count("?")).fetchone() for sql in counts
            ]
    except sqlite3.Error:
        return False
    return found == [(stream.count,)] * len(counts)


def _is_whole_fgb(part: Path, stream: _Stream) -> bool:
    import pyogrio

    try:
        # In a file of this format 0 stands for an unknown number, which pyogrio gives as -1.
        found = max(0, pyogrio.read_info(part.absolute())["features"])
        if stream.count:
            # The last one ends where the file does.
            pyogrio.raw.read(part.absolute(), skip_features=stream.count - 1, max_features=1)
    except (RuntimeError, ValueError):
        return False
    return bool(found == stream.count)


def _is_whole_geojson(part: Path, stream: _Stream) -> bool:
    end = b"\n]\n}\n"
    with open(part, "rb") as file:
        file.seek(max(0, part.stat().st_size - len(end)))
        return file.read() == end


@contextlib.contextmanager
def _gdal_options() -> Iterator[None]:
    """GDAL's options for the time of writing; they hold for all threads."""
    import pyogrio

    with _GDAL_LOCK:
        before = {name: pyogrio.get_gdal_config_option(name) for name in _GDAL_OPTIONS}
        pyogrio.set_gdal_config_options(_GDAL_OPTIONS)
        try:
            yield
        finally:
            pyogrio.set_gdal_config_options(before)


def _write_parquet(part: Path, stream: _Stream, form: _Format) -> None:
    """GeoParquet 1.1, with the bounds of each polygon for readers that want a part only."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyproj

    edges = ("xmin", "ymin", "xmax", "ymax")
    box = pa.struct([(edge, pa.float64()) for edge in edges])
    geometry = {
        "encoding": "WKB",
        "geometry_types": [stream.kind],
        "crs": pyproj.CRS.from_wkt(wkt_of(stream.crs)).to_json_dict() if stream.crs else None,
        "covering": {"bbox": {edge: ["bbox", edge] for edge in edges}},
    }
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    schema = stream.schema.append(pa.field("bbox", box)).with_metadata({"geo": json.dumps(geo)})
    with pq.ParquetWriter(
        part,
        schema,
        compression="zstd",
        # Neither pays for shapes; their places are in the bounds.
        use_dictionary=[item.name for item in stream.schema if pa.types.is_string(item.type)],
        write_statistics=[*stream.schema.names[1:], *(f"bbox.{edge}" for edge in edges)],
    ) as writer:
        for bounds, batch in stream.record_batches(form, stream.schema):
            boxes = pa.StructArray.from_arrays(list(bounds.T.copy()), fields=list(box))
            writer.write_batch(pa.record_batch([*batch.columns, boxes], schema=schema))


FORMATS: dict[str, _Format] = {
    # QGIS and others warn at versions above 1.3. Small groups make a dense spatial index.
    ".gpkg": _Format(
        _write_gdal, _is_whole_gpkg, 8192, "GPKG", {"VERSION": "1.3", "GEOMETRY_NAME": "geom"}
    ),
    ".fgb": _Format(_write_gdal, _is_whole_fgb, 8192, "FlatGeobuf"),
    # GDAL's own way to RFC 7946 rounds to 7 digits, 1 cm, and repairs what that breaks. With 10
    # digits, 0.01 mm, pixels of 1 mm stay apart.
    ".geojson": _Format(
        _write_gdal,
        _is_whole_geojson,
        8192,
        "GeoJSON",
        {"RFC7946": "NO", "COORDINATE_PRECISION": "10"},
        lonlat=True,
    ),
    ".parquet": _Format(_write_parquet, None, 65_536),
}
"""The endings that polygons can be written under."""
