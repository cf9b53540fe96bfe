"""Polygons of a run: traced while rows come in, joined and written at its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import rasterio

from agriseg.legend import NODATA
from agriseg.pipeline.job import Job
from agriseg.tiling import CONFIDENCE_STEPS
from agriseg.vector.files import write_polygons
from agriseg.vector.parallel import in_threads
from agriseg.vector.segments import Confidence, build
from agriseg.vector.strip import SPLIT_ROWS, Strip, trace_band

__all__ = ["Tracer", "write_segments"]

_CORES_PER_TRACER = 4


class Tracer:
    """Traces finished rows beside the prediction, in threads, a few rows behind at most."""

    def __init__(self) -> None:
        self._threads = max((os.cpu_count() or 1) // _CORES_PER_TRACER, 1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="agriseg-trace")
        self._pending: list[Future[None]] = []

    def __enter__(self) -> Tracer:
        return self

    def submit(self, work: Callable[..., None], *args: Any) -> None:
        while len(self._pending) > 2 * self._threads:
            self._pending.pop(0).result()
        self._pending.append(self._pool.submit(work, *args))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            while self._pending and error is None:
                self._pending.pop(0).result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)


def write_segments(job: Job, strips: Iterable[Strip] | None = None) -> int:
    """Write segments.gpkg.

    Args:
        job: The job, whose rasters are finished.
        strips: Regions and borders of all its rows; None: traced from the finished rasters.

    Returns:
        The number of polygons.
    """
    box, legend = job.scene.geobox, job.predictor.card.legend
    segments = build(
        _trace_finished(job) if strips is None else strips,
        box,
        {label.value: label.name for label in legend},
        Confidence(1 / CONFIDENCE_STEPS),
        job.options.polygon_options,
        scratch=job.folder.path,
    )
    return write_polygons(job.folder.segments, segments.batches(), box.crs)


def _trace_finished(job: Job) -> Iterator[Strip]:
    box, folder = job.scene.geobox, job.folder

    def work(row: int) -> list[Strip]:
        window = rasterio.windows.Window(0, row, box.width, min(SPLIT_ROWS, box.height - row))
        with rasterio.open(folder.classes) as classes, rasterio.open(folder.confidence) as sure:
            values, steps = classes.read(1, window=window), sure.read(1, window=window)
        return trace_band(values, values != NODATA, row, steps=steps)

    # Whole blocks of the files.
    for strips in in_threads(work, range(0, box.height, SPLIT_ROWS)):
        yield from strips
