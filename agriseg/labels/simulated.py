"""Folders that `agriseg simulate` left: one scene, or a dataset of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from agriseg.errors import LabelError
from agriseg.labels.pairs import files_of

__all__ = ["IMAGE", "LABELS", "simulated_folders"]

IMAGE = "scene.tif"
LABELS = "labels.tif"


def simulated_folders(given: Sequence[str], base: Path) -> Iterator[tuple[Path, Path]]:
    """(folder, label raster) of every scene in `given`.

    Args:
        given: Folders of scenes, folders of such folders, or patterns with stars.
        base: What they are relative to.

    Raises:
        LabelError: There is no scene.
    """
    for path in files_of(given, base, "folder", folders=True).values():
        folder = Path(path)
        inside = [folder] if _is_scene(folder) else sorted(folder.glob("*/"))
        scenes = [one for one in inside if _is_scene(one)]
        if not scenes:
            raise LabelError(
                f"folder: {folder} holds no {IMAGE} with {LABELS}, nor a folder that does; give "
                "what agriseg simulate has made"
            )
        for one in scenes:
            yield one, one / LABELS


def _is_scene(folder: Path) -> bool:
    return (folder / IMAGE).is_file() and (folder / LABELS).is_file()
