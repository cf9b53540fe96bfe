"""Opening a scene: one file, one file a band, or a folder of single-band files."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from agriseg.bands import ALPHA, Band, Radiometry, Sensor, band_key, split_role
from agriseg.errors import BandError, InputError, OptionError, meant_by, redacted
from agriseg.geobox import GeoBox
from agriseg.raster.folder import band_files
from agriseg.raster.masks import (
    BandMask,
    ClassMask,
    Mask,
    area_points,
    parse_class_mask,
    read_area,
)
from agriseg.raster.radiometry import decide_radiometry
from agriseg.raster.reader import apart_words, crs_words, grid_axes, mask_axes
from agriseg.raster.remote import file_stem, is_remote
from agriseg.raster.roles import Decision, decide_roles, sensor_named
from agriseg.raster.sample import sample_values
from agriseg.raster.scene import FACTS, Scene
from agriseg.raster.source import Source, inspect

__all__ = ["Inputs", "SceneOptions", "common_stem", "narrow", "open_scene", "parse_bands"]

Said = Sequence[str] | Mapping[str, int] | str
PathLike = str | os.PathLike[str]
Inputs = PathLike | Mapping[str, PathLike]
"""One scene: a raster, a folder of single-band rasters, or single-band rasters by role."""


class SceneOptions(TypedDict, total=False):
    """The keywords of `open_scene`."""

    bands: Said | None
    sensor: str | None
    scale: float | None
    offset: float | None
    nodata: float | None
    masks: Sequence[str | Mask]
    mask_grow_m: float
    about: Mapping[str, str] | None
    name: str | None


def open_scene(
    path_or_bands: Inputs,
    *,
    bands: Said | None = None,
    sensor: str | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
    masks: Sequence[str | Mask] = (),
    mask_grow_m: float = 0.0,
    about: Mapping[str, str] | None = None,
    name: str | None = None,
) -> Scene:
    """Open a raster scene and decide what its bands mean; no pixels are kept.

    Args:
        path_or_bands: A raster of any kind that GDAL reads; a folder of single-band files; or
            single-band files by role, as in `{"red": "R.tif", "nir": "N.tif"}`.
        bands: The role of each band in the file's order, as a list or a string such as
            `"blue,green,red,rededge,nir"`; or numbers by role, `"red=3,nir=5"`. A role may carry a
            date (`red@1`), "alpha" names the band of usable pixels, "-" one to leave out.
        sensor: A preset of `agriseg.bands.SENSORS`.
        scale: Reflectance = value * scale + offset, for all bands.
        offset: See `scale`.
        nodata: The value of missing pixels, where the file does not declare it.
        masks: Class rasters that hide pixels, as `"SCL.tif:0,1,3,8,9,10,11"`.
        mask_grow_m: Hide everything within this many metres of those classes too.
        about: Facts that travel into every output: date, client, farm, field, crop, growth_stage,
            and any of your own.
        name: What the results are called; by default after the file.

    Bands on coarser grids are resampled to the finest one, bilinear.

    Raises:
        InputError: A file is missing or cannot be used.
        BandError: The bands contradict what was said of them.
        OptionError: An option makes no sense.
    """
    facts = dict(about or {})
    _check_facts(facts)
    _check_scaling(scale, offset)
    said = parse_bands(bands) if isinstance(bands, str) else bands
    preset = sensor_named(sensor)
    if mask_grow_m and not masks:
        raise OptionError(f"--mask-grow-m {mask_grow_m:g}: there is no --mask to grow")
    if isinstance(masks, str):
        masks = (masks,)
    class_masks = tuple(
        parse_class_mask(mask, mask_grow_m) if isinstance(mask, str) else mask for mask in masks
    )
    sources, decisions, stem = _find(path_or_bands, said, preset, nodata)
    for source, decision in zip(sources, decisions, strict=True):
        _check_alpha(source, decision, said is not None)
    found, radiometry = _scaled(sources, decisions, scale, offset, preset)
    alphas = tuple(
        BandMask(s.path, d.alpha) for s, d in zip(sources, decisions, strict=True) if d.alpha
    )
    geobox = _common_grid(sources)
    for mask in class_masks:
        if isinstance(mask, ClassMask):
            _check_class_mask(mask, geobox)
    return Scene(name or stem, found, geobox, radiometry, alphas + class_masks, facts)


def _check_facts(facts: Mapping[str, str]) -> None:
    """Any fact may travel, if its name can be a key in every output, and is not a known one's."""
    for fact in facts:
        meant = meant_by(fact, FACTS)
        if meant:
            raise OptionError(f"the fact {fact!r} is unknown; did you mean {meant}?")
        if not re.fullmatch(r"\w+", fact):
            raise OptionError(
                f"the fact {fact!r} cannot be a name in every output; use letters, digits and _"
            )


