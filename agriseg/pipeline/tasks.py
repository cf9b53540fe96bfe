"""What workers do: predict a swath, or put a scene together. Paths and names go in, no pixels."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rasterio.errors import NotGeoreferencedWarning

from agriseg.models import ModelReference, PackedModel, Predictor
from agriseg.pipeline.job import Job
from agriseg.pipeline.run import predict_swath, put_together
from agriseg.tiling import Plan, Swath

__all__ = ["Model", "bare", "finish_scene", "predict_rows"]

Model = ModelReference | PackedModel
"""What a task predicts with: a model that the worker loads, or an object that comes along."""

_EVERY_S = 0.5
# A worker with several threads is sent several tasks, and each would take all of its processors.
_ONE_AT_A_TIME = threading.Lock()


def bare(job: Job) -> Job:
    """A job as tasks carry it: without its plan, which may hold thousands of swaths, or a model."""
    nothing: Any = None
    return replace(
        job, plan=Plan.even(job.plan.grid), predictor=nothing, scene_facts={}, notes=(), warnings=()
    )


def predict_rows(
    job: Job, model: Model, swath: Swath, report: Callable[[int], None] | None = None
) -> None:
    """Predict what the ledger lacks of a swath.

    Args:
        job: A bare one.
        model: What it is predicted with.
        swath: Which rows.
        report: Hears now and then how many more pixels are final.
    """
    with _ONE_AT_A_TIME:
        _be_quiet()
        predictor = _predictor(job, model)
        reporter = None if report is None else _Now(report)
        predict_swath(replace(job, predictor=predictor), swath, reporter)


def finish_scene(job: Job, model: Model, earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """Make rasters and polygons of a scene whose rows are there; see `put_together`."""
    _be_quiet()
    stands_in: Any = model  # only its card is asked for
    return put_together(replace(job, predictor=stands_in), earlier)


def _predictor(job: Job, model: Model) -> Predictor:
    if isinstance(model, PackedModel):
        return model.load()  # the client has adapted it to the scene
    return model.for_scene(job.scene)


def _be_quiet() -> None:
    # For good: filters belong to the process, and tasks run in several threads of it.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


class _Now:
    """Passes on numbers of pixels, those of half a second together."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report, self._pixels, self._last = report, 0, time.monotonic()

    def __call__(self, pixels: int) -> None:
        self._pixels += pixels
        if time.monotonic() - self._last > _EVERY_S:
            self._report(self._pixels)
            self._pixels, self._last = 0, time.monotonic()
