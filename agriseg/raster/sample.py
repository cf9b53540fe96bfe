"""Looking at a large raster quickly: values from an overview, or from blocks spread over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray

from agriseg.bands import Band
from agriseg.errors import ReadError, RemoteReadError
from agriseg.geobox import GeoBox, Window
from agriseg.raster.reader import SceneReader
from agriseg.raster.scene import Pixels, Scene
from agriseg.raster.source import (
    RasterFile,
    Source,
    gdal_settings,
    inspect,
)
from agriseg.threads import cores, in_threads

__all__ = ["sample_pixels", "sample_values", "sample_windows"]

_T = TypeVar("_T")

_THREADS = 4
_LATTICE = 8
"""Windows along each side of the lattice that is read."""
_STRIP_PIXELS = 1 << 26
"""How many pixels may be decoded of a raster in strips to look at a few of them."""


def sample_values(source: Source, *, max_values: int = 2_000_000) -> NDArray[Any]:
    """Raw values (bands, n) of a file, in its own type, bands x n at most about `max_values`.

    Taken from the smallest sufficient overview where there is one, else from blocks on a lattice
    over the whole raster, so that it takes about as long on 50 GB as on 50 MB.

    What is damaged is left out; but not of a file behind a network, where what fails now may be
    there the next time: the values would not be the same ones.

    Raises:
        ReadError: No pixel that was tried can be read; or one of them of a remote file.
    """
    box = source.geobox
    pixels = max(max_values // source.count, 64)
    with RasterFile(source.path) as file:
        try:
            whole = _overview(source, file, pixels)
        except RemoteReadError:
            raise
        except ReadError:
            whole = None  # perhaps a part of it can be read
    if whole is not None:
        return _flat(whole)

    def read(file: RasterFile, window: Window) -> NDArray[Any]:
        return _flat(file.read(range(1, source.count + 1), window))

    windows = list(_lattice(box, source.block_shapes[0], pixels))
    found, faults = _shared(lambda: RasterFile(source.path), read, windows)
    if not found:
        raise faults[0]
    return np.concatenate(found, axis=1)


def _shared(
    open_one: Callable[[], AbstractContextManager[Any]],
    read: Callable[[Any, Window], _T],
    windows: Sequence[Window],
) -> tuple[list[_T], list[ReadError]]:
    """Read windows in some threads, each from what `open_one` opens for it alone.

    Returns:
        What was read, in the order of the windows, and the faults.
    """
    environment = gdal_settings()
    threads = cores(min(_THREADS, len(windows)))

    def part(mine: tuple[Any, Sequence[Window]]) -> list[_T | ReadError]:
        opened, places = mine
        parts: list[_T | ReadError] = []
        with rasterio.Env(**environment):
            for window in places:
                try:
                    parts.append(read(opened, window))
                except RemoteReadError:
                    raise
                except ReadError as error:
                    parts.append(error)
        return parts

    with ExitStack() as stack:
        # Opened here: what keeps GDAL's warnings off the screen is not made for threads.
        files = [stack.enter_context(open_one()) for _ in range(threads)]
        # Neighbours to one thread: two would decode the same block twice.
        edges = [len(windows) * k // threads for k in range(threads + 1)]
        shares = [(file, windows[a:b]) for file, (a, b) in zip(files, pairwise(edges), strict=True)]
        results = [result for _, result in in_threads(part, shares, threads, "sample")]
    both = [one for result in results for one in result]
    found = [one for one in both if not isinstance(one, ReadError)]
    return found, [one for one in both if isinstance(one, ReadError)]


def _overview(source: Source, file: RasterFile, pixels: int) -> NDArray[Any] | None:
    """All of a small raster, or of a fitting overview; None where there is neither."""
    box, bands = source.geobox, range(1, source.count + 1)
    if box.width * box.height <= pixels:
        return file.read(bands, box.window)
    if not source.overviews:
        return None
    shrink = (box.width * box.height / pixels) ** 0.5
    fitting = [f for f in source.overviews if f >= shrink] or [source.overviews[-1]]
    side = max(fitting[0], shrink)
    return file.read_shrunk(bands, (_shrunk(box.height, side), _shrunk(box.width, side)))


def sample_pixels(
    scene: Scene,
    keys: Sequence[str | Band],
    *,
    max_pixels: int = 1_000_000,
    on_fault: Callable[[str], None] | None = None,
) -> Pixels:
    """A sample of a scene's pixels with scaling and masks applied, spread over all of it.

    The same scene gives the same sample. A small scene is read whole. What is damaged is left out,
    as in `sample_values`.

    Args:
        scene: Where from.
        keys: Roles, `role@date`, or bands of the scene.
        max_pixels: About how many pixels at most.
        on_fault: Called with a line for each window that cannot be read.

    Returns:
        Pixels with data (bands, n, 1) and valid (n, 1).

    Raises:
        ReadError: No pixel that was tried can be read; or one of them of a remote file.
    """
    box, blocks = scene.geobox, _blocks(scene, keys)
    tries = [sample_windows(box, blocks, max_pixels)]
    if tries[0] == [box.window]:  # where that cannot be read, perhaps a part of it can
        tries.append(list(_lattice(box, blocks, max_pixels)))
    found: list[Pixels] = []
    faults: list[ReadError] = []
    for windows in tries:
        found, new = _shared(lambda: SceneReader(scene, keys), SceneReader.read, windows)
        faults = new or faults
        if found:
            break
    if on_fault:
        for fault in faults:
            on_fault(str(fault))
    if not found:
        raise faults[0]
    return Pixels(
        np.concatenate([part.data.reshape(len(keys), -1, 1) for part in found], axis=1),
        np.concatenate([part.valid.reshape(-1, 1) for part in found]),
    )


def sample_windows(box: GeoBox, block: tuple[int, int], max_pixels: int) -> list[Window]:
    """The windows that `sample_pixels` looks at first: the whole, or some spread over it.

    Args:
        box: The grid.
        block: Rows and columns of the blocks in which its pixels are stored.
        max_pixels: About how many pixels at most.
    """
    if box.width * box.height <= max_pixels:
        return [box.window]
    return list(_lattice(box, block, max_pixels))


def _blocks(scene: Scene, keys: Sequence[str | Band]) -> tuple[int, int]:
    """How the scene's pixels are stored, where they are read without resampling."""
    band = scene.band(keys[0]) if isinstance(keys[0], str) else keys[0]
    source = inspect(band.path)
    rows, cols = source.block_shapes[band.index - 1]
    is_striped = cols >= source.geobox.width
    return rows, max(cols, scene.geobox.width) if is_striped else cols


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(len(values), -1)


