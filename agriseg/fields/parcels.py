"""The user's own parcels: read from any vector format, and brought onto the map."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from agriseg.errors import InputError, OptionError, said_by
from agriseg.fields.frame import frame_at
from agriseg.fields.parcel_file import crs_of, read_frame
from agriseg.fields.rows.patches import in_pixels
from agriseg.fields.table import COLUMNS, ids_of, named_apart, texts_of
from agriseg.geobox import GeoBox
from agriseg.vector.measure import placed

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["ParcelOptions", "Parcels", "read_parcels"]

# Neighbours drawn by hand overlap a little: no more is said of less than this of the smaller one.
_OVERLAP = 0.01
_NAMED = 5


@dataclass(frozen=True)
class ParcelOptions:
    """How parcels are read.

    Args:
        layer: Layer of the file; None for the only one.
        id_col: Column that becomes `field_id`; its values must differ. None: a column of this name
            if its values do, else the parcels are numbered in their order.
        name_col: Column that becomes `name`; None: a column of this name, if there is one.
        inset_m: Metres on the ground that are cut off all around, as the edges of trial plots are.

    Raises:
        OptionError: The inset is no such number.
    """

    layer: str | None = None
    id_col: str | None = None
    name_col: str | None = None
    inset_m: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.inset_m) and self.inset_m >= 0):
            raise OptionError(f"--inset-m {self.inset_m}: metres are needed, 0 or more")


@dataclass(frozen=True, eq=False)
class Parcels:
    """Parcels that meet a map.

    Args:
        frame: `field_id`, `name`, the user's own columns and the geometry (MultiPolygons) in the
            map's CRS, in the order of the file.
        notes: What a person should know of them.
    """

    frame: gpd.GeoDataFrame
    notes: tuple[str, ...] = ()


@dataclass
class _Sifter:
    """Parcels on their way, and what was said of those that were lost."""

    path: str
    frame: Any
    notes: list[str] = field(default_factory=list)
    lost: int = 0

    @property
    def shapes(self) -> NDArray[np.object_]:
        return np.asarray(self.frame.geometry.array, object)

    def keep(self, which: NDArray[np.bool_], why: str) -> None:
        """Drop the others, and say why."""
        lost = int((~which).sum())
        if lost:
            some = _listed([f"feature {name}" for name in self.frame.index[~which]])
            self.notes.append(f"{lost} of {self.path} {why} ({some}); left out")
            self.frame = self.frame[which]
            self.lost += lost

    def put(self, shapes: NDArray[np.object_]) -> None:
        self.frame = self.frame.set_geometry(list(shapes), crs=self.frame.crs)


def read_parcels(
    source: str | os.PathLike[str] | gpd.GeoDataFrame,
    box: GeoBox,
    name: str,
    options: ParcelOptions | None = None,
) -> Parcels:
    """Read the parcels that meet a map, in the map's CRS.

    Invalid outlines are repaired, heights and what is no area left out, parts kept together.
    Parcels may overlap, each counts for itself. All of that is told in the notes.

    Args:
        source: A vector file with polygons in any CRS, or a GeoDataFrame.
        box: Grid of the map.
        name: The map's, for messages.
        options: How.

    Raises:
        InputError: They cannot be read, have no CRS, have the same id twice, or lie elsewhere.
        OptionError: A column or a layer is not there.
    """
    options = options or ParcelOptions()
    crs_of(box, name)
    path, frame, features = read_frame(source, box, name, options.layer)
    for option, column in (("id-col", options.id_col), ("name-col", options.name_col)):
        if column is not None and column not in frame.columns:
            has = [str(one) for one in frame.columns if one != frame.geometry.name]
            raise OptionError(
                f"--{option} {column}: {path} has no such column; it has {', '.join(has) or 'none'}"
            )
    sifter = _Sifter(path, frame)
    _moved(sifter, box, name)
    _areas(sifter)
    footprint = shapely.Polygon(box.corners)
    _meeting(sifter, footprint, features, name)
    if options.inset_m:
        _inset(sifter, box, options.inset_m)
    if not len(sifter.frame):
        raise InputError(
            f"nothing of the parcels of {path} is left: "
            + ("; ".join(sifter.notes) or "the file is empty")
        )
    table = _table(sifter, options)
    _tell_overlaps(sifter, list(table["field_id"]))
    beyond = ~shapely.covers(footprint, sifter.shapes)
    if beyond.any():
        some = _listed([table["field_id"].iloc[k] for k in np.flatnonzero(beyond)])
        sifter.notes.append(
            f"{int(beyond.sum())} of {path} reach beyond the map ({some}): only what lies on it "
            "can be measured"
        )
    return Parcels(table, tuple(sifter.notes))


def _moved(sifter: _Sifter, box: GeoBox, name: str) -> None:
    """Bring all shapes into the map's CRS, without heights."""
    from pyproj.exceptions import ProjError

    target = crs_of(box, name)
    sifter.put(shapely.force_2d(sifter.shapes))
    here = sifter.frame.crs
    if here.equals(target):
        return
    said = "some of their points lie outside of what it can show"
    try:
        moved = sifter.frame.to_crs(target)
        fine = np.isfinite(shapely.get_coordinates(np.asarray(moved.geometry.array))).all()
    except ProjError as error:
        fine, said = False, said_by(error)
    if not fine:
        raise InputError(
            f"the parcels of {sifter.path} cannot be brought into the CRS of {name}: {said}; check "
            "the CRS of both"
        )
    sifter.frame = moved
    sifter.notes.append(
        f"{sifter.path} is in {_crs_words(here)}: its parcels were brought into that of the map, "
        f"{_crs_words(target)}"
    )


