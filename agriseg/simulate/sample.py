"""Making the two GeoTIFFs of `sample_data`."""

from __future__ import annotations

import os
from pathlib import Path

from agriseg.simulate.drawing import Work
from agriseg.simulate.rasters import draw_strips
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.scene import nest_in

__all__ = ["write_sample"]


def write_sample(folder: str | Path, recipe: FieldRecipe | None = None) -> Path:
    """Write `field.tif` and `field_labels.tif` into `folder`, which is made where it is missing.

    Args:
        folder: Where to.
        recipe: The field; by default the one that agriseg ships.

    Returns:
        Path of the image.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    folder = Path(folder)
    names = ("field.tif", "field_labels.tif")
    with nest_in(folder) as nest:
        drawn = draw_strips(recipe or FieldRecipe(), nest, Work())
        drawn.write_image(nest / names[0])
        drawn.write_labels(nest / names[1], names[0])
        for name in names:
            os.replace(nest / name, folder / name)
    return folder / names[0]
