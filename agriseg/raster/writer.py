"""Writing rasters: row files while a run goes on, Cloud Optimized GeoTIFFs at its end.

Profiles are built from scratch, never copied from an input. Every file is written beside its place
and renamed into it, so that nobody ever sees half of one.
"""

from __future__ import annotations

import contextlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from agriseg.geobox import GeoBox, Window
from agriseg.legend import NODATA, Legend
from agriseg.raster.virtual import forget_parts
from agriseg.raster.whole_file import replacing, write_bytes

__all__ = [
    "ByteLayer",
    "Piece",
    "copy_cog",
    "copy_cog_beside",
    "georeference_beside",
    "write_cog",
    "write_rows",
    "xml_text",
]

_BLOCK = 512
# Bytes behind each tile of a Cloud Optimized GeoTIFF: its last four again.
_TRAILER = 4
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class ByteLayer:
    """One band of an output raster and how it is to be shown.

    Args:
        name: Band description.
        plane: Band of the row files that it comes from, from 0.
        scale: Multiplies the stored bytes; 1 for classes.
        legend: The classes, for a class band.
    """

    name: str
    plane: int
    scale: float = 1.0
    legend: Legend | None = None


@dataclass(frozen=True)
class Piece:
    """A row file and the full-width window of the raster that it holds."""

    window: Window
    path: Path


@dataclass(frozen=True)
class _Output:
    path: Path
    geobox: GeoBox
    layers: Sequence[ByteLayer]
    tags: Mapping[str, str] = field(default_factory=dict)


def write_rows(path: Path, planes: NDArray[np.uint8]) -> None:
    """Write bytes (planes, height, width) as a row file.

    The file is made in memory first: its bytes then go to the disk in one write that fails loudly,
    which GDAL's own closing of a file on a full disk does not. Nobody waits for the disk: rows of
    a run that was stopped are read before it goes on, and those that are not whole made anew.

    Raises:
        OutputError: It cannot be written.
    """
    count, height, width = planes.shape
    tiled = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": count,
        "height": height,
        "width": width,
        "nodata": NODATA,
        "interleave": "band",
        "compress": "zstd",
        "zstd_level": 1,
        **(tiled if min(height, width) >= _BLOCK else {}),
    }
    with MemoryFile() as memory:
        with _quiet(), memory.open(**profile) as dataset:
            for band, plane in enumerate(planes, 1):  # of a part of an array rasterio makes copies
                dataset.write(plane, band)
        data = memory.read()
    write_bytes(path, data, sync=False)


