"""What is to be done for one scene, decided before anything expensive starts."""

from __future__ import annotations

import json
import platform
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from agriseg._version import __version__
from agriseg.errors import InputError, ModelError, OptionError, OutputError
from agriseg.models import (
    Predictor,
    about,
    adapt,
    batch_of,
    check_fit,
    check_predictor,
    is_asynchronous,
    numerics_of,
    streams_for,
)
from agriseg.pipeline.fields import fields_asked
from agriseg.pipeline.folder import (
    MEMORY_BYTES_FOR_POLYGONS,
    changed,
    large_polygons,
    refuse_overwriting,
    replaced,
)
from agriseg.pipeline.predicting import BATCHES_AHEAD
from agriseg.raster import Scene, describe_scene
from agriseg.raster.source import inspect
from agriseg.runs.folder import RunFolder
from agriseg.runs.key import digest, pixel_facts, scene_facts
from agriseg.runs.ledger import Ledger
from agriseg.runs.record import Run, read_run
from agriseg.tiling import ChipGrid, Plan
from agriseg.vector.parallel import BYTES_PER_PIXEL, threads_for
from agriseg.vector.segments import PolygonOptions

__all__ = ["Estimate", "Job", "SegmentOptions", "cache_bytes", "chip_grid", "prepare", "reserve"]

# Raised whenever rows of an older version must not be mixed with new ones.
_ROWS_FORMAT = 2
# Raised whenever the same rows come to other polygons.
_POLYGONS_FORMAT = 1
# Compressed class and confidence maps take well under a byte a pixel; twice, for rows and COGs.
_DISK_BYTES_PER_PLANE = 0.6
# Borders and segments.gpkg in a map of plants a few dm wide; smoother maps need less.
_DISK_BYTES_FOR_POLYGONS = 2.5
_DISK_FLOOR = 4 << 20
# Values of the indices in crop, of which quantiles are taken: of 2^27 at most.
_MEMORY_BYTES_FOR_FIELDS, _MEMORY_FOR_FIELDS = 20, 2 << 30
_CACHE_FOR_TILES, _CACHE_FOR_STRIPS = 128 << 20, 1 << 30


