"""A folder of single-band files: which file holds which band."""

from __future__ import annotations

import re
from pathlib import Path

from agriseg.bands import ALPHA, SENSORS, Sensor, role_from_text
from agriseg.errors import BandError, InputError
from agriseg.raster.source import Source, inspect

__all__ = ["OWN_MAPS", "RASTER_ENDINGS", "band_files", "is_picture", "is_raster_name", "role_of"]

RASTER_ENDINGS = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".png")
OWN_MAPS = ("classes.tif", "confidence.tif", "probabilities.tif", "image.vrt", "classes.vrt")
_LANDSAT_8_9 = re.compile(r"L[CO]0[89]_", re.IGNORECASE)
_OTHER_LANDSAT = re.compile(r"L[A-Z]0\d_", re.IGNORECASE)
_SENTINEL_2 = re.compile(r"(?:^|_)(?:T\d\d[A-Z]{3}|S2[A-D])_", re.IGNORECASE)
_DJI = re.compile(r"(?:^|_)(MS_(?:G|R|RE|NIR))(?:_|$)", re.IGNORECASE)


def band_files(folder: Path, sensor: Sensor | None = None) -> dict[str, str]:
    """The single-band rasters of a folder by role, as their names or descriptions tell.

    Other rasters that lie there too (elevation, cloud classes, a picture, a map of the scene) are
    passed over.

    Raises:
        InputError: There are no rasters, or one of many bands that is no mere picture.
        BandError: No file tells its band, or two tell the same one.
    """
    paths = sorted(
        path for path in folder.iterdir() if is_raster_name(path.name) and path.is_file()
    )
    if not paths:
        raise InputError(f"{folder} is a folder without rasters ({', '.join(RASTER_ENDINGS)})")
    files: dict[str, str] = {}
    for path in paths:
        source = inspect(path)
        if is_picture(source):
            continue
        if source.count > 2:
            raise InputError(
                f"{folder}: {path.name} has {source.count} bands, so the folder is not one scene "
                "of single-band files; give its files one by one"
            )
        role = role_of(source.descriptions[0], path.stem, sensor)
        if role is None:
            continue
        if role in files:
            raise BandError(
                f"{folder}: {Path(files[role]).name} and {path.name} both seem to be {role}; say "
                f"which files to use: {role}={path.name} ..."
            )
        files[role] = str(path)
    if not files.keys() - {ALPHA}:
        names = ", ".join(path.name for path in paths[:4])
        raise BandError(
            f"{folder}: no file name tells its band ({names}); give them as red=FILE nir=FILE"
        )
    return files


def is_raster_name(name: str) -> bool:
    """Whether a file of that name in a folder is taken for a raster of the user's."""
    # Finder and others leave files that start with a dot beside the real ones.
    return name.lower().endswith(RASTER_ENDINGS) and name[0] != "." and name not in OWN_MAPS


def is_picture(source: Source) -> bool:
    """A preview in true colours, as satellites and DJI put beside the bands."""
    return source.count in (3, 4) and set(source.dtypes) == {"uint8"}


def role_of(description: str | None, stem: str, sensor: Sensor | None = None) -> str | None:
    """The band that a file's description, or else its name, tells."""
    if sensor is not None:
        for text in filter(None, (description, stem)):
            if role := _sensor_role(text, sensor):
                return role
    return role_from_text(description or "") or role_from_text(stem) or _product_role(stem)


def _sensor_role(text: str, sensor: Sensor) -> str | None:
    """The role of the last word, or words, of `text` by which the sensor calls a band."""
    words = re.split(r"[\s_\-.]+", text)
    for start in reversed(range(len(words))):
        # The longest first and from each start: "MS_R", "red edge" before "red".
        for stop in range(min(start + 3, len(words)), start, -1):
            match = sensor.band_named("_".join(words[start:stop]))
            if match:
                return match.role
    return None


def _product_role(stem: str) -> str | None:
    """Names of bands that mean something in one product only, and how its files are named.

    B5 is near infrared to Landsat 8 and a red edge to Sentinel-2, B4 is red to both and near
    infrared to Landsat 7.
    """
    dji = _DJI.search(stem)
    if dji:
        band = SENSORS["dji-mavic-3m"].band_named(dji.group(1))
        return band.role if band else None
    if _OTHER_LANDSAT.match(stem):
        known = _LANDSAT_8_9.match(stem)
        return _sensor_role(stem, SENSORS["landsat-8-9"]) if known else None
    sentinel = SENSORS["sentinel-2-l2a"]
    for word in reversed(re.split(r"[\s_\-.]+", stem)):
        match = sentinel.band_named(word)
        if match and (word.upper() == match.names[0] or _SENTINEL_2.search(stem)):
            return match.role
    return None