def _check_scaling(scale: float | None, offset: float | None) -> None:
    if scale is not None and not (math.isfinite(scale) and scale != 0):
        raise OptionError(f"--scale {scale}: a number other than 0 is needed")
    if offset is not None and not math.isfinite(offset):
        raise OptionError(f"--offset {offset}: a finite number is needed")


def narrow(
    scene: Scene,
    *,
    bounds: Sequence[float] | None = None,
    cutline: PathLike | None = None,
    gsd_m: float | None = None,
) -> Scene:
    """A part of a scene, or a coarser or finer view of it.

    Args:
        scene: The whole.
        bounds: (left, bottom, right, top) in the scene's CRS; whole pixels that cover it are kept.
        cutline: A vector file with polygons, in any CRS; pixels with their centre outside are
            hidden, and what lies around the polygons is cut off.
        gsd_m: Size of the new pixels in metres.

    Raises:
        OptionError: Bounds or polygons do not meet the scene.
        InputError: The vector file cannot be used.
    """
    if bounds is not None:
        finite = len(bounds) == 4 and all(map(math.isfinite, bounds))
        if not finite or bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
            raise OptionError(
                f"--bounds {','.join(map(str, bounds))}: expected left,bottom,right,top with left "
                "< right and bottom < top"
            )
        left, bottom, right, top = bounds
        corners = [(left, bottom), (left, top), (right, bottom), (right, top)]
        scene = _cut(scene, corners, "--bounds")
    if cutline is not None:
        area = read_area(cutline, scene.geobox.crs)
        points = [point for wkb in area.wkb for point in area_points(wkb)]
        scene = _cut(scene, points, f"--cutline {cutline}")
        scene = replace(scene, masks=(*scene.masks, area))
    return scene if gsd_m is None else scene.at_gsd(gsd_m)


def _cut(scene: Scene, points: list[tuple[float, float]], what: str) -> Scene:
    window = scene.geobox.covering(points)
    if window is None:
        here = ", ".join(f"{value:.10g}" for value in scene.geobox.bounds)
        raise OptionError(
            f"{what} does not meet the scene, which spans left, bottom, right, top = {here} in "
            f"{'its own units' if scene.geobox.crs is None else crs_words(scene.geobox)}"
        )
    return scene.crop(window)


def parse_bands(text: str) -> list[str] | dict[str, int]:
    """Read `blue,green,red` or `red=3,nir=5`.

    Raises:
        OptionError: It is neither.
    """
    words = [word.strip() for word in text.split(",")]
    if not any(words):
        raise OptionError("--bands is empty; name the bands in order, such as red,green,blue")
    if not all(words):
        raise OptionError(
            f"--bands {text!r} has two commas without a band between them; '-' stands for one to "
            "leave out"
        )
    if not any("=" in word for word in words):
        return words
    numbers: dict[str, int] = {}
    for word in words:
        role, _, index = word.partition("=")
        split_role(role)
        if not index.strip().isdecimal() or role in numbers:
            raise OptionError(
                f"--bands {text!r}: {word!r} is not a role and a band number, such as nir=5"
            )
        numbers[role] = int(index)
    return numbers


