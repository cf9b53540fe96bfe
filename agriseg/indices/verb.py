"""Rasters of indices, on the grid of the scene."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import rasterio
from numpy.typing import NDArray

from agriseg.errors import OptionError, OutputError
from agriseg.geobox import GeoBox, Window
from agriseg.indices.choice import Index, default_indices, find_index
from agriseg.indices.compute import check_params, compute, constants_of, fits_units
from agriseg.raster.floats import FloatLayer, float_cog
from agriseg.raster.masks import AreaMask
from agriseg.raster.opening import Inputs, PathLike, SceneOptions, narrow, open_scene
from agriseg.raster.place import check_place
from agriseg.raster.reader import SceneReader
from agriseg.raster.remote import is_remote
from agriseg.raster.scene import FACTS, Pixels, Scene
from agriseg.raster.source import gdal_settings, inspect
from agriseg.raster.whole_file import sweep_abandoned
from agriseg.threads import cores, in_threads

__all__ = ["IndexRaster", "Summary", "make_indices", "write_indices"]

log = logging.getLogger(__name__)

# A million pixels of five bands and two indices are 28 MB, of which each thread holds one or two.
_WINDOW_PIXELS = 1 << 20
_BLOCK = 512
_MOST_THREADS = 4
# GDAL's blocks. Left to itself it takes 5 % of the machine's memory: a scene of 67 Mpixel in five
# bands then takes 1.8 GB, no quicker.
_CACHE_BYTES = 256 << 20
_ENDINGS = (".tif", ".tiff")


@dataclass(frozen=True)
class Summary:
    """The values of one index over the whole raster; None where it has none."""

    pixels: int
    mean: float | None
    lowest: float | None
    highest: float | None


@dataclass(frozen=True)
class IndexRaster:
    """A raster of indices that was written.

    Args:
        path: Where.
        scene: What it was computed from.
        indices: Its bands, in order.
        summaries: Their values, in the same order.
        notes: What to beware of, in words.
    """

    path: Path
    scene: Scene
    indices: tuple[Index, ...]
    summaries: tuple[Summary, ...]
    notes: tuple[str, ...] = ()


def write_indices(
    scene_or_path: Scene | Inputs,
    names: Sequence[str] | str | None,
    out: PathLike,
    *,
    params: Mapping[str, float] | None = None,
    uncalibrated: bool = False,
    bounds: Sequence[float] | None = None,
    cutline: PathLike | None = None,
    gsd_m: float | None = None,
    **scene_options: Unpack[SceneOptions],
) -> Path:
    """Write indices of a scene as a Cloud Optimized GeoTIFF, a band each.

    float32 on the grid of the scene, NaN where an index has no value; each band has the index's
    name as its description, and formula, bands, constants and reference as metadata. Memory is
    bounded, whatever the size of the scene.

    Args:
        scene_or_path: A scene, or what `open_scene` opens.
        names: Indices, as a list or with commas between; None: those of `default_indices`.
        out: The file, .tif.
        params: Constants of formulas that shall have another value, such as {"L": 0.25}.
        uncalibrated: Compute indices that need reflectance of whatever numbers there are.
        bounds: (left, bottom, right, top) in the scene's CRS: only that part.
        cutline: A vector file with polygons: only what lies inside.
        gsd_m: Size of the new pixels in metres.
        scene_options: The keywords of `open_scene`, for a path.

    Returns:
        The path of `out`.

    Raises:
        OptionError: An index is unknown, or does not go with the scene's numbers; or an option
            makes no sense.
        BandError: The scene lacks bands of an index.
        InputError: The scene cannot be opened or read.
        OutputError: The file cannot be written, or is an input.
    """
    scene = _opened(scene_or_path, scene_options)
    scene = narrow(scene, bounds=bounds, cutline=cutline, gsd_m=gsd_m)
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    keep_out = () if cutline is None else (os.fspath(cutline),)
    made = make_indices(
        scene, names, Path(out), params=params, uncalibrated=uncalibrated, inputs=keep_out
    )
    for note in made.notes:
        log.warning("%s", note)
    return made.path


def make_indices(
    scene: Scene,
    names: Sequence[str] | None,
    out: Path,
    *,
    params: Mapping[str, float] | None = None,
    uncalibrated: bool = False,
    inputs: Sequence[str] = (),
    on_rows: Callable[[float], None] | None = None,
) -> IndexRaster:
    """What `write_indices` does with an opened scene, and what there is to say of it.

    Args:
        scene: Opened, and narrowed.
        names: Indices; None: those of `default_indices`.
        out: The file.
        params: As in `write_indices`.
        uncalibrated: As in `write_indices`.
        inputs: Files, beside those of the scene, that `out` must not replace.
        on_rows: Called with the share that is done, 0 to 1.

    Raises:
        AgrisegError: As in `write_indices`.
    """
    chosen = _chosen(scene, names)
    check_params(params or {}, chosen)
    units = [fits_units(index, scene, params, uncalibrated=uncalibrated) for index in chosen]
    layers = [_layer(index, scene, params) for index in chosen]
    _check_out(out, scene, inputs)
    tallies = [_Tally() for _ in chosen]
    windows, strip_rows = _windows(scene)
    work = _Work(scene, chosen, dict(params or {}))
    done = 0
    sweep_abandoned(out)
    with (
        rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES),
        float_cog(out, scene.geobox, layers, tags=_tags(scene), strip_rows=strip_rows) as raster,
        closing(work),
        closing(in_threads(work, windows, cores(_MOST_THREADS), "indices")) as results,
    ):
        for window, data in results:
            raster.write(data, window)
            for tally, values in zip(tallies, data, strict=True):
                tally.add(values)
            done += window.width * window.height
            if on_rows:
                on_rows(done / (scene.geobox.width * scene.geobox.height))
    summaries = tuple(tally.summary() for tally in tallies)
    notes = [note for note in units if note]
    notes += [
        f"{index.name} has no value at any pixel"
        for index, summary in zip(chosen, summaries, strict=True)
        if not summary.pixels
    ]
    return IndexRaster(out, scene, tuple(chosen), summaries, tuple(notes))


def _opened(given: Scene | Inputs, options: SceneOptions) -> Scene:
    if not isinstance(given, Scene):
        return open_scene(given, **options)
    if options:
        raise OptionError(
            f"{', '.join(options)}: these say how to open a file, and {given.name} is a scene that "
            "is open already; give them to open_scene"
        )
    return given


def _chosen(scene: Scene, names: Sequence[str] | None) -> list[Index]:
    if names is None:
        names = default_indices(scene)
        if not names:
            raise OptionError(
                f"{scene.name} has the bands of no usual index; {scene.band_summary()}: name its "
                "bands with --bands, or an index with -i"
            )
    if not names:
        raise OptionError("no index is named; give some, such as NDVI,NDRE")
    chosen = [find_index(name, scene) for name in names]
    found = [index.name for index in chosen]
    if doubles := sorted({name for name in found if found.count(name) > 1}):
        raise OptionError(f"the index {doubles[0]} is named twice; name each once")
    return chosen


def _layer(index: Index, scene: Scene, params: Mapping[str, float] | None) -> FloatLayer:
    bands = []
    for symbol, key in zip(index.symbols, index.keys, strict=True):
        length = scene.band(key).wavelength_nm
        bands.append(f"{symbol} = {key}" + (f" ({length:g} nm)" if length else ""))
    constants = constants_of(index, params)
    tags = {
        "long_name": index.long_name,
        "formula": index.formula,
        "bands": ", ".join(bands),
        "reference": index.reference,
    }
    if constants:
        tags["constants"] = ", ".join(f"{name} = {value:g}" for name, value in constants.items())
    return FloatLayer(index.name, tags)


def _tags(scene: Scene) -> dict[str, str]:
    """Metadata of the whole raster: the user's facts, and what the numbers were."""
    facts = {
        (key if key in FACTS else f"about_{key}").upper(): value
        for key, value in sorted(scene.about.items())
    }
    how = scene.radiometry
    return {"AGRISEG_SCENE": scene.name, "RADIOMETRY": f"{how.level}: {how.evidence}", **facts}


