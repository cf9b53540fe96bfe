"""Reflectance as a camera's picture of it: what a phone or a drone without calibration stores.

A camera sets the exposure and the white balance by what it sees, light is scattered in its lens,
what is too bright is cut off, a tone curve (about the power 1 / 2.2 of sRGB) takes the rest to 8
bits, colours are made stronger and edges sharper, and JPEG keeps colour in half the resolution,
with the noise of the sensor in blotches. A model that has seen only calibrated reflectance is lost
in such pictures.

Pictures among the training scenes stay as they are: developed twice, little is left of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

__all__ = ["Photo"]

_VISIBLE = frozenset({"coastal", "blue", "green", "yellow", "red"})
# The mean of a picture before the tone curve: sRGB's 0.27 to 0.73 after it.
_EXPOSURE = (0.06, 0.5)
# How far white balance may be off, as a logarithm: mostly from blue to yellow, as light goes from
# shade to a low sun, far less from magenta to green. Bands that no eye sees go their own ways.
_WARMTH, _TINT, _UNSEEN = 0.5, 0.15, 0.25
_TOWARDS_WARM = {"coastal": -1.0, "blue": -1.0, "yellow": 0.5, "red": 1.0}
_VEIL = 0.15  # light from elsewhere in the lens, as a share of the mean
_EXPONENT = (0.35, 0.85)
_SATURATION = (0.5, 1.6)
_SHARPNESS = (-0.7, 1.3)
_SOFT_COLOR_PX, _EDGE_PX = 1.5, 1.0
_BLOTCHES = 0.06  # largest standard deviation of the noise that JPEG leaves of colours
_SMALLEST = 1e-4


class Photo(nn.Module):
    """Turns a share of the chips into pictures.

    Bands that no eye sees are developed like the others, but colour and sharpness, which mix bands,
    leave them alone.

    Args:
        share: Of how many chips.
        roles: Of the bands.
    """

    visible: Tensor
    balance: Tensor

    def __init__(self, share: float, roles: Sequence[str]) -> None:
        super().__init__()
        self._share = share
        plain = [role.partition("@")[0] for role in roles]
        seen = torch.tensor([role in _VISIBLE for role in plain])
        self.register_buffer("visible", seen, persistent=False)
        # What one unit of warmth, tint and chance does to the logarithm of each band.
        warmth = torch.tensor([_WARMTH * _TOWARDS_WARM.get(role, 0.0) for role in plain])
        tint = torch.tensor([_TINT * (role == "green") for role in plain])
        self.register_buffer(
            "balance", torch.stack([warmth, tint, ~seen * _UNSEEN]), persistent=False
        )

    def forward(self, image: Tensor, present: Tensor, is_picture: Tensor) -> Tensor:
        """Chips of which some are pictures.

        Args:
            image: (n, bands, h, w) reflectance.
            present: (n, bands) True where the scene has the band.
            is_picture: (n,) True for chips that are pictures already.
        """
        chosen = (torch.rand(len(image), device=image.device) < self._share) & ~is_picture
        if not bool(chosen.any()):
            return image
        out = image.clone()
        out[chosen] = self._developed(image[chosen], present[chosen])
        return out

    def _developed(self, image: Tensor, present: Tensor) -> Tensor:
        number, bands = present.shape
        like = image.new_empty(0)
        seen = present & self.visible
        # Exposed by what the eye sees, where there is some of it.
        there = torch.where(seen.any(1, keepdim=True), seen, present)[:, :, None, None].to(image)
        level = (image.mean((2, 3), keepdim=True) * there).sum(1, keepdim=True)
        level = (level / there.sum(1, keepdim=True).clamp_min(1)).clamp_min(_SMALLEST)
        mean = _between(*_EXPOSURE, (number, 1, 1, 1), like, logarithmic=True)
        shared, own = _between(-1, 1, (number, 2), like), _between(-1, 1, (number, bands), like)
        balance = torch.exp(shared @ self.balance[:2] + own * self.balance[2])[:, :, None, None]
        veil = _between(0.0, _VEIL, (number, 1, 1, 1), like) * mean
        light = image * (balance * mean / level) + veil
        exponent = _between(*_EXPONENT, (number, 1, 1, 1), like)
        coded = light.clamp(_SMALLEST, 1) ** exponent
        return torch.where(self._seen(present), self._colored(coded, present), coded).clamp(0, 1)

    def _seen(self, present: Tensor) -> Tensor:
        return (present & self.visible)[:, :, None, None]

    def _colored(self, coded: Tensor, present: Tensor) -> Tensor:
        """Stronger or weaker colours, in half the resolution at times; sharper or softer edges."""
        number, like = len(coded), coded.new_empty(0)
        seen = self._seen(present).to(coded.dtype)

        def mean(planes: Tensor) -> Tensor:
            return (planes * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp_min(1)

        grey = mean(coded)
        coarse = torch.rand(number, 1, 1, 1, device=coded.device) < 0.3
        noise = torch.where(coarse, _small_noise(coded, 4), _small_noise(coded, 2))
        noise = noise * _between(0.0, _BLOTCHES, (number, 1, 1, 1), like)
        color = coded - grey + noise - mean(noise)
        half = torch.rand(number, 1, 1, 1, device=coded.device) < 0.5
        color = torch.where(half, _blurred(color, _SOFT_COLOR_PX), color)
        edge = grey - _blurred(grey, _EDGE_PX)
        shape = (number, 1, 1, 1)
        grey = grey + edge * _between(*_SHARPNESS, shape, like)
        return grey + color * _between(*_SATURATION, shape, like, logarithmic=True)


def _small_noise(like: Tensor, times: int) -> Tensor:
    """Noise in a fraction of the resolution of (n, bands, h, w)."""
    number, bands, height, width = like.shape
    small = like.new_empty(number, bands, -(-height // times), -(-width // times)).normal_()
    return F.interpolate(small, scale_factor=times, mode="bilinear")[..., :height, :width]


def _blurred(image: Tensor, sigma: float) -> Tensor:
    return gaussian_blur2d(image, (5, 5), (sigma, sigma))


def _between(
    low: float, high: float, shape: tuple[int, ...], like: Tensor, *, logarithmic: bool = False
) -> Tensor:
    drawn = torch.rand(shape, device=like.device, dtype=like.dtype)
    if logarithmic:
        return torch.exp(math.log(low) + drawn * math.log(high / low))
    return low + drawn * (high - low)
