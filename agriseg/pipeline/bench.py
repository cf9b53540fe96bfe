"""What this machine will make of a scene: the speed of its parts, and the time of the whole."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

import rasterio

from agriseg.models import about
from agriseg.pipeline.job import Job
from agriseg.pipeline.reading import read_chips
from agriseg.pipeline.run import probe

__all__ = ["Bench", "measure_job"]

_TRIES = 3
_PATIENCE_S = 4.0
_MOST_CHIPS = 16
# Merging, compressing and assembling want the same cores: so much more a whole run took on two.
_REST = 1.2


@dataclass(frozen=True)
class Bench:
    """What was measured on one scene with one model; nothing was written.

    Args:
        scene: Its name.
        pixels: Pixels of the raster.
        predicted_pixels: The same, with overlaps counted as often as they are seen.
        numerics: What computes the model, on which device, in which precision: the numerics key.
        why: Why this engine.
        read_mpx_s: Reading and decoding chips, in megapixels a second.
        predict_mpx_s: The model on chips in memory, in megapixels a second.
        seconds: What a run will take, about, without polygons.
        memory_bytes: What it will take of memory, about.
        disk_bytes: What it will take of the disk, at most.
    """

    scene: str
    pixels: int
    predicted_pixels: int
    numerics: str
    why: str
    read_mpx_s: float
    predict_mpx_s: float
    seconds: float
    memory_bytes: int
    disk_bytes: int

    @property
    def limited_by(self) -> str:
        """What decides how long a run takes: both go on at once."""
        return "predicting" if self.predict_mpx_s <= self.read_mpx_s else "reading"


def measure_job(job: Job) -> Bench:
    """Read some chips of a scene, predict a batch some times, and reckon what a run will take."""
    estimate = job.estimate()
    read = _read_speed(job)
    probes = [probe(job) for _ in range(_TRIES)]
    predict = max(found.pixels_per_second for found in probes)
    told = about(job.predictor)
    return Bench(
        scene=job.scene.name,
        pixels=estimate.pixels,
        predicted_pixels=estimate.predicted_pixels,
        numerics=job.numerics,
        why=str(told.get("why", "")),
        read_mpx_s=read / 1e6,
        predict_mpx_s=predict / 1e6,
        seconds=_REST * estimate.predicted_pixels / min(predict, read),
        memory_bytes=max(found.peak_bytes for found in probes) + estimate.memory_bytes,
        disk_bytes=estimate.disk_bytes,
    )


def _read_speed(job: Job) -> float:
    """Pixels a second that reading hands over, of chips that follow each other as in a run."""
    grid = job.plan.grid
    first = grid.rows // 2 * grid.cols
    places = range(first, min(first + _MOST_CHIPS, len(grid)))
    pixels, started = 0, time.perf_counter()
    with rasterio.Env(GDAL_CACHEMAX=job.cache_bytes):
        chips = read_chips(job, (grid.chip(*divmod(place, grid.cols)) for place in places))
        with closing(chips):
            for read in chips:
                pixels += read.chip.window.width * read.chip.window.height
                if time.perf_counter() - started > _PATIENCE_S:
                    break
    return pixels / max(time.perf_counter() - started, 1e-9)
