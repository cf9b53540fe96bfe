"""Small cards, networks and scenes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from affine import Affine
from rasterio.crs import CRS

from agriseg.bands import Band, Radiometry, split_role
from agriseg.geobox import GeoBox
from agriseg.legend import Legend
from agriseg.models import BandInput, ModelCard
from agriseg.raster import Scene

LEGEND = Legend.of(("soil", "#c8a882"), ("crop", "#1b6e2b"), ("weed", "#d81b9a"))


@pytest.fixture
def make_card() -> Callable[..., ModelCard]:
    """A card of a tiny U-Net; every field can be changed."""

    def make(**changes: Any) -> ModelCard:
        fields: dict[str, Any] = {
            "name": "tiny",
            "architecture": "unet",
            "options": {
                "encoder_name": "resnet18",
                "encoder_depth": 3,
                "decoder_channels": [16, 8, 8],
            },
            "bands": (
                BandInput("red", 668.0, mean=0.1, std=0.05),
                BandInput("nir", 842.0, mean=0.4, std=0.1),
            ),
            "legend": LEGEND,
            "chip_size": 64,
            "overlap": 16,
            "stride": 8,
        }
        return ModelCard(**fields | changes)

    return make


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """A scene without files: bands by key, or (key, wavelength)."""

    def make(
        *keys: str | tuple[str, float], gsd_m: float = 0.05, level: Any = "reflectance"
    ) -> Scene:
        bands = []
        for index, item in enumerate(keys, start=1):
            key, wavelength = item if isinstance(item, tuple) else (item, None)
            role, date = split_role(key)
            bands.append(Band("scene.tif", index, role, date, wavelength))
        grid = GeoBox(CRS.from_epsg(32633), Affine(gsd_m, 0, 5e5, 0, -gsd_m, 5e6), 40, 30)
        return Scene("meadow", tuple(bands), grid, Radiometry(level, "a test says so"))

    return make