def _find(
    given: Inputs,
    said: Sequence[str] | Mapping[str, int] | None,
    preset: Sensor | None,
    nodata: float | None,
) -> tuple[list[Source], list[Decision], str]:
    if isinstance(given, Mapping):
        files = {role: str(path) for role, path in given.items()}
        if not files:
            raise OptionError("no file is given; a scene needs one for each band: red=R.tif ...")
        stem = common_stem(list(files.values()))
        return (*_by_role(files, said, preset, nodata), stem)
    path = str(given)
    if not path.strip():
        raise OptionError("the path of the raster is empty; give a raster or a folder")
    if Path(path).is_dir():
        files = band_files(Path(path), preset)
        found = _by_role(files, said, preset, nodata, "the name of its file")
        return (*found, Path(path).resolve().name)
    source = inspect(path, fresh=True)
    decision = decide_roles(source, bands=said, sensor=preset, nodata=nodata)
    return [source], [decision], file_stem(path)


def _by_role(
    files: Mapping[str, str],
    said: Sequence[str] | Mapping[str, int] | None,
    preset: Sensor | None,
    nodata: float | None,
    evidence: str = "the file given for it",
) -> tuple[list[Source], list[Decision]]:
    if said is not None:
        raise OptionError(
            "--bands is for one file of many bands; here each file is one band: give them as "
            "red=R.tif nir=N.tif"
        )
    sources, decisions = [], []
    for key, path in files.items():
        role, date = split_role(key)
        source = inspect(path, fresh=True)
        if source.count != 1 and not (source.count == 2 and source.colors[1] == "alpha"):
            raise BandError(
                f"{key}={path}: the file has {source.count} bands, one is expected; give files "
                "of many bands alone, with --bands"
            )
        sources.append(source)
        if role == ALPHA:
            decisions.append(Decision((), 1))
            continue
        nm = source.wavelengths_nm[0]
        if preset:
            nm = next((b.wavelength_nm for b in preset.bands if b.role == role), nm)
        missing = source.nodata[0] if nodata is None else nodata
        band = Band(path, 1, role, date, nm, nodata=missing, evidence=evidence)
        decisions.append(Decision((band,), 2 if source.count == 2 else None))
    return sources, decisions


def common_stem(paths: Sequence[str]) -> str:
    """What a scene of one file a band is called: what their names share, else their folder."""
    stems = [file_stem(path) for path in paths]
    letters = zip(*stems, strict=False)
    common = "".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, letters))
    common = common.strip(" _-.")
    # B04 and B05 have B0 in common, which says nothing; the folder does.
    if len(paths) == 1 or len(common) > 2:
        return common
    folder = Path(redacted(paths[0]))
    return (folder if is_remote(paths[0]) else folder.resolve()).parent.name or "scene"


def _check_alpha(source: Source, decision: Decision, user_said: bool) -> None:
    """Refuse a band that is tagged alpha but holds a picture: near infrared often is."""
    if decision.alpha is None or user_said:
        return
    values = sample_values(source, max_values=500_000)[decision.alpha - 1]
    top = values.max() if values.size else 0
    between = float(np.mean((values != 0) & (values != top)))
    if between > 0.2:
        raise BandError(
            f"{source.path}: band {decision.alpha} is tagged as alpha, but {between:.0%} of its "
            "values lie between empty and full, as in a picture; say what it is: --bands "
            f"{_example(source, 'nir', decision.alpha)} if it is near infrared, or --bands "
            f"{_example(source, ALPHA, decision.alpha)} if it is alpha"
        )


def _example(source: Source, word: str, index: int) -> str:
    words = [color if color in ("red", "green", "blue") else "-" for color in source.colors]
    words[index - 1] = word
    return ",".join(words)


