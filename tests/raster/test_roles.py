"""Which band is which: every level of evidence, conflicts, presets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from agriseg.bands import SENSORS
from agriseg.errors import BandError, OptionError
from agriseg.raster import open_scene, parse_bands
from agriseg.raster.roles import NONE_TAKEN, decide_roles, sensor_named
from agriseg.raster.source import inspect

Tif = Callable[..., str]


@pytest.fixture
def roles(tif: Tif) -> Callable[..., list[str | None]]:
    """The keys of a file's bands, decided from what is written into it."""

    def decide(
        count: int,
        *,
        bands: Any = None,
        sensor: str | None = None,
        dtype: str = "uint16",
        **written: Any,
    ) -> list[str | None]:
        source = inspect(tif("scene.tif", np.ones((count, 3, 4), dtype), **written))
        decision = decide_roles(source, bands=bands, sensor=sensor_named(sensor))
        found: list[str | None] = [None] * count
        for band in decision.bands:
            found[band.index - 1] = band.key
        if decision.alpha:
            assert all(band.index != decision.alpha for band in decision.bands)
            found[decision.alpha - 1] = "alpha"
        return found

    return decide


Roles = Callable[..., list[str | None]]
RGB = ["red", "green", "blue"]


# What the user says comes before anything else.


def test_the_user_by_order(roles: Roles) -> None:
    written = {"descriptions": ["Blue", "Green", "Red"], "colors": RGB, "dtype": "uint8"}
    assert roles(3, bands=["nir", "red", "-"], **written) == ["nir", "red", None]


def test_the_user_by_number(roles: Roles) -> None:
    assert roles(5, bands={"red": 3, "nir": 5}) == [None, None, "red", None, "nir"]


def test_the_user_names_dates_and_alpha(roles: Roles) -> None:
    said = ["red@2024-05-12", "red@2024-06-01", "alpha"]
    assert roles(3, bands=said) == [*said]


def test_a_sensor_gives_the_users_bands_their_wavelengths(tif: Tif) -> None:
    source = inspect(tif("scene.tif", np.ones((2, 3, 4), np.uint16)))
    sensor = sensor_named("dji-mavic-3m")
    decision = decide_roles(source, bands=["nir", "red"], sensor=sensor)
    assert [band.wavelength_nm for band in decision.bands] == [860, 650]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["red", "nir"], "names 2 bands (red,nir)"),
        (["red", "red", "nir"], "names red twice"),
        (["red", "grean", "nir"], "'grean' is unknown"),
        (["-", "-", "-"], "leaves no band"),
        (["-", "alpha", "-"], "leaves no band"),
        ({"red": 4}, "has bands 1 to 3"),
        ({"red": 0}, "has bands 1 to 3"),
        ({"red": 2, "nir": 2}, "band 2 of"),
    ],
)
def test_words_of_the_user_that_do_not_fit(roles: Roles, said: Any, words: str) -> None:
    with pytest.raises(BandError) as caught:
        roles(3, bands=said)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("red,green,blue", ["red", "green", "blue"]),
        (" red , - ,nir@2 ", ["red", "-", "nir@2"]),
        ("red=3,nir=5", {"red": 3, "nir": 5}),
        ("nir@2=8", {"nir@2": 8}),
    ],
)
def test_how_bands_are_typed(text: str, parsed: object) -> None:
    assert parse_bands(text) == parsed


@pytest.mark.parametrize(
    "text", ["", " , ", "red,,blue", "red=3,nir", "red=x", "red=-1", "red=²", "red=1,red=2"]
)
def test_bands_typed_wrongly(text: str) -> None:
    with pytest.raises(OptionError, match="--bands"):
        parse_bands(text)


# Then a preset.

