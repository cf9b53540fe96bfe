"""The image behind a map: a virtual raster beside the results, and how its bands are shown.

QGIS asks what to do about each layer whose file is gone. A virtual raster is there whatever became
of the image that it points to: a run folder that travels alone opens without a question, and shows
the image again where the two lie to each other as before. It also brings bands of several files
together, and numbers into reflectance.
"""

from __future__ import annotations

import logging
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from agriseg.bands import Band, Radiometry, split_role
from agriseg.errors import AgrisegError, InputError
from agriseg.geobox import GeoBox
from agriseg.publish.styles import Channel, Style, composite
from agriseg.publish.virtual import Placed, VirtualBand, pointer, virtual_raster
from agriseg.raster import BandMask, Scene, sample_pixels
from agriseg.raster.opener import is_local
from agriseg.raster.reader import grid_axes
from agriseg.raster.remote import file_name, is_remote
from agriseg.raster.source import Source, inspect
from agriseg.raster.whole_file import write_bytes
from agriseg.runs import Run
from agriseg.runs.key import file_print

__all__ = ["IMAGE_FILE", "Image", "View", "image_of", "recorded_scene"]

IMAGE_FILE = "image.vrt"
_LOG = logging.getLogger(__name__)
# (name, roles that become red, green and blue); the first that a scene has is shown at first.
_VIEWS = (
    ("False colour (plants red)", ("nir", "red", "green")),
    ("True colour", ("red", "green", "blue")),
    ("False colour (plants red)", ("nir", "red", "red")),
    ("Image", ("red", "green", "green")),
)
# An archive whose place depends on the folder that we are called from.
_ARCHIVE = re.compile(r"(/vsi(?:zip|tar|gzip|7z|rar)/)((?![/{]|vsi).+)")
# Percentiles of the stretch: a glint or a burnt pixel must not darken the rest.
_LOW, _HIGH = 2.0, 98.0
_SAMPLE_PIXELS = 200_000


@dataclass(frozen=True)
class View:
    """One way to show the image: a name for the legend, and its style."""

    name: str
    style: Style


@dataclass(frozen=True)
class Image:
    """The image of a run, as a virtual raster in its folder.

    Args:
        box: Its grid.
        views: How it may be shown, the best first.
    """

    box: GeoBox
    views: tuple[View, ...]


def image_of(run: Run) -> Image | None:
    """Write the virtual raster of a run's image, and find how to show it.

    Returns:
        None where the image is not to be found any more, or cannot be pointed to: an address whose
        key is not written down, bands that are turned against each other.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        scene = recorded_scene(run)
        if scene is None:
            return None
        return _image(run, scene)
    except AgrisegError as error:
        _LOG.warning("the project of %s goes without its image: %s", run.path, error)
        return None


def recorded_scene(run: Run) -> Scene | None:
    """The scene of a run from its record, without the masks of classes and areas."""
    facts = run.record["scene"]
    paths = _paths(run)
    if not paths:
        return None
    bands, alphas = [], []
    for one in facts["bands"]:
        if one["role"] is None or one["file"] not in paths:
            continue
        role, date = split_role(one["role"])
        nodata = None if one["nodata"] is None else float(one["nodata"])
        known = {key: one[key] for key in ("index", "wavelength_nm", "scale", "offset")}
        bands.append(Band(paths[one["file"]], role=role, date=date, nodata=nodata, **known))
    for one in facts["masks"]:
        if one.get("alpha") in paths:
            alphas.append(BandMask(paths[one["alpha"]], one["band"]))
    if not bands:
        return None
    grid = facts["grid"]
    crs = None if grid["crs"] is None else CRS.from_wkt(grid["crs"])
    box = GeoBox(crs, Affine.from_gdal(*grid["transform"]), grid["width"], grid["height"])
    radiometry = Radiometry(**facts["radiometry"])
    return Scene(facts["name"], tuple(bands), box, radiometry, tuple(alphas))


def _paths(run: Run) -> dict[str, str]:
    """Where the files of a run's image are now, by their names; nothing where one is unsure."""
    earlier = _earlier_paths(run.path / IMAGE_FILE)
    found: dict[str, str] = {}
    for shown, prints in run.record["scene"]["files"].items():
        name = file_name(shown)
        if name in found:
            return {}  # two of one name: nobody knows which band is whose
        for path in (shown, *(one for one in earlier if file_name(one) == name)):
            if _is_it(path, prints):
                found[name] = path
                break
    return found


def _earlier_paths(path: Path) -> list[str]:
    """What the virtual raster that is there already points to: still right where all was moved."""
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError):
        return []
    names = []
    for element in root.iter("SourceFilename"):
        text = element.text or ""
        relative = element.get("relativeToVRT") == "1"
        names.append(os.path.normpath(path.parent / text) if relative else text)
    return list(dict.fromkeys(names))


