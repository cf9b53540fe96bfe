"""The year of each crop: leaf area, ripening, harvest and what comes after, by the day of the year.

The calendars are those of central Europe. Lengths of the stages follow Allen et al. 1998 (FAO
Irrigation and Drainage Paper 56, table 11), greatest leaf areas the ranges of crops in Scurlock,
Asner & Gower 2001 (Worldwide Historical Estimates of Leaf Area Index, ORNL/TM-2001/268).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Floats, normal, smoothstep, uniform
from agriseg.simulate.satellite.landuse import FALLOW, GRASS

__all__ = ["CALENDARS", "Calendar", "State", "Traits", "state_on", "traits_of"]


@dataclass(frozen=True)
class Calendar:
    """Days of the year, below 1 in the year before, and leaf areas, m2 on a m2 of ground.

    Args:
        sown: Sowing.
        emerged: First leaves.
        spring: When growth begins again, or begins for a crop sown in spring.
        full: Greatest leaf area.
        ripening: Leaves begin to die.
        ripe: No leaf is green any more.
        harvest: Harvest.
        leaf_area: The greatest leaf area.
        winter_area: Leaf area in winter.
        flowers: First and last day of flowers that show from above; equal days for none.
        stand: Share of the dead leaves and stalks that go on standing.
    """

    sown: int
    emerged: int
    spring: int
    full: int
    ripening: int
    ripe: int
    harvest: int
    leaf_area: float
    winter_area: float = 0.0
    flowers: tuple[int, int] = (0, 0)
    stand: float = 0.75


CALENDARS: Final = {
    4: Calendar(-80, -62, 72, 143, 166, 196, 206, 5.2, 0.6),
    5: Calendar(-95, -80, 68, 128, 150, 178, 187, 4.6, 0.9),
    6: Calendar(-125, -112, 62, 122, 158, 190, 199, 4.3, 1.1, (107, 139), 0.9),
    7: Calendar(113, 127, 127, 201, 246, 280, 268, 4.8),
    8: Calendar(87, 104, 104, 184, 270, 345, 291, 4.6),
    9: Calendar(116, 129, 129, 204, 238, 262, 270, 5.0, stand=0.5),
    10: Calendar(104, 132, 132, 178, 218, 248, 256, 4.4, stand=0.3),
}
"""The calendar of each crop, by its class."""


@dataclass(frozen=True)
class Traits:
    """What parcels keep all year; arrays (parcels,).

    Args:
        use: Class.
        late: Days that its calendar is late.
        vigour: Leaf area over the usual.
        dark: Brightness of its soil over the usual.
        after: 0..1, what is done after the harvest: left, tilled, or sown with a catch crop.
        days: 0..1, how soon that is done, and when meadows are cut.
        tone: Nearly normal, a colour of its own.
    """

    use: NDArray[np.int64]
    late: Floats
    vigour: Floats
    dark: Floats
    after: Floats
    days: Floats
    tone: Floats


@dataclass(frozen=True)
class State:
    """What a satellite meets in parcels on a day; arrays (parcels,).

    Args:
        green: Leaf area of green leaves.
        pale: 0..1, how pale they are.
        straw: Area of dead leaves and stalks that stand.
        flowers: 0..1, share of the view that petals fill.
        residue: 0..1, share of the ground under straw and stubble.
        stage: One word each.
    """

    green: Floats
    pale: Floats
    straw: Floats
    flowers: Floats
    residue: Floats
    stage: NDArray[np.object_]


def traits_of(seed: int, key: NDArray[np.int64], use: NDArray[np.int64]) -> Traits:
    """The traits of parcels with these keys and classes."""
    return Traits(
        use=use,
        late=6.0 * normal(seed, "trait.late", key),
        vigour=np.clip(1.0 + 0.20 * normal(seed, "trait.vigour", key), 0.45, 1.5),
        dark=np.clip(1.0 + 0.16 * normal(seed, "trait.dark", key), 0.6, 1.3),
        after=uniform(seed, "trait.after", key),
        days=uniform(seed, "trait.days", key),
        tone=normal(seed, "trait.tone", key),
    )


def state_on(day: int, traits: Traits) -> State:
    """What parcels show on a day of the year; woods and villages show nothing here."""
    count = len(traits.use)
    green, pale, straw, flowers, residue = (np.zeros(count) for _ in range(5))
    stage: NDArray[np.object_] = np.full(count, "", dtype=object)
    for use, calendar in CALENDARS.items():
        at = np.flatnonzero(traits.use == use)
        here = Traits(*(getattr(traits, name)[at] for name in Traits.__dataclass_fields__))
        grown = _crop(calendar, day - here.late, here)
        for out, values in zip((green, pale, straw, flowers, residue), grown[:5], strict=True):
            out[at] = values
        stage[at] = grown[5]
    at = np.flatnonzero(traits.use == GRASS)
    green[at], pale[at], stage[at] = _meadow(day, traits.late[at], traits.days[at])
    straw[at] = 0.15
    at = np.flatnonzero(traits.use == FALLOW)
    weeds = np.minimum(traits.after[at] * 1.6, 1.2) * smoothstep((day - 70.0) / 60.0 + np.zeros(1))
    green[at], residue[at], stage[at] = weeds, 0.25 * traits.days[at], "fallow"
    pale[at] = 0.4
    green *= traits.vigour
    return State(green, pale, straw, flowers, residue, stage)


def _crop(
    calendar: Calendar, day: Floats, traits: Traits
) -> tuple[Floats, Floats, Floats, Floats, Floats, NDArray[np.object_]]:
    """The arrays of a `State` for one crop; `day` as its calendar counts."""
    winter = calendar.winter_area * _ramp(day, calendar.emerged, calendar.emerged + 45)
    rise = _ramp(day, calendar.spring, calendar.full)
    # Leaves of cereals come slowly at first and then all at once.
    area = winter + (calendar.leaf_area - winter) * rise * (0.35 + 0.65 * rise)
    dying = _ramp(day, calendar.ripening, calendar.ripe)
    green = area * (1.0 - dying)
    straw = calendar.stand * calendar.leaf_area * 0.55 * dying
    pale = np.clip(0.9 * dying, 0.0, 1.0)
    flowers = np.zeros_like(green)
    if calendar.flowers[1] > calendar.flowers[0]:
        first, last = calendar.flowers
        flowers = 0.55 * _ramp(day, first, first + 9) * (1.0 - _ramp(day, last - 9, last))
    stage: NDArray[np.object_] = np.full(len(green), "growing", dtype=object)
    stage[day < calendar.emerged] = "bare"
    stage[(day >= calendar.ripening) & (dying > 0.5)] = "ripe"
    stage[flowers > 0.1] = "flowering"
    residue = np.zeros_like(green)
    since = day - calendar.harvest
    done = since >= 0
    # Some stubble is left, some soon tilled, some sown with a catch crop.
    tilled = since > 6.0 + 40.0 * traits.days
    catch = (traits.after > 0.45) & tilled
    grown = _ramp(since, 22.0, 66.0) * (1.2 + 2.8 * traits.after)
    again = np.where(catch, grown, np.where(traits.after < 0.35, 0.35 * _ramp(since, 12, 40), 0.0))
    green, straw = np.where(done, again, green), np.where(done, 0.0, straw)
    flowers, pale = np.where(done, 0.0, flowers), np.where(done, 0.15, pale)
    residue = np.where(done, np.where(tilled, 0.22, 0.85), residue)
    stage[done] = np.where(
        tilled, np.where(catch & (grown > 0.5), "catch crop", "tilled"), "stubble"
    )[done]
    before = day < calendar.sown
    # In the winter before, land that waits for a spring crop lies ploughed or under a catch crop.
    frost = (traits.after > 0.7) & before
    residue = np.where(before, np.where(frost, 0.5, 0.12), residue)
    green = np.where(frost, 0.4, green)
    return green, pale, straw, flowers, residue, stage


def _meadow(day: int, late: Floats, days: Floats) -> tuple[Floats, Floats, NDArray[np.object_]]:
    """Green leaf area, paleness and stage of meadows, which are cut every six weeks or so."""
    start = 138.0 + 16.0 * days + late
    round_ = 36.0 + 20.0 * days
    since = day - start
    regrown = _ramp(since - round_ * np.floor(since / round_), 0.0, 32.0)
    spring = 1.3 + 3.0 * _ramp(day - late, 75.0, 135.0)
    autumn = 1.0 - 0.4 * _ramp(day - late, 270.0, 320.0)
    cut = (since >= 0) & (day < 290)
    green = np.where(cut, 0.8 + 2.6 * regrown, spring) * autumn
    stage = np.where(cut & (regrown < 0.3), "cut", "growing").astype(object)
    return green, np.where(cut, 0.45 - 0.3 * regrown, 0.12), stage


def _ramp(day: Floats, start: float, end: float) -> Floats:
    return smoothstep((day - start) / (end - start))
