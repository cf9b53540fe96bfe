"""The verb `simulate`: from a recipe to a folder with a scene and all that is true of it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil
from rasterio.errors import RasterioError

from agriseg.errors import OptionError, OutputError
from agriseg.geobox import Window
from agriseg.raster.opening import open_scene
from agriseg.raster.scene import Scene
from agriseg.raster.writer import HOST, write_bytes
from agriseg.simulate.field import render
from agriseg.simulate.ground import inside_mosaic
from agriseg.simulate.rasters import STRIP, write_rasters
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.recipe_file import read_recipe, recipe_from, recipe_text
from agriseg.simulate.spectra import SENSORS
from agriseg.simulate.truth import write_truth
from agriseg.threads import cores

__all__ = ["OUTPUTS", "Plan", "SimulateListener", "Simulated", "draw", "nest_in", "simulate"]

OUTPUTS = (
    "scene.tif",
    "labels.tif",
    "labels.tif.aux.xml",
    "plants.gpkg",
    "rows.gpkg",
    "field.gpkg",
    "recipe.yaml",
)
"""The files of a simulated scene, in the order in which they come to their names."""

# Bytes on the disk for a pixel of one band: the strips and the finished file are there together.
_DISK_BYTES = 2.6
# Bytes for a pixel of the labels, both times, and its share of the plants.
_DISK_BYTES_LABELS = 0.8
# What rendering holds for each pixel of a block, and a strip for each of its pixels and bands.
_BLOCK_BYTES, _STRIP_BYTES = 420, 6
_BASE_BYTES = 300e6
# Side of the trial block; its margins make it dearer than a whole one by this.
_TRIAL, _TRIAL_EXCESS = 256, 1.2
# What a second thread adds, where numpy's threads wait for each other.
_SECOND_THREAD = 0.6
# Compressing, overviews, plants: pixels a second.
_ASSEMBLE_PX_S = 4e6

_NEST = re.compile(r"\.simulating-(.+)\.(\d+)\.[0-9a-f]{8}\Z")


@dataclass(frozen=True)
class Plan:
    """What a run is about to do, and what it is likely to take."""

    recipe: FieldRecipe
    out: Path
    seconds: float
    disk_bytes: int
    memory_bytes: int


@dataclass(frozen=True)
class Simulated:
    """A scene that was made: where it is, and what is in it.

    Args:
        path: The folder.
        recipe: As it was used.
        pixels: Of each class, by name.
        plants: Rows of plants.gpkg.
        rows: Rows of rows.gpkg.
        seconds: That it took.
    """

    path: Path
    recipe: FieldRecipe
    pixels: Mapping[str, int]
    plants: int
    rows: int
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


def simulate(
    recipe: FieldRecipe | Mapping[str, object] | str | Path,
    out: str | Path,
    *,
    seed: int | None = None,
    width: int | None = None,
    height: int | None = None,
    listener: SimulateListener | None = None,
) -> Scene:
    """Draw a field with perfect labels, of any size, into a folder.

    The folder gets scene.tif (reflectance), labels.tif (soil, crop, weed), plants.gpkg (a point a
    plant), rows.gpkg (the centre lines of the rows), field.gpkg (the outline) and recipe.yaml,
    which makes the same scene again. Files of these names that were there are replaced when all
    are made. The same recipe gives the same bytes, whatever the number of threads.

    Args:
        recipe: A recipe, the path of a YAML file, or the recipe's fields by name.
        out: The folder; made where it is missing.
        seed: In place of the recipe's.
        width: Columns, in place of the recipe's.
        height: Rows, in place of the recipe's.
        listener: Is told how it goes.

    Returns:
        The scene, opened.

    Raises:
        OptionError: The recipe makes no field.
        OutputError: The folder cannot be written, or the disk has no room.
    """
    if isinstance(recipe, str | Path):
        recipe = read_recipe(recipe)
    elif not isinstance(recipe, FieldRecipe):
        recipe = recipe_from(recipe)
    recipe = replace(
        recipe,
        seed=recipe.seed if seed is None else seed,
        width=recipe.width if width is None else width,
        height=recipe.height if height is None else height,
    )
    made = draw(recipe, Path(out), listener or _Silent())
    return open_scene(made.path / "scene.tif")


def draw(
    recipe: FieldRecipe,
    out: Path,
    listener: SimulateListener,
    *,
    block: int = STRIP,
    threads: int | None = None,
) -> Simulated:
    """Write all files of a scene.

    Args:
        recipe: The field.
        out: The folder; made where it is missing.
        listener: Is told how it goes.
        block: Side of the blocks that one thread draws, pixels.
        threads: That draw; None: one a core, up to eight.

    Raises:
        OptionError: The border leaves no pixel of the field.
        OutputError: The folder cannot be written, or the disk has no room.
    """
    began = time.monotonic()
    _check_not_bare(recipe)
    threads = threads or cores()
    with nest_in(out) as nest:
        plan = _plan(recipe, out, threads)
        _check_room(plan)
        listener.begin(plan)
        write_rasters(
            recipe,
            nest / "scene.tif",
            nest / "labels.tif",
            nest,
            advance=listener.advance,
            assembling=listener.assembling,
            block=block,
            threads=threads,
        )
        truth = write_truth(recipe, nest / "labels.tif", nest)
        write_bytes(nest / "recipe.yaml", recipe_text(recipe).encode())
        for name in OUTPUTS:
            os.replace(nest / name, out / name)
    made = Simulated(out, recipe, truth.pixels, truth.plants, truth.rows, time.monotonic() - began)
    listener.end(made)
    return made


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
    except (OSError, SystemError, RasterioError) as error:
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


def _check_not_bare(recipe: FieldRecipe) -> None:
    width, height = recipe.size_m
    xs = (np.arange(256) + 0.5) * width / 256
    ys = (np.arange(256) + 0.5) * height / 256
    if not inside_mosaic(recipe, xs, ys).any():
        raise OptionError(
            f"recipe: border_m is {recipe.border_m}, which leaves nothing of a field of "
            f"{width:.3g} m x {height:.3g} m; give a narrower border or a larger raster"
        )


def _plan(recipe: FieldRecipe, out: Path, threads: int) -> Plan:
    """What the run will take, found out on a small block in the middle."""
    side = min(_TRIAL, recipe.width, recipe.height)
    middle = Window((recipe.width - side) // 2, (recipe.height - side) // 2, side, side)
    began = time.perf_counter()
    render(recipe, middle)
    pixel_s = (time.perf_counter() - began) / (side * side * _TRIAL_EXCESS)
    pixels, bands = recipe.width * recipe.height, len(SENSORS[recipe.sensor])
    blocks = -(-recipe.width // STRIP) * -(-recipe.height // STRIP)
    at_once = min(threads, blocks)
    seconds = pixels * pixel_s / (1 + _SECOND_THREAD * (at_once - 1)) + pixels / _ASSEMBLE_PX_S
    memory = _BASE_BYTES + at_once * min(STRIP**2, pixels) * _BLOCK_BYTES
    memory += min(STRIP, recipe.height) * recipe.width * bands * _STRIP_BYTES
    disk = pixels * (bands * _DISK_BYTES + _DISK_BYTES_LABELS) + 1e6
    return Plan(recipe, out, seconds, int(disk), int(memory))


def _check_room(plan: Plan) -> None:
    free = shutil.disk_usage(plan.out).free
    if free < plan.disk_bytes:
        raise OutputError(
            f"{plan.out} has {free / 1e9:.2f} GB of room; {plan.recipe.width} x "
            f"{plan.recipe.height} pixels need about {plan.disk_bytes / 1e9:.2f} GB while they are "
            "made; free some room, give another folder, or a smaller width and height"
        )
