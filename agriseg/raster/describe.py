"""What a person should know of a scene before using it: facts, values, and traps with remedies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.bands import ALPHA, Band
from agriseg.geobox import GeoBox
from agriseg.raster.masks import BandMask
from agriseg.raster.radiometry import suspicious_level
from agriseg.raster.remote import file_name
from agriseg.raster.roles import NONE_TAKEN
from agriseg.raster.sample import sample_pixels, sample_values
from agriseg.raster.scene import Scene
from agriseg.raster.source import Source, inspect

__all__ = ["BandReport", "SceneReport", "describe_scene"]

_SAMPLE_VALUES = 2_000_000
_STRIPS_MATTER = 4096
# Values that programs write where they have no measurement.
_USUAL_NODATA = (0, 255, 65535, -9999, -10000, -32767, -32768, -99999, -3.4028234663852886e38)


@dataclass(frozen=True)
class BandReport:
    """A band: where it is, what it means and why, and how its usable values are spread.

    Percentiles are in reflectance where the scene's level is reflectance or relative, else in the
    numbers of the file; None where the sample holds no usable pixel.
    """

    index: int
    file: str
    role: str | None
    wavelength_nm: float | None
    evidence: str
    p1: float | None
    p50: float | None
    p99: float | None


@dataclass(frozen=True)
class SceneReport:
    """What `agriseg info` tells of a scene.

    Lengths are in metres on the ground, areas in hectares; None without a CRS. `level` is
    reflectance, relative, DN, or suspicious: called reflectance, but with a 99th percentile under
    0.01 or over 1.5. `valid_percent` and the percentiles are estimates from a sample of a large
    scene.
    """

    name: str
    width: int
    height: int
    gsd_m: tuple[float, float] | None
    area_ha: float | None
    crs: str | None
    orientation: str
    format: str
    dtype: str
    level: str
    scaling: str
    valid_percent: float
    bands: tuple[BandReport, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def describe_scene(scene: Scene) -> SceneReport:
    """Look at a scene, quickly however large it is, and say what a user should know.

    Raises:
        ReadError: Pixels cannot be read.
    """
    sources = [inspect(path) for path in dict.fromkeys(band.path for band in scene.bands)]
    damaged: list[str] = []
    sample = sample_pixels(
        scene,
        scene.bands,
        max_pixels=max(_SAMPLE_VALUES // len(scene.bands), 1000),
        on_fault=damaged.append,
    )
    usable = sample.data[:, sample.valid]
    bands = tuple(
        _band_report(band, values) for band, values in zip(scene.bands, usable, strict=True)
    )
    first, box = sources[0], scene.geobox
    area = box.area_m2
    return SceneReport(
        name=scene.name,
        width=box.width,
        height=box.height,
        gsd_m=box.gsd_m,
        area_ha=None if area is None else area / 1e4,
        crs=_crs_name(box),
        orientation=_orientation(box),
        format=_format(first),
        dtype=str(first.dtype),
        level=_level(scene, bands),
        scaling=scene.radiometry.evidence,
        valid_percent=100 * float(sample.valid.mean()),
        bands=bands + _alpha_reports(scene),
        warnings=(*damaged[:1], *_warnings(scene, sources, bands, sample.valid)),
    )


def _level(scene: Scene, bands: Sequence[BandReport]) -> str:
    high = _highest(bands)
    if high is not None and suspicious_level(scene.radiometry.level, high):
        return "suspicious"
    return scene.radiometry.level


def _alpha_reports(scene: Scene) -> tuple[BandReport, ...]:
    masks = [mask for mask in scene.masks if isinstance(mask, BandMask)]
    words = "marks the usable pixels"
    return tuple(
        BandReport(mask.index, file_name(mask.path), ALPHA, None, words, None, None, None)
        for mask in masks
    )


def _band_report(band: Band, values: NDArray[np.float32]) -> BandReport:
    spread: Sequence[float | None] = (None, None, None)
    if values.size:
        spread = [float(v) for v in np.percentile(values.astype(np.float64), (1, 50, 99))]
    return BandReport(
        band.index,
        file_name(band.path),
        band.key,
        band.wavelength_nm,
        band.evidence or "nothing says what it is",
        *spread,
    )


def _crs_name(box: GeoBox) -> str | None:
    if box.crs is None:
        return None
    code = box.crs.to_epsg()
    wkt = box.crs.to_wkt()
    name = " ".join((wkt.split('"')[1] if '"' in wkt else wkt).split())
    return f"EPSG:{code} ({name})" if code else name


def _orientation(box: GeoBox) -> str:
    t = box.transform
    if t.is_identity:
        return "not georeferenced"
    turn = math.degrees(math.atan2(t.d, t.a))
    is_mirrored = t.determinant > 0
    if abs(turn) < 1e-6:
        return "south up" if is_mirrored else "north up"
    words = f"rotated by {abs(turn):.1f} degrees"
    return f"{words} and mirrored" if is_mirrored else words


def _format(source: Source) -> str:
    rows, cols = source.block_shapes[0]
    is_striped = cols >= source.geobox.width
    blocks = (
        f"strips of {rows} row{'s' if rows > 1 else ''}"
        if is_striped
        else f"tiles of {cols} x {rows}"
    )
    packed = source.compression or "uncompressed"
    factors = ", ".join(map(str, source.overviews))
    views = f"overviews {factors}" if factors else "no overviews"
    return f"{source.driver}, {blocks}, {packed}, {views}"


def _warnings(
    scene: Scene,
    sources: Sequence[Source],
    bands: Sequence[BandReport],
    valid: NDArray[np.bool_],
) -> list[str]:
    found: list[str] = []
    for source in sources:
        found += _file_warnings(scene, source)
    found += _role_warnings(bands)
    if not valid.any():
        found.append(
            "no usable pixel was found in a sample spread over the raster: every one that was "
            "looked at is nodata or hidden; check --nodata, --mask, --cutline, --gsd and alpha"
        )
    high = _highest(bands)
    if high is not None and (odd := suspicious_level(scene.radiometry.level, high)):
        found.append(odd)
    elif scene.radiometry.level == "reflectance":
        found += _negative_warnings(bands)
    if high is not None and scene.radiometry.level == "DN":
        found.append(_dn_words(high))
    if scene.geobox.crs is None:
        found.append(
            "the raster has no coordinate system: areas and sizes in metres are unknown; assign "
            "the right one with gdal_edit.py -a_srs EPSG:... FILE"
        )
    return found


def _highest(bands: Sequence[BandReport]) -> float | None:
    """The highest 99th percentile of light."""
    highs = [band.p99 for band in bands if band.p99 is not None and not _is_thermal(band)]
    return max(highs, default=None)


def _is_thermal(band: BandReport) -> bool:
    return band.role is not None and band.role.startswith("lwir")


def _negative_warnings(bands: Sequence[BandReport]) -> list[str]:
    dark = [band for band in bands if band.p50 is not None and band.p50 < 0]
    if not dark:
        return []
    names = ", ".join(band.role or f"band {band.index}" for band in dark if not _is_thermal(band))
    return [
        f"more than half of the reflectance in {names} is negative, which light never is: the "
        "offset seems to have been taken off already; give --offset 0"
    ] * bool(names)


def _role_warnings(bands: Sequence[BandReport]) -> list[str]:
    shared = [band for band in bands if band.evidence.endswith(NONE_TAKEN)]
    if shared:
        which = "; ".join(f"band {band.index} is {band.evidence}" for band in shared[:4])
        more = " and so on" if len(shared) > 4 else ""
        return [
            f"several bands have one name ({which}{more}); say which is which with --bands, and "
            "where the raster stacks several dates, as red@1, red@2"
        ]
    if any(band.role for band in bands):
        return []
    return [
        "nothing in the file says which band is which; say it with --bands, such as --bands "
        f"{','.join(_guesses(len(bands)))}, or with --sensor"
    ]


def _guesses(count: int) -> tuple[str, ...]:
    usual = {
        1: ("red",),
        3: ("red", "green", "blue"),
        4: ("blue", "green", "red", "nir"),
        5: ("blue", "green", "red", "rededge", "nir"),
        8: ("red@1", "green@1", "blue@1", "nir@1", "red@2", "green@2", "blue@2", "nir@2"),
    }
    return usual.get(count, ("red=1", f"nir={count}"))


def _dn_words(high: float) -> str:
    if 500 <= high <= 16000:
        return (
            f"the values (99 % under {high:.0f}) look like reflectance x 10000, but nothing says "
            "so; give --scale 0.0001 (and --offset -0.1 for Sentinel-2 of baseline 04.00 and later)"
        )
    if 16000 < high <= 40000:
        return (
            f"the values (99 % under {high:.0f}) look like reflectance x 32768 (MicaSense through "
            "Metashape), but nothing says so; give --scale 0.000030518"
        )
    return f"the scale of the values (99 % under {high:.3g}) is unknown; give --scale"


def _file_warnings(scene: Scene, source: Source) -> list[str]:
    found = []
    name, box = file_name(source.path), source.geobox
    if not source.is_tiled and box.width > _STRIPS_MATTER and box.height > _STRIPS_MATTER / 4:
        found.append(
            f"{name} is stored in strips, which reads slowly; rewrite it once: "
            f'gdal_translate -of COG -co COMPRESS=DEFLATE "{source.path}" tiled.tif'
        )
    if "palette" in source.colors:
        found.append(f"{name} is a picture with a palette; its values are no measurements")
    grey = [k + 1 for k, text in enumerate(source.descriptions) if _is_grey(text)]
    if source.count > 1 and grey:
        found.append(
            f"band {', '.join(map(str, grey))} of {name} is described as grey, which says "
            "nothing; name the bands with --bands or --sensor"
        )
    return found + _color_warnings(scene, source) + _value_warnings(scene, source)


def _is_grey(text: str | None) -> bool:
    return text is not None and text.lower().strip() in ("gray", "grey")


def _color_warnings(scene: Scene, source: Source) -> list[str]:
    roles = {band.index: band.role for band in scene.bands if band.path == source.path}
    alphas = {m.index for m in scene.masks if isinstance(m, BandMask) and m.path == source.path}
    wrong = [
        f"band {index} ({'alpha' if index in alphas else roles.get(index)}) is called {color}"
        for index, color in enumerate(source.colors, 1)
        if color in ("red", "green", "blue", "alpha")
        and (roles.get(index) or index in alphas)
        and color != ("alpha" if index in alphas else roles.get(index))
    ]
    if wrong:
        return [
            f"the colour interpretation of {file_name(source.path)} contradicts the bands: "
            f"{'; '.join(wrong)}; agriseg goes by the bands, other programs may show false colours"
        ]
    trusted = source.count in (3, 4) and set(source.dtypes) == {"uint8"}
    if {"red", "green", "blue"} <= set(source.colors) and not trusted and not any(roles.values()):
        order = ", ".join(color for color in source.colors if color in ("red", "green", "blue"))
        return [
            f"the colour interpretation calls the first bands {order}; many programs write that "
            "into any raster, so it is believed only of 8-bit pictures: check the order with the "
            "maker of the file and give --bands"
        ]
    return []


def _value_warnings(scene: Scene, source: Source) -> list[str]:
    values = sample_values(source, max_values=_SAMPLE_VALUES)
    found = []
    alphas = {m.index for m in scene.masks if isinstance(m, BandMask) and m.path == source.path}
    roles = {band.index: band.role for band in scene.bands if band.path == source.path}
    last = source.count
    if source.count in (2, 4) and last not in alphas and not roles.get(last):
        kinds = np.unique(values[-1])
        top = np.iinfo(source.dtype).max if source.dtype.kind in "iu" else 1
        if 0 < kinds.size <= 2 and set(kinds.tolist()) <= {0, 1, 255, top}:
            words = [roles.get(k) or "-" for k in range(1, last)]
            found.append(
                f"band {last} holds only {' and '.join(str(k) for k in kinds)}: it looks like "
                f"alpha that is not tagged as alpha; give --bands {','.join([*words, 'alpha'])}"
            )
            return found  # what lies under it needs no nodata value
    light = [k for k in range(source.count) if k + 1 not in alphas]
    declared = any(source.nodata[k] is not None for k in light) or source.dataset_mask or alphas
    said = any(band.nodata is not None for band in scene.bands if band.path == source.path)
    if not declared and not said:
        found += _undeclared_nodata(values[light])
    return found


def _undeclared_nodata(values: NDArray[Any]) -> list[str]:
    """A value that all bands share in many pixels, and that programs use for missing ones."""
    for candidate in _USUAL_NODATA:
        share = _share(values, candidate)
        # Light is never negative, so a few such pixels tell; zeros may be a shadow.
        many = share > 0.02 and values.shape[0] > 1 if candidate >= 0 else share > 1e-4
        if many:
            return [
                f"{_percent(share)} of the pixels hold {candidate:.9g} in every band, and no "
                "nodata value is declared; if nothing was measured there, give --nodata "
                f"{candidate}"
            ]
    return []


def _share(values: NDArray[Any], candidate: float) -> float:
    """The share of pixels that hold `candidate` in every band."""
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        if not limits.min <= candidate <= limits.max:
            return 0.0
    return float((values == values.dtype.type(candidate)).all(axis=0).mean())


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"
