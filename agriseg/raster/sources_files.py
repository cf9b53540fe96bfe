"""Scenes among files: patterns such as `flights/**/*.tif`, and what a folder is."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence

from agriseg.bands import split_role
from agriseg.errors import BandError, InputError
from agriseg.raster.folder import OWN_MAPS, RASTER_ENDINGS, is_picture, is_raster_name, role_of
from agriseg.raster.source import Source, inspect
from agriseg.raster.sources_names import Found, found

__all__ = ["as_pair", "in_folder", "is_pattern", "matches", "natural"]

_MAGIC = re.compile(r"[*?[]")
# A folder that the user names is worth a look into so many of its files; for each of the
# thousands of folders in it there is time for few, and only where names tell nothing.
_LOOKED_INTO = 12
_LOOKED_INTO_BELOW = 3
# The record that a run leaves: what lies in its folder are maps, no scenes.
_RUN_RECORD = "run.json"


def as_pair(text: str, folder: str = "") -> tuple[str, str] | None:
    """`red=R.tif` as role and path; None for any other path, with or without an equals sign.

    Args:
        text: What the user wrote.
        folder: Where relative paths start; the working directory by default.

    Raises:
        BandError: There is such a file, but no such band.
    """
    role, equals, path = text.partition("=")
    if not equals or os.path.exists(os.path.join(folder, text)):
        return None
    try:
        split_role(role)
    except BandError:
        # A typo in a role should be told as such, not as a missing file called "grean=G.tif".
        if os.path.exists(os.path.join(folder, path)):
            raise
        return None
    return role, path


def natural(path: str) -> tuple[list[str | int], str]:
    """The order in which people list files: flight 2 before flight 10, whatever the capitals."""
    words: list[str | int] = list(re.split(r"(\d+)", path.casefold()))
    words[1::2] = map(int, words[1::2])
    return words, path


def is_pattern(path: str) -> bool:
    """Whether the path holds wildcards, and is not the name of a file with brackets in it."""
    return bool(_MAGIC.search(path)) and not os.path.exists(path)


def matches(pattern: str) -> tuple[list[str], str]:
    """The files and folders that a pattern matches, in natural order, and where it starts.

    Without an ending of its own (`flights/*`) it means rasters and folders, not what lies beside
    them; the maps that agriseg writes are passed over unless the pattern names them.

    Raises:
        InputError: It matches nothing.
    """
    pattern = os.path.expanduser(pattern)
    last = os.path.basename(pattern)
    ending = os.path.splitext(last)[1]
    any_ending = not ending or bool(_MAGIC.search(ending))
    paths = dict.fromkeys(glob.glob(pattern, recursive=True))
    kept = []
    for path in paths:
        name = os.path.basename(path)
        if name in OWN_MAPS and name != last:
            continue
        if any_ending and not name.lower().endswith(RASTER_ENDINGS) and not os.path.isdir(path):
            continue
        kept.append(path)
    if not kept:
        more = f" but {len(paths)} files that are no rasters of yours" if paths else ""
        raise InputError(
            f"{pattern} matches nothing{more}; check the folder, and the pattern: * stands for any "
            "part of one name, ** for any folders"
        )
    fixed = pattern[: _MAGIC.search(pattern).start()]  # type: ignore[union-attr]
    return sorted(kept, key=natural), os.path.dirname(fixed)


def in_folder(folder: str, *, root: str | None = None, strict: bool = True) -> list[Found]:
    """The scenes of a folder; see `find_sources` for the rule.

    Args:
        folder: The folder.
        root: The folder from which on scenes are named; `folder` itself by default.
        strict: Refuse a folder without rasters; where a pattern matched it, it is passed over.

    Raises:
        InputError: It holds no rasters, or can be understood in two ways.
    """
    rasters, folders, is_run = _listed(folder)
    if is_run and not strict:
        return []
    below = root is not None
    root = folder if root is None else root
    if rasters:
        if _is_one_scene(folder, rasters, look_always=not below):
            # As open_scene names it: a link called "latest" after what it points to.
            own = os.path.realpath(folder) if not below else folder
            one = found(own, folder, root=root if below else None, whole=True)
            return [Found(folder, folder, one.parts, one.depth)]
        _refuse_both(folder, rasters, folders)
        return [found(path, path, root=root) for path in rasters]
    scenes = list(_in_folders(folders, root))
    if not scenes and strict:
        raise InputError(
            f"{folder} is a folder without rasters ({', '.join(RASTER_ENDINGS)}), and so are the "
            f"folders in it; for what lies deeper give a pattern: '{os.path.join(folder, '**')}"
            f"{os.sep}*.tif'"
        )
    return scenes


def _in_folders(folders: Sequence[str], root: str) -> Iterator[Found]:
    for folder in folders:
        rasters, _, is_run = _listed(folder)
        if is_run or not rasters:
            continue
        if _is_one_scene(folder, rasters, look_always=False):
            yield found(folder, folder, root=root, whole=True)
        else:
            yield from (found(path, path, root=root) for path in rasters)


def _listed(folder: str) -> tuple[list[str], list[str], bool]:
    """Rasters and folders in it, in natural order, and whether a run left them."""
    rasters, folders, is_run = [], [], False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[0] == ".":
                    continue
                is_run = is_run or entry.name == _RUN_RECORD
                if entry.is_dir():
                    folders.append(entry.path)
                elif is_raster_name(entry.name):
                    rasters.append(entry.path)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be listed ({error.strerror}); give a folder that you may read"
        ) from error
    return sorted(rasters, key=natural), sorted(folders, key=natural), is_run


def _is_one_scene(folder: str, rasters: Sequence[str], *, look_always: bool) -> bool:
    """Whether the files are bands of one scene, and not a scene each."""
    if not look_always:
        if len(rasters) == 1 and _told_by_name(rasters[0]) is None:
            return False
        if _names_tell_bands(rasters):
            return True
    looks = _look(rasters, _LOOKED_INTO if look_always else _LOOKED_INTO_BELOW)
    single = [look for look in looks if _is_single(look)]
    pictures = [look for look in looks if is_picture(look)]
    stacks = [look for look in looks if not _is_single(look) and not is_picture(look)]
    if not single:
        return False
    others = stacks
    if not stacks and not any(role_of(one.descriptions[0], _stem(one.path)) for one in single):
        # A preview lies beside bands; an elevation model lies beside a picture.
        others = pictures
    if others:
        one, many = os.path.basename(single[0].path), os.path.basename(others[0].path)
        raise InputError(
            f"{folder}: {many} has {others[0].count} bands, {one} has one, so this is neither a "
            "scene of single-band files nor a folder of scenes; give the files of one kind, by a "
            f"pattern such as '{os.path.join(folder, '*' + os.path.splitext(many)[1])}' or one by "
            "one"
        )
    return True


def _is_single(source: Source) -> bool:
    return source.count == 1 or (source.count == 2 and source.colors[1] == "alpha")


def _names_tell_bands(rasters: Sequence[str]) -> bool:
    """Whether names alone tell two bands, before one of them tells the same band again."""
    first = None
    for path in rasters:
        role = _told_by_name(path)
        if role is not None and first is not None:
            return role != first
        first = role or first
    return False


def _told_by_name(path: str) -> str | None:
    return role_of(None, _stem(path))


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _look(rasters: Sequence[str], most: int) -> list[Source]:
    """The headers of some files, spread over all of them."""
    count = min(most, len(rasters))
    looks: list[Source] = []
    fault: InputError | None = None
    for k in range(count):
        try:
            looks.append(inspect(rasters[k * (len(rasters) - 1) // max(1, count - 1)]))
        except InputError as error:
            # A damaged file is told when it is opened, and does not hide all others.
            fault = error
    if fault and not looks:
        raise fault
    return looks


def _refuse_both(folder: str, rasters: Sequence[str], folders: Sequence[str]) -> None:
    """A folder of scenes with more rasters in folders of it: all, or only these?"""
    for inner in folders:
        more, _, is_run = _listed(inner)
        if more and not is_run:
            ending = os.path.splitext(rasters[0])[1]
            raise InputError(
                f"{folder} holds scenes, such as {os.path.basename(rasters[0])}, and a folder with "
                f"more rasters, {os.path.basename(inner)}; say which you mean by a pattern: "
                f"'{os.path.join(folder, '*' + ending)}' for those right in it, "
                f"'{os.path.join(folder, '**', '*' + ending)}' for all"
            )
