"""Which band is which: decided once, from evidence.

The order of evidence: what the user says, a sensor preset, what the file says of its
bands (descriptions, wavelengths), its colour interpretation (three or four 8-bit bands only, since
elsewhere programs write red, green, blue without meaning it). Nothing is guessed from values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agriseg.bands import (
    ALPHA,
    IGNORED,
    ROLES,
    SENSORS,
    Band,
    Sensor,
    SensorBand,
    role_from_text,
    role_from_wavelength,
    split_role,
    wavelength_from_text,
)
from agriseg.errors import BandError, OptionError
from agriseg.raster.source import Source

__all__ = [
    "NONE_TAKEN",
    "Decision",
    "decide_roles",
    "sensor_named",
]


NONE_TAKEN = "so none is taken for it"
"""How the evidence of a band ends that shares its name with others."""

# How a description gives the date of a band in a stack, as "Red@1" or "B04 @2024-05-12". What else
# stands behind an @ is no date: a wavelength ("nir@842nm"), a pixel size, an address.
_DATED = re.compile(r"(.*[^@\s])\s*@([tT]?\d{1,2}|(?:19|20)\d\d(?:-?\d\d){0,2}(?:T[\d:.]+Z?)?)\Z")

_TOLD_BY_COLOR = {name: name for name in ("pan", "coastal", "rededge", "nir", "lwir")} | {
    "tir": "lwir"
}


@dataclass(frozen=True)
class Decision:
    """The bands of one file, and the index of its alpha band (None: it has none)."""

    bands: tuple[Band, ...]
    alpha: int | None = None


def sensor_named(name: str | None) -> Sensor | None:
    """The preset of that name.

    Raises:
        OptionError: There is none.
    """
    if name is None:
        return None
    if name not in SENSORS:
        raise OptionError(f"--sensor {name!r} is unknown; known are {', '.join(SENSORS)}")
    return SENSORS[name]


def decide_roles(
    source: Source,
    *,
    bands: Sequence[str] | Mapping[str, int] | None = None,
    sensor: Sensor | None = None,
    nodata: float | None = None,
) -> Decision:
    """Find out which role each band of a file plays.

    Args:
        source: The file.
        bands: What the user says: a role for each band in the file's order, or band numbers by
            role. "alpha" names the band of usable pixels, "-" one to leave out.
        sensor: The preset that the user named.
        nodata: The value that the user says marks missing pixels.

    Raises:
        BandError: The user's words do not fit the file, or name a role twice.
        OptionError: The file's type cannot hold the nodata value.
    """
    _check_nodata(source, nodata)
    plain = tuple(
        Band(source.path, k + 1, nodata=source.nodata[k] if nodata is None else nodata)
        for k in range(source.count)
    )
    if bands is not None:
        return _from_user(source, plain, bands, sensor)
    alpha = _tagged_alpha(source)
    if sensor is not None:
        if alpha and len(sensor.bands) == source.count and not any(source.descriptions):
            alpha = None  # the preset outranks the tag: near infrared is often called alpha
        return _decision(_from_sensor(source, plain, sensor, alpha), alpha)
    described = tuple(_from_description(source, band) for band in plain)
    if any(band.role for band in described):
        return _decision(_without_doubles(described), alpha)
    colors = set(source.colors)
    is_picture = source.count in (3, 4) and set(source.dtypes) == {"uint8"}
    if is_picture and {"red", "green", "blue"} <= colors:
        named = (
            replace(band, role=color, evidence="colour interpretation of an 8-bit picture")
            if color in ("red", "green", "blue")
            else band
            for band, color in zip(plain, source.colors, strict=True)
        )
        return _decision(tuple(named), alpha)
    return _decision(plain, alpha)


def _decision(bands: tuple[Band, ...], alpha: int | None) -> Decision:
    return Decision(tuple(band for band in bands if band.index != alpha), alpha)


def _check_nodata(source: Source, nodata: float | None) -> None:
    if nodata is None or source.dtype.kind not in "iu":
        return
    limits = np.iinfo(source.dtype)
    if nodata != nodata // 1 or not limits.min <= nodata <= limits.max:
        raise OptionError(
            f"--nodata {nodata:g}: {source.path} holds {source.dtype}, whole numbers of "
            f"{limits.min} to {limits.max}, so that value never occurs in it"
        )


def _from_user(
    source: Source,
    plain: tuple[Band, ...],
    said: Sequence[str] | Mapping[str, int],
    sensor: Sensor | None,
) -> Decision:
    if isinstance(said, Mapping):
        words = [IGNORED] * source.count
        for role, index in said.items():
            if not 1 <= index <= source.count:
                raise BandError(
                    f"--bands {role}={index}: {source.path} has bands 1 to {source.count}"
                )
            if words[index - 1] != IGNORED:
                raise BandError(
                    f"--bands calls band {index} of {source.path} both {words[index - 1]} and "
                    f"{role}; one role for each band is expected"
                )
            words[index - 1] = role
    else:
        words = list(said)
    if len(words) != source.count:
        raise BandError(
            f"--bands names {len(words)} bands ({','.join(words)}), {source.path} has "
            f"{source.count}; name each in the file's order, '-' for one to leave out, or give "
            "numbers: --bands red=3,nir=4"
        )
    doubles = [word for word, times in Counter(words).items() if times > 1 and word != IGNORED]
    if doubles:
        raise BandError(
            f"--bands names {doubles[0]} twice; give stacked dates as {doubles[0]}@1, "
            f"{doubles[0]}@2"
        )
    found, alpha = [], None
    for band, word in zip(plain, words, strict=True):
        role, date = split_role(word)
        if role == ALPHA:
            alpha = band.index
        elif role != IGNORED:
            nm = (
                next((b.wavelength_nm for b in sensor.bands if b.role == role), None)
                if sensor
                else source.wavelengths_nm[band.index - 1]
            )
            found.append(
                replace(band, role=role, date=date, wavelength_nm=nm, evidence="you said so")
            )
    if not found:
        raise BandError(f"--bands {','.join(words)} leaves no band of {source.path} to look at")
    return Decision(tuple(found), alpha)


def _tagged_alpha(source: Source) -> int | None:
    """The band tagged as alpha, unless the file also says that it is something else."""
    for k, color in enumerate(source.colors):
        text = source.descriptions[k]
        if color == "alpha" and source.count > 1:
            role = role_from_text(text) if text else None
            if role in (None, ALPHA) and source.wavelengths_nm[k] is None:
                return k + 1
    return None


def _from_sensor(
    source: Source, plain: tuple[Band, ...], sensor: Sensor, alpha: int | None
) -> tuple[Band, ...]:
    found = [_of_sensor(source, band, sensor) for band in plain]
    if not any(found):
        spectral = [band for band in plain if band.index != alpha]
        if len(spectral) != len(sensor.bands):
            names = ", ".join(band.names[0] for band in sensor.bands)
            raise BandError(
                f"{source.path} has {len(spectral)} unnamed bands, {sensor.title} has "
                f"{len(sensor.bands)} ({names}); say which is which with --bands"
            )
        order = iter(sensor.bands)
        how = f"{sensor.title}, by order"
        found = [None if band.index == alpha else (next(order), how) for band in plain]
    named = tuple(
        band
        if match is None
        else replace(
            band,
            role=match[0].role,
            date=_parted(source.descriptions[band.index - 1])[1],
            wavelength_nm=match[0].wavelength_nm,
            evidence=match[1],
        )
        for band, match in zip(plain, found, strict=True)
    )
    return _without_doubles(named)


def _of_sensor(source: Source, band: Band, sensor: Sensor) -> tuple[SensorBand, str] | None:
    """The sensor's band of that name, else of the role that the file states, and why."""
    text, _ = _parted(source.descriptions[band.index - 1])
    match = sensor.band_named(text) if text else None
    if match:
        return match, f"{sensor.title}, by name"
    role = _from_description(source, band).role
    match = next((b for b in sensor.bands if role and b.role == role), None)
    return (match, f"{sensor.title}, by the role in the description") if match else None


