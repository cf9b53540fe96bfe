"""What a network is given of a scene's pixels."""

from __future__ import annotations

import numpy as np
import pytest

from agriseg.models import BandInput, ModelCard
from agriseg.models.inputs import network_input
from agriseg.raster import Pixels
from tests.support import LEGEND

MEANS = {"green": 0.1, "red": 0.2, "nir": 0.4}
CARD = ModelCard(
    "tiny",
    "unet",
    tuple(BandInput(role, mean=mean, std=0.1) for role, mean in MEANS.items()),
    LEGEND,
    stride=4,
    chip_size=16,
    overlap=0,
)


@pytest.mark.parametrize("shape", [(8, 12), (7, 9), (5, 8)])
@pytest.mark.parametrize("hole", [False, True])
@pytest.mark.parametrize(
    "keys", [("green", "red", "nir"), ("nir", "green", "red"), ("nir", "green"), ("red",)]
)
def test_bands_stand_where_the_card_has_them(
    keys: tuple[str, ...], hole: bool, shape: tuple[int, int]
) -> None:
    """Missing bands and pixels are the mean; what the stride adds mirrors the edge."""
    data = np.random.default_rng(0).random((len(keys), *shape), np.float32)
    valid = np.ones(shape, bool)
    if hole:
        valid[1:3, 2:] = False
        data[0, ~valid] = np.nan
    expected = np.empty((3, *shape), np.float32)
    for place, (role, mean) in enumerate(MEANS.items()):
        plane = data[keys.index(role)] if role in keys else np.full(shape, mean, np.float32)
        expected[place] = np.where(valid, plane, np.float32(mean))
    rows, cols = (-length % 4 for length in shape)
    expected = np.pad(expected, ((0, 0), (0, rows), (0, cols)), mode="reflect")
    found = network_input(Pixels(data.copy(), valid), keys, CARD)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_pixels_that_fit_are_not_copied() -> None:
    data = np.zeros((3, 8, 8), np.float32)
    found = network_input(Pixels(data, np.ones((8, 8), bool)), tuple(MEANS), CARD)
    assert np.shares_memory(found, data)
