"""How numbers become reflectance: decided once, from evidence, in one line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agriseg.errors import AgrisegError, BandError, InputError, OptionError
from agriseg.raster import Scene, open_scene
from agriseg.raster.radiometry import suspicious_level

Tif = Callable[..., str]


@pytest.fixture
def opened(tif: Tif) -> Callable[..., Scene]:
    """Open a file of four bands, green, red, rededge, nir, all of one value."""

    def make(
        value: float, dtype: str = "uint16", written: dict[str, Any] | None = None, **options: Any
    ) -> Scene:
        data = np.full((4, 5, 7), value, dtype)
        options.setdefault("bands", "green,red,rededge,nir")
        return open_scene(tif("scene.tif", data, **(written or {})), **options)

    return make


Opened = Callable[..., Scene]


def value_of(scene: Scene) -> float:
    """The reflectance that the first pixel comes out with."""
    pixels = scene.read()
    assert pixels.valid.all()
    return float(pixels.data[0, 0, 0])


def test_the_user(opened: Opened) -> None:
    # Over the file's own scale and the preset's.
    own = {"scales": [1e-3] * 4}
    scene = opened(5000, written=own, scale=2e-4, offset=-0.1, sensor="landsat-8-9")
    assert value_of(scene) == pytest.approx(0.9)
    assert scene.radiometry.level == "reflectance"
    assert scene.radiometry.evidence == "you said value * 0.0002 + -0.1"


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"scale": math.nan}, {"scale": math.inf}])
def test_scales_that_are_none(opened: Opened, wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="--scale"):
        opened(1, **wrong)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_offsets_that_are_none(opened: Opened, wrong: float) -> None:
    with pytest.raises(OptionError, match="--offset"):
        opened(1, scale=1.0, offset=wrong)


def test_an_offset_alone_says_too_little(opened: Opened) -> None:
    with pytest.raises(OptionError, match=r"--offset -0\.1 needs --scale"):
        opened(5000, offset=-0.1)


def test_the_file(opened: Opened) -> None:
    scene = opened(5000, written={"scales": [1e-4] * 4, "offsets": [-0.1] * 4})
    assert value_of(scene) == pytest.approx(0.4)
    assert scene.radiometry.evidence == "the file's own scale 0.0001 and offset -0.1"


def test_the_file_band_by_band(opened: Opened) -> None:
    scene = opened(5000, written={"scales": [1e-4, 1e-4, 1e-4, 2e-4]})
    assert scene.read().data[:, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0.5, 1.0])
    assert "0.0001 to 0.0002 (by band)" in scene.radiometry.evidence


def test_the_users_offset_replaces_the_files(opened: Opened) -> None:
    # Catalogues are known to announce an offset that has been applied already.
    scene = opened(5000, written={"scales": [1e-4] * 4, "offsets": [-0.1] * 4}, offset=0.0)
    assert value_of(scene) == pytest.approx(0.5)
    assert scene.radiometry.evidence == "the file's own scale 0.0001 and your offset 0"


def test_a_file_that_says_scale_zero(opened: Opened) -> None:
    with pytest.raises(BandError, match="scale 0 for band 2"):
        opened(5000, written={"scales": [1.0, 0.0, 1.0, 1.0]})


@pytest.mark.parametrize(
    ("sensor", "dn", "reflectance"),
    [
        ("planetscope-8b", 5000, 0.5),
        ("landsat-8-9", 20000, 20000 * 2.75e-5 - 0.2),
    ],
)
def test_presets(opened: Opened, sensor: str, dn: int, reflectance: float) -> None:
    scene = opened(dn, sensor=sensor)
    assert value_of(scene) == pytest.approx(reflectance)
    assert scene.radiometry.level == "reflectance"


def test_a_preset_scales_whole_numbers_only(opened: Opened) -> None:
    scene = opened(0.25, "float32", sensor="planetscope-8b")
    assert value_of(scene) == 0.25


@pytest.mark.parametrize("sensor", ["dji-mavic-3m", "micasense-rededge", "micasense-altum"])
def test_a_drone_camera_leaves_numbers(opened: Opened, sensor: str) -> None:
    # Their scale is that of the program which made the orthomosaic.
    scene = opened(5000, sensor=sensor)
    assert scene.radiometry.level == "DN"
    assert value_of(scene) == 5000


@pytest.mark.parametrize(
    ("tags", "reflectance"),
    [
        ({"PROCESSING_BASELINE": "03.01"}, 0.5),
        ({"PROCESSING_BASELINE": "04.00"}, 0.4),
        ({"PROCESSING_BASELINE": "05.11"}, 0.4),
        ({"processing_baseline": "N0400"}, 0.4),
        ({"processing_baseline": "N0301"}, 0.5),
        ({"s2:processing_baseline": "02.14"}, 0.5),
    ],
)
def test_sentinel_by_its_baseline(opened: Opened, tags: dict[str, str], reflectance: float) -> None:
    scene = opened(5000, written={"tags": tags}, sensor="sentinel-2-l2a")
    assert value_of(scene) == pytest.approx(reflectance)


@pytest.mark.parametrize("tags", [{}, {"PROCESSING_BASELINE": "unknown"}])
def test_sentinel_without_a_baseline_asks(opened: Opened, tags: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=r"baseline.*--offset -0\.1 .* --offset 0"):
        opened(5000, written={"tags": tags}, sensor="sentinel-2-l2a")
    answered = opened(5000, written={"tags": tags}, sensor="sentinel-2-l2a", offset=-0.1)
    assert value_of(answered) == pytest.approx(0.4)


def test_eight_bits_are_relative(opened: Opened) -> None:
    scene = opened(51, "uint8")
    assert scene.radiometry.level == "relative"
    assert value_of(scene) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("value", "dtype", "level"),
    [
        (0.9, "float32", "reflectance"),
        (1.5, "float64", "reflectance"),
        (1.6, "float32", "DN"),
        (4000.0, "float32", "DN"),
        (300, "uint16", "DN"),
        (90, "int8", "DN"),
        (-3, "int16", "DN"),
    ],
)
def test_the_level_by_type_and_range(opened: Opened, value: float, dtype: str, level: str) -> None:
    scene = opened(value, dtype)
    assert scene.radiometry.level == level
    assert value_of(scene) == pytest.approx(value)


def test_missing_pixels_do_not_decide(tif: Tif) -> None:
    data = np.full((2, 10, 10), 0.3, np.float32)
    data[:, :9] = 65535
    data[:, 9, :5] = np.nan
    assert open_scene(tif("a.tif", data, nodata=65535)).radiometry.level == "reflectance"
    assert open_scene(tif("a.tif", data), nodata=65535).radiometry.level == "reflectance"
    assert open_scene(tif("a.tif", data)).radiometry.level == "DN"


def test_temperature_does_not_decide(tif: Tif) -> None:
    data = np.full((6, 5, 5), 0.3, np.float32)
    data[5] = 300
    path = tif("altum.tif", data)
    assert open_scene(path, sensor="micasense-altum").radiometry.level == "reflectance"


def test_a_file_without_a_usable_value(tif: Tif) -> None:
    scene = open_scene(tif("none.tif", np.full((1, 4, 5), np.nan, np.float32)))
    assert "without a usable value" in scene.radiometry.evidence
    assert not scene.read(keys=None).valid.any()


def test_a_strip_raster_is_sampled_over_its_whole_width(tif: Tif) -> None:
    """A mosaic's left edge is empty; what stands further right decides."""
    data = np.full((1, 40, 30_000), np.nan, np.float32)
    data[:, :, 20_000:] = 4000
    assert open_scene(tif("wide.tif", data)).radiometry.level == "DN"


