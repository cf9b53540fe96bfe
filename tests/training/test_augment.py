"""Augmentation: labels follow pixels, what is invalid stays at the mean, chance comes again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agriseg.errors import OptionError
from agriseg.labels import IGNORE
from agriseg.models import BandInput, ModelCard
from agriseg.models.inputs import network_input
from agriseg.raster import Pixels
from agriseg.training.augment import Augment, Normalise
from agriseg.training.config import AugmentConfig
from agriseg.training.start import STILL as NOTHING
from tests.support import LEGEND

SIZE = 32
STILL = NOTHING.model_dump()


def augment(size: int = SIZE, **changes: Any) -> Augment:
    config = AugmentConfig(**{**STILL, **changes})
    normalise = Normalise(torch.tensor([0.2, 0.4]), torch.tensor([0.1, 0.5]))
    return Augment(config, size, normalise, torch.tensor([False, True]))


def batch(side: int = SIZE, zoom: float = 1.0) -> dict[str, torch.Tensor]:
    """Codes of 0 and 1 in smooth patches, and a first band that holds them, as 0.2 + code / 10."""
    torch.manual_seed(1)
    coarse = (torch.rand(4, 1, 5, 5) > 0.5).float()
    codes = torch.nn.functional.interpolate(coarse, (side, side))[:, 0].to(torch.uint8)
    valid = torch.ones(4, side, side, dtype=torch.bool)
    valid[:, :4, :9] = False
    red = torch.where(valid, 0.2 + codes * 0.1, 0.0)
    image = torch.stack([red, torch.where(valid, 0.9, 0.0)], 1)
    return {
        "image": image.half(),
        "valid": valid,
        "codes": torch.where(valid, codes, IGNORE).to(torch.uint8),
        "present": torch.tensor([[True, True], [True, False], [True, True], [True, True]]),
        "picture": torch.zeros(4, dtype=torch.bool),
        "zoom": torch.full((4,), zoom),
    }


@pytest.mark.parametrize(
    ("changes", "side", "zoom"),
    [
        ({"turns": True}, SIZE, 1.0),
        ({"turns": True}, SIZE + 8, 1.0),
        ({"turns": "half"}, SIZE, 1.0),
        ({"turns": True, "rotate_deg": 90.0}, 48, 1.3),
        ({"turns": True}, 40, 0.7),
    ],
)
def test_labels_lie_on_their_pixels(changes: dict[str, Any], side: int, zoom: float) -> None:
    torch.manual_seed(0)
    found = augment(**changes)(batch(side, zoom))
    codes, red = found["codes"], found["image"][:, 0]
    assert codes.shape == (4, SIZE, SIZE)
    known = codes != IGNORE
    assert known.float().mean() > 0.5
    # Where bilinear pixels lie between two labels either may be right.
    assert ((red[known] - codes[known]).abs() < 0.02).float().mean() > 0.85
    assert ((red[known] - codes[known]).abs() < 0.52).float().mean() > 0.99


def test_quarter_turns_alone_change_no_value() -> None:
    torch.manual_seed(0)
    given = batch()
    found = augment(turns=True)(given)
    for k in range(4):
        views = [
            torch.rot90(plane, turn)
            for turn in range(4)
            for plane in (given["codes"][k], given["codes"][k].flip(-1))
        ]
        assert any(torch.equal(found["codes"][k], view) for view in views)
    assert set(found["image"][:, 0].unique().round(decimals=2).tolist()) <= {0.0, 1.0}


def test_half_turns_keep_the_direction_of_rows() -> None:
    torch.manual_seed(0)
    given = batch()
    seen = set()
    for _ in range(20):
        found = augment(turns="half")(given)["codes"][0]
        views = [given["codes"][0].flip(dims) for dims in ((), (0,), (1,), (0, 1))]
        seen.add(next(k for k, view in enumerate(views) if torch.equal(found, view)))
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("changes", [{}, {"brightness": 1.0, "gamma": 1.0, "noise": 1.0,
                                          "shadow": 1.0, "rotate_deg": 30.0}])  # fmt: skip
def test_what_is_invalid_or_missing_is_zero(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    found = augment(**changes)(batch())
    image = found["image"]
    assert torch.isfinite(image).all()
    assert not image.movedim(1, -1)[found["codes"] == IGNORE].any()
    assert not image[1, 1].any(), "the scene lacks this band"
    assert image[0, 1].any()


def test_a_chip_is_what_it_will_be_in_use() -> None:
    """The same pixels through `network_input` and the card's constants."""
    given = batch()
    card = ModelCard(
        "tiny", "unet", (BandInput("red", mean=0.2, std=0.1), BandInput("nir", mean=0.4, std=0.5)),
        LEGEND, stride=1, chip_size=SIZE, overlap=0,
    )  # fmt: skip
    data, valid = given["image"][0].float().numpy().copy(), given["valid"][0].numpy()
    used = network_input(Pixels(data, valid), ["red", "nir"], card)
    expected = (used - card.means[:, None, None]) / card.stds[:, None, None]
    np.testing.assert_allclose(augment()(given)["image"][0].numpy(), expected, atol=1e-6)