ORDERS: dict[str, list[str | None]] = {
    "rgb": ["red", "green", "blue"],
    "micasense-rededge": ["blue", "green", "red", "nir", "rededge"],
    "micasense-rededge-p": ["blue", "green", "red", "nir", "rededge", "pan"],
    "micasense-altum": ["blue", "green", "red", "nir", "rededge", "lwir"],
    "dji-mavic-3m": ["green", "red", "rededge", "nir"],
    "parrot-sequoia": ["green", "red", "rededge", "nir"],
    "sentinel-2-l2a": [
        "coastal",
        "blue",
        "green",
        "red",
        "rededge071",
        "rededge075",
        "rededge078",
        "nir",
        "nir08",
        "nir09",
        "swir16",
        "swir22",
    ],
    "planetscope-8b": [
        "coastal",
        "blue",
        "green05",
        "green",
        "yellow",
        "red",
        "rededge071",
        "nir",
    ],
    "landsat-8-9": ["coastal", "blue", "green", "red", "nir08", "swir16", "swir22"],
}


def test_every_preset_is_tested() -> None:
    assert ORDERS.keys() == SENSORS.keys()


@pytest.mark.parametrize("sensor", ORDERS)
def test_a_preset_by_order(roles: Roles, sensor: str) -> None:
    order = ORDERS[sensor]
    assert roles(len(order), sensor=sensor) == order
    # A tagged alpha band behind them is not one of them.
    tagged = ["undefined"] * len(order) + ["alpha"]
    assert roles(len(order) + 1, sensor=sensor, colors=tagged) == [*order, "alpha"]


@pytest.mark.parametrize("sensor", ORDERS)
def test_a_preset_by_name(roles: Roles, sensor: str) -> None:
    names = [band.names[0] for band in SENSORS[sensor].bands]
    turned = [names[-1], "something else", *names[:-1]]
    expected = [ORDERS[sensor][-1], None, *ORDERS[sensor][:-1]]
    assert roles(len(turned), sensor=sensor, descriptions=turned) == expected


def test_a_preset_where_near_infrared_is_tagged_alpha(roles: Roles) -> None:
    tagged = [*RGB, "alpha"]
    assert roles(4, sensor="dji-mavic-3m", colors=tagged) == ORDERS["dji-mavic-3m"]


def test_a_preset_and_descriptions_in_other_words(roles: Roles) -> None:
    words = ["near infrared", "red channel", "green channel", "red-edge"]
    found = roles(4, sensor="parrot-sequoia", descriptions=words)
    assert found == ["nir", "red", "green", "rededge"]


def test_grey_descriptions_are_no_names(roles: Roles) -> None:
    grey = ["Gray"] * 6
    assert roles(6, sensor="micasense-altum", descriptions=grey) == ORDERS["micasense-altum"]


def test_a_preset_that_does_not_fit(roles: Roles) -> None:
    with pytest.raises(BandError, match=r"has 5 unnamed bands, DJI Mavic 3 .* has 4"):
        roles(5, sensor="dji-mavic-3m")


def test_an_unknown_preset() -> None:
    with pytest.raises(OptionError, match=r"'sequoia' is unknown; known are .*parrot-sequoia"):
        sensor_named("sequoia")


# Then what the file says of its bands.


@pytest.mark.parametrize(
    ("descriptions", "expected"),
    [
        (["Blue", "Green", "Red", "Red edge", "NIR"], ["blue", "green", "red", "rededge", "nir"]),
        (["B02", "B03", "B04", "B08"], ["blue", "green", "red", "nir"]),
        (["B05", "B8A", "B11", "SCL"], ["rededge071", "nir08", "swir16", None]),
        (["SR_B4", "SR_B5", "QA_PIXEL"], ["red", "nir08", None]),
        (["B4, central wavelength 665 nm", "B8, central wavelength 842 nm"], ["red", "nir"]),
        (["560 nm", "Band 2 (717.0 nm)", "0.84 um"], ["green", "rededge", "nir"]),
        # "B4" is red to Sentinel-2 and near infrared to Landsat 7.
        (["B4", "NIR"], [None, "nir"]),
    ],
)
def test_descriptions(roles: Roles, descriptions: list[str], expected: list[str]) -> None:
    assert roles(len(descriptions), descriptions=descriptions) == expected


