"""From the rows of a scene to its results: rasters, fields and polygons."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from agriseg.legend import NODATA, Legend
from agriseg.machine import release_memory
from agriseg.pipeline.fields import find_and_write
from agriseg.pipeline.job import Job
from agriseg.pipeline.polygons import write_segments
from agriseg.raster.scene import FACTS
from agriseg.raster.source import gdal_settings
from agriseg.raster.writer import ByteLayer, write_cog
from agriseg.runs.bundles import ALONE, bundled
from agriseg.threads import cores, in_threads
from agriseg.tiling import CONFIDENCE_STEPS

__all__ = ["assemble", "combined", "make_maps", "make_polygons", "put_together"]

# Pixels of a raster that are written within some 20 ms.
_SMALL = 1 << 18
# Pixels whose stages take so much memory that it pays to give back what others left, in 30 ms.
_LARGE = 1 << 24
# Rows of the map are read once, tile after tile; more is neither faster nor needed.
_CACHE_BYTES = 32 << 20
# Row files that are open at a time. A row of tiles lies in a few; GDAL would keep a hundred.
_FEW_OPEN = {"GDAL_MAX_DATASET_POOL_SIZE": "32"}
_FOUND = ("outputs", "classes", "unreadable", "rows_from_earlier_run", "seconds")


def put_together(job: Job, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make rasters and polygons of a job whose rows are all there.

    Args:
        job: The job.
        earlier: The record of its rasters, where these are there already.

    Returns:
        What of the record is known only now.

    Raises:
        OutputError: Results cannot be written.
    """
    maps = make_maps(job, earlier)
    return combined(maps, make_polygons(job, from_rows=earlier is None))


def make_maps(job: Job, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make rasters, and fields from them; as `put_together`, but for the polygons."""
    if earlier is not None:
        found = {name: earlier[name] for name in _FOUND}
    else:
        started = _start(job)
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
            job.ledger.join_all()
            names = assemble(job)
        found = {
            "outputs": {name: (job.folder.path / name).stat().st_size for name in names},
            "classes": count_classes(job),
            "unreadable": job.ledger.unreadable(),
            "seconds": {"assemble": round(time.time() - started, 3)},
        }
    if job.options.fields is False:
        return found
    started = _start(job)
    fields, paths = find_and_write(job)
    return combined(found, {"fields": fields, **_made(paths, "fields", started)})


def make_polygons(job: Job, *, from_rows: bool) -> dict[str, Any]:
    """Make the polygons, if they are wanted; beside `make_maps` or after it.

    Args:
        job: The job.
        from_rows: From the rows in the ledger, and not from finished rasters.

    Returns:
        What of the record is known only now.

    Raises:
        OutputError: They cannot be written, or the finished rasters are damaged.
    """
    if not job.options.polygons:
        return {}
    started, strips = _start(job), None
    if from_rows:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
            job.ledger.join_all()
            strips = job.ledger.borders()
    count = write_segments(job, strips)
    return {"segments": count, **_made([job.folder.segments], "polygons", started)}


def _start(job: Job) -> float:
    """The time, and for a large scene as little memory as can be."""
    started = time.time()
    if job.scene.geobox.width * job.scene.geobox.height >= _LARGE:
        release_memory()
    return started


def _made(paths: Iterable[Path], stage: str, started: float) -> dict[str, Any]:
    sizes = {path.name: path.stat().st_size for path in paths}
    return {"outputs": sizes, "seconds": {stage: round(time.time() - started, 3)}}


def combined(*found: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of several stages as one; each names its outputs and seconds."""
    merged = {name: value for one in found for name, value in one.items()}
    for name in ("outputs", "seconds"):
        merged[name] = {key: value for one in found for key, value in one.get(name, {}).items()}
    return merged


def assemble(job: Job) -> list[str]:
    """Put the rows of a job together as Cloud Optimized GeoTIFFs.

    Returns:
        The names of the files written.
    """
    legend, folder = job.predictor.card.legend, job.folder
    pieces = bundled(job.ledger.pieces(), job.ledger.folder)
    box, tags = job.scene.geobox, _tags(job)
    step = 1 / CONFIDENCE_STEPS
    rasters = {
        folder.classes: [ByteLayer("class", 0, legend=legend)],
        folder.confidence: [ByteLayer("confidence", 1, step)],
    }
    if job.options.probabilities:
        rasters[folder.probabilities] = _probability_layers(legend, step)

    def write(path: Path) -> list[str]:
        with rasterio.Env(**environment):
            write_cog(path, pieces, box, rasters[path], tags=tags)
        return [path.name, path.name + ".aux.xml"]

    # Compressing uses all cores, but finding the overviews' classes does not. On two cores that
    # would gain nothing, and both rasters at a time take 60 MB more. A small raster is written
    # sooner than a thread has begun.
    environment = {**gdal_settings(), **ALONE, **_FEW_OPEN}
    if box.width * box.height <= _SMALL:
        names = [name for path in rasters for name in write(path)]
    else:
        threads = 2 if cores() > 2 else 1
        made = in_threads(write, list(rasters), threads, "assemble")
        names = [name for _, two in made for name in two]
    if not job.options.probabilities:
        # From an earlier run with other options; it would not belong to these classes.
        for stale in (folder.probabilities, folder.path / "probabilities.tif.aux.xml"):
            stale.unlink(missing_ok=True)
    return names


def count_classes(job: Job) -> list[dict[str, Any]]:
    """Pixels, share of the valid pixels, and hectares of each class in the finished map."""
    counts = np.zeros(256, np.int64)
    with rasterio.open(job.folder.classes) as dataset:
        for _, window in dataset.block_windows(1):
            counts += np.bincount(dataset.read(1, window=window).ravel(), minlength=256)
    valid = max(int(counts[:NODATA].sum()), 1)
    box = job.scene.geobox
    pixel_ha = None if box.area_m2 is None else box.area_m2 / (box.width * box.height) / 1e4
    return [
        {
            "value": label.value,
            "name": label.name,
            "pixels": int(counts[label.value]),
            "percent": 100 * int(counts[label.value]) / valid,
            "area_ha": None if pixel_ha is None else int(counts[label.value]) * pixel_ha,
        }
        for label in job.predictor.card.legend
    ]


def _probability_layers(legend: Legend, step: float) -> list[ByteLayer]:
    return [ByteLayer(label.name, 2 + label.value, step) for label in legend]


def _tags(job: Job) -> Mapping[str, Any]:
    """Metadata inside the rasters: the user's facts, and what made the map."""
    # A column of anybody's table must not stand for a tag that GDAL or we read.
    facts = {
        (key if key in FACTS else f"about_{key}").upper(): value
        for key, value in sorted(job.scene.about.items())
    }
    return {"AGRISEG_MODEL": job.predictor.card.name, "AGRISEG_SCENE": job.scene.name, **facts}
