"""What the folder of a job may hold already, and what there is to say of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from agriseg.errors import InputError, OutputError
from agriseg.raster.remote import is_remote
from agriseg.runs.folder import VECTORS, RunFolder
from agriseg.runs.key import files_of
from agriseg.runs.record import read_outputs, read_run
from agriseg.tiling import ChipGrid

__all__ = [
    "MEMORY_BYTES_FOR_POLYGONS",
    "changed",
    "large_polygons",
    "refuse_overwriting",
    "replaced",
]

MEMORY_BYTES_FOR_POLYGONS = 6
"""A pixel, in a map of plants a few dm wide; smoother maps need less."""


def refuse_overwriting(facts: Mapping[str, Any], folder: RunFolder) -> None:
    """Refuse a folder in which a result would take the place of an input."""
    outputs = {path.resolve() for path in folder.outputs}
    for path in facts["files"]:
        if is_remote(path):
            continue
        for name in (path, *files_of(path)):
            if Path(name).resolve() in outputs:
                raise OutputError(
                    f"{name} is an input and would be overwritten by the result of the same name; "
                    "give another folder with -o, or another --name"
                )


def replaced(facts: Mapping[str, Any], folder: RunFolder) -> list[str]:
    """A word where the folder holds the map of something else."""
    try:
        files = read_run(folder.path).record["scene"]["files"]
    except (InputError, KeyError, TypeError):
        return []
    theirs, ours = ({Path(name).resolve() for name in each} for each in (files, facts["files"]))
    if theirs == ours:
        return []
    return [f"{folder.path} holds the map of {', '.join(sorted(files))}, which is replaced"]


def large_polygons(grid: ChipGrid) -> list[str]:
    """A word where polygons may not fit into memory, though the rasters stream."""
    needed = grid.height * grid.width * MEMORY_BYTES_FOR_POLYGONS
    there = psutil.virtual_memory().total
    if needed < there:
        return []
    return [
        f"polygons may need {needed / 1e9:.0f} GB of memory, this machine has {there / 1e9:.0f}; "
        "with --no-polygons the rasters need little, and a run that stopped goes on with it"
    ]


def changed(folder: RunFolder, kept: str | None) -> list[str]:
    """A word for each file where somebody worked on the polygons of an earlier run.

    Args:
        folder: Where they are.
        kept: The key of the run that would be kept as it is, if it is the one that is there.
    """
    try:
        if kept is not None and read_run(folder.path).record.get("key") == kept:
            return []
    except InputError:
        pass
    sizes = read_outputs(folder)
    paths = [folder.path / name for name in VECTORS if name in sizes]
    return [
        f"{path} was changed since it was made; the change will be lost; "
        "keep a copy under another name"
        for path in paths
        if path.exists() and path.stat().st_size != sizes[path.name]
    ]
