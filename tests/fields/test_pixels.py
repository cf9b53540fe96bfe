"""In which pixels an index is looked at, where nobody says."""

from __future__ import annotations

import pytest
import rasterio

from agriseg.errors import OptionError
from agriseg.fields.pixels import choose_pixels
from agriseg.geobox import GeoBox


@pytest.mark.parametrize(
    ("size", "expected"), [(0.02, "crop"), (1.0, "crop"), (1.01, "all"), (10.0, "all")]
)
def test_large_pixels_hold_plants_and_soil(size: float, expected: str) -> None:
    place = rasterio.Affine(size, 0, 500_000, 0, -size, 5_700_000)
    box = GeoBox(rasterio.CRS.from_epsg(32633), place, 10, 10)
    assert choose_pixels(None, box) == expected
    assert choose_pixels("plants", box) == "plants"
    with pytest.raises(OptionError, match="--pixels weed: possible are crop, plants, all"):
        choose_pixels("weed", box)


def test_pixels_of_unknown_size_are_small() -> None:
    box = GeoBox(None, rasterio.Affine.identity(), 10, 10)
    assert choose_pixels(None, box) == "crop"
