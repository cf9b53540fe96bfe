"""The pixels that field statistics look at: classes, confidence, indices and brightness."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from agriseg.errors import InputError
from agriseg.geobox import Window
from agriseg.legend import NODATA
from agriseg.raster import Scene, SceneReader
from agriseg.raster.reader import OpenFiles
from agriseg.raster.source import gdal_settings
from agriseg.threads import cores, in_threads
from agriseg.vector.source import ClassRaster, ClassReader

if TYPE_CHECKING:
    from agriseg.indices import Index

__all__ = ["Layers", "Plane", "PlaneReader", "Planes", "Where", "light_keys", "read_planes"]

Where = NDArray[np.int64] | tuple[slice, slice]
"""Pixels of a window: their places, counted row by row, or rows and columns."""

# What the eye and the camera see best; blue is left out, since shade is blue.
_LIGHT = ("green", "red", "nir")
# Readers side by side, each with files of its own.
_MOST_READERS = 4


@dataclass(frozen=True)
class Plane:
    """Values (h, w) and where there are any."""

    data: NDArray[np.float32]
    valid: NDArray[np.bool_]

    def at(self, where: Where) -> Plane:
        """As `Planes.at`."""
        return Plane(_at(self.data, where), _at(self.valid, where))


@dataclass(frozen=True)
class Planes:
    """What there is in the pixels of a window.

    Args:
        classes: (h, w) class values, `NODATA` where there is none.
        steps: (h, w) confidence in steps; None where the map has none.
        has_steps: (h, w) where `steps` mean something; None for everywhere that has a class.
        indices: Of each index that is asked for.
        brightness: None where the scene is not there.
    """

    classes: NDArray[np.uint8]
    steps: NDArray[np.integer[Any]] | None
    has_steps: NDArray[np.bool_] | None
    indices: tuple[Plane, ...]
    brightness: Plane | None

    def at(self, where: Where) -> Planes:
        """What there is in some pixels only, one after the other: (n,) in place of (h, w)."""
        return Planes(
            _at(self.classes, where),
            None if self.steps is None else _at(self.steps, where),
            None if self.has_steps is None else _at(self.has_steps, where),
            tuple(plane.at(where) for plane in self.indices),
            None if self.brightness is None else self.brightness.at(where),
        )


def _at(plane: NDArray[Any], where: Where) -> NDArray[Any]:
    return plane[where].ravel() if isinstance(where, tuple) else plane.take(where)


@dataclass(frozen=True)
class Layers:
    """What is to be looked at; plain facts, no open file.

    Args:
        classes: The class map, of bytes.
        scene: The scene that it was made from, on the same grid; None where it is not there.
        indices: What is to be computed from the scene.
        params: Constants of their formulas that shall have another value.
    """

    classes: ClassRaster
    scene: Scene | None = None
    indices: tuple[Index, ...] = ()
    params: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.classes.dtype != np.uint8:
            raise InputError(
                f"{self.classes.path} holds {self.classes.dtype} numbers, and the classes of a run "
                "are bytes; give the classes.tif of a run"
            )
        assert self.scene is None or self.scene.geobox.shape == self.classes.geobox.shape
        assert self.scene is not None or not self.indices


def light_keys(scene: Scene) -> tuple[str, ...]:
    """The bands whose mean tells how bright a pixel is; of the first date that has any."""
    dates = dict.fromkeys((None, *(band.date for band in scene.bands)))
    for date in dates:
        suffix = "" if date is None else f"@{date}"
        if keys := tuple(role + suffix for role in _LIGHT if scene.has(role + suffix)):
            return keys
    return tuple(band.key for band in scene.bands if band.key)


class PlaneReader:
    """Reads windows and keeps the files open. Use it in a `with` block, in one thread at a time.

    Each index has a reader of its own, so that what is missing in other bands does not matter to
    it; they share files, of which GDAL keeps decoded blocks, so that none is decoded twice.
    """

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        self._stack = ExitStack()
        self._classes = self._stack.enter_context(ClassReader(layers.classes))
        self._light: SceneReader | None = None
        self._bands: list[SceneReader] = []
        scene = layers.scene
        if scene is None:
            return
        try:
            files = self._stack.enter_context(OpenFiles())
            if keys := light_keys(scene):
                self._light = self._stack.enter_context(SceneReader(scene, keys, files))
            for index in layers.indices:
                self._bands.append(self._stack.enter_context(SceneReader(scene, index.keys, files)))
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> PlaneReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def read(self, window: Window) -> Planes:
        """Read a window.

        Raises:
            ReadError: Pixels cannot be read; the message names file and window.
        """
        from agriseg.indices import compute

        rows = self._classes.read(window.row_off, window.height)
        cols = window.slices[1]
        classes = np.where(rows.valid[:, cols], rows.classes[:, cols], np.uint8(NODATA))
        # In one piece: places are taken out of them for each field.
        steps = None if rows.steps is None else np.ascontiguousarray(rows.steps[:, cols])
        known = rows.has_steps
        has_steps = None if known is None else np.ascontiguousarray(known[:, cols])
        found = []
        for index, reader in zip(self._layers.indices, self._bands, strict=True):
            values = compute(index, reader.read(window), index.keys, self._layers.params)
            found.append(Plane(values.data, values.valid))
        return Planes(classes, steps, has_steps, tuple(found), self._brightness(window))

    def _brightness(self, window: Window) -> Plane | None:
        if self._light is None:
            return None
        pixels = self._light.read(window)
        return Plane(pixels.data.mean(axis=0), pixels.valid)


def read_planes(layers: Layers, windows: Iterable[Window]) -> Iterator[tuple[Window, Planes]]:
    """Read windows ahead, some at a time, and give them back in order."""
    readers: queue.SimpleQueue[PlaneReader] = queue.SimpleQueue()
    environment = gdal_settings()
    threads = cores(_MOST_READERS)

    def read(window: Window) -> Planes:
        reader = readers.get()
        try:
            with rasterio.Env(**environment):
                return reader.read(window)
        finally:
            readers.put(reader)

    with ExitStack() as stack:
        # Opened here: what keeps GDAL's warnings off the screen is not made for threads.
        for _ in range(threads):
            readers.put(stack.enter_context(PlaneReader(layers)))
        yield from in_threads(read, windows, threads, "fields")
