"""Predicting chips: in their order, in batches of fixed size, several at once where that pays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agriseg.models import Predictor, batch_of, check_output, streams_of
from agriseg.tiling import Chip

__all__ = ["ChipPixels", "Predicted", "predict_chips", "predict_each"]

_T = TypeVar("_T")


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
    predictor: Predictor, chips: Iterator[ChipPixels]
) -> Generator[Predicted, None, None]:
    """Predict chips as they come.

    A batch holds chips of one shape and one chip row, so that what is in it does not depend on
    where the work began. Chips of later rows are under way while the last of a row are merged.
    """
    batches = _Batches(predictor)
    for group, probabilities in predict_each(
        _groups(chips, batches.size), batches, batches.streams
    ):
        place = 0
        for pixels in group:
            if pixels.data is None:
                yield Predicted(pixels, None)
                continue
            at = pixels.chip.window
            # What the stride added on the right and at the bottom is cut off again.
            yield Predicted(pixels, probabilities[place, :, : at.height, : at.width])
            place += 1


def predict_each(
    inputs: Iterable[_T], predict: Callable[[_T], Any], streams: int
) -> Generator[tuple[_T, Any], None, None]:
    """Call `predict` with each input, up to `streams` at once; the results keep the order.

    A fault of the inputs is raised in its place, after the results of those before it.
    """
    if streams == 1:
        for one in inputs:
            yield one, predict(one)
        return
    pool = ThreadPoolExecutor(streams, thread_name_prefix="agriseg-predict")
    waiting: deque[tuple[_T, Future[Any]]] = deque()
    fault: Exception | None = None
    source = iter(inputs)
    try:
        while fault is None:
            try:
                one = next(source)
            except StopIteration:
                break
            except Exception as error:
                fault = error
                break
            waiting.append((one, pool.submit(predict, one)))
            # One more than are under way: no stream waits while a result is merged.
            if len(waiting) > streams + 1:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
        if fault is not None:
            raise fault
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Batches:
    """Calls a predictor with batches of the one size that it asks for."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.size, self.streams = batch_of(predictor), streams_of(predictor)
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
