"""What a lazy array says about itself, in the words of a scene: bands by role, grid, radiometry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import dask.array
import numpy as np
import xarray
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rioxarray.exceptions import MissingSpatialDimensionError, RioXarrayError

from agriseg.bands import ALPHA, IGNORED, Band, Level, Radiometry, split_role
from agriseg.errors import BandError, InputError, OptionError, said_by
from agriseg.geobox import GeoBox
from agriseg.raster import Pixels, Scene, parse_bands
from agriseg.raster.lazy import behind, pixel_centres
from agriseg.raster.reader import ABSURD
from agriseg.raster.sample import sample_windows

__all__ = ["ArrayInput", "BandNames", "array_input", "usable"]

BandNames = str | Sequence[str] | Mapping[str, int] | None
"""Roles of an array's bands, as `bands` of `open_scene`; None: the array names them itself."""

_CHUNK = 1024
_NAME_THEM = "name its bands in their order with bands=, as in bands='red,nir,-'"


@dataclass(frozen=True)
class ArrayInput:
    """An array to predict, and what is known of it.

    Args:
        array: (band, y, x), of dask.
        scene: The same in the words of a scene; band k of it, from 1, is band k of the array.
        from_files: The array is as `Scene.to_xarray` made it: the scene's own files hold its
            pixels, and its bands are those.
        nodata: The value of missing pixels, beside NaN.
    """

    array: xarray.DataArray
    scene: Scene
    from_files: bool
    nodata: float | None

    def sample(self, keys: Sequence[str], /, *, max_pixels: int) -> Pixels:
        """Some pixels, spread over the array, as `sample_pixels` takes them of a scene.

        Returns:
            Pixels with data (bands, n, 1) and valid (n, 1).
        """
        places = [self.scene.band(key).index - 1 for key in keys]
        data = self.array.data[places]
        block = (max(data.chunks[1]), max(data.chunks[2]))
        windows = sample_windows(self.scene.geobox, block, max_pixels)
        together: Any = dask.base.compute  # dask has no types for it
        found = together(*(data[(slice(None), *window.slices)] for window in windows))
        flat = [part.reshape(len(keys), -1, 1) for part in found]
        return usable(np.concatenate(flat, axis=1), self.nodata)


def usable(raw: NDArray[Any], nodata: float | None) -> Pixels:
    """Pixels from values (bands, h, w) of any type; valid where all bands hold a measurement."""
    good: NDArray[np.bool_] = np.ones(raw.shape, bool)
    if nodata is not None:
        good &= raw != nodata
    if raw.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            good &= np.abs(raw) < ABSURD  # NaN compares as False
    valid: NDArray[np.bool_] = np.logical_and.reduce(good, axis=0)
    return Pixels(raw.astype(np.float32, copy=False), valid)


def array_input(
    given: object, *, bands: BandNames = None, crs: Any = None, transform: Any = None
) -> ArrayInput:
    """Look at an array; no pixel is computed.

    Args:
        given: A DataArray with the dimensions band, y and x, or a dask or numpy array
            (band, y, x).
        bands: Roles of its bands.
        crs: Its coordinate system, where it does not tell.
        transform: From pixels to coordinates, where it does not tell.

    Raises:
        BandError: Its bands have no roles.
        InputError: It cannot be used, or its place is unknown.
        OptionError: What was said of it makes no sense.
    """
    array = _oriented(_array(given))
    names = _names(array, bands)
    box = GeoBox(_crs(array, crs), _transform(array, transform), *reversed(array.shape[1:]))
    whole = behind(array)
    if whole is not None and whole.keys == tuple(names) and whole.scene.geobox == box:
        return ArrayInput(array, whole.scene, True, None)
    scene = Scene(
        name=_scene_name(array),
        bands=_bands(array, names),
        geobox=box,
        radiometry=_radiometry(array),
    )
    if array.chunks is None:
        array = array.chunk(dict(zip(array.dims, (-1, _CHUNK, _CHUNK), strict=True)))
    nodata = array.rio.nodata
    nodata = None if nodata is None or math.isnan(nodata) else float(nodata)
    return ArrayInput(_placed(array, box), scene, False, nodata)


