"""Predicting chips: in their order, in batches of fixed size, several at once where that pays."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.models import Predictor, batch_of, check_output
from agriseg.threads import in_threads
from agriseg.tiling import Chip

__all__ = ["ChipPixels", "Predicted", "predict_chips"]


@dataclass
class ChipPixels:
    """A chip as the reader hands it over; `data` is None where no pixel is valid."""

    chip: Chip
    data: NDArray[np.float32] | None
    valid: NDArray[np.bool_] | None
    unreadable: str | None = None


@dataclass
class Predicted:
    """A chip and its probabilities (classes, h, w) on the device; None where no pixel is valid."""

    pixels: ChipPixels
    probabilities: Any | None


def predict_chips(
    predictor: Predictor, chips: Iterator[ChipPixels], streams: int = 1
) -> Generator[Predicted, None, None]:
    """Predict chips as they come.

    A batch holds chips of one shape and one chip row, so that what is in it does not depend on
    where the work began. Chips of later rows are under way while the last of a row are merged.

    Args:
        predictor: Which predicts.
        chips: What it predicts.
        streams: Calls that go on at once.
    """
    predict = _Batches(predictor)
    groups = _groups(chips, predict.size)
    found: Generator[tuple[list[ChipPixels], Any], None, None]
    if streams == 1:  # an object of anybody's: in the thread that it comes from
        found = ((group, predict(group)) for group in groups)
    else:
        found = in_threads(predict, groups, streams, "predict")
    with closing(found):
        yield from _apart(found)


def _apart(found: Iterable[tuple[list[ChipPixels], Any]]) -> Iterator[Predicted]:
    """The chips of groups, each with its part of the group's probabilities."""
    for group, probabilities in found:
        place = 0
        for pixels in group:
            if pixels.data is None:
                yield Predicted(pixels, None)
                continue
            at = pixels.chip.window
            # What the stride added on the right and at the bottom is cut off again.
            yield Predicted(pixels, probabilities[place, :, : at.height, : at.width])
            place += 1


class _Batches:
    """Calls a predictor with batches of the one size that it asks for."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.size = batch_of(predictor)
        self._is_checked = False

    def __call__(self, group: list[ChipPixels]) -> Any:
        """Probabilities (size, classes, h, w) of the chips that have data; None where none has."""
        chips = [pixels.data for pixels in group if pixels.data is not None]
        if not chips:
            return None
        if self.size == 1:
            batch = chips[0][None]
        else:
            batch = np.zeros((self.size, *chips[0].shape), np.float32)
            for place, data in enumerate(chips):
                batch[place] = data
        probabilities = self._predictor(batch)
        expected = (len(batch), len(self._predictor.card.legend), *batch.shape[2:])
        if not self._is_checked or tuple(probabilities.shape) != expected:
            check_output(probabilities, batch.shape, self._predictor.card)
            self._is_checked = True
        # Merging writes into the array, which may be the predictor's own.
        return probabilities.copy() if isinstance(probabilities, np.ndarray) else probabilities


def _groups(chips: Iterable[ChipPixels], size: int) -> Iterator[list[ChipPixels]]:
    """Chips that make one batch, with those between them that need none."""
    group: list[ChipPixels] = []
    filled, kind = 0, None
    for pixels in chips:
        mine = (pixels.chip.row, pixels.data.shape) if pixels.data is not None else None
        if mine is not None and kind not in (None, mine):
            yield group
            group, filled = [], 0
        group.append(pixels)
        if mine is not None:
            filled, kind = filled + 1, mine
        if filled == size or (mine is None and not filled):
            yield group
            group, filled, kind = [], 0, None
    if group:
        yield group
