"""Maps as SVG."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from agriseg.geobox import GeoBox
from agriseg.publish.areas import BARE, Outline
from agriseg.publish.maps import colored, legend, map_svg, pale, scale_bar
from agriseg.publish.pictures import Picture
from tests.support import NORTH_UP, UTM

SVG = "{http://www.w3.org/2000/svg}"


def picture(height: int = 30, width: int = 50, transform: Affine = NORTH_UP) -> Picture:
    rgb = np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Picture(rgb, np.ones((height, width), bool), GeoBox(UTM, transform, width, height))


@given(st.floats(1e-4, 1e3), st.integers(1, 3000))
def test_scale_bars_are_round_and_fit(gsd_m: float, width: int) -> None:
    length, words = scale_bar(gsd_m, width)
    text, unit = words.split()
    metres = float(text.replace(",", "")) * {"km": 1e3, "m": 1, "cm": 1e-2, "mm": 1e-3}[unit]
    assert metres == pytest.approx(length * gsd_m)
    assert 0.22 * width / 2.5 <= length * (1 + 1e-6)
    assert length <= 0.22 * width * (1 + 1e-6)
    digit = metres / 10 ** math.floor(math.log10(metres) + 1e-9)
    assert digit == pytest.approx(1) or digit == pytest.approx(2) or digit == pytest.approx(5)


def test_a_map_is_sound_xml_with_its_marks_and_names() -> None:
    hard = "Müller's \"<b>&"
    ring = np.array([(5.0, 5.0), (45.0, 5.0), (45.0, 25.0), (5.0, 5.0)])
    over = [Outline((ring,), (30.0, 10.0), hard)]
    root = ET.fromstring(map_svg(picture(), f"About {hard}", over=over))
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert texts == [hard, "N", "20 cm"]
    assert root.find(f"{SVG}title").text == f"About {hard}"  # type: ignore[union-attr]
    assert root.get("viewBox") == "0 0 1000 600.0"
    (path, _) = (one.get("d") for one in root.findall(f"{SVG}path"))
    assert path == "M100.0 100.0L900.0 100.0L900.0 500.0Z"
    (image,) = root.iter(f"{SVG}image")
    assert str(image.get("href")).startswith("data:image/png;base64,")


def test_without_a_place_there_are_no_marks() -> None:
    root = ET.fromstring(map_svg(picture(transform=Affine.identity()), "x", photo=True))
    assert not list(root.iter(f"{SVG}text"))
    (image,) = root.iter(f"{SVG}image")
    assert str(image.get("href")).startswith("data:image/jpeg;base64,")


def test_one_field_needs_no_number() -> None:
    ring = np.array([(5.0, 5.0), (45.0, 5.0), (45.0, 25.0), (5.0, 5.0)])
    one, other = (Outline((ring,), (30.0, 10.0), name) for name in "12")
    assert 'class="name"' not in map_svg(picture(), "x", over=[one])
    assert map_svg(picture(), "x", over=[one, other]).count('class="name"') == 2


def test_high_pictures_are_narrower() -> None:
    assert "max-width: 100.0%" in map_svg(picture(30, 50), "x")
    assert "max-width: 19.0%" in map_svg(picture(250, 50), "x")


def test_codes_are_painted_over_the_ground() -> None:
    ground = pale(picture())
    assert ground.min() >= 140
    codes = np.full((30, 50), BARE, np.uint8)
    codes[3, 4], codes[5, 6] = 0, 1
    found = colored(codes, ["#ff0000", "#00ff80"], ground)
    assert tuple(found[3, 4]) == (255, 0, 0)
    assert tuple(found[5, 6]) == (0, 255, 128)
    assert (found != ground).any(axis=2).sum() == 2


def test_legends_are_escaped() -> None:
    assert "&lt;b&gt; &amp;" in legend([("#ff0000", "<b> &")])