@dataclass(frozen=True)
class SegmentOptions:
    """How a scene is segmented.

    Args:
        chip: Side of a chip in pixels; None: as the model's card says.
        overlap: Pixels that chips share; None: as the card says.
        swaths: Runs of chip rows that are streamed apart; the result does not depend on it.
        probabilities: Also write the probability of each class.
        skip_unreadable: Turn chips that cannot be read into nodata and list them, instead of
            stopping.
        ignore_gsd: Use the model even where the scene's GSD lies far outside its range.
        resume: Go on from rows, or a finished run, that are there; else start anew.
        polygons: Also write segments.gpkg.
        min_area_m2: Smaller regions go to a neighbour, as in `agriseg.vectorize`.
        simplify_m: How far the polygons' borders may move, as in `agriseg.vectorize`.
        fields: Also write fields.gpkg and zones.gpkg, as `agriseg.field_health` does: of fields
            that are found on the map, or of the outlines in this vector file.
        id_col, name_col: Columns of that file that tell the fields apart, and name them.
        inset_m: Leave out so many metres along the edge of each field.
    """

    chip: int | None = None
    overlap: int | None = None
    swaths: int = 1
    probabilities: bool = False
    skip_unreadable: bool = False
    ignore_gsd: bool = False
    resume: bool = True
    polygons: bool = True
    min_area_m2: float | None = None
    simplify_m: float | None = None
    fields: bool | str | Path = True
    id_col: str | None = None
    name_col: str | None = None
    inset_m: float = 0.0

    def __post_init__(self) -> None:
        PolygonOptions(self.min_area_m2, self.simplify_m)  # refuses what makes no sense
        for name in ("chip", "overlap"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise OptionError(f"--{name} {value!r}: a whole number of pixels is needed")

    @property
    def polygon_options(self) -> PolygonOptions:
        return PolygonOptions(self.min_area_m2, self.simplify_m)


@dataclass(frozen=True)
class Estimate:
    """What a job will take.

    Args:
        pixels: Pixels of the scene.
        chips: Chips of the grid.
        predicted_pixels: Pixels through the network, overlaps counted as often as they are seen.
        memory_bytes: Working memory beyond the program, its libraries and the network.
        disk_bytes: Room for rows and results.
    """

    pixels: int
    chips: int
    predicted_pixels: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Job:
    """One scene, one predictor, one plan, one folder: all that a worker needs to know.

    `rows_key` stands for everything that rows depend on, `raster_key` for everything that the
    rasters do, `key` for everything that any output does.
    `cache_bytes` is for decoded blocks of the input. `notes` is what the user should hear about the
    fit of model and scene, `warnings` what they should hear about the scene itself.
    """

    scene: Scene
    predictor: Predictor
    plan: Plan
    folder: RunFolder
    options: SegmentOptions
    key: str
    raster_key: str
    rows_key: str
    scene_facts: Mapping[str, Any]
    cache_bytes: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ledger(self) -> Ledger:
        folder, together = self.folder.rows(self.rows_key), self.predictor.card.together_values
        return Ledger(folder, self.plan.grid, self.options.probabilities, together)

    @property
    def numerics(self) -> str:
        """What decides the last bit of the result: engine, device, precision, ..."""
        return numerics_of(self.predictor)

    @property
    def is_finished(self) -> bool:
        """Whether an earlier run has done exactly this, and may stand for it."""
        return self.finished_run() is not None

    def finished_run(self) -> Run | None:
        """The run that has already done exactly this, or None; None too without `resume`."""
        return self._earlier("key", self.key)

    def finished_rasters(self) -> Run | None:
        """The run that left the same rasters, if perhaps other polygons, or None."""
        return self._earlier("raster_key", self.raster_key, only_rasters=True)

    def _earlier(self, name: str, key: str, *, only_rasters: bool = False) -> Run | None:
        if not self.options.resume:
            return None
        try:
            run = read_run(self.folder.path, only_rasters=only_rasters)
        except InputError:
            return None
        return run if run.record.get(name) == key else None

    @property
    def disk_bytes(self) -> int:
        """Room for what is still to be written."""
        if self.is_finished:
            return 0
        if self.finished_rasters():
            grid = self.plan.grid
            return int(grid.height * grid.width * _DISK_BYTES_FOR_POLYGONS)
        return self.estimate().disk_bytes

    def estimate(self) -> Estimate:
        """What the job will take, from its plan alone."""
        grid, card = self.plan.grid, self.predictor.card
        planes = 2 + (len(card.legend) if self.options.probabilities else 0)
        chip = grid.size**2 * (len(card.keys) + len(card.legend)) * 4
        strips = 2 * grid.overlap * grid.width * len(card.legend) * 4
        rows = 3 * grid.size * grid.width * (planes + 1)
        # Read ahead, waiting for each stream and its successor, and being merged.
        streams, batch = streams_for(self.predictor, grid), batch_of(self.predictor)
        waiting = 5 + (streams + 3) * batch
        if is_asynchronous(self.predictor):
            waiting += BATCHES_AHEAD * batch
        elif batch > 1:
            waiting += streams * batch
        memory = chip * waiting + strips + rows + self.cache_bytes
        if self.options.polygons:
            memory += BYTES_PER_PIXEL * grid.size * grid.width * threads_for(grid.size * grid.width)
            # After the prediction, so not on top of it.
            memory = max(memory, int(grid.height * grid.width * MEMORY_BYTES_FOR_POLYGONS))
        if self.options.fields is not False:
            held = int(grid.height * grid.width * _MEMORY_BYTES_FOR_FIELDS)
            memory = max(memory, min(held, _MEMORY_FOR_FIELDS))
        pixels = grid.height * grid.width
        disk = _DISK_FLOOR + int(pixels * planes * _DISK_BYTES_PER_PLANE)
        if self.options.polygons:
            disk += int(pixels * _DISK_BYTES_FOR_POLYGONS)
        return Estimate(pixels, len(grid), grid.predicted_pixels, memory, disk)


def prepare(
    scene: Scene,
    predictor: Predictor,
    folder: Path,
    options: SegmentOptions | None = None,
    *,
    notes: Sequence[str] = (),
) -> Job:
    """Check everything that is cheap to check, and plan.

    Args:
        scene: What to segment.
        predictor: What to segment it with.
        folder: Where this scene's results go.
        options: How.
        notes: What the user should hear first.

    Raises:
        ModelError, BandError: Model and scene do not fit.
        OptionError: Chip size or overlap make no sense for this model.
    """
    options = options or SegmentOptions()
    check_predictor(predictor)
    # Before any pixel is looked at: from here on a remote file that changes is noticed.
    facts = scene_facts(scene)
    predictor = adapt(predictor, scene)
    _check_about(predictor)
    notes = (*notes, *check_fit(predictor.card, scene, ignore_gsd=options.ignore_gsd))
    grid = chip_grid(scene, predictor, options)
    rows_key = digest(
        {
            "rows": _ROWS_FORMAT,
            "scene": pixel_facts(facts),
            "model": _identity(predictor),
            "numerics": numerics_of(predictor),
            "grid": [grid.size, grid.overlap],
            "probabilities": options.probabilities,
        }
    )
    raster_key = digest(
        {
            "rows": rows_key,
            "about": dict(scene.about),
            "skip_unreadable": options.skip_unreadable,
        }
    )
    asked = options.polygon_options
    polygons = [*asked.in_pixels(scene.geobox)] if options.polygons else None
    vectors = {"format": _POLYGONS_FORMAT, "polygons": polygons, "fields": fields_asked(options)}
    key = digest({"rasters": raster_key, **vectors})
    plan = Plan.even(grid, options.swaths)
    run_folder = RunFolder(folder)
    refuse_overwriting(facts, run_folder)
    return Job(
        scene=scene,
        predictor=predictor,
        plan=plan,
        folder=run_folder,
        options=options,
        key=key,
        raster_key=raster_key,
        rows_key=rows_key,
        scene_facts=facts,
        cache_bytes=cache_bytes(scene, grid),
        notes=notes,
        warnings=(
            *describe_scene(scene).warnings,
            *replaced(facts, run_folder),
            *changed(run_folder, key if options.resume else None),
            *(large_polygons(grid) if options.polygons else ()),
        ),
    )


def _check_about(predictor: Predictor) -> None:
    """See now, not at the end of a long run, that the predictor's facts fit into run.json."""
    try:
        json.dumps(about(predictor), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"about() of the model {predictor.card.name!r} cannot be written as JSON ({error}); "
            "give plain texts, numbers, lists and dicts"
        ) from error


def reserve(jobs: Sequence[Job]) -> None:
    """Make the folders of jobs, and see that there is room for all of them.

    Raises:
        OutputError: A folder cannot be written to, or the disk is too small.
    """
    for job in jobs:
        job.folder.prepare()
    needed = sum(job.disk_bytes for job in jobs)
    for job in jobs[:1]:
        free = job.folder.free_bytes()
        if needed > free:
            raise OutputError(
                f"the results need about {needed / 1e9:.2g} GB, {job.folder.path} has "
                f"{free / 1e9:.2g} GB left; free some room or give another folder with -o"
            )


def cache_bytes(scene: Scene, grid: ChipGrid) -> int:
    """Decoded blocks worth keeping: those that the next chip, or the next chip row, needs.

    Strips must be kept for a whole chip row, else each would be decoded once for every chip. Tiles
    may be dropped: then a tile that two chip rows share is decoded twice.
    """
    total, striped = 0, False
    for path in dict.fromkeys(band.path for band in scene.bands):
        source = inspect(path)
        rows, cols = source.block_shapes[0]
        striped = striped or not source.is_tiled
        high = grid.size + 2 * rows
        total += (source.geobox.width + cols) * high * source.dtype.itemsize * source.count
    return min(max(total, 16 << 20), _CACHE_FOR_STRIPS if striped else _CACHE_FOR_TILES)


def chip_grid(scene: Scene, predictor: Predictor, options: SegmentOptions) -> ChipGrid:
    """The chips of a scene, as the card or the options say.

    Raises:
        OptionError: Their size or overlap makes no sense for this model.
    """
    card, box = predictor.card, scene.geobox
    size = options.chip if options.chip is not None else card.chip_size
    overlap = min(card.overlap, size // 2) if options.overlap is None else options.overlap
    if size % card.stride:
        lower = max(size // card.stride, 1) * card.stride
        raise OptionError(
            f"--chip {size}: {card.name} needs a multiple of {card.stride}, such as {lower} or "
            f"{lower + card.stride}"
        )
    return ChipGrid(box.height, box.width, size, overlap)


def _plain(given: bool | str | Path) -> bool | str:
    return given if isinstance(given, bool) else str(given)


def _identity(predictor: Predictor) -> str:
    """What tells this predictor from others.

    An object that does not say is taken for new every time, so that rows of another one that looks
    alike are never reused.
    """
    return str(getattr(predictor, "fingerprint", None) or uuid.uuid4())


def describe(job: Job) -> dict[str, Any]:
    """The part of run.json that is known before the run."""
    card, grid, estimate = job.predictor.card, job.plan.grid, job.estimate()
    gsd = job.scene.geobox.gsd_m
    return {
        "agriseg": __version__,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "rasterio": rasterio.__version__,
            "gdal": rasterio.__gdal_version__,
        },
        "key": job.key,
        "raster_key": job.raster_key,
        "scene": dict(job.scene_facts),
        "about": dict(job.scene.about),
        "gsd_m": None if gsd is None else [round(value, 9) for value in gsd],
        "model": {
            "name": card.name,
            "fingerprint": getattr(job.predictor, "fingerprint", None),
            "card": json.loads(card.to_json()),
            **about(job.predictor),
        },
        "numerics": job.numerics,
        "chips": {
            "size": grid.size,
            "overlap": grid.overlap,
            "rows": grid.rows,
            "cols": grid.cols,
            "predicted_pixels": estimate.predicted_pixels,
        },
        "options": {
            "probabilities": job.options.probabilities,
            "skip_unreadable": job.options.skip_unreadable,
            "ignore_gsd": job.options.ignore_gsd,
            "polygons": job.options.polygons,
            "min_area_m2": job.options.min_area_m2,
            "simplify_m": job.options.simplify_m,
            "fields": _plain(job.options.fields),
            "id_col": job.options.id_col,
            "name_col": job.options.name_col,
            "inset_m": job.options.inset_m,
        },
        "notes": list(job.notes),
        "warnings": list(job.warnings),
    }
