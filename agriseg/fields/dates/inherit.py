"""Ids that last: fields found anew on a later date take over the ids that they had before.

Two outlines are of the same ground where they share at least half of the smaller one. Of those
pairs the one with the largest intersection over union is matched first, then the next among what is
left (ties: by the ids, as written). Every pair above one half would be matched by any rule, since
an outline can have one such partner only. What is left over is told apart:

- a field was split: its largest part keeps the id "3", the others get "3.1", "3.2", by size;
- fields became one: it keeps the id of the one with the largest overlap, the others' ids rest;
- a field is new: it gets the next number, which no field ever had.

An id that rests comes back when its ground is a field of its own again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.errors import InputError

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["Change", "Inherited", "inherit_ids", "natural"]

# Share of the smaller of two outlines that must lie in the other.
_SAME_GROUND = 0.5

_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)\Z", re.DOTALL)
_DIGITS = re.compile(r"(\d+)")

Kind = Literal["split", "merged", "new", "gone"]


@dataclass(frozen=True)
class Change:
    """What became of some fields.

    Args:
        kind: "split", "merged", "new", or "gone" (no field of the later date lies there).
        before: Ids of the earlier fields.
        after: Ids of the later ones.
    """

    kind: Kind
    before: tuple[str, ...]
    after: tuple[str, ...]

    def words(self) -> str:
        """In words."""
        before, after = ", ".join(self.before), ", ".join(self.after)
        match self.kind:
            case "split":
                return f"field {before} was split into {after}"
            case "merged":
                return f"fields {before} became one, {after}"
            case "new":
                return f"field {after} is new"
            case "gone":
                return f"field {before} is not there"


@dataclass(frozen=True)
class Inherited:
    """The ids of a later date's fields.

    Args:
        ids: One a field, in the order of the later fields.
        overlap: Intersection over union (n,) with the field whose id was taken over; 0 for a new
            id.
        changes: What is more than taking over an id, in the order of the ids.
    """

    ids: tuple[str, ...]
    overlap: NDArray[np.float64]
    changes: tuple[Change, ...]


def inherit_ids(
    earlier: gpd.GeoDataFrame, later: gpd.GeoDataFrame, *, used: Collection[str] = ()
) -> Inherited:
    """Give the fields of a later date the ids of the earlier ones whose ground they share.

    Args:
        earlier: Fields with `field_id`, in any CRS.
        later: Fields, in any CRS; ids that they have already do not count.
        used: Ids that a new field must not get, beside those of `earlier`: those of all dates.

    Raises:
        InputError: One of them has no CRS and the other has, `earlier` has no `field_id`, or has
            one twice.
    """
    old_ids = _ids_of(earlier)
    old, new = _polygons(earlier), _polygons(_in_crs_of(later, earlier))
    pairs = _overlaps(old, new)
    keeper = _matched(pairs, old_ids)
    keepers = {o for o, _ in keeper.values()}
    parts: dict[int, list[int]] = defaultdict(list)
    merged: dict[int, list[int]] = defaultdict(list)
    for o, n, _, share_of_smaller in pairs:
        if share_of_smaller < _SAME_GROUND or keeper.get(n, (None, 0.0))[0] == o:
            continue
        if n not in keeper:
            parts[o].append(n)
        elif o not in keepers:
            merged[n].append(o)
    fresh = _Fresh({*old_ids, *map(str, used)})
    found: dict[int, str] = {n: old_ids[o] for n, (o, _) in keeper.items()}
    changes: list[Change] = []
    sizes = shapely.area(new)
    named = {o: n for n, (o, _) in keeper.items()}
    for o in sorted(parts, key=lambda at: natural(old_ids[at])):
        # A part of two old fields at once is named after the first.
        mine = [n for n in sorted(parts[o], key=lambda at: (-sizes[at], at)) if n not in found]
        for n in mine:
            found[n] = fresh.part_of(old_ids[o])
        if mine:
            kept = [found[named[o]]] if o in named else []
            changes.append(Change("split", (old_ids[o],), (*kept, *(found[n] for n in mine))))
    for n in sorted(merged, key=lambda at: natural(found[at])):
        before = sorted((found[n], *(old_ids[o] for o in merged[n])), key=natural)
        changes.append(Change("merged", tuple(before), (found[n],)))
    for n in range(len(new)):
        if n not in found:
            found[n] = fresh.next()
            changes.append(Change("new", (), (found[n],)))
    there = keepers | set(parts) | {o for mine in merged.values() for o in mine}
    rest = sorted((old_ids[o] for o in range(len(old)) if o not in there), key=natural)
    changes += [Change("gone", (name,), ()) for name in rest]
    overlap = np.array([keeper.get(n, (0, 0.0))[1] for n in range(len(new))])
    return Inherited(tuple(found[n] for n in range(len(new))), overlap, tuple(changes))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts names as people do: 2 before 10, and 3.2 before 3.10."""
    words = _DIGITS.split(str(text))
    return tuple((0, int(w), "") if w.isdecimal() else (1, 0, w) for w in words if w)


