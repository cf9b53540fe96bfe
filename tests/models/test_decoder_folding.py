"""A folded decoder gives what the decoder gave."""

from __future__ import annotations

from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from agriseg.models import decoder_folding
from agriseg.models.decoder_folding import fold_decoder


def network(encoder: str = "resnet18", **options: Any) -> nn.Module:
    torch.manual_seed(1)
    net = smp.Unet(encoder, encoder_weights=None, in_channels=3, classes=4, **options).train()
    with torch.no_grad():  # statistics of batch norms that are not those of a new network
        for _ in range(3):
            net(torch.randn(2, 3, 64, 64) * 2 + 1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net.eval()


def folded_blocks(net: nn.Module) -> int:
    return sum(isinstance(module, decoder_folding._Folded) for module in net.modules())


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("resnet18", {}),
        ("resnet18", {"decoder_use_norm": False}),
        ("resnet18", {"encoder_depth": 3, "decoder_channels": (32, 16, 8)}),
        ("mobilenet_v2", {}),
        ("efficientnet-b0", {}),
    ],
)
@pytest.mark.parametrize("shape", [(64, 64), (96, 32)])
@torch.inference_mode()
def test_outputs_are_equal(encoder: str, options: dict[str, Any], shape: tuple[int, int]) -> None:
    net = network(encoder, **options)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold_decoder(net, 3, 32)
    assert folded_blocks(folded) == len(net.decoder.blocks)
    x = torch.randn(2, 3, *shape)
    expected = net(x)
    assert torch.allclose(folded(x), expected, atol=1e-4 * float(expected.abs().max()))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    "options", [{"decoder_attention_type": "scse"}, {"decoder_interpolation": "bilinear"}]
)
def test_other_decoders_stay_as_they_are(options: dict[str, Any]) -> None:
    net = network(**options)
    folded = fold_decoder(net, 3, 32)
    assert folded_blocks(folded) == 0
    assert folded is not net
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(folded(x), net(x))


def test_a_folding_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_folding, "_upsampling", lambda k: torch.ones(*k.shape[1::-1], 4, 4))
    net = network()
    folded = fold_decoder(net, 3, 32)
    assert folded_blocks(folded) == 0
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(folded(x), net(x))


def test_a_block_that_does_not_double_is_not_folded() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = network().decoder.blocks[4]
            self.first = nn.Conv2d(3, 32, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(self.first(x), 3 * x.shape[2], 3 * x.shape[3])

    net = Odd().eval()
    assert folded_blocks(fold_decoder(net, 3, 32)) == 0
