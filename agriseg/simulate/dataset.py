"""Drawing many scenes: a folder each, and a table of what was drawn."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Protocol

from agriseg.errors import OutputError
from agriseg.processes import in_processes
from agriseg.raster.whole_file import write_bytes
from agriseg.simulate.dataset_recipe import DatasetRecipe
from agriseg.simulate.drawing import share_cache
from agriseg.simulate.grid_recipe import GridRecipe
from agriseg.simulate.recipe_file import recipe_text
from agriseg.simulate.scene import (
    RECIPE_FILE,
    SILENT,
    Plan,
    Simulated,
    SimulateListener,
    draw,
    outputs_of,
    paying_workers,
)

__all__ = ["TABLE_FILE", "DatasetListener", "draw_dataset", "scene_folder"]

TABLE_FILE = "dataset.csv"
"""One line a scene: its folder and every value of its recipe."""

# Scenes of up to so many pixels are drawn side by side: each takes about 0.6 GB then.
_SIDE_BY_SIDE_PX = 1 << 24


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
    recipe: DatasetRecipe,
    out: Path,
    listener: DatasetListener | None = None,
    workers: int | None = 1,
) -> list[Path]:
    """Draw every scene into a folder of its own, and write `TABLE_FILE` beside them.

    A scene that stands there already, drawn by the same recipe, is kept: what was stopped goes on.

    Args:
        recipe: The dataset.
        out: The folder; made where it is missing.
        listener: Is told how it goes; of a scene that a worker draws, when it is done.
        workers: Processes that draw, a scene each, or all of them one where scenes are large or
            few; 1: this one alone; None: as many as pay.

    Returns:
        The folders of the scenes, in their order.

    Raises:
        OptionError: A drawn recipe makes no scene; nothing has been written then.
        OutputError: A file cannot be written, or the disk has no room.
        AgrisegError: A worker process died.
    """
    listener = listener or _Silent()
    # Looked at before the first is drawn: a range that fails at scene 800 fails now.
    largest = max(drawn.width * drawn.height for _, drawn in _scenes(recipe))
    listener.begin_dataset(recipe, out)
    folders, missing, table = [], [], _Table()
    for number, drawn in _scenes(recipe):
        folders.append(scene_folder(out, number))
        table.add(folders[-1], drawn)
        if _is_there(drawn, folders[-1]):
            listener.kept(number, folders[-1])
        else:
            missing.append(number)
    if missing:
        # The table tells of the scenes that stand there, or is not there.
        _remove(out / TABLE_FILE)
    if workers is None:
        workers = paying_workers(largest * len(missing))
    beside = min(workers, len(missing)) if largest <= _SIDE_BY_SIDE_PX else 1
    if beside > 1 and (beside == workers or paying_workers(largest, workers) == 1):
        _draw_side_by_side(recipe, out, missing, listener, beside)
    else:
        for number in missing:
            drawn = recipe.scene(number)
            several = paying_workers(drawn.width * drawn.height, workers)
            draw(drawn, scene_folder(out, number), listener.scene(number), workers=several)
    write_bytes(out / TABLE_FILE, table.text.getvalue().encode())
    listener.end_dataset(folders)
    return folders


def _draw_side_by_side(
    recipe: DatasetRecipe, out: Path, missing: list[int], listener: DatasetListener, workers: int
) -> None:
    """Draw the scenes of these numbers, each in a worker process."""
    scenes = in_processes(partial(_draw_scene, recipe, out, workers), missing, workers)
    with contextlib.closing(scenes):
        for number, (plan, made) in scenes:
            told = listener.scene(number)
            told.begin(plan)
            told.advance(made.recipe.width * made.recipe.height)
            told.assembling()
            told.end(made)


def _draw_scene(
    recipe: DatasetRecipe, out: Path, workers: int, number: int
) -> tuple[Plan, Simulated]:
    """In one of so many workers: draw a scene."""
    share_cache(workers)
    heard = _Plan()
    made = draw(recipe.scene(number), scene_folder(out, number), heard, threads=1)
    return heard.plan, made


class _Plan:
    """Keeps the plan of a scene."""

    plan: Plan

    def begin(self, plan: Plan) -> None:
        self.plan = plan

    def advance(self, pixels: int) -> None: ...
    def assembling(self) -> None: ...
    def end(self, made: Simulated) -> None: ...


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


class _Table:
    """The text of `TABLE_FILE`."""

    def __init__(self) -> None:
        self.text = io.StringIO(newline="")
        self._writer: csv.DictWriter[str] | None = None

    def add(self, folder: Path, recipe: GridRecipe) -> None:
        line = {"folder": folder.name, "kind": recipe.kind, **asdict(recipe)}
        if self._writer is None:
            self._writer = csv.DictWriter(self.text, list(line), lineterminator="\n")
            self._writer.writeheader()
        self._writer.writerow(line)
