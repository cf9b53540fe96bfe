"""item.json: a run as a STAC item, so that catalogues find it.

STAC 1.1 (https://stacspec.org) with its extensions projection, classification, raster and
processing.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from agriseg.errors import OutputError, redacted
from agriseg.geobox import GeoBox
from agriseg.legend import NODATA, Legend
from agriseg.publish.layers import geobox_of, legend_of
from agriseg.publish.pictures import class_codes, frame_of
from agriseg.publish.place import opened
from agriseg.publish.quicklook import QUICKLOOK_FILE
from agriseg.raster.remote import file_name
from agriseg.raster.scene import FACTS
from agriseg.raster.source import inspect
from agriseg.raster.whole_file import write_bytes
from agriseg.runs import Run
from agriseg.vector.lonlat import to_lonlat, wkt_of

if TYPE_CHECKING:
    from pystac import Asset, Item

__all__ = ["ITEM_FILE", "write_item"]

ITEM_FILE = "item.json"
_LOG = logging.getLogger(__name__)
_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_GPKG = "application/geopackage+sqlite3"
# (key, file, media type, title, roles); those that are there become assets.
_ASSETS: tuple[tuple[str, str, str, str, tuple[str, ...]], ...] = (
    ("classes", "classes.tif", _COG, "Classes", ("data",)),
    ("confidence", "confidence.tif", _COG, "Probability of the class", ("data", "confidence")),
    ("probabilities", "probabilities.tif", _COG, "Probability of each class", ("data",)),
    ("segments", "segments.gpkg", _GPKG, "Polygons by class", ("data",)),
    ("fields", "fields.gpkg", _GPKG, "Fields with their numbers", ("data",)),
    ("zones", "zones.gpkg", _GPKG, "Zones of vigour in the fields", ("data",)),
    ("weeds", "weeds.gpkg", _GPKG, "Weeds in cells", ("data",)),
    ("patches", "patches.gpkg", _GPKG, "Patches of weeds", ("data",)),
    ("rows", "rows.gpkg", _GPKG, "Crop rows", ("data",)),
    ("quicklook", QUICKLOOK_FILE, "image/png", "Quicklook", ("overview",)),
    ("report", "report.html", "text/html", "Report", ("metadata",)),
    ("record", "run.json", "application/json", "How it was made", ("metadata",)),
)
# A footprint of so many pixels a side is fine enough to find a scene by.
_FOOTPRINT_PIXELS = 256
_MOST_POINTS = 2000
# About a centimetre: points that densifying put on straight lines go again.
_NEAR_DEG = 1e-7
_DAY = len("2026-05-17")


def write_item(run: str | Path | Run) -> Path:
    """Write item.json, a STAC item of a run, beside its results.

    Paths in it are relative, so the folder may be moved. The footprint is the area that has
    classes. Its time is the fact `date`, else when the run was finished, and the description says
    so.

    Args:
        run: The run, or its folder.

    Returns:
        The item's file.

    Raises:
        InputError: There is no finished run.
        ReadError: Its class map cannot be read.
        OutputError: It cannot be written.
    """
    run = opened(run)
    path = run.path / ITEM_FILE
    text = json.dumps(_item(run).to_dict(), indent=2, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode("utf-8", "replace"))
    return path


def _item(run: Run) -> Item:
    from pystac import Item

    record, box, legend = run.record, geobox_of(run), legend_of(run)
    footprint = _footprint(run, box)
    when = _times(record)
    item = Item(
        id=str(record["scene"]["name"]),
        geometry=None if footprint is None else json.loads(shapely.to_geojson(footprint)),
        bbox=None if footprint is None else [round(v, 9) for v in footprint.bounds],
        datetime=when.pop("datetime"),
        properties={**when, **_about(record), **_processing(record), **_projection(box)},
        stac_extensions=list(_EXTENSIONS),
    )
    for key, name, kind, title, roles in _ASSETS:
        if (run.path / name).exists():
            item.add_asset(key, _asset(run.path / name, kind, title, roles, legend))
    return item


def _asset(path: Path, kind: str, title: str, roles: tuple[str, ...], legend: Legend) -> Asset:
    from pystac import Asset

    extra: dict[str, Any] = {}
    if kind == _COG:
        source = inspect(str(path))
        extra = {"data_type": source.dtypes[0], "nodata": source.nodata[0]}
        if path.name == "classes.tif":
            extra["classification:classes"] = _classes(legend)
        elif source.scales[0] != 1:
            extra |= {"raster:scale": source.scales[0], "raster:offset": source.offsets[0]}
    return Asset(
        f"./{path.name}", title=title, media_type=kind, roles=list(roles), extra_fields=extra
    )


def _classes(legend: Legend) -> list[dict[str, Any]]:
    """Classes in the words of the extension, whose names are of plain letters."""
    plain = [_plain(label.name) for label in legend]
    return [
        {
            "value": label.value,
            "name": name if name and plain.count(name) == 1 else f"{name or 'class'}_{label.value}",
            "title": label.name,
            "description": label.name,
            "color_hint": label.color[1:].upper(),
        }
        for label, name in zip(legend, plain, strict=True)
    ]


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^0-9A-Za-z]+", "_", letters).strip("_")


def _times(record: Mapping[str, Any]) -> dict[str, Any]:
    """When the image was taken; a day has a start and an end."""
    finished = _moment(str(record.get("finished", ""))) or datetime(1970, 1, 1, tzinfo=UTC)
    said = str(record.get("about", {}).get("date", ""))
    taken = _moment(said)
    found: dict[str, Any] = {"datetime": taken or finished, "created": _stamp(finished)}
    if taken is None:
        why = f"its date, {said!r}, is no day of a calendar" if said else "nobody said that"
        found["description"] = f"The time is that of the map, not of the image: {why}."
    elif len(said.strip()) <= _DAY:
        found["start_datetime"] = _stamp(taken)
        found["end_datetime"] = _stamp(taken + timedelta(days=1, seconds=-1))
    return found


def _moment(text: str) -> datetime | None:
    """An ISO 8601 date or time, in UTC where it does not say another."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _about(record: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the scene."""
    about = record.get("about", {})
    found: dict[str, Any] = {
        f"agriseg:{key}": str(about[key])
        for key in (*FACTS, *(key for key in about if key not in FACTS))
        if about.get(key)
    }
    gsd = record.get("gsd_m")
    if gsd:
        found["gsd"] = float(np.sqrt(gsd[0] * gsd[1]))
    found["agriseg:area_ha"] = {
        str(row["name"]): row["area_ha"]
        for row in record["classes"]
        if row.get("area_ha") is not None
    }
    return found


