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
        pixels: (len(keys), h, w) reflectance and its valid mask.
        keys: Which bands of the card these are.
        card: The card.

    Returns:
        (bands, h, w) float32, h and w multiples of the card's stride.
    """
    height, width = pixels.valid.shape
    ready = np.empty((len(card.keys), height, width), np.float32)
    ready[:] = card.means.reshape(-1, 1, 1)
    whole = bool(pixels.valid.all())
    for plane, key in zip(pixels.data, keys, strict=True):
        place = card.keys.index(key)
        if whole:
            ready[place] = plane
        else:
            np.copyto(ready[place], plane, where=pixels.valid)
    down, across = -height % card.stride, -width % card.stride
    if down or across:
        ready = np.pad(ready, ((0, 0), (0, down), (0, across)), mode="reflect")
    return ready