_Pair = tuple[int, int, float, float]
"""Earlier field, later field, intersection over union, share of the smaller one."""


def _overlaps(old: NDArray[np.object_], new: NDArray[np.object_]) -> list[_Pair]:
    """All pairs that share ground.

    Areas are those of the map: their ratios are those on the ground, for a field is small.
    """
    if not len(old) or not len(new):
        return []
    at_new, at_old = shapely.STRtree(old).query(new, predicate="intersects")
    shared = shapely.area(shapely.intersection(old[at_old], new[at_new]))
    size_old, size_new = shapely.area(old)[at_old], shapely.area(new)[at_new]
    keep = shared > 0
    union = size_old + size_new - shared
    rows = zip(at_old, at_new, shared / union.clip(1e-300), strict=True)
    least = shared / np.minimum(size_old, size_new).clip(1e-300)
    return [
        (int(o), int(n), float(iou), float(share))
        for (o, n, iou), share, real in zip(rows, least, keep, strict=True)
        if real
    ]


def _matched(pairs: Iterable[_Pair], old_ids: Sequence[str]) -> dict[int, tuple[int, float]]:
    """For later fields the earlier one whose id they take over, and the overlap: one to one."""
    possible = [pair for pair in pairs if pair[3] >= _SAME_GROUND]
    # Rounded, so that the last bit of an intersection decides nothing.
    possible.sort(key=lambda pair: (-round(pair[2], 9), natural(old_ids[pair[0]]), pair[1]))
    keeper: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for o, n, iou, _ in possible:
        if o not in taken and n not in keeper:
            keeper[n] = (o, iou)
            taken.add(o)
    return keeper


class _Fresh:
    """Hands out ids that nobody ever had, in the style of those that are there."""

    def __init__(self, used: set[str]) -> None:
        self._used = used
        counted = [match for name in used if (match := _NUMBERED.match(name.partition(".")[0]))]
        best = max(counted, key=lambda match: int(match["number"]), default=None)
        self._last = 0 if best is None else int(best["number"])
        befores = {match["before"] for match in counted}
        self._before = befores.pop() if len(befores) == 1 else ""
        # 007 goes on as 008.
        padded = any(match["number"].startswith("0") for match in counted)
        self._width = max((len(m["number"]) for m in counted), default=0) if padded else 0

    def next(self) -> str:
        while True:
            self._last += 1
            name = f"{self._before}{self._last:0{self._width}d}"
            if name not in self._used:
                self._used.add(name)
                return name

    def part_of(self, name: str) -> str:
        number = 1
        while f"{name}.{number}" in self._used:
            number += 1
        self._used.add(f"{name}.{number}")
        return f"{name}.{number}"


def _ids_of(frame: gpd.GeoDataFrame) -> list[str]:
    if "field_id" not in frame:
        raise InputError(
            f"the earlier fields have no column field_id, only {', '.join(map(str, frame))}; give "
            "fields.gpkg of a run, or rename the column with their ids"
        )
    ids = [str(value) for value in frame["field_id"]]
    twice = sorted({one for one in ids if ids.count(one) > 1}, key=natural)
    if twice:
        raise InputError(
            f"two of the earlier fields have the id {twice[0]}; give each its own in field_id"
        )
    return ids


def _polygons(frame: Any) -> NDArray[np.object_]:
    """The shapes of a frame, without what makes overlays fail; what is no polygon has no area."""
    shapes = np.asarray(frame.geometry.to_numpy(), dtype=object).copy()
    shapes[shapely.is_missing(shapes)] = shapely.Polygon()
    wrong = ~shapely.is_valid(shapes)
    shapes[wrong] = shapely.make_valid(shapes[wrong])
    found: NDArray[np.object_] = shapes
    return found


def _in_crs_of(later: gpd.GeoDataFrame, earlier: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    if (later.crs is None) != (earlier.crs is None):
        which = "later" if later.crs is None else "earlier"
        raise InputError(
            f"the {which} fields have no CRS and the others have, so they cannot be laid over each "
            "other; assign it with ogr2ogr -a_srs EPSG:..."
        )
    return later if later.crs == earlier.crs else later.to_crs(earlier.crs)
