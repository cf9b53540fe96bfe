"""Other ground under the same plants: labels say which pixels are soil, to be painted anew.

A network that has seen a hundred fields takes the crumbs, stones and stains of the next one for
plants. Randomising what does not matter teaches it what does (Tobin et al. 2017, Domain
randomization for transferring deep neural networks from simulation to the real world, IROS). Here
each pixel of the ground is multiplied by noise of several grain sizes: much in brightness, less
from blue to yellow, and next to nothing from magenta to green, where plants begin.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Ground"]

# What one unit of brightness, warmth and greenness does to the logarithm of each band.
_WARMTH = {"coastal": -1.0, "blue": -1.0, "yellow": 0.5, "red": 1.0}
_GREENNESS = {"green": 1.0}
# Largest standard deviation of each, over the chip as a whole and from spot to spot.
_CHIP = (0.4, 0.15, 0.02)
_SPOTS = (0.3, 0.1, 0.025)
_GRAINS_PX = (1, 2, 4, 8, 16)
_SHARP = 4.0  # how flat stones lie against each other, where they do


class Ground(nn.Module):
    """Gives the ground of some chips other colours and another grain.

    Args:
        shares: Of the chips in which this is done, by class value.
        roles: Of the bands.
    """

    effect: Tensor

    def __init__(self, shares: dict[int, float], roles: Sequence[str]) -> None:
        super().__init__()
        self._shares = shares
        plain = [role.partition("@")[0] for role in roles]
        rows = [
            [1.0] * len(plain),
            [_WARMTH.get(role, 0.0) for role in plain],
            [_GREENNESS.get(role, 0.0) for role in plain],
        ]
        self.register_buffer("effect", torch.tensor(rows), persistent=False)

    def forward(self, image: Tensor, codes: Tensor) -> Tensor:
        """Chips (n, bands, h, w) of reflectance; codes (n, h, w) say what lies where."""
        for value, share in self._shares.items():
            chosen = torch.rand(len(image), device=image.device) < share
            if not bool(chosen.any()):
                continue
            # Pixels at the border hold both.
            mask = F.avg_pool2d((codes[chosen] == value).to(image.dtype)[:, None], 3, 1, 1)
            image = image.clone()
            image[chosen] = image[chosen] * torch.exp(mask * self._paint(image[chosen]))
        return image

    def _paint(self, image: Tensor) -> Tensor:
        """The logarithm of what each pixel is multiplied by, (n, bands, h, w)."""
        number, _, height, width = image.shape

        def normal(*shape: int) -> Tensor:
            return torch.randn(number, *shape, device=image.device, dtype=image.dtype)

        def share(*shape: int) -> Tensor:
            return torch.rand(number, *shape, device=image.device, dtype=image.dtype)

        spots = image.new_zeros(number, 3, height, width)
        weights = share(3, len(_GRAINS_PX))
        weights = weights / weights.norm(dim=2, keepdim=True).clamp_min(1e-3)
        for k, grain in enumerate(_GRAINS_PX):
            small = normal(3, -(-height // grain) + 1, -(-width // grain) + 1)
            large = (
                F.interpolate(small, scale_factor=grain, mode="bilinear") if grain > 1 else small
            )
            spots = spots + weights[:, :, k, None, None] * large[..., :height, :width]
        stony = share(1, 1, 1) < 0.5
        spots = torch.where(stony, torch.tanh(_SHARP * spots), spots)
        amount = spots.new_tensor(_SPOTS)[:, None, None] * share(3, 1, 1)
        whole = spots.new_tensor(_CHIP)[:, None, None] * normal(3, 1, 1)
        return torch.einsum("nkhw,kb->nbhw", spots * amount + whole, self.effect)
