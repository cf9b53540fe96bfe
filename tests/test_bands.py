"""Band roles from names, words and wavelengths, and which band serves a role."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agriseg.bands import (
    ALPHA,
    IGNORED,
    ROLES,
    SENSORS,
    Band,
    band_key,
    find_band,
    role_from_text,
    role_from_wavelength,
    split_role,
    wavelength_from_text,
)
from agriseg.errors import AgrisegError, BandError


def bands(*keys: str) -> list[Band]:
    result = []
    for index, key in enumerate(keys, 1):
        role, date = split_role(key)
        result.append(Band("scene.tif", index, role, date))
    return result


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("Blue", "blue"),
        ("blue_475", "blue"),
        ("Coastal Blue", "coastal"),
        ("Green", "green"),
        ("green_i", "green05"),
        ("green_ii", "green"),
        ("Yellow", "yellow"),
        ("Red", "red"),
        ("Red edge", "rededge"),
        ("RedEdge", "rededge"),
        ("red-edge", "rededge"),
        ("Vegetation Red Edge 2", "rededge075"),
        ("NIR", "nir"),
        ("NIR-842", "nir"),
        ("Near Infrared", "nir"),
        ("NearInfraRed", "nir"),
        ("near-infra-red", "nir"),
        ("Infrared", "nir"),
        ("infra red", "nir"),
        ("NIR narrow", "nir08"),
        ("Water vapour", "nir09"),
        ("SWIR 1", "swir16"),
        ("Shortwave Infrared 2", "swir22"),
        ("Panchro", "pan"),
        ("LWIR", "lwir"),
        ("Thermal infrared", "lwir"),
        ("thermal infra red", "lwir"),
        ("Alpha", ALPHA),
        # File names: the last word that names a role decides.
        ("IMG_0042_MS_RE", "rededge"),
        ("red_farm_nir", "nir"),
        ("nir_field_2024_red", "red"),
        # Wavelengths serve where no word does.
        ("560 nm", "green"),
        ("Band 4 (717 nanometers)", "rededge"),
        ("Band 3 (0.56 micrometers)", "green"),
    ],
)
def test_words_name_roles(text: str, role: str) -> None:
    assert role_from_text(text) == role


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Band 3",
        "redshift",
        "greenhouse",
        "predicted",
        "Japan",
        "B08",
        "20240560 nm",
        # Infrared, but not the near one, and not known which.
        "shortwave infrared",
        "Short-wave infrared",
        "mid infrared",
        "far infra red",
    ],
)
def test_other_words_name_none(text: str) -> None:
    assert role_from_text(text) is None


@pytest.mark.parametrize(
    ("text", "nanometres"),
    [
        ("560 nm", 560.0),
        ("842nm", 842.0),
        ("Band 1 (442.7 Nanometers)", 442.7),
        ("Band 3 (0.56 Micrometers)", 560.0),
        ("0.668 um", 668.0),
        ("0.668 \u00b5m", 668.0),
        ("10.9 \u03bcm", 10900.0),
        ("560", None),
        ("200 nm", None),  # ultraviolet: no camera of ours
        ("99999 nm", None),
        ("20 um", None),
        ("number 560", None),
    ],
)
def test_wavelengths_are_read(text: str, nanometres: float | None) -> None:
    assert wavelength_from_text(text) == nanometres


@pytest.mark.parametrize(
    ("nanometres", "role"),
    [
        (443, "coastal"),
        (450, "blue"),
        (475, "blue"),
        (520, "green"),
        (560, "green"),
        (610, "yellow"),
        (650, "red"),
        (690, "rededge"),
        (717, "rededge"),
        (790, "nir"),
        (842, "nir"),
        (945, "nir09"),
        (1610, "swir16"),
        (2200, "swir22"),
        (11000, "lwir"),
        (399, None),
        (920, None),
        (1000, None),
        (20000, None),
    ],
)
def test_wavelengths_have_roles(nanometres: float, role: str | None) -> None:
    assert role_from_wavelength(nanometres) == role


class TestSplitRole:
    @given(
        st.sampled_from(sorted(ROLES)),
        st.none() | st.from_regex(r"[A-Za-z0-9_.:-]+", fullmatch=True),
    )
    def test_it_undoes_band_key(self, role: str, date: str | None) -> None:
        assert split_role(band_key(role, date)) == (role, date)
        assert split_role(f"  {band_key(role, date)} ") == (role, date)

    def test_words_of_the_user_only(self) -> None:
        assert split_role(ALPHA) == (ALPHA, None)
        assert split_role(IGNORED) == (IGNORED, None)

    @pytest.mark.parametrize(
        "text", ["", "bogus", "red@", "@1", "red@1@2", "alpha@1", "-@1", "red 1"]
    )
    def test_others_are_refused(self, text: str) -> None:
        with pytest.raises(BandError, match="is unknown") as caught:
            split_role(text)
        assert isinstance(caught.value, AgrisegError)
        assert "rededge071" in str(caught.value)

    def test_the_message_reads_well(self) -> None:
        with pytest.raises(BandError, match=r"'Red Edge' is unknown; did you mean 'rededge'\?"):
            split_role("Red Edge")
        with pytest.raises(BandError, match=r"'bogus' is unknown\. Known are"):
            split_role("bogus")


class TestFindBand:
    def test_the_exact_role_comes_first(self) -> None:
        scene = bands("nir08", "red", "nir")
        assert find_band(scene, "nir") is scene[2]
        assert find_band(scene, "nir08") is scene[0]

    @pytest.mark.parametrize(
        ("have", "ask"),
        [
            ("nir08", "nir"),
            ("nir", "nir08"),
            ("rededge075", "rededge"),
            ("rededge", "rededge071"),
            ("green05", "green"),
        ],
    )
    def test_stand_ins(self, have: str, ask: str) -> None:
        scene = bands("pan", have)
        assert find_band(scene, ask) is scene[1]

    def test_the_stand_ins_have_an_order(self) -> None:
        scene = bands("rededge078", "rededge071")
        assert find_band(scene, "rededge") is scene[1]

    @pytest.mark.parametrize("ask", ["red", "blue", "green05", "rededge"])
    def test_nothing_else_stands_in(self, ask: str) -> None:
        assert find_band(bands("green", "nir", "pan"), ask) is None

    def test_dates(self) -> None:
        scene = bands("red@1", "nir@1", "red@2")
        assert find_band(scene, "red@2") is scene[2]
        assert find_band(scene, "nir") is scene[1]
        assert find_band(scene, "red") is None  # which date is meant?
        assert find_band(scene, "nir@2") is None
        assert find_band(bands("red"), "red@1") is None

    def test_an_undated_band_goes_before_dated_ones(self) -> None:
        scene = bands("red@1", "red")
        assert find_band(scene, "red") is scene[1]

    def test_a_band_without_role_is_never_found(self) -> None:
        assert find_band([Band("scene.tif", 1)], "red") is None

    def test_any_iterable_will_do(self) -> None:
        assert find_band(iter(bands("nir08")), "nir") == bands("nir08")[0]


class TestBand:
    def test_key(self) -> None:
        assert Band("a.tif", 1).key is None
        assert Band("a.tif", 1, "red").key == "red"
        assert Band("a.tif", 1, "red", "2024-05-01").key == "red@2024-05-01"

    def test_faults(self) -> None:
        with pytest.raises(ValueError, match="counted from 1"):
            Band("a.tif", 0)
        with pytest.raises(BandError, match="'purple' is unknown"):
            Band("a.tif", 1, "purple")
        with pytest.raises(BandError, match="scale 0"):
            Band("a.tif", 1, "red", scale=0.0)

    def test_pickling(self) -> None:
        band = Band("a.tif", 3, "nir", wavelength_nm=842, scale=1e-4, nodata=0)
        assert pickle.loads(pickle.dumps(band)) == band


@pytest.mark.parametrize("name", sorted(SENSORS))
class TestSensors:
    def test_roles_and_wavelengths_agree(self, name: str) -> None:
        for band in SENSORS[name].bands:
            low, high = ROLES[band.role]
            assert band.wavelength_nm is None or low <= band.wavelength_nm <= high

    def test_names_lead_to_their_band(self, name: str) -> None:
        sensor = SENSORS[name]
        for band in sensor.bands:
            for text in band.names:
                assert sensor.band_named(text) is band
                assert sensor.band_named(text.upper().replace(" ", "_")) is band
        assert sensor.band_named("no such band") is None

    def test_no_role_twice(self, name: str) -> None:
        roles = [band.role for band in SENSORS[name].bands]
        assert len(set(roles)) == len(roles)

    def test_a_scale_has_a_source(self, name: str) -> None:
        sensor = SENSORS[name]
        assert sensor.scale is None or (sensor.source and 0 < sensor.scale < 1)


def test_sentinel_2_b8a_is_not_b8() -> None:
    sensor = SENSORS["sentinel-2-l2a"]
    roles = {text: band.role for text in ("B8", "B08", "b8a") if (band := sensor.band_named(text))}
    assert roles == {"B8": "nir", "B08": "nir", "b8a": "nir08"}
