"""Opening the scene of a finished run again, as the run read it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affine import Affine
from rasterio.crs import CRS

from agriseg.bands import Band, Radiometry, split_role
from agriseg.errors import InputError, redacted
from agriseg.geobox import GeoBox
from agriseg.raster.masks import BandMask, Mask
from agriseg.raster.remote import file_name, is_remote
from agriseg.raster.scene import Scene
from agriseg.runs import Run
from agriseg.runs.key import file_print, files_of, is_same_file

__all__ = ["grid_of", "scene_of"]


def scene_of(run: Run, at: str | os.PathLike[str] | None = None) -> Scene:
    """The scene that a run segmented, from its run.json: same bands, scale, and grid.

    Clouds and whatever lies outside of a cutline are not hidden in it: the run's classes are nodata
    there.

    Args:
        run: The run.
        at: Where its raster is now, if it was moved: the file, or the folder that holds its files
            under their old names. By default they are looked for where they were; paths that do
            not begin at the root are tried from the current folder and those above the run.

    Raises:
        InputError: A raster is gone, was changed since, or the record does not tell which it was.
    """
    try:
        facts = run.record["scene"]
        needed = {
            shown: prints
            for shown, prints in facts["files"].items()
            if not _only_hides(facts, shown)
        }
        paths = [_path(run, shown, needed, at) for shown in needed]
        used: set[tuple[str, int]] = set()
        bands = tuple(_band(run, band, paths, used) for band in facts["bands"])
        alphas: list[Mask] = [
            BandMask(_path_of(run, mask["alpha"], mask["band"], paths, set()), mask["band"])
            for mask in facts["masks"]
            if "alpha" in mask
        ]
        how = facts["radiometry"]
        return Scene(
            facts["name"],
            bands,
            grid_of(run),
            Radiometry(how["level"], how["evidence"]),
            tuple(alphas),
            dict(run.record.get("about", {})),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{run.folder.record} does not tell what scene it was made from ({error!r}); run "
            "agriseg segment again"
        ) from error


def grid_of(run: Run) -> GeoBox:
    """The grid of a run's rasters."""
    grid = run.record["scene"]["grid"]
    crs = None if grid["crs"] is None else CRS.from_wkt(grid["crs"])
    return GeoBox(crs, Affine.from_gdal(*grid["transform"]), grid["width"], grid["height"])


def _only_hides(facts: Mapping[str, Any], shown: str) -> bool:
    """Whether a file is a mask of clouds only: what it hides has no class, so it is not needed."""
    needed = {band["file"] for band in facts["bands"]}
    needed |= {mask["alpha"] for mask in facts["masks"] if "alpha" in mask}
    return _name(shown) not in needed


def _name(shown: str) -> str:
    """The name of a file that run.json shows, where two may be told apart by a number."""
    path, mark, number = shown.rpartition(" #")
    return file_name(path if mark and number.isdecimal() else shown)


def _path(
    run: Run,
    shown: str,
    files: Mapping[str, Sequence[Mapping[str, Any]]],
    at: str | os.PathLike[str] | None,
) -> str:
    """Where a raster of a run is now.

    Raises:
        InputError: It is not there, or another one.
    """
    place = _found(run, shown) if at is None else _moved_to(run, shown, len(files), at)
    try:
        now = [file_print(name) for name in files_of(place)]
    except InputError as error:
        raise InputError(f"{error}; --scene tells where the scene of {run.path} is now") from error
    if _is_gone(now):
        raise InputError(
            f"{run.path} was made from {shown}, which cannot be read there; say where it is now "
            "with --scene PATH, or work in the folder from which the run was started"
        )
    if at is None and _differ_in_time_only(now, files[shown]):
        raise InputError(
            f"{redacted(place)} was written again since {run.path} was made from it, with the same "
            f'size; if it is the same picture, say so with --scene "{redacted(place)}", else run '
            "agriseg segment again"
        )
    if not _are_same(now, files[shown], moved=at is not None):
        raise InputError(
            f"{redacted(place)} is not what {run.path} was made from, or was changed since; give "
            "the right one with --scene PATH, or run agriseg segment again"
        )
    return place


def _found(run: Run, shown: str) -> str:
    if is_remote(shown) or shown.startswith("/vsi"):
        return shown
    # A run in out/field was often started beside out.
    places = [Path(shown), *(above / shown for above in run.path.resolve().parents)]
    return next((str(path) for path in places if path.exists()), shown)


def _moved_to(run: Run, shown: str, files: int, at: str | os.PathLike[str]) -> str:
    """Where a user says that a file is."""
    name, at = _name(shown), os.fspath(at)
    if Path(at).is_dir():
        return str(Path(at) / name)
    if files > 1 and not is_remote(at):
        raise InputError(
            f"--scene {at} is one file, and {run.path} was made from {files}; give the folder that "
            f"holds them ({name}, ...)"
        )
    return at


def _is_gone(prints: Sequence[Mapping[str, Any]]) -> bool:
    return not prints or set(prints[0]) == {"name"}


def _are_same(
    now: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]], *, moved: bool
) -> bool:
    if len(now) != len(before):
        return False
    if not moved:
        return all(map(is_same_file, now, before))
    # A copy has another time, and perhaps another name; who names it knows that it is one.
    kept = ("bytes", "ends", "content")
    return all(
        [one.get(key) for key in kept] == [other.get(key) for key in kept]
        for one, other in zip(now, before, strict=True)
    )


def _differ_in_time_only(
    now: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]
) -> bool:
    return not _are_same(now, before, moved=False) and _are_same(now, before, moved=True)


def _band(
    run: Run, facts: Mapping[str, Any], paths: Sequence[str], used: set[tuple[str, int]]
) -> Band:
    role, date = (None, None) if facts["role"] is None else split_role(facts["role"])
    return Band(
        _path_of(run, facts["file"], facts["index"], paths, used),
        facts["index"],
        role,
        date,
        facts["wavelength_nm"],
        facts["scale"],
        facts["offset"],
        None if facts["nodata"] is None else float(facts["nodata"]),
        facts["evidence"],
    )


def _path_of(
    run: Run, name: str, index: int, paths: Sequence[str], used: set[tuple[str, int]]
) -> str:
    """Which of the files of a name a band is in: of single-band files, the next one.

    Raises:
        InputError: The record does not tell.
    """
    same = [path for path in paths if file_name(path) == name] or (
        list(paths) if len(paths) == 1 else []
    )
    if len(same) > 1 and index == 1:
        same = [path for path in same if (path, index) not in used][:1]
    if len(same) != 1:
        raise InputError(
            f"{run.folder.record} does not tell which file {name} was; run agriseg segment again, "
            "from files with different names"
        )
    used.add((same[0], index))
    return same[0]