def _array(given: object) -> xarray.DataArray:
    """The array as a DataArray."""
    if isinstance(given, xarray.DataArray):
        return given
    if not isinstance(given, (np.ndarray, dask.array.Array)):
        remedy = "give an xarray.DataArray, or a dask or numpy array (band, y, x)"
        if isinstance(given, xarray.Dataset):
            remedy = "make one array of its variables with .to_dataarray('band')"
        elif isinstance(given, Scene):
            remedy = "give scene.to_xarray()"
        elif isinstance(given, str):
            remedy = "give open_scene(path).to_xarray()"
        raise InputError(f"a {type(given).__name__} is no array that can be predicted; {remedy}")
    if given.ndim != 3:
        raise InputError(
            f"the array has {given.ndim} dimensions ({_size(given)}); expected are three: bands, "
            "rows, columns"
        )
    return xarray.DataArray(given, dims=("band", "y", "x"))


def _oriented(array: xarray.DataArray) -> xarray.DataArray:
    """The array as (band, y, x), of numbers."""
    if array.dtype.kind not in "iuf":
        raise InputError(f"the array holds {array.dtype}; reflectance is a number of 0 to 1")
    try:
        y, x = array.rio.y_dim, array.rio.x_dim
    except MissingSpatialDimensionError:
        y, x = "y", "x"
    if set(array.dims) != {"band", y, x} or array.ndim != 3:
        raise InputError(
            f"the array has the dimensions {', '.join(map(str, array.dims))}; expected are band, y "
            "and x: select along others, as in array.isel(time=0), and give a single band its "
            "dimension with array.expand_dims('band')"
        )
    if not array.size:
        raise InputError(f"the array is empty ({_size(array)}); one pixel at least is needed")
    return array.transpose("band", y, x)


def _size(array: Any) -> str:
    return " x ".join(map(str, array.shape))


def _names(array: xarray.DataArray, bands: BandNames) -> list[str]:
    """The key of each band, or "-"."""
    count = array.sizes["band"]
    said = parse_bands(bands) if isinstance(bands, str) else bands
    if said is None:
        if "band" not in array.coords:
            raise BandError(f"the {count} bands of the array have no names; {_NAME_THEM}")
        names = [str(name) for name in array["band"].values]
    elif isinstance(said, Mapping):
        names = [IGNORED] * count
        for role, number in said.items():
            if not 1 <= number <= count:
                raise BandError(f"bands: {role}={number}, but the array has bands 1 to {count}")
            names[number - 1] = role
    else:
        names = list(said)
    if len(names) != count:
        raise BandError(f"bands names {len(names)} bands, the array has {count}; {_NAME_THEM}")
    for name in names:
        _check_name(name, names)
    return names


def _check_name(name: str, names: Sequence[str]) -> None:
    try:
        role, _ = split_role(name)
    except BandError as error:
        shown = ", ".join(names[:8])
        raise BandError(
            f"the bands of the array are called {shown}: {str(error).rstrip('.')}; {_NAME_THEM}"
        ) from error
    if role == ALPHA:
        raise BandError(
            "the array has an alpha band, which is no light; hide pixels with "
            "array.where(alpha > 0), and leave it out"
        )
    if role != IGNORED and names.count(name) > 1:
        raise BandError(f"two bands of the array are called {name}; name each once")


def _bands(array: xarray.DataArray, names: Sequence[str]) -> tuple[Band, ...]:
    lengths: list[float | None] = [None] * len(names)
    known = array.coords.get("wavelength")
    if known is not None and known.dims == ("band",) and known.attrs.get("units") == "nm":
        lengths = [float(nm) if math.isfinite(nm) else None for nm in known.values]
    bands = []
    for index, (name, nm) in enumerate(zip(names, lengths, strict=True), 1):
        band = Band("the array", index, wavelength_nm=nm, evidence="its name in the array")
        if name != IGNORED:
            role, date = split_role(name)
            band = replace(band, role=role, date=date)
        bands.append(band)
    return tuple(bands)


