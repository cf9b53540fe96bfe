"""A scene with its labels: what training learns from and evaluation compares with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import LabelError
from agriseg.geobox import Window
from agriseg.labels.codes import IGNORE
from agriseg.raster import Pixels, Scene
from agriseg.raster.reader import SceneReader

__all__ = ["LabelReader", "LabelledReader", "LabelledScene", "Labels"]


class LabelReader(Protocol):
    """Open labels of one scene. Used in a `with` block, in one thread."""

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Codes (h, w) of a window of the scene's grid; `IGNORE` where nothing is labelled.

        Raises:
            ReadError: They cannot be read; the message names file and window.
        """

    def __enter__(self) -> LabelReader: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Labels(Protocol):
    """Labels of one kind: a frozen value, cheap to pickle, that holds no open file."""

    def open(self, scene: Scene) -> LabelReader:
        """Open them for the grid of `scene`.

        Raises:
            LabelError: They cannot be used with it.
        """


@dataclass(frozen=True)
class LabelledScene:
    """A scene and what is known of its pixels.

    Args:
        scene: The scene; its grid is that of the labels as well.
        labels: What is known of it.
        gsd_m: Its ground sampling distance in metres; by default that of the scene's grid. Photos
            have no grid on the ground, so somebody must say it.
        group: Scenes of one group are never divided between training and evaluation, such as
            photos of one plot; each scene is one by default.
        weight: How often it is drawn in training, against others of its area.

    Raises:
        LabelError: The numbers make no sense.
    """

    scene: Scene
    labels: Labels
    gsd_m: float | None = None
    group: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        gsd = self.scene.geobox.mean_gsd_m if self.gsd_m is None else self.gsd_m
        if gsd is not None and not 0 < gsd < float("inf"):
            raise LabelError(f"gsd_m of {self.scene.name} is {gsd}; expected are metres above 0")
        if not 0 <= self.weight < float("inf"):
            raise LabelError(
                f"weight of {self.scene.name} is {self.weight}; expected is 0 or more, 1 is usual"
            )
        object.__setattr__(self, "gsd_m", gsd)
        object.__setattr__(self, "group", self.group or self.scene.name)

    @property
    def name(self) -> str:
        return self.scene.name


class LabelledReader:
    """Reads pixels and labels together; opens each file once. In a `with` block, in one thread.

    Args:
        labelled: What to read.
        keys: Bands, as `SceneReader` takes them.
    """

    def __init__(self, labelled: LabelledScene, keys: Sequence[str] | None = None) -> None:
        self._stack = ExitStack()
        try:
            self._pixels = self._stack.enter_context(SceneReader(labelled.scene, keys))
            self._labels = self._stack.enter_context(labelled.labels.open(labelled.scene))
        except BaseException:
            self._stack.close()
            raise

    def read(self, window: Window) -> tuple[Pixels, NDArray[np.uint8]]:
        """Pixels, and their codes (h, w): `IGNORE` also where the pixels are not valid."""
        pixels = self._pixels.read(window)
        codes = self._labels.read(window)
        return pixels, np.where(pixels.valid, codes, np.uint8(IGNORE))

    @property
    def clashes(self) -> int:
        """Pixels read so far that annotations of different classes claim."""
        return int(getattr(self._labels, "clashes", 0))

    def __enter__(self) -> LabelledReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
