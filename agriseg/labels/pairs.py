"""Which label file belongs to which image: by what the stars of two patterns stand for.

images/*_image.png  with  annotations/*_annotation.png     012_image.png, 012_annotation.png
images              with  masks                            files of the same stem
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agriseg.errors import LabelError

__all__ = ["Pairs", "files_of", "paired"]

_IMAGES = (
    *(".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".webp", ".bmp", ".gif", ".vrt", ".img"),
    *(".heic", ".avif"),
)
_VECTORS = (
    *(".gpkg", ".geojson", ".geojsonl", ".json", ".shp", ".fgb", ".kml", ".kmz", ".gml", ".gdb"),
    *(".parquet", ".geoparquet", ".dxf", ".tab", ".sqlite"),
)
_STARS = re.compile(r"[*?\[]")


def is_vector(path: str) -> bool:
    """Whether a file name is that of a vector file."""
    return Path(path.removesuffix(".zip")).suffix.lower() in _VECTORS or path.endswith(".zip")


@dataclass(frozen=True)
class Pairs:
    """Images with their labels.

    Args:
        found: (image, labels) each.
        alone: Images without labels.
        spare: Labels without an image.
    """

    found: tuple[tuple[str, str], ...]
    alone: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()


def files_of(
    patterns: Sequence[str], base: Path, what: str, *, folders: bool = False
) -> dict[tuple[str, ...], str]:
    """Files by what the stars of their pattern stand for; of a folder's files, by their stems.

    Args:
        patterns: Paths, folders, or patterns with stars.
        base: What they are relative to.
        what: The key of the configuration, for messages.
        folders: A folder is itself what is looked for, not its files.

    Raises:
        LabelError: Nothing is there, or two files have one name.
    """
    found: dict[tuple[str, ...], str] = {}
    for pattern in patterns:
        text = pattern if _is_remote(pattern) else os.path.expanduser(pattern)
        full = star = text
        if not _is_remote(text):
            full = os.path.normpath(os.path.join(base, text))
            # Stars and brackets in the name of the base folder stand for themselves.
            star = os.path.normpath(os.path.join(glob.escape(os.fspath(base)), text))
        for key, path in _matches(full, star, pattern, what, folders):
            if key in found and found[key] != path:
                raise LabelError(
                    f"{what}: {found[key]} and {path} have the same name, {'/'.join(key)!r}; "
                    "give them as two entries"
                )
            found[key] = path
    return found


def as_written(path: str, patterns: Sequence[str], base: str | os.PathLike[str]) -> str:
    """A path that was found, as the configuration writes it: seen from its base, or in full.

    Args:
        path: As `files_of` gives it.
        patterns: Of which one stands for it.
        base: What they are relative to.
    """
    for pattern in map(os.path.expanduser, patterns):
        begin = os.path.normpath(_STARS.split(pattern)[0])
        if os.path.isabs(pattern) and path.startswith(begin):
            return Path(path).as_posix()
    return seen_from(path, base)


def seen_from(path: str, base: str | os.PathLike[str]) -> str:
    """A path relative to a folder, with slashes; as it is where it is no local file."""
    return path if _is_remote(path) else Path(os.path.relpath(path, base)).as_posix()


def _is_remote(path: str) -> bool:
    return path.startswith("/vsi") or "://" in path


def _matches(
    full: str, star: str, pattern: str, what: str, folders: bool
) -> list[tuple[tuple[str, ...], str]]:
    if _STARS.search(pattern) and not os.path.exists(full):
        found = [path for path in sorted(glob.glob(star, recursive=True)) if _is_visible(path)]
        if not found:
            raise LabelError(f"{what}: no file is called {pattern}, seen from {_base(full)}")
        finder = _finder(star)
        keys = [finder.fullmatch(path) for path in found]
        return [
            (tuple(key.groups()) if key else (Path(path).stem,), path)
            for key, path in zip(keys, found, strict=True)
        ]
    if os.path.isdir(full) and not folders:
        inside = sorted(entry.path for entry in os.scandir(full) if entry.is_file())
        found = [p for p in inside if Path(p).suffix.lower() in _IMAGES and _is_visible(p)]
        if not found:
            raise LabelError(f"{what}: {full} is a folder without pictures")
        return [((Path(path).stem,), path) for path in found]
    if not _is_remote(full) and not os.path.exists(full):
        raise LabelError(f"{what}: {full} does not exist; check the path")
    return [((Path(full).stem,), full)]


def _is_visible(path: str) -> bool:
    # Finder and others leave files that start with a dot, GDAL sidecars, beside the real ones.
    name = os.path.basename(path)
    return name[0] != "." and not name.endswith((".aux.xml", ".ovr", ".msk", ".tfw", ".pgw"))


def _base(full: str) -> str:
    return os.path.dirname(_STARS.split(full)[0]) or "here"


def _finder(pattern: str) -> re.Pattern[str]:
    """A regular expression whose groups are what the stars of a pattern stand for."""
    text = ""
    for part in re.split(r"(\*\*[/\\]|\*|\?|\[[^\]]+\])", pattern):
        if part in ("[*]", "[?]", "[[]"):  # as `glob.escape` writes them
            text += re.escape(part[1])
            continue
        if part[:2] == "**" and len(part) == 3:
            text += r"((?:.*[/\\])?)"
        elif part == "*":
            text += r"([^/\\]*)"
        elif part == "?":
            text += r"([^/\\])"
        elif part.startswith("[") and part.endswith("]"):
            text += f"({part.replace('[!', '[^', 1)})"
        else:
            text += re.escape(part)
    return re.compile(text)


def paired(
    images: Sequence[str],
    labels: Sequence[str],
    base: Path,
    *,
    names: tuple[str, str] = ("images", "labels"),
    folders: bool = False,
) -> Pairs:
    """Pair images with labels; a single label file without stars serves all images.

    Args:
        images: Paths, folders, or patterns with stars.
        labels: The same for labels.
        base: What they are relative to.
        names: What the two are called in the configuration.
        folders: A folder among the images is one scene of single-band files.

    Raises:
        LabelError: Nothing is there, or no pair is found.
    """
    left = files_of(images, base, names[0], folders=folders)
    right = files_of(labels, base, names[1])
    if len(right) == 1 and not _STARS.search(labels[0]) and len(labels) == 1:
        only = next(iter(right.values()))
        if len(left) == 1 or (folders and not os.path.isdir(os.path.join(base, labels[0]))):
            return Pairs(tuple((path, only) for path in left.values()))
    common = [key for key in left if key in right]
    if not common and len(left) == len(right) == 1:
        return Pairs(((next(iter(left.values())), next(iter(right.values()))),))
    if not common:
        raise LabelError(
            f"no file of {names[1]} belongs to one of {names[0]}: {_example(left)} and "
            f"{_example(right)}; give both as patterns in which the stars stand for the same, such "
            f"as {names[0]}: images/*_image.png, {names[1]}: masks/*_mask.png"
        )
    return Pairs(
        tuple((left[key], right[key]) for key in common),
        tuple(path for key, path in left.items() if key not in right),
        tuple(path for key, path in right.items() if key not in left),
    )


def _example(files: dict[tuple[str, ...], str]) -> str:
    first = next(iter(files.values()))
    return os.path.basename(first) + (f" (and {len(files) - 1} more)" if len(files) > 1 else "")
