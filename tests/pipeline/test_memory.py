"""Memory does not grow with the raster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from tests.support import NORTH_UP, UTM

ROOT = Path(__file__).resolve().parents[2]

RUN = """
import sys
import agriseg
from agriseg.machine import peak_bytes
how = {"polygons": sys.argv[4] == "polygons", "fields": False, "qgis": False}
agriseg.segment(sys.argv[1], sys.argv[2], model=sys.argv[3], **how)
print(peak_bytes())
"""


def write_large(path: Path, width: int, height: int) -> Path:
    """Four uint16 bands, written row by row: this process must not hold it either."""
    rng = np.random.default_rng(0)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=4,
        height=height,
        width=width,
        crs=UTM,
        transform=NORTH_UP,
        tiled=True,
    ) as dataset:
        for index, role in enumerate(("green", "red", "rededge", "nir"), 1):
            dataset.set_band_description(index, role)
        dataset.scales = (1e-4,) * 4
        for top in range(0, height, 512):
            window = Window(0, top, width, min(512, height - top))
            values = rng.integers(0, 8000, (4, window.height, width), np.uint16)
            dataset.write(values, window=window)
    return path


def peak_megabytes(raster: Path, out: Path, model: str, polygons: str = "none") -> float:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(raster), str(out), model, polygons],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout) / 2**20


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("rasters")
    return [write_large(folder / f"{height}.tif", 1500, height) for height in (3000, 12000)]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from agriseg.models import BandInput, ModelCard, build_network, save_model
    from tests.support import LEGEND

    card = ModelCard(
        name="small",
        architecture="unet",
        options={
            "encoder_name": "resnet18",
            "encoder_depth": 3,
            "decoder_channels": [32, 16, 16],
        },
        bands=tuple(BandInput(role, mean=0.4, std=0.2) for role in ("green", "red", "nir")),
        legend=LEGEND,
        chip_size=256,
        overlap=32,
        stride=32,
    )
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    return save_model(path, card, build_network(card).state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["index-baseline", "network"])
def test_four_times_the_raster_takes_the_same_memory(
    tmp_path: Path, rasters: list[Path], network: Path, kind: str
) -> None:
    """Four times as high, that is. Slow: 4 and 18 megapixels, each in a process of its own.

    GDAL's cache of blocks fills up meanwhile; 13.5 Mpixel kept in float32 would take 54 MB a band,
    and there are three.
    """
    model = str(network) if kind == "network" else kind
    small, large = (peak_megabytes(raster, tmp_path / "out", model) for raster in rasters)
    if large >= small + 100:  # memory that is kept is kept each time, noise of the allocator is not
        large = peak_megabytes(rasters[1], tmp_path / "again", model)
    assert large < small + 100, f"{small:.0f} MB became {large:.0f} MB"
    assert large < 2000


@pytest.mark.slow
def test_polygons_take_memory_by_the_length_of_their_borders(tmp_path: Path) -> None:
    """Slow: it segments 1 and 4 megapixels of noise, the most borders that a map can have.

    A map of plants takes about a tenth of it.
    """
    peaks = [
        peak_megabytes(
            write_large(tmp_path / f"{side}.tif", side, side),
            tmp_path,
            "index-baseline",
            "polygons",
        )
        for side in (1000, 2000)
    ]
    bytes_per_pixel = (peaks[1] - peaks[0]) * 2**20 / (2000**2 - 1000**2)
    assert bytes_per_pixel < 200
