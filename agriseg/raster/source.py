"""What a raster file says about itself, read once and kept as plain facts."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # no RasterioError, and public nowhere
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from agriseg.errors import InputError
from agriseg.geobox import GeoBox

__all__ = [
    "READ_FAULTS",
    "Source",
    "inspect",
    "is_local",
    "open_raster",
    "read_bands",
    "read_error",
]

READ_FAULTS: tuple[type[Exception], ...] = (RasterioError, CPLE_BaseError)
"""What rasterio raises where GDAL fails."""

# "https:", "GPKG:", but not the letter of a drive.
_PREFIX = re.compile(r"\w\w+:")

# What else comes out of opening a file whose header makes no sense.
_OPEN_FAULTS: tuple[type[Exception], ...] = (
    *READ_FAULTS,
    ValueError,
    TypeError,
    OverflowError,
    UnicodeError,
)

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


def gdal_settings() -> dict[str, Any]:
    """GDAL's settings of this thread, to be handed to another: they do not come by themselves."""
    return dict(rasterio.env.getenv()) if rasterio.env.hasenv() else {}


@contextmanager
def open_raster(path: str) -> Iterator[Any]:
    """Open a raster for reading; what GDAL says of a failure becomes one clear line.

    Raises:
        InputError: GDAL cannot open it.
    """
    try:
        # Inside an Env what GDAL has to say goes to the log, and not to the user's screen.
        with warnings.catch_warnings(), rasterio.Env():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path)
    except _OPEN_FAULTS as error:
        raise InputError(_why_not(path, error)) from error
    try:
        yield dataset
    finally:
        dataset.close()


def _why_not(path: str, error: Exception) -> str:
    local = Path(path)
    if is_local(path) and not local.exists():
        return f"{path}: there is no such file; check the path"
    if is_local(path) and local.is_dir():
        return f"{path} is a folder, and GDAL knows no raster in it; give a raster file"
    if path.lower().endswith((".safetensors", ".onnx")):
        return f"{path} is a model, no raster; give the raster first, and the model with --model"
    said = " ".join(str(error).split()).rstrip(".")
    if "missing codec" in said:
        todo = "this GDAL lacks that compression: where it opens, rewrite it with gdal_translate"
        return f"{path} cannot be opened as a raster: {said}; {todo} -co COMPRESS=DEFLATE"
    return f"{path} cannot be opened as a raster: {said}; check it with gdalinfo"


def inspect(path: str | Path) -> Source:
    """Read the facts of a raster file; no pixels are read.

    Raises:
        InputError: It is not a raster that agriseg can use: not readable, no bands, complex
            numbers, only ground control points or RPCs, absurdly large blocks, coordinates that
            its CRS cannot have, or a virtual raster whose files are missing.
    """
    path = str(path)
    with open_raster(path) as dataset:
        try:
            source = _facts(path, dataset)
        except _OPEN_FAULTS as error:
            raise InputError(_why_not(path, error)) from error
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


def is_local(path: str) -> bool:
    """Whether GDAL takes it for the path of a file here: no address, no XML, no driver's words."""
    return not path.lstrip().startswith(("/vsi", "<")) and not _PREFIX.match(path)


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


def read_bands(dataset: Any, indexes: Sequence[int], **how: Any) -> NDArray[Any]:
    """Raw values (bands, h, w) in the type that holds all of these bands.

    A virtual raster may mix types, which rasterio does not read together.
    """
    if len({dataset.dtypes[index - 1] for index in indexes}) > 1:
        if "out_shape" in how:
            how["out_shape"] = how["out_shape"][1:]
        return np.stack([dataset.read(index, **how) for index in indexes])
    values: NDArray[Any] = dataset.read(list(indexes), **how)
    return values


def read_error(path: str, window: object, error: Exception) -> str:
    """The line that says which pixels of which file could not be read."""
    said = " ".join(str(error.__cause__ or error).split())
    return (
        f"{path}: the pixels of {window} cannot be read ({said}); the file is damaged or was cut "
        "off: fetch or export it again"
    )
