"""Styles as QGIS reads them, whatever classes are called."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from agriseg.legend import ClassLabel, Legend
from agriseg.publish.styles import (
    Channel,
    Range,
    areas_by_value,
    areas_in_ranges,
    composite,
    lines,
    outlines,
    paletted,
)

# What XML 1.0 can hold, https://www.w3.org/TR/xml/#charsets; attributes turn some blanks into
# spaces, as any reader of XML does.
_HOLDS = {0x9, 0xA, 0xD, *range(0x20, 0xD800), *range(0xE000, 0xFFFE)}


def parsed(qml: bytes) -> ET.Element:
    assert qml.startswith(b"<!DOCTYPE qgis")
    return ET.fromstring(qml.split(b"\n", 1)[1])


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5, unique=True))
def test_names_of_classes_come_through(names: list[str]) -> None:
    legend = Legend(tuple(ClassLabel(k, name, f"#00000{k}") for k, name in enumerate(names)))
    root = parsed(paletted(legend).qml())
    expected = ["".join(c for c in name if ord(c) in _HOLDS or ord(c) > 0xFFFF) for name in names]
    assert [one.get("label") for one in root.iter("paletteEntry")] == expected
    assert [one.get("value") for one in root.iter("paletteEntry")] == [*map(str, range(len(names)))]


def test_a_range_without_colour_draws_nothing() -> None:
    style = areas_in_ranges("x", [Range(0, 0, "none", None), Range(0, 5, "some", "#ff0000")])
    root = parsed(style.qml())
    drawn = [
        {one.get("name"): one.get("value") for one in symbol.iter("Option")}
        for symbol in root.iter("symbol")
    ]
    assert [one["style"] for one in drawn] == ["no", "solid"]
    assert drawn[0]["outline_style"] == "no"
    assert drawn[1]["color"] == "255,0,0,255"


def test_symbols_and_entries_belong_together() -> None:
    root = parsed(areas_by_value("class_id", [(0, "a", "#010203"), (7, "b", "#040506")]).qml())
    entries = {one.get("value"): one.get("symbol") for one in root.iter("category")}
    symbols = [one.get("name") for one in root.iter("symbol")]
    assert entries == {"0": "0", "7": "1"}
    assert symbols == ["0", "1"]


def test_images_of_one_band_and_of_three() -> None:
    grey = parsed(composite([Channel(2, 0.1, 0.4)], alpha_band=3).qml()).find("pipe/rasterrenderer")
    assert grey is not None
    assert (grey.get("type"), grey.get("grayBand"), grey.get("alphaBand")) == (
        "singlebandgray",
        "2",
        "3",
    )
    three = [Channel(k, 0.0, k / 10) for k in (4, 3, 2)]
    color = parsed(composite(three).qml()).find("pipe/rasterrenderer")
    assert color is not None
    assert color.get("redBand") == "4"
    assert [one.text for one in color.iter("maxValue")] == ["0.4", "0.3", "0.2"]


def test_labels_are_switched_on_where_there_are_some() -> None:
    assert parsed(outlines("#000000", label="'x'").qml()).get("labelsEnabled") == "1"
    assert parsed(lines("#000000").qml()).get("labelsEnabled") is None
