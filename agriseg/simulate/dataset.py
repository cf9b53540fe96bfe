"""Drawing many scenes: a folder each, and a table of what was drawn."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from agriseg.errors import OutputError
from agriseg.raster.writer import write_bytes
from agriseg.simulate.dataset_recipe import DatasetRecipe
from agriseg.simulate.grid_recipe import GridRecipe
from agriseg.simulate.recipe_file import recipe_text
from agriseg.simulate.scene import (
    RECIPE_FILE,
    SILENT,
    SimulateListener,
    draw,
    outputs_of,
)

__all__ = ["TABLE_FILE", "DatasetListener", "draw_dataset", "scene_folder"]

TABLE_FILE = "dataset.csv"
"""One line a scene: its folder and every value of its recipe."""


class DatasetListener(Protocol):
    """Is told how a dataset goes."""

    def begin_dataset(self, recipe: DatasetRecipe, out: Path) -> None: ...
    def scene(self, number: int) -> SimulateListener: ...
    def kept(self, number: int, folder: Path) -> None: ...
    def end_dataset(self, folders: list[Path]) -> None: ...


class _Silent:
    def begin_dataset(self, recipe: DatasetRecipe, out: Path) -> None: ...
    def scene(self, number: int) -> SimulateListener:
        return SILENT

    def kept(self, number: int, folder: Path) -> None: ...
    def end_dataset(self, folders: list[Path]) -> None: ...


def draw_dataset(
    recipe: DatasetRecipe, out: Path, listener: DatasetListener | None = None
) -> list[Path]:
    """Draw every scene into a folder of its own, and write `TABLE_FILE` beside them.

    A scene that stands there already, drawn by the same recipe, is kept: what was stopped goes on.

    Args:
        recipe: The dataset.
        out: The folder; made where it is missing.
        listener: Is told how it goes.

    Returns:
        The folders of the scenes, in their order.

    Raises:
        OptionError: A drawn recipe makes no scene; nothing has been written then.
        OutputError: A file cannot be written, or the disk has no room.
    """
    listener = listener or _Silent()
    # Looked at before the first is drawn: a range that fails at scene 800 fails now.
    for _ in _scenes(recipe):
        pass
    listener.begin_dataset(recipe, out)
    folders = []
    for number, drawn in _scenes(recipe):
        folder = scene_folder(out, number)
        if _is_there(drawn, folder):
            listener.kept(number, folder)
        else:
            # The table tells of the scenes that stand there, or is not there.
            _remove(out / TABLE_FILE)
            draw(drawn, folder, listener.scene(number))
        folders.append(folder)
    _write_table(recipe, out, folders)
    listener.end_dataset(folders)
    return folders


def scene_folder(out: Path, number: int) -> Path:
    """Where scene `number` goes; names sort as numbers do."""
    return out / f"scene-{number:06}"


def _scenes(recipe: DatasetRecipe) -> Iterator[tuple[int, GridRecipe]]:
    for number in range(1, len(recipe) + 1):
        yield number, recipe.scene(number)


def _is_there(recipe: GridRecipe, folder: Path) -> bool:
    """Whether all files of the scene stand in `folder`, drawn by this recipe.

    The recipe is the last that comes to its name.
    """
    try:
        if (folder / RECIPE_FILE).read_bytes() != recipe_text(recipe).encode():
            return False
    except OSError:
        return False
    return all((folder / name).is_file() for name in outputs_of(recipe))


def _remove(table: Path) -> None:
    try:
        table.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{table.parent} cannot be written: {error.strerror}; give another folder"
        ) from error


def _write_table(recipe: DatasetRecipe, out: Path, folders: list[Path]) -> None:
    text = io.StringIO(newline="")
    table = None
    for (_, drawn), folder in zip(_scenes(recipe), folders, strict=True):
        line = {"folder": folder.name, "kind": drawn.kind, **asdict(drawn)}
        if table is None:
            table = csv.DictWriter(text, list(line), lineterminator="\n")
            table.writeheader()
        table.writerow(line)
    write_bytes(out / TABLE_FILE, text.getvalue().encode())
