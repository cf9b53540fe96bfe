"""The maps of a report, and the tables that go with them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from agriseg.errors import InputError
from agriseg.html_page import notes, swatch, table
from agriseg.legend import Legend
from agriseg.publish.areas import Outline, painted, rows_of
from agriseg.publish.colors import GROWTH, INFESTATION, pick
from agriseg.publish.geopackage import Table, spread
from agriseg.publish.maps import colored, legend, map_svg, pale
from agriseg.publish.pictures import Picture
from agriseg.publish.report_facts import NONE
from agriseg.publish.tables import WEED_BREAKS, growth_of
from agriseg.publish.words import area_words, percent, pretty_breaks, range_words
from agriseg.runs import Run

__all__ = [
    "Backdrop",
    "class_section",
    "field_section",
    "image_section",
    "vigour_section",
    "weed_section",
]

_LOG = logging.getLogger(__name__)
_MOST_ROWS = 200
_SMALL_HA = 0.1
_MOST_INDICES = 3
# Colours are spread over whatever there is: words must tell where that is little.
_SMALL_PERCENT = 10.0
# Places without weeds are no range of them.
_NO_WEED = 1e-9


def class_section(
    run: Run, classes: Legend, picture: Picture, fields: Sequence[Outline]
) -> Iterable[str]:
    """The class map with its legend, which tells areas and shares."""
    yield "<h2>What grows where</h2>"
    words = f"Map of {', '.join(classes.names)}"
    outlined = " Lines are the edges of the fields." if fields else ""
    yield _figure(map_svg(picture, words, over=fields), f"{words}.{outlined}")
    rows = {row["value"]: row for row in run.record["classes"]}
    total = sum(row["area_ha"] or 0.0 for row in rows.values())
    in_m2 = total < _SMALL_HA
    cells = []
    for label in classes:
        row = rows.get(label.value, {"area_ha": None, "percent": 0.0})
        area = row["area_ha"]
        cells.append(
            [
                swatch(label.color) + escape(label.name),
                NONE if area is None else area_words(area, in_m2=in_m2),
                percent(row["percent"]),
            ]
        )
    last = ["together", area_words(total, in_m2=in_m2), "100 %"] if total else None
    yield table(("class", "area", "share"), cells, last)


def image_section(images: Sequence[tuple[str, Picture]]) -> Iterable[str]:
    """The image that was segmented."""
    if not images:
        return
    yield "<h2>The image</h2>"
    figures = [_figure(map_svg(one, words, photo=True), words) for words, one in images]
    for start in range(0, len(figures), 2):
        yield f'<div class="pair">{"".join(figures[start : start + 2])}</div>'


@dataclass(frozen=True)
class Backdrop:
    """What lies around and below areas that are painted.

    Args:
        run: Whose they are.
        tables: Layers of its folder, by the name of their file.
        fields: Outlines drawn over all.
        picture: Below all, in pale.
    """

    run: Run
    tables: Mapping[str, Table]
    fields: Sequence[Outline]
    picture: Picture


@dataclass(frozen=True)
class _Ranges:
    """How areas are painted: by a column, in ranges with their labels, in colours of a ramp."""

    column: str
    breaks: Sequence[float]
    labels: Sequence[str]
    ramp: tuple[str, ...]


def vigour_section(on: Backdrop) -> Iterable[str]:
    """Fields by their vigour where there are several to compare, and the zones within them."""
    found = []
    if "fields.gpkg" in on.tables:
        measure = growth_of(on.tables["fields.gpkg"])
        if measure is not None and len(on.fields) > 1:
            column, words, unit = measure
            if unit:
                words = "Fields by vigour: the middle of each in percent of that of all together"
            found.append(_growth_map(on, "fields.gpkg", column, unit, words))
    if "zones.gpkg" in on.tables and "relative_percent" in on.tables["zones.gpkg"].columns:
        words = "Zones of vigour: what is stronger or weaker in a field, in percent of its mean"
        found.append(_growth_map(on, "zones.gpkg", "relative_percent", "%", words))
    shown = [one for one in found if one]
    if shown:
        yield "<h2>Vigour</h2>"
        yield from shown


def _growth_map(on: Backdrop, name: str, column: str, unit: str, words: str) -> str:
    """A map of areas by ranges of a column; nothing where no area has a value."""
    try:
        both = spread(on.run.path / name, on.tables[name], column)
        if both is None:
            return ""
        if unit and both[1] - both[0] < _SMALL_PERCENT:
            words += "; these differences are small"
        breaks = pretty_breaks(*both)
        labels = [range_words(low, high, unit) for low, high in pairwise(breaks)]
        return _areas_map(on, name, _Ranges(column, breaks, labels, GROWTH), words)
    except InputError as error:
        return _fault(error)


def _fault(error: InputError) -> str:
    _LOG.warning("%s", error)
    return f"<p>{escape(str(error))}</p>"


def _areas_map(on: Backdrop, name: str, ranges: _Ranges, words: str) -> str:
    ground = on.picture
    paint = painted(on.run.path / name, on.tables[name], ranges.column, ranges.breaks, ground.box)
    colors = pick(ranges.ramp, len(ranges.labels))
    picture = Picture(colored(paint.codes, colors, pale(ground)), ground.there, ground.box)
    entries = list(zip(colors, ranges.labels, strict=True))
    if paint.area_ha is not None:
        in_m2 = sum(paint.area_ha) < _SMALL_HA
        entries = [
            (color, f"{label}: {area_words(area, in_m2=in_m2)}")
            for (color, label), area in zip(entries, paint.area_ha, strict=True)
            if area > 0
        ]
    return _figure(map_svg(picture, words, over=on.fields), f"{words}.", legend(entries))


def weed_section(on: Backdrop) -> Iterable[str]:
    """Where weeds stand, as percent of the ground."""
    if "weed_percent" not in on.tables["weeds.gpkg"].columns:
        return
    # What has none is a range of its own.
    breaks = (-1.0, _NO_WEED, *WEED_BREAKS[1:])
    labels = [range_words(low, high, "%") for low, high in pairwise(WEED_BREAKS)]
    labels[0] = "up to 1 %"
    ramp = ("#ffffff", *pick(INFESTATION, len(labels)))
    yield "<h2>Weeds</h2>"
    words = "Weeds, in percent of the ground"
    try:
        ranges = _Ranges("weed_percent", breaks, ["none", *labels], ramp)
        yield _areas_map(on, "weeds.gpkg", ranges, words)
    except InputError as error:
        yield _fault(error)


def field_section(run: Run, fields: Table, covers: Mapping[str, str]) -> Iterable[str]:
    """The fields with their numbers, as far as the table has them.

    Args:
        run: Whose fields they are.
        fields: Their table.
        covers: Columns with the cover of what grows, by its name.
    """
    path = run.path / "fields.gpkg"
    try:
        rows = rows_of(path, fields, most=_MOST_ROWS + 1)
    except InputError as error:
        yield _fault(error)
        return
    yield "<h2>Fields</h2>"
    if not rows:
        yield "<p>No fields were found.</p>"
        return
    shown = rows[:_MOST_ROWS]
    small = sum(row.get("area_ha") or 0.0 for row in shown) < _SMALL_HA
    columns = _columns(fields, covers, in_m2=small)
    cells = [
        [escape(_field_name(row)), *(_cell(row.get(name), text) for _, name, text in columns)]
        for row in shown
    ]
    body = table(("field", *(heading for heading, _, _ in columns)), cells)
    yield body.replace("<table>", '<table class="wide">', 1)
    if len(rows) > _MOST_ROWS:
        yield f"<p>These are the first {_MOST_ROWS}; fields.gpkg holds all of them.</p>"
    names = {name for _, name, _ in columns}
    told = [text for name, text in _EXPLAINED.items() if name in names]
    if any(name.endswith("_median") for name in names):
        told.insert(0, _MEDIANS)
    yield from notes(told)
    said = [f"{_field_name(row)}: {row['note']}" for row in shown if row.get("note")]
    yield from notes(said)


_MEDIANS = (
    "NDVI, NDRE and the like: the middle value of an index in the pixels of crop. The same value "
    "means another thing for each crop and growth stage."
)
_EXPLAINED = {
    "vigour_percent": "Vigour: the field's index in percent of that of all fields of this map "
    "together.",
    "uniformity_percent": "Even: the mean of the weakest quarter of the crop in percent of the "
    "mean of all of it; 100 is perfectly even.",
    "stressed_ha": "Behind: area of the zones whose index is less than 90 % of the field's middle.",
}

_Column = tuple[str, str, Callable[[float], str]]


def _columns(fields: Table, covers: Mapping[str, str], *, in_m2: bool) -> list[_Column]:
    """(heading, column, how it is written) of the numbers that a table has."""

    def area(value: float) -> str:
        return area_words(value, in_m2=in_m2)

    def share(value: float) -> str:
        return f"{value:.0f} %"

    def index(value: float) -> str:
        return f"{value:.2f}"

    medians = [name for name in fields.columns if name.endswith("_median")][:_MOST_INDICES]
    wanted: list[_Column] = [
        ("area", "area_ha", area),
        *((f"{name} cover", column, percent) for name, column in covers.items()),
        *((_index_name(name), name, index) for name in medians),
        ("vigour", "vigour_percent", share),
        ("even", "uniformity_percent", share),
        ("behind", "stressed_ha", area),
    ]
    return [one for one in wanted if one[1] in fields.columns]


def _index_name(column: str) -> str:
    """`ndvi_2026_05_03_median` as a heading."""
    name, _, date = column.removesuffix("_median").partition("_")
    return f"{name.upper()} {date.replace('_', '-')}".rstrip()


def _field_name(row: Mapping[str, Any]) -> str:
    number_, name = row.get("field_id"), row.get("name")
    if name and number_ is not None and str(name) != str(number_):
        return f"{name} ({number_})"
    return str(name or (NONE if number_ is None else number_))


def _cell(value: object, text: Callable[[float], str]) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    return escape(text(float(value)))


def _figure(svg: str, caption: str, below: str = "") -> str:
    """A map with its caption and legend, which stay on one sheet."""
    return f"<figure>\n{svg}\n{below}<figcaption>{escape(caption)}</figcaption>\n</figure>"
