"""The names that a raster file gives to its classes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence

import rasterio.shutil
from rasterio.io import MemoryFile

from agriseg.raster.source import READ_FAULTS

__all__ = ["clean_names", "read_names"]

# More than any list of class names; the rest is a file that means no good.
_MAX_XML = 64 << 20
# What a column of an attribute table is for, in GDAL's numbers (GDALRATFieldUsage): a name; one
# value, or the least of several.
_NAME_USES, _VALUE_USES = ("2",), ("5", "3")
_NAME_TITLES = ("class_name", "class_names", "classname", "class", "label", "name")

# Some failures of a copy come as SystemError.
_COPY_FAULTS: tuple[type[Exception], ...] = (*READ_FAULTS, OSError, SystemError, ValueError)


def clean_names(names: Mapping[int, str]) -> dict[int, str]:
    """Names in one line each, without the empty ones."""
    lines = {int(value): " ".join(name.split()) for value, name in names.items()}
    return {value: name for value, name in lines.items() if name}


def read_names(path: str) -> dict[int, str]:
    """Class names that GDAL knows for the first band; they are labels only, so none is no fault.

    rasterio has no words for them, but a virtual copy holds them all, whatever format and sidecar
    they came from.
    """
    try:
        # Inside an Env what GDAL has to say goes to the log, and not to the user's screen.
        with rasterio.Env(), MemoryFile(ext=".vrt") as memory:
            rasterio.shutil.copy(path, memory.name, driver="VRT")
            text = memory.read(_MAX_XML + 1)
    except _COPY_FAULTS:
        return {}
    # GDAL writes no DOCTYPE: one could only be there to blow the parser up.
    if len(text) > _MAX_XML or b"<!DOCTYPE" in text:
        return {}
    try:
        band = ET.fromstring(text).find("VRTRasterBand")
    except ET.ParseError:
        return {}
    if band is None:
        return {}
    listed = enumerate(band.iterfind("CategoryNames/Category"))
    categories = clean_names({value: item.text or "" for value, item in listed})
    table = band.find("GDALRasterAttributeTable")
    return {**(clean_names(dict(_table_names(table))) if table is not None else {}), **categories}


def _table_names(table: ET.Element) -> Iterator[tuple[int, str]]:
    """(value, name) of the rows of a raster attribute table."""
    columns = [
        (item.findtext("Usage", "").strip(), item.findtext("Name", "").strip().lower())
        for item in table.iterfind("FieldDefn")
    ]
    name = _column(columns, _NAME_USES, _NAME_TITLES)
    value = _column(columns, _VALUE_USES, ("value",))
    if name is None:
        return
    for index, row in enumerate(table.iterfind("Row")):
        cells = [cell.text or "" for cell in row.iterfind("F")]
        try:
            # A table without a column of values has one row for each, from 0.
            number = float(index if value is None else cells[value])
            if number == int(number):
                yield int(number), cells[name]
        except (ValueError, OverflowError, IndexError):
            continue


def _column(
    columns: Sequence[tuple[str, str]], uses: Sequence[str], titles: Sequence[str]
) -> int | None:
    """The column with the first of the uses that there is, else of the titles."""
    for part, wanted in ((0, uses), (1, titles)):
        for word in wanted:
            for place, column in enumerate(columns):
                if column[part] == word:
                    return place
    return None
