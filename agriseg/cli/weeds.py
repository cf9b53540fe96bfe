"""`agriseg weeds`: weed cover in a grid along the rows, and patches of weeds."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer
from agriseg.cli.complete import ending
from agriseg.cli.screen import MOST_ROWS, console, new_table
from agriseg.cli.words import area_words, count_words, time_words
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from agriseg.vector.files import PolygonBatch

__all__ = ["weeds"]

_GRID, _PATCHES = "Grid", "Patches"


def weeds(
    classes: opt.RunOrClasses,
    *,
    out: Annotated[
        str | None,
        opt.to_file(
            "File for the grid: .gpkg, .fgb, .parquet or .geojson. Default: weeds.gpkg in the run, "
            "and patches.gpkg for the patches.",
            *opt.VECTORS,
        ),
    ] = None,
    cell_width_m: Annotated[
        float,
        opt.value(
            "--cell-width-m",
            "METRES",
            "Side of a cell across the rows, such as a section's width.",
            _GRID,
        ),
    ],
    cell_length_m: Annotated[
        float, opt.value("--cell-length-m", "METRES", "Side of a cell along the rows.", _GRID)
    ],
    direction_deg: Annotated[
        float | None,
        opt.value(
            "--direction-deg",
            "DEGREES",
            "The way that machines drive, clockwise from north. Default: along the rows of "
            "each field (row_direction_deg), or its longest side.",
            _GRID,
        ),
    ] = None,
    ab_line: Annotated[
        str | None,
        opt.value(
            "--ab-line",
            "X,Y,X,Y",
            "A and B in the raster's CRS, instead of a direction: the line runs through the "
            "middle of a column of cells.",
            _GRID,
        ),
    ] = None,
    fields: Annotated[str | None, opt.outlines("the run's fields.gpkg.")] = None,
    patches: Annotated[
        str | None,
        opt.value(
            "--patches",
            "FILE",
            "Also write the patches of weeds as polygons.",
            _PATCHES,
            ending(opt.VECTORS),
        ),
    ] = None,
    min_patch_m2: Annotated[
        float | None,
        opt.value(
            "--min-patch-m2",
            "M2",
            "Leave smaller patches out. Default: those of fewer than 4 pixels; 0: none.",
            _PATCHES,
        ),
    ] = None,
    join_m: Annotated[
        float | None,
        opt.value(
            "--join-m",
            "METRES",
            "Weeds nearer to each other than this are one patch. Default: only those that touch.",
            _PATCHES,
        ),
    ] = None,
    weed: opt.Weed = None,
    confidence: opt.Confidence = None,
    names: opt.Names = None,
    nodata: opt.Nodata = None,
    answer: Answer,
) -> None:
    """Map weeds in cells along the rows of each field.

    Cells are cut to the field and tile it. Columns: cell_id, field_id, row, col, area_m2,
    valid_percent, weed_percent (of the valid area), patches (whose middle lies in the cell),
    confidence, direction_deg.

    Examples:

    - `agriseg weeds out/field --cell-width-m 3 --cell-length-m 3`

    - `agriseg weeds classes.tif --fields fields.gpkg -o weeds.gpkg --cell-width-m 1.5
      --cell-length-m 2 --ab-line 630102.5,5345210,630188,5345320 --patches patches.gpkg`
    """
    from agriseg.fields.given import fields_on
    from agriseg.fields.output import check_output, write_table
    from agriseg.fields.weeds.grid import grid_batches
    from agriseg.fields.weeds.lattice import CellSize
    from agriseg.fields.weeds.patches import patch_batch
    from agriseg.publish import refresh_project
    from agriseg.vector import open_classes

    started = time.monotonic()
    run = Path(classes) if (Path(classes) / "run.json").is_file() else None
    if run is not None and out is None:
        out, patches = str(run / "weeds.gpkg"), patches or str(run / "patches.gpkg")
    if run is not None:
        classes, fields = str(run / "classes.tif"), fields or str(run / "fields.gpkg")
    if fields is None or out is None:
        raise OptionError(
            "a class raster needs --fields FILE and -o FILE; the folder of a run has them"
        )
    sure = False if confidence == "none" else confidence
    raster = open_classes(classes, confidence=sure, nodata=nodata, names=said.class_names(names))
    box, chosen = raster.geobox, said.words(weed, "--weed")
    if patches is None and (min_patch_m2 is not None or join_m is not None):
        raise OptionError("--min-patch-m2 and --join-m are for --patches FILE, which is missing")
    check_output(out, box, (classes, fields))
    if patches is not None:
        check_output(patches, box, (classes, fields, out))
    ends = said.numbers(ab_line, "--ab-line", 4)
    given = fields_on(box, fields, raster.path)
    batches = grid_batches(
        raster,
        given.fields,
        CellSize(cell_width_m, cell_length_m),
        direction_deg=direction_deg,
        ab_line=None if ends is None else ((ends[0], ends[1]), (ends[2], ends[3])),
        weed=chosen,
    )
    told: list[_Told] = []
    write_table(out, _noted(batches, told), box, "weed_grid")
    found = None
    if patches is not None:
        batch = patch_batch(
            raster,
            given.fields,
            min_patch_m2=min_patch_m2,
            join_m=join_m,
            weed=chosen,
            confidence=sure,
            nodata=nodata,
        )
        found = write_table(patches, [batch], box, "weed_patches")
    if run is not None and Path(out).parent == run:
        refresh_project(run)
    if not answer.quiet:
        _tell(told)
    more = "" if found is None else f", {patches} with {count_words(found, 'patch polygon')}"
    answer.say(
        *(f"note: {note}" for note in given.notes),
        f"{out}{more} in {time_words(time.monotonic() - started)}",
    )
    facts: dict[str, Any] = {"file": out, "fields": [asdict(one) for one in told]}
    facts["notes"] = given.notes
    if found is not None:
        facts |= {"patches_file": patches, "patches": found}
    answer.give(facts)


@dataclass(frozen=True)
class _Told:
    """What there is to say of one field."""

    field_id: str
    direction_deg: float
    cells: int
    area_m2: float
    weed_percent: float
    clean_percent: float
    patches: int

    @classmethod
    def of(cls, batch: PolygonBatch) -> _Told:
        import numpy as np

        columns = batch.columns
        weed, area = columns["weed_percent"], columns["area_m2"]
        seen = ~np.isnan(weed)
        valid = (area * columns["valid_percent"])[seen]
        mean = float((valid * weed[seen]).sum() / valid.sum()) if valid.sum() else math.nan
        clean = float(area[seen][weed[seen] == 0].sum() / area.sum() * 100)
        return cls(
            str(columns["field_id"][0]),
            float(columns["direction_deg"][0]),
            len(area),
            float(area.sum()),
            mean,
            clean,
            int(columns["patches"].sum()),
        )


def _noted(batches: Iterable[PolygonBatch], told: list[_Told]) -> Iterator[PolygonBatch]:
    for batch in batches:
        told.append(_Told.of(batch))
        yield batch


def _tell(told: list[_Told]) -> None:
    from rich.markup import escape

    screen = console()
    cells = sum(one.cells for one in told)
    screen.print(f"{count_words(len(told), 'field')}, {count_words(cells, 'cell')}")
    if len(told) > MOST_ROWS:
        return
    headings = ("field", "area", "cells", "direction", "weed", "free of weeds", "patches")
    made = new_table(*headings, left=("field",))
    for one in told:
        made.add_row(
            escape(one.field_id),
            area_words(one.area_m2),
            f"{one.cells:,}",
            f"{one.direction_deg:.1f}°",
            "-" if math.isnan(one.weed_percent) else f"{one.weed_percent:.2g} %",
            f"{one.clean_percent:.0f} %",
            f"{one.patches:,}",
        )
    screen.print(made)
