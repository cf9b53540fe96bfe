"""What the tasks of `agriseg.predict` do: predict a chip row, join the rows that two share.

A task carries facts: the plan, and where the model is. A process predicts one chip row at a time,
as many chips of it at once as the model has streams, so its memory does not grow with its threads.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray

from agriseg.geobox import Window
from agriseg.models import Predictor, new_accumulator, streams_for
from agriseg.models.inputs import network_input
from agriseg.pipeline.job import SegmentOptions
from agriseg.pipeline.lazy_input import usable
from agriseg.pipeline.lazy_model import PREDICTING, Model, ready
from agriseg.pipeline.predicting import ChipPixels, predict_chips
from agriseg.pipeline.reading import read_chips
from agriseg.pipeline.swath import finite_rows, merge_row
from agriseg.raster import Scene
from agriseg.tiling import Chip, ChipGrid, SeamStrip, join_seam

__all__ = ["Chunked", "Computed", "Files", "MergedRow", "RowPlan", "join_rows", "predict_row"]

Computed = Sequence[Sequence[NDArray[Any]]]
"""Computed chunks (bands, h, w) of an array: those that a chip row meets, row by row."""


class MergedRow(NamedTuple):
    """A chip row, merged on its own.

    A tuple, since dask weighs what is in one.

    Args:
        body: (2 or 2 + classes, height, width) uint8: the rows that it shares with no other; None
            where there is none.
        upper: Its share of the rows above them, and which of their pixels are valid.
        lower: Its share of the rows below them.
    """

    body: NDArray[np.uint8] | None
    upper: tuple[SeamStrip, NDArray[np.bool_]] | None
    lower: SeamStrip | None


@dataclass(frozen=True)
class Files:
    """Chips come from a scene's own files, read as `segment` reads them.

    Args:
        scene: The scene.
        settings: GDAL's settings where the array was made, which threads and workers lack.
        cache_bytes: For decoded blocks, as in `segment`.
    """

    scene: Scene
    settings: Mapping[str, Any]
    cache_bytes: int

    def chips(
        self, predictor: Predictor, chips: Iterable[Chip], _: Computed
    ) -> Generator[ChipPixels, None, None]:
        with rasterio.Env(**{**self.settings, "GDAL_CACHEMAX": self.cache_bytes}):
            # The reader's thread takes the settings with it.
            return read_chips(_Reads(self.scene, predictor), chips)


@dataclass(frozen=True)
class _Reads:
    scene: Scene
    predictor: Predictor
    options: SegmentOptions = field(default_factory=SegmentOptions)


@dataclass(frozen=True)
class Chunked:
    """Chips are cut from computed chunks.

    Args:
        keys: The bands of the chunks, as the model calls them.
        row_edges: Where chunks begin and end along y.
        col_edges: Where they do along x.
        nodata: The value of missing pixels, beside NaN.
    """

    keys: tuple[str, ...]
    row_edges: tuple[int, ...]
    col_edges: tuple[int, ...]
    nodata: float | None

    def rows_of(self, window: Window) -> range:
        """Numbers of the chunks along y that a window meets."""
        return _met(self.row_edges, window.row_off, window.row_end)

    def chips(
        self, predictor: Predictor, chips: Iterable[Chip], computed: Computed
    ) -> Generator[ChipPixels, None, None]:
        for chip in chips:
            pixels = usable(self._cut(chip.window, computed), self.nodata)
            if pixels.valid.any():
                data = network_input(pixels, self.keys, predictor.card)
                yield ChipPixels(chip, data, pixels.valid)
            else:
                yield ChipPixels(chip, None, None)

    def _cut(self, window: Window, computed: Computed) -> NDArray[Any]:
        """(bands, h, w) of a window in the chip row of the chunks."""
        first = computed[0][0]
        cut = np.empty((first.shape[0], *window.shape), first.dtype)
        rows = self.rows_of(window)
        # Chips of a row begin at the same pixel, so the first chunk that one meets is the row's.
        for i, line in zip(rows, computed, strict=False):
            for j in _met(self.col_edges, window.col_off, window.col_end):
                top, left = self.row_edges[i], self.col_edges[j]
                chunk = Window(left, top, self.col_edges[j + 1] - left, self.row_edges[i + 1] - top)
                shared = chunk.intersection(window)
                assert shared is not None
                there = shared.shifted(-window.col_off, -window.row_off).slices
                cut[(slice(None), *there)] = line[j][
                    (slice(None), *shared.shifted(-left, -top).slices)
                ]
        return cut


def _met(edges: Sequence[int], start: int, stop: int) -> range:
    """Numbers of the pieces between `edges` that [start, stop) meets."""
    first = int(np.searchsorted(edges, start, side="right")) - 1
    return range(first, int(np.searchsorted(edges, stop, side="left")))


@dataclass(frozen=True)
class RowPlan:
    """All that tasks know beside the model.

    Args:
        grid: The chip grid.
        source: Where chips come from.
        probabilities: Also give the probability of each class.
        together: Classes that are decided as one, see `agriseg.tiling.decide`.
    """

    grid: ChipGrid
    source: Files | Chunked
    probabilities: bool
    together: tuple[int, ...] = ()


def predict_row(model: Model, plan: RowPlan, row: int, computed: Computed) -> MergedRow:
    """Predict and merge one chip row, on its own.

    Raises:
        ReadError: A chip cannot be read.
        ModelError: The model cannot be loaded, or gives no probabilities.
    """
    grid = plan.grid
    with PREDICTING:
        predictor = ready(model)
        accumulator = new_accumulator(predictor, grid, probabilities=plan.probabilities)
        pixels = plan.source.chips(predictor, grid.chips(row), computed)
        stream = predict_chips(predictor, pixels, streams_for(predictor, grid))
        with closing(pixels), closing(stream):
            accumulator.start_row(row)
            valid, _ = merge_row(grid, row, accumulator, stream)
            finished = finite_rows(accumulator.pop_rows, row)
        upper, lower = accumulator.upper_strip(), accumulator.lower_strip()
    above = None if upper is None else (upper, valid[: grid.overlap])
    if finished is None:
        return MergedRow(None, above, lower)
    top = finished.window.row_off - grid.row_window(row).row_off
    body = finished.blank(valid[top : top + finished.window.height])
    return MergedRow(body, above, lower)


def join_rows(
    plan: RowPlan, row: int, upper: tuple[SeamStrip, NDArray[np.bool_]], lower: SeamStrip
) -> NDArray[np.uint8]:
    """The rows of pixels that chip rows `row` - 1 and `row` share.

    Args:
        plan: The plan.
        row: The lower chip row.
        upper: Its share, and which pixels are valid.
        lower: The share of the chip row above.

    Returns:
        (2 or 2 + classes, overlap, width) uint8.
    """
    strip, valid = upper
    window = plan.grid.seam_above(row)
    assert window is not None
    finished = join_seam(
        strip, lower, window, probabilities=plan.probabilities, together=plan.together
    )
    return finished.blank(valid)
