"""The maps of many scenes as one: virtual rasters over all that fit together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import rasterio.crs
from affine import Affine

from agriseg.geobox import GeoBox
from agriseg.legend import NODATA, Legend
from agriseg.publish.layers import geobox_of, legend_of
from agriseg.publish.virtual import Placed, VirtualBand, pointer, virtual_raster
from agriseg.raster.whole_file import write_bytes
from agriseg.runs import Run
from agriseg.tiling import CONFIDENCE_STEPS

__all__ = ["Mosaic", "mosaics_of"]

# A raster has no more pixels along a side; QGIS counts them in 32 bits.
_MOST_PIXELS = 2**31 - 1


@dataclass(frozen=True)
class Mosaic:
    """Scenes whose maps are shown as one.

    Args:
        runs: The scenes.
        box: The grid that holds all of them.
        legend: Their classes.
        classes: Virtual raster of the class maps.
        confidence: Virtual raster of their confidence.
    """

    runs: tuple[Run, ...]
    box: GeoBox
    legend: Legend
    classes: Path
    confidence: Path

    @property
    def areas(self) -> dict[int, tuple[float | None, float]]:
        """(hectares, percent) of each class in all scenes together."""
        rows = [row for run in self.runs for row in run.record["classes"]]
        pixels: dict[int, int] = defaultdict(int)
        area: dict[int, list[float | None]] = defaultdict(list)
        for row in rows:
            pixels[row["value"]] += row["pixels"]
            area[row["value"]].append(row["area_ha"])
        known = {value: _sum(parts) for value, parts in area.items()}
        whole = _sum(known.values())
        if whole:
            # Of the ground: pixels of two scenes may differ in size.
            return {v: (ha, 100 * (ha or 0) / whole) for v, ha in known.items()}
        total = max(sum(pixels.values()), 1)
        return {value: (None, 100 * count / total) for value, count in pixels.items()}


def _sum(parts: Iterable[float | None]) -> float | None:
    values = list(parts)
    known = [one for one in values if one is not None]
    return math.fsum(known) if known and len(known) == len(values) else None


def mosaics_of(runs: Sequence[Run], folder: Path) -> tuple[list[Mosaic], list[Run]]:
    """Write the mosaics of scenes with the same CRS and classes into a folder.

    Args:
        runs: The scenes.
        folder: Where the mosaics go.

    Returns:
        The mosaics, those of most scenes first, and the scenes that fit into none: turned, without
        a place, or alone of their kind.

    Raises:
        OutputError: A mosaic cannot be written.
    """
    groups: dict[tuple[str, Legend], list[Run]] = {}
    alone = []
    for run in runs:
        box = geobox_of(run)
        t = box.transform
        north_up = t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0
        if box.crs is None or not north_up:
            alone.append(run)
        else:
            groups.setdefault((box.crs.to_wkt(), legend_of(run)), []).append(run)
    ordered = sorted(groups.values(), key=len, reverse=True)
    found: list[Mosaic] = []
    for group in ordered:
        whole = _around([geobox_of(run) for run in group])
        if len(group) == 1 or whole is None:
            alone += group
            continue
        ending = "" if not found else f"-{len(found) + 1}"
        found.append(_written(group, whole, folder, ending))
    order = {id(run): k for k, run in enumerate(runs)}
    return found, sorted(alone, key=lambda run: order[id(run)])


def _around(boxes: Sequence[GeoBox]) -> GeoBox | None:
    """The grid around all, in the finest pixels among them; None where it is too wide."""
    bounds = [box.bounds for box in boxes]
    left, top = min(b[0] for b in bounds), max(b[3] for b in bounds)
    right, bottom = max(b[2] for b in bounds), min(b[1] for b in bounds)
    across = min(box.transform.a for box in boxes)
    down = min(-box.transform.e for box in boxes)
    width = math.ceil((right - left) / across - 1e-6)
    height = math.ceil((top - bottom) / down - 1e-6)
    if max(width, height) > _MOST_PIXELS:
        return None
    transform = Affine(across, 0.0, left, 0.0, -down, top)
    return GeoBox(boxes[0].crs, transform, max(width, 1), max(height, 1))


def _written(runs: Sequence[Run], box: GeoBox, folder: Path, ending: str) -> Mosaic:
    legend = legend_of(runs[0])
    classes = VirtualBand(
        "class",
        "uint8",
        tuple(_place(run, run.classes, box, folder) for run in runs),
        nodata=NODATA,
        legend=legend,
    )
    confidence = VirtualBand(
        "confidence",
        "uint8",
        tuple(_place(run, run.confidence, box, folder) for run in runs),
        nodata=NODATA,
        scale=1 / CONFIDENCE_STEPS,
        color="Gray",
    )
    paths = [folder / f"{name}{ending}.vrt" for name in ("classes", "confidence")]
    for path, band in zip(paths, (classes, confidence), strict=True):
        write_bytes(path, virtual_raster(box, [band]))
    return Mosaic(tuple(runs), box, legend, *paths)


def _place(run: Run, path: Path, box: GeoBox, folder: Path) -> Placed:
    mine = geobox_of(run)
    to_box = ~box.transform @ mine.transform
    rect = (to_box.c, to_box.f, to_box.a * mine.width, to_box.e * mine.height)
    file, relative = pointer(path, folder)
    return Placed(file, relative, 1, (mine.width, mine.height), "uint8", rect)


def main_crs(boxes: Sequence[GeoBox]) -> rasterio.crs.CRS | None:
    """The CRS that most have; of two as many, the first."""
    known = [box.crs for box in boxes if box.crs is not None]
    return max(known, key=known.count) if known else None