def _radiometry(array: xarray.DataArray) -> Radiometry:
    """As `Scene.to_xarray` noted it; other arrays are taken to hold reflectance."""
    level: Any = array.attrs.get("radiometry")
    if level in get_args(Level):
        return Radiometry(level, str(array.attrs.get("evidence", "as the array says")))
    return Radiometry("reflectance", "as agriseg.predict expects of arrays")


def _scene_name(array: xarray.DataArray) -> str:
    name = str(array.attrs.get("scene", ""))
    return name if name.strip(" .") and not set(name) & set("/\\\0") else "the array"


def _crs(array: xarray.DataArray, said: Any) -> CRS | None:
    if said is None:
        found: CRS | None = array.rio.crs
        return found
    try:
        return CRS.from_user_input(said)
    except CRSError as error:
        raise OptionError(
            f"crs={said!r} is no coordinate system ({said_by(error)}); give one such as "
            "'EPSG:32633'"
        ) from error


def _transform(array: xarray.DataArray, said: Any) -> Affine:
    """From pixel corners to coordinates: as said, as the coordinates tell, or as was noted."""
    if said is not None:
        try:
            return _invertible(Affine(*tuple(said)[:6]))
        except TypeError as error:
            raise OptionError(
                f"transform={said!r}: six numbers are needed, as rasterio has them"
            ) from error
    y, x = array.dims[1:]
    if x in array.coords and y in array.coords:
        return _from_coordinates(array)
    noted = array.coords.get(array.rio.grid_mapping)
    text = str(noted.attrs.get("GeoTransform", "")) if noted is not None else ""
    try:
        return _invertible(Affine.from_gdal(*map(float, text.split())))
    except TypeError as error:
        raise InputError(
            "the array has neither coordinates x and y nor a transform, so its place is unknown; "
            "give transform=, as from scene.geobox.transform, or array.rio.write_transform(...)"
        ) from error


def _invertible(transform: Affine) -> Affine:
    if not (math.isfinite(transform.determinant) and transform.determinant):
        raise InputError(f"the transform {tuple(transform)[:6]} gives pixels no area; mend it")
    return transform


def _from_coordinates(array: xarray.DataArray) -> Affine:
    """The transform that pixel centres at x and y have."""
    for recalc in (False, True):
        try:
            transform = _invertible(array.rio.transform(recalc=recalc))
        except RioXarrayError as error:
            raise InputError(
                f"the size of the array's pixels is unknown ({said_by(error)}); give transform="
            ) from error
        # What was noted is not true any more where only every second pixel was taken.
        box = GeoBox(None, transform, *reversed(array.shape[1:]))
        if _fits(array, box):
            return transform
    raise InputError(
        "the array's coordinates x and y are not evenly spaced, so it is no grid of pixels; "
        "resample it, as with array.interp(x=..., y=...)"
    )


def _fits(array: xarray.DataArray, box: GeoBox) -> bool:
    """Whether the pixels of the grid lie where the coordinates say, to a tenth of a pixel."""
    steps = {"y": box.transform.e, "x": box.transform.a}
    return all(
        bool((np.abs(array[dim].values - pixel_centres(box)[name]) < 0.1 * abs(steps[name])).all())
        for dim, name in zip(array.dims[1:], "yx", strict=True)
    )


def _placed(array: xarray.DataArray, box: GeoBox) -> xarray.DataArray:
    """The array with its place noted, for what is made of it."""
    if box.crs is not None and array.rio.crs != box.crs:
        array = array.rio.write_crs(box.crs)
    y, x = array.dims[1:]
    if x not in array.coords and y not in array.coords:
        centres = pixel_centres(box)
        array = array.assign_coords({d: centres[n] for d, n in ((y, "y"), (x, "x")) if centres})
    placed: xarray.DataArray = array.rio.write_transform(box.transform)
    return placed
