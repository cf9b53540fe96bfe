"""The verb `write_report`: a run as one page for the people of the farm, to mail or to print."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agriseg.errors import AgrisegError, InputError
from agriseg.farm.field_table import class_columns
from agriseg.fields.kinds import kinds_of
from agriseg.geobox import GeoBox
from agriseg.html_page import document
from agriseg.legend import Legend
from agriseg.publish.areas import Outline, outlines
from agriseg.publish.geopackage import Table, read_tables
from agriseg.publish.image import recorded_scene
from agriseg.publish.layers import geobox_of, legend_of
from agriseg.publish.pictures import (
    FALSE_COLOR,
    TRUE_COLOR,
    Picture,
    class_picture,
    frame_of,
    roles_of,
    scene_picture,
)
from agriseg.publish.place import opened, placed
from agriseg.publish.report_facts import facts, how_made, model_facts, title_words, what_to_know
from agriseg.publish.report_maps import (
    Backdrop,
    class_section,
    field_section,
    image_section,
    vigour_section,
    weed_section,
)
from agriseg.raster import Scene
from agriseg.raster.whole_file import write_bytes
from agriseg.runs import Run

__all__ = ["REPORT_FILE", "Sheet", "sheet_of", "write_report"]

REPORT_FILE = "report.html"
_LOG = logging.getLogger(__name__)
_MOST_DATES = 4
_CSS = """
.facts { display: flex; flex-wrap: wrap; gap: .3rem 2.2rem; margin: 1rem 0; padding: 0; }
.facts div { min-width: 6rem; } .facts dt { color: #6d7872; font-size: .85rem; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
figure { margin: .8rem 0 1.2rem; break-inside: avoid; }
figcaption { color: #6d7872; font-size: .9rem; margin-top: .3rem; }
.pair { display: flex; gap: 1.2rem; } .pair figure { flex: 1 1 0; min-width: 0; }
svg.map { display: block; width: 100%; height: auto; background: #fff; }
svg.map text { font: 600 19px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  fill: #1a1a1a; }
svg.map text.name { font-size: 21px; text-anchor: middle; paint-order: stroke; stroke: #fff;
  stroke-width: 5px; stroke-linejoin: round; }
.legend span { display: inline-block; margin-right: 1.4rem; white-space: nowrap; }
.legend i { box-shadow: 0 0 0 1px #c9cfcb; }
.note { border-left: 4px solid #c77d1a; background: #fdf6ec; padding: .6rem 1rem; }
table.wide { font-size: .92rem; } table.wide td, table.wide th { padding-right: .9rem; }
table.plain td { text-align: left; overflow-wrap: anywhere; vertical-align: top; }
table.plain td:first-child { color: #6d7872; white-space: nowrap; }
td, th { overflow-wrap: anywhere; } code { font-size: .85em; overflow-wrap: anywhere; }
@media (max-width: 40rem) { main { padding: 1.2rem 1rem; } .pair { display: block; } }
@media print {
  @page { size: A4; margin: 14mm; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10pt; } h1 { font-size: 20pt; } h2 { margin-top: 1.6rem; }
  .lead { font-size: 12pt; } .note, .facts, .pair { break-inside: avoid; }
  /* The first map, its legend and the head of the page share a sheet. */
  svg.map { max-height: 112mm; } ul, p { orphans: 3; widows: 3; } li { break-inside: avoid; }
}
"""


@dataclass(frozen=True)
class Sheet:
    """What a report is made of.

    Args:
        run: The run.
        legend: Its classes.
        frame: The grid of all pictures.
        classes: The class map.
        images: (caption, picture) of the image that was segmented.
        tables: The layers that lie in the folder, by the name of their file.
        fields: Outlines of the fields.
        missing: What could not be shown, in words.
    """

    run: Run
    legend: Legend
    frame: GeoBox
    classes: Picture
    images: tuple[tuple[str, Picture], ...]
    tables: dict[str, Table]
    fields: tuple[Outline, ...]
    missing: tuple[str, ...]


def write_report(run: str | Path | Run, out: str | Path | None = None) -> Path:
    """Write a run as one HTML page: maps, areas, fields, what to know, and how it was made.

    The page holds its pictures, needs no network and no script, and prints on A4. It shows what
    lies in the folder: of fields.gpkg, zones.gpkg and weeds.gpkg a map and numbers, and the image
    where it is still to be found.

    Args:
        run: The run, or its folder.
        out: The page; by default report.html in the folder.

    Returns:
        The page.

    Raises:
        InputError: There is no finished run.
        ReadError: Its class map cannot be read.
        OptionError: `out` is no .html file.
        OutputError: It cannot be written.
    """
    run = opened(run)
    path = placed(out, run.path / REPORT_FILE, (".html", ".htm"), "a report")
    sheet = sheet_of(run)
    write_bytes(path, document(title_words(run), _parts(sheet), css=_CSS))
    return path


def sheet_of(run: Run) -> Sheet:
    """Gather what a report is made of; what else than the class map cannot be read is left out.

    Raises:
        InputError: The class map cannot be opened, or the record does not tell its classes.
        ReadError: The class map cannot be read.
    """
    box, missing = geobox_of(run), []
    frame, legend = frame_of(box), legend_of(run)
    classes = class_picture(run.classes, legend, frame)
    images: tuple[tuple[str, Picture], ...] = ()
    try:
        scene = recorded_scene(run)
        images = () if scene is None else tuple(_images(scene, frame))
        if scene is None:
            missing.append("The image is not where it was any more, so it is not shown.")
    except AgrisegError as error:
        missing.append(f"The image cannot be shown: {error}")
    tables: dict[str, Table] = {}
    fields: list[Outline] = []
    # Without a place nobody knows which way up polygons lie.
    placed = box.is_georeferenced and not box.transform.is_identity
    for name in ("fields.gpkg", "zones.gpkg", "weeds.gpkg"):
        path = run.path / name
        if not placed or not path.exists():
            continue
        try:
            tables.update((name, table) for table in read_tables(path)[:1])
            if name == "fields.gpkg" and name in tables:
                fields = outlines(path, tables[name], frame)
        except InputError as error:
            tables.pop(name, None)
            missing.append(str(error))
    for line in missing:
        _LOG.warning("the report of %s: %s", run.path, line)
    return Sheet(run, legend, frame, classes, images, tables, tuple(fields), tuple(missing))


def _images(scene: Scene, frame: GeoBox) -> Iterable[tuple[str, Picture]]:
    """True and false colour; of several dates one of each."""
    dates = list(dict.fromkeys(band.date for band in scene.bands if band.role))
    true, false = (
        "True colour, as the eye sees it",
        "False colour: plants are red, the more and the denser their leaves the brighter",
    )
    for date in dates[:_MOST_DATES]:
        views = [
            (words, keys)
            for words, choices in ((true, TRUE_COLOR), (false, FALSE_COLOR))
            if (keys := roles_of(scene, choices, date))
        ]
        # One each of many dates; infrared shows plants better.
        for words, keys in views if len(dates) == 1 else views[-1:]:
            said = words if date is None else f"{date}. {words}"
            yield said, scene_picture(scene, keys, frame)
    if not any(roles_of(scene, (*TRUE_COLOR, *FALSE_COLOR), date) for date in dates):
        band = next((band for band in scene.bands if band.role), scene.bands[0])
        words = f"The image in grey ({band.role})" if band.role else "The image in grey"
        yield words, scene_picture(scene, [band], frame)


def _parts(sheet: Sheet) -> list[str]:
    run = sheet.run
    found: list[str] = [*facts(run)]
    found += class_section(run, sheet.legend, sheet.classes, sheet.fields)
    found += image_section(sheet.images)
    below = sheet.images[0][1] if sheet.images else sheet.classes
    on = Backdrop(run, sheet.tables, sheet.fields, below)
    found += vigour_section(on)
    if "fields.gpkg" in sheet.tables:
        names = {label.value: label.name for label in sheet.legend}
        covers = class_columns(names)
        plants = {names[value]: covers[value] for value in sorted(kinds_of(names).plants)}
        found += field_section(run, sheet.tables["fields.gpkg"], plants)
    if "weeds.gpkg" in sheet.tables:
        found += weed_section(on)
    found += what_to_know(run, sheet.missing)
    found += model_facts(run)
    found += how_made(run)
    return found
