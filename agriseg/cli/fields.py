"""`agriseg fields`: outlines of fields, or your parcels, with their rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from agriseg.cli import options as opt
from agriseg.cli.answer import Answer, records
from agriseg.cli.complete import ending
from agriseg.cli.groups import ClassKinds, OutlineColumns
from agriseg.cli.words import area_words, count_words, time_words

if TYPE_CHECKING:
    from agriseg.fields.verb import Written

__all__ = ["fields"]

# More fields than these are not listed: the file has them all.
_MOST_LINES = 12
_COLUMNS = ["field_id", "name", "area_ha", "row_direction_deg", "row_spacing_m", "row_strength"]


def fields(
    classes: opt.RunOrClasses,
    *,
    out: opt.VectorOut,
    rows: Annotated[
        str | None,
        opt.value("--rows", "FILE", "File for the crop rows, as lines.", of=ending(opt.VECTORS)),
    ] = None,
    parcels: opt.Parcels = None,
    layer: Annotated[
        str | None,
        opt.value("--layer", "NAME", "Layer of the parcels. Default: the only one.", opt.FIELDS),
    ] = None,
    columns: OutlineColumns,
    min_field_ha: Annotated[
        float | None,
        opt.value(
            "--min-field-ha",
            "HA",
            "Smaller outlines from the map are left out. Default: less than a fiftieth of the "
            "largest.",
            opt.FIELDS,
        ),
    ] = None,
    gap_m: Annotated[
        float | None,
        opt.value(
            "--gap-m",
            "METRES",
            "Fields end where crop is farther apart. Default: half again as wide as the bare "
            "strip between two rows, 1 m at least.",
            opt.FIELDS,
        ),
    ] = None,
    kinds: ClassKinds,
    answer: Answer,
) -> None:
    """Outline the fields on a class map, or take your parcels, and measure their crop rows.

    A field is crop and the soil between its rows; it ends at tracks and other land. Columns:
    field_id, name, your own ones, area_ha on the ground, row_direction_deg (clockwise from north),
    row_spacing_m, row_strength (0..1; empty where there are no rows).

    Examples:

    - `agriseg fields out/field -o fields.gpkg --rows rows.gpkg`

    - `agriseg fields out/field -o plots.gpkg --parcels plots.shp --id-col PLOT --inset-m 0.3`
    """
    from agriseg.fields.verb import make_fields

    started = time.monotonic()
    written = make_fields(
        classes,
        out,
        rows,
        parcels=parcels,
        layer=layer,
        min_field_ha=min_field_ha,
        gap_m=gap_m,
        **columns.keywords(),
        **kinds.keywords(),
    )
    files = out if rows is None else f"{out}, {rows} ({count_words(written.rows, 'row')})"
    seconds = time_words(time.monotonic() - started)
    answer.say(*_report(written), f"  done    {files} in {seconds}")
    answer.give(
        {
            "file": out,
            "rows_file": rows,
            "rows": written.rows if rows is not None else None,
            "fields": records(written.fields.frame[_COLUMNS]),
            "notes": written.fields.notes,
        }
    )


def _report(written: Written) -> list[str]:
    frame = written.fields.frame
    lines = []
    total = area_words(float(frame["area_ha"].sum()) * 1e4)
    lines.append(f"{count_words(len(frame), 'field')}, {total}")
    table = list(frame[_COLUMNS].itertuples(index=False, name=None))
    for field_id, name, area, direction, spacing, strength in table[:_MOST_LINES]:
        called = f"{field_id} {name}" if isinstance(name, str) else field_id
        rows = "no rows"
        if direction == direction:  # NaN is not itself
            rows = f"rows {spacing:.3g} m apart at {direction:.1f} degrees, strength {strength:.2f}"
        lines.append(f"  {called:<8}{area_words(area * 1e4)}, {rows}")
    if len(table) > _MOST_LINES:
        lines.append(f"  ...     and {len(table) - _MOST_LINES:,} more")
    return lines + [f"  note    {note}" for note in written.fields.notes]
