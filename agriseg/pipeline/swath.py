"""Streaming one swath: read ahead, predict, merge, and enter finished rows in the ledger.

Several things go on at once: one thread reads and decodes the next chips, the predictor's streams
predict, this thread merges, one more compresses and writes rows, others trace borders. Each queue
is short, so memory is bounded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import ModelError
from agriseg.models import new_accumulator, streams_for
from agriseg.pipeline.background import Background
from agriseg.pipeline.job import Job
from agriseg.pipeline.predicting import Predicted, predict_chips
from agriseg.pipeline.reading import read_chips, read_here
from agriseg.tiling import Accumulator, ChipGrid, FinishedRows, Swath
from agriseg.vector.parallel import threads_for

__all__ = ["OnRow", "finite_rows", "merge_row", "run_swath"]

OnRow = Callable[[int], None]
"""Called with the number of raster pixels that became final."""


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
    # Nothing of a single chip overlaps in time: threads would cost more than such a task itself.
    is_single = len(rows) * job.plan.grid.cols == 1
    pixels = read_here(job, chips) if is_single else read_chips(job, chips)
    streams = 1 if is_single else streams_for(job.predictor, job.plan.grid)
    stream = predict_chips(job.predictor, pixels, streams)
    threads = threads_for(job.plan.grid.step * job.plan.grid.width, (os.cpu_count() or 1) // 4)
    tracing = Background("trace", 0 if is_single else threads, 2 * threads)
    writing = Background("write", 0 if is_single else 1)
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
            valid, unreadable = merge_row(job.plan.grid, row, accumulator, stream)
            finished = finite_rows(accumulator.pop_rows, row)
            upper, lower = accumulator.upper_strip(), accumulator.lower_strip()
            writer.submit(enter, row, finished, valid, upper, lower, unreadable)
            if on_row:
                on_row(job.plan.grid.finished_by(row).height * job.plan.grid.width)


def finite_rows(pop_rows: Callable[[], FinishedRows | None], row: int) -> FinishedRows | None:
    """What `pop_rows` gives of chip row `row`.

    Raises:
        ModelError: A probability is NaN or infinite.
    """
    try:
        return pop_rows()
    except FloatingPointError as error:
        raise ModelError(
            f"the network gave NaN or infinity in chip row {row}; look for absurd values in the "
            "raster with agriseg info (--nodata), or try --precision float32"
        ) from error


def merge_row(
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