def test_only_bands_that_may_be_missing_are_left_out() -> None:
    torch.manual_seed(0)
    found = augment(band_dropout=1.0)(batch())["image"]
    assert not found[:, 1].any()
    assert found[:, 0].any()


def test_the_last_band_is_not_left_out() -> None:
    given = batch()
    given["present"] = torch.tensor([[False, True]] * 4)
    assert augment(band_dropout=1.0)(given)["image"][:, 1].any()


def with_cameras(*cameras: str, optional: tuple[bool, ...] = (False, True, True)) -> Augment:
    config = AugmentConfig(**{**STILL, "cameras": list(cameras)})
    normalise = Normalise(torch.tensor([0.2, 0.4, 0.6]), torch.tensor([0.1, 0.5, 0.3]))
    return Augment(config, SIZE, normalise, torch.tensor(optional), ["red", "green", "nir"])


def test_chips_keep_the_bands_of_a_camera_that_theirs_could_have_been() -> None:
    torch.manual_seed(0)
    many = 400
    given = {
        "image": torch.rand(many, 3, SIZE, SIZE),
        "valid": torch.ones(many, SIZE, SIZE, dtype=torch.bool),
        "codes": torch.zeros(many, SIZE, SIZE, dtype=torch.uint8),
        "present": torch.tensor([[True, True, True], [True, True, False]]).repeat(many // 2, 1),
        "picture": torch.zeros(many, dtype=torch.bool),
        "zoom": torch.ones(many),
    }
    change = with_cameras("red,nir", "red,green", "red, nir")
    kept = change(given)["image"].abs().amax((2, 3)) > 0
    all_bands, no_nir = kept[::2].tolist(), kept[1::2].tolist()
    assert {tuple(row) for row in all_bands} == {(True, False, True), (True, True, False)}
    assert 100 < sum(row[2] for row in all_bands) < 165, "two of three"
    assert {tuple(row) for row in no_nir} == {(True, True, False)}


def test_a_chip_that_no_camera_fits_keeps_all_its_bands() -> None:
    given = batch()
    given["image"] = torch.rand(4, 3, SIZE, SIZE)
    given["present"] = torch.tensor([[True, True, False]] * 4)
    kept = with_cameras("red,nir")(given)["image"].abs().amax((2, 3)) > 0
    assert kept.tolist() == [[True, True, False]] * 4


def test_cameras_have_bands_of_the_model_and_those_it_needs() -> None:
    with pytest.raises(OptionError, match=r"'ni' in 'red,ni' is no band of the model; .*nir"):
        with_cameras("red,ni")
    with pytest.raises(OptionError, match=r"'green,nir' lacks red, without which .* red\?"):
        with_cameras("green,nir")
    with pytest.raises(ValueError, match="cameras and band_dropout both say"):
        AugmentConfig(cameras=["red,nir"], band_dropout=0.3)


@pytest.mark.parametrize(
    "name", ["brightness", "band_brightness", "gamma", "shadow", "noise", "blur"]
)
def test_each_change_of_light_changes_pixels_alone_and_the_same_again(name: str) -> None:
    change = augment(**{name: 1.0})
    given = batch()
    results = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        results.append(change(given))
    assert torch.equal(results[0]["image"], results[1]["image"])
    assert not torch.equal(results[0]["image"], results[2]["image"])
    assert not torch.equal(results[0]["image"], augment()(given)["image"])
    assert torch.equal(results[0]["codes"], given["codes"])


@pytest.mark.parametrize("scale", [1.0, 10_000.0])
def test_contrast_is_no_other_brightness_whatever_the_scale(scale: float) -> None:
    """The mean of numbers without a scale stays where it is, give or take a quarter."""
    config = AugmentConfig(**{**STILL, "gamma": 0.1})
    normalise = Normalise(torch.tensor([0.3, 0.3]) * scale, torch.tensor([0.1, 0.1]) * scale)
    given = batch()
    given["image"] = torch.full((4, 2, SIZE, SIZE), 0.3 * scale)
    given["valid"][:] = True
    for seed in range(10):
        torch.manual_seed(seed)
        made = Augment(config, SIZE, normalise, torch.tensor([False, False]))
        found = made(given)["image"][0] * 0.1 / 0.3
        assert found.abs().max() < 0.25
