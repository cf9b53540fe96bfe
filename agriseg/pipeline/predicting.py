"""Predicting chips: in their order, in batches of fixed size, several at once where that pays."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.models import Predictor, batch_of, check_output, is_asynchronous, new_batch
from agriseg.threads import in_threads
from agriseg.tiling import Chip

__all__ = ["BATCHES_AHEAD", "ChipPixels", "Predicted", "predict_chips"]

# For a GPU, batches are put together in threads: one of 4 chips of 1024 x 1024 pixels in five bands
# takes some 20 ms, and what it waits for it does not predict. Some wait when it wants the next.
_FILLERS = 2
_WAITING = 3
# All that are there at a time: filled, waiting, predicted, and being merged.
BATCHES_AHEAD = 2 * _FILLERS + _WAITING + 2


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
    batches = _Batches(predictor)
    groups = _groups(chips, batches.size)
    if is_asynchronous(predictor):
        found = _predict_ahead(batches, groups)
    elif streams == 1:  # an object of anybody's: in the thread that it comes from
        found = ((group, batches(group)) for group in groups)
    else:
        found = in_threads(batches, groups, streams, "predict")
    with closing(found):
        yield from _apart(found)


def _predict_ahead(
    batches: _Batches, groups: Iterable[list[ChipPixels]]
) -> Generator[tuple[list[ChipPixels], Any], None, None]:
    """Keep a GPU at work while its results are merged, and while these wait for it."""

    def predict(filled: tuple[list[ChipPixels], Any]) -> Any:
        return batches.predict(filled[1])

    filled = in_threads(batches.fill, groups, _FILLERS, "batch")
    found = in_threads(predict, filled, 1, "predict", _WAITING)
    with closing(filled), closing(found):
        for (group, _), probabilities in found:
            yield group, probabilities


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
        return self.predict(self.fill(group))

    def fill(self, group: list[ChipPixels]) -> NDArray[np.float32] | None:
        """(size, bands, h, w) of the chips that have data, and zeros; None where none has."""
        chips = [pixels.data for pixels in group if pixels.data is not None]
        if not chips:
            return None
        if self.size == 1:
            return chips[0][None]
        batch = new_batch(self._predictor, (self.size, *chips[0].shape))
        for place, data in enumerate(chips):
            batch[place] = data
        batch[len(chips) :] = 0
        return batch

    def predict(self, batch: NDArray[np.float32] | None) -> Any:
        """Probabilities (size, classes, h, w) of a batch."""
        if batch is None:
            return None
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
