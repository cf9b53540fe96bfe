"""`agriseg segment`: from rasters to class maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer
from agriseg.cli.command import stoppable
from agriseg.cli.groups import OutlineColumns, Part, Predicting, Reading
from agriseg.errors import BatchError, OptionError

if TYPE_CHECKING:
    from agriseg.runs import Run

__all__ = ["segment"]


@dataclass(frozen=True)
class _Facts:
    """What a user knows of a scene; it travels into every output."""

    date: Annotated[
        str | None, opt.value("--date", "DATE", "When the image was taken: 2026-05-14.", opt.FACTS)
    ] = None
    client: Annotated[
        str | None, opt.value("--client", "TEXT", "For whom the map is.", opt.FACTS)
    ] = None
    farm: Annotated[str | None, opt.value("--farm", "TEXT", "Name of the farm.", opt.FACTS)] = None
    field: Annotated[str | None, opt.value("--field", "TEXT", "Name of the field.", opt.FACTS)] = (
        None
    )
    crop: Annotated[
        str | None, opt.value("--crop", "TEXT", "What grows there: sugar beet.", opt.FACTS)
    ] = None
    growth_stage: opt.GrowthStage = None


@dataclass(frozen=True)
class _Where:
    """What does the work."""

    workers: Annotated[
        int | None,
        opt.value(
            "--workers",
            "N",
            "Share the work among so many processes on this machine. Default: this one alone.",
            opt.RUNNING,
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        opt.value(
            "--scheduler",
            "ADDRESS",
            "Share it among the workers of this Dask scheduler.",
            opt.RUNNING,
        ),
    ] = None
    memory_limit: Annotated[
        float | None,
        opt.value(
            "--memory-limit",
            "GB",
            "What may be taken on this machine. Default: all there is.",
            opt.RUNNING,
        ),
    ] = None


def segment(
    rasters: opt.Rasters,
    *,
    out: Annotated[str, opt.to_folder("Results go to OUT/SCENE/.")],
    reading: Reading,
    part: Part,
    model: opt.Model = None,
    predicting: Predicting,
    polygons: Annotated[
        bool, opt.flag("--polygons/--no-polygons", "Write segments.gpkg.", opt.POLYGONS)
    ] = True,
    min_area_m2: opt.MinArea = None,
    simplify_m: opt.Simplify = None,
    fields: Annotated[
        bool,
        opt.flag(
            "--fields/--no-fields",
            "Find fields, and write fields.gpkg and zones.gpkg with their numbers.",
            opt.FIELDS,
        ),
    ] = True,
    parcels: opt.Parcels = None,
    columns: OutlineColumns,
    name: Annotated[
        str | None,
        opt.value(
            "--name", "NAME", "Of the scene and its folder. Default: after its file.", opt.RUNNING
        ),
    ] = None,
    probabilities: Annotated[
        bool, opt.flag("--probabilities", "Also write each class's probability.", opt.RUNNING)
    ] = False,
    qgis: Annotated[
        bool, opt.flag("--qgis/--no-qgis", "Write result.qgz and styles.", opt.RUNNING)
    ] = True,
    report: Annotated[
        bool,
        opt.flag(
            "--report", "Also write report.html, quicklook.png and item.json (STAC).", opt.RUNNING
        ),
    ] = False,
    skip_unreadable: Annotated[
        bool,
        opt.flag(
            "--skip-unreadable",
            "Turn damaged parts of a file into nodata and list them.",
            opt.RUNNING,
        ),
    ] = False,
    resume: Annotated[
        bool, opt.flag("--resume/--no-resume", "Go on where an earlier run stopped.", opt.RUNNING)
    ] = True,
    where: _Where,
    facts: _Facts,
    answer: Answer,
) -> None:
    """Segment rasters of any size into class maps.

    Each scene leaves OUT/SCENE/classes.tif and confidence.tif (Cloud Optimized GeoTIFFs on the
    grid of the input, nodata 255), segments.gpkg (polygons that tile them), fields.gpkg and
    zones.gpkg (fields, their numbers, and zones of vigour in them), result.qgz (all of it in QGIS)
    and run.json. The same command started again goes on where it stopped.

    Examples:

    - `agriseg segment field.tif -o out`

    - `agriseg segment s2.tif --sensor sentinel-2-l2a --mask SCL.tif:3,8,9,10 -o out`

    - `agriseg segment trial.tif --parcels plots.gpkg --id-col plot --inset-m 0.5 -o out`

    - `agriseg segment green=G.tif red=R.tif nir=N.tif -m weeds.safetensors -o out`
    """
    if parcels is not None and not fields:
        raise OptionError("--no-fields and --parcels contradict each other; give one of them")
    options: dict[str, Any] = {
        "model": model,
        "name": name,
        "about": {key: text for key, text in facts.__dict__.items() if text is not None},
        "probabilities": probabilities,
        "skip_unreadable": skip_unreadable,
        "resume": resume,
        "polygons": polygons,
        "min_area_m2": min_area_m2,
        "simplify_m": simplify_m,
        "fields": fields if parcels is None else parcels,
        "qgis": qgis,
        "report": report,
        "workers": where.workers,
        "scheduler": where.scheduler,
        "memory_limit_gb": where.memory_limit,
    }
    for group in (predicting, reading, part, columns):
        options |= group.keywords()
    try:
        runs = _run(rasters, out, answer.quiet, options)
    except BatchError as error:
        _give(answer, error.runs)  # the others are done
        raise
    _give(answer, runs)


def _give(answer: Answer, runs: Sequence[Run]) -> None:
    answer.give([{"folder": run.path, **run.record} for run in runs])


def _run(rasters: list[str], out: str, quiet: bool, options: dict[str, Any]) -> list[Run]:
    """Segment, and show how it gets on."""
    from agriseg.cli.progress import ConsoleListener
    from agriseg.workflow import segment as run_segment

    listener = None if quiet else ConsoleListener()
    try:
        with stoppable(lambda: "stopped; the same command goes on from here"):
            runs = run_segment(said.one_or_all(rasters), out, listener=listener, **options)
    finally:
        if listener:
            listener.close()
    several = runs if isinstance(runs, list) else [runs]
    if listener and len(several) > 1:
        listener.all_done(several, out)
    if listener and options["qgis"]:
        listener.project(Path(out) if len(several) > 1 else several[0].path)
    return several
