"""What a raster file says about itself, read once and kept as plain facts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.session import Session

from agriseg.errors import InputError
from agriseg.geobox import GeoBox
from agriseg.raster.opener import (
    OPEN_FAULTS,
    READ_FAULTS,
    RasterFile,
    is_local,
    open_raster,
    read_bands,
    read_error,
    why_not,
)

__all__ = [
    "READ_FAULTS",
    "RasterFile",
    "Source",
    "gdal_settings",
    "inspect",
    "open_raster",
    "read_bands",
    "read_error",
]

# A file is decoded block by block. One block of more than this cannot be streamed; a block of an
# absurd size is also how a corrupt header makes a reader allocate all memory there is.
_MAX_BLOCK_BYTES = 1 << 30


@dataclass(frozen=True)
class Source:
    """The facts of one raster file.

    Tuples have one entry a band. `dataset_mask` is True where a mask band or file beside the pixels
    (not nodata, not alpha) says which pixels are usable. `files` are all files that GDAL reads for
    it: sources of a VRT, sidecars, overviews.
    """

    path: str
    driver: str
    geobox: GeoBox
    dtypes: tuple[str, ...]
    descriptions: tuple[str | None, ...]
    colors: tuple[str, ...]
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    wavelengths_nm: tuple[float | None, ...]
    tags: Mapping[str, str]
    block_shapes: tuple[tuple[int, int], ...]
    overviews: tuple[int, ...]
    compression: str | None
    pixel_interleaved: bool
    dataset_mask: bool
    files: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.dtypes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds all bands."""
        return np.result_type(*self.dtypes)

    @property
    def is_tiled(self) -> bool:
        """Whether a window can be read without decoding full rows of the raster."""
        return self.block_shapes[0][1] < self.geobox.width or self.geobox.width <= 1024

    @property
    def block_bytes(self) -> int:
        """Bytes that decoding one block takes."""
        rows, cols = self.block_shapes[0]
        bands = self.count if self.pixel_interleaved else 1
        return rows * cols * self.dtype.itemsize * bands


# rasterio takes these from a session only, and so sets them itself.
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class _SameKeys(Session):  # type: ignore[misc]
    """The credentials of another thread."""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        self._keys = dict(keys)

    def get_credential_options(self) -> dict[str, Any]:
        return dict(self._keys)


def gdal_settings() -> dict[str, Any]:
    """GDAL's settings of this thread, to be handed to another: they do not come by themselves.

    Returns:
        What `rasterio.Env` takes.
    """
    if not rasterio.env.hasenv():
        return {}
    settings = dict(rasterio.env.getenv())
    keys = {name: settings.pop(name) for name in _KEYS if name in settings}
    return {**settings, "session": _SameKeys(keys)} if keys else settings


def inspect(path: str | Path, *, fresh: bool = False) -> Source:
    """Read the facts of a raster file; no pixels are read.

    Args:
        path: The file.
        fresh: Ask the server of a remote file, whatever GDAL remembers of it.

    Raises:
        InputError: It is not a raster that agriseg can use: not readable, no bands, complex
            numbers, only ground control points or RPCs, absurdly large blocks, coordinates that
            its CRS cannot have, or a virtual raster whose files are missing.
    """
    path = str(path)
    with open_raster(path, fresh=fresh) as dataset:
        try:
            source = _facts(path, dataset)
        except OPEN_FAULTS as error:
            raise InputError(why_not(path, error)) from error
    _refuse_unusable(source)
    return source


def _facts(path: str, dataset: Any) -> Source:
    if dataset.count == 0:
        inside = len(dataset.subdatasets)
        raise InputError(
            f"{path} has no bands"
            + (
                f" but {inside} datasets inside; give one of them, such as {dataset.subdatasets[0]}"
                if inside
                else "; at least one is needed"
            )
        )
    complex_types = [t for t in dataset.dtypes if "complex" in t]
    if complex_types:
        raise InputError(
            f"{path} holds complex numbers ({complex_types[0]}); reflectance is real: convert it, "
            "for instance to amplitude"
        )
    _refuse_ungridded(path, dataset)
    bands = range(1, dataset.count + 1)
    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    flags = dataset.mask_flag_enums[0]
    return Source(
        path=path,
        driver=dataset.driver,
        geobox=GeoBox(dataset.crs, dataset.transform, dataset.width, dataset.height),
        dtypes=tuple(dataset.dtypes),
        descriptions=tuple((text or "").strip() or None for text in dataset.descriptions),
        colors=_colors(dataset),
        nodata=tuple(dataset.nodatavals),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        wavelengths_nm=tuple(_wavelength(dataset, index) for index in bands),
        tags=dict(dataset.tags()),
        block_shapes=tuple((int(rows), int(cols)) for rows, cols in dataset.block_shapes),
        overviews=tuple(dataset.overviews(1)),
        compression=structure.get("COMPRESSION"),
        pixel_interleaved=structure.get("INTERLEAVE", "").upper() == "PIXEL",
        dataset_mask=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        files=tuple(dataset.files) or (path,),
    )


