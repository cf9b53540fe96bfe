"""A scene as a lazy xarray.DataArray: dask reads each chunk of it when it is asked for.

A task opens the files itself, in the worker: the graph holds the scene as plain facts, once, and a
window for each chunk. xarray and dask are loaded only when somebody asks for such an array.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from agriseg.bands import Band, split_role
from agriseg.errors import BandError, OptionError, said_by
from agriseg.geobox import GeoBox, Window
from agriseg.raster.reader import SceneReader
from agriseg.raster.scene import Scene
from agriseg.raster.source import gdal_settings, inspect

if TYPE_CHECKING:
    import xarray

__all__ = ["Chunks", "LazyScene", "behind", "pixel_centres", "to_xarray"]

Chunks = int | Sequence[Any] | Mapping[str, Any] | str | None
"""Sides of chunks: one number, (rows, columns), {"y": ..., "x": ...}, or None for what suits."""

# A million pixels of five bands are 20 MB: many fit into memory, and few tasks make a scene.
_CHUNK_PIXELS = 1 << 20
_NAME = "agriseg-scene"


@dataclass(frozen=True)
class LazyScene:
    """What the tasks of one array read.

    Args:
        scene: First the array's bands, named as there; then all of the file's, without a role.
        keys: The names of the array's bands.
        masked: Whether pixels that are not valid become NaN.
        settings: GDAL's settings where the array was made, which threads and workers lack.
    """

    scene: Scene
    keys: tuple[str, ...]
    masked: bool
    settings: Mapping[str, Any]

    def read(self, window: Window) -> NDArray[np.float32]:
        """Reflectance (bands, h, w) float32 of a window, from files that are opened for it."""
        bands = self.scene.bands[: len(self.keys)]
        with rasterio.Env(**self.settings), SceneReader(self.scene, bands) as reader:
            pixels = reader.read(window)
        if self.masked:
            pixels.data[:, ~pixels.valid] = np.nan
        return pixels.data


def to_xarray(
    scene: Scene,
    *,
    keys: Sequence[str] | None = None,
    chunks: Chunks = None,
    masked: bool = True,
) -> xarray.DataArray:
    """See `Scene.to_xarray`."""
    import dask.array
    import xarray

    whole = _whole(scene, keys, masked)
    box = scene.geobox
    sides = _chunks(scene, chunks)
    shape = (len(whole.keys), *box.shape)
    make: Any = dask.array.Array  # dask has no types for it
    data = make(*_graph(whole, sides), ((shape[0],), *sides), dtype=np.float32, shape=shape)
    coords: dict[str, Any] = {"band": list(whole.keys), **pixel_centres(box)}
    lengths = [band.wavelength_nm for band in whole.scene.bands[: len(whole.keys)]]
    nm = [math.nan if length is None else length for length in lengths]
    coords["wavelength"] = ("band", nm, {"units": "nm", "long_name": "centre wavelength"})
    array = xarray.DataArray(
        data, coords, ("band", "y", "x"), name="reflectance", attrs=_facts(whole)
    )
    return _georeferenced(array, box, masked)


def behind(array: xarray.DataArray) -> LazyScene | None:
    """What an array reads that is still as `to_xarray` made it; None where it is another one.

    An array's name in dask changes with whatever is done to its values, or to which of them it has.
    """
    name = getattr(array.data, "name", None)
    if (
        not isinstance(name, str)
        or not name.startswith(_NAME)
        or name not in array.data.dask.layers
    ):
        return None
    found = array.data.dask.layers[name].get(f"{name}-facts")
    return found if isinstance(found, LazyScene) else None


def pixel_centres(box: GeoBox) -> dict[str, NDArray[np.float64]]:
    """Coordinates x (width,) and y (height,) of pixel centres; none where the grid is turned.

    rioxarray computes the transform from the first coordinate less half a pixel: that is nudged by
    the last bit where rounding would take it off the grid.
    """
    t = box.transform
    if t.b or t.d:
        return {}
    return {
        "y": _centres(t.f, t.e, box.height),
        "x": _centres(t.c, t.a, box.width),
    }


def _centres(start: float, step: float, count: int) -> NDArray[np.float64]:
    centres = np.asarray(start + step * (np.arange(count) + 0.5), np.float64)
    first = centres[0]
    for near in (first, np.nextafter(first, np.inf), np.nextafter(first, -np.inf)):
        if float(near) - step / 2 == start:
            centres[0] = near
            break
    return centres


def _whole(scene: Scene, keys: Sequence[str] | None, masked: bool) -> LazyScene:
    """The scene with its bands named as asked, those asked for first."""
    if isinstance(keys, str) or (keys is not None and not keys):
        raise OptionError(f"keys={keys!r}: a list of band roles is needed, such as ['red', 'nir']")
    if keys is None:
        bands = [band for band in scene.bands if band.key] or list(scene.bands)
        names = [band.key or str(band.index) for band in bands]
    else:
        names, bands = list(keys), [_named(scene.band(key), key) for key in keys]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise BandError(f"{scene.name}: two bands would be called {doubles[0]}; name each once")
    # The files of other bands stay known: whether an alpha band counts for all depends on them.
    rest = [replace(band, role=None, date=None) for band in scene.bands]
    named = replace(scene, bands=(*bands, *rest))
    return LazyScene(named, tuple(names), masked, gdal_settings())


def _named(band: Band, key: str) -> Band:
    """The band under the name it was asked for: a stand-in serves in another's place."""
    role, date = split_role(key)
    return replace(band, role=role, date=date)


