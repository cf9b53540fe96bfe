"""Which indices a scene can have, and what is said where it cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import spyndex
from affine import Affine

from agriseg.bands import Band, Level, Radiometry, split_role
from agriseg.errors import BandError, OptionError
from agriseg.geobox import GeoBox
from agriseg.indices import Index, available, default_indices, find_index
from agriseg.indices.catalogue import BAND_ROLES, entries
from agriseg.indices.compute import constants_of
from agriseg.indices.formula import parse
from agriseg.raster import Scene

RGB = ("red", "green", "blue")
FIVE = ("blue", "green", "red", "rededge", "nir")


def scene_of(
    keys: Sequence[str], *, nm: Sequence[float | None] | None = None, level: Level = "reflectance"
) -> Scene:
    """A scene of which only the bands matter."""
    bands = tuple(
        Band("field.tif", k, *split_role(key), wavelength_nm=nm[k - 1] if nm else None)
        for k, key in enumerate(keys, 1)
    )
    box = GeoBox(None, Affine.identity(), 5, 3)
    return Scene("field", bands, box, Radiometry(level, "stated"))


def names(keys: Sequence[str]) -> list[str]:
    return [index.name for index in available(scene_of(keys))]


def test_roles_are_those_that_the_catalogue_means() -> None:
    theirs = {name: spyndex.bands[name].common_name for name in spyndex.bands}
    ours = {name: role for name, role in BAND_ROLES.items() if name != "RE"}
    assert ours == {name: role for name, role in theirs.items() if not name.startswith("T")}


def test_every_formula_can_be_read_and_has_its_names() -> None:
    for entry in entries().values():
        parse(entry.formula)
        words = set(re.findall(r"[A-Za-z]\w*", re.sub(r"\btanh\b", "", entry.formula)))
        assert words == {*entry.symbols, *entry.constants} or entry.hurdle, entry.name
        assert all([entry.long_name, entry.reference, entry.domain])


def test_names_are_told_apart_and_sorted() -> None:
    listed = list(entries())
    assert len(listed) >= 281
    assert listed == sorted(listed, key=lambda name: (name.casefold(), name))


def test_a_scene_has_the_indices_of_its_bands() -> None:
    visible = names(RGB)
    assert {"GLI", "VARI", "NGRDI", "ExG", "TGI"} <= set(visible)
    assert not {"NDVI", "NDRE", "EVI"} & set(visible)
    five = names(FIVE)
    assert {"NDVI", "NDRE", "NDREI", "CIRE", "EVI", "SAVI", "kNDVI", *visible} <= set(five)
    # Shortwave infrared, a second red edge; a constant without a value, radar, temperature.
    assert not {"NDMI", "MTCI", "TSAVI", "NIRvP", "VHVVR", "NBRT1", "kEVI"} & set(five)
    assert names(("pan", "lwir")) == []


def test_stand_ins_serve_and_are_named() -> None:
    landsat = scene_of(("red", "nir08", "green"))
    assert find_index("NDVI", landsat).keys == ("nir08", "red")
    planet = scene_of(("rededge071", "nir", "red"))
    assert find_index("NDRE", planet).keys == ("nir", "rededge071")
    drone = scene_of(("rededge", "nir", "red"))
    assert find_index("NDREI", drone).keys == ("nir", "rededge")


def test_a_band_does_not_stand_beside_itself() -> None:
    """TTVI is of three red edges and nir08; a difference of one band would be 0 everywhere."""
    assert "CCI" in names(("green05", "red"))
    for keys in (FIVE, ("nir08", "red", "rededge075", "rededge078", "green05", "blue")):
        for index in available(scene_of(keys)):
            assert len(set(index.keys)) == len(index.keys), index


def test_keys_and_symbols_go_together() -> None:
    index = find_index("evi", scene_of(FIVE))
    assert isinstance(index, Index)
    assert (index.name, index.domain) == ("EVI", "vegetation")
    assert dict(zip(index.symbols, index.keys, strict=True)) == {
        "N": "nir",
        "R": "red",
        "B": "blue",
    }
    assert dict(index.constants) == {"g": 2.5, "C1": 6, "C2": 7.5, "L": 1}
    assert hash(index) == hash(find_index(" EVI ", scene_of(FIVE)))


def test_constants_are_what_the_authors_say() -> None:
    five = scene_of((*FIVE, "swir16"))
    assert constants_of(find_index("SAVI", five)) == {"L": 0.5}
    assert constants_of(find_index("EVI2", five)) == {"g": 2.5, "L": 1.0}
    assert constants_of(find_index("NDPI", five)) == {"alpha": 0.74}
    assert constants_of(find_index("WDRVI", five)) == {"alpha": 0.1}


def test_a_constant_of_the_place_must_be_given() -> None:
    index = find_index("TSAVI", scene_of(FIVE))
    assert set(index.missing) == {"sla", "slb"}
    with pytest.raises(OptionError, match=r"TSAVI .* needs sla.*--param sla="):
        constants_of(index)
    assert constants_of(index, {"sla": 1.2, "slb": 0.04}) == {"sla": 1.2, "slb": 0.04}


def test_wavelengths_are_those_of_the_scene() -> None:
    known = scene_of(("green", "red", "nir"), nm=(560, 668, 842))
    index = find_index("NDGI", known)
    assert constants_of(index) == {"lambdaN": 842, "lambdaR": 668, "lambdaG": 560}
    unknown = scene_of(("green", "red", "nir"), nm=(560, None, 842))
    assert "NDGI" not in [index.name for index in available(unknown)]
    with pytest.raises(OptionError, match="needs lambdaR, the wavelength of a band in nm"):
        constants_of(find_index("NDGI", unknown))


def test_capitals_count_where_they_must() -> None:
    scene = scene_of((*FIVE, "swir16"))
    assert find_index("BaI", scene).domain == "soil"
    assert find_index("BAI", scene).domain == "burn"
    assert find_index("gNdVi", scene).name == "GNDVI"
    with pytest.raises(OptionError, match=r"BAI \(Burned Area Index\) or BaI \(Bareness Index\)"):
        find_index("bai", scene)


def test_an_unknown_name_meets_its_neighbours() -> None:
    with pytest.raises(OptionError, match=r"no index 'NDVIX'; did you mean NDVI\b.*--list"):
        find_index("NDVIX", scene_of(FIVE))
    with pytest.raises(OptionError, match=r"no index 'wheat'; did you mean WCI1"):
        find_index("wheat", scene_of(FIVE))
    with pytest.raises(OptionError, match=r"no index 'qq'; `agriseg indices"):
        find_index("qq", scene_of(FIVE))
    with pytest.raises(OptionError, match="no index ''"):
        find_index("", scene_of(FIVE))


def test_missing_bands_are_named_with_what_can_be_had() -> None:
    with pytest.raises(BandError) as caught:
        find_index("EVI", scene_of(("red", "green", "nir")))
    said = str(caught.value)
    assert "lacks blue in field; it has red, green, nir" in said
    assert "it can have NDVI, " in said or ", NDVI" in said
    with pytest.raises(BandError, match="enough for no index of that domain"):
        find_index("NBR", scene_of(RGB))


@pytest.mark.parametrize(
    ("name", "why"), [("VHVVR", "radar"), ("NBRT1", "temperature"), ("kEVI", "kernel")]
)
def test_what_nobody_can_have_says_why(name: str, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        find_index(name, scene_of((*FIVE, "swir22", "lwir")))


def test_dates_are_told_apart() -> None:
    scene = scene_of(("red@1", "nir@1", "red@2", "nir@2", "rededge@2"))
    assert find_index("ndvi@2", scene).name == "NDVI@2"
    assert find_index("NDVI@2", scene).keys == ("nir@2", "red@2")
    listed = [index.name for index in available(scene)]
    assert {"NDVI@1", "NDVI@2", "NDRE@2"} <= set(listed)
    assert not {"NDVI", "NDRE@1", "NDRE"} & set(listed)
    with pytest.raises(BandError, match="several dates; ask for NDVI@1 or NDVI@2"):
        find_index("NDVI", scene)
    with pytest.raises(BandError, match="lacks nir, red at date 3"):
        find_index("NDVI@3", scene)
    # At date 1 only the red edge is missing.
    with pytest.raises(BandError, match=r"lacks blue at date 1"):
        find_index("EVI", scene)


def test_bands_of_different_dates_make_no_index() -> None:
    scene = scene_of(("red@1", "nir@2"))
    assert all(len(index.keys) == 1 for index in available(scene))
    with pytest.raises(BandError):
        find_index("NDVI", scene)
    with pytest.raises(BandError):
        find_index("NDVI@1", scene)


def test_one_date_needs_no_telling() -> None:
    scene = scene_of(("red@7", "nir@7"))
    assert find_index("NDVI", scene).keys == ("nir@7", "red@7")
    assert find_index("NDVI@7", scene).name == "NDVI@7"
    assert "NDVI" in [index.name for index in available(scene)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (FIVE, ("NDVI", "NDRE")),
        (("red", "nir08"), ("NDVI",)),
        (("green", "nir", "rededge"), ("GNDVI", "NDRE")),
        (("green", "nir", "blue"), ("GNDVI",)),
        (("blue", "nir"), ("BNDVI",)),
        (RGB, ("GLI",)),
        (("red", "green"), ("NGRDI",)),
        (("nir", "rededge075"), ("NDRE",)),
        (("red@1", "nir@1", "red@2", "nir@2"), ("NDVI@1", "NDVI@2")),
        (("pan",), ()),
    ],
)
def test_the_default_goes_by_the_bands(keys: Sequence[str], expected: tuple[str, ...]) -> None:
    assert default_indices(scene_of(keys)) == expected