def _areas(sifter: _Sifter) -> None:
    """Keep what covers ground, repaired, as MultiPolygons."""
    shapes = sifter.shapes
    sifter.keep(~(shapely.is_missing(shapes) | shapely.is_empty(shapes)), "have no shape")
    shapes = sifter.shapes.copy()
    bad = ~shapely.is_valid(shapes)
    if bad.any():
        shapes[bad] = shapely.make_valid(shapes[bad])
        sifter.notes.append(f"{int(bad.sum())} of {sifter.path} crossed themselves; repaired")
    shapes = np.array([*(_flat(shape) for shape in shapes), None], object)[:-1]
    sifter.put(shapes)
    sifter.keep(~shapely.is_empty(shapes), "are no areas but points or lines")


def _flat(shape: shapely.Geometry) -> shapely.MultiPolygon:
    """The polygons in a shape, which may be a collection of collections."""
    parts = [shape]
    while any(part.geom_type == "GeometryCollection" for part in parts):
        parts = [inner for part in parts for inner in shapely.get_parts(part)]
    parts = [inner for part in parts for inner in shapely.get_parts(part)]
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])


def _meeting(sifter: _Sifter, footprint: shapely.Polygon, features: int, name: str) -> None:
    """Keep the parcels that share ground with the map."""
    shapes = sifter.shapes
    before = len(shapes)
    shapely.prepare(footprint)
    meets = shapely.intersects(footprint, shapes) & ~shapely.touches(footprint, shapes)
    if before and not meets.any():
        spans = [
            ", ".join(f"{value:.8g}" for value in bounds)
            for bounds in (shapely.total_bounds(shapes), footprint.bounds)
        ]
        raise InputError(
            f"no parcel of {sifter.path} lies on {name}: in the map's CRS the parcels span "
            f"{spans[0]} (left, bottom, right, top), the map {spans[1]}; give parcels of the same "
            "place, or check the CRS of both"
        )
    outside = features - sifter.lost - int(meets.sum())
    sifter.frame = sifter.frame[meets]
    if outside:
        sifter.notes.append(
            f"{outside} of {features} parcels of {sifter.path} lie outside of the map; left out"
        )


def _inset(sifter: _Sifter, box: GeoBox, inset_m: float) -> None:
    """Cut metres off all around, measured on the ground where each parcel lies."""
    found = []
    for shape in sifter.shapes:
        place = in_pixels(shape, box)
        frame = frame_at(box, *place.centroid.coords[0])
        ground = shapely.transform(place, frame.to_metres)
        ground = shapely.buffer(ground, -inset_m, join_style="mitre")

        def back(metres: NDArray[np.float64], to: Any = frame.to_pixels) -> NDArray[np.float64]:
            return placed(to(metres), box.transform)

        found.append(_flat(shapely.transform(ground, back)))
    shapes = np.array([*found, None], object)[:-1]
    sifter.put(shapes)
    sifter.keep(~shapely.is_empty(shapes), f"are gone within the inset of {inset_m:g} m")


def _table(sifter: _Sifter, options: ParcelOptions) -> gpd.GeoDataFrame:
    """The columns as results have them."""
    import geopandas as gpd

    frame = sifter.frame
    own = frame.drop(columns=frame.geometry.name)
    ids, used = ids_of(own, options.id_col, sifter.path)
    if used is not None and options.id_col is None:
        sifter.notes.append(f"parcels go by their column {used}")
    name_col = options.name_col
    if name_col is None:
        name_col = next((c for c in own.columns if str(c).casefold() == "name"), None)
    names = [None] * len(own) if name_col is None else texts_of(own[name_col])
    # What became a column of ours under its own name need not stand there twice.
    same = [
        column
        for column, ours in ((used, "field_id"), (name_col, "name"))
        if column is not None and str(column).casefold() == ours
    ]
    own, renamed = named_apart(own.drop(columns=same), COLUMNS)
    if renamed:
        sifter.notes.append(
            "columns with names that results have themselves were renamed: "
            + ", ".join(f"{old} to {new}" for old, new in renamed.items())
        )
    own.insert(0, "field_id", ids)
    own.insert(1, "name", np.array([*names, None], object)[:-1])
    found = gpd.GeoDataFrame(own, geometry=list(sifter.shapes), crs=frame.crs)
    return found.reset_index(drop=True)


def _tell_overlaps(sifter: _Sifter, ids: Sequence[str]) -> None:
    shapes = sifter.shapes
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = one < other
    one, other = one[pairs], other[pairs]
    shared = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    smaller = np.minimum(shapely.area(shapes[one]), shapely.area(shapes[other]))
    found = [(ids[one[k]], ids[other[k]]) for k in np.flatnonzero(shared > _OVERLAP * smaller)]
    if found:
        some = _listed([f"{a} and {b}" for a, b in found])
        pairs_words = "1 pair" if len(found) == 1 else f"{len(found):,} pairs"
        sifter.notes.append(
            f"parcels of {sifter.path} overlap, {pairs_words} of them ({some}); each counts for "
            "itself"
        )


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(map(str, words[:_NAMED])) + more


def _crs_words(crs: Any) -> str:
    authority = crs.to_authority(min_confidence=70)
    return ":".join(authority) if authority else str(crs.name)[:40]
