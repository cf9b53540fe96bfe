"""How QGIS is to draw a layer: what stands in a .qml file, and in a layer of a project.

Every function gives a `Style`. The elements are the smallest that QGIS 3.22 and 3.40 understand.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from agriseg.legend import Legend
from agriseg.publish.colors import darker, pick, rgba
from agriseg.publish.xml import child, document, option_map

__all__ = [
    "MARK",
    "OLDEST_QGIS",
    "Channel",
    "Range",
    "Style",
    "areas_by_value",
    "areas_in_ranges",
    "color_ramp",
    "composite",
    "lines",
    "outlines",
    "paletted",
    "ranges_between",
]

OLDEST_QGIS = "3.22.0"
"""The version that files say they are of; newer ones read them without a word."""

MARK = b'made-by="agriseg"'
"""In every .qml file of ours; what QGIS saves has it not."""

_HAIRLINE_MM = 0.1
_NAMED_MM = 8
# What QGIS turns into no pen at all.
_NONE = "no"


@dataclass(frozen=True)
class Style:
    """The look of a layer.

    Args:
        elements: Children of a layer's element, or of a .qml file's root.
        labels: Whether labels are among them.
    """

    elements: tuple[ET.Element, ...]
    labels: bool = False

    def put(self, layer: ET.Element) -> None:
        """Put it into the element of a layer, or of a file."""
        if self.labels:
            layer.set("labelsEnabled", "1")
        layer.extend(self.elements)

    def qml(self) -> bytes:
        """A style file of its own."""
        root = ET.Element("qgis", version=OLDEST_QGIS, styleCategories="Symbology|Labeling")
        root.set("made-by", "agriseg")
        self.put(root)
        return document(root)


@dataclass(frozen=True)
class Channel:
    """A band that becomes red, green or blue, and the values that are black and full colour."""

    band: int
    low: float
    high: float


@dataclass(frozen=True)
class Range:
    """Values of a graduated layer, both ends included; `color` None draws nothing."""

    lower: float
    upper: float
    label: str
    color: str | None


def _raster(renderer: ET.Element) -> Style:
    pipe = ET.Element("pipe")
    pipe.append(renderer)
    return Style((pipe,))


def _renderer(kind: str, **attributes: object) -> ET.Element:
    renderer = ET.Element("rasterrenderer", type=kind)
    fixed = {"opacity": 1, "alphaBand": -1, "nodataColor": ""}
    for name, value in (fixed | attributes).items():
        renderer.set(name, str(value))
    return renderer


def paletted(legend: Legend, labels: Sequence[str] | None = None) -> Style:
    """Classes in their colours; nodata in none.

    Args:
        legend: The classes.
        labels: What the legend says of each; its name by default.
    """
    renderer = _renderer("paletted", band=1)
    entries = child(renderer, "colorPalette")
    for label, text in zip(legend, labels or legend.names, strict=True):
        child(entries, "paletteEntry", value=label.value, label=text, color=label.color, alpha=255)
    return _raster(renderer)


def color_ramp(band: int, colors: Sequence[str]) -> Style:
    """Values 0..1 of a band in a smooth ramp, on a fixed scale: two scenes can be compared."""
    renderer = _renderer(
        "singlebandpseudocolor", band=band, classificationMin=0, classificationMax=1
    )
    shader = child(
        child(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode=1,
        minimumValue=0,
        maximumValue=1,
        clip=0,
    )
    for k, color in enumerate(colors):
        value = k / (len(colors) - 1)
        child(
            shader, "item", value=f"{value:g}", label=f"{100 * value:g} %", color=color, alpha=255
        )
    return _raster(renderer)


def composite(channels: Sequence[Channel], alpha_band: int | None = None) -> Style:
    """Bands as red, green and blue, or one band in grey, in fixed stretches.

    With numbers in the file QGIS neither looks for its own, nor leaves statistics beside the image.
    """
    alpha = -1 if alpha_band is None else alpha_band
    if len(channels) == 1:
        (only,) = channels
        renderer = _renderer(
            "singlebandgray", grayBand=only.band, gradient="BlackToWhite", alphaBand=alpha
        )
        _stretch(renderer, "contrastEnhancement", only)
        return _raster(renderer)
    names = ("red", "green", "blue")
    bands = {f"{name}Band": one.band for name, one in zip(names, channels, strict=True)}
    renderer = _renderer("multibandcolor", **bands, alphaBand=alpha)
    for name, one in zip(names, channels, strict=True):
        _stretch(renderer, f"{name}ContrastEnhancement", one)
    return _raster(renderer)


def _stretch(renderer: ET.Element, tag: str, channel: Channel) -> None:
    stretch = child(renderer, tag)
    child(stretch, "minValue", f"{channel.low:.6g}")
    child(stretch, "maxValue", f"{channel.high:.6g}")
    child(stretch, "algorithm", "StretchToMinimumMaximum")


def _vector(kind: str, **attributes: object) -> ET.Element:
    renderer = ET.Element("renderer-v2", type=kind)
    fixed = {"symbollevels": 0, "enableorderby": 0, "forceraster": 0}
    for name, value in (fixed | attributes).items():
        renderer.set(name, str(value))
    return renderer


def _fill(symbols: ET.Element, number: int, color: str | None, alpha: float, line: bool) -> None:
    symbol = child(symbols, "symbol", type="fill", name=number, alpha=alpha)
    layer = child(symbol, "layer", class_="SimpleFill", enabled=1, pass_=0, locked=0)
    option_map(
        layer,
        color=rgba(color or "#ffffff"),
        style="solid" if color else _NONE,
        outline_color=rgba(darker(color or "#ffffff")),
        outline_style="solid" if line and color else _NONE,
        outline_width=_HAIRLINE_MM,
        outline_width_unit="MM",
    )


def areas_by_value(
    column: str, entries: Sequence[tuple[object, str, str]], *, alpha: float = 1.0
) -> Style:
    """Polygons in the colour of their value in a column.

    Args:
        column: Its name.
        entries: (value, label, `#rrggbb`) of each value, in the order of the legend.
        alpha: Opacity of the areas.
    """
    renderer = _vector("categorizedSymbol", attr=column)
    categories = child(renderer, "categories")
    symbols = child(renderer, "symbols")
    for number, (value, label, color) in enumerate(entries):
        child(categories, "category", value=value, label=label, symbol=number, render="true")
        _fill(symbols, number, color, alpha, line=True)
    return Style((renderer,))


def areas_in_ranges(
    column: str, ranges: Sequence[Range], *, alpha: float = 1.0, line: bool = True
) -> Style:
    """Polygons in the colour of the range that their value lies in; without a value: none."""
    renderer = _vector("graduatedSymbol", attr=column, graduatedMethod="GraduatedColor")
    found = child(renderer, "ranges")
    symbols = child(renderer, "symbols")
    for number, one in enumerate(ranges):
        child(
            found,
            "range",
            symbol=number,
            lower=f"{one.lower:.10g}",
            upper=f"{one.upper:.10g}",
            label=one.label,
            render="true",
        )
        _fill(symbols, number, one.color, alpha, line)
    return Style((renderer,))


def ranges_between(
    breaks: Sequence[float], labels: Sequence[str], ramp: tuple[str, ...]
) -> list[Range]:
    """Ranges between breaks in the colours of a ramp."""
    colors = pick(ramp, len(labels))
    return [
        Range(lower, upper, label, color)
        for (lower, upper), label, color in zip(pairwise(breaks), labels, colors, strict=True)
    ]


def outlines(color: str, *, label: str | None = None, width_mm: float = 0.5) -> Style:
    """The outlines of polygons alone.

    Args:
        color: `#rrggbb`.
        label: QGIS expression of the text on each.
        width_mm: Of the line, on paper.
    """
    renderer = _vector("singleSymbol")
    symbol = child(child(renderer, "symbols"), "symbol", type="fill", name=0, alpha=1)
    layer = child(symbol, "layer", class_="SimpleLine", enabled=1, pass_=0, locked=0)
    option_map(layer, line_color=rgba(color), line_width=width_mm, line_width_unit="MM")
    return Style((renderer, *((_labeling(label),) if label else ())), labels=bool(label))


def lines(color: str, *, width_mm: float = 0.3) -> Style:
    """Lines of one kind."""
    renderer = _vector("singleSymbol")
    symbol = child(child(renderer, "symbols"), "symbol", type="line", name=0, alpha=1)
    layer = child(symbol, "layer", class_="SimpleLine", enabled=1, pass_=0, locked=0)
    option_map(layer, line_color=rgba(color), line_width=width_mm, line_width_unit="MM")
    return Style((renderer,))


def _labeling(expression: str) -> ET.Element:
    labeling = ET.Element("labeling", type="simple")
    settings = child(labeling, "settings")
    text = child(
        settings,
        "text-style",
        fieldName=expression,
        isExpression=1,
        fontSize=10,
        fontSizeUnit="Point",
        fontWeight=75,
        namedStyle="Bold",
        textColor=rgba("#202020"),
    )
    child(
        text,
        "text-buffer",
        bufferDraw=1,
        bufferSize=0.8,
        bufferSizeUnits="MM",
        bufferColor=rgba("#ffffff"),
        bufferOpacity=1,
    )
    child(settings, "placement", placement=1, centroidInside=1)
    # On a map of a thousand fields numbers would hide them: a field is named once it is so wide.
    child(settings, "rendering", minFeatureSize=_NAMED_MM)
    return labeling
