"""Reading pixels and labels of scenes in several threads, and keeping them where they fit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.labels import IGNORE, LabelledReader, LabelledScene

__all__ = ["PixelStore", "Read"]

Read = tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.uint8]]
"""Reflectance (bands, h, w), valid (h, w), and codes (h, w)."""

_HALF_MAX = 60_000.0
# Rows at a time while a whole scene is read.
_STRIP_PIXELS = 1 << 22
# Scenes that each thread holds open; there may be thousands of them.
_OPEN_SCENES = 32


class PixelStore:
    """Pixels of labelled scenes by window. In a `with` block; any thread may read.

    Reflectance is float16, in the store and out of it, so that what fits into memory changes
    nothing but the time: 11 bits, more than 8-bit images have and about as much as cameras. Numbers
    whose scale nobody stated are float32.

    Args:
        scenes: What is read.
        keys: The bands of the model; those that a scene lacks are 0.
        memory_bytes: All scenes are kept decoded if they fit into this.
    """

    def __init__(
        self, scenes: Sequence[LabelledScene], keys: Sequence[str], memory_bytes: float
    ) -> None:
        self.scenes, self.keys = tuple(scenes), tuple(keys)
        self.present = np.array([[s.scene.has(key) for key in keys] for s in scenes])
        known = all(s.scene.radiometry.level != "DN" for s in scenes)
        self.dtype = np.dtype(np.float16 if known else np.float32)
        self.keeps = self.bytes <= memory_bytes
        self._kept: dict[int, Read] = {}
        self._locks = [threading.Lock() for _ in scenes]
        self._local = threading.local()
        self._all: list[OrderedDict[int, LabelledReader]] = []
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """What all scenes take, decoded."""
        areas = [s.scene.geobox.width * s.scene.geobox.height for s in self.scenes]
        counts = self.present.sum(axis=1)
        return sum(
            area * (int(count) * self.dtype.itemsize + 2)
            for area, count in zip(areas, counts, strict=True)
        )

    def read(self, scene: int, window: Window) -> Read:
        """Pixels of a window, which may reach beyond the scene; nothing is valid there.

        Args:
            scene: Its number among the scenes.
            window: On its grid.

        Returns:
            Reflectance (bands, h, w), 0 where not valid or missing; valid; and codes.
        """
        data = np.zeros((len(self.keys), *window.shape), self.dtype)
        valid = np.zeros(window.shape, bool)
        codes = np.full(window.shape, IGNORE, np.uint8)
        inside = window.intersection(self.scenes[scene].scene.geobox.window)
        if inside is not None:
            rows, cols = inside.shifted(-window.col_off, -window.row_off).slices
            found = self._whole(scene) if self.keeps else self._from_file(scene, inside)
            source = inside.slices if self.keeps else np.s_[:, :]
            here = self.present[scene]
            data[here, rows, cols] = found[0][:, source[0], source[1]]
            valid[rows, cols], codes[rows, cols] = found[1][source], found[2][source]
        return data, valid, codes

    def _whole(self, scene: int) -> Read:
        with self._locks[scene]:
            if scene not in self._kept:
                box = self.scenes[scene].scene.geobox
                data = np.empty((int(self.present[scene].sum()), *box.shape), self.dtype)
                valid, codes = np.empty(box.shape, bool), np.empty(box.shape, np.uint8)
                step = max(_STRIP_PIXELS // box.width, 1)
                with self._opened(scene) as reader:
                    for row in range(0, box.height, step):
                        window = Window(0, row, box.width, min(step, box.height - row))
                        at = np.s_[row : row + window.height]
                        data[:, at], valid[at], codes[at] = self._decoded(reader, window)
                self._kept[scene] = data, valid, codes
            return self._kept[scene]

    def _from_file(self, scene: int, window: Window) -> Read:
        """Read by this thread's own reader; the files used last stay open."""
        mine: OrderedDict[int, LabelledReader] = self._mine()
        if scene in mine:
            mine.move_to_end(scene)
        else:
            while len(mine) >= _OPEN_SCENES:
                mine.popitem(last=False)[1].__exit__(None, None, None)
            mine[scene] = self._opened(scene).__enter__()
        return self._decoded(mine[scene], window)

    def _decoded(self, reader: LabelledReader, window: Window) -> Read:
        pixels, codes = reader.read(window)
        data = np.where(pixels.valid, pixels.data, np.float32(0))
        if self.dtype == np.float16:
            np.clip(data, -_HALF_MAX, _HALF_MAX, out=data)
        return data.astype(self.dtype), pixels.valid, codes

    def _opened(self, scene: int) -> LabelledReader:
        labelled = self.scenes[scene]
        return LabelledReader(labelled, [key for key in self.keys if labelled.scene.has(key)])

    def _mine(self) -> OrderedDict[int, LabelledReader]:
        if not hasattr(self._local, "readers"):
            self._local.readers = OrderedDict()
            with self._lock:
                self._all.append(self._local.readers)
        readers: OrderedDict[int, LabelledReader] = self._local.readers
        return readers

    def __enter__(self) -> PixelStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for readers in self._all:
            while readers:
                readers.popitem()[1].__exit__(None, None, None)
        self._kept.clear()
