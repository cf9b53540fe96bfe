"""How the polygons, lines and points of the farm are shown: fields, zones, weeds, rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from agriseg.publish.colors import GROWTH, INFESTATION, pick
from agriseg.publish.geopackage import Table, spread, values_of
from agriseg.publish.styles import (
    Range,
    Style,
    areas_by_value,
    areas_in_ranges,
    lines,
    outlines,
    ranges_between,
)
from agriseg.publish.words import area_words, pretty_breaks, range_words

__all__ = ["TABLES", "WEED_BREAKS", "Look", "growth_of", "index_looks"]

_OUTLINE, _ROWS, _PATCHES = "#1a1a1a", "#ffffff", "#b30000"
# Percent of a cell under weeds. Fixed, so that two scenes can be compared; the first is "none".
WEED_BREAKS = (0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0)


@dataclass(frozen=True)
class Look:
    """A layer that a table becomes: its name in the legend, its style, whether it is drawn."""

    name: str
    style: Style
    shown: bool = True


Looks = Callable[[Path, Table], list[Look]]
"""What a table of a file becomes."""


def _label(table: Table, *columns: str) -> str | None:
    """QGIS expression of the first column that says something."""
    there = [column for column in columns if column in table.columns]
    if not there:
        return None
    texts = (f"nullif(to_string({_quoted(column)}), '')" for column in there)
    return f"coalesce({', '.join(texts)}, '')"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def growth_of(table: Table) -> tuple[str, str, str] | None:
    """(column, name in the legend, unit) of what tells the growth of a field."""
    if "vigour_percent" in table.columns:
        return "vigour_percent", "Fields by vigour", "%"
    medians = [name for name in table.columns if name.endswith("_median")]
    if not medians:
        return None
    column = "ndvi_median" if "ndvi_median" in medians else medians[0]
    return column, f"Fields by {column.removesuffix('_median').upper()} (median)", ""


def _fields(path: Path, table: Table) -> list[Look]:
    """The numbers of fields, under their outlines and names.

    Filled areas hide the map beneath them, so it is for the user to switch them on. Clear ones
    would mix their colours with those of the classes, and match no legend.
    """
    plain = Look("Fields", outlines(_OUTLINE, label=_label(table, "name", "field_id")))
    measure = growth_of(table)
    both = spread(path, table, measure[0]) if measure else None
    if measure is None or both is None:
        return [plain]
    column, name, unit = measure
    breaks = pretty_breaks(*both)
    labels = [range_words(low, high, unit) for low, high in pairwise(breaks)]
    filled = areas_in_ranges(column, ranges_between(breaks, labels, GROWTH))
    return [plain, Look(name, filled, shown=False)]


def _zones(path: Path, table: Table) -> list[Look]:
    if "zone" not in table.columns:
        return [Look("Zones", outlines(_OUTLINE))]
    name = "zone_name" if "zone_name" in table.columns else None
    total = "area_ha" if "area_ha" in table.columns else None
    found = values_of(path, table, "zone", name=name, total=total)
    entries = []
    for (value, text, area), color in zip(found, pick(GROWTH, max(len(found), 1)), strict=False):
        label = str(text or f"zone {value}")
        entries.append((value, label if area is None else f"{label}  {area_words(area)}", color))
    return [Look("Zones", areas_by_value("zone", entries), shown=False)]


def _weeds(path: Path, table: Table) -> list[Look]:
    if "weed_percent" not in table.columns:
        return [Look("Weeds", outlines(_PATCHES, width_mm=0.2), shown=False)]
    labels = [range_words(low, high, "%") for low, high in pairwise(WEED_BREAKS)]
    labels[0] = "up to 1 %"
    ranges = ranges_between(WEED_BREAKS, labels, INFESTATION)
    none = Range(0.0, 0.0, "no weeds", None)
    style = areas_in_ranges("weed_percent", [none, *ranges], alpha=0.75, line=False)
    return [Look("Weeds, percent of the ground", style, shown=False)]


def _patches(path: Path, table: Table) -> list[Look]:
    return [Look("Weed patches", outlines(_PATCHES, width_mm=0.4), shown=False)]


def _rows(path: Path, table: Table) -> list[Look]:
    return [Look("Crop rows", lines(_ROWS), shown=False)]


def index_looks(path: Path, table: Table) -> list[Look]:
    """The outlines of many scenes, with their names."""
    return [Look("Scenes", outlines(_OUTLINE, label=_label(table, "scene"), width_mm=0.3))]


TABLES: dict[str, Looks] = {
    "rows.gpkg": _rows,
    "patches.gpkg": _patches,
    "weeds.gpkg": _weeds,
    "fields.gpkg": _fields,
    "zones.gpkg": _zones,
}
"""How the layers of each file that may lie in a run folder are shown, the topmost first.

The last look of a table is the one that its file brings along.
"""
