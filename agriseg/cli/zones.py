"""`agriseg zones`: zones of vigour in fields."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer
from agriseg.cli.complete import among, index_names, several
from agriseg.cli.groups import ClassKinds, Reading
from agriseg.cli.screen import MOST_ROWS, console, new_table
from agriseg.cli.words import count_words, time_words

if TYPE_CHECKING:
    from agriseg.vector.files import PolygonBatch

__all__ = ["zones"]


def zones(
    scene: opt.SceneFiles,
    *,
    classes: Annotated[
        str, opt.value("--classes", "FILE", "Class raster of the scene: classes.tif of a run.")
    ],
    out: opt.VectorOut,
    fields: opt.Fields,
    kinds: ClassKinds,
    index: Annotated[
        str | None,
        opt.value(
            "-i --index",
            "NAME",
            "The index that tells vigour. Default: NDVI, or what the scene has instead.",
            opt.INDICES,
            several(index_names),
        ),
    ] = None,
    param: opt.Param = None,
    pixels: opt.Pixels = None,
    uncalibrated: opt.Uncalibrated = False,
    count: opt.ZoneCount = 4,
    method: Annotated[
        str,
        opt.value(
            "--method",
            "NAME",
            "natural: breaks where values differ most; quantiles: zones of equal area.",
            opt.ZONES,
            among("natural", "quantiles"),
        ),
    ] = "natural",
    smooth_m: opt.SmoothM = None,
    min_zone_m2: Annotated[
        float | None,
        opt.value(
            "--min-zone-m2",
            "M2",
            "Smaller parts of zones go to a neighbour. Default: four squares of --smooth-m.",
            opt.ZONES,
        ),
    ] = None,
    names: opt.Names = None,
    reading: Reading,
    answer: Answer,
) -> None:
    """Divide each field into zones of vigour, 1 the weakest.

    An index of the crop alone is averaged around each place, and cut where its values differ most.
    Zones tile the field; parts that are too small go to a neighbour. Columns: field_id, zone,
    zone_name, area_ha, share_percent, the index's mean and the field's median of it,
    relative_percent (of the field's mean), crop_percent, smooth_m, note.

    Examples:

    - `agriseg zones field.tif --classes out/field/classes.tif --fields fields.gpkg -o zones.gpkg`

    - `agriseg zones field.tif --classes classes.tif --fields fields.gpkg -o zones.gpkg -i NDRE
      --zones 3 --smooth-m 12 --min-zone-m2 500`
    """
    from agriseg.fields.given import fields_on
    from agriseg.fields.output import check_output, write_table
    from agriseg.fields.zones.making import ZoneOptions, zone_basis, zone_batches
    from agriseg.indices.compute import check_params
    from agriseg.vector import open_classes

    options = ZoneOptions(
        index=index,
        zones=count,
        method=method,
        smooth_m=smooth_m,
        min_zone_m2=min_zone_m2,
        pixels=pixels,
        params=said.constants(param),
        uncalibrated=uncalibrated,
        **kinds.keywords(),
    )
    opened = reading.open(scene, "zones")
    raster = open_classes(classes, confidence=False, names=said.class_names(names))
    check_output(out, raster.geobox, (classes, fields, *(band.path for band in opened.bands)))
    started = time.monotonic()
    rows: list[dict[str, Any]] = []
    basis = zone_basis(opened, raster, options)
    check_params(options.params, [basis.index])
    given = fields_on(raster.geobox, fields, raster.path)
    batches = zone_batches(basis, given.fields)
    write_table(out, _noted(batches, rows), raster.geobox, "zones")
    if not answer.quiet:
        _tell(rows)
    answer.say(*(f"note: {note}" for note in given.notes))
    answer.say(f"{out} in {time_words(time.monotonic() - started)}")
    answer.give({"file": out, "zones": rows, "notes": given.notes})


def _noted(batches: Iterable[PolygonBatch], rows: list[dict[str, Any]]) -> Iterator[PolygonBatch]:
    """The batches as they come, with their columns kept for the report."""
    for batch in batches:
        columns = {name: values.tolist() for name, values in batch.columns.items()}
        rows += (
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        )
        yield batch


def _tell(rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape

    screen = console()
    fields = len({row["field_id"] for row in rows})
    screen.print(
        f"{count_words(fields, 'field')}, {count_words(len(rows), 'zone')}, smoothed over "
        f"{_span([row['smooth_m'] for row in rows])}"
    )
    if len(rows) > MOST_ROWS:
        return
    mean = next(name for name in rows[0] if name.endswith("_mean"))
    headings = ("field", "zone", "ha", "share", mean.removesuffix("_mean").upper())
    made = new_table(*headings, "of the field's mean", "crop", "", left=("field", "zone", ""))
    for row in rows:
        made.add_row(
            escape(row["field_id"]),
            f"{row['zone']} {row['zone_name']}" if row["zone"] else "-",
            f"{row['area_ha']:.3g}",
            f"{row['share_percent']:.0f} %",
            _number(row[mean], ".3f"),
            _number(row["relative_percent"], ".0f", " %"),
            _number(row["crop_percent"], ".0f", " %"),
            escape(row["note"]),
        )
    screen.print(made)


def _number(value: float, form: str, unit: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{form}}{unit}"


def _span(widths: list[float]) -> str:
    known = [f"{width:.3g}" for width in sorted(widths) if not math.isnan(width)]
    if not known:
        return "nothing"
    return f"{known[0]} m" if known[0] == known[-1] else f"{known[0]} to {known[-1]} m"
