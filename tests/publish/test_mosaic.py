"""Maps of many scenes as one, against an array that is painted by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agriseg.publish.mosaic import mosaics_of
from agriseg.runs import Run, RunFolder
from tests.support import LEGEND, NORTH_UP, UTM, write_raster

SIDE = 40
# (column, row, width, height, how many pixels of the finest a pixel takes)
PLACES = st.tuples(
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 2]),
)


def write(folder: Path, place: tuple[int, int, int, int, int], seed: int) -> Run:
    """A run of random classes, with the little of a record that is read here."""
    col, row, width, height, step = place
    pixels = np.random.default_rng(seed).choice([0, 1, 2, 255], (height, width)).astype(np.uint8)
    transform = NORTH_UP @ Affine.translation(col, row) @ Affine.scale(step)
    folder.mkdir()
    for name in ("classes", "confidence"):
        write_raster(folder / f"{name}.tif", pixels[None], transform=transform, nodata=255)
    grid = {
        "crs": UTM.to_wkt(),
        "transform": list(transform.to_gdal()),
        "width": width,
        "height": height,
    }
    legend = [{"value": c.value, "name": c.name, "color": c.color} for c in LEGEND]
    pixel_ha = (0.02 * step) ** 2 / 1e4
    rows = [
        {"value": k, "pixels": int((pixels == k).sum()), "area_ha": (pixels == k).sum() * pixel_ha}
        for k in range(3)
    ]
    record = {"scene": {"grid": grid}, "model": {"card": {"legend": legend}}, "classes": rows}
    return Run(RunFolder(folder), record)


def paint(whole: NDArray[np.uint8], run: Run, place: tuple[int, int, int, int, int]) -> None:
    col, row, width, height, step = place
    with rasterio.open(run.classes) as dataset:
        pixels = dataset.read(1).repeat(step, 0).repeat(step, 1)
    part = whole[row : row + height * step, col : col + width * step]
    part[pixels != 255] = pixels[pixels != 255]


@settings(max_examples=25)
@given(st.lists(PLACES, min_size=2, max_size=4))
def test_a_mosaic_shows_every_scene_where_it_lies(places: list[tuple[int, ...]]) -> None:
    # One scene in the finest pixels, so that these are the mosaic's.
    spots = [(0, 0, 2, 1, 1), *places]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [write(folder / f"s {k}", spot, k) for k, spot in enumerate(spots)]  # type: ignore[arg-type]
        whole = np.full((SIDE, SIDE), 255, np.uint8)
        for run, spot in zip(runs, spots, strict=True):
            paint(whole, run, spot)  # type: ignore[arg-type]
        (mosaic,), alone = mosaics_of(runs, folder)
        assert not alone
        with rasterio.open(mosaic.classes) as dataset:
            found = dataset.read(1)
            assert dataset.transform.almost_equals(NORTH_UP, 1e-6)
            assert dataset.colormap(1)[1][:3] == LEGEND.classes[1].rgb
    height, width = found.shape
    np.testing.assert_array_equal(found, whole[:height, :width])
    assert (whole[height:] == 255).all()
    assert (whole[:, width:] == 255).all()
    area = sum(row["area_ha"] for run in runs for row in run.record["classes"])
    shares = {k: share for k, (_, share) in mosaic.areas.items()}
    assert abs(sum(shares.values()) - 100) < 1e-6 or area == 0


def test_scenes_too_far_apart_stay_alone(tmp_path: Path) -> None:
    runs = [write(tmp_path / f"s{k}", (k * 2**31, 0, 2, 2, 1), k) for k in range(2)]
    assert mosaics_of(runs, tmp_path) == ([], runs)
