"""batch.json and index.gpkg: what became of each of many scenes, and where they lie."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.crs
import shapely
from affine import Affine

from agriseg._version import __version__
from agriseg.errors import AgrisegError, said_by
from agriseg.raster.scene import FACTS
from agriseg.raster.whole_file import write_bytes
from agriseg.runs.record import Run
from agriseg.vector.files import PolygonBatch, write_polygons

__all__ = ["BATCH_FILE", "INDEX_FILE", "Batch", "earlier_names"]

BATCH_FILE, INDEX_FILE = "batch.json", "index.gpkg"
_FORMAT = 1
# While a batch goes on, so often at most, and for a fiftieth of the time: of 100,000 scenes it has
# 30 MB, and takes some seconds.
_EVERY_S, _SHARE = 30.0, 50
# Points along each side of a footprint: straight lines in one CRS are none in another.
_ALONG = 8


@dataclass
class Batch:
    """The scenes of one call, and what became of them.

    Args:
        folder: Where their folders are.
        names: Of all scenes, in their order.
        keys: What tells each from others (`Source.key`), by name, where that is known.
    """

    folder: Path
    names: Sequence[str]
    keys: Mapping[str, str] = field(default_factory=dict)
    _entries: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)
    _placed: dict[str, tuple[str, shapely.Polygon]] = field(default_factory=dict, init=False)
    _due: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._entries = {
            name: {"name": name, "key": self.keys.get(name), "state": "waiting"}
            for name in self.names
        }

    def take(self, name: str, found: Run | Exception) -> None:
        """What became of a scene."""
        if isinstance(found, Run):
            self._done(name, found)
        else:
            kind = "" if isinstance(found, AgrisegError) else f"{type(found).__name__}: "
            self._entries[name].update(state="failed", error=f"{kind}{said_by(found)}")
        if time.monotonic() > self._due:
            self.write()

    def _done(self, name: str, run: Run) -> None:
        record = run.record
        if outline := _outline(run):
            self._placed[name] = (sys.intern(record["model"]["name"]), outline)
        self._entries[name].update(
            state="done",
            area_ha=_sum(row["area_ha"] for row in record["classes"]),
            classes={row["name"]: row["area_ha"] for row in record["classes"]},
            pixels=sum(row["pixels"] for row in record["classes"]),
            seconds=round(sum(record["seconds"].values()), 3),
            resumed=run.resumed,
            about=dict(record.get("about", {})),
        )

    def totals(self) -> dict[str, Any]:
        """Scenes, failures, hectares and seconds of all together."""
        entries = list(self._entries.values())
        done = [one for one in entries if one["state"] == "done"]
        return {
            "scenes": len(entries),
            "done": len(done),
            "failed": sum(one["state"] == "failed" for one in entries),
            "area_ha": _sum(one["area_ha"] for one in done),
            "pixels": sum(one["pixels"] for one in done),
            "seconds": round(sum(one["seconds"] for one in done), 3),
        }

    def write(self) -> None:
        """Write batch.json."""
        started = time.monotonic()
        found = {
            "format": _FORMAT,
            "agriseg": __version__,
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "totals": self.totals(),
            "scenes": list(self._entries.values()),
        }
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        write_bytes(self.folder / BATCH_FILE, text.encode())
        now = time.monotonic()
        self._due = now + max(_EVERY_S, _SHARE * (now - started))

    def write_index(self) -> None:
        """Write index.gpkg: the outline of each scene that has a place on the Earth."""
        placed = [(name, *self._placed[name]) for name in self._entries if name in self._placed]
        batch = _index_of(placed, self._entries)
        write_polygons(
            self.folder / INDEX_FILE, [batch], rasterio.crs.CRS.from_epsg(4326), layer="index"
        )


def earlier_names(folder: Path) -> dict[str, str]:
    """What scenes were called by an earlier batch in this folder, by their key."""
    try:
        scenes = json.loads((folder / BATCH_FILE).read_text(encoding="utf-8"))["scenes"]
        return {str(one["key"]): str(one["name"]) for one in scenes if one.get("key")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _outline(run: Run) -> shapely.Polygon | None:
    """The outline of a run's grid in longitude and latitude; None where it has no place."""
    from rasterio.warp import transform as warped

    grid = run.record["scene"]["grid"]
    if grid["crs"] is None:
        return None
    width, height = grid["width"], grid["height"]
    ring = [(0, 0), (width, 0), (width, height), (0, height), (0, 0)]
    points = list(_along(ring))
    transform = Affine.from_gdal(*grid["transform"])
    xs, ys = zip(*(transform @ point for point in points), strict=True)
    try:
        crs = rasterio.crs.CRS.from_wkt(grid["crs"])
        lons, lats = warped(crs, rasterio.crs.CRS.from_epsg(4326), list(xs), list(ys))
    except rasterio.errors.RasterioError:
        return None
    if not np.isfinite([*lons, *lats]).all():
        return None
    return shapely.orient_polygons(shapely.Polygon(zip(lons, lats, strict=True)))


def _along(ring: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    for (x0, y0), (x1, y1) in itertools.pairwise(ring):
        for k in range(_ALONG):
            share = k / _ALONG
            yield x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
    yield ring[-1]


def _index_of(
    placed: Sequence[tuple[str, str, shapely.Polygon]], entries: Mapping[str, Mapping[str, Any]]
) -> PolygonBatch:
    names = [name for name, _, _ in placed]
    classes = dict.fromkeys(name for one in names for name in entries[one]["classes"])

    def text(values: Iterable[object]) -> Any:
        return np.array(["" if value is None else str(value) for value in values], object)

    def numbers(values: Iterable[float | None]) -> Any:
        return np.array([np.nan if value is None else value for value in values], np.float64)

    columns = {"scene": text(names)}
    for fact in FACTS:
        columns[fact] = text(entries[name]["about"].get(fact) for name in names)
    columns["area_ha"] = numbers(entries[name]["area_ha"] for name in names)
    for label in classes:
        columns[f"{label}_ha"] = numbers(entries[name]["classes"].get(label) for name in names)
    columns["seconds"] = numbers(entries[name]["seconds"] for name in names)
    columns["model"] = text(model for _, model, _ in placed)
    outlines = np.empty(len(placed), object)
    outlines[:] = [shapely.MultiPolygon([outline]) for _, _, outline in placed]
    return PolygonBatch(outlines, columns)