def write_cog(
    path: Path,
    pieces: Sequence[Piece],
    geobox: GeoBox,
    layers: Sequence[ByteLayer],
    *,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Assemble row files into a Cloud Optimized GeoTIFF with its PAM sidecar.

    Pixels under no piece are `NODATA`. Overviews take the most frequent class, or the mean.

    Args:
        path: Where it goes.
        pieces: Row files, all with the same planes.
        geobox: The grid of the output; transform and CRS come back from the file bit for bit.
        layers: The bands, in order.
        tags: Metadata of the whole raster.

    Raises:
        OutputError: It cannot be written.
    """
    output = _Output(path, geobox, layers, dict(tags or {}))
    classes = any(layer.legend for layer in layers)
    # Noise does not shrink, however long one tries: a confidence of 67 Mpixel takes 34 MB in 2.2 s
    # at level 6, and 36 MB in 0.9 s at level 1. Classes take 5 MB in 1.5 s, and 8 MB in 0.9 s.
    options = {
        "LEVEL": "6" if classes else "1",
        "OVERVIEW_RESAMPLING": "MODE" if classes else "AVERAGE",
    }
    recipe = _vrt(output, pieces)
    with replacing(path) as beside, _quiet():
        vrt = beside.with_name(beside.name + ".vrt")
        vrt.write_bytes(recipe)
        try:
            copy_cog_beside(vrt, beside, **options)
        except Exception:
            forget_parts()  # else no further try in this process would find the row file
            raise
        # GDAL's own sidecar would be lost with the name; what it holds goes into ours.
        beside.with_name(beside.name + ".aux.xml").unlink(missing_ok=True)
        geo = _lost_georeference(beside, geobox)
    write_bytes(path.with_name(path.name + ".aux.xml"), _pam(output, geo))


def copy_cog(source: Path, path: Path, **options: str) -> None:
    """Copy a raster into a Cloud Optimized GeoTIFF with tiles of 512 pixels, in deflate.

    Args:
        source: What is copied; overviews beside it are taken over.
        path: Where it goes.
        options: More of GDAL's COG driver: LEVEL, PREDICTOR, OVERVIEW_RESAMPLING.

    Raises:
        OutputError: It cannot be written.
    """
    with replacing(path) as beside, _quiet():
        copy_cog_beside(source, beside, **options)


def georeference_beside(path: Path, geobox: GeoBox) -> None:
    """Leave a sidecar with what of the grid's place a GeoTIFF could not hold; else leave none.

    Raises:
        OutputError: It cannot be written.
    """
    sidecar = path.with_name(path.name + ".aux.xml")
    # What an earlier raster of that name left would count for this one.
    sidecar.unlink(missing_ok=True)
    with _quiet():
        lost = _lost_georeference(path, geobox)
    if lost:
        write_bytes(sidecar, _pam(_Output(path, geobox, ()), lost))


def copy_cog_beside(source: Path, beside: Path, **options: str) -> None:
    """What `copy_cog` does, into a path that `replacing` gave.

    Raises:
        OSError, SystemError, RasterioError: GDAL failed, or the disk is full.
    """
    rasterio.shutil.copy(
        str(source),
        str(beside),
        driver="COG",
        COMPRESS="DEFLATE",
        BLOCKSIZE=str(_BLOCK),
        BIGTIFF="IF_SAFER",
        NUM_THREADS="ALL_CPUS",
        **options,
    )
    _check_complete(beside)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about rasters without georeference: ours mirror their input."""
    import warnings

    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _vrt(output: _Output, pieces: Sequence[Piece]) -> bytes:
    """A virtual raster that lays the row files under each other."""
    box = output.geobox
    root = ET.Element("VRTDataset", rasterXSize=str(box.width), rasterYSize=str(box.height))
    if box.crs is not None:
        ET.SubElement(root, "SRS", dataAxisToSRSAxisMapping=_axes(box)).text = box.crs.to_wkt()
    if not box.transform.is_identity:
        ET.SubElement(root, "GeoTransform").text = _geotransform(box)
    metadata = ET.SubElement(root, "Metadata")
    for key, value in output.tags.items():
        ET.SubElement(metadata, "MDI", key=xml_text(key)).text = xml_text(value)
    for number, layer in enumerate(output.layers, 1):
        band = ET.SubElement(
            root,
            "VRTRasterBand",
            dataType="Byte",
            band=str(number),
            blockXSize=str(_BLOCK),
            blockYSize=str(_BLOCK),
        )
        ET.SubElement(band, "Description").text = xml_text(layer.name)
        ET.SubElement(band, "NoDataValue").text = str(NODATA)
        if layer.scale != 1:
            ET.SubElement(band, "Scale").text = repr(layer.scale)
        # Several bands with a palette are more than a TIFF holds; the sidecar has them all.
        if layer.legend and len(output.layers) == 1:
            ET.SubElement(band, "ColorInterp").text = "Palette"
            _color_table(band, layer.legend)
        else:
            ET.SubElement(band, "ColorInterp").text = "Gray" if number == 1 else "Undefined"
        for piece in pieces:
            _vrt_source(band, piece, layer.plane + 1)
    return _utf8(root)


def xml_text(text: str) -> str:
    """Text without the characters that XML cannot hold, not even escaped."""
    return _NOT_XML.sub("", text)


def _utf8(root: ET.Element) -> bytes:
    text: bytes = ET.tostring(root, encoding="utf-8")
    return text


def _axes(box: GeoBox) -> str:
    # x, y order whatever the authority says: what GDAL itself writes for geographic systems.
    assert box.crs is not None
    return "2,1" if box.crs.is_geographic else "1,2"


def _vrt_source(band: ET.Element, piece: Piece, number: int) -> None:
    window = piece.window
    size = {"xSize": str(window.width), "ySize": str(window.height)}
    source = ET.SubElement(band, "SimpleSource")
    name = ET.SubElement(source, "SourceFilename", relativeToVRT="0")
    name.text = str(piece.path.resolve())
    ET.SubElement(source, "SourceBand").text = str(number)
    ET.SubElement(
        source,
        "SourceProperties",
        RasterXSize=str(window.width),
        RasterYSize=str(window.height),
        DataType="Byte",
        BlockXSize=str(min(_BLOCK, window.width)),
        BlockYSize=str(min(_BLOCK, window.height)),
    )
    ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    ET.SubElement(source, "DstRect", {"xOff": "0", "yOff": str(window.row_off), **size})


def _geotransform(box: GeoBox) -> str:
    return ", ".join(repr(value) for value in box.transform.to_gdal())


def _color_table(parent: ET.Element, legend: Legend) -> None:
    table = ET.SubElement(parent, "ColorTable")
    for label in legend:
        r, g, b = label.rgb
        ET.SubElement(table, "Entry", c1=str(r), c2=str(g), c3=str(b), c4="255")


def _check_complete(path: Path) -> None:
    """Make sure that every block really is in the file: a full disk can go unreported."""
    size = path.stat().st_size
    with rasterio.open(path) as dataset:
        levels = range(-1, len(dataset.overviews(1)))
    for level in levels:
        overview = {} if level < 0 else {"OVERVIEW_LEVEL": level}
        with rasterio.open(path, **overview) as dataset:
            (rows, cols), bands = dataset.block_shapes[0], dataset.count
            for band in range(1, bands + 1):
                for y in range(-(-dataset.height // rows)):
                    for x in range(-(-dataset.width // cols)):
                        start = dataset.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
                        length = dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
                        if start is None or int(start) + int(length or 0) + _TRAILER > size:
                            raise OSError(28, "the file is cut off, there seems to be no room left")


def _lost_georeference(path: Path, box: GeoBox) -> dict[str, str]:
    """What of the georeference a GeoTIFF cannot hold; it goes into the sidecar."""
    lost = {}
    with rasterio.open(path) as dataset:
        if dataset.crs != box.crs and box.crs is not None:
            lost["SRS"] = box.crs.to_wkt()
        if dataset.transform != box.transform:
            lost["GeoTransform"] = _geotransform(box)
    return lost


def _pam(output: _Output, georeference: Mapping[str, str]) -> bytes:
    """The sidecar from which QGIS takes names and a short palette.

    From the palette inside a TIFF alone QGIS makes 256 legend rows.
    """
    root = ET.Element("PAMDataset")
    for tag, text in georeference.items():
        attributes = {"dataAxisToSRSAxisMapping": _axes(output.geobox)} if tag == "SRS" else {}
        ET.SubElement(root, tag, attributes).text = text
    for number, layer in enumerate(output.layers, 1):
        band = ET.SubElement(root, "PAMRasterBand", band=str(number))
        ET.SubElement(band, "Description").text = xml_text(layer.name)
        if layer.legend:
            ET.SubElement(band, "ColorInterp").text = "Palette"
            _color_table(band, layer.legend)
            names = ET.SubElement(band, "CategoryNames")
            for label in layer.legend:
                ET.SubElement(names, "Category").text = xml_text(label.name)
            _attribute_table(band, layer.legend)
    ET.indent(root)
    return _utf8(root) + b"\n"


def _attribute_table(band: ET.Element, legend: Legend) -> None:
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    # (name, type: 0 integer / 2 text, usage: GDAL's GFU_ numbers)
    columns = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
    for index, (name, kind, usage) in enumerate((*columns, ("Alpha", 0, 9))):
        definition = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(definition, "Name").text = name
        ET.SubElement(definition, "Type").text = str(kind)
        ET.SubElement(definition, "Usage").text = str(usage)
    for index, label in enumerate(legend):
        row = ET.SubElement(table, "Row", index=str(index))
        for value in (label.value, xml_text(label.name), *label.rgb, 255):
            ET.SubElement(row, "F").text = str(value)