def _processing(record: Mapping[str, Any]) -> dict[str, Any]:
    model = record["model"]
    files = ", ".join(dict.fromkeys(redacted(file_name(name)) for name in record["scene"]["files"]))
    return {
        "processing:software": {"agriseg": str(record.get("agriseg", ""))},
        "processing:lineage": f"Segmented from {files} with the model {model['name']}.",
        "agriseg:model": str(model["name"]),
        "agriseg:model_fingerprint": str(model.get("fingerprint", "")),
    }


def _projection(box: GeoBox) -> dict[str, Any]:
    """The grid of the map; a CRS that is in no list is told in full."""
    found: dict[str, Any] = {"proj:code": None, "proj:shape": [box.height, box.width]}
    if box.crs is not None:
        authority = box.crs.to_authority()
        found["proj:code"] = ":".join(authority) if authority else None
        if not authority:
            found["proj:wkt2"] = wkt_of(box.crs)
    if box.is_georeferenced:
        found["proj:transform"] = list(box.transform)[:6]
        found["proj:bbox"] = list(box.bounds)
    return found


def _footprint(run: Run, box: GeoBox) -> Any | None:
    """Where the map has classes, in longitude and latitude; None where its place is unknown."""
    from rasterio.features import shapes

    if box.crs is None or box.transform.is_identity:
        return None
    codes, frame = class_codes(run.classes, frame_of(box, max_pixels=_FOOTPRINT_PIXELS))
    there = (codes != NODATA).astype(np.uint8)
    parts = [
        shapely.geometry.shape(one)
        for one, value in shapes(there, mask=there > 0, transform=frame.transform)
        if value
    ]
    # Specks and holes of one pixel say nothing of where it lies.
    pixel = abs(frame.transform.a), abs(frame.transform.e)
    whole = shapely.union_all(parts) if parts else shapely.Polygon(box.corners)
    whole = shapely.simplify(whole.buffer(max(pixel)).buffer(-max(pixel)), 1.5 * max(pixel))
    if whole.is_empty or len(shapely.get_coordinates(whole)) > _MOST_POINTS:
        whole = shapely.convex_hull(shapely.union_all(parts) if parts else whole)
    # A straight edge of a map is none on the globe.
    dense = shapely.segmentize(whole, max(whole.length / 64, max(pixel)))
    try:
        (lonlat,) = to_lonlat(run.path / ITEM_FILE, box.crs)(np.array([dense], object))
    except OutputError as error:
        _LOG.warning("%s gets no footprint: %s", run.path / ITEM_FILE, error)
        return None
    rounded = shapely.set_precision(lonlat, 1e-9)
    return shapely.orient_polygons(shapely.simplify(rounded, _NEAR_DEG))
