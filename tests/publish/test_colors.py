"""Ramps that tell more from less to any kind of eyes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

from agriseg.publish.colors import CERTAINTY, GROWTH, INFESTATION, darker, pick, rgba

# Full deuteranopia and protanopia in linear light: Machado, Oliveira and Fernandes 2009, IEEE
# Transactions on Visualization and Computer Graphics 15(6), severity 1.0.
EYES = {
    "all cones": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}


def as_seen(color: str, eyes: str) -> NDArray[np.float64]:
    """A colour in CIELAB (3,), as somebody sees it."""
    srgb = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(EYES[eyes] @ linear, 0, 1)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    lab: NDArray[np.float64] = rgb2lab(srgb.reshape(1, 1, 3)).reshape(3)
    return lab


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("ramp", [CERTAINTY, GROWTH, INFESTATION])
def test_steps_of_a_ramp_can_be_told_apart(ramp: tuple[str, ...], eyes: str) -> None:
    colors = [as_seen(color, eyes) for color in pick(ramp, 5)]
    lightness = [lab[0] for lab in colors]
    assert lightness in (sorted(lightness), sorted(lightness, reverse=True))
    # About 2 is what a trained eye just sees side by side.
    assert min(deltaE_ciede2000(a, b) for a, b in pairwise(colors)) > 8


def test_the_probe_sees_a_poor_pair() -> None:
    """Red and green of one lightness: the classic."""
    red, green = "#c05a3c", "#7d7d32"
    apart = {eyes: deltaE_ciede2000(as_seen(red, eyes), as_seen(green, eyes)) for eyes in EYES}
    assert apart["all cones"] > 25
    assert apart["deuteranopia"] < 8


def test_colours_are_picked_along_the_ramp() -> None:
    ramp = ("#000000", "#646464", "#ffffff")
    assert pick(ramp, 1) == ["#646464"]
    assert pick(ramp, 2) == ["#000000", "#ffffff"]
    assert pick(ramp, 3) == list(ramp)
    assert pick(ramp, 5) == ["#000000", "#323232", "#646464", "#b2b2b2", "#ffffff"]


def test_colours_in_the_words_of_qgis() -> None:
    assert rgba("#c8a882") == "200,168,130,255"
    assert rgba("#c8a882", 0) == "200,168,130,0"
    assert darker("#ff0140") == "#7f0020"


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("name", ["crop-weed", "index-baseline"])
def test_classes_of_the_models_that_come_along_can_be_told_apart(name: str, eyes: str) -> None:
    from itertools import combinations

    from agriseg.models.baseline import IndexBaseline
    from agriseg.models.file import read_card

    card = IndexBaseline().card if name == "index-baseline" else read_card(name)
    colors = [as_seen(label.color, eyes) for label in card.legend]
    assert min(deltaE_ciede2000(a, b) for a, b in combinations(colors, 2)) > 20
