"""The stands of a scene: pieces of ground that are sown alike, each with its own rows.

A field is a stand, and so is each of its headlands: the strips at the ends of the rows, where
machines turn, are sown along the field's edge. All follows from the recipe alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.crops import CROPS, Form, field_forms
from agriseg.simulate.noise import Floats, Ints, cos_sin, hash_u32, uniform
from agriseg.simulate.parcels import (
    MEETS,
    Corners,
    Edge,
    Parcel,
    Track,
    inside,
    parcels,
    part_of,
    touches,
)
from agriseg.simulate.recipe import SAME_CROP, FieldRecipe
from agriseg.simulate.rows import Passes, Rect, Rows, passes
from agriseg.simulate.spectra import CROP, NEIGHBOUR_CROP

__all__ = ["Layout", "Stand", "forms_of", "layout_of"]

# Headlands are driven on by every machine: plants stay smaller there, and more are missing. Edges
# are steered along with care.
_HEADLAND_SIZE, _HEADLAND_GAPS, _HEADLAND_SWAY_M = 0.88, 1.5, 0.08


@dataclass(frozen=True)
class Stand:
    """A piece of ground that is sown alike.

    Args:
        number: Its place in `Layout.stands`.
        field: The field that it belongs to, from 1.
        part: "field", or "headland".
        edges: It lies inside all of them; none for a stand without end.
        rows: Their frame.
        first_row: What the row from v = 0 on is called, so that no two of a part of a field share
            their numbers.
        seed: From which its plants follow.
        crop: A key of `crops.CROPS`.
        material: Of its leaves: `spectra.CROP` or `NEIGHBOUR_CROP`.
        plant_spacing_m: Metres between two places for a plant in a row.
        plant_radius_m: Half the width of a middling plant, metres.
        gap_share: Share of the places that stay empty.
        weediness: Weeds over those of the recipe.
        lead: The rows of the field, in whose wheel tracks machines come onto this headland.
    """

    number: int
    field: int
    part: str
    edges: tuple[Edge, ...]
    rows: Rows
    first_row: int
    seed: int
    crop: str
    material: int
    plant_spacing_m: float
    plant_radius_m: float
    gap_share: float
    weediness: float = 1.0
    lead: Rows | None = None

    def within(self, rect: Rect) -> Rect:
        """The least rectangle that holds the part of the stand in `rect`; empty where none is."""
        corners = part_of(rect.corners, self.edges) or [(rect.left, rect.top)]
        xs, ys = zip(*corners, strict=True)
        return Rect(min(xs), min(ys), max(xs), max(ys))

    def wheel_distance(self, x: Floats, y: Floats, v: Floats) -> Floats:
        """Metres from the middle of the nearest wheel track.

        Args:
            x: Field coordinates of points.
            y: The same.
            v: Their distance across the rows.
        """
        aside = self.rows.wheel_distance(v)
        if self.lead is None or self.lead.wheels is None or self.rows.wheels is None:
            return aside
        # Tracks of the field end in the first that runs along its edge.
        _, across = self.lead.to_uv(x, y)
        turn = self.rows.wheels.first * self.rows.spacing_m
        coming = np.where(v > turn, self.lead.wheel_distance(across), np.inf)
        return np.minimum(aside, coming)


@dataclass(frozen=True)
class Layout:
    """The stands of a scene, its fields, and the margins around them.

    Args:
        stands: They do not overlap; ground in none of them is margin.
        fields: The ground of each field, headlands included.
        tracks: That run along margins.
    """

    stands: tuple[Stand, ...]
    fields: tuple[Parcel, ...]
    tracks: tuple[Track, ...]

    @property
    def margin(self) -> int:
        """What stands for a stand's number in a margin."""
        return len(self.stands)

    @property
    def endless(self) -> bool:
        """Whether a single stand is everywhere."""
        return not self.stands[0].edges

    def at(self, x: Floats, y: Floats) -> Ints:
        """The number of the stand at each point, `margin` where there is none."""
        shape = np.broadcast_shapes(x.shape, y.shape)
        if self.endless:
            return np.zeros(shape, dtype=np.int64)
        found = np.full(shape, self.margin, dtype=np.int64)
        if found.size == 0:
            return found
        rect = Rect(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
        for stand in self.stands:
            some, whole = touches(stand.edges, rect)
            if some:
                # A point right on an edge belongs to the first.
                new = found == self.margin
                found[new if whole else new & inside(stand.edges, x, y)] = stand.number
            if whole:
                break
        return found

    def parts(self, x: Floats, y: Floats) -> Iterator[tuple[Stand | None, NDArray[np.bool_]]]:
        """Each stand that holds any of the points, and which; None is the margin."""
        found = self.at(x, y)
        for number in np.flatnonzero(np.bincount(found.ravel())):
            stand = None if number == self.margin else self.stands[number]
            yield stand, found == number

    def near(self, rect: Rect) -> list[Stand]:
        """The stands that `rect` can touch."""
        return [stand for stand in self.stands if touches(stand.edges, rect)[0]]

    def rut_distance(self, x: Floats, y: Floats) -> Floats:
        """Metres from the middle of the nearest rut of a track."""
        aside = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf)
        for track in self.tracks:
            aside = np.minimum(aside, track.rut_distance(x, y))
        return aside

    def wheel_distance(self, x: Floats, y: Floats) -> Floats:
        """Metres from the middle of the nearest wheel track, or in margins of the nearest rut.

        Args:
            x: Field coordinates of points, (points,).
            y: The same.
        """
        aside = np.empty(len(x))
        for stand, here in self.parts(x, y):
            if stand is None:
                aside[here] = self.rut_distance(x[here], y[here])
            else:
                _, v = stand.rows.to_uv(x[here], y[here])
                aside[here] = stand.wheel_distance(x[here], y[here], v)
        return aside

    def column(self, name: str, margin: object) -> NDArray[np.object_]:
        """What each stand says to `name`, by its number, and what goes for the margin."""
        return np.array([*(getattr(s, name) for s in self.stands), margin], dtype=object)


