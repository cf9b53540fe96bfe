"""The table of fields: what was counted, in columns that people and programs read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agriseg.fields.numbers.statistics import FieldCounts
from agriseg.fields.numbers.weighted import Summary

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["FACT_COLUMNS", "INDEX_COLUMNS", "class_columns", "field_table", "index_stem", "slug"]

Floats = NDArray[np.float64]

FACT_COLUMNS = ("date", "crop", "growth_stage", "farm", "client")
"""Facts about the scene that stand in every row, where they are known."""

INDEX_COLUMNS: Mapping[str, str] = {
    "mean": "mean",
    "median": "median",
    "std": "std",
    "p10": "p10",
    "p90": "p90",
    "cv_percent": "cv_percent",
}
"""Columns of an index, after its name and `_`, with the `Summary` attribute behind each."""

_STRESS = ("stressed_percent", "stressed_ha")
_LAST = ("vigour_percent", "uniformity_percent", "index_pixels", *FACT_COLUMNS, "note")
_FIRST = ("field_id", "name")
_OWN = ("area_ha", "row_direction_deg", "row_spacing_m", "row_strength")


def slug(name: str) -> str:
    """A name as a part of a column's name: letters, digits and _ only."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def index_stem(name: str) -> str:
    """What the columns of an index begin with: `ndvi`, or `ndvi_1` of NDVI@1."""
    return slug(name)


def class_columns(names: Mapping[int, str]) -> dict[int, str]:
    """The column with the cover of each class, by its value."""
    slugs = {value: slug(name) or str(value) for value, name in sorted(names.items())}
    seen = list(slugs.values())
    return {
        value: f"cover_{word if seen.count(word) == 1 else f'{word}_{value}'}_percent"
        for value, word in slugs.items()
    }


def field_table(
    fields: gpd.GeoDataFrame,
    counts: FieldCounts,
    *,
    names: Mapping[int, str],
    indices: Sequence[str] = (),
    about: Mapping[str, str] | None = None,
    pixels: str = "crop",
) -> gpd.GeoDataFrame:
    """Put the numbers of the fields beside their outlines.

    Columns: field_id, name, those of the user, area_ha, valid_percent (share of the field that has
    a class), cover_CLASS_percent (of that share), shadow_percent, confidence (0..1); for each index
    INDEX_mean, _median, _std, _p10, _p90, _cv_percent, and _valid_percent (the share of the pixels
    looked at that have a value); of the first index vigour_percent (its median in percent of that
    of the fields together, by area) and uniformity_percent (the mean of the lowest quarter in
    percent of the mean), and index_pixels (those looked at: crop, plants or all); facts about the
    scene; note (words on what is missing).

    Args:
        fields: With field_id, name, area_ha, and columns of the user.
        counts: What was counted in them, in the same order.
        names: Of the classes.
        indices: Names of those that were counted.
        about: Facts about the scene; where the user's own column has the name, that one stays.
        pixels: Where the indices were looked at.
    """
    columns: dict[str, Any] = {"valid_percent": _percent(counts.valid, counts.area)}
    for value, column in class_columns(names).items():
        columns[column] = _percent(counts.cover[:, value], counts.valid)
    columns["shadow_percent"] = counts.shadow_percent
    columns["confidence"] = counts.confidence
    for name, summaries in zip(indices, counts.indices, strict=True):
        columns |= _index_columns(index_stem(name), summaries, counts.chosen)
    if indices:
        first = counts.indices[0]
        medians = np.array([one.median for one in first], np.float64)
        areas = fields["area_ha"].to_numpy(np.float64)
        columns["vigour_percent"] = _vigour(medians, areas)
        columns["uniformity_percent"] = np.array([one.uniformity_percent for one in first])
        columns["index_pixels"] = [pixels] * len(fields)
    columns["note"] = _notes(counts, indices, pixels)
    facts = {key: str(value) for key, value in (about or {}).items() if key in FACT_COLUMNS}
    geometry = fields.geometry.name
    # The numbers of an earlier look at the same fields make room.
    ours = {*columns, *_FIRST, *_OWN, geometry}
    ours |= _of_earlier([str(name) for name in fields.columns])
    users = [name for name in fields.columns if name not in ours]
    own = [name for name in _OWN if name in fields.columns]
    table = fields[[*_FIRST, *users, *own, geometry]].copy()
    for name, values in columns.items():
        table[name] = values
    for name, fact in facts.items():
        if name not in users:
            table[name] = fact
    tail = [name for name in (*_LAST, geometry) if name in table.columns and name not in users]
    return table[[name for name in table.columns if name not in tail] + tail]


def _of_earlier(names: Sequence[str]) -> set[str]:
    """Columns of a table of ours that serves as outlines: those of all indices and classes."""
    if not {"valid_percent", "shadow_percent", "note"} <= {*names}:
        return set()
    ends = [f"_{end}" for end in (*INDEX_COLUMNS, "valid_percent")]
    stems = [name.removesuffix("_cv_percent") for name in names if name.endswith("_cv_percent")]
    found = {stem + end for stem in stems if {stem + e for e in ends} <= {*names} for end in ends}
    found |= {name for name in names if name.startswith("cover_") and name.endswith("_percent")}
    given = {f"{name}_given" for name in _OWN}
    return found | given | {"vigour_percent", "uniformity_percent", "index_pixels", *_STRESS}


def _percent(part: Floats, whole: Floats) -> Floats:
    found = np.full(len(part), math.nan)
    np.divide(100 * part, whole, out=found, where=whole > 0)
    # Weights are rounded to a millionth of a pixel.
    most: Floats = np.minimum(found, 100)
    return most


def _index_columns(stem: str, summaries: Sequence[Summary], chosen: Floats) -> dict[str, Floats]:
    found = {
        f"{stem}_{column}": np.array([getattr(one, key) for one in summaries], np.float64)
        for column, key in INDEX_COLUMNS.items()
    }
    weights = np.array([one.weight for one in summaries], np.float64)
    return {**found, f"{stem}_valid_percent": _percent(weights, chosen)}


def _vigour(medians: Floats, areas: Floats) -> Floats:
    """Each median in percent of the median of the medians, weighted by area.

    NaN where that is not positive, since a ratio says nothing then.
    """
    there = np.isfinite(medians) & np.isfinite(areas) & (areas > 0)
    if not there.any():
        return np.full(len(medians), math.nan)
    usual = float(np.quantile(medians[there], 0.5, weights=areas[there], method="inverted_cdf"))
    return 100 * medians / usual if usual > 0 else np.full(len(medians), math.nan)


def _notes(counts: FieldCounts, indices: Sequence[str], pixels: str) -> list[str]:
    kind = {"crop": "crop", "plants": "plants", "all": "a class"}[pixels]
    found = []
    for at in range(len(counts.area)):
        words = []
        if not counts.inside[at]:
            words.append("lies outside of the map")
        elif not counts.valid[at]:
            words.append("the map has no class here")
        else:
            if counts.inside[at] < 0.999 * counts.area[at]:
                share = 100 * (1 - counts.inside[at] / counts.area[at])
                words.append(f"{share:.2g} % of it lies outside of the map")
            if not counts.chosen[at] and indices:
                words.append(f"no pixel with {kind}, so no index")
            empty = [
                name
                for name, each in zip(indices, counts.indices, strict=True)
                if not each[at].weight and counts.chosen[at]
            ]
            if empty:
                words.append(f"{', '.join(empty)} has no value here")
        found.append("; ".join(words))
    return found
