"""Which assets of a STAC item are its scene, and what they say of their bands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from agriseg.bands import (
    IGNORED,
    ROLES,
    SENSORS,
    role_from_text,
    role_from_wavelength,
)
from agriseg.errors import BandError, InputError

if TYPE_CHECKING:
    from pystac import Asset

__all__ = ["Choice", "choose"]

_NO_SCENE = frozenset({"thumbnail", "overview", "visual", "metadata"})
_MEDIA = ("image/tiff", "image/vnd.stac.geotiff", "image/geotiff", "image/jp2")
_ENDINGS = (".tif", ".tiff", ".jp2", ".vrt", ".img")
_RED_EDGES = ("rededge071", "rededge075", "rededge078")
# Catalogues of Sentinel-2 state an offset of -0.1 also of files from which it was taken already.
_OFFSET_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_TO_DO = "put the one to use alone into the file, or list its files in a CSV table"


@dataclass(frozen=True)
class Choice:
    """The assets to open: one by itself (under the role ""), or one a band by role.

    Args:
        files: Addresses by role.
        bands: Roles in the file's order, where it is one of many bands.
        scale: Reflectance = value * scale + offset, where that is stated.
        offset: See `scale`.
        nodata: The value of missing pixels, where it is stated.
    """

    files: Mapping[str, str]
    bands: tuple[str, ...] | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class _Band:
    asset: str
    role: str | None
    nm: float | None
    scaling: tuple[float, float] | None
    nodata: float | None
    gsd: float


def choose(assets: Mapping[str, Asset], properties: Mapping[str, Any]) -> Choice:
    """The assets that make the scene, and their options.

    Raises:
        BandError: No asset tells its bands, or several would do equally well.
        InputError: There is no raster, or bands that need different scales.
    """
    rasters = {key: asset for key, asset in assets.items() if _is_raster(asset)}
    if not rasters:
        raise InputError(
            f"none of its assets ({_listed(assets)}) is a raster for a scene; one is needed, of "
            f"type {_MEDIA[0]} or {_MEDIA[-1]}"
        )
    described = {key: _bands_of(key, asset, properties) for key, asset in rasters.items()}
    single = _by_role([bands[0] for bands in described.values() if len(bands) == 1], rasters)
    stack = _best_stack(described, rasters)
    if stack and len(_roles(described[stack])) > len(single):
        bands = _with_red_edges(described[stack])
        options = _common([band for band in bands if band.role], properties)
        seen: list[str] = []
        for band in bands:
            # A role once: of ten bands in the green, nobody can say which is meant.
            seen.append(band.role if band.role and band.role not in seen else IGNORED)
        return Choice({"": rasters[stack].href}, tuple(seen), *options)
    if single:
        bands = _of_light(list(single.values()))
        options = _common(bands, properties)
        files = {str(band.role): rasters[band.asset].href for band in bands}
        return Choice(files, None, *options)
    data = [key for key, asset in rasters.items() if "data" in (asset.roles or ())]
    only = data or list(rasters)
    if len(only) > 1:
        raise BandError(
            f"its assets ({_listed(only)}) do not tell their bands by a common name, such as red; "
            f"{_TO_DO}"
        )
    return Choice({"": rasters[only[0]].href}, None, *_common(described[only[0]], properties))


def _is_raster(asset: Asset) -> bool:
    if _NO_SCENE & set(asset.roles or ()):
        return False
    if asset.media_type:
        return asset.media_type.lower().replace(" ", "").startswith(_MEDIA)
    path = PurePosixPath(asset.href.partition("?")[0])
    return path.suffix.lower() in _ENDINGS


def _bands_of(key: str, asset: Asset, properties: Mapping[str, Any]) -> list[_Band]:
    """The bands that an asset says it has; what they do not say, asset and item say for all."""
    extra = asset.extra_fields
    lists = [extra.get(field) or [] for field in ("raster:bands", "eo:bands", "bands")]
    count = max(map(len, lists))
    if count == 0 and "eo:common_name" in extra:
        count = 1
    bands = []
    for k in range(count):
        own = {name: value for each in lists if k < len(each) for name, value in each[k].items()}
        bands.append(_band(key, (own, extra, properties)))
    return bands


def _band(key: str, levels: Sequence[Mapping[str, Any]]) -> _Band:
    own, asset, _ = levels
    nm = _first(levels[:2], "center_wavelength", "eo:center_wavelength")
    nm = None if nm is None else round(float(nm) * 1000, 6)
    common = _first(levels[:2], "common_name", "eo:common_name")
    role = common if common in ROLES else None
    if role is None:
        role = role_from_wavelength(nm) if nm else role_from_text(str(own.get("name") or ""))
        role = role if role in ROLES else None
    scale = own.get("scale", _first(levels, "raster:scale"))
    offset = own.get("offset", _first(levels, "raster:offset"))
    scaling = (float(1 if scale is None else scale), float(0 if offset is None else offset))
    nodata = _first(levels, "nodata")
    # The same object each time, because no nan equals another.
    nodata = math.nan if str(nodata).lower() == "nan" else nodata
    gsd = _first(levels, "gsd", "spatial_resolution", "raster:spatial_resolution")
    pixel = asset.get("proj:transform")
    if pixel:
        gsd = abs(float(pixel[0]))
    return _Band(
        key,
        role,
        nm,
        # Tools write 1 and 0 where a file states no scale: that says nothing of reflectance.
        None if scaling == (1, 0) else scaling,
        None if nodata is None else float(nodata),
        math.inf if gsd is None else float(gsd),
    )


def _first(levels: Iterable[Mapping[str, Any]], *names: str) -> Any:
    return next(
        (level[name] for level in levels for name in names if level.get(name) is not None), None
    )


def _by_role(bands: Sequence[_Band], assets: Mapping[str, Asset]) -> dict[str, _Band]:
    """One asset a role: of several the finest, then the one best for reading in parts."""
    groups: dict[str, list[_Band]] = {}
    for band in _with_red_edges(bands):
        if band.role:
            groups.setdefault(band.role, []).append(band)
    best: dict[str, _Band] = {}
    for role, group in groups.items():
        ranked = sorted(group, key=lambda band: _rank(band, assets[band.asset]))
        if len(ranked) > 1:
            first, second = (_rank(band, assets[band.asset]) for band in ranked[:2])
            if first == second:
                raise BandError(
                    f"its assets {ranked[0].asset} and {ranked[1].asset} are both {role}, and "
                    f"equally good; {_TO_DO}"
                )
        best[role] = ranked[0]
    return best


def _rank(band: _Band, asset: Asset) -> tuple[float, float, bool, bool]:
    middle = sum(ROLES[str(band.role)]) / 2
    media = (asset.media_type or "").lower()
    off = abs(band.nm - middle) if band.nm else math.inf
    return band.gsd, off, "cloud-optimized" not in media, "jp2" in media


def _with_red_edges(bands: Sequence[_Band]) -> list[_Band]:
    """Several bands called red edge by their wavelengths, or by their own names."""
    if sum(band.role == "rededge" for band in bands) < 2:
        return list(bands)
    return [
        replace(band, role=_red_edge(band)) if band.role == "rededge" else band for band in bands
    ]


def _red_edge(band: _Band) -> str:
    if band.nm is not None:
        for role in _RED_EDGES:
            low, high = ROLES[role]
            if low <= band.nm <= high:
                return role
    named = SENSORS["sentinel-2-l2a"].band_named(band.asset)
    by_name = named.role if named else role_from_text(band.asset)
    return by_name if by_name in _RED_EDGES else "rededge"


def _roles(bands: Iterable[_Band]) -> set[str]:
    return {band.role for band in bands if band.role}


def _best_stack(
    described: Mapping[str, Sequence[_Band]], assets: Mapping[str, Asset]
) -> str | None:
    """The asset of many bands with the most roles; reflectance before anything else as good."""

    def merit(key: str) -> tuple[int, bool, bool]:
        roles = assets[key].roles or ()
        return len(_roles(described[key])), "reflectance" in roles, "data" in roles

    stacks = [key for key, bands in described.items() if len(bands) > 1 and _roles(bands)]
    ranked = sorted(stacks, key=merit, reverse=True)
    if len(ranked) > 1 and merit(ranked[0]) == merit(ranked[1]):
        raise BandError(f"its assets {ranked[0]} and {ranked[1]} hold the same bands; {_TO_DO}")
    return ranked[0] if ranked else None


def _of_light(bands: list[_Band]) -> list[_Band]:
    """Without bands of heat that need a scale of their own: a scene has one for all."""
    light = [band for band in bands if not str(band.role).startswith("lwir")]
    scalings = {band.scaling for band in light}
    return [band for band in bands if band in light or not light or band.scaling in scalings]


def _common(
    bands: Sequence[_Band], properties: Mapping[str, Any]
) -> tuple[float | None, float | None, float | None]:
    """Scale, offset and nodata of all bands; None where it is not stated."""
    stated = {band.scaling: band for band in bands if band.scaling is not None}
    if len(stated) > 1:
        (one, first), (other, second) = list(stated.items())[:2]
        raise InputError(
            f"it states different scales (value * {one[0]:g} + {one[1]:g} for "
            f"{first.role or first.asset}, {other[0]:g} and {other[1]:g} for "
            f"{second.role or second.asset}), and a scene has one for all bands; list its files "
            "in a CSV table, with the column scale"
        )
    scale, offset = next(iter(stated), (None, None))
    if scale is not None and any(properties.get(name) is True for name in _OFFSET_APPLIED):
        offset = 0.0
    nodata = {band.nodata for band in bands}
    # Where files differ, each declares its own.
    return scale, offset, nodata.pop() if len(nodata) == 1 else None


def _listed(keys: Iterable[str]) -> str:
    names = list(keys)
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") or "it has none"
