"""From a recipe to a folder with a scene and all that is true of it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import psutil

from agriseg.errors import OutputError
from agriseg.raster.whole_file import HOST, WRITE_FAULTS, write_bytes
from agriseg.simulate.drawing import Cost, Drawing, Found, Work
from agriseg.simulate.field_scene import FieldDrawing
from agriseg.simulate.grid_recipe import GridRecipe
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.recipe_file import recipe_text
from agriseg.simulate.satellite.drawing import SatelliteDrawing
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.threads import cores

__all__ = [
    "DRAWINGS",
    "RECIPE_FILE",
    "SILENT",
    "Plan",
    "SimulateListener",
    "Simulated",
    "draw",
    "nest_in",
    "outputs_of",
    "paying_workers",
]

DRAWINGS: Final[dict[type[GridRecipe], Drawing]] = {
    FieldRecipe: FieldDrawing(),
    SatelliteRecipe: SatelliteDrawing(),
}
"""Who draws each kind of recipe."""

RECIPE_FILE = "recipe.yaml"
"""The last of a scene's files to come to its name."""

# Pixels from which on worker processes save more time than they take to start: half a second, for
# 0.3 seconds a Mpixel.
_WORTH_PX = 4_000_000

_NEST = re.compile(r"\.simulating-(.+)\.(\d+)\.[0-9a-f]{8}\Z")


@dataclass(frozen=True)
class Plan:
    """What a run is about to do, and what it is likely to take."""

    recipe: GridRecipe
    out: Path
    cost: Cost


@dataclass(frozen=True)
class Simulated:
    """A scene that was made: where it is, and what is in it.

    Args:
        path: The folder.
        recipe: As it was used.
        files: The names of its files.
        found: What is in it.
        seconds: That it took.
    """

    path: Path
    recipe: GridRecipe
    files: tuple[str, ...]
    found: Found
    seconds: float


class SimulateListener(Protocol):
    """Is told how a simulation goes."""

    def begin(self, plan: Plan) -> None: ...
    def advance(self, pixels: int) -> None: ...
    def assembling(self) -> None: ...
    def end(self, made: Simulated) -> None: ...


class _Silent:
    def begin(self, plan: Plan) -> None: ...
    def advance(self, pixels: int) -> None: ...
    def assembling(self) -> None: ...
    def end(self, made: Simulated) -> None: ...


SILENT: Final[SimulateListener] = _Silent()
"""Takes no notice."""


def outputs_of(recipe: GridRecipe) -> tuple[str, ...]:
    """The files of a scene of this recipe, in the order in which they come to their names."""
    return (*DRAWINGS[type(recipe)].outputs, RECIPE_FILE)


def draw(
    recipe: GridRecipe,
    out: Path,
    listener: SimulateListener,
    *,
    block: int = Work.block,
    threads: int | None = None,
    workers: int | None = 1,
) -> Simulated:
    """Write all files of a scene.

    Args:
        recipe: The scene.
        out: The folder; made where it is missing.
        listener: Is told how it goes.
        block: Side of the blocks that are drawn at a time, pixels.
        threads: Of this process; None: one a core, up to eight.
        workers: Processes that draw; 1: the threads do; None: as many as pay.

    Raises:
        OptionError: The recipe shows nothing.
        OutputError: The folder cannot be written, or the disk has no room.
        AgrisegError: A worker process died.
    """
    began = time.monotonic()
    text = recipe_text(recipe)
    drawing, files = DRAWINGS[type(recipe)], outputs_of(recipe)
    workers = paying_workers(recipe.width * recipe.height) if workers is None else workers
    # A single block is drawn here.
    workers = min(workers, -(-recipe.width // block) * -(-recipe.height // block))
    work = Work(threads or cores(), workers, block, listener.advance, listener.assembling)
    plan = Plan(recipe, out, drawing.cost(recipe, work))
    with nest_in(out) as nest:
        _check_room(plan)
        listener.begin(plan)
        found = drawing.write(recipe, nest, work)
        write_bytes(nest / RECIPE_FILE, text.encode())
        _clear(out)
        for name in files:
            os.replace(nest / name, out / name)
    made = Simulated(out, recipe, files, found, time.monotonic() - began)
    listener.end(made)
    return made


def paying_workers(pixels: int, workers: int | None = None) -> int:
    """Processes that draw so many pixels soonest: `workers`, else one a core; or 1: this alone."""
    return (workers or cores()) if pixels >= _WORTH_PX else 1


def _clear(out: Path) -> None:
    """Remove what stood in `out`: files of another kind, and statistics that programs left.

    The recipe goes first: without it nobody takes a mixture of old and new for a whole scene.
    """
    names = dict.fromkeys(name for drawing in DRAWINGS.values() for name in drawing.outputs)
    for name in (RECIPE_FILE, *names, *(f"{name}.aux.xml" for name in names)):
        (out / name).unlink(missing_ok=True)


@contextmanager
def nest_in(out: Path) -> Iterator[Path]:
    """A folder inside `out` for what is not whole yet; it goes away with all that is left in it.

    What killed runs of this machine left goes away too.

    Raises:
        OutputError: It cannot be made, or a file in it cannot be written.
    """
    nest = out / f".simulating-{HOST}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        nest.mkdir()
        yield nest
    except OutputError as error:
        # The writers speak of files in the nest, and of runs that go on where they stopped.
        said = str(error).replace(str(nest), str(out)).replace(": it goes on where it stopped", "")
        raise OutputError(said) from error
    except WRITE_FAULTS as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        said = said.replace(str(nest), str(out))
        raise OutputError(
            f"{out} cannot be written: {said}; free some room on the disk, or give another folder"
        ) from error
    finally:
        shutil.rmtree(nest, ignore_errors=True)


def _sweep(out: Path) -> None:
    for left in out.glob(".simulating-*"):
        match = _NEST.match(left.name)
        if match and match[1] == HOST and not psutil.pid_exists(int(match[2])):
            shutil.rmtree(left, ignore_errors=True)


def _check_room(plan: Plan) -> None:
    free, needed = shutil.disk_usage(plan.out).free, plan.cost.disk_bytes
    if free < needed:
        raise OutputError(
            f"{plan.out} has {free / 1e9:.2f} GB of room; {plan.recipe.width} x "
            f"{plan.recipe.height} pixels need about {needed / 1e9:.2f} GB while they are "
            "made; free some room, give another folder, or a smaller width and height"
        )