def test_files_of_one_scene_must_be_alike(tif: Tif) -> None:
    red = tif("red.tif", np.full((1, 4, 5), 0.2, np.float32))
    nir = tif("nir.tif", np.full((1, 4, 5), 4000, np.uint16))
    with pytest.raises(InputError, match=r"nir\.tif holds DN .* other bands reflectance"):
        open_scene({"red": red, "nir": nir})
    half = tif("half.tif", np.full((1, 4, 5), 2000, np.uint16))
    scene = open_scene({"red": half, "nir": nir}, scale=1e-4)
    assert scene.read().data[:, 0, 0].tolist() == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize(
    ("level", "high", "words"),
    [
        ("reflectance", 0.5, None),
        ("reflectance", 1.5, None),
        ("reflectance", 1.7e-5, "a scale was lost"),
        ("reflectance", 4000.0, "--scale"),
        ("reflectance", -2.0, "never negative"),
        ("reflectance", 0.0, "never negative"),
        ("relative", 1e-5, None),
        ("DN", 4000.0, None),
    ],
)
def test_odd_levels(level: str, high: float, words: str | None) -> None:
    said = suspicious_level(level, high)
    assert said is None if words is None else words in (said or "")


def test_errors_are_one_line(opened: Opened) -> None:
    with pytest.raises(AgrisegError) as caught:
        opened(1, sensor="sentinel-2-l2a")
    assert "\n" not in str(caught.value)
