"""`agriseg zones`: zones of vigour in fields."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agriseg.cli import options as opt
from agriseg.cli.words import count_words, time_words
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from agriseg.vector.files import PolygonBatch

__all__ = ["zones"]

_ZONES = "Zones"
# A region's fields would fill the screen; they stand in the file.
_MOST_ROWS = 40


def zones(
    scene: Annotated[
        list[str],
        typer.Argument(
            help="A raster, a folder of single-band rasters, or red=R.tif nir=N.tif.",
            metavar="SCENE",
            show_default=False,
        ),
    ],
    classes: Annotated[
        str,
        typer.Option(
            "--classes",
            help="Class raster of the scene: classes.tif of a run.",
            metavar="FILE",
            show_default=False,
        ),
    ],
    fields: opt.Fields,
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
    index: Annotated[
        str | None,
        typer.Option(
            "-i",
            "--index",
            help="The index that tells vigour. Default: NDVI, or what the scene has instead.",
            metavar="NAME",
            show_default=False,
            rich_help_panel=_ZONES,
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--zones", help="How many, 2 to 5.", rich_help_panel=_ZONES)
    ] = 4,
    method: Annotated[
        str,
        typer.Option(
            help="natural: breaks where values differ most; quantiles: zones of equal area.",
            rich_help_panel=_ZONES,
        ),
    ] = "natural",
    smooth_m: Annotated[
        float | None,
        typer.Option(
            help="Width of the smoothing. Default: a twentieth of the field's side, at most 10 m, "
            "and at least 3 m, two row spacings and two pixels; 0: none.",
            metavar="METRES",
            show_default=False,
            rich_help_panel=_ZONES,
        ),
    ] = None,
    min_zone_m2: Annotated[
        float | None,
        typer.Option(
            help="Smaller parts of zones go to a neighbour. Default: four squares of --smooth-m.",
            metavar="M2",
            show_default=False,
            rich_help_panel=_ZONES,
        ),
    ] = None,
    pixels: Annotated[
        str,
        typer.Option(
            help="Whose index counts: crop, plants (weeds too), or all (soil too).",
            rich_help_panel=_ZONES,
        ),
    ] = "crop",
    crop: Annotated[
        str | None,
        typer.Option(
            help="Classes that are crop, where their names do not tell.",
            metavar="NAMES",
            rich_help_panel=_ZONES,
        ),
    ] = None,
    ground: Annotated[
        str | None,
        typer.Option(
            help="Classes that are bare, where their names do not tell.",
            metavar="NAMES",
            rich_help_panel=_ZONES,
        ),
    ] = None,
    uncalibrated: Annotated[
        bool,
        typer.Option(
            "--uncalibrated",
            help="Compute an index that needs reflectance of whatever numbers there are.",
            rich_help_panel=_ZONES,
        ),
    ] = False,
    names: opt.Names = None,
    bands: opt.Bands = None,
    sensor: opt.Sensor = None,
    scale: opt.Scale = None,
    offset: opt.Offset = None,
    nodata: opt.Nodata = None,
    mask: opt.Mask = None,
    mask_grow_m: opt.MaskGrow = 0.0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
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
    from agriseg.raster import find_sources
    from agriseg.vector import open_classes

    options = ZoneOptions(
        index=index,
        zones=count,
        method=method,
        smooth_m=smooth_m,
        min_zone_m2=min_zone_m2,
        pixels=pixels,
        crop=() if crop is None else opt.words(crop, "--crop"),
        ground=() if ground is None else opt.words(ground, "--ground"),
        uncalibrated=uncalibrated,
    )
    sources = find_sources(scene)
    if len(sources) != 1:
        raise OptionError(f"{len(sources)} scenes are given; zones takes one at a time")
    opened = sources[0].open(
        bands=bands,
        sensor=sensor,
        scale=scale,
        offset=offset,
        nodata=nodata,
        masks=mask or [],
        mask_grow_m=mask_grow_m,
    )
    raster = open_classes(classes, confidence=False, names=opt.class_names(names))
    check_output(out, raster.geobox, (classes, fields, *(band.path for band in opened.bands)))
    started = time.monotonic()
    rows: list[dict[str, Any]] = []
    basis = zone_basis(opened, raster, options)
    given = fields_on(raster.geobox, fields, raster.path)
    batches = zone_batches(basis, given.fields)
    write_table(out, _noted(batches, rows), raster.geobox, "zones")
    if not quiet:
        _tell(rows)
        for note in given.notes:
            print(f"note: {note}", file=sys.stderr)
        print(f"{out} in {time_words(time.monotonic() - started)}", file=sys.stderr)
    if as_json:
        told = [_known(row) for row in rows]
        print(json.dumps({"file": out, "zones": told, "notes": given.notes}, indent=2))


def _noted(batches: Iterable[PolygonBatch], rows: list[dict[str, Any]]) -> Iterator[PolygonBatch]:
    """The batches as they come, with their columns kept for the report."""
    for batch in batches:
        columns = {name: values.tolist() for name, values in batch.columns.items()}
        rows += (
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        )
        yield batch


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in row.items()
    }


def _tell(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    fields = len({row["field_id"] for row in rows})
    print(
        f"{count_words(fields, 'field')}, {count_words(len(rows), 'zone')}, smoothed over "
        f"{_span([row['smooth_m'] for row in rows])}",
        file=sys.stderr,
    )
    if len(rows) > _MOST_ROWS:
        return
    mean = next(name for name in rows[0] if name.endswith("_mean"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("field", "zone", "ha", "share", mean.removesuffix("_mean").upper()):
        table.add_column(heading, justify="left" if heading in ("field", "zone") else "right")
    for heading in ("of the field's mean", "crop", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        table.add_row(
            escape(row["field_id"]),
            f"{row['zone']} {row['zone_name']}" if row["zone"] else "-",
            f"{row['area_ha']:.3g}",
            f"{row['share_percent']:.0f} %",
            _number(row[mean], ".3f"),
            _number(row["relative_percent"], ".0f", " %"),
            _number(row["crop_percent"], ".0f", " %"),
            escape(row["note"]),
        )
    Console(stderr=True, highlight=False, soft_wrap=True).print(table)


def _number(value: float, form: str, unit: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{form}}{unit}"


def _span(widths: list[float]) -> str:
    known = [f"{width:.3g}" for width in sorted(widths) if not math.isnan(width)]
    if not known:
        return "nothing"
    return f"{known[0]} m" if known[0] == known[-1] else f"{known[0]} to {known[-1]} m"
