"""From a scene's pixels to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agriseg.models.card import ModelCard

if TYPE_CHECKING:
    from agriseg.raster import Pixels, Scene

__all__ = ["network_input", "present_keys"]


def present_keys(scene: Scene, card: ModelCard) -> list[str]:
    """The card's bands that a scene has, in the card's order."""
    return [key for key in card.keys if scene.has(key)]


def network_input(pixels: Pixels, keys: Sequence[str], card: ModelCard) -> NDArray[np.float32]:
    """All bands of the card, their means where invalid or missing, mirrored up to the stride.

    Only chips clipped by the raster's right or bottom edge are ever padded.

    Args:
        pixels: (len(keys), h, w) reflectance and its valid mask. Where these are the card's bands
            in its order, they are not copied: what is not valid of them is overwritten.
        keys: Which bands of the card these are.
        card: The card.

    Returns:
        (bands, h, w) float32, h and w multiples of the card's stride.
    """
    height, width = pixels.valid.shape
    if tuple(keys) == tuple(card.keys):
        ready = pixels.data
    else:
        ready = np.empty((len(card.keys), height, width), np.float32)
        for plane, key, mean in zip(ready, card.keys, card.means, strict=True):
            plane[:] = pixels.data[keys.index(key)] if key in keys else mean
    if not pixels.valid.all():
        missing = ~pixels.valid
        for plane, mean in zip(ready, card.means, strict=True):
            np.copyto(plane, mean, where=missing)
    down, across = -height % card.stride, -width % card.stride
    if down or across:
        ready = np.pad(ready, ((0, 0), (0, down), (0, across)), mode="reflect")
    return ready
