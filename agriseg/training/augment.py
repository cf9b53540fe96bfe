"""Augmentation of whole batches, where the network computes: on the CPU or on the GPU.

Geometry first: turns, mirror images, any rotation and the change of scale are one resampling of
pixels (bilinear) and labels (nearest) together. Light comes next, in reflectance, by Kornia, once
some chips have become a camera's pictures (`agriseg.training.photo`); then optional bands are left
out at random; then pixels are normalised by the card's constants. What is invalid, outside the
scene or left out holds the band's mean, which is 0 then, as in use
(`agriseg.models.network_input`).

All randomness is torch's global generator, which the task seeds for each step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agriseg.errors import OptionError, nearest
from agriseg.labels import IGNORE
from agriseg.training.config import AugmentConfig
from agriseg.training.photo import Photo
from agriseg.training.surfaces import Gaps, Gloss, Ground, Leaves

__all__ = ["Augment", "Normalise"]

# Of a pixel resampled partly from invalid ones, this share must be valid.
_VALID_SHARE = 0.999
_BLUR_SIGMA = (0.3, 1.2)


class Normalise(nn.Module):
    """From reflectance to what the network takes.

    Args:
        means: (bands,) of the card.
        stds: (bands,) of the card.
    """

    means: Tensor
    stds: Tensor

    def __init__(self, means: Tensor, stds: Tensor) -> None:
        super().__init__()
        self.register_buffer("means", means.reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("stds", stds.reshape(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor, valid: Tensor, present: Tensor) -> Tensor:
        """Normalised pixels, 0 where nothing is known.

        Args:
            image: (n, bands, h, w) reflectance.
            valid: (n, 1, h, w) True where usable.
            present: (n, bands) True where the scene has the band.
        """
        known = valid & present[:, :, None, None]
        return ((image - self.means) / self.stds).masked_fill(~known, 0.0)


class Augment(nn.Module):
    """What makes of a batch from the reader a batch for the network.

    Args:
        config: What is done, and how much of it.
        size: Side of the chips that the network gets, in pixels.
        normalise: By which constants.
        optional: (bands,) True where the card's band may be left out.
        roles: Of the bands, where something goes by role.
        classes: Of the legend, where something goes by class.

    Raises:
        OptionError: Something is said of a band that the model does not take, or of no class.
    """

    dropout: Tensor
    cameras: Tensor

    def __init__(
        self,
        config: AugmentConfig,
        size: int,
        normalise: Normalise,
        optional: Tensor,
        roles: Sequence[str] = (),
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._config, self._size = config, size
        self.normalise = normalise
        cameras = _cameras(config.cameras, optional, roles)
        self.register_buffer("cameras", cameras, persistent=False)
        dropout = _dropout(0.0 if len(cameras) else config.band_dropout, optional, roles)
        self._drops = bool(dropout.any())
        self.register_buffer("dropout", dropout, persistent=False)
        surfaces: list[nn.Module] = []
        if ground := _by_class("ground", config.ground, classes):
            surfaces.append(Ground(ground, roles))
        if leaves := _by_class("leaves", config.leaves, classes):
            surfaces.append(Leaves(leaves, roles))
        if gaps := _by_class("gaps", config.gaps, classes):
            surfaces.append(Gaps(gaps, roles))
        if gloss := _by_class("gloss", config.gloss, classes):
            surfaces.append(Gloss(gloss, roles))
        self._surfaces = nn.ModuleList(surfaces)
        self._photo = Photo(config.photo, roles) if config.photo else None
        stds = normalise.stds
        light: list[nn.Module] = []
        if config.brightness or config.band_brightness:
            light.append(_Gain(config.brightness, config.band_brightness))
        if config.gamma:
            light.append(_Gamma(config.gamma, normalise.means))
        if config.shadow:
            light.append(_Shadow(config.shadow))
        if config.blur:
            light.append(K.RandomGaussianBlur((5, 5), _BLUR_SIGMA, p=config.blur))
        if config.noise:
            light.append(_Noise(config.noise, stds))
        self._light = nn.ModuleList(light)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch with `image` (n, bands, size, size) normalised and `codes` (n, size, size).

        Args:
            batch: `image` (n, bands, S, S) reflectance, `valid` (n, S, S) bool, `codes` (n, S, S)
                uint8, `present` (n, bands) bool, `picture` (n,) True where a camera developed it
                already, and `zoom` (n,): pixels of the source to a pixel of the chip.
        """
        image, valid, codes = self._move(batch)
        if self._light and not bool(valid.all()):
            # A blur must not carry what is not there into what is.
            image = torch.where(valid, image, self.normalise.means)
        present = batch["present"]
        for change in self._surfaces:
            image = change(image, codes)
        if self._photo is not None:
            image = self._photo(image, present, batch["picture"])
        for change in self._light:
            image = change(image)
        if self._drops:
            chance = torch.rand(present.shape, device=present.device)
            left = present & (chance >= self.dropout)
            present = torch.where(left.any(1, keepdim=True), left, present)
        if len(self.cameras):
            present = self._of_a_camera(present)
        return {"image": self.normalise(image, valid, present), "codes": codes}

    def _of_a_camera(self, present: Tensor) -> Tensor:
        """Which bands (n, bands) a camera would have that has no others than these."""
        fits = (present[:, None] | ~self.cameras).all(2).float()
        # The last is the scene's own, where no other fits.
        weights = torch.cat([fits, (fits.sum(1, keepdim=True) == 0).float()], 1)
        drawn = torch.multinomial(weights, 1)[:, 0]
        whole = torch.ones_like(self.cameras[:1])
        return present & torch.cat([self.cameras, whole])[drawn]

    def _move(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Turned, mirrored and scaled pixels, valid mask (n, 1, h, w) and codes."""
        config, codes, zoom = self._config, batch["codes"], batch["zoom"]
        image, valid = batch["image"].float(), batch["valid"][:, None]
        number, side = len(codes), codes.shape[-1]
        turns = torch.randint(0, 4, (number,)) if config.turns else torch.zeros(number).long()
        if config.turns == "half":
            turns = turns // 2 * 2
        mirrored = torch.rand(number) < 0.5 if config.turns else torch.zeros(number).bool()
        if not config.rotate_deg and bool((zoom == 1).all()):
            rim = (side - self._size) // 2
            inner = slice(rim, rim + self._size)
            image, valid, codes = (p[..., inner, inner] for p in (image, valid, codes))
            return self._turned(image, valid, codes, turns, mirrored)
        angle = (torch.rand(number) * 2 - 1) * torch.tensor(config.rotate_deg).deg2rad()
        angle = angle + turns * (torch.pi / 2)
        scale = zoom.cpu() * (self._size / side)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        flip = torch.where(mirrored, -1.0, 1.0)
        none = torch.zeros(number)
        theta = torch.stack([cos * flip, -sin, none, sin * flip, cos, none], 1).view(-1, 2, 3)
        shape = [number, 1, self._size, self._size]
        grid = F.affine_grid(theta.to(image.device), shape, align_corners=False)
        planes = torch.cat([image, valid.float()], 1)
        planes = F.grid_sample(planes, grid, mode="bilinear", align_corners=False)
        # What lies outside becomes 0, which is to be IGNORE.
        turned = (IGNORE - codes.to(torch.int16)).float()[:, None]
        turned = F.grid_sample(turned, grid, mode="nearest", align_corners=False)
        codes = (IGNORE - turned[:, 0].round()).to(torch.uint8)
        valid = planes[:, -1:] > _VALID_SHARE
        codes = codes.masked_fill(~valid[:, 0], IGNORE)
        return planes[:, :-1], valid, codes

    @staticmethod
    def _turned(
        image: Tensor, valid: Tensor, codes: Tensor, turns: Tensor, mirrored: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quarter turns and mirror images alone take no resampling."""
        moved: list[list[Tensor]] = [[], [], []]
        for k, (turn, mirror) in enumerate(zip(turns.tolist(), mirrored.tolist(), strict=True)):
            for kept, plane in zip(moved, (image[k], valid[k], codes[k]), strict=True):
                plane = torch.rot90(plane, turn, (-2, -1))
                kept.append(plane.flip(-1) if mirror else plane)
        image, valid, codes = (torch.stack(kept) for kept in moved)
        return image, valid, codes


def _by_class(key: str, asked: Mapping[str, float], classes: Sequence[str]) -> dict[int, float]:
    for name in asked:
        if name not in classes:
            raise OptionError(f"augment.{key}: {name!r} is no class; {nearest(name, classes)}")
    return {classes.index(name): share for name, share in asked.items() if share}


def _dropout(asked: float | Mapping[str, float], optional: Tensor, roles: Sequence[str]) -> Tensor:
    """(bands,) how often each band is left out; 0 for those that must be there."""
    if isinstance(asked, Mapping):
        unknown = [role for role in asked if role not in roles]
        if unknown:
            raise OptionError(
                f"augment.band_dropout: {unknown[0]!r} is no band of the model; "
                f"{nearest(unknown[0], roles)}"
            )
        shares = torch.tensor([float(asked.get(role, 0.0)) for role in roles])
    else:
        shares = torch.full(optional.shape, float(asked))
    return shares.masked_fill(~optional, 0.0)


def _cameras(asked: Sequence[str], optional: Tensor, roles: Sequence[str]) -> Tensor:
    """(cameras, bands) True where a camera has the band."""
    rows = []
    for text in asked:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in roles:
                raise OptionError(
                    f"augment.cameras: {name!r} in {text!r} is no band of the model; "
                    f"{nearest(name, roles)}"
                )
        has = torch.tensor([role in names for role in roles])
        missing = [role for role, lacks in zip(roles, ~has & ~optional, strict=False) if lacks]
        if missing:
            raise OptionError(
                f"augment.cameras: {text!r} lacks {missing[0]}, without which the model takes no "
                f"scene; add it, or make it optional in bands: {missing[0]}?"
            )
        rows.append(has)
    return torch.stack(rows) if rows else torch.zeros(0, len(optional), dtype=torch.bool)


class _Light(K.IntensityAugmentationBase2D):
    """A change of light of each image in its own way.

    Args:
        share: Of how many images.
    """

    def __init__(self, share: float = 1.0) -> None:
        super().__init__(p=share)

    def compute_transformation(
        self, input: Tensor, params: dict[str, Tensor], flags: dict[str, Any]
    ) -> Tensor:
        return self.identity_matrix(input)

    def apply_transform(
        self,
        input: Tensor,
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,
    ) -> Tensor:
        return self.changed(input)

    def changed(self, input: Tensor) -> Tensor:
        """The images (n, bands, h, w) that were chosen, in another light."""
        raise NotImplementedError


class _Gain(_Light):
    """Times a factor for all bands, and one for each: exposure, and calibration between bands.

    Args:
        together: Largest relative change of all bands.
        apart: Largest relative change of each.
    """

    def __init__(self, together: float, apart: float) -> None:
        super().__init__()
        self._together, self._apart = together, apart

    def changed(self, input: Tensor) -> Tensor:
        number, bands = input.shape[:2]
        gain = _between(self._together, (number, 1), input)
        gain = gain * _between(self._apart, (number, bands), input)
        return input * gain[:, :, None, None]


class _Gamma(_Light):
    """To a power: other contrast.

    Args:
        most: Largest relative change of the exponent from 1.
        means: (1, bands, 1, 1) of the card.
    """

    def __init__(self, most: float, means: Tensor) -> None:
        super().__init__()
        # A power of reflectance is one of reflectance. Of numbers without a scale, in the
        # thousands, it would be another brightness altogether: those turn around their mean.
        self._most, self._pivot = most, means.clamp_min(1.0)

    def changed(self, input: Tensor) -> Tensor:
        exponent = _between(self._most, (len(input), 1, 1, 1), input)
        pivot = self._pivot.to(input.device)
        return (input / pivot).clamp_min(1e-6) ** exponent * pivot


class _Shadow(_Light):
    """A shadow with a straight, soft edge over a part of the image.

    Args:
        share: Of how many images.
    """

    def changed(self, input: Tensor) -> Tensor:
        number, _, height, width = input.shape
        drawn = torch.rand(4, number, 1, 1, device=input.device)
        angle, edge, depth = drawn[0] * 2 * torch.pi, drawn[1] - 0.5, 0.3 + 0.5 * drawn[2]
        down = torch.linspace(-0.5, 0.5, height, device=input.device)[None, :, None]
        across = torch.linspace(-0.5, 0.5, width, device=input.device)[None, None, :]
        along = across * angle.cos() + down * angle.sin() - edge
        cover = torch.sigmoid(along * (10 + 190 * drawn[3]))
        return input * (1 - depth * cover)[:, None]


class _Noise(_Light):
    """Noise of each pixel by itself.

    Args:
        most: Largest standard deviation, as a share of that of the band.
        stds: (1, bands, 1, 1) of the card.
    """

    def __init__(self, most: float, stds: Tensor) -> None:
        super().__init__()
        self._most, self._stds = most, stds

    def changed(self, input: Tensor) -> Tensor:
        most = self._stds.to(input.device) * self._most
        width = torch.rand(len(input), 1, 1, 1, device=input.device) * most
        return torch.addcmul(input, torch.randn_like(input), width)


def _between(most: float, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Factors around 1, by `most` up or down, as likely as each other."""
    return torch.exp((torch.rand(shape, device=like.device) * 2 - 1) * most)
