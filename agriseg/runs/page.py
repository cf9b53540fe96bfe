"""A run as a notebook shows it: what it is, how much of each class, its files, a small picture."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from agriseg.errors import AgrisegError
from agriseg.html_page import data_uri
from agriseg.legend import NODATA
from agriseg.raster.opener import OPEN_FAULTS, RasterFile
from agriseg.raster.scene import FACTS

if TYPE_CHECKING:
    from agriseg.runs.record import Run

__all__ = ["run_html"]

_SIDE = 220
_SMALL_HA = 0.1
_FAULTS: tuple[type[Exception], ...] = (AgrisegError, OSError, IndexError, *OPEN_FAULTS)
_CELL = 'style="text-align:right;padding:1px 8px"'
_NAME = 'style="text-align:left;padding:1px 8px"'
# What is of use to a person, in this order.
_FILES = (
    "classes.tif",
    "confidence.tif",
    "probabilities.tif",
    "segments.gpkg",
    "fields.gpkg",
    "zones.gpkg",
    "result.qgz",
    "report.html",
    "run.json",
)


def run_html(run: Run) -> str:
    """HTML of a run; whatever its record lacks is left out, since a look must not fail."""
    record = run.record
    name = _of(record, "scene", "name") or run.path.name
    picture = _thumbnail(run)
    parts = [
        f"<b>{escape(str(name))}</b>",
        *(f'<div style="color:#666">{escape(line)}</div>' for line in _lines(record) if line),
        '<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start;margin:6px 0">',
        f"<div>{_table(record)}</div>",
        f'<img alt="class map" src="{picture}">' if picture else "",
        "</div>",
        f"<div>{_links(run)}</div>",
    ]
    return f'<div class="agriseg-run">{"".join(parts)}</div>'


def _of(record: Mapping[str, Any], *keys: str) -> Any:
    found: Any = record
    for name in keys:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _lines(record: Mapping[str, Any]) -> list[str]:
    about = _of(record, "about") or {}
    said = [str(about[fact]) for fact in FACTS if about.get(fact)]
    grid, gsd = _of(record, "scene", "grid") or {}, record.get("gsd_m")
    made = []
    if "width" in grid and "height" in grid:
        made.append(f"{grid['width']:,} x {grid['height']:,} pixels")
        if gsd:
            made[0] += f" of {100 * float(gsd[0]):.3g} cm"
    if model := _of(record, "model", "name"):
        made.append(f"model {model}")
    if finished := record.get("finished"):
        made.append(str(finished))
    return [", ".join(said), ", ".join(made)]


def _table(record: Mapping[str, Any]) -> str:
    colors = {
        row.get("value"): str(row.get("color", ""))
        for row in _of(record, "model", "card", "legend") or ()
    }
    known = [row["area_ha"] for row in record.get("classes", ()) if row.get("area_ha") is not None]
    # As elsewhere: of a plot of a trial, hectares are all zeros.
    unit, factor = ("m²", 1e4) if sum(known) < _SMALL_HA else ("ha", 1.0)
    rows = []
    for row in record.get("classes", ()):
        color = colors.get(row["value"], "")
        box = f'<span style="color:{escape(color)}">&#9632;</span> ' if color else ""
        area = "" if row.get("area_ha") is None else _plain(row["area_ha"] * factor)
        rows.append(
            f"<tr><td {_NAME}>{box}{escape(str(row['name']))}</td><td {_CELL}>{area}</td>"
            f"<td {_CELL}>{row['percent']:.1f}</td></tr>"
        )
    head = f"<tr><th {_NAME}>class</th><th {_CELL}>{unit}</th><th {_CELL}>%</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>" if rows else ""


def _plain(value: float) -> str:
    """Four digits that count, never as a power of ten."""
    return (
        f"{value:,.0f}"
        if value >= 1000
        else np.format_float_positional(value, precision=4, fractional=False, trim="-")
    )


def _links(run: Run) -> str:
    there = [run.path / name for name in _FILES if (run.path / name).is_file()]
    return " &middot; ".join(
        f'<a href="{escape(_address(path), quote=True)}" target="_blank">{escape(path.name)}</a>'
        for path in there
    )


def _address(path: Path) -> str:
    """From the notebook's folder where the file lies below it, as Jupyter serves it."""
    path, here = path.resolve(), Path.cwd()
    if path.is_relative_to(here):
        return quote(os.path.relpath(path, here).replace(os.sep, "/"))
    return path.as_uri()


def _thumbnail(run: Run) -> str:
    """The class map as a small picture, from an overview; empty where there is none."""
    try:
        with RasterFile(str(run.classes)) as file:
            height, width = file.dataset.shape
            step = max(height, width, _SIDE) / _SIDE
            shape = (max(round(height / step), 1), max(round(width / step), 1))
            codes = file.read_shrunk([1], shape)[0]
            palette = file.dataset.colormap(1)
        table = np.zeros((NODATA + 1, 4), np.uint8)
        for value, color in palette.items():
            table[value] = color
        table[NODATA] = 0
        with warnings.catch_warnings(), MemoryFile(ext=".png") as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            profile = {"driver": "PNG", "count": 4, "dtype": "uint8"}
            with memory.open(height=shape[0], width=shape[1], **profile) as picture:
                picture.write(np.moveaxis(table[codes], -1, 0))
            return data_uri(memory.read())
    except _FAULTS:
        return ""
