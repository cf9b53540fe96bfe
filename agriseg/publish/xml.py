"""XML as QGIS reads it, through the standard library, which escapes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from agriseg.raster.writer import xml_text

__all__ = ["child", "document", "option_map"]

_DOCTYPE = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


def child(parent: ET.Element, tag: str, text: object = None, /, **attributes: object) -> ET.Element:
    """Add an element; what XML cannot hold, not even escaped, is left out of its texts.

    Args:
        parent: Where it goes.
        tag: Its name.
        text: What it holds.
        **attributes: By their names; a `_` at the end of one is dropped (`class_`).
    """
    element = ET.SubElement(
        parent, tag, {name.rstrip("_"): xml_text(str(value)) for name, value in attributes.items()}
    )
    if text is not None:
        element.text = xml_text(str(text))
    return element


def option_map(parent: ET.Element, **values: object) -> ET.Element:
    """Add the properties of a symbol layer, all of them texts as QGIS writes them."""
    options = child(parent, "Option", type="Map")
    for name, value in values.items():
        child(options, "Option", name=name, type="QString", value=value)
    return options


def document(root: ET.Element) -> bytes:
    """A whole file: the same elements come to the same bytes."""
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8")
    return _DOCTYPE + text + b"\n"