def _scaled(
    sources: Sequence[Source],
    decisions: Sequence[Decision],
    scale: float | None,
    offset: float | None,
    preset: Sensor | None,
) -> tuple[tuple[Band, ...], Radiometry]:
    found: list[Band] = []
    radiometry: Radiometry | None = None
    for source, decision in zip(sources, decisions, strict=True):
        if not decision.bands:
            continue
        sample = _usable_sample(source, decision)
        how, scales, offsets = decide_radiometry(
            source, sample, scale=scale, offset=offset, sensor=preset
        )
        if radiometry is not None and how.level != radiometry.level:
            raise InputError(
                f"{source.path} holds {how.level} ({how.evidence}), the other bands "
                f"{radiometry.level} ({radiometry.evidence}); give --scale, or export all alike"
            )
        radiometry = radiometry or how
        found += [
            replace(band, scale=scales[band.index - 1], offset=offsets[band.index - 1])
            for band in decision.bands
        ]
    if radiometry is None:
        raise BandError("only an alpha band was given; a scene needs a band of light")
    keys = [band_key(band.role, band.date) for band in found if band.role]
    doubles = sorted({key for key in keys if keys.count(key) > 1})
    if doubles:
        raise BandError(f"two files are given for {doubles[0]}; one is expected")
    return tuple(found), radiometry


def _usable_sample(source: Source, decision: Decision) -> NDArray[Any]:
    """Values of a floating point file that are not missing; other types need no look."""
    if source.dtype.kind != "f":
        return np.empty(0, np.float32)
    values = sample_values(source, max_values=500_000)
    light = [band.index - 1 for band in decision.bands if band.role != "lwir"]
    values = values[light or [band.index - 1 for band in decision.bands]]
    good = np.isfinite(values)
    for band in decision.bands:
        if band.nodata is not None and not math.isnan(band.nodata):
            good &= values != values.dtype.type(band.nodata)
    usable: NDArray[Any] = values[good]
    return usable


def _common_grid(sources: Sequence[Source]) -> GeoBox:
    """The finest grid among the files; all must share its CRS and its axes."""
    finest = min(sources, key=lambda s: abs(s.geobox.transform.determinant))
    box = finest.geobox
    for source in sources:
        size = source.geobox
        if size.crs != box.crs:
            warp = f'gdalwarp -r bilinear -t_srs "{crs_words(box)}" "{source.path}" aligned.tif'
            raise InputError(apart_words(source.path, size, finest.path, box, warp))
        cols, rows = grid_axes(box, size, source.path)
        if not (cols.meets(box.width, size.width) and rows.meets(box.height, size.height)):
            raise InputError(
                f"{source.path} and {finest.path} do not meet on the ground, so they are not one "
                "scene; give files of the same place"
            )
    return box


def _check_class_mask(mask: ClassMask, box: GeoBox) -> None:
    """Refuse a mask that could hide nothing, before hours are spent without it."""
    source = inspect(mask.path, fresh=True)
    _check_mask_band(mask, len(source.dtypes))
    size = source.geobox
    cols, rows = mask_axes(mask, size, box)
    if not (cols.meets(box.width, size.width) and rows.meets(box.height, size.height)):
        raise InputError(
            f"--mask {mask.path} does not meet the scene on the ground; give the mask of the same "
            "place"
        )


def _check_mask_band(mask: ClassMask, bands: int) -> None:
    """Refuse a band that is not there, and to guess one of several."""
    if mask.band is None and bands > 1:
        values = ",".join(map(str, sorted(mask.values)))
        raise InputError(
            f"--mask {mask.path} has {bands} bands; say which one holds the classes: "
            f"{mask.path}:1:{values} for the first"
        )
    if mask.band is not None and not 1 <= mask.band <= bands:
        raise InputError(
            f"--mask {mask.path}: there is no band {mask.band}; the file has {bands} (from 1 on)"
        )