def forms_of(recipe: FieldRecipe) -> list[Form]:
    """The forms of all plants of a scene: its crop, the weeds, and the neighbours' crop."""
    forms = field_forms(recipe.crop, recipe.stage, recipe.weed_kinds)
    if recipe.neighbour_crop != SAME_CROP:
        forms.append(CROPS[recipe.neighbour_crop].form(recipe.stage))
    return forms


@lru_cache(maxsize=16)
def layout_of(recipe: FieldRecipe) -> Layout:
    """The stands of a recipe's scene."""
    grounds, tracks = parcels(recipe)
    stands: list[Stand] = []
    for number, ground in enumerate(grounds, start=1):
        whole = _sown(recipe, number, ground)
        edges, headlands = ground.edges, []
        for edge in _row_ends(recipe, ground, whole) if recipe.headland_m else []:
            strip, edges = _parted(edges, edge, _headland_m(recipe, whole))
            headlands.append((edge, strip))
        stands.append(replace(whole, number=len(stands), edges=edges))
        first_row = 0
        for edge, strip in headlands:
            stands.append(_headland(recipe, whole, edge, strip, len(stands), first_row))
            first_row += round(_headland_m(recipe, whole) / whole.rows.spacing_m)
    return Layout(tuple(stands), tuple(grounds), tuple(tracks))


def _sown(recipe: FieldRecipe, number: int, ground: Parcel) -> Stand:
    """A field as if it had no headlands; the first is the one that the recipe describes."""
    if number == 1:
        # Arcs are counted from the picture's middle.
        middle = (0.5 * recipe.size_m[0], 0.5 * recipe.size_m[1])
        rows = Rows(
            recipe.seed,
            _axis(recipe.row_direction_deg / 360.0),
            recipe.row_spacing_m,
            passes(recipe.pass_m, recipe.row_spacing_m),
            middle if recipe.curve_radius_m else (0.0, 0.0),
            recipe.curve_radius_m,
        )
        return Stand(
            0, 1, "field", ground.edges, rows, 0, recipe.seed, recipe.crop, CROP,
            recipe.plant_spacing_m, recipe.plant_radius_m, recipe.gap_share,
        )  # fmt: skip
    seed = int(hash_u32(recipe.seed, "stand.field", number)[0])
    size, gaps, weedy, turn = (float(uniform(seed, "stand.kind", k)[0]) for k in range(4))
    crop, material = recipe.crop, CROP
    sown = (recipe.row_spacing_m, recipe.plant_spacing_m, recipe.plant_radius_m)
    if recipe.neighbour_crop != SAME_CROP and number % 2 == 0:
        crop, material = recipe.neighbour_crop, NEIGHBOUR_CROP
        other = CROPS[crop]
        sown = (other.row_spacing_m, other.plant_spacing_m, other.radius(recipe.stage))
    return Stand(
        number=0,
        field=number,
        part="field",
        edges=ground.edges,
        rows=_neighbour_rows(recipe, seed, ground, sown[0], turn < 0.3),
        first_row=0,
        seed=seed,
        crop=crop,
        material=material,
        plant_spacing_m=sown[1],
        plant_radius_m=sown[2] * (0.78 + 0.34 * size),
        gap_share=min(recipe.gap_share * (0.5 + 1.5 * gaps), 0.9),
        weediness=0.3 + 1.6 * weedy,
    )


