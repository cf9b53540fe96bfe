"""`agriseg vectorize`: from a class raster to polygons."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from agriseg.cli import options as opt
from agriseg.cli.words import area_words, count_words, time_words

if TYPE_CHECKING:
    from agriseg.vector import OnStage

__all__ = ["vectorize"]

_WORDS = {
    "borders": "finding regions and borders",
    "joining": "joining bands of rows",
    "specks": "merging specks",
    "lines": "straightening borders",
    "simplifying": "simplifying all polygons together",
    "writing": "writing polygons",
}


def vectorize(
    raster: Annotated[
        str,
        typer.Argument(
            help="A class raster: classes.tif of a run, or any raster of whole numbers.",
            metavar="CLASSES",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            help="File to write: .gpkg, .fgb, .parquet or .geojson.",
            metavar="FILE",
            show_default=False,
        ),
    ],
    min_area_m2: opt.MinArea = None,
    simplify_m: opt.Simplify = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Only these classes, by name or number: crop,weed.",
            metavar="NAMES",
            rich_help_panel="Polygons",
        ),
    ] = None,
    omit: Annotated[
        str | None,
        typer.Option(
            help="All but these classes: soil.", metavar="NAMES", rich_help_panel="Polygons"
        ),
    ] = None,
    split_large: Annotated[
        bool,
        typer.Option(
            "--split-large",
            help="Cut polygons with more than 200,000 pixel edges around along every 1024th row: "
            "quicker to draw, and no longer whole.",
            rich_help_panel="Polygons",
        ),
    ] = False,
    confidence: Annotated[
        str | None,
        typer.Option(
            help="Raster of confidence on the same grid; 'none' for none. Default: confidence.tif "
            "beside a classes.tif.",
            metavar="FILE",
            show_default=False,
            rich_help_panel="Reading",
        ),
    ] = None,
    nodata: opt.Nodata = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Turn a class raster into polygons that share their borders.

    They tile the valid pixels without gap or overlap. Specks go to a neighbour first, and borders
    become straight within half a pixel, so that every pixel centre stays in its own polygon.
    Columns: segment_id, class_id, class_name, area_m2 and perimeter_m on the ground, confidence.

    Examples:

    - `agriseg vectorize out/field/classes.tif -o weeds.gpkg --classes weed`

    - `agriseg vectorize crops.tif -o crops.parquet --min-area-m2 500 --simplify-m 10`
    """
    from agriseg.vector import PolygonOptions, make_segments

    options = PolygonOptions(
        min_area_m2=min_area_m2,
        simplify_m=simplify_m,
        classes=None if classes is None else opt.words(classes, "--classes"),
        omit=() if omit is None else opt.words(omit, "--omit"),
        split_large=split_large,
    )
    started = time.monotonic()
    with _stages(quiet) as on_stage:
        segments = make_segments(
            raster,
            out,
            options,
            confidence=False if confidence == "none" else confidence,
            nodata=nodata,
            on_stage=on_stage,
        )
    seconds = time.monotonic() - started
    if not quiet:
        found = ", ".join(
            f"{row['class_name']} {row['polygons']:,} ({_area(row['area_m2'])})"
            for row in segments.summary()
        )
        polygons = count_words(len(segments), "polygon")
        print(f"{polygons}: {found}", file=sys.stderr)
        print(f"{out} in {time_words(seconds)}", file=sys.stderr)
    if as_json:
        print(json.dumps({"file": out, "polygons": len(segments), "classes": segments.summary()}))


def _area(square_metres: float | None) -> str:
    if square_metres is None:
        return "area unknown"
    return f"{square_metres:,.3g} m2" if square_metres < 1000 else area_words(square_metres)


@contextmanager
def _stages(quiet: bool) -> Iterator[OnStage | None]:
    """Show on a terminal what is being done; large maps take a minute."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal:
        yield None
        return
    with console.status("") as status:
        yield lambda stage: status.update(_WORDS.get(stage, stage))