def test_wavelengths(roles: Roles) -> None:
    tags = [{"wavelength": text} for text in ("475", "560", "668", "0.717", "842", "1000")]
    assert roles(6, band_tags=tags) == ["blue", "green", "red", "rededge", "nir", None]


def test_the_description_outranks_the_colour(roles: Roles) -> None:
    written = {"descriptions": ["Blue", "Green", "Red"], "colors": RGB, "dtype": "uint8"}
    assert roles(3, **written) == ["blue", "green", "red"]


def test_a_description_against_its_wavelength(roles: Roles) -> None:
    written = {
        "descriptions": ["Red", "NIR"],
        "band_tags": [{"wavelength": "668"}, {"wavelength": "560"}],
    }
    with pytest.raises(BandError, match=r"band 2 is described as 'NIR' but .* 560 nm.*--bands"):
        roles(2, **written)


def test_interpretations_that_are_set_on_purpose(roles: Roles) -> None:
    colors = ["undefined", "nir", "rededge", "lwir"]
    assert roles(4, colors=colors) == [None, "nir", "rededge", "lwir"]


def test_near_infrared_that_is_tagged_alpha(roles: Roles) -> None:
    written = {"colors": [*RGB, "alpha"], "dtype": "uint8"}
    names = ["Red", "Green", "Blue", "NIR"]
    assert roles(4, descriptions=names, **written) == [*RGB, "nir"]
    tags: Sequence[dict[str, str]] = [{}, {}, {}, {"wavelength": "842"}]
    assert roles(4, band_tags=tags, **written)[3] == "nir"
    # A description that says alpha, or nothing of use, leaves it alpha.
    assert roles(4, descriptions=[*"abc", "Alpha"], **written) == [*RGB, "alpha"]
    assert roles(4, descriptions=["Red", "Green", "Blue", "Band 4"], **written)[3] == "alpha"


def test_doubles_without_wavelengths_are_nobodys(tif: Tif) -> None:
    names = ["Red", "NIR", "Red", "NIR", "Green"]
    source = inspect(tif("stack.tif", np.ones((5, 2, 3), np.uint16), descriptions=names))
    bands = decide_roles(source).bands
    assert [band.role for band in bands] == [None, None, None, None, "green"]
    assert bands[0].evidence == f"one of 2 bands named red, {NONE_TAKEN}"


def test_hyperspectral(tif: Tif) -> None:
    """Of 200 bands each role goes to one: the nearest to the middle of the role's range."""
    wavelengths = np.linspace(400, 1000, 200)
    tags = [{"wavelength": f"{nm:.2f}"} for nm in wavelengths]
    source = inspect(tif("cube.tif", np.ones((200, 2, 3), np.uint16), band_tags=tags))
    bands = decide_roles(source).bands
    assert len(bands) == 200
    taken = {band.role: band.wavelength_nm for band in bands if band.role}
    assert len(taken) == sum(band.role is not None for band in bands)
    assert taken.keys() >= {"coastal", "blue", "green", "red", "rededge", "nir"}
    middle = {"blue": 490, "green": 555, "red": 655, "nir": 830}
    for role, nm in middle.items():
        nearest = wavelengths[np.abs(wavelengths - nm).argmin()]
        assert taken[role] == pytest.approx(nearest, abs=0.01)
    assert all(band.wavelength_nm for band in bands)


