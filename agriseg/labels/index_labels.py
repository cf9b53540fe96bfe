"""Labels that leave a class open, decided where a vegetation index is sure.

"Soil or weed" says only that a pixel is no crop. Where red and near infrared, or the colours of a
picture, tell plants from soil without doubt, such a pixel is one of the two; in between it stays
open. The index and its threshold on each scene are those of `index-baseline`. What is green and in
deep shade stays open too: ground has the index of leaves there.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import BandError, LabelError
from agriseg.geobox import Window
from agriseg.labels.codes import IGNORE, Codes
from agriseg.labels.labelled import LabelReader, Labels
from agriseg.models.baseline import IndexBaseline
from agriseg.raster import Scene
from agriseg.raster.reader import SceneReader

__all__ = ["IndexLabels"]

_SURE = 0.98
"""How probable plants or soil must be."""
# Sure is then what lies 0.1 of NDVI, or 0.08 of ExG, beside the threshold, or further.
_LEAST_SPREADS = {"NDVI": 0.025, "ExG": 0.02}


@dataclass(frozen=True)
class IndexLabels:
    """Labels of which a set of two classes is decided by a vegetation index.

    Args:
        labels: The labels.
        codes: What their codes mean.
        low: The class where the index is surely low, by its value: what is no plant.
        high: The class where it is surely high.

    Raises:
        LabelError: The two are one class, or no label leaves open just these two.
    """

    labels: Labels
    codes: Codes
    low: int
    high: int
    # By scene: a training that keeps few files open opens the others again and again.
    _found: dict[str, IndexBaseline] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        names = self.codes.legend.names
        if self.low == self.high:
            raise LabelError(
                f"by_index: low and high are both {names[self.low]}; name two classes, or leave "
                "by_index out"
            )
        if not self._open.any():
            pair = f"{names[self.low]} or {names[self.high]}"
            raise LabelError(
                f"by_index decides between {pair}, and no label leaves just that open; let a value "
                f"mean {pair!r}, or leave by_index out"
            )

    @property
    def _open(self) -> NDArray[np.bool_]:
        """(256,) True for the code of these two classes; of a third the index says nothing."""
        both = self.codes.allowed[:, self.low] & self.codes.allowed[:, self.high]
        both &= self.codes.allowed.sum(1) == 2
        both[len(self.codes.legend) + len(self.codes.sets) :] = False
        both[IGNORE] = False
        return np.asarray(both)

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(getattr(self.labels, "files", ()))

    def look(self, scene: Scene) -> tuple[str, ...]:
        look = getattr(self.labels, "look", None)
        return () if look is None else tuple(look(scene))

    def open(self, scene: Scene) -> LabelReader:
        index = self._found.get(repr(scene))
        if index is None:
            try:
                index = _doubtful(IndexBaseline().for_scene(scene))
            except BandError as error:
                raise LabelError(f"by_index: {error}") from error
            self._found[repr(scene)] = index
        return _IndexReader(self.labels.open(scene), index, scene, self)


def _doubtful(index: IndexBaseline) -> IndexBaseline:
    """The index with some doubt at least: few scenes are as clear as their histogram."""
    options = dict(index.card.options)
    options["spread"] = max(options["spread"], _LEAST_SPREADS[options["index"]])
    return replace(index, card=replace(index.card, options=options))


def _in_shade_too(index: IndexBaseline) -> IndexBaseline:
    """The index by itself, where `index-baseline` takes all that is dark for ground."""
    options = {key: value for key, value in index.card.options.items() if key != "shade_below"}
    return replace(index, card=replace(index.card, options=options))


class _IndexReader:
    def __init__(
        self, inner: LabelReader, index: IndexBaseline, scene: Scene, labels: IndexLabels
    ) -> None:
        self._inner, self._index, self._scene = inner, index, scene
        self._bare_index = _in_shade_too(index)
        self._open, self._low, self._high = labels._open, labels.low, labels.high
        self._stack = ExitStack()

    @property
    def clashes(self) -> int:
        return int(getattr(self._inner, "clashes", 0))

    def read(self, window: Window) -> NDArray[np.uint8]:
        codes = self._inner.read(window)
        is_open = self._open[codes]
        if not is_open.any():
            return codes
        pixels = self._pixels.read(window)
        # Where pixels are not valid the index means nothing.
        is_open &= pixels.valid
        high = self._index(pixels.data[None])[0, 1] >= _SURE
        low = self._bare_index(pixels.data[None])[0, 1] <= 1 - _SURE
        codes = codes.copy()
        codes[is_open & high] = self._high
        codes[is_open & low] = self._low
        return codes

    def __enter__(self) -> _IndexReader:
        with ExitStack() as stack:
            stack.enter_context(self._inner)
            self._pixels = stack.enter_context(SceneReader(self._scene, self._index.card.keys))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
