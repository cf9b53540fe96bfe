"""A field as a scene: which files it leaves, what they take, and how they come about."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.simulate.drawing import Cost, Found, Work
from agriseg.simulate.field import render
from agriseg.simulate.ground import inside_mosaic
from agriseg.simulate.ground_truth import Truth, write_truth
from agriseg.simulate.instances import Numbering
from agriseg.simulate.noise import Ints
from agriseg.simulate.plant_files import traced_pixels, write_plants, write_stems
from agriseg.simulate.rasters import draw_strips
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.spectra import SENSORS
from agriseg.simulate.strips import STRIP
from agriseg.threads import together

__all__ = ["FieldDrawing"]

# Bytes on the disk for a pixel of one band: the strips and the finished file are there together.
_DISK_BYTES = 2.6
# Bytes for a pixel of the labels, both times, of the rows and the outline.
_DISK_BYTES_LABELS = 0.8
# Bytes for a plant in the two tables, and for each pixel edge around what it shows, raster
# included: 13 to 19 in the table, where leaves are large and where a canopy is all splinters.
_DISK_BYTES_PLANT, _DISK_BYTES_EDGE = 600, 25
# What rendering holds for each pixel of a block, and a strip for each of its pixels and bands.
_BLOCK_BYTES, _STRIP_BYTES = 420, 6
_STRIP_BYTES_PLANTS = 16
# What tracing plants holds for each pixel, and for each pixel edge around one.
_TRACED_BYTES, _TRACED_BYTES_EDGE = 40, 150
_BASE_BYTES = 420e6
# What the spatial indices of the tables hold for each plant, and at most.
_INDEX_BYTES_PLANT, _INDEX_BYTES = 250, 250e6
# Side of the trial block; its margins make it dearer than a whole one by this, and than one of a
# worker, which keeps its memory, by the second.
_TRIAL, _TRIAL_EXCESS, _TRIAL_EXCESS_WORKERS = 256, 1.2, 1.9
# What a second thread adds, where numpy's threads wait for each other.
_SECOND_THREAD = 0.6
# Compressing, overviews: pixels a second. Plants become polygons: seconds for an edge.
_ASSEMBLE_PX_S = 3.3e6
_EDGE_S = 1e-6


class FieldDrawing:
    """Draws a `FieldRecipe`."""

    outputs = (
        "scene.tif",
        "labels.tif",
        "labels.tif.aux.xml",
        "instances.tif",
        "plants.gpkg",
        "stems.gpkg",
        "rows.gpkg",
        "field.gpkg",
    )

    def cost(self, recipe: FieldRecipe, work: Work) -> Cost:
        """What drawing will take, found out on a small block in the middle.

        Raises:
            OptionError: The border leaves no pixel of the field.
        """
        _check_not_bare(recipe)
        side = min(_TRIAL, recipe.width, recipe.height)
        middle = Window((recipe.width - side) // 2, (recipe.height - side) // 2, side, side)
        several = work.workers > 1
        if several:
            # The first one also makes what all others find made.
            render(recipe, middle)
        # Not the time of day: others' load comes and goes.
        began = time.thread_time()
        seen = render(recipe, middle).instances
        excess = _TRIAL_EXCESS_WORKERS if several else _TRIAL_EXCESS
        pixel_s = (time.thread_time() - began) / (side * side * excess)
        pixels, bands = recipe.width * recipe.height, len(SENSORS[recipe.sensor])
        blocks = -(-recipe.width // STRIP) * -(-recipe.height // STRIP)
        edges = _edges(seen) / seen.size * pixels
        plants = len(np.unique(seen)) / seen.size * pixels
        seconds = pixels * pixel_s / work.speed_up(blocks, _SECOND_THREAD)
        seconds += pixels / _ASSEMBLE_PX_S + edges * _EDGE_S
        strip = bands * _STRIP_BYTES + _STRIP_BYTES_PLANTS
        drawing = min(work.at_once, blocks) * min(STRIP**2, pixels) * _BLOCK_BYTES
        tracing = traced_pixels(recipe) * (_TRACED_BYTES + _TRACED_BYTES_EDGE * edges / pixels)
        memory = _BASE_BYTES + min(STRIP, recipe.height) * recipe.width * strip
        # Not all that threads held is free again when plants are traced; workers are gone by then.
        memory += min(plants * _INDEX_BYTES_PLANT, _INDEX_BYTES)
        memory += max(drawing + work.workers_bytes, tracing) if several else drawing + tracing
        disk = pixels * (bands * _DISK_BYTES + _DISK_BYTES_LABELS) + 1e6
        disk += plants * _DISK_BYTES_PLANT + edges * _DISK_BYTES_EDGE
        return Cost(seconds, int(disk), int(memory))

    def write(self, recipe: FieldRecipe, nest: Path, work: Work) -> Found:
        """Write all of `outputs` into the folder `nest`."""
        with Numbering(recipe, nest) as numbering:
            drawn = draw_strips(recipe, nest, work, numbering)
            instances = numbering.done()
        work.assembling()
        truths: list[Truth] = []

        def labels_and_what_needs_them() -> None:
            labels = nest / "labels.tif"
            drawn.write_labels(labels, "scene.tif")
            truths.append(write_truth(recipe, labels, nest))
            write_stems(nest / "stems.gpkg", recipe, instances, labels)

        # The longest first; vector files wait for each other, rasters do not.
        tasks: list[Callable[[], object]] = [
            lambda: write_plants(nest / "plants.gpkg", recipe, instances),
            lambda: drawn.write_image(nest / "scene.tif"),
            labels_and_what_needs_them,
            lambda: instances.copy_to(nest / "instances.tif"),
        ]
        together(tasks, work.threads, "simulate")
        return Found(truths[0].pixels, {"plant": len(instances), "row": truths[0].rows})


def _edges(instances: Ints) -> int:
    """Pixel edges around the plants: those between two of them count twice."""
    pairs = ((instances[1:], instances[:-1]), (instances[:, 1:], instances[:, :-1]))
    sides = (np.where(a != b, np.sign(a) + np.sign(b), 0) for a, b in pairs)
    return int(sum(side.sum() for side in sides))


def _check_not_bare(recipe: FieldRecipe) -> None:
    width, height = recipe.size_m
    xs = (np.arange(256) + 0.5) * width / 256
    ys = (np.arange(256) + 0.5) * height / 256
    if not inside_mosaic(recipe, xs, ys).any():
        raise OptionError(
            f"recipe: border_m is {recipe.border_m}, which leaves nothing of a field of "
            f"{width:.3g} m x {height:.3g} m; give a narrower border or a larger raster"
        )