def _from_description(source: Source, band: Band) -> Band:
    """The role that the file itself states for a band: its description, else its wavelength."""
    text = source.descriptions[band.index - 1]
    plain, date = _parted(text)
    found = _described(source, band, plain)
    if date is None or found.role is None:
        return found if date is None else _described(source, band, text)
    evidence = found.evidence.replace(repr(plain), repr(text), 1)
    return replace(found, date=date, evidence=evidence)


def _parted(text: str | None) -> tuple[str | None, str | None]:
    """A description without its date, and the date; None where there is none."""
    dated = _DATED.match(text or "")
    return (dated[1], dated[2]) if dated else (text, None)


def _described(source: Source, band: Band, text: str | None) -> Band:
    nm = source.wavelengths_nm[band.index - 1]
    if text:
        nm = nm or wavelength_from_text(text)
        for name in ("sentinel-2-l2a", "landsat-8-9"):
            match = SENSORS[name].band_named(text)
            # "B1" to "B7" name bands of both; only unmistakable names count here.
            if match and (text.upper().startswith("SR_B") or text in match.names[:1]):
                return replace(
                    band,
                    role=match.role,
                    wavelength_nm=match.wavelength_nm,
                    evidence=f"description {text!r} ({SENSORS[name].title})",
                )
    role = role_from_text(text) if text else None
    evidence = f"description {text!r}"
    if role == ALPHA:
        return band
    if role is None and nm is not None:
        role, evidence = role_from_wavelength(nm), f"wavelength {nm:.0f} nm"
    elif role is None and source.colors[band.index - 1] in _TOLD_BY_COLOR:
        # GDAL's newer interpretations are only ever set on purpose, unlike red, green and blue.
        role = _TOLD_BY_COLOR[source.colors[band.index - 1]]
        evidence = f"colour interpretation {source.colors[band.index - 1]}"
    elif role is not None and nm is not None and not _agree(role, nm):
        raise BandError(
            f"{source.path}: band {band.index} is described as {text!r} but its wavelength is "
            f"{nm:.0f} nm; say what it is with --bands"
        )
    return replace(band, role=role, wavelength_nm=nm, evidence=evidence if role else "")


def _agree(role: str, nm: float) -> bool:
    low, high = ROLES[role]
    return low - 20 <= nm <= high + 20


def _without_doubles(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """Where several bands claim one role, the one nearest to the middle of its range keeps it.

    Hyperspectral rasters have dozens of bands inside "green". Without wavelengths nobody can tell
    them apart, and none keeps the role.
    """
    claims = Counter(band.key for band in bands if band.key)
    keepers: dict[str, int | None] = {}
    for key, times in claims.items():
        mine = [band for band in bands if band.key == key]
        known = [
            (abs(b.wavelength_nm - sum(ROLES[split_role(key)[0]]) / 2), b.index)
            for b in mine
            if b.wavelength_nm is not None
        ]
        keepers[key] = mine[0].index if times == 1 else min(known)[1] if known else None
    return tuple(
        band
        if band.key is None or keepers[band.key] == band.index
        else replace(
            band, role=None, date=None, evidence=_one_of(claims[band.key], band.key, keepers)
        )
        for band in bands
    )


def _one_of(times: int, key: str, keepers: Mapping[str, int | None]) -> str:
    words = f"one of {times} bands named {key}"
    return f"{words}, {NONE_TAKEN}" if keepers[key] is None else words
