"""Reflectance as a camera's picture: plausible, and only where it is asked for."""

from __future__ import annotations

import pytest
import torch

from agriseg.errors import OptionError
from agriseg.training.augment import Augment, Normalise
from agriseg.training.config import AugmentConfig
from agriseg.training.photo import Photo
from agriseg.training.start import STILL

ROLES = ("red", "green", "blue", "nir")

NONE = torch.zeros(200, dtype=torch.bool)


def field(number: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, 4, 24, 24): a row of leaves on a brown soil; every other scene has no near infrared."""
    soil, leaf = torch.tensor([0.16, 0.12, 0.08, 0.2]), torch.tensor([0.05, 0.10, 0.04, 0.5])
    leaves = torch.zeros(24, 24, dtype=torch.bool)
    leaves[:, 8:16] = True
    image = torch.where(leaves, leaf[:, None, None], soil[:, None, None])
    present = torch.ones(number, 4, dtype=torch.bool)
    present[::2, 3] = False
    return image.expand(number, -1, -1, -1).clone(), present


def excess_green(image: torch.Tensor) -> torch.Tensor:
    return 2 * image[:, 1] - image[:, 0] - image[:, 2]


def test_pictures_are_brighter_and_leaves_stay_greener_than_soil() -> None:
    torch.manual_seed(0)
    image, present = field(64)
    found = Photo(1.0, ROLES)(image, present, NONE[: len(image)])
    assert torch.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1
    brightness = found[:, :3].mean((1, 2, 3))
    assert brightness.median() > 2.5 * image[:, :3].mean()
    assert brightness.max() > 1.5 * brightness.min(), "exposure differs"
    green = excess_green(found)
    assert (green[:, :, 10:14].mean((1, 2)) > green[:, :, :5].mean((1, 2))).all()


def test_colours_do_not_flow_between_light_and_near_infrared() -> None:
    image, present = field()
    other = image.clone()
    other[1::2, 3] += 0.2 * torch.rand(8, 24, 24)
    # What is in a band that the scene has not cannot matter either.
    other[::2, 3] = 7.0
    results = []
    for given in (image, other):
        torch.manual_seed(3)
        results.append(Photo(1.0, ROLES)(given, present, NONE[: len(given)]))
    torch.testing.assert_close(results[0][:, :3], results[1][:, :3])
    assert not torch.equal(results[0][1::2, 3], results[1][1::2, 3])


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 20, 44), (1.0, 64, 64)])
def test_share(share: float, least: int, most: int) -> None:
    torch.manual_seed(1)
    image, present = field(64)
    found = Photo(share, ROLES)(image, present, NONE[: len(image)])
    changed = (found != image).flatten(1).any(1).sum()
    assert least <= changed <= most


def test_pictures_stay_as_they_are() -> None:
    image, present = field()
    is_picture = torch.arange(len(image)) % 2 == 0
    found = Photo(1.0, ROLES)(image, present, is_picture)
    changed = (found != image).flatten(1).any(1)
    assert torch.equal(changed, ~is_picture)


def test_white_balance_goes_from_blue_to_yellow_and_hardly_to_green() -> None:
    """Grey stays near grey in green against the mean of red and blue."""
    torch.manual_seed(0)
    grey = torch.full((200, 3, 8, 8), 0.2)
    found = Photo(1.0, ("red", "green", "blue"))(grey, torch.ones(200, 3, dtype=torch.bool), NONE)
    red, green, blue = found.mean((2, 3)).log().T
    assert (red - blue).abs().quantile(0.9) > 0.3
    assert (green - (red + blue) / 2).abs().quantile(0.9) < 0.15


@pytest.mark.parametrize("roles", [("nir",), ("red",), ("swir16", "red@2")])
def test_other_bands(roles: tuple[str, ...]) -> None:
    image = torch.rand(3, len(roles), 9, 7)
    present = torch.ones(3, len(roles), dtype=torch.bool)
    present[2] = False
    found = Photo(1.0, roles)(image, present, NONE[: len(image)])
    assert found.shape == image.shape
    assert torch.isfinite(found).all()


def batch(number: int = 200) -> dict[str, torch.Tensor]:
    image, present = field(number)
    return {
        "image": image.half(),
        "valid": torch.ones(number, 24, 24, dtype=torch.bool),
        "codes": torch.zeros(number, 24, 24, dtype=torch.uint8),
        "present": present,
        "picture": NONE[:number],
        "zoom": torch.ones(number),
    }


def augment(optional: list[bool], **changes: object) -> Augment:
    config = AugmentConfig(**{**STILL.model_dump(), **changes})
    normalise = Normalise(torch.zeros(4), torch.ones(4))
    return Augment(config, 24, normalise, torch.tensor(optional), ROLES)


def test_bands_are_left_out_as_often_as_their_role_says() -> None:
    torch.manual_seed(0)
    change = augment([False, True, True, True], band_dropout={"red": 1.0, "green": 0.8, "nir": 0.3})
    image = change(batch())["image"]
    there = image.flatten(2).any(2).float()
    assert there[:, 0].all(), "it must be there"
    assert 0.1 < there[:, 1].mean() < 0.3
    assert there[:, 2].all()
    assert 0.55 < there[1::2, 3].mean() < 0.85


def test_a_band_the_model_does_not_take() -> None:
    with pytest.raises(OptionError, match=r"'blu' is no band of the model; did you mean blue\?"):
        augment([True] * 4, band_dropout={"blu": 0.3})


def test_photo_comes_before_other_light_and_again_the_same() -> None:
    change = augment([True] * 4, photo=0.7, noise=0.2)
    results = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        results.append(change(batch(8))["image"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