def _is_it(path: str, prints: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a path leads to the file of a record; its time may be another, as of a copy."""
    if is_remote(path):
        return True  # opening it will tell
    if not prints:
        return False
    now = file_print(path)
    return "ends" in now and all(now.get(key) == prints[0].get(key) for key in ("bytes", "ends"))


def _image(run: Run, scene: Scene) -> Image | None:
    """Write the virtual raster, on the grid of the finest band that is shown first."""
    date = scene.bands[0].date
    at = f"@{date}" if date else ""
    views = [(name, [f"{role}{at}" for role in roles]) for name, roles in _VIEWS]
    views = [(name, keys) for name, keys in views if all(map(scene.has, keys))]
    if not views:
        views = [("Image", [str(scene.bands[0].key)])]
    main = min(map(scene.band, views[0][1]), key=_pixel_area)
    source = inspect(main.path)
    placed = {band: one for band in scene.bands if (one := _placed(run, band, source.geobox))}
    # A view of two bands is for scenes that have no third.
    most = max(len(set(keys)) for _, keys in views)
    views = [
        (name, keys)
        for name, keys in views
        if len(set(keys)) == most and all(scene.band(key) in placed for key in keys)
    ]
    if not views:
        return None
    alpha = next((_alpha(run, mask, source) for mask in scene.masks if _is_alpha(mask, main)), None)
    number = {band: k for k, band in enumerate(placed, 1)}
    stretch = _stretches(scene, sorted({key for _, keys in views for key in keys}))
    shown = []
    for name, keys in views:
        ends = [stretch[key] for key in keys]
        if [key.partition("@")[0] for key in keys] == ["red", "green", "blue"]:
            # One stretch for all three: soil stays brown, where each band's own makes it grey.
            ends = [(min(low for low, _ in ends), max(high for _, high in ends))] * 3
        channels = [
            Channel(number[scene.band(k)], *both) for k, both in zip(keys, ends, strict=True)
        ]
        shown.append(View(name, composite(channels, len(placed) + 1 if alpha else None)))
    bands = [*placed.values(), *([alpha] if alpha else [])]
    mask = _whole(run, source, "mask,1") if source.dataset_mask else None
    write_bytes(run.path / IMAGE_FILE, virtual_raster(source.geobox, bands, mask=mask))
    return Image(source.geobox, tuple(shown))


def _pixel_area(band: Band) -> float:
    return float(abs(inspect(band.path).geobox.transform.determinant))


def _is_alpha(mask: object, main: Band) -> bool:
    return isinstance(mask, BandMask) and mask.path == main.path


def _alpha(run: Run, mask: Any, source: Source) -> VirtualBand:
    dtype = source.dtypes[mask.index - 1]
    return VirtualBand("alpha", dtype, (_whole(run, source, mask.index),), color="Alpha")


def _whole(run: Run, source: Source, band: int | str) -> Placed:
    """A band of the file whose grid is that of the virtual raster."""
    box = source.geobox
    dtype = "uint8" if isinstance(band, str) else source.dtypes[band - 1]
    size = (box.width, box.height)
    return Placed(*_pointer(run, source), band, size, dtype, (0, 0, *size))


def _pointer(run: Run, source: Source) -> tuple[str, bool]:
    if is_local(source.path):
        return pointer(source.path, run.path)
    # In GDAL's own words: rasterio's zip:// and https:// are not known to QGIS.
    name = source.files[0] if source.files else source.path
    archive = _ARCHIVE.match(name)
    return (archive[1] + Path(archive[2]).absolute().as_posix() if archive else name), False


def _placed(run: Run, band: Band, box: GeoBox) -> VirtualBand | None:
    """A band on the grid of the virtual raster; None where the two are turned, or apart."""
    source = inspect(band.path)
    other = source.geobox
    if other.crs != box.crs:
        return None
    try:
        # The image's pixels in those of the band.
        cols, rows = grid_axes(box, other, band.path)
    except InputError:
        return None
    rect = (
        0.0 - cols.shift / cols.factor,
        0.0 - rows.shift / rows.factor,
        other.width / cols.factor,
        other.height / rows.factor,
    )
    if rect[2] <= 0 or rect[3] <= 0:
        return None
    dtype = source.dtypes[band.index - 1]
    place = Placed(*_pointer(run, source), band.index, (other.width, other.height), dtype, rect)
    name = str(band.key)
    return VirtualBand(name, dtype, (place,), band.nodata, band.scale, band.offset)


def _stretches(scene: Scene, keys: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Reflectance that is black, and that is full colour, of some bands, from a sample."""
    sample = sample_pixels(scene, keys, max_pixels=_SAMPLE_PIXELS)
    usable = sample.data[:, sample.valid]
    if not usable.size:
        return dict.fromkeys(keys, (0.0, 1.0))
    low, high = np.percentile(usable, (_LOW, _HIGH), axis=1)
    # A band of one value: something must be between the two.
    high = np.where(high > low, high, low + 1)
    return {key: (float(low[k]), float(high[k])) for k, key in enumerate(keys)}
