"""The verb `simulate`: from a recipe to a folder with a scene, or with many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypedDict, Unpack, overload

from agriseg.errors import OptionError
from agriseg.raster.opening import open_scene
from agriseg.raster.scene import Scene
from agriseg.simulate.dataset import DatasetListener, draw_dataset
from agriseg.simulate.dataset_recipe import DatasetRecipe, dataset_from
from agriseg.simulate.grid_recipe import GridRecipe
from agriseg.simulate.recipe_file import DATASET, read_flat, recipe_from
from agriseg.simulate.scene import SILENT, SimulateListener, draw, outputs_of

__all__ = ["Listener", "simulate", "understood"]

_MOST_WORKERS = 256


class Listener(SimulateListener, DatasetListener, Protocol):
    """Is told how it goes, whatever the recipe is for."""


class _Options(TypedDict, total=False):
    seed: int | None
    width: int | None
    height: int | None
    workers: int | None
    listener: Listener | None


@overload
def simulate(recipe: GridRecipe, out: str | Path, **options: Unpack[_Options]) -> Scene: ...


@overload
def simulate(
    recipe: DatasetRecipe, out: str | Path, **options: Unpack[_Options]
) -> list[Scene]: ...


@overload
def simulate(
    recipe: Mapping[str, object] | str | Path, out: str | Path, **options: Unpack[_Options]
) -> Scene | list[Scene]: ...


def simulate(
    recipe: GridRecipe | DatasetRecipe | Mapping[str, object] | str | Path,
    out: str | Path,
    *,
    seed: int | None = None,
    width: int | None = None,
    height: int | None = None,
    workers: int | None = 1,
    listener: Listener | None = None,
) -> Scene | list[Scene]:
    """Draw a scene with perfect labels, of any size, into a folder; or a dataset of many.

    The folder of a field gets scene.tif (reflectance), labels.tif (soil, crop, weed), instances.tif
    (the number of each pixel's plant), plants.gpkg (the pixels of each plant as a polygon),
    stems.gpkg (a point a plant, hidden ones too), rows.gpkg (the centre lines of the rows),
    field.gpkg (the outline) and recipe.yaml, which makes the same scene again. Files of these names
    that were there are replaced when all are made. The same recipe gives the same bytes, whatever
    the number of threads and workers. A recipe of kind "satellite" gets scene.tif with the bands of
    two dates, labels.tif (land use), boundaries.tif, clouds.tif and fields.gpkg. One of kind
    "dataset" gets a folder for each scene and a table dataset.csv; scenes that stand there already
    are kept.

    Args:
        recipe: A recipe, the path of a YAML file, or the recipe's fields by name.
        out: The folder; made where it is missing.
        seed: In place of the recipe's.
        width: Columns, in place of the recipe's.
        height: Rows, in place of the recipe's.
        workers: Processes that draw; numpy's threads wait for each other, so that large scenes take
            half the time. 1: this process alone, with a thread a core; None: one a core, where that
            pays, as the command does. A script needs no `if __name__ == "__main__"` for them. Where
            Python is part of another program, as in QGIS, stay with 1.
        listener: Is told how it goes.

    Returns:
        The scene, opened; for a dataset all of them.

    Raises:
        OptionError: The recipe makes no scene.
        OutputError: The folder cannot be written, or the disk has no room.
        AgrisegError: A worker process died, as where memory is short.
    """
    if workers is not None and not 1 <= workers <= _MOST_WORKERS:
        raise OptionError(f"workers is {workers}; 1 to {_MOST_WORKERS} is possible")
    recipe, out = understood(recipe), Path(out)
    if isinstance(recipe, DatasetRecipe):
        recipe = recipe if seed is None else replace(recipe, seed=seed)
        folders = draw_dataset(recipe.with_grid(width, height), out, listener, workers)
        image = outputs_of(recipe.scene(1))[0]
        return [open_scene(folder / image) for folder in folders]
    recipe = replace(
        recipe,
        seed=recipe.seed if seed is None else seed,
        width=recipe.width if width is None else width,
        height=recipe.height if height is None else height,
    )
    made = draw(recipe, out, listener or SILENT, workers=workers)
    return open_scene(made.path / made.files[0])


def understood(
    recipe: GridRecipe | DatasetRecipe | Mapping[str, object] | str | Path,
) -> GridRecipe | DatasetRecipe:
    """The recipe that is meant: itself, that of a YAML file, or that of names and values.

    Raises:
        OptionError: It makes no scene.
    """
    if isinstance(recipe, GridRecipe | DatasetRecipe):
        return recipe
    where, values = "recipe", recipe
    if isinstance(values, str | Path):
        where, values = str(values), read_flat(Path(values))
    if values.get("kind") == DATASET:
        return dataset_from(values, where)
    return recipe_from(values, where)
