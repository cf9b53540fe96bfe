"""Labelled scenes made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.labels import Codes, LabelledScene
from agriseg.raster import Scene, open_scene
from tests.support import write_raster


@dataclass(frozen=True, eq=False)
class ArrayLabels:
    """Labels from an array; on a coarser grid, those at the pixels' centres."""

    codes: NDArray[np.uint8]

    def open(self, scene: Scene) -> _Reader:
        down = self.codes.shape[0] / scene.geobox.height
        across = self.codes.shape[1] / scene.geobox.width
        rows = ((np.arange(scene.geobox.height) + 0.5) * down).astype(int)
        cols = ((np.arange(scene.geobox.width) + 0.5) * across).astype(int)
        return _Reader(self.codes[np.ix_(rows, cols)])


class _Reader:
    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self._codes = codes

    def read(self, window: Window) -> NDArray[np.uint8]:
        return self._codes[window.slices]

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *error: object) -> None: ...


@dataclass(frozen=True)
class Data:
    scenes: tuple[LabelledScene, ...]
    codes: Codes
    notes: tuple[str, ...] = ()
    parts: tuple[str | None, ...] = ()


def labelled(
    path: Path, values: NDArray[Any], codes: NDArray[np.uint8], group: str = "", **raster: Any
) -> LabelledScene:
    """A scene of one band, and its labels."""
    write_raster(path, values[None].astype(np.float32), descriptions=["red"], **raster)
    return LabelledScene(open_scene(path), ArrayLabels(codes), group=group)


def data(scenes: Sequence[LabelledScene], codes: Codes) -> Data:
    return Data(tuple(scenes), codes, parts=(None,) * len(scenes))


def blobs(height: int, width: int, classes: int, seed: int) -> NDArray[np.uint8]:
    """Patches of classes, a few pixels across."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=(height, width)), 2.0) for _ in range(classes)]
    return np.argmax(layers, axis=0).astype(np.uint8)
