"""Other ground under the same plants, and plants that shine."""

from __future__ import annotations

import pytest
import torch

from agriseg.errors import OptionError
from agriseg.training.augment import Augment, Normalise
from agriseg.training.config import AugmentConfig
from agriseg.training.surfaces import Gaps, Gloss, Ground, Leaves

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
    assert (soil.flatten(2).std(2) > 0.001).float().mean() > 0.95, "chips have grain"
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


def test_gaps_darken_with_the_leaves_around_and_keep_some_green() -> None:
    torch.manual_seed(0)
    image, codes = field()
    found = Gaps({0: 1.0}, ROLES)(image, codes)
    assert torch.equal(found[:, :, :, 18:], image[:, :, :, 18:])
    assert torch.allclose(found[:, :, :, :2], image[:, :, :, :2], atol=1e-6), "far from leaves"
    red, green, _, nir = found[:, :, :, 14].mean(2).T
    assert (red <= 0.2).all()
    assert red.median() < 0.17
    assert (green >= red - 1e-6).all()
    assert (nir >= green - 1e-6).all()


def test_in_gaps_lower_leaves_of_other_chips_are_seen() -> None:
    torch.manual_seed(0)
    image, codes = field()
    image[::2, :, ::2] *= 1.5  # every other chip has stripes
    found = Gaps({0: 1.0}, ROLES)(image, codes)
    stripes = found[1::2, 0, :, 14].std(1) / found[1::2, 0, :, 14].mean(1)
    assert 0.3 < (stripes > 0.01).float().mean() < 0.9
    assert torch.equal(found[1::2, :, :, 18:], image[1::2, :, :, 18:])


def test_leaves_are_mostly_paler_and_ground_stays() -> None:
    torch.manual_seed(0)
    image, codes = field(200)
    image[:, 1] = 0.3
    found = Leaves({1: 1.0}, ROLES)(image, codes)
    assert torch.equal(found[:, :, :, :14], image[:, :, :, :14])
    red, green, blue, _ = found[:, :, :, 20:].log().movedim(1, 0)
    lost = (green - (red + blue) / 2).mean((1, 2)) - torch.log(torch.tensor(1.5))
    assert -0.3 < lost.mean() < -0.1
    assert (lost < 0.05).all()


@pytest.mark.parametrize("change", [Gaps, Leaves])
def test_nothing_but_its_class_no_change(change: type[Gaps] | type[Leaves]) -> None:
    image, _ = field(4)
    other = torch.full((4, 33, 33), 255, dtype=torch.uint8)
    assert torch.equal(change({0: 1.0}, ROLES)(image, other), image)
