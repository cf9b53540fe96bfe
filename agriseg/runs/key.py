"""Fingerprints: what a result depends on, in a few hex digits."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agriseg.errors import InputError, redacted
from agriseg.raster.masks import AreaMask, BandMask
from agriseg.raster.remote import file_name, is_remote
from agriseg.raster.scene import Scene
from agriseg.raster.source import inspect
from agriseg.runs.remote_print import ENDS, remote_print

__all__ = [
    "digest",
    "file_print",
    "files_of",
    "fingerprint",
    "is_same_file",
    "pixel_facts",
    "scene_facts",
]

# A raster inside an archive changes with the archive.
_ARCHIVE = re.compile(
    r"(?:/vsi(?:zip|tar|gzip|7z|rar)/|(?:zip|tar|gzip)://)(.+?\.(?:zip|tar\.gz|tgz|tar|gz|7z|rar))",
    re.IGNORECASE,
)


def digest(facts: Mapping[str, Any]) -> str:
    """SHA-256 of facts that JSON can hold, whatever their order."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def files_of(path: str) -> list[str]:
    """Every file that a raster is read from: a VRT's sources, theirs in turn, and sidecars."""
    found: dict[str, None] = {}
    waiting = [path]
    while waiting:
        source = waiting.pop()
        try:
            files = inspect(source).files
        except InputError:
            continue  # a sidecar, no raster of its own
        for name in files:
            if name not in found:
                found[name] = None
                if name != source and file_name(source).lower().endswith(".vrt"):
                    waiting.append(name)
    return list(found)


def fingerprint(path: str) -> list[dict[str, Any]]:
    """The print of each of `files_of` a raster."""
    return [file_print(name) for name in files_of(path)]


def file_print(name: str) -> dict[str, Any]:
    """Size, time and a hash of both ends of a file; of one behind a network, see `remote_print`.

    Of what is no file only the name is known.

    Raises:
        InputError: A server does not answer.
    """
    if is_remote(name):
        return remote_print(name)
    archive = _ARCHIVE.search(name)
    path = Path(archive.group(1) if archive else name)
    try:
        status = path.stat()
        with path.open("rb") as file:
            ends = file.read(ENDS)
            file.seek(max(status.st_size - ENDS, 0))
            ends += file.read(ENDS)
    except OSError:
        return {"name": redacted(name)}
    return {
        "name": Path(name).name,
        "bytes": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "ends": hashlib.blake2b(ends, digest_size=16).hexdigest(),
    }


def is_same_file(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two prints are of the same bytes; the time says so where the ends are not all."""
    if one == other:
        return True
    keys = ("name", "bytes", "ends")
    small = one.get("bytes", 2 * ENDS + 1) <= 2 * ENDS
    return small and all(one.get(key) == other.get(key) for key in keys)


def scene_facts(scene: Scene) -> dict[str, Any]:
    """Everything about a scene that decides its pixels, fit for JSON and run.json."""
    paths = dict.fromkeys(band.path for band in scene.bands)
    masks: list[dict[str, Any]] = []
    for mask in scene.masks:
        if isinstance(mask, AreaMask):
            polygons = hashlib.sha256(b"".join(mask.wkb)).hexdigest()
            masks.append({"area": mask.label, "polygons": polygons})
        elif isinstance(mask, BandMask):
            paths.setdefault(mask.path)
            masks.append({"alpha": file_name(mask.path), "band": mask.index})
        else:
            paths.setdefault(mask.path)
            masks.append(
                {
                    "classes": file_name(mask.path),
                    "values": sorted(mask.values),
                    "grow_m": mask.grow_m,
                    "band": mask.band or 1,
                }
            )
    box = scene.geobox
    return {
        "name": scene.name,
        "bands": [
            {
                "file": file_name(band.path),
                "index": band.index,
                "role": band.key,
                "wavelength_nm": band.wavelength_nm,
                "scale": band.scale,
                "offset": band.offset,
                "nodata": None if band.nodata is None else repr(band.nodata),
                "evidence": band.evidence,
            }
            for band in scene.bands
        ],
        "radiometry": {"level": scene.radiometry.level, "evidence": scene.radiometry.evidence},
        "grid": {
            "crs": None if box.crs is None else box.crs.to_wkt(),
            "transform": list(box.transform.to_gdal()),
            "width": box.width,
            "height": box.height,
        },
        "masks": masks,
        "files": dict(zip(_shown(paths), map(fingerprint, paths), strict=True)),
    }


def _shown(paths: Iterable[str]) -> list[str]:
    """Paths fit for everyone's eyes, each once: two may differ in nothing but what is secret."""
    found: list[str] = []
    for path in paths:
        name = redacted(path)
        same = sum(one == name or one.startswith(f"{name} #") for one in found)
        found.append(f"{name} #{same + 1}" if same else name)
    return found


def pixel_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What of `scene_facts` decides pixels: not where the files lie, nor how a role was found."""
    bands = [
        {key: band[key] for key in ("file", "index", "role", "scale", "offset", "nodata")}
        for band in facts["bands"]
    ]
    masks = [{k: v for k, v in mask.items() if k != "area"} for mask in facts["masks"]]
    return {
        "grid": facts["grid"],
        "bands": bands,
        "masks": masks,
        "files": list(facts["files"].values()),
    }
