"""A few windows to look at: the worst, a typical one, and the best, kept while rows stream by."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agriseg.evaluation.mapping import Task
from agriseg.geobox import Window
from agriseg.raster import Scene

__all__ = ["Album", "Picture", "read_image"]

SIDE = 512
_RESERVOIR = 24
_LEAST_KNOWN, _LEAST_SHARE = 0.05, 0.02
_GAMMA = 1 / 1.8
# What is shown as red, green and blue, the best that a scene has first.
_VIEWS = (
    ("red", "green", "blue"),
    ("nir", "red", "green"),
    ("nir", "red", "red"),
)


@dataclass(frozen=True)
class Picture:
    """A window of a scene.

    Args:
        task: The scene.
        window: Where.
        classes: (h, w) scored classes; 255 where there is none.
        codes: (h, w) labels.
        error: Share of its known pixels that are wrong.
        kind: "worst", "typical" or "best".
    """

    task: Task
    window: Window
    classes: NDArray[np.uint8]
    codes: NDArray[np.uint8]
    error: float
    kind: str = ""


class Album:
    """Chooses windows as they pass.

    Args:
        worst: How many of the worst are kept.
    """

    def __init__(self, worst: int = 2) -> None:
        self._worst_many = worst
        self._worst: list[tuple[float, int, Picture]] = []
        self._best: tuple[float, Picture] | None = None
        self._some: list[Picture] = []
        self._errors: list[float] = []
        self._seen = 0
        self._rng = np.random.default_rng(2)

    def look(
        self,
        task: Task,
        row_off: int,
        classes: NDArray[np.uint8],
        codes: NDArray[np.uint8],
        known: NDArray[np.bool_],
        wrong: NDArray[np.bool_],
    ) -> None:
        """See the windows of a strip, all (h, w)."""
        height, width = classes.shape
        full = min(SIDE, task.grid.height) * min(SIDE, task.grid.width)
        for left in range(0, width, SIDE):
            cols = slice(left, min(left + SIDE, width))
            at = Window(left, row_off, cols.stop - left, height)
            there = int(np.count_nonzero(known[:, cols]))
            if 2 * at.width * at.height < full or there < _LEAST_KNOWN * full:
                continue
            error = int(np.count_nonzero(wrong[:, cols])) / there
            shares = np.bincount(codes[:, cols][known[:, cols]]) / there
            kinds = int((shares >= _LEAST_SHARE).sum())
            self._consider(task, at, classes[:, cols], codes[:, cols], error, kinds)

    def _consider(
        self,
        task: Task,
        at: Window,
        classes: NDArray[np.uint8],
        codes: NDArray[np.uint8],
        error: float,
        kinds: int,
    ) -> None:
        seen = self._seen
        self._seen += 1
        if kinds > 1:
            self._errors.append(error)
        is_worst = len(self._worst) < self._worst_many or error > self._worst[0][0]
        is_best = kinds > 1 and (self._best is None or error < self._best[0])
        # Bare ground tells little: typical is what is typical where there are several classes.
        count = len(self._errors)
        place = _RESERVOIR
        if kinds > 1:
            place = count - 1 if count <= _RESERVOIR else int(self._rng.integers(0, count))
        if not (is_worst or is_best or place < _RESERVOIR):
            return
        picture = Picture(task, at, classes.copy(), codes.copy(), error)
        if is_worst:
            push = heapq.heappush if len(self._worst) < self._worst_many else heapq.heappushpop
            push(self._worst, (error, seen, picture))
        if is_best:
            self._best = error, picture
        if place < _RESERVOIR:
            self._some[place : place + 1] = [picture]

    def chosen(self) -> tuple[Picture, ...]:
        """The worst, the one nearest the median, and the best; each once."""
        found: list[tuple[str, Picture]] = []
        found += [("worst", one) for _, _, one in sorted(self._worst, key=lambda x: (-x[0], x[1]))]
        if self._some:
            middle = float(np.median(self._errors))
            found.append(("typical", min(self._some, key=lambda one: abs(one.error - middle))))
        if self._best is not None:
            found.append(("best", self._best[1]))
        chosen: dict[tuple[int, Window], Picture] = {}
        # With few windows the same one is several of these: the rarer name stays.
        order = {"best": 0, "typical": 1, "worst": 2}
        for kind, one in sorted(found, key=lambda pair: order[pair[0]]):
            named = Picture(one.task, one.window, one.classes, one.codes, one.error, kind)
            chosen.setdefault((one.task.place, one.window), named)
        return tuple(sorted(chosen.values(), key=lambda one: (-order[one.kind], -one.error)))


def read_image(scene: Scene, window: Window) -> NDArray[np.float64]:
    """(h, w, 3) of 0..1, stretched for the eye; grey where the scene has one band only."""
    from agriseg.raster.reader import SceneReader

    view = next((keys for keys in _VIEWS if all(scene.has(key) for key in keys)), None)
    bands = [scene.band(key) for key in view] if view else [scene.bands[0]] * 3
    # A band that is shown twice is read once.
    unique = list(dict.fromkeys(bands))
    with SceneReader(scene, unique) as reader:
        pixels = reader.read(window)
    data = np.stack([pixels.data[unique.index(band)] for band in bands], axis=-1)
    image = np.ones(data.shape)
    usable = data[pixels.valid]
    if usable.size:
        # One stretch for all visible bands keeps the colour of soil; infrared is far brighter.
        alike = view is None or view[0] == "red"
        low, high = np.percentile(usable, (0.5, 99.5), axis=None if alike else 0)
        shown = ((data - low) / np.maximum(high - low, 1e-9)).clip(0, 1) ** _GAMMA
        image[pixels.valid] = shown[pixels.valid]
    return image
