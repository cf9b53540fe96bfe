"""`agriseg simulate`: a scene with perfect labels, from a recipe."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from agriseg.cli import options as opt
from agriseg.cli.answer import Answer
from agriseg.cli.command import stoppable
from agriseg.cli.screen import console
from agriseg.cli.words import area_words, count_words, size_words, time_words

if TYPE_CHECKING:
    from pathlib import Path

    from agriseg.simulate.dataset_recipe import DatasetRecipe
    from agriseg.simulate.grid_recipe import GridRecipe
    from agriseg.simulate.scene import Plan, Simulated

__all__ = ["simulate"]


def simulate(
    recipe: Annotated[str, opt.argument("RECIPE", "YAML file, as in configs/.")],
    *,
    out: Annotated[str, opt.to_folder("Folder for the files.")],
    seed: Annotated[
        int | None,
        opt.value("--seed", "N", "Another field of the same kind. Default: the recipe's."),
    ] = None,
    width: Annotated[
        int | None, opt.value("--width", "PIXELS", "Columns. Default: the recipe's.")
    ] = None,
    height: Annotated[
        int | None, opt.value("--height", "PIXELS", "Rows. Default: the recipe's.")
    ] = None,
    workers: Annotated[
        int | None,
        opt.value(
            "--workers",
            "N",
            "Processes that draw; 1: this one alone. Default: one a core, where that pays.",
        ),
    ] = None,
    answer: Answer,
) -> None:
    """Draw a scene of any size with perfect labels from a recipe: a field, a landscape, or many.

    A field, leaf by leaf: OUT gets scene.tif (reflectance), labels.tif (soil, crop, weed; 255
    outside), instances.tif (the number of each pixel's plant), plants.gpkg (a polygon a plant),
    stems.gpkg (a point a plant, and whether it shows), rows.gpkg, field.gpkg; and recipe.yaml with
    every value, which makes the same bytes again.

    `kind: satellite` draws farmland on two days of a year, with land use, field boundaries, clouds
    and fields.gpkg. `kind: dataset` draws many scenes from ranges and choices, a folder each; the
    same command goes on where it was stopped.

    Examples:

    - `agriseg simulate configs/sample-field.yaml -o out/field`

    - `agriseg simulate configs/weedy-dry.yaml -o out/big --width 20000 --height 20000`

    - `agriseg simulate configs/satellite.yaml -o out/landscape --seed 7`

    - `agriseg simulate configs/training-set.yaml -o out/scenes`
    """
    from agriseg.simulate.verb import simulate as run_simulate

    listener = _Console(answer.quiet)
    try:
        with stoppable(listener.stopped_words):
            run_simulate(
                recipe,
                out,
                seed=seed,
                width=width,
                height=height,
                workers=workers,
                listener=listener,
            )
    finally:
        listener.close()
    answer.give(listener.record())


class _Console:
    """Says on standard error what is about to be done, how far it is, and what came of it."""

    def __init__(self, quiet: bool) -> None:
        from agriseg.cli.bar import Bar

        self._console = console(quiet=quiet)
        self._bar = Bar(self._console, "simulate")
        # What a pixel moves the bar by: a scene's share of a dataset is the same for all.
        self._step = 1.0
        self._dataset: DatasetRecipe | None = None
        self.folder: Path | None = None
        self.kept_scenes = 0
        self.scenes: list[Path] = []
        self.made: list[Simulated] = []

    def begin(self, plan: Plan) -> None:
        recipe, cost = plan.recipe, plan.cost
        pixels = recipe.width * recipe.height
        if self._dataset is not None:
            self._step = 1.0 / pixels
        else:
            self._say(
                f"{plan.out}  {_grid_words(recipe)}; about {time_words(cost.seconds)}, "
                f"{cost.memory_bytes / 1e9:.1f} GB of memory, {cost.disk_bytes / 1e6:.0f} MB on "
                "disk while it runs"
            )
            self._bar.start(pixels)

    def advance(self, pixels: int) -> None:
        self._bar.advance(pixels * self._step)

    def assembling(self) -> None:
        if self._dataset is None:
            self.close()

    def end(self, made: Simulated) -> None:
        self.made.append(made)
        if self._dataset is None:
            self._say(f"  found   {_found_words(made)}")
            first, *others = _names(made)
            drawn = made.recipe.width * made.recipe.height
            self._say(
                f"  done    {made.path / first}, {', '.join(others)} in "
                f"{time_words(made.seconds)} ({drawn / made.seconds / 1e6:.2f} Mpixel/s)"
            )
        else:
            self._say(f"  {made.path.name}  {_grid_words(made.recipe)}: {_found_words(made)}")

    def begin_dataset(self, recipe: DatasetRecipe, out: Path) -> None:
        self._dataset, self.folder = recipe, out
        self._say(f"{out}  {count_words(len(recipe), 'scene')} of kind {recipe.of}")
        self._bar.start(len(recipe))

    def scene(self, number: int) -> _Console:
        return self

    def kept(self, number: int, folder: Path) -> None:
        self.kept_scenes += 1
        self._bar.advance(1)

    def end_dataset(self, folders: list[Path]) -> None:
        self.scenes = folders
        self.close()
        kept = f"; {count_words(self.kept_scenes, 'scene')} stood there" if self.kept_scenes else ""
        self._say(f"  done    {count_words(len(folders), 'scene')} in {self.folder}{kept}")

    def stopped_words(self) -> str:
        if self._dataset is None:
            return "stopped; no whole scene was written"
        whole = count_words(len(self.made) + self.kept_scenes, "whole scene")
        return f"stopped at {whole} in {self.folder}; the same command goes on there"

    def record(self) -> dict[str, object]:
        """What was made, for other programs."""
        from agriseg.simulate.dataset import TABLE_FILE

        if self._dataset is None:
            return _record(self.made[0])
        assert self.folder is not None
        return {
            "folder": str(self.folder),
            "table": str(self.folder / TABLE_FILE),
            "scenes": [str(folder) for folder in self.scenes],
            "kept": self.kept_scenes,
            "drawn": [_record(made) for made in self.made],
        }

    def close(self) -> None:
        """Take the bar off the screen."""
        self._bar.close()

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)


def _grid_words(recipe: GridRecipe) -> str:
    width, height = recipe.size_m
    return (
        f"{recipe.width} x {recipe.height} pixels of {size_words(recipe.gsd_m)}, "
        f"{area_words(width * height)}"
    )


def _found_words(made: Simulated) -> str:
    found = made.found
    total = max(sum(found.pixels.values()), 1)
    shares = ", ".join(f"{name} {n / total:.1%}" for name, n in found.pixels.items())
    return f"{shares}; {', '.join(count_words(n, name) for name, n in found.counts.items())}"


def _names(made: Simulated) -> list[str]:
    """The files that a person opens."""
    return [name for name in made.files if not name.endswith(".aux.xml")]


def _record(made: Simulated) -> dict[str, object]:
    return {
        "folder": str(made.path),
        "files": {name.partition(".")[0]: str(made.path / name) for name in _names(made)},
        "recipe": {"kind": made.recipe.kind, **asdict(made.recipe)},
        "pixels": dict(made.found.pixels),
        **{f"{name}s": n for name, n in made.found.counts.items()},
        "seconds": round(made.seconds, 3),
    }
