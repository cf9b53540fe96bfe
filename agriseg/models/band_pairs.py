"""Differences of bands as further inputs of a network, computed inside of it.

A network that has to learn what a vegetation index is needs many examples, and then knows it for
the light that it saw. Handed to it as inputs, indices shorten training and carry over to other
fields (Milioto et al. 2018, Real-time semantic segmentation of crop and weed, ICRA).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agriseg.models.card import ModelCard

__all__ = ["WithPairs"]

_LEAST = 0.01
"""Of the mean of two bands: what a sum of dark pixels is at least."""
_SPREAD = 0.2
"""About the standard deviation of a normalised difference in a field."""


class WithPairs(nn.Module):
    """A network that also sees (a - b) / (a + b) of each pair of bands in `card.pairs`.

    Each depends on its pixel alone, so that chips leave no seams. A missing band holds its mean,
    and what is said of it is then a matter of the other one.

    Args:
        network: From (n, bands + pairs, h, w) to logits.
        card: Of the model: its bands, their means and standard deviations, and its pairs.
    """

    first: Tensor
    second: Tensor
    means: Tensor
    stds: Tensor
    least: Tensor

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.network = network
        first, second = (torch.tensor(one) for one in zip(*card.pairs, strict=True))
        means = torch.from_numpy(card.means).float().reshape(1, -1, 1, 1)
        stds = torch.from_numpy(card.stds).float().reshape(1, -1, 1, 1)
        least = (means[:, first] + means[:, second]).abs() * _LEAST
        for name, value in (
            ("first", first), ("second", second), ("means", means), ("stds", stds),
            ("least", least.clamp_min(1e-6)),
        ):  # fmt: skip
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of normalised bands (n, bands, h, w)."""
        with torch.autocast(x.device.type, enabled=False):
            band = (x.float() * self.stds + self.means).clamp_min(0)
            a, b = band[:, self.first], band[:, self.second]
            pairs = (a - b) / torch.maximum(a + b, self.least) / _SPREAD
        logits: Tensor = self.network(torch.cat([x, pairs.to(x.dtype)], 1))
        return logits