def _refuse_ungridded(path: str, dataset: Any) -> None:
    if not dataset.transform.is_identity:
        return
    found = None
    points, _ = dataset.gcps
    if points:
        found, how = f"{len(points)} ground control points", "-tps "
    elif dataset.rpcs is not None:
        found, how = "rational polynomial coefficients (RPC)", "-rpc "
    elif dataset.tags(ns="GEOLOCATION"):
        found, how = "arrays of coordinates", "-geoloc "
    if found:
        out = Path(path).with_suffix("").name + "_warped.tif"
        raise InputError(
            f"{path} has no pixel grid on the ground, only {found}; warp it first: "
            f'gdalwarp {how}-r cubic "{path}" {out}'
        )


def _refuse_unusable(source: Source) -> None:
    if source.block_bytes > _MAX_BLOCK_BYTES:
        rows, cols = source.block_shapes[0]
        raise InputError(
            f"{source.path} is stored in blocks of {cols} x {rows} pixels, "
            f"{source.block_bytes / 2**30:.0f} GiB each to decode; at most 1 GiB is read: rewrite "
            f'it with gdal_translate -co TILED=YES "{source.path}" tiled.tif'
        )
    _refuse_false_degrees(source)
    if source.driver == "VRT":
        # GDAL opens a mosaic whose parts are gone, and fails where the first of them is read.
        for part in source.files:
            if is_local(part) and not Path(part).exists():
                raise InputError(
                    f"{source.path} is a virtual raster made of other files, and {part} is "
                    "missing; bring it back, or make the virtual raster anew"
                )


def _refuse_false_degrees(source: Source) -> None:
    """Metres under a CRS in degrees: no area, no pixel size would be right."""
    box = source.geobox
    if box.crs is None or not box.crs.is_geographic:
        return
    degrees = math.degrees(float(box.crs.units_factor[1]))
    for x, y in box.corners:
        # Grids of the whole globe may reach over it by half a pixel, and run to 360 degrees.
        if abs(y) * degrees > 95 or abs(x) * degrees > 545:
            code = box.crs.to_epsg()
            raise InputError(
                f"{source.path} says that its coordinates are degrees"
                f"{f' (EPSG:{code})' if code else ''}, but it has a corner at x = {x:.10g}, y = "
                f"{y:.10g}; assign the right coordinate system: gdal_edit.py -a_srs EPSG:... "
                f'"{source.path}"'
            )


def _colors(dataset: Any) -> tuple[str, ...]:
    """Colour interpretations; asked for once, since each time all bands are looked at."""
    try:
        return tuple(str(color.name) for color in dataset.colorinterp)
    except ValueError:  # an interpretation newer than rasterio's table
        return ("undefined",) * int(dataset.count)


def _wavelength(dataset: Any, index: int) -> float | None:
    """Centre wavelength in nm from GDAL's IMAGERY domain or ENVI-style band tags."""
    imagery = dataset.tags(index, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    tags = {key.lower(): value for key, value in dataset.tags(index).items()}
    value = None
    try:
        if imagery:
            value = float(imagery) * 1000
        elif tags.get("wavelength", "").strip():
            value = float(tags["wavelength"].split()[0])
            units = tags.get("wavelength_units", "") or tags["wavelength"]
            micro = "micro" in units.lower() or "um" in units.lower() or value < 20
            value = value * 1000 if micro else value
    except ValueError:
        return None
    # Rounded, because 0.56 * 1000 is not 560.
    return round(value, 6) if value is not None and 0 < value < math.inf else None
