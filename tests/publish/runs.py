"""Small finished runs, and farm tables to lie beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

import agriseg
from agriseg.legend import Legend
from agriseg.runs import Run
from agriseg.vector.files import PolygonBatch, write_polygons
from tests.support import LEGEND, NORTH_UP, UTM, Identity, identity_card, write_raster

BANDS = ("Blue", "Green", "Red", "NIR")
HEIGHT, WIDTH = 37, 53


def classes() -> NDArray[np.float32]:
    """Three classes in blocks of different size, with a corner of nodata."""
    found = np.zeros((HEIGHT, WIDTH), np.float32)
    found[5:20, 7:40] = 1
    found[22:30, 30:50] = 2
    found[:9, 44:] = np.nan
    return found


def make_run(
    out: Path,
    name: str = "field",
    *,
    legend: Legend = LEGEND,
    transform: Affine = NORTH_UP,
    crs: CRS | None = UTM,
    inputs: Path | None = None,
    **options: Any,
) -> Run:
    """Segment a raster of known classes; the image lies in `inputs`, by default beside `out`."""
    red = classes()
    image = np.stack([red * 0 + 0.1, red * 0 + 0.2, red, 0.5 + red * 0.1])
    # So that a stretch has two ends.
    image[(0, 1), :, :10] *= 0.5
    folder = inputs or out.parent / "flights"
    folder.mkdir(parents=True, exist_ok=True)
    path = write_raster(
        folder / f"{name}.tif", image, crs=crs, transform=transform, descriptions=BANDS
    )
    model = Identity(identity_card(legend=legend))
    run = agriseg.segment(
        str(path), out, model=model, **{"fields": False, "qgis": False, **options}
    )
    assert isinstance(run, Run)
    return run


def squares(run: Run, across: int, down: int) -> NDArray[np.object_]:
    with rasterio.open(run.classes) as dataset:
        left, bottom, right, top = dataset.bounds
    xs, ys = np.linspace(left, right, across + 1), np.linspace(bottom, top, down + 1)
    found = np.empty(across * down, object)
    found[:] = [
        shapely.MultiPolygon([shapely.box(xs[i], ys[j], xs[i + 1], ys[j + 1])])
        for j in range(down)
        for i in range(across)
    ]
    return found


def _texts(*values: str) -> NDArray[np.object_]:
    return np.array(values, object)


def write_table(
    run: Run, layer: str, shapes: NDArray[np.object_], kind: str = "MultiPolygon", /, **columns: Any
) -> Path:
    with rasterio.open(run.classes) as dataset:
        crs = dataset.crs
    path = run.path / f"{layer}.gpkg"
    write_polygons(path, [PolygonBatch(shapes, columns, kind)], crs, layer=layer)
    return path


def add_farm(run: Run) -> None:
    """Every table that may lie in a run folder, with names that are hard on XML."""
    quarters = squares(run, 2, 2)
    write_table(
        run,
        "fields",
        quarters,
        field_id=_texts("f<1>", "f&2", 'f"3"', "f'4'"),
        name=_texts('Großer "Acker" <b>', "", "Müller & Söhne", "x"),
        area_ha=np.full(4, 0.5),
        ndvi_median=np.array([0.31, 0.45, np.nan, 0.78]),
        vigour_percent=np.array([62.0, 75.0, np.nan, 97.0]),
    )
    write_table(
        run,
        "zones",
        quarters[:3],
        zone=np.array([1, 2, 3]),
        zone_name=_texts("low <", "middle & so", 'high "'),
        area_ha=np.array([0.1, 0.2, 0.3]),
    )
    write_table(run, "weeds", squares(run, 3, 1), weed_percent=np.array([0.0, 4.0, 60.0]))
    write_table(run, "patches", quarters[:1], area_ha=np.array([0.1]))
    left, bottom, right, top = shapely.total_bounds(quarters)
    lines = np.empty(2, object)
    lines[:] = [
        shapely.MultiLineString([[(left, y), (right, y)]]) for y in np.linspace(bottom, top, 4)[1:3]
    ]
    write_table(run, "rows", lines, "MultiLineString", row=np.array([1, 2]))
