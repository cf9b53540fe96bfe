"""Streaming one swath: read ahead, predict, merge, and enter finished rows in the ledger.

Several things go on at once: one thread reads and decodes the next chips, the predictor's streams
predict, this thread merges, one more compresses and writes rows, others trace borders. Each queue
is short, so memory is bounded.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray

from agriseg.errors import ModelError, ReadError
from agriseg.models import new_accumulator
from agriseg.models.inputs import network_input, present_keys
from agriseg.pipeline.background import Background
from agriseg.pipeline.job import Job
from agriseg.pipeline.predicting import ChipPixels, Predicted, predict_chips
from agriseg.raster.reader import SceneReader
from agriseg.tiling import Accumulator, Chip, ChipGrid, FinishedRows, Swath
from agriseg.vector.parallel import threads_for

__all__ = ["OnRow", "run_swath"]

OnRow = Callable[[int], None]
"""Called with the number of raster pixels that became final."""

_AHEAD = 3
_T = TypeVar("_T")


def run_swath(job: Job, swath: Swath, on_row: OnRow | None = None) -> None:
    """Predict what the ledger lacks of a swath and enter it there.

    Raises:
        ReadError: A chip cannot be read (unless `skip_unreadable`).
        OutputError: Rows cannot be written.
    """
    ledger = job.ledger
    rows = ledger.missing(swath.rows)
    chips = (chip for row in rows for chip in job.plan.grid.chips(row))
    accumulator = new_accumulator(
        job.predictor, job.plan.grid, probabilities=job.options.probabilities
    )
    last: int | None = None
    environment = rasterio.env.getenv() if rasterio.env.hasenv() else {}
    pixels = _ahead(_read(job, chips, environment), _AHEAD)
    stream = predict_chips(job.predictor, pixels)
    threads = threads_for(job.plan.grid.step * job.plan.grid.width, (os.cpu_count() or 1) // 4)
    tracing, writing = Background("trace", threads, 2 * threads), Background("write")
    with closing(pixels), closing(stream), tracing as tracer, writing as writer:

        def enter(row: int, *what: Any) -> None:
            ledger.store(row, *what)
            if job.options.polygons:
                tracer.submit(ledger.trace, row)

        for row in rows:
            # The strip of a row merged just before is still in the accumulator, which needs none.
            is_streamed = row - 1 == last
            above = None if row == 0 or is_streamed else ledger.lower_strip(row - 1)
            last = row
            accumulator.start_row(row, above)
            valid, unreadable = _merge_row(job.plan.grid, row, accumulator, stream)
            finished = _finite(accumulator.pop_rows, row)
            upper, lower = accumulator.upper_strip(), accumulator.lower_strip()
            writer.submit(enter, row, finished, valid, upper, lower, unreadable)
            if on_row:
                on_row(job.plan.grid.finished_by(row).height * job.plan.grid.width)


def _finite(pop_rows: Callable[[], FinishedRows | None], row: int) -> FinishedRows | None:
    try:
        return pop_rows()
    except FloatingPointError as error:
        raise ModelError(
            f"the network gave NaN or infinity in chip row {row}; look for absurd values in the "
            "raster with agriseg info (--nodata), or try --precision float32"
        ) from error


def _merge_row(
    grid: ChipGrid, row: int, accumulator: Accumulator, stream: Iterator[Predicted]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Take the chips of one row from the stream, and merge them.

    Returns:
        The valid mask (height, width) of the row's window, and what could not be read.
    """
    valid = np.ones(grid.row_window(row).shape, bool)
    unreadable: list[str] = []
    for _ in range(grid.cols):
        found = next(stream)
        pixels, at = found.pixels, found.pixels.chip.window
        cols = slice(at.col_off, at.col_end)
        if pixels.unreadable:
            unreadable.append(pixels.unreadable)
        if pixels.valid is None:
            valid[:, cols] = False
            continue
        valid[:, cols] &= pixels.valid
        accumulator.add(found.probabilities, pixels.chip)
    return valid, unreadable


def _read(job: Job, chips: Iterable[Chip], environment: Mapping[str, Any]) -> Iterator[ChipPixels]:
    """Read chips in order, ready for the network.

    Runs in a thread of its own, to which GDAL's settings do not come by themselves.
    """
    card = job.predictor.card
    keys = present_keys(job.scene, card)
    with rasterio.Env(**environment), SceneReader(job.scene, keys) as reader:
        for chip in chips:
            try:
                pixels = reader.read(chip.window)
            except ReadError as error:
                if not job.options.skip_unreadable:
                    raise
                yield ChipPixels(chip, None, None, str(error))
                continue
            if not pixels.valid.any():
                yield ChipPixels(chip, None, None)
                continue
            yield ChipPixels(chip, network_input(pixels, keys, card), pixels.valid)


def _ahead(items: Iterator[_T], depth: int) -> Generator[_T, None, None]:
    """Run an iterator in a thread of its own, at most `depth` items ahead."""
    filled: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stop, end = threading.Event(), object()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                filled.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    break
            put(end)
        except BaseException as error:  # handed to the thread that waits for items
            put(error)
        finally:
            close = getattr(items, "close", None)
            if close:
                close()

    thread = threading.Thread(target=work, name="agriseg-read", daemon=True)
    thread.start()
    try:
        while (item := filled.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
