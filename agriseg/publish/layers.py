"""The layers of a project: which files of a run are shown, how, and in which group."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import rasterio.crs
from affine import Affine

from agriseg.errors import InputError
from agriseg.fields.kinds import kinds_of
from agriseg.geobox import GeoBox
from agriseg.legend import ClassLabel, Legend
from agriseg.publish.colors import CERTAINTY, darker
from agriseg.publish.geopackage import read_tables
from agriseg.publish.image import IMAGE_FILE, Image
from agriseg.publish.styles import Style, areas_by_value, color_ramp, paletted
from agriseg.publish.tables import TABLES, Look, Looks
from agriseg.publish.words import class_words
from agriseg.runs import Run

__all__ = [
    "Group",
    "Layer",
    "class_layer",
    "confidence_layer",
    "geobox_of",
    "legend_of",
    "probability_style",
    "run_groups",
    "segments_look",
    "table_layers",
]

_LOG = logging.getLogger(__name__)
_PALE = "#f7f7f7"
# GDAL 3.6 under QGIS hands the paths of GeoPackages to SQLite as addresses, which decodes them.
_PERCENT_CODE = re.compile("%[0-9A-Fa-f]{2}")
CLASSES, HEALTH, DIAGNOSTICS, INPUT = "Classes", "Fields and health", "Diagnostics", "Input"


@dataclass(frozen=True)
class Layer:
    """A layer of a project.

    Args:
        name: In the legend.
        source: What it shows: a path that starts at the project's folder, `./classes.tif`.
        style: How.
        crs: Of its coordinates.
        kind: "Raster", or the kind of its shapes: "Polygon", "Line", "Point".
        shown: Whether it is drawn at first; the legend of what is not is folded up.
        about: What it is, for its properties.
    """

    name: str
    source: str
    style: Style
    crs: rasterio.crs.CRS | None
    kind: str = "Raster"
    shown: bool = True
    about: str = ""

    @property
    def key(self) -> str:
        """Its id: always the same, and long enough, since QGIS loses layers with short ones."""
        digest = hashlib.sha256(f"{self.name}\0{self.source}".encode()).hexdigest()
        return f"agriseg_{digest[:20]}"


@dataclass(frozen=True)
class Group:
    """A group of layers, the topmost first."""

    name: str
    members: tuple[Layer | Group, ...]
    shown: bool = True
    expanded: bool = True

    @property
    def layers(self) -> Iterator[Layer]:
        for member in self.members:
            if isinstance(member, Layer):
                yield member
            else:
                yield from member.layers


def legend_of(run: Run) -> Legend:
    """The classes of a run's map.

    Raises:
        InputError: The record does not tell them.
    """
    try:
        rows = run.record["model"]["card"]["legend"]
        return Legend(tuple(ClassLabel(r["value"], r["name"], r["color"]) for r in rows))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{run.folder.record} does not tell the classes of its map; run agriseg segment again"
        ) from error


def geobox_of(run: Run) -> GeoBox:
    """The grid of a run's map."""
    grid = run.record["scene"]["grid"]
    crs = None if grid["crs"] is None else rasterio.crs.CRS.from_wkt(grid["crs"])
    return GeoBox(crs, Affine.from_gdal(*grid["transform"]), grid["width"], grid["height"])


def class_layer(
    source: str,
    legend: Legend,
    rows: Mapping[int, tuple[float | None, float]],
    crs: rasterio.crs.CRS | None,
) -> Layer:
    """The class map, whose legend says how much there is of each class.

    Args:
        source: Where it lies, from the project.
        legend: The classes.
        rows: (hectares, percent) of each by its value.
        crs: Of the map.
    """
    labels = class_words(legend.names, [rows.get(one.value, (None, 0.0)) for one in legend])
    about = "Classes; their area on the ground, and their share of what has a class."
    return Layer("Class map", source, paletted(legend, labels), crs, about=about)


def confidence_layer(source: str, crs: rasterio.crs.CRS | None) -> Layer:
    about = "Probability of the class that the map shows: dark is doubtful."
    return Layer("Confidence", source, color_ramp(1, CERTAINTY), crs, shown=False, about=about)


def probability_style(legend: Legend, value: int) -> Style:
    """One class's probability, in tones of its colour."""
    (color,) = (label.color for label in legend if label.value == value)
    return color_ramp(value + 1, (_PALE, color, darker(color)))


def first_probability(legend: Legend) -> int:
    """The class whose probability a raster of all of them shows at first: weed, else crop."""
    kinds = kinds_of({label.value: label.name for label in legend})
    return min(kinds.weed or kinds.crop or {0})


def segments_look(legend: Legend) -> Style:
    """Polygons in the colours of the map; by number, which no name can confuse."""
    return areas_by_value(
        "class_id", [(one.value, one.name, one.color) for one in legend], alpha=0.6
    )


def run_groups(run: Run, base: str, image: Image | None) -> list[Group]:
    """The layers of one run, in groups; groups without a layer are left out.

    Args:
        run: The run.
        base: The run's folder, from the project's: `./` or `./field/`.
        image: Its image, if it can be shown.
    """
    legend, box = legend_of(run), geobox_of(run)
    rows = {row["value"]: (row["area_ha"], row["percent"]) for row in run.record["classes"]}
    classes = [class_layer(f"{base}classes.tif", legend, rows, box.crs)]
    # Without any place QGIS counts rows upwards, and polygons would lie upside down.
    placed = box.is_georeferenced
    if run.segments and placed:
        look = Look("Polygons by class", segments_look(legend), shown=False)
        classes[:0] = table_layers(run.segments, base, lambda path, table: [look])
    health = [
        layer
        for name, looks in TABLES.items()
        if placed and (run.path / name).exists()
        for layer in table_layers(run.path / name, base, looks)
    ]
    diagnostics = [confidence_layer(f"{base}confidence.tif", box.crs)]
    if run.probabilities:
        diagnostics += [
            Layer(
                f"Probability of {one.name}",
                f"{base}probabilities.tif",
                probability_style(legend, one.value),
                box.crs,
                shown=False,
            )
            for one in legend
        ]
    views = [
        Layer(view.name, f"{base}{IMAGE_FILE}", view.style, image.box.crs, shown=k == 0)
        for k, view in enumerate(image.views if image else ())
        if image is not None
    ]
    groups = ((HEALTH, health), (CLASSES, classes), (DIAGNOSTICS, diagnostics), (INPUT, views))
    return [
        Group(name, tuple(members), expanded=name != DIAGNOSTICS)
        for name, members in groups
        if members
    ]


def table_layers(path: Path, base: str, looks: Looks) -> list[Layer]:
    """The layers of a GeoPackage; a file that cannot be read is none."""
    if _PERCENT_CODE.search(str(path.resolve())):
        # A layer that cannot be opened would stop QGIS with a question each time.
        _LOG.warning("the project goes without %s: QGIS opens no path with %%20 in it", path)
        return []
    try:
        return [
            Layer(
                look.name,
                f"{base}{path.name}|layername={table.name}",
                look.style,
                table.crs,
                table.kind,
                look.shown,
            )
            for table in read_tables(path)[:1]
            for look in looks(path, table)
        ]
    except InputError as error:
        _LOG.warning("the project goes without %s: %s", path, error)
        return []
