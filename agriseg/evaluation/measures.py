"""Measures with their intervals, and what the draws were made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.evaluation.boundaries import boundary_scores
from agriseg.evaluation.intervals import (
    FEW,
    LEVEL,
    RESAMPLES,
    draws,
    merge_blocks,
    percentiles,
    summed,
)
from agriseg.evaluation.legends import Matched
from agriseg.evaluation.scores import Floats, mean_of, score
from agriseg.labels import LabelledScene

__all__ = ["Measure", "Unit", "Units", "differences", "measures", "plan_units", "units_of"]


@dataclass(frozen=True)
class Measure:
    """A score, of each class or of all together; NaN where there is none.

    Args:
        value: () or (classes,).
        low, high: The same, ends of the interval; NaN where it is not known.
    """

    value: Floats
    low: Floats
    high: Floats

    def plain(self, place: int | None = None) -> dict[str, float | None]:
        """For JSON: `value`, `low`, `high`, of one class or of all together."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        return {
            name: number(float(part if place is None else part[place]))
            for name, part in parts.items()
        }


def number(value: float | None) -> float | None:
    """A number for JSON: None for what is not known; six digits that count."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class Unit:
    """What intervals are drawn from.

    Args:
        kind: "scenes", "groups" or "blocks".
        count: How many of them have labels.
        side_px: Pixels of a side of a block, or None.
        side_m: The same in metres, where all scenes have one pixel size.
    """

    kind: str
    count: int
    side_px: int | None = None
    side_m: float | None = None

    @property
    def words(self) -> str:
        """Them in words: `142 scenes`, `96 blocks of 2.56 m`."""
        if self.kind != "blocks":
            noun = {"scenes": "scene", "groups": "group of scenes"}[self.kind]
            many = "groups of scenes" if self.kind == "groups" else "scenes"
            return f"1 {noun}" if self.count == 1 else f"{self.count} {many}"
        size = f"{self.side_px} pixels" if self.side_m is None else f"{self.side_m:.3g} m"
        return f"{self.count} block{'' if self.count == 1 else 's'} of {size} a side"

    @property
    def caveat(self) -> str:
        """What the interval does not tell; empty where there is nothing to say."""
        if self.count < 2:
            return "one unit only: no interval can be given"
        if self.kind == "blocks":
            few = "few blocks, a rough interval; " if self.count < 2 * FEW else ""
            return f"{few}it tells how sure the figures are for these scenes, not for other fields"
        return ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "of": self.kind,
            "count": self.count,
            "side_px": self.side_px,
            "side_m": number(self.side_m),
            "method": "percentile bootstrap",
            "resamples": RESAMPLES,
            "level": LEVEL,
            "caveat": self.caveat,
        }


@dataclass(frozen=True)
class Units:
    """Counts by unit.

    Args:
        unit: What they are.
        pixels: (units, codes, classes).
        borders: (units, classes, counts).
    """

    unit: Unit
    pixels: NDArray[np.int64]
    borders: NDArray[np.int64]


def plan_units(scenes: Sequence[LabelledScene]) -> bool:
    """Whether whole scenes, or groups of them, are enough units."""
    return len({one.group for one in scenes}) >= FEW


def units_of(
    scenes: Sequence[LabelledScene],
    places: NDArray[np.int64],
    tables: tuple[NDArray[np.int64], NDArray[np.int64]],
    side: int,
) -> Units:
    """Sum the counts of blocks by what stands for each other.

    Args:
        scenes: The scenes.
        places: (blocks, 3) scene, row and column of each block.
        tables: Pixels (blocks, codes, classes) and borders (blocks, classes, counts).
        side: Pixels of a side of the blocks; 0: they are whole scenes.
    """
    if side:
        owner, size = merge_blocks(places, side)
        gsds = {scenes[place].gsd_m for place in places[:, 0].tolist()}
        gsd = gsds.pop() if len(gsds) == 1 else None
        unit = Unit("blocks", size.blocks, size.side, None if gsd is None else gsd * size.side)
    else:
        groups = [scenes[place].group for place in places[:, 0].tolist()]
        names = list(dict.fromkeys(groups))
        owner = np.array([names.index(name) for name in groups], np.int64)
        alone = len({one.group for one in scenes}) == len(scenes)
        unit = Unit("scenes" if alone else "groups", len(names))
    pixels, borders = (summed(table, owner, unit.count) for table in tables)
    return Units(unit, pixels, borders)


def _all(pixels: Floats, borders: Floats, matched: Matched) -> dict[str, Floats]:
    """All scores of tables (..., codes, classes) and (..., classes, counts)."""
    found = score(pixels, matched.allowed, matched.decided)
    border_f1, border_iou = boundary_scores(borders)
    return {
        "iou": found.iou,
        "precision": found.precision,
        "recall": found.recall,
        "f1": found.f1,
        "boundary_f1": border_f1,
        "boundary_iou": border_iou,
        "mean_iou": found.mean_iou,
        "mean_f1": found.mean_f1,
        "mean_boundary_f1": mean_of(border_f1),
        "mean_boundary_iou": mean_of(border_iou),
        "accuracy": found.accuracy,
        "kappa": found.kappa,
    }


def _drawn(units: Units, matched: Matched) -> dict[str, Floats] | None:
    """All scores of all draws; None where there is one unit only."""
    if units.unit.count < 2:
        return None
    # Two draws with one seed are one draw.
    return _all(draws(units.pixels), draws(units.borders), matched)


def measures(units: Units, matched: Matched) -> dict[str, Measure]:
    """All scores with their intervals."""
    values = _all(
        units.pixels.sum(axis=0).astype(float), units.borders.sum(axis=0).astype(float), matched
    )
    drawn = _drawn(units, matched)
    return {
        name: _measure(value, None if drawn is None else drawn[name])
        for name, value in values.items()
    }


def differences(one: Units, other: Units, of_one: Matched, of_other: Matched) -> dict[str, Measure]:
    """Scores of the one minus those of the other, drawn together: both on the same units."""
    mine, theirs = (
        _all(u.pixels.sum(axis=0).astype(float), u.borders.sum(axis=0).astype(float), matched)
        for u, matched in ((one, of_one), (other, of_other))
    )
    first, second = _drawn(one, of_one), _drawn(other, of_other)
    both = None if first is None or second is None else (first, second)
    return {
        name: _measure(
            mine[name] - theirs[name], None if both is None else both[0][name] - both[1][name]
        )
        for name in mine
    }


def _measure(value: Floats, drawn: Floats | None) -> Measure:
    if drawn is None:
        nothing = np.full(np.shape(value), np.nan)
        return Measure(value, nothing, nothing)
    low, high = percentiles(drawn)
    # A class without a score has no interval either.
    lost = np.isnan(value)
    return Measure(value, np.where(lost, np.nan, low), np.where(lost, np.nan, high))


def plain_measures(
    found: Mapping[str, Measure], names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """For JSON: scores of all classes together, and by class."""
    together = {name: one.plain() for name, one in found.items() if np.ndim(one.value) == 0}
    by_class = {
        label: {name: one.plain(k) for name, one in found.items() if np.ndim(one.value)}
        for k, label in enumerate(names)
    }
    return together, by_class