def _check_out(out: Path, scene: Scene, inputs: Sequence[str]) -> None:
    """Refuse a place where nothing can be written, or where an input lies."""
    if out.suffix.lower() not in _ENDINGS:
        raise OptionError(f"{out}: indices are written as GeoTIFF; give a file that ends in .tif")
    check_place(out)
    rasters = dict.fromkeys(band.path for band in scene.bands)
    rasters.update((mask.path, None) for mask in scene.masks if not isinstance(mask, AreaMask))
    files = [*inputs]
    for path in rasters:
        files += [path] if is_remote(path) else [path, *inspect(path).files]
    for file in files:
        if not is_remote(file) and Path(file).resolve() == out.resolve():
            raise OutputError(
                f"{out} is an input, which the indices would replace; give another file with -o"
            )


def _windows(scene: Scene) -> tuple[list[Window], int | None]:
    """Windows of about a million pixels, and their rows where they are strips.

    In whole blocks where the files have blocks; in full width where they are stored row by row,
    since a part of a row costs as much as all of it.
    """
    box: GeoBox = scene.geobox
    files = dict.fromkeys(band.path for band in scene.bands if band.role)
    tiled = all(inspect(path).is_tiled for path in files) and min(box.shape) >= _BLOCK
    rows = _BLOCK if tiled else max(min(_WINDOW_PIXELS // box.width, _BLOCK), 1)
    cols = _WINDOW_PIXELS // _BLOCK if tiled else box.width
    windows = [
        Window(col, row, min(cols, box.width - col), min(rows, box.height - row))
        for row in range(0, box.height, rows)
        for col in range(0, box.width, cols)
    ]
    return windows, None if tiled else rows


@dataclass
class _Tally:
    """Adds up the values of an index, window by window."""

    pixels: int = 0
    total: float = 0.0
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, values: NDArray[np.float32]) -> None:
        found = values[~np.isnan(values)]
        if found.size:
            self.pixels += int(found.size)
            self.total += float(found.sum(dtype=np.float64))
            self.lowest = min(self.lowest, float(found.min()))
            self.highest = max(self.highest, float(found.max()))

    def summary(self) -> Summary:
        if not self.pixels:
            return Summary(0, None, None, None)
        return Summary(self.pixels, self.total / self.pixels, self.lowest, self.highest)


@dataclass
class _Work:
    """Reads a window and computes its indices, in any thread; each has readers of its own."""

    scene: Scene
    indices: Sequence[Index]
    params: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=gdal_settings)
    _mine: threading.local = field(default_factory=threading.local)
    _open: ExitStack = field(default_factory=ExitStack)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, window: Window) -> NDArray[np.float32]:
        """(indices, h, w) float32, NaN where there is no value."""
        with rasterio.Env(**self.settings):
            return np.stack(list(self._values(window)))

    def close(self) -> None:
        """Close the files of all threads; none must be at work any more."""
        self._open.close()

    def _values(self, window: Window) -> Iterator[NDArray[np.float32]]:
        keys = tuple(dict.fromkeys(key for index in self.indices for key in index.keys))
        pixels = self._read(keys, window)
        whole = bool(pixels.valid.all())
        for index in self.indices:
            mine = pixels
            if not whole and set(index.keys) != set(keys):
                # A hole in blue, which another index wants, is none in NDVI.
                mine = self._read(index.keys, window)
                keep = mine.valid | pixels.valid
                yield compute(index, Pixels(mine.data, keep), index.keys, self.params).data
                continue
            yield compute(index, mine, keys, self.params).data

    def _read(self, keys: tuple[str, ...], window: Window) -> Pixels:
        mine: dict[tuple[str, ...], SceneReader] | None = getattr(self._mine, "readers", None)
        if mine is None:
            mine = self._mine.readers = {}
        if keys not in mine:
            reader = SceneReader(self.scene, keys)
            with self._lock:
                self._open.enter_context(reader)
            mine[keys] = reader
        return mine[keys].read(window)
