"""Polygons of a run, joined and written at its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agriseg.errors import InputError, OutputError
from agriseg.pipeline.job import Job
from agriseg.tiling import CONFIDENCE_STEPS
from agriseg.vector import open_classes
from agriseg.vector.files import write_polygons
from agriseg.vector.segments import Confidence, build
from agriseg.vector.strip import Strip
from agriseg.vector.vectorize import trace_raster

__all__ = ["write_segments"]


def write_segments(job: Job, strips: Iterable[Strip] | None = None) -> int:
    """Write segments.gpkg.

    Args:
        job: The job, whose rasters are finished.
        strips: Regions and borders of all its rows; None: traced from the finished rasters.

    Returns:
        The number of polygons.

    Raises:
        OutputError: It cannot be written, or the finished rasters are damaged.
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
    folder = job.folder
    try:
        raster = open_classes(folder.classes, confidence=folder.confidence, needs_crs=False)
        yield from trace_raster(raster)
    except InputError as error:
        raise OutputError(
            f"the results in {folder.path} cannot be read ({error}); if they are damaged, make "
            "them anew: the same command with --no-resume"
        ) from error
