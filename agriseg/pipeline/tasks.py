"""What workers do: predict a swath, put a scene together, or both. Paths and names, no pixels."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from agriseg.models import (
    LoadOptions,
    ModelElsewhere,
    ModelReference,
    PackedModel,
    Predictor,
    streams_for,
    tell_of,
)
from agriseg.pipeline.job import Job
from agriseg.pipeline.run import predict_swath
from agriseg.pipeline.stages import make_maps, make_polygons, put_together
from agriseg.raster.source import gdal_settings
from agriseg.tiling import Plan, Swath

__all__ = [
    "REPORTING",
    "GdalSettings",
    "Model",
    "Report",
    "bare",
    "finish_maps",
    "finish_polygons",
    "finish_scene",
    "has_two_ends",
    "is_small",
    "predict_rows",
    "segment_scene",
    "tell_of_model",
    "within",
]

Model = ModelReference | PackedModel
"""What a task predicts with: a model that the worker loads, or an object that comes along."""

Report = Callable[[int, float], None]
"""Called with the number of pixels that became final since it was called last, and seconds."""

# Where files of GDAL and PROJ lie is for each machine to know; rasterio sets it by itself.
_OF_THE_MACHINE = ("GDAL_DATA", "PROJ_DATA", "PROJ_LIB")
_EVERY_S = 0.5
# So many chips at most has a scene that takes little memory to put together.
_FEW_CHIPS = 4
# A worker with several threads is sent several tasks, and each of these would take all of its
# processors, or much of its memory. What keeps one core busy goes on beside them.
_PREDICTING, _FINISHING = threading.Lock(), threading.Lock()


@dataclass(frozen=True)
class GdalSettings:
    """What the caller has set of GDAL, for workers; keys may be among it, so it is never shown."""

    values: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of_caller(cls) -> GdalSettings:
        """Those of this thread."""
        found = gdal_settings()
        return cls({name: found[name] for name in found if name not in _OF_THE_MACHINE})


def within(settings: GdalSettings, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What `work` gives, done with GDAL set as the caller has it."""
    with rasterio.Env(**settings.values):
        return work(*args, **options)


def bare(job: Job) -> Job:
    """A job as tasks carry it: without its plan, which may hold thousands of swaths, or a model."""
    nothing: Any = None
    return replace(
        job, plan=Plan.even(job.plan.grid), predictor=nothing, scene_facts={}, notes=(), warnings=()
    )


def predict_rows(job: Job, model: Model, swath: Swath, report: Report | None = None) -> None:
    """Predict what the ledger lacks of a swath.

    Args:
        job: A bare one.
        model: What it is predicted with.
        swath: Which rows.
        report: Hears now and then how it gets on, and at the end.
    """
    _be_quiet()
    with _PREDICTING:
        _predict(job, model, swath, report)


def segment_scene(
    job: Job, model: Model, swath: Swath, report: Report | None = None
) -> dict[str, Any]:
    """Predict the only swath of a scene, and put the scene together; see `put_together`."""
    _be_quiet()
    alone: AbstractContextManager[object] = _PREDICTING
    with nullcontext() if is_small(replace(job, predictor=_own(model).load())) else alone:
        _predict(job, model, swath, report)
    return finish_scene(job, model, None)


def finish_scene(job: Job, model: Model, earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """Make rasters and polygons of a scene whose rows are there; see `put_together`."""
    return _finish(put_together, job, model, earlier)


REPORTING = (predict_rows, segment_scene)
"""Tasks that say how they get on."""


def has_two_ends(job: Job) -> bool:
    """Whether `finish_maps` and `finish_polygons` both take a while; see `put_together`."""
    return job.options.polygons and len(job.plan.grid) > _FEW_CHIPS


def finish_maps(job: Job, model: Model, _: object) -> dict[str, Any]:
    """Make the rasters and fields alone of a scene whose rows are there."""
    return _finish(make_maps, job, model)


def finish_polygons(job: Job, model: Model, _: object) -> dict[str, Any]:
    """Make the polygons alone of a scene whose rows are there."""
    return _finish(make_polygons, job, model, from_rows=True)


def _finish(
    stage: Callable[..., dict[str, Any]], job: Job, model: Model, *args: Any, **options: Any
) -> dict[str, Any]:
    _be_quiet()
    stands_in: Any = model  # only its card is asked for
    alone: AbstractContextManager[object] = _FINISHING
    with nullcontext() if len(job.plan.grid) <= _FEW_CHIPS else alone:
        return stage(replace(job, predictor=stands_in), *args, **options)


def is_small(job: Job, streams: int | None = None) -> bool:
    """Whether a scene leaves cores idle, so that others go on beside it.

    Args:
        job: With a predictor, or of which one is known.
        streams: How many calls of it go on at once; None: as many as this machine bears. A
            predictor that is called from one thread is never called from two.
    """
    if hasattr(job.predictor, "make_ready"):
        return False  # what it makes ready is for one scene
    here = streams_for(job.predictor, job.plan.grid)
    return here > 1 and len(job.plan.grid) < 2 * (streams or here)


def _predict(job: Job, model: Model, swath: Swath, report: Report | None) -> None:
    ready = replace(job, predictor=_predictor(job, model))
    reporter = None if report is None else _Now(report)
    predict_swath(ready, swath, reporter)
    if reporter is not None:
        reporter.tell()


def tell_of_model(model: str, options: LoadOptions) -> ModelElsewhere:
    """What a worker says of a model; see `tell_of`."""
    _be_quiet()
    return tell_of(model, {**options, "threads": options.get("threads") or _threads_here()})


def _predictor(job: Job, model: Model) -> Predictor:
    own = _own(model)
    if isinstance(own, PackedModel):
        return own.load()  # the client has adapted it to the scene
    return own.for_scene(job.scene)


def _own(model: Model) -> Model:
    """A reference as this worker loads it."""
    if isinstance(model, PackedModel) or model.threads is not None:
        return model
    return replace(model, threads=_threads_here())


def _threads_here() -> int | None:
    """As many threads as this worker has for tasks; None outside of workers.

    Dask has all libraries in a worker take one thread, however many cores it is given.
    """
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return int(distributed.get_worker().state.nthreads)
    except ValueError:
        return None


def _be_quiet() -> None:
    # For good: filters belong to the process, and tasks run in several threads of it.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


class _Now:
    """Passes on numbers of pixels, those of half a second together."""

    def __init__(self, report: Report) -> None:
        self._report, self._pixels, self._last = report, 0, time.monotonic()

    def __call__(self, pixels: int) -> None:
        self._pixels += pixels
        if time.monotonic() - self._last > _EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Pass on what there is."""
        now = time.monotonic()
        if self._pixels:
            self._report(self._pixels, now - self._last)
        self._pixels, self._last = 0, now
