"""Differences of bands as further inputs of a network, computed inside of it.

A network that has to learn what a vegetation index is needs many examples, and then knows it for
the light that it saw. Handed to it as inputs, indices shorten training and carry over to other
fields (Milioto et al. 2018, Real-time semantic segmentation of crop and weed, ICRA).

A plain (a - b) / (a + b) is mostly noise where little light comes from, in the gaps between crumbs
of soil. A constant in the denominator mends that, as in the soil-adjusted vegetation index (Huete
1988, Remote Sens. Environ. 25).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agriseg.models.card import ModelCard

__all__ = ["WithPairs"]

_ADJUSTED = 0.5
"""The constant in the denominator, as a share of the mean of both bands together."""
_SPREAD = 0.15
"""About the standard deviation of such a difference in a field."""
_THERE = 0.05
"""Standard deviations from the mean that a band reaches somewhere in a chip if it is there. Not 0:
engines that turn (x - mean) / std into one product and sum leave 1e-7 of it, 0.01 in bfloat16."""


class WithPairs(nn.Module):
    """A network that also sees (a - b) / (a + b + L) of each pair of bands in `card.pairs`.

    Each depends on its pixel alone, so that chips leave no seams. Of a missing band, which is 0 all
    over, no difference says anything: it is 0 too.

    Args:
        network: From (n, bands + pairs, h, w) to logits.
        card: Of the model: its bands, their means and standard deviations, and its pairs.
    """

    first: Tensor
    second: Tensor
    means: Tensor
    stds: Tensor
    adjusted: Tensor

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.network = network
        first, second = (torch.tensor(one) for one in zip(*card.pairs, strict=True))
        means = torch.from_numpy(card.means).float().reshape(1, -1, 1, 1)
        stds = torch.from_numpy(card.stds).float().reshape(1, -1, 1, 1)
        adjusted = (means[:, first] + means[:, second]).abs() * _ADJUSTED
        for name, value in (
            ("first", first), ("second", second), ("means", means), ("stds", stds),
            ("adjusted", adjusted.clamp_min(1e-6)),
        ):  # fmt: skip
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of normalised bands (n, bands, h, w)."""
        with torch.autocast(x.device.type, enabled=False):
            band = (x.float() * self.stds + self.means).clamp_min(0)
            a, b = band[:, self.first], band[:, self.second]
            pairs = (a - b) / (a + b + self.adjusted) / _SPREAD
            there = (x.abs().amax((2, 3), keepdim=True) > _THERE).to(pairs.dtype)
            pairs = pairs * there[:, self.first] * there[:, self.second]
        logits: Tensor = self.network(torch.cat([x, pairs.to(x.dtype)], 1))
        return logits
