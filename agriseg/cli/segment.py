"""`agriseg segment`: from rasters to class maps."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agriseg.cli import options as opt
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from agriseg.runs import Run

__all__ = ["segment"]

_RUN, _MODEL, _PART, _ABOUT = "Running", "Model", "Part of the scene", "Facts about the scene"


def segment(
    rasters: opt.Rasters,
    out: Annotated[
        str, typer.Option("-o", "--out", help="Results go to OUT/SCENE/.", show_default=False)
    ],
    model: opt.Model = None,
    bands: opt.Bands = None,
    sensor: opt.Sensor = None,
    scale: opt.Scale = None,
    offset: opt.Offset = None,
    nodata: opt.Nodata = None,
    mask: opt.Mask = None,
    mask_grow_m: opt.MaskGrow = 0.0,
    name: Annotated[
        str | None, typer.Option(help="Name of the scene and its folder.", rich_help_panel=_RUN)
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option(
            help="left,bottom,right,top in the scene's CRS.",
            metavar="L,B,R,T",
            rich_help_panel=_PART,
        ),
    ] = None,
    cutline: Annotated[
        str | None,
        typer.Option(help="Vector file with polygons, in any CRS.", rich_help_panel=_PART),
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option("--gsd", help="Segment at this pixel size in metres.", rich_help_panel=_PART),
    ] = None,
    chip: opt.Chip = None,
    overlap: opt.Overlap = None,
    batch: Annotated[
        int | None, typer.Option(help="Chips predicted at once.", rich_help_panel=_MODEL)
    ] = None,
    engine: opt.Engine = "auto",
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = None,
    tta: Annotated[
        str,
        typer.Option(
            help="Test-time augmentation: none, flips (4 times the work) or turns (8 times).",
            rich_help_panel=_MODEL,
        ),
    ] = "none",
    ignore_gsd: Annotated[
        bool,
        typer.Option(
            "--ignore-gsd",
            help="Use the model far outside its range of pixel sizes.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    trust_model: Annotated[
        bool,
        typer.Option(
            "--trust-model",
            help="Let a model file name Python code to import. Only for files you trust.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Also write each class's probability.", rich_help_panel=_RUN
        ),
    ] = False,
    polygons: Annotated[
        bool,
        typer.Option("--polygons/--no-polygons", help="Write segments.gpkg.", rich_help_panel=_RUN),
    ] = True,
    min_area_m2: opt.MinArea = None,
    simplify_m: opt.Simplify = None,
    fields: Annotated[
        bool,
        typer.Option(
            "--fields/--no-fields",
            help="Find fields, and write fields.gpkg and zones.gpkg with their numbers.",
            rich_help_panel=_RUN,
        ),
    ] = True,
    parcels: Annotated[
        str | None,
        typer.Option(
            help="Your own outlines of fields instead: a vector file in any CRS.",
            metavar="FILE",
            show_default=False,
            rich_help_panel=_RUN,
        ),
    ] = None,
    id_col: Annotated[
        str | None,
        typer.Option(
            help="Its column that tells them apart.", metavar="NAME", rich_help_panel=_RUN
        ),
    ] = None,
    name_col: Annotated[
        str | None,
        typer.Option(help="Its column with their names.", metavar="NAME", rich_help_panel=_RUN),
    ] = None,
    inset_m: Annotated[
        float,
        typer.Option(
            help="Leave out so much along the edges of fields, as of plots.",
            metavar="METRES",
            rich_help_panel=_RUN,
        ),
    ] = 0.0,
    qgis: Annotated[
        bool,
        typer.Option("--qgis/--no-qgis", help="Write result.qgz and styles.", rich_help_panel=_RUN),
    ] = True,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Also write report.html, quicklook.png and item.json (STAC).",
            rich_help_panel=_RUN,
        ),
    ] = False,
    skip_unreadable: Annotated[
        bool,
        typer.Option(
            "--skip-unreadable",
            help="Turn damaged parts of a file into nodata and list them.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(help="Go on where an earlier run stopped.", rich_help_panel=_RUN),
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Share the work among so many processes on this machine.", rich_help_panel=_RUN
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Share it among the workers of this Dask scheduler.",
            metavar="ADDRESS",
            rich_help_panel=_RUN,
        ),
    ] = None,
    memory_limit: Annotated[
        float | None,
        typer.Option(
            help="What may be taken on this machine. Default: all there is.",
            metavar="GB",
            show_default=False,
            rich_help_panel=_RUN,
        ),
    ] = None,
    date: Annotated[str | None, typer.Option(rich_help_panel=_ABOUT)] = None,
    client: Annotated[str | None, typer.Option(rich_help_panel=_ABOUT)] = None,
    farm: Annotated[str | None, typer.Option(rich_help_panel=_ABOUT)] = None,
    field: Annotated[str | None, typer.Option(rich_help_panel=_ABOUT)] = None,
    crop: Annotated[str | None, typer.Option(rich_help_panel=_ABOUT)] = None,
    growth_stage: Annotated[
        str | None, typer.Option(help="Such as BBCH 12.", rich_help_panel=_ABOUT)
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
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
    from agriseg.workflow import SegmentKeywords

    if parcels is not None and not fields:
        raise OptionError("--no-fields and --parcels contradict each other; give one of them")
    facts = {
        "date": date,
        "client": client,
        "farm": farm,
        "field": field,
        "crop": crop,
        "growth_stage": growth_stage,
    }
    asked: SegmentKeywords = {
        "bands": bands,
        "sensor": sensor,
        "scale": scale,
        "offset": offset,
        "nodata": nodata,
        "masks": mask or [],
        "mask_grow_m": mask_grow_m,
        "name": name,
        "about": {key: value for key, value in facts.items() if value is not None},
        "bounds": opt.numbers(bounds, "--bounds", 4),
        "cutline": cutline,
        "gsd_m": gsd,
        "chip": chip,
        "overlap": overlap,
        "batch": batch,
        "engine": engine,
        "device": device,
        "precision": precision,
        "threads": threads,
        "tta": tta,
        "trust": trust_model,
        "ignore_gsd": ignore_gsd,
        "probabilities": probabilities,
        "skip_unreadable": skip_unreadable,
        "polygons": polygons,
        "min_area_m2": min_area_m2,
        "simplify_m": simplify_m,
        "fields": fields if parcels is None else parcels,
        "id_col": id_col,
        "name_col": name_col,
        "inset_m": inset_m,
        "resume": resume,
    }
    where = {"workers": workers, "scheduler": scheduler, "memory_limit_gb": memory_limit}
    extras = {"model": model, "qgis": qgis, "report": report}
    runs = _run(rasters, out, quiet, {**extras, **where, **asked})
    if as_json:
        print(json.dumps([{"folder": str(run.path), **run.record} for run in runs], indent=2))


def _run(rasters: list[str], out: str, quiet: bool, options: dict[str, Any]) -> list[Run]:
    """Segment, and show how it gets on."""
    from agriseg.cli.progress import ConsoleListener
    from agriseg.workflow import segment as run_segment

    listener = None if quiet else ConsoleListener()
    try:
        given = rasters[0] if len(rasters) == 1 else rasters
        runs = run_segment(given, out, listener=listener, **options)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        if listener:
            listener.close()
    several = runs if isinstance(runs, list) else [runs]
    if listener and len(several) > 1:
        listener.all_done(several, out)
    if listener and options["qgis"]:
        listener.project(Path(out) if len(several) > 1 else several[0].path)
    return several
