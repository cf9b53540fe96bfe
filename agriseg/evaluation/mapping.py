"""Maps of labelled scenes, row by row, as `segment` makes them, but into memory.

The chips, the predictor's batches and the merge are those of `segment`, so the classes are equal.
Scenes follow each other in one stream: chips of small photos fill batches together, and the next
photo is decoded while one is predicted. Chips without a label are not predicted: no score needs
them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from agriseg.errors import ModelError
from agriseg.geobox import Window
from agriseg.labels import IGNORE, LabelledScene
from agriseg.legend import NODATA
from agriseg.models import (
    Predictor,
    adapt,
    check_fit,
    make_ready,
    new_accumulator,
    streams_for,
)
from agriseg.models.inputs import network_input, present_keys
from agriseg.pipeline import SegmentOptions
from agriseg.pipeline.job import cache_bytes, chip_grid
from agriseg.pipeline.predicting import ChipPixels, Predicted, predict_chips
from agriseg.pipeline.reading import ahead, reading_environment
from agriseg.raster.reader import SceneReader
from agriseg.tiling import Accumulator, ChipGrid, FinishedRows

__all__ = ["MappedRows", "OnChip", "Task", "map_scenes", "tasks_for"]

_AHEAD = 3
_MOST_CACHE = 1 << 30

OnChip = Callable[[Any, NDArray[np.uint8]], None]
"""Called with a chip's probabilities (classes, h, w), on the device, and codes (h, w)."""


@dataclass(frozen=True)
class Task:
    """One scene to be mapped, with the predictor that is adapted to it."""

    place: int
    labelled: LabelledScene
    predictor: Predictor
    grid: ChipGrid
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MappedRows:
    """Finished rows of a scene, with their labels.

    Args:
        task: Whose.
        window: Their place, over the whole width.
        classes: (h, w) the model's classes; 255 where there is none.
        confidence: (h, w) in steps of 1/200.
        probabilities: (classes, h, w) in the same steps, where asked for.
        codes: (h, w) labels, also under pixels without a class.
    """

    task: Task
    window: Window
    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    probabilities: NDArray[np.uint8] | None
    codes: NDArray[np.uint8]


@dataclass
class _Labelled(ChipPixels):
    codes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))


def tasks_for(
    scenes: Sequence[LabelledScene],
    predictor: Predictor | Sequence[Predictor],
    *,
    chip: int | None = None,
    overlap: int | None = None,
    ignore_gsd: bool = False,
) -> list[Task]:
    """Check that a model, or one for each, fits all scenes, before any of them is mapped.

    Raises:
        ModelError, BandError: Model and a scene do not fit.
        OptionError: Chip size or overlap make no sense for this model.
    """
    options = SegmentOptions(chip=chip, overlap=overlap)
    tasks = []
    each = predictor if isinstance(predictor, Sequence) else (predictor,) * len(scenes)
    for place, (labelled, one) in enumerate(zip(scenes, each, strict=True)):
        mine = adapt(one, labelled.scene)
        notes = check_fit(mine.card, labelled.scene, gsd_m=labelled.gsd_m, ignore_gsd=ignore_gsd)
        grid = chip_grid(labelled.scene, mine, options)
        tasks.append(Task(place, labelled, mine, grid, tuple(notes)))
    return tasks


def map_scenes(
    tasks: Sequence[Task], *, probabilities: bool = False, on_chip: OnChip | None = None
) -> Generator[MappedRows, None, None]:
    """Map scenes one after another, each from the top to the bottom.

    Args:
        tasks: What to map.
        probabilities: Also give the probability of each class.
        on_chip: Sees what the predictor returned.

    Raises:
        ReadError: Pixels or labels cannot be read.
        ModelError: The network gave NaN.
    """

    def kind(task: Task) -> tuple[int, int]:
        return id(task.predictor), streams_for(task.predictor, task.grid)

    for (_, streams), some in groupby(tasks, kind):
        run = list(some)
        predictor = run[0].predictor
        make_ready(predictor)
        pixels = ahead(_read(run), _AHEAD)
        stream = predict_chips(predictor, pixels, streams)
        with closing(pixels), closing(stream):
            for task in run:
                yield from _map(task, stream, probabilities, on_chip)


def _read(run: Sequence[Task]) -> Iterator[ChipPixels]:
    """Chips of scenes with their labels, ready for the network."""
    for task in run:
        labelled, card = task.labelled, task.predictor.card
        keys = present_keys(labelled.scene, card)
        cache = min(cache_bytes(labelled.scene, task.grid), _MOST_CACHE)
        environment = {**reading_environment(task), "GDAL_CACHEMAX": cache}
        with (
            rasterio.Env(**environment),
            SceneReader(labelled.scene, keys) as reader,
            labelled.labels.open(labelled.scene) as labels,
        ):
            for row in range(task.grid.rows):
                for chip in task.grid.chips(row):
                    codes = labels.read(chip.window)
                    if (codes == IGNORE).all():
                        yield _Labelled(chip, None, None, codes=codes)
                        continue
                    pixels = reader.read(chip.window)
                    if not pixels.valid.any():
                        yield _Labelled(chip, None, None, codes=codes)
                        continue
                    data = network_input(pixels, keys, card)
                    yield _Labelled(chip, data, pixels.valid, codes=codes)


def _map(
    task: Task, stream: Iterator[Predicted], probabilities: bool, on_chip: OnChip | None
) -> Iterator[MappedRows]:
    grid = task.grid
    accumulator = new_accumulator(task.predictor, grid, probabilities=probabilities)
    for row in range(grid.rows):
        accumulator.start_row(row)
        valid, codes = _merge_row(grid, row, accumulator, stream, on_chip)
        finished = _pop(accumulator, task, row)
        # All that is final lies in this chip row: what it shares with the next one comes then.
        height = finished.window.height
        classes, confidence = finished.classes, finished.confidence
        classes[~valid[:height]] = NODATA
        yield MappedRows(
            task, finished.window, classes, confidence, finished.probabilities, codes[:height]
        )


def _pop(accumulator: Accumulator, task: Task, row: int) -> FinishedRows:
    try:
        finished = accumulator.pop_rows()
    except FloatingPointError as error:
        raise ModelError(
            f"the network gave NaN or infinity in chip row {row} of {task.labelled.name}; look for "
            "absurd values in the raster with agriseg info, or try --precision float32"
        ) from error
    assert finished is not None, "rows stream from the top: each chip row finishes some"
    return finished


def _merge_row(
    grid: ChipGrid,
    row: int,
    accumulator: Accumulator,
    stream: Iterator[Predicted],
    on_chip: OnChip | None,
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Merge the chips of a row; the valid mask and the codes (height, width) of its window."""
    shape = grid.row_window(row).shape
    valid, codes = np.ones(shape, bool), np.full(shape, IGNORE, np.uint8)
    for _ in range(grid.cols):
        found = next(stream)
        pixels, at = found.pixels, found.pixels.chip.window
        assert isinstance(pixels, _Labelled)
        assert pixels.chip.row == row
        cols = slice(at.col_off, at.col_end)
        codes[:, cols] = pixels.codes
        if pixels.valid is None:
            valid[:, cols] = False
            continue
        valid[:, cols] &= pixels.valid
        if on_chip is not None:
            known = np.where(pixels.valid, pixels.codes, np.uint8(IGNORE))
            on_chip(found.probabilities, known)
        accumulator.add(found.probabilities, pixels.chip)
    return valid, codes
