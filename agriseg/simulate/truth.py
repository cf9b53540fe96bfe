"""What is true of a simulated field besides its labels and plants: rows, fields, outline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agriseg.simulate.field import LEGEND
from agriseg.simulate.ground_truth import field_batch, outline_of, row_batches
from agriseg.simulate.recipe import FieldRecipe
from agriseg.vector.files import write_polygons

__all__ = ["Truth", "write_truth"]


@dataclass(frozen=True)
class Truth:
    """What was written: the number of rows, pixels of each class by name."""

    rows: int
    pixels: dict[str, int]


def write_truth(recipe: FieldRecipe, labels: Path, folder: Path) -> Truth:
    """Write rows.gpkg and field.gpkg.

    Args:
        recipe: The field.
        labels: Its labels, as `rasters.Drawn` writes them; read strip by strip.
        folder: Where the files go.

    Raises:
        OutputError: A file cannot be written.
    """
    crs = recipe.geobox.crs
    outline, pixels = outline_of(recipe, labels)
    fields = [field_batch(recipe, outline, pixels)]
    write_polygons(folder / "field.gpkg", fields, crs, layer="field")
    rows = write_polygons(folder / "rows.gpkg", row_batches(recipe, outline), crs, layer="rows")
    total = pixels.sum(axis=0)
    return Truth(rows, {label.name: int(total[label.value]) for label in LEGEND})
