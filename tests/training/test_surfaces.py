"""Other ground under the same plants, and plants that shine."""

from __future__ import annotations

import pytest
import torch

from agriseg.errors import OptionError
from agriseg.training.augment import Augment, Normalise
from agriseg.training.config import AugmentConfig
from agriseg.training.surfaces import Gloss, Ground

ROLES = ("red", "green", "blue", "nir")


def field(number: int = 64, side: int = 33) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey soil, and plants in the right half."""
    codes = torch.zeros(number, side, side, dtype=torch.uint8)
    codes[:, :, side // 2 :] = 1
    return torch.full((number, 4, side, side), 0.2), codes


def test_ground_changes_and_plants_do_not() -> None:
    torch.manual_seed(0)
    image, codes = field()
    found = Ground({0: 1.0}, ROLES)(image, codes)
    assert torch.equal(found[:, :, :, 18:], image[:, :, :, 18:])
    soil = found[:, :, :, :14]
    assert (soil > 0).all()
    assert torch.isfinite(soil).all()
    assert (soil.flatten(2).std(2) > 0.001).all(), "every chip has grain"
    assert soil.mean((1, 2, 3)).std() > 0.02, "chips differ"
    assert torch.equal(image, field()[0]), "what was given stays"


def test_much_in_brightness_less_in_warmth_and_hardly_in_green() -> None:
    torch.manual_seed(0)
    image, codes = field(200)
    red, green, blue, nir = Ground({0: 1.0}, ROLES)(image, codes)[:, :, :, :14].log().movedim(1, 0)
    brightness, warmth, green_of = nir, (red - blue) / 2, green - (red + blue) / 2
    assert brightness.std() > 2 * warmth.std() > 6 * green_of.std() > 0


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 20, 44), (1.0, 64, 64)])
def test_share(share: float, least: int, most: int) -> None:
    torch.manual_seed(1)
    image, codes = field()
    changed = (Ground({0: share}, ROLES)(image, codes) != image).flatten(1).any(1).sum()
    assert least <= changed <= most


def test_leaves_shine_in_spots_and_more_blue_than_infrared() -> None:
    torch.manual_seed(0)
    image, codes = field()
    found = Gloss({1: 1.0}, ROLES)(image, codes)
    assert torch.equal(found[:, :, :, :14], image[:, :, :, :14])
    red, green, blue, nir = (found - image)[:, :, :, 18:].movedim(1, 0)
    assert (green >= 0).all()
    assert 0.2 < (green > 0).float().mean() < 0.8
    shines = green > 0.001
    assert (blue > green)[shines].all()
    assert (green > red)[shines].all()
    assert (red > nir)[shines].all()


def test_a_class_that_is_none_is_refused() -> None:
    config = AugmentConfig(ground={"sol": 0.5})
    with pytest.raises(OptionError, match=r"augment\.ground: 'sol' is no class; did you mean soil"):
        Augment(
            config, 24, Normalise(torch.zeros(4), torch.ones(4)), torch.zeros(4).bool(), ROLES,
            ("soil", "crop"),
        )  # fmt: skip