def _shrunk(length: int, factor: float) -> int:
    return max(int(length / factor), 1)


def _lattice(box: GeoBox, block: tuple[int, int], pixels: int) -> Iterator[Window]:
    """Windows spread over the raster row by row, each in one block, `pixels` in all at most."""
    rows, cols = min(block[0], box.height), min(block[1], box.width)
    if cols == box.width:
        # Strips: decoding one gives its whole row, so look along all of it, in fewer strips where
        # they are large.
        down = min(max(_STRIP_PIXELS // (rows * cols), _LATTICE), _LATTICE**2, box.height, pixels)
        share = pixels // down
        width = box.width if share >= box.width else max(share // _LATTICE, 1)
        height = min(rows, max(share // box.width, 1))
    else:
        share = max(pixels // _LATTICE**2, 1)
        height = min(rows, max(int(share**0.5), 1))
        width = min(cols, max(share // height, 1))
        down = _LATTICE
    across = _places(box.width, cols, width, _LATTICE)
    for row in _places(box.height, rows, height, down):
        for col in across:
            yield Window(col, row, min(width, box.width - col), min(height, box.height - row))


def _places(length: int, block: int, size: int, most: int) -> list[int]:
    """Where up to `most` pieces of `size` begin, evenly spread, none over the edge of a block."""
    count = min(most, length // size)
    if count == 1:
        return [(length - size) // 2]
    starts = set()
    for k in range(count):
        start = k * (length - size) // (count - 1)
        first = start // block * block
        starts.add(max(min(start, first + block - size), first))
    return sorted(starts)