def _graph(whole: LazyScene, sides: Sequence[tuple[int, ...]]) -> tuple[Any, str]:
    """The graph of one reading task a chunk, and its name."""
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    paths = dict.fromkeys(band.path for band in whole.scene.bands)
    name = f"{_NAME}-{tokenize(repr(whole), [_stat(path) for path in paths], sides)}"
    facts = f"{name}-facts"
    tasks: dict[Any, Any] = {facts: whole}
    row = 0
    for i, height in enumerate(sides[0]):
        col = 0
        for j, width in enumerate(sides[1]):
            tasks[(name, 0, i, j)] = (_read, facts, col, row, width, height)
            col += width
        row += height
    return HighLevelGraph.from_collections(name, tasks, dependencies=[]), name


def _read(whole: LazyScene, col: int, row: int, width: int, height: int) -> NDArray[np.float32]:
    return whole.read(Window(col, row, width, height))


def _stat(path: str) -> tuple[int, int] | None:
    """Time and size of a local file, so that another file under its name makes another array."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _chunks(scene: Scene, chunks: Chunks) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Heights and widths of the chunks."""
    from dask.array.core import normalize_chunks

    box = scene.geobox
    said: Any = chunks
    normalize: Any = normalize_chunks  # dask has no types for it
    if chunks is None or chunks == "auto":
        said = _fitting(scene)
    elif isinstance(chunks, Mapping):
        if strange := sorted(set(map(str, chunks)) - {"band", "y", "x"}):
            raise OptionError(f"chunks={chunks!r}: there is no dimension {strange[0]!r}; give y, x")
        said = tuple(
            chunks.get(name, side) for name, side in zip("yx", _fitting(scene), strict=True)
        )
    try:
        heights, widths = normalize(said, shape=box.shape, dtype=np.dtype(np.float32))
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise OptionError(
            f"chunks={chunks!r} of {box.height} rows and {box.width} columns: {said_by(error)}; "
            "give one number, or (rows, columns)"
        ) from error
    if not all(isinstance(n, int) and n > 0 for n in (*heights, *widths)):
        raise OptionError(f"chunks={chunks!r}: chunks of 1 pixel or more are needed")
    return tuple(map(int, heights)), tuple(map(int, widths))


def _fitting(scene: Scene) -> tuple[int, int]:
    """Rows and columns of about a million pixels, in whole blocks of the file."""
    box = scene.geobox
    for path in dict.fromkeys(band.path for band in scene.bands):
        source = inspect(path)
        # On another grid its blocks lie elsewhere.
        if abs(source.geobox.transform.determinant / box.transform.determinant - 1) < 1e-6:
            rows, cols = source.block_shapes[0]
            if cols >= source.geobox.width:  # strips: a part of one costs as much as all of it
                across = box.width
            else:
                across = _multiple(cols, math.isqrt(_CHUNK_PIXELS))
            return _multiple(rows, _CHUNK_PIXELS // across), across
    side = math.isqrt(_CHUNK_PIXELS)
    return side, side


def _multiple(block: int, length: int) -> int:
    return max(length // block, 1) * block


def _facts(whole: LazyScene) -> dict[str, Any]:
    """Attributes that every format can keep: texts and numbers."""
    scene = whole.scene
    bands = list(zip(whole.keys, scene.bands, strict=False))
    lengths = [f"{key} {band.wavelength_nm:g} nm" for key, band in bands if band.wavelength_nm]
    facts: dict[str, Any] = {
        "long_name": "reflectance",
        "units": "1",
        "scene": scene.name,
        "radiometry": scene.radiometry.level,
        "evidence": scene.radiometry.evidence,
        "band_evidence": "; ".join(f"{key}: {band.evidence}" for key, band in bands),
        "wavelength": ", ".join(lengths) or "unknown",
    }
    if scene.geobox.gsd_m is not None:
        facts["gsd_m"] = [float(length) for length in scene.geobox.gsd_m]
    return {**facts, **scene.about}


def _georeferenced(array: xarray.DataArray, box: GeoBox, masked: bool) -> xarray.DataArray:
    import rioxarray  # noqa: F401  # makes .rio

    if box.crs is not None:
        array = array.rio.write_crs(box.crs)
    array = array.rio.write_transform(box.transform)
    return array.rio.write_nodata(np.nan, encoded=True) if masked else array
