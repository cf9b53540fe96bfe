"""Other surfaces in the same scene: labels say which pixels are soil or leaf, to be painted anew.

A network that has seen a hundred fields takes the crumbs, stones and stains of the next one for
plants. Randomising what does not matter teaches it what does (Tobin et al. 2017, Domain
randomization for transferring deep neural networks from simulation to the real world, IROS).

- Ground is multiplied by noise of several grain sizes: much in brightness, less from blue to
  yellow, and next to nothing from magenta to green, where plants begin.
- Ground between leaves lies in deep shade, greenish as they let some light through: what is dark
  is no leaf for that.
- Leaves are brighter, yellower or paler than others of their kind, as a whole and in places.
- Leaves gloss: light of the sky on them is nearly white, and hides their colour from spot to spot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Gaps", "Gloss", "Ground", "Leaves"]

# What one unit of brightness, warmth and greenness does to the logarithm of each band.
_WARMTH = {"coastal": -1.0, "blue": -1.0, "yellow": 0.5, "red": 1.0}
_GREENNESS = {"green": 1.0}
# Largest standard deviation of each, over the chip as a whole and from spot to spot.
_CHIP = (0.4, 0.15, 0.02)
_SPOTS = (0.5, 0.15, 0.05)
_LEAF_CHIP = (0.3, 0.15, 0.0)
_LEAF_SPOTS = (0.3, 0.15, 0.08)
_PALEST = 0.35  # what leaves may lose of their greenness
_GRAINS_PX = (1, 2, 4, 8, 16)
_SHARP = 4.0  # how flat stones lie against each other, where they do
# The sky's light against that of sun and sky together, and how bright it is on leaves at most, as a
# share of the chip's mean.
_SKY = {"coastal": 1.3, "blue": 1.2, "red": 0.85, "rededge": 0.75, "nir": 0.6}
_BRIGHTEST = 0.8
# How dark gaps get at most, from which share of leaves around them on; what leaves let through.
_DARKEST, _CLOSED = 0.97, (0.25, 0.8)
_LOWER_LEAVES = 0.6  # share of chips
_AROUND_PX = (2, 4, 8, 12)
_THROUGH = {"green": 0.45, "yellow": 0.2, "rededge": 0.6, "nir": 1.0}


class Ground(nn.Module):
    """Gives the ground of some chips other colours and another grain.

    Args:
        shares: Of the chips in which this is done, by class value.
        roles: Of the bands.
    """

    effect: Tensor

    def __init__(self, shares: Mapping[int, float], roles: Sequence[str]) -> None:
        super().__init__()
        self._shares = dict(shares)
        plain = [role.partition("@")[0] for role in roles]
        rows = [
            [1.0] * len(plain),
            [_WARMTH.get(role, 0.0) for role in plain],
            [_GREENNESS.get(role, 0.0) for role in plain],
        ]
        self.register_buffer("effect", torch.tensor(rows), persistent=False)

    def forward(self, image: Tensor, codes: Tensor) -> Tensor:
        """Chips (n, bands, h, w) of reflectance; codes (n, h, w) say what lies where."""
        for chosen, mask in _chosen(self._shares, image, codes):
            image = image.clone()
            image[chosen] = image[chosen] * torch.exp(mask * self._paint(image[chosen]))
        return image

    def _paint(self, image: Tensor) -> Tensor:
        """The logarithm of what each pixel is multiplied by, (n, bands, h, w)."""
        number = len(image)
        spots = _spots(image, 3)
        stony = torch.rand(number, 1, 1, 1, device=image.device) < 0.5
        spots = torch.where(stony, torch.tanh(_SHARP * spots), spots)
        amount, whole = _drawn(spots, _SPOTS, _CHIP)
        return torch.einsum("nkhw,kb->nbhw", spots * amount + whole, self.effect)


class Leaves(Ground):
    """Gives the leaves of some chips other colours, mostly paler ones.

    Args:
        shares: Of the chips in which this is done, by class value.
        roles: Of the bands.
    """

    def _paint(self, image: Tensor) -> Tensor:
        spots = _spots(image, 3)
        amount, whole = _drawn(spots, _LEAF_SPOTS, _LEAF_CHIP)
        whole[:, 2] -= _PALEST * torch.rand_like(whole[:, 2])
        return torch.einsum("nkhw,kb->nbhw", spots * amount + whole, self.effect)


class Gaps(nn.Module):
    """Lays the ground between the leaves of some chips in deep shade.

    Args:
        shares: Of the chips in which this is done, by class value of the ground.
        roles: Of the bands.
    """

    through: Tensor

    def __init__(self, shares: Mapping[int, float], roles: Sequence[str]) -> None:
        super().__init__()
        self._shares = dict(shares)
        through = [_THROUGH.get(role.partition("@")[0], 0.0) for role in roles]
        self.register_buffer("through", torch.tensor(through)[:, None, None], persistent=False)

    def forward(self, image: Tensor, codes: Tensor) -> Tensor:
        """Chips (n, bands, h, w) of reflectance; codes (n, h, w) say what lies where."""
        for chosen, mask in _chosen(self._shares, image, codes):
            some, shade = image[chosen], self._shade(1 - mask, image[chosen])
            # In the shade there is ground, or what stands in another field: lower leaves.
            other = image.roll(1, 0)[chosen]
            level = (2, 3)
            other = other * (some.mean(level, True) / other.mean(level, True).clamp_min(1e-4))
            lower = (torch.rand_like(some[:, :1, :1, :1]) < _LOWER_LEAVES).to(some.dtype)
            below = some + lower * (1 - torch.exp(shade)) * (other - some)
            image = image.clone()
            image[chosen] = some + mask * (below * torch.exp(shade) - some)
        return image

    def _shade(self, leaves: Tensor, image: Tensor) -> Tensor:
        """The logarithm of what the ground is multiplied by, (n, bands, h, w)."""
        like = image[:, :1, :1, :1]
        weights = torch.rand(len(_AROUND_PX), *like.shape, device=image.device, dtype=image.dtype)
        # Around each pixel in several circles, that shade is deeper under small gaps.
        around = sum(
            weight * F.avg_pool2d(leaves, 2 * r + 1, 1, r, count_include_pad=False)
            for weight, r in zip(weights / weights.sum(0).clamp_min(1e-3), _AROUND_PX, strict=True)
        )
        closed = _CLOSED[0] + torch.rand_like(like) * (_CLOSED[1] - _CLOSED[0])
        depth = (around / closed).clamp(0, 1) * (_DARKEST * torch.rand_like(like).sqrt())
        shade = torch.log1p(-depth)
        return shade * (1 - self.through * torch.rand_like(like))


class Gloss(nn.Module):
    """Lets the leaves of some chips shine.

    Args:
        shares: Of the chips in which this is done, by class value.
        roles: Of the bands.
    """

    sky: Tensor

    def __init__(self, shares: Mapping[int, float], roles: Sequence[str]) -> None:
        super().__init__()
        self._shares = dict(shares)
        sky = [_SKY.get(role.partition("@")[0], 1.0) for role in roles]
        self.register_buffer("sky", torch.tensor(sky)[:, None, None], persistent=False)

    def forward(self, image: Tensor, codes: Tensor) -> Tensor:
        """Chips (n, bands, h, w) of reflectance; codes (n, h, w) say what lies where."""
        for chosen, mask in _chosen(self._shares, image, codes):
            some = image[chosen]
            most = (
                _BRIGHTEST
                * torch.rand_like(some[:, :1, :1, :1])
                * some.mean((1, 2, 3))[:, None, None, None]
            )
            shine = most * _spots(some, 1).clamp_min(0) * self.sky
            image = image.clone()
            image[chosen] = some + mask * shine
        return image


def _drawn(like: Tensor, spots: Sequence[float], chip: Sequence[float]) -> tuple[Tensor, Tensor]:
    """How much of each plane of (n, planes, h, w) goes to spots, and to each chip as a whole."""
    one = like[:, :, :1, :1]
    amount = like.new_tensor(spots)[:, None, None] * torch.rand_like(one)
    return amount, like.new_tensor(chip)[:, None, None] * torch.randn_like(one)


def _chosen(
    shares: Mapping[int, float], image: Tensor, codes: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Which chips are drawn for each class, and how far their pixels are of it, (k, 1, h, w)."""
    for value, share in shares.items():
        chosen = torch.rand(len(image), device=image.device) < share
        if bool(chosen.any()):
            # Pixels at the border hold both.
            here = (codes[chosen] == value).to(image.dtype)[:, None]
            yield chosen, F.avg_pool2d(here, 3, 1, 1, count_include_pad=False)


def _spots(image: Tensor, planes: int) -> Tensor:
    """Noise of several grain sizes in other shares on each chip, (n, planes, h, w); of spread 1."""
    number, _, height, width = image.shape
    weights = torch.rand(number, planes, len(_GRAINS_PX), device=image.device, dtype=image.dtype)
    weights = weights / weights.norm(dim=2, keepdim=True).clamp_min(1e-3)
    spots = image.new_zeros(number, planes, height, width)
    for k, grain in enumerate(_GRAINS_PX):
        small = image.new_empty(number, planes, -(-height // grain) + 1, -(-width // grain) + 1)
        large = small.normal_()
        if grain > 1:
            large = F.interpolate(large, scale_factor=grain, mode="bilinear")
        spots = spots + weights[:, :, k, None, None] * large[..., :height, :width]
    return spots
