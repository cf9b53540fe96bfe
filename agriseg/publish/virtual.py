"""Virtual rasters (GDAL's VRT) that stay in the results: small files that point to others."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agriseg.geobox import GeoBox
from agriseg.legend import Legend
from agriseg.publish.xml import child

__all__ = ["Placed", "VirtualBand", "pointer", "virtual_raster"]


@dataclass(frozen=True)
class Placed:
    """A band of a file, laid whole over a part of a virtual raster.

    Args:
        file: The file, as `pointer` tells it: relative to the virtual raster or not.
        relative: Whether it is.
        band: Number of the band in the file; "mask,1" for its mask.
        size: (width, height) of the file in pixels.
        dtype: Type of its pixels, in numpy's words.
        rect: (column, row, width, height) that it covers, in pixels of the virtual raster.
    """

    file: str
    relative: bool
    band: int | str
    size: tuple[int, int]
    dtype: str
    rect: tuple[float, float, float, float]


@dataclass(frozen=True)
class VirtualBand:
    """A band of a virtual raster.

    Args:
        name: Its description.
        dtype: Type of its pixels, in numpy's words.
        sources: What lies where.
        nodata: The value of missing pixels.
        scale: Quantity = value * scale + offset.
        offset: See `scale`.
        color: GDAL's colour interpretation.
        legend: The classes, for a class band.
    """

    name: str
    dtype: str
    sources: tuple[Placed, ...]
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    color: str = "Undefined"
    legend: Legend | None = None


def pointer(path: str | Path, folder: Path) -> tuple[str, bool]:
    """How a file in `folder` points to a local file, and whether that is relative to the folder.

    On another drive it cannot be.
    """
    target = Path(path).resolve()
    try:
        return Path(os.path.relpath(target, folder.resolve())).as_posix(), True
    except ValueError:
        return str(target), False


def virtual_raster(
    box: GeoBox, bands: Sequence[VirtualBand], *, mask: Placed | None = None
) -> bytes:
    """The text of a virtual raster.

    Args:
        box: Its grid.
        bands: Its bands.
        mask: What says which pixels are there, where a file beside them does.
    """
    root = ET.Element("VRTDataset", rasterXSize=str(box.width), rasterYSize=str(box.height))
    if box.crs is not None:
        # x, y order whatever the authority says.
        axes = "2,1" if box.crs.is_geographic else "1,2"
        child(root, "SRS", box.crs.to_wkt(), dataAxisToSRSAxisMapping=axes)
    if not box.transform.is_identity:
        child(root, "GeoTransform", ", ".join(map(repr, box.transform.to_gdal())))
    for number, band in enumerate(bands, 1):
        _band(child(root, "VRTRasterBand", dataType=_gdal(band.dtype), band=number), band)
    if mask is not None:
        element = child(child(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
        _source(element, mask)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8")
    return text + b"\n"


def _gdal(dtype: str) -> str:
    """numpy's name of a type of pixels in GDAL's words."""
    if dtype == "uint8":
        return "Byte"
    return ("U" + dtype[1:].capitalize()) if dtype.startswith("u") else dtype.capitalize()


def _band(element: ET.Element, band: VirtualBand) -> None:
    child(element, "Description", band.name)
    if band.nodata is not None:
        child(element, "NoDataValue", f"{band.nodata:.17g}")
    if band.scale != 1 or band.offset != 0:
        child(element, "Offset", repr(band.offset))
        child(element, "Scale", repr(band.scale))
    child(element, "ColorInterp", "Palette" if band.legend else band.color)
    if band.legend:
        table = child(element, "ColorTable")
        for label in band.legend:
            r, g, b = label.rgb
            child(table, "Entry", c1=r, c2=g, c3=b, c4=255)
        names = child(element, "CategoryNames")
        for name in band.legend.names:
            child(names, "Category", name)
    for source in band.sources:
        _source(element, source, band.nodata)


def _source(element: ET.Element, placed: Placed, nodata: float | None = None) -> None:
    # With a nodata value it stays away where it has none: neighbours overlap.
    source = child(element, "SimpleSource" if nodata is None else "ComplexSource")
    child(source, "SourceFilename", placed.file, relativeToVRT=int(placed.relative))
    child(source, "SourceBand", placed.band)
    width, height = placed.size
    # With these GDAL opens a file when its pixels are asked for, and not before.
    child(
        source,
        "SourceProperties",
        RasterXSize=width,
        RasterYSize=height,
        DataType=_gdal(placed.dtype),
        BlockXSize=min(512, width),
        BlockYSize=min(512, height),
    )
    child(source, "SrcRect", xOff=0, yOff=0, xSize=width, ySize=height)
    col, row, across, down = (f"{value:.12g}" for value in placed.rect)
    child(source, "DstRect", xOff=col, yOff=row, xSize=across, ySize=down)
    if nodata is not None:
        child(source, "NODATA", f"{nodata:.17g}")
