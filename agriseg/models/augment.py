"""Test-time augmentation: the mean of what a model says of a chip and of its mirror images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import OptionError
from agriseg.models.card import ModelCard
from agriseg.models.predictor import (
    Predictor,
    SampleOf,
    about,
    adapt,
    adapt_to_pixels,
    batch_of,
    is_asynchronous,
    new_accumulator,
    new_batch,
    numerics_of,
    streams_of,
)
from agriseg.tiling import Accumulator, ChipGrid

if TYPE_CHECKING:
    from agriseg.raster import Scene

__all__ = ["TTA", "Augmented", "augmented"]

_View = tuple[bool, tuple[int, ...]]
"""Whether rows and columns change places, then the axes that are mirrored."""

_FLIPS: tuple[_View, ...] = tuple((False, axes) for axes in ((), (-1,), (-2,), (-2, -1)))
TTA: dict[str, Sequence[_View]] = {
    "none": _FLIPS[:1],
    "flips": _FLIPS,
    "turns": (*_FLIPS, *((True, axes) for _, axes in _FLIPS)),
}
"""The views of each choice: 1, 4 (mirrored), or 8 (mirrored and turned by quarters)."""


def augmented(predictor: Predictor, tta: str) -> Predictor:
    """The predictor with test-time augmentation; itself with "none".

    Raises:
        OptionError: There is no such choice.
    """
    if tta not in TTA:
        raise OptionError(f"--tta {tta}: unknown; possible are {', '.join(TTA)}")
    return predictor if tta == "none" else Augmented(predictor, tta)


class Augmented:
    """A predictor that is asked several times about each batch; it takes as many times as long.

    Args:
        predictor: Which is asked.
        tta: A key of `TTA`.
    """

    def __init__(self, predictor: Predictor, tta: str) -> None:
        self._predictor, self._tta = predictor, tta

    @property
    def card(self) -> ModelCard:
        return self._predictor.card

    @property
    def numerics(self) -> str:
        """That of the predictor, and the views; the mean is taken in float32, in their order."""
        return json.dumps({**_plain(numerics_of(self._predictor)), "tta": self._tta})

    @property
    def batch(self) -> int:
        return batch_of(self._predictor)

    @property
    def streams(self) -> int:
        return streams_of(self._predictor)

    @property
    def is_asynchronous(self) -> bool:
        return is_asynchronous(self._predictor)

    def new_batch(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return new_batch(self._predictor, shape)

    @property
    def fingerprint(self) -> str | None:
        """That of the predictor, if it has one."""
        return getattr(self._predictor, "fingerprint", None)

    def for_scene(self, scene: Scene) -> Augmented:
        return Augmented(adapt(self._predictor, scene), self._tta)

    def for_pixels(self, scene: Scene, sample_of: SampleOf) -> Augmented:
        return Augmented(adapt_to_pixels(self._predictor, scene, sample_of), self._tta)

    def new_accumulator(self, grid: ChipGrid, probabilities: bool = False) -> Accumulator:
        return new_accumulator(self._predictor, grid, probabilities=probabilities)

    def about(self) -> dict[str, Any]:
        return {**about(self._predictor), "tta": self._tta}

    def __call__(self, batch: NDArray[np.float32], /) -> Any:
        if self.streams == 1:
            return self._mean(batch)
        from agriseg.models.torch_threads import torch_threads

        with torch_threads(1):  # each stream has one, for the mean too
            return self._mean(batch)

    def _mean(self, batch: NDArray[np.float32]) -> Any:
        views = TTA[self._tta]
        total: Any = None
        for swaps, axes in views:
            seen = batch.swapaxes(-1, -2) if swaps else batch
            found = self._predictor(np.ascontiguousarray(np.flip(seen, axes) if axes else seen))
            if axes:
                found = np.flip(found, axes) if isinstance(found, np.ndarray) else found.flip(axes)
            if swaps:
                found = found.swapaxes(-1, -2)
            if total is None:
                # A predictor may give the same memory again.
                total = found.copy() if isinstance(found, np.ndarray) else found.clone()
            else:
                total += found
        total *= 1 / len(views)
        return total


def _plain(numerics: str) -> dict[str, Any]:
    try:
        plain = json.loads(numerics)
    except ValueError:
        plain = numerics
    return plain if isinstance(plain, dict) else {"engine": numerics}
