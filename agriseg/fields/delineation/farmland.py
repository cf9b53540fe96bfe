"""What a map says of farmland: where fields are, and how much speaks for a boundary."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import InputError, OptionError
from agriseg.fields.delineation.merging import CERTAIN
from agriseg.geobox import Window
from agriseg.machine import memory_bytes
from agriseg.raster.source import RasterFile, Source, inspect
from agriseg.vector.source import ClassRaster, ClassReader, open_classes

__all__ = ["BACKGROUND", "BOUNDARY", "FIELD", "UNKNOWN", "Farmland", "Mapped", "read_farmland"]

BACKGROUND, FIELD, BOUNDARY, UNKNOWN = 0, 1, 2, 255
"""Kinds of pixels."""

Path_ = str | os.PathLike[str]

_BOUNDARIES = ("boundary", "field boundary", "field-boundary", "field_boundary")
# Measured with 115,000 fields on 36 million pixels: 27 bytes for each, polygons included.
_BYTES = 28
_MOST = 2**31 - 1
_ROWS = 512


class Mapped(Protocol):
    """A run, or whatever has the paths of a class raster and of probabilities."""

    @property
    def classes(self) -> Path: ...
    @property
    def probabilities(self) -> Path | None: ...


@dataclass(frozen=True)
class Farmland:
    """A map of fields and boundaries in memory.

    Args:
        source: The class raster.
        kind: (h, w) uint8: `BACKGROUND`, `FIELD`, `BOUNDARY`, or `UNKNOWN` where there is no class.
        evidence: (h, w) uint8: how much speaks for a boundary, 0..`CERTAIN`.
        has_odds: Whether probabilities say so, and not the classes alone.
    """

    source: ClassRaster
    kind: NDArray[np.uint8]
    evidence: NDArray[np.uint8]
    has_odds: bool


def read_farmland(
    given: Path_ | Mapped,
    *,
    probabilities: Path_ | bool | None = None,
    field: str = "field",
    boundary: str | None = None,
    nodata: float | None = None,
) -> Farmland:
    """Read a map of fields and boundaries.

    Args:
        given: A run, its folder, or a class raster.
        probabilities: Raster with a band for each class; None: what lies beside; False: none.
        field: Name of the class of fields.
        boundary: Name of the class of boundaries; None: by its name, where there is one.
        nodata: A value that is no class.

    Raises:
        InputError: The rasters cannot be used, do not fit each other, or not into memory.
        OptionError: There is no class of such a name.
    """
    classes, likely = _paths(given, probabilities)
    source = open_classes(classes, nodata=nodata)
    _check_size(source)
    inside, border = _values(source, field, boundary)
    kind = _read_kinds(source, inside, border)
    if likely is None or border is None:
        certain = np.where(kind == BOUNDARY, np.uint8(CERTAIN), np.uint8(0))
        return Farmland(source, kind, certain, has_odds=False)
    evidence = _read_evidence(likely, source, (inside, border))
    return Farmland(source, kind, evidence, has_odds=True)


def _paths(given: Path_ | Mapped, asked: Path_ | bool | None) -> tuple[Path_, Path_ | None]:
    """The class raster, and that of probabilities."""
    beside: Path_ | None = None
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        classes: Path_ = given
        if path.is_dir():
            classes = path = path / "classes.tif"
            if not path.is_file():
                raise InputError(
                    f"{path.parent} holds no classes.tif; give the folder of a finished run, or a "
                    "class raster"
                )
        near = path.with_name("probabilities.tif")
        if path.name == "classes.tif" and near.is_file():
            beside = near
    else:
        classes, beside = given.classes, given.probabilities
    if isinstance(asked, bool):
        if asked and beside is None:
            raise InputError(
                f"{classes}: there is no probabilities.tif beside it; run agriseg segment with "
                "--probabilities"
            )
        return classes, beside if asked else None
    return classes, beside if asked is None else asked


def _check_size(source: ClassRaster) -> None:
    box = source.geobox
    pixels = box.width * box.height
    needed, there = pixels * _BYTES, memory_bytes()
    if pixels > _MOST or needed > there:
        raise InputError(
            f"{source.path} has {pixels / 1e6:,.0f} million pixels: to part its fields takes "
            f"{needed / 1e9:.1f} GB of memory, and this machine has {there / 1e9:.1f} GB (at most "
            f"{_MOST / 1e6:,.0f} million pixels are possible); cut the map where there are no "
            "fields, or make it coarser: gdal_translate -r mode -outsize 50% 50%"
        )


def _values(source: ClassRaster, field: str, boundary: str | None) -> tuple[int, int | None]:
    """Values of the classes of fields and boundaries."""
    by_name = {name.strip().casefold(): value for value, name in source.names.items()}

    def value(name: str, option: str) -> int:
        if name.strip().casefold() in by_name:
            return by_name[name.strip().casefold()]
        there = ", ".join(source.names.values()) or "classes without names"
        raise OptionError(
            f"--{option} {name}: {source.path} has no such class; it has {there}; name the one "
            f"that is meant with --{option}"
        )

    if boundary is not None:
        return value(field, "field"), value(boundary, "boundary")
    found = [by_name[name] for name in _BOUNDARIES if name in by_name]
    return value(field, "field"), found[0] if found else None


def _read_kinds(source: ClassRaster, field: int, boundary: int | None) -> NDArray[np.uint8]:
    kind = np.empty(source.geobox.shape, np.uint8)
    with ClassReader(source) as reader:
        for row, height in source.bands_of_rows(_ROWS):
            rows = reader.read(row, height)
            part = kind[row : row + height]
            part[:] = BACKGROUND
            part[rows.classes == field] = FIELD
            if boundary is not None:
                part[rows.classes == boundary] = BOUNDARY
            part[~rows.valid] = UNKNOWN
    return kind


def _read_evidence(path: Path_, source: ClassRaster, values: tuple[int, int]) -> NDArray[np.uint8]:
    """Odds of boundary against field: p(boundary) / (p(boundary) + p(field))."""
    raster = inspect(os.fspath(path))
    if raster.geobox != source.geobox:
        raise InputError(
            f"{raster.path} and {source.path} lie on different grids; give the probabilities that "
            "came with these classes"
        )
    bands = [_band_of(raster, source.names, value) for value in values]
    evidence = np.zeros(source.geobox.shape, np.uint8)
    with RasterFile(raster.path) as file:
        for row in range(0, source.geobox.height, _ROWS):
            height = min(_ROWS, source.geobox.height - row)
            raw = file.read(bands, Window(0, row, source.geobox.width, height))
            inside, border = (_likely(raster, band, raw[k]) for k, band in enumerate(bands))
            total = inside + border
            odds = np.divide(border, total, out=np.zeros_like(total), where=total > 0)
            evidence[row : row + height] = np.rint(odds * CERTAIN)
    return evidence


def _likely(raster: Source, band: int, raw: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities (h, w); 0 where none is known."""
    missing = raster.nodata[band - 1]
    values = raw.astype(np.float32)
    known = np.isfinite(values)
    if missing is not None:
        known &= values != np.float32(missing)
    values = values * np.float32(raster.scales[band - 1]) + np.float32(raster.offsets[band - 1])
    return np.where(known, values, np.float32(0)).clip(0, None)


def _band_of(raster: Source, names: Mapping[int, str], value: int) -> int:
    """The band of a class: by its name, else by its place."""
    titles = [(title or "").strip().casefold() for title in raster.descriptions]
    name = names[value].strip().casefold()
    if name in titles:
        return titles.index(name) + 1
    if not any(titles) and value < raster.count:
        return value + 1
    raise InputError(
        f"{raster.path} has no band named {names[value]!r}; expected is a band for each class, as "
        "agriseg segment --probabilities leaves it"
    )