def test_descriptions_may_carry_dates(roles: Roles) -> None:
    said = ["Red@1", "Red edge@1", "B08 @2024-05-12", "Red@2", "560 nm@2", "Blue@ 3"]
    found = ["red@1", "rededge@1", "nir@2024-05-12", "red@2", "green@2", "blue"]
    assert roles(6, descriptions=said) == found
    assert roles(3, descriptions=["Red@1", "Red@1", "NIR@1"]) == [None, None, "nir@1"]
    # A preset does not take the dates away.
    stack = ["Red@1", "NIR@1", "Red@2", "NIR@2"]
    kept = ["red@1", "nir@1", "red@2", "nir@2"]
    assert roles(4, descriptions=stack, sensor="sentinel-2-l2a") == kept


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (["red@668nm", "nir@0.84um"], ["red", "nir"]),
        (["red@t1", "red@T2"], ["red@t1", "red@T2"]),
        (
            ["red@20240512", "red@2024-06-01T10:20:31Z"],
            ["red@20240512", "red@2024-06-01T10:20:31Z"],
        ),
        (["red@user.farm", "nir@668"], ["red", "nir"]),
    ],
)
def test_only_dates_are_taken_for_dates(roles: Roles, said: list[str], found: list[str]) -> None:
    assert roles(len(said), descriptions=said) == found


def test_a_preset_outranks_a_wrong_wavelength(tif: Any) -> None:
    names = ["Blue", "Green", "Red", "NIR", "Red edge"]
    tags = [{}, {}, {}, {"CENTRAL_WAVELENGTH_UM": "0.560"}, {}]
    path = tif("wrong.tif", np.ones((5, 3, 3), np.uint16), descriptions=names, band_tags=tags)
    bands = decide_roles(inspect(path), sensor=sensor_named("micasense-rededge")).bands
    assert [band.role for band in bands] == ["blue", "green", "red", "nir", "rededge"]


# Last the colour interpretation, of 8-bit pictures only.


def test_a_picture(roles: Roles) -> None:
    assert roles(3, dtype="uint8", colors=["blue", "green", "red"]) == ["blue", "green", "red"]
    assert roles(4, dtype="uint8", colors=[*RGB, "alpha"]) == [*RGB, "alpha"]
    assert roles(4, dtype="uint8", colors=[*RGB, "undefined"]) == [*RGB, None]


@pytest.mark.parametrize(("count", "dtype"), [(3, "uint16"), (3, "float32"), (5, "uint8")])
def test_colours_of_anything_else_say_nothing(roles: Roles, count: int, dtype: str) -> None:
    colors = [*RGB, "undefined", "undefined"][:count]
    assert roles(count, dtype=dtype, colors=colors) == [None] * count


def test_nothing_says_anything(roles: Roles) -> None:
    assert roles(5, colors=["gray"] + ["undefined"] * 4) == [None] * 5


# A band that is tagged alpha and holds a picture.


@pytest.fixture
def four_bands(tif: Tif) -> Callable[[Any], str]:
    def make(last: Any) -> str:
        data = np.full((4, 20, 30), 90, np.uint8)
        data[3] = last
        return tif("four.tif", data, colors=[*RGB, "alpha"])

    return make


def test_alpha_that_holds_a_picture_is_asked_about(four_bands: Callable[[Any], str]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (20, 30))
    path = four_bands(picture)
    with pytest.raises(BandError) as caught:
        open_scene(path)
    assert "band 4 is tagged as alpha" in str(caught.value)
    assert "--bands red,green,blue,nir" in str(caught.value)
    assert "--bands red,green,blue,alpha" in str(caught.value)
    # Both answers are taken.
    assert open_scene(path, bands="red,green,blue,nir").read(keys=["nir"]).valid.all()
    scene = open_scene(path, bands="red,green,blue,alpha")
    assert (scene.read().valid == (picture > 0)).all()


def test_alpha_with_soft_edges_is_alpha(four_bands: Callable[[Any], str]) -> None:
    soft = np.full((20, 30), 255)
    soft[:, :5] = 0
    soft[:, 5:8] = [60, 128, 200]
    scene = open_scene(four_bands(soft))
    assert [band.role for band in scene.bands] == RGB
    assert (scene.read().valid == (soft > 0)).all()
