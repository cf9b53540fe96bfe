"""Segments: the polygons of a class map and what each of them says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import InputError, OptionError
from agriseg.geobox import GeoBox
from agriseg.vector.files import PolygonBatch
from agriseg.vector.measure import Measures, measure
from agriseg.vector.network import Split, Stack
from agriseg.vector.ragged import Ints
from agriseg.vector.rings import assemble
from agriseg.vector.shapes import Shapes, Simplified
from agriseg.vector.smooth import HALF_PIXEL, exact, smooth
from agriseg.vector.specks import merge_specks
from agriseg.vector.strip import SPLIT_ROWS, Regions, Strip

__all__ = ["Confidence", "PolygonOptions", "Segments", "build", "check_values"]

_LARGE_EDGES = 200_000
# No other program copes with such a polygon, and SQLite takes no more than 1 GB of it.
_MOST_EDGES = 20_000_000
_DEFAULT_SPECK = 4
_MOST_CLASSES = 255
OnStage = Callable[[str], None]


@dataclass(frozen=True)
class PolygonOptions:
    """How a class map becomes polygons.

    Args:
        min_area_m2: Regions that are smaller on the ground go to a neighbour; None: those of fewer
            than four pixels; 0: none.
        simplify_m: How far borders may move to become straight, in metres. None: less than half a
            pixel; 0: they follow the pixel edges. Beyond half a pixel, corners of triangles smaller
            than its square are left out, of all polygons together, so that borders stay shared.
        classes: Only polygons of these classes, by name or number; None: all.
        omit: No polygons of these classes.
        split_large: Cut polygons with more than 200,000 pixel edges around at every 1024 rows.
            Those with more than 20 million, which nothing can draw, are always cut.
    """

    min_area_m2: float | None = None
    simplify_m: float | None = None
    classes: tuple[str | int, ...] | None = None
    omit: tuple[str | int, ...] = ()
    split_large: bool = False

    def __post_init__(self) -> None:
        for name, unit in (("min_area_m2", "square metres"), ("simplify_m", "metres")):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                option = name.replace("_", "-")
                raise OptionError(f"--{option} {value}: {unit} are needed, 0 or more")
        for name in ("classes", "omit"):
            given = getattr(self, name)
            if isinstance(given, str | int):
                object.__setattr__(self, name, (given,))
            elif given is not None:
                object.__setattr__(self, name, tuple(given))

    def in_pixels(self, box: GeoBox) -> tuple[int, float]:
        """Fewest pixels of a region, and how far borders may move, in pixels.

        Raises:
            OptionError: Metres are given, and the size of pixels is unknown.
        """
        fewest, limit = _DEFAULT_SPECK, HALF_PIXEL
        for option in ("min_area_m2", "simplify_m"):
            value = getattr(self, option)
            if value and (box.area_m2 is None or box.gsd_m is None):
                raise OptionError(
                    f"--{option.replace('_', '-')} {value}: the raster has no CRS, so the size of "
                    "its pixels is unknown; assign one with gdal_edit.py -a_srs, or leave the "
                    "option out"
                )
        if self.min_area_m2 is not None:
            pixel = (box.area_m2 or 1.0) / (box.width * box.height)
            # 0.04 m2 of pixels of 0.0004 m2 are 100, and not 101 for the last bit.
            most = box.width * box.height + 1  # also for numbers that would overflow
            fewest = math.ceil(min(max(self.min_area_m2 / pixel - 1e-6, 1), most))
        if self.simplify_m is not None:
            limit = self.simplify_m / min(box.gsd_m or (1.0,))
        return fewest, limit

    @property
    def split(self) -> Split:
        return Split(SPLIT_ROWS, _LARGE_EDGES if self.split_large else _MOST_EDGES)


@dataclass(frozen=True)
class Confidence:
    """What one whole step of confidence stands for: confidence = steps x step + offset."""

    step: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Segments:
    """The polygons of a class map, not yet as objects: these are made batch by batch.

    Args:
        box: The grid of the map.
        shapes: Where their geometry comes from.
        regions: One row for each polygon, in the order of their first pixels.
        names: Name of each class.
        measures: Area and perimeter of each polygon.
        selected: The polygons that were asked for.
        confidence: What a step means; None: no confidence is known.
    """

    box: GeoBox
    shapes: Shapes
    regions: Regions
    names: Mapping[int, str]
    measures: Measures
    selected: Ints
    confidence: Confidence | None

    def __len__(self) -> int:
        return len(self.selected)

    def batches(self) -> Iterator[PolygonBatch]:
        """All selected polygons with their columns, some thousands at a time, in order."""
        for which in self.shapes.batches(self.selected):
            yield PolygonBatch(self.shapes.polygons(which), self._columns(which))

    def summary(self) -> list[dict[str, Any]]:
        """Polygons and area of each class that was asked for."""
        values = self.regions.value[self.selected]
        rows = []
        for value in np.unique(values).tolist():
            mine = self.selected[values == value]
            area = float(self.measures.areas_m2[mine].sum())
            rows.append(
                {
                    "class_id": value,
                    "class_name": _name(self.names, value),
                    "polygons": len(mine),
                    "area_m2": None if math.isnan(area) else area,
                }
            )
        return rows

    def _columns(self, which: Ints) -> Mapping[str, NDArray[Any]]:
        values = self.regions.value[which]
        confidence = np.full(len(which), np.nan)
        if self.confidence is not None:
            known = self.regions.known[which]
            has = known > 0
            mean = self.regions.steps[which][has] / known[has]
            confidence[has] = mean * self.confidence.step + self.confidence.offset
        return {
            # Its first pixel, so that it stays the same whatever becomes of other polygons.
            "segment_id": self.regions.first[which] + 1,
            "class_id": values,
            "class_name": np.array([_name(self.names, v) for v in values.tolist()], object),
            "area_m2": self.measures.areas_m2[which],
            "perimeter_m": self.measures.perimeters_m[which],
            "confidence": confidence,
        }


def build(
    strips: Iterable[Strip],
    box: GeoBox,
    names: Mapping[int, str],
    confidence: Confidence | None = None,
    options: PolygonOptions | None = None,
    on_stage: OnStage | None = None,
    scratch: Path | None = None,
) -> Segments:
    """Make polygons of what was traced.

    Args:
        strips: The whole raster from top to bottom, cut anywhere, and at every `SPLIT_ROWS` rows.
        box: Its grid.
        names: Names of classes; others go by their number.
        confidence: What the strips' steps mean, where they carry any.
        options: How.
        on_stage: Called with the name of each stage as it begins.
        scratch: A folder for what does not fit into memory.

    Raises:
        OptionError: A class is asked for that is not there.
        InputError: There are more than 255 classes.
    """
    options, on_stage = options or PolygonOptions(), on_stage or (lambda stage: None)
    on_stage("borders")
    stack = Stack.of(strips, scratch)
    on_stage("joining")
    network = stack.joined()
    del stack
    values = np.unique(network.regions.value)
    check_values(values)
    wanted, (fewest, limit) = _wanted(values, names, options), options.in_pixels(box)
    on_stage("specks")
    network = merge_specks(network, fewest, options.split, scratch)
    on_stage("lines")
    lines = exact(network.arcs) if limit == 0 else smooth(network, limit, scratch)
    rings = assemble(network, lines)
    shapes = Shapes(lines, rings, box.transform)
    if limit > HALF_PIXEL:
        on_stage("simplifying")
        simplified = Simplified(lines, rings, box.transform, limit)
        shapes, measures = simplified, simplified.measure(box)
    else:
        measures = measure(lines, rings, box, len(network.regions))
    selected = np.flatnonzero(np.isin(network.regions.value, wanted))
    return Segments(box, shapes, network.regions, names, measures, selected, confidence)


def check_values(values: NDArray[np.int64], what: str = "the raster") -> None:
    """Refuse what is no map of classes, before it becomes a polygon for each pixel.

    Args:
        values: All class values, each once.
        what: What holds them.

    Raises:
        InputError: There are more than 255 different values.
    """
    if len(values) > _MOST_CLASSES:
        raise InputError(
            f"{what} holds more than {_MOST_CLASSES} different values ({values[0]}, "
            f"{values[1]}, {values[2]}, ...), and a class map has at most {_MOST_CLASSES} classes; "
            "give a map of classes, or group the values first"
        )


def _name(names: Mapping[int, str], value: int) -> str:
    return names.get(value) or str(value)


def _wanted(values: NDArray[np.int64], names: Mapping[int, str], options: PolygonOptions) -> Ints:
    """The class numbers that are to be written."""
    known: list[int] = sorted({*values.tolist(), *names})
    by_name = {_name(names, value): value for value in reversed(known)}

    def number(given: str | int, option: str) -> int:
        if isinstance(given, str) and given in by_name:
            return by_name[given]
        text = " ".join(str(given).split())
        if text.removeprefix("-").isdecimal() and int(text) in known:
            return int(text)
        there = ", ".join(_name(names, value) for value in known)
        raise OptionError(f"--{option} {text}: there is no such class; there are {there}")

    if options.classes is not None and not options.classes:
        raise OptionError("--classes is empty; name at least one class, or leave it out")
    chosen = known if options.classes is None else [number(c, "classes") for c in options.classes]
    left_out = {number(c, "omit") for c in options.omit}
    wanted = [value for value in chosen if value not in left_out]
    if known and not wanted:
        raise OptionError("--classes and --omit leave no class over; there would be no polygon")
    return np.array(wanted, np.int64)
