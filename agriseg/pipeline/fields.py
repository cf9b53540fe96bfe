"""The fields of a run: found on its finished map, or the user's own, with what is said of them."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agriseg.errors import AgrisegError, InputError
from agriseg.farm.field_files import write_fields
from agriseg.farm.map_health import FieldMap, FieldOptions, map_health
from agriseg.farm.run_fields import ZONES_LAYER

if TYPE_CHECKING:
    from agriseg.pipeline.job import Job, SegmentOptions

__all__ = ["fields_asked", "find_and_write"]

# Raised whenever the same map comes to other fields or numbers.
_FORMAT = 1
# Zones of a field take 20 ms, those of a satellite's tile would take longer than its map.
_MOST_ZONED = 500


def fields_asked(options: SegmentOptions) -> list[Any] | None:
    """What the fields of a run depend on beside its map; None where none are wanted.

    Raises:
        InputError: The user's outlines are not there.
    """
    if options.fields is False:
        return None
    given = None if options.fields is True else _print(Path(options.fields))
    return [_FORMAT, given, options.id_col, options.name_col, options.inset_m]


def _print(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"--parcels {path} cannot be read ({error.strerror}); give a vector file with the "
            "outlines of fields"
        ) from error


def find_and_write(job: Job) -> tuple[dict[str, Any], list[Path]]:
    """Write fields.gpkg and zones.gpkg; that there are no fields is no fault of the run.

    Returns:
        For run.json: how many there are and their hectares, the index of vigour, and notes; or a
        note why there are none. And the files that were written.

    Raises:
        OutputError: A file cannot be written.
    """
    asked, legend = job.options, job.predictor.card.legend
    options = FieldOptions(
        parcels=None if isinstance(asked.fields, bool) else str(asked.fields),
        id_col=asked.id_col,
        name_col=asked.name_col,
        inset_m=asked.inset_m,
        most_zoned=_MOST_ZONED,
    )
    names = {label.value: label.name for label in legend}
    field_map = FieldMap(job.folder.classes, names, job.scene, job.scene.about)
    try:
        tables = map_health(field_map, options)
    except AgrisegError as error:
        return {"count": 0, "notes": [str(error)]}, []
    table = tables.fields
    if not len(table):
        return {"count": 0, "notes": list(table.attrs["notes"])}, []
    write_fields(table, job.folder.fields)
    made = [job.folder.fields]
    if tables.zones is not None:
        write_fields(tables.zones, job.folder.zones, layer=ZONES_LAYER)
        made.append(job.folder.zones)
    hectares = float(table["area_ha"].sum())
    facts = {
        "count": len(table),
        "area_ha": None if math.isnan(hectares) else round(hectares, 6),
        "indices": list(table.attrs["indices"]),
        "notes": list(table.attrs["notes"]),
    }
    return facts, made
