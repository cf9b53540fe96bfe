"""`agriseg vectorize`: from a class raster to polygons."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer
from agriseg.cli.screen import console
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
        opt.argument(
            "CLASSES", "A class raster: classes.tif of a run, or any raster of whole numbers."
        ),
    ],
    *,
    out: opt.VectorOut,
    min_area_m2: opt.MinArea = None,
    simplify_m: opt.Simplify = None,
    classes: Annotated[
        str | None,
        opt.value(
            "--classes", "NAMES", "Only these classes, by name or number: crop,weed.", opt.POLYGONS
        ),
    ] = None,
    omit: Annotated[
        str | None, opt.value("--omit", "NAMES", "All but these classes: soil.", opt.POLYGONS)
    ] = None,
    split_large: Annotated[
        bool,
        opt.flag(
            "--split-large",
            "Cut polygons with more than 200,000 pixel edges around along every 1024th row: "
            "quicker to draw, and no longer whole.",
            opt.POLYGONS,
        ),
    ] = False,
    confidence: opt.Confidence = None,
    nodata: opt.Nodata = None,
    answer: Answer,
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
        classes=said.words(classes, "--classes") or None,
        omit=said.words(omit, "--omit"),
        split_large=split_large,
    )
    started = time.monotonic()
    with _stages(answer.quiet) as on_stage:
        segments = make_segments(
            raster,
            out,
            options,
            confidence=False if confidence == "none" else confidence,
            nodata=nodata,
            on_stage=on_stage,
        )
    seconds = time.monotonic() - started
    found = ", ".join(
        f"{row['class_name']} {row['polygons']:,} ({_area(row['area_m2'])})"
        for row in segments.summary()
    )
    answer.say(
        f"{count_words(len(segments), 'polygon')}: {found}", f"{out} in {time_words(seconds)}"
    )
    answer.give({"file": out, "polygons": len(segments), "classes": segments.summary()})


def _area(square_metres: float | None) -> str:
    if square_metres is None:
        return "area unknown"
    return f"{square_metres:,.3g} m2" if square_metres < 1000 else area_words(square_metres)


@contextmanager
def _stages(quiet: bool) -> Iterator[OnStage | None]:
    """Show on a terminal what is being done; large maps take a minute."""
    screen = console(quiet=quiet)
    if quiet or not screen.is_terminal:
        yield None
        return
    with screen.status("") as status:
        yield lambda stage: status.update(_WORDS.get(stage, stage))