def _axis(turn: float) -> tuple[float, float]:
    """The unit vector in a direction, in turns."""
    c, s = cos_sin(turn)
    return float(c), float(s)


def _neighbour_rows(
    recipe: FieldRecipe, seed: int, ground: Parcel, spacing_m: float, across: bool
) -> Rows:
    """Rows along the longest edge that a field shares with another, or square to it."""
    longest, turn, origin = -1.0, 0.0, (0.0, 0.0)
    for edge in ground.edges[len(ground.edges) - ground.inner :]:
        (x0, y0), (x1, y1) = _side(recipe, ground, edge)
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        if length > longest:
            longest, origin = length, (0.5 * (x0 + x1), 0.5 * (y0 + y1))
            # Rounded, as all that comes out of the mathematical library (see `noise`).
            turn = round(float(np.arctan2(edge[0], -edge[1])) / (2.0 * np.pi), 6)
    c, s = _axis(turn + 0.25 * across)
    # A drill starts anywhere.
    start = spacing_m * float(uniform(seed, "stand.start", 0)[0])
    origin = (origin[0] - start * s, origin[1] + start * c)
    wheels = passes(recipe.pass_m, spacing_m)
    return Rows(seed, (c, s), spacing_m, wheels, origin, recipe.curve_radius_m)


def _side(recipe: FieldRecipe, ground: Parcel, edge: Edge) -> Corners:
    """The two ends of a field's edge, where it can be seen if it can."""
    picture = Rect(0.0, 0.0, *recipe.size_m)
    for area in (picture, picture.grown(sum(recipe.size_m) + 100.0)):
        on = [
            (x, y)
            for x, y in part_of(area.corners, ground.edges)
            if abs(edge[0] * x + edge[1] * y - edge[2]) < 1e-6
        ]
        if len(on) >= 2:
            return [min(on), max(on)]
    return [(0.0, 0.0), (0.0, 0.0)]


def _row_ends(recipe: FieldRecipe, ground: Parcel, field: Stand) -> Iterator[Edge]:
    """The edges of a field that its rows meet."""
    for edge in ground.edges:
        (x0, y0), (x1, y1) = _side(recipe, ground, edge)
        c, s = field.rows.axis_at(0.5 * (x0 + x1), 0.5 * (y0 + y1))
        if abs(c * edge[0] + s * edge[1]) > MEETS:
            yield edge


def _parted(
    edges: tuple[Edge, ...], edge: Edge, width_m: float
) -> tuple[tuple[Edge, ...], tuple[Edge, ...]]:
    """The strip along `edge`, and what is left."""
    a, b, c = edge
    return (*edges, (-a, -b, width_m - c)), (*edges, (a, b, c - width_m))


def _headland_m(recipe: FieldRecipe, field: Stand) -> float:
    """Width of a field's headlands: whole rows."""
    spacing = field.rows.spacing_m
    return max(round(recipe.headland_m / spacing), 1) * spacing


def _headland(
    recipe: FieldRecipe,
    field: Stand,
    edge: Edge,
    strip: tuple[Edge, ...],
    number: int,
    first_row: int,
) -> Stand:
    """The headland along `edge`: v is the distance from it, inwards."""
    a, b, c = edge
    seed = int(hash_u32(field.seed, "stand.headland", number)[0])
    spacing, wheels = field.rows.spacing_m, field.rows.wheels
    if wheels is not None:
        # A single pair of tracks, in the middle of what one pass covers.
        across = min(round(_headland_m(recipe, field) / spacing), wheels.period)
        wheels = Passes(wheels.period, max((across - wheels.wheels) // 2, 0), wheels.wheels)
    return replace(
        field,
        number=number,
        part="headland",
        edges=strip,
        rows=Rows(seed, (-b, a), spacing, wheels, (a * c, b * c), 0.0, _HEADLAND_SWAY_M),
        first_row=first_row,
        seed=seed,
        plant_radius_m=field.plant_radius_m * _HEADLAND_SIZE,
        gap_share=min(field.gap_share * _HEADLAND_GAPS, 0.9),
        lead=field.rows,
    )
