"""Normalised differences of bands as further inputs, computed in the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from agriseg.errors import ModelError
from agriseg.models import (
    ARCHITECTURES,
    BandInput,
    ModelCard,
    build_network,
    load_model,
    save_model,
)  # fmt: skip
from agriseg.models.band_pairs import WithPairs
from agriseg.models.decoder_folding import fold_decoder
from tests.support import LEGEND

SMALL = {
    "encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8],
    "band_pairs": True,
}  # fmt: skip


def card_of(*roles: str, architecture: str = "unet", **options: object) -> ModelCard:
    bands = tuple(BandInput(role, mean=0.1 + 0.1 * k, std=0.05) for k, role in enumerate(roles))
    return ModelCard(
        "pairs", architecture, bands, LEGEND, options=options, chip_size=64, overlap=16
    )


class Seen(nn.Module):
    """Gives back what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_card_tells_the_inputs() -> None:
    assert card_of("red", "nir").inputs == ("red", "nir")
    assert card_of("red", band_pairs=True).inputs == ("red",)
    assert card_of("red", "nir", band_pairs=True).inputs == ("red", "nir", "red/nir")
    three = card_of("red", "green", "blue", band_pairs=True)
    assert three.inputs[3:] == ("red/green", "red/blue", "green/blue")
    assert len(card_of("red", "green", "blue", "rededge", "nir", band_pairs=True).pairs) == 10


def test_pairs_are_soil_adjusted_differences_of_reflectance() -> None:
    card = card_of("red", "nir", band_pairs=True)
    red, nir = torch.rand(2, 1, 8, 9) * 0.5 + 0.01
    bands = torch.stack([red, nir], 1)
    x = (bands - torch.tensor([0.1, 0.2])[:, None, None]) / 0.05
    found = WithPairs(Seen(), card)(x)
    torch.testing.assert_close(found[:, :2], x)
    torch.testing.assert_close(found[:, 2], (red - nir) / (red + nir + 0.15) / 0.15)


def test_black_pixels_have_no_difference() -> None:
    card = card_of("red", "nir", band_pairs=True)
    black = torch.tensor([-0.1 / 0.05, -0.2 / 0.05]).reshape(1, 2, 1, 1)
    assert WithPairs(Seen(), card)(black)[0, 2].item() == pytest.approx(0, abs=1e-5)


def test_of_a_missing_band_no_difference_says_anything() -> None:
    """Whatever the others hold. On other chips of the batch it may be there."""
    card = card_of("red", "green", "nir", band_pairs=True)
    x = torch.rand(2, 3, 8, 9) + 0.1
    x[1, 1] = 0
    found = WithPairs(Seen(), card)(x)
    pairs = dict(zip(card.inputs[3:], found[1, 3:], strict=True))
    assert not pairs["red/green"].any()
    assert not pairs["green/nir"].any()
    assert pairs["red/nir"].all()
    torch.testing.assert_close(found[0], WithPairs(Seen(), card)(x[:1])[0])
    assert found[0, 3:].abs().amax((1, 2)).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_takes_pairs(name: str) -> None:
    card = card_of("red", "green", "nir", architecture=name, band_pairs=True)
    network = build_network(card).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 3, 64, 64)).shape == (1, len(LEGEND), 64, 64)


def test_a_network_from_elsewhere_takes_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its constructor knows nothing of them."""
    (tmp_path / "pair_stranger.py").write_text(
        "import torch\n"
        "def make(in_channels, classes):\n"
        "    return torch.nn.Conv2d(in_channels, classes, 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    card = card_of("red", "green", "nir", architecture="pair_stranger:make", band_pairs=True)
    network = build_network(card, trust=True)
    assert network(torch.randn(1, 3, 8, 8)).shape == (1, len(LEGEND), 8, 8)


def test_another_value_is_refused() -> None:
    with pytest.raises(ModelError, match="band_pairs is 'yes'; expected is one of True, False"):
        build_network(card_of("red", "nir", band_pairs="yes"))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("missing", [None, 1, 2])
def test_a_stored_model_predicts_as_the_network(
    tmp_path: Path, engine: str, missing: int | None
) -> None:
    """Also where a band is missing, which engines must see as the network does."""
    torch.manual_seed(2)
    card = replace(card_of("red", "green", "nir"), options=SMALL, stride=8)
    network = build_network(card).eval()
    path = save_model(tmp_path / "pairs.safetensors", card, network.state_dict())
    reflectance = torch.rand(2, 3, 64, 64) * 0.4
    if missing is not None:
        reflectance[:, missing] = float(card.means[missing])
    x = (reflectance - torch.from_numpy(card.means)[:, None, None]) / 0.05
    with torch.inference_mode():
        expected = network(x).softmax(1)
    found = load_model(path, engine=engine, precision="float32")(reflectance.numpy())
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


def test_the_decoder_within_is_folded() -> None:
    network = build_network(replace(card_of("red", "green"), options=SMALL, stride=8)).eval()
    folded = fold_decoder(network, 2, 8)
    assert sum(type(module).__name__ == "_Folded" for module in folded.modules()) == 3
