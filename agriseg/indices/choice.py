"""Which indices a scene can have, and the one that a user means."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from agriseg.bands import Band, band_key, find_band
from agriseg.errors import BandError, OptionError
from agriseg.indices.catalogue import BAND_ROLES, Entry, entries, without
from agriseg.raster.scene import Scene

__all__ = ["Index", "available", "default_indices", "find_index"]

# In the order in which a message offers them.
_USUAL = ("NDVI", "NDRE", "GNDVI", "GLI", "NGRDI", "VARI", "ExG", "EVI2", "SAVI", "CIRE", "NDMI")
_MOST_OFFERED = 8
# Of the indices for how much grows there, the first that the scene has the bands of.
_FIRST = ("NDVI", "GNDVI", "BNDVI", "GLI", "NGRDI")


@dataclass(frozen=True)
class Index:
    """A spectral index, with the bands of a scene that it is computed from.

    Args:
        name: Short name, with the date where the scene has several: NDVI, or NDVI@1.
        long_name: For a person.
        formula: In `symbols` and the names of `constants`.
        reference: Where it was published.
        domain: What it is made to show: vegetation, soil, water, burn, snow, clouds or urban.
        keys: The scene's keys that it reads, such as ("nir", "red").
        symbols: What the formula calls these bands, in the same order: ("N", "R").
        constants: Names and values of the formula's constants; None where a value must be given.
    """

    name: str
    long_name: str
    formula: str
    reference: str
    domain: str
    keys: tuple[str, ...]
    symbols: tuple[str, ...] = ()
    constants: tuple[tuple[str, float | None], ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Constants that have no usual value and must be given."""
        return tuple(without(dict(self.constants)))


def available(scene: Scene) -> list[Index]:
    """The indices that a scene has all bands of, in alphabetical order, date by date.

    Stand-ins count as they do elsewhere: nir08 serves as nir, any red edge as that of NDRE. Left
    out are those with a constant that has no usual value (`find_index` gives them), and those that
    need radar or temperatures.
    """
    found = []
    for date in _dates(scene):
        for entry in entries().values():
            index = _index(entry, scene, date)
            if index and not index.missing:
                found.append(index)
    return found


def find_index(name: str, scene: Scene) -> Index:
    """The index of that name, for this scene.

    Args:
        name: Short name in any case; with a date (`NDVI@1`) where the scene has several.
        scene: What it is to be computed from.

    Raises:
        OptionError: There is no such index, or agriseg cannot compute it.
        BandError: The scene lacks bands of it; the message says which, and what it can have.
    """
    plain, _, date = name.strip().partition("@")
    entry = _entry_named(plain)
    if entry.hurdle:
        raise OptionError(f"the index {entry.name} {entry.hurdle}; choose another")
    index = _index(entry, scene, date or None)
    if index is None:
        raise BandError(_why_not(entry, scene, date or None))
    return index


def default_indices(scene: Scene) -> tuple[str, ...]:
    """The indices that a scene gets where its user names none; () where it has no such bands.

    NDVI for how much grows, and NDRE, which goes on telling dense crops apart where NDVI saturates,
    where there is a red edge. Without red or near infrared GNDVI or BNDVI. Cameras of visible light
    only get GLI (Louhaichi et al. 2001, Geocarto Int. 16): a ratio of all three bands, so it needs
    no calibration, within -1 and 1, whereas the denominator of VARI passes through zero on blue
    and grey ground.
    """
    names = []
    for date in _dates(scene):
        have = [one for one in (*_FIRST, "NDRE") if _index(entries()[one], scene, date)]
        chosen = [one for one in have if one in _FIRST][:1] + [one for one in have if one == "NDRE"]
        names += [band_key(one, date) for one in chosen]
    return tuple(names)


def _dates(scene: Scene) -> list[str | None]:
    """The dates that must be told apart; one None where there are none, or one."""
    dates = list(dict.fromkeys(band.date for band in scene.bands if band.role))
    return dates if len(dates) > 1 else [None]


def _index(entry: Entry, scene: Scene, date: str | None) -> Index | None:
    bands, missing = _bands_of(entry, scene, date)
    if missing or entry.hurdle or not bands:
        return None
    constants = tuple(
        (name, _wavelength(name, scene, date) if name.startswith("lambda") else value)
        for name, value in entry.constants.items()
    )
    return Index(
        band_key(entry.name, date),
        entry.long_name,
        entry.formula,
        entry.reference,
        entry.domain,
        tuple(band.key or "" for band in bands.values()),
        tuple(bands),
        constants,
    )


def _bands_of(entry: Entry, scene: Scene, date: str | None) -> tuple[Mapping[str, Band], list[str]]:
    """The band of each symbol, and the roles that are missing."""
    bands: dict[str, Band] = {}
    missing = []
    for symbol in entry.symbols:
        role = BAND_ROLES[symbol]
        band = find_band(scene.bands, band_key(role, date))
        # The difference of a band and its own stand-in is 0 everywhere.
        if band is None or band in bands.values():
            missing.append(role)
        else:
            bands[symbol] = band
    # Near infrared of one date beside the red of another tells nothing.
    if len({band.date for band in bands.values()}) > 1:
        missing = missing or [BAND_ROLES[symbol] for symbol in bands]
    return bands, missing


def _wavelength(name: str, scene: Scene, date: str | None) -> float | None:
    role = BAND_ROLES.get(name.removeprefix("lambda"))
    band = find_band(scene.bands, band_key(role, date)) if role else None
    return band.wavelength_nm if band else None


def _entry_named(name: str) -> Entry:
    known = entries()
    if name in known:
        return known[name]
    fits = [entry for entry in known.values() if entry.name.casefold() == name.casefold()]
    if len(fits) == 1:
        return fits[0]
    if fits:
        choice = " or ".join(f"{entry.name} ({entry.long_name})" for entry in fits)
        raise OptionError(f"the index {name!r} could be {choice}; capitals tell them apart")
    raise OptionError(
        f"there is no index {name!r}{_near(name)}; `agriseg indices SCENE --list` shows all"
    )


def _near(name: str) -> str:
    """What is called much alike, or described in that word."""
    folded = {one.casefold(): one for one in entries()}
    near = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, 3, 0.6)]
    if not near and len(name) > 3:
        told = (one for one in entries().values() if name.casefold() in one.long_name.casefold())
        near = [one.name for one in told][:_MOST_OFFERED]
    return f"; did you mean {', '.join(near)}" if near else ""


def _why_not(entry: Entry, scene: Scene, date: str | None) -> str:
    dates = _dates(scene)
    if date is None and len(dates) > 1:
        can = [band_key(entry.name, one) for one in dates if _index(entry, scene, one)]
        if can:
            return f"{scene.name} has several dates; ask for {' or '.join(can)}"
        # What is there on several dates is not what is missing.
        date = dates[0]
    _, missing = _bands_of(entry, scene, date)
    when = f" at date {date}" if date else ""
    return (
        f"{entry.name} = {entry.formula} lacks {', '.join(missing)}{when} in {scene.name}; "
        f"{scene.band_summary()}{_instead(entry.domain, scene)}"
    )


def _instead(domain: str, scene: Scene) -> str:
    """Indices of the same domain that the scene can have, the usual ones first."""
    can = [index.name for index in available(scene) if index.domain == domain]
    if not can:
        return ", enough for no index of that domain"
    can.sort(key=lambda name: name.partition("@")[0] not in _USUAL)
    more = len(can) - _MOST_OFFERED
    words = ", ".join(can[:_MOST_OFFERED]) + (f" and {more} more" if more > 0 else "")
    return f"; with them it can have {words}"
