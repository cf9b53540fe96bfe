"""Does the model fit the scene? What is refused, and what is only noted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agriseg.errors import BandError, ModelError
from agriseg.models import BandInput, IndexBaseline, check_fit

BANDS = (("red", 660.0), ("nir", 850.0))


def test_a_fitting_scene_tells_only_what_can_be_seen(make_card, make_scene):
    card = make_card(gsd_m=(0.01, 0.06))
    assert check_fit(card, make_scene(*BANDS)) == [
        "plants of about 25 cm across, or larger, can be seen"
    ]
    assert check_fit(make_card(), make_scene(*BANDS, gsd_m=10.0)) == [
        "areas of about 50 m across, or larger, can be seen"
    ]
    assert "7.5 mm" in check_fit(make_card(), make_scene(*BANDS, gsd_m=0.0015))[0]


def test_missing_required_bands(make_card, make_scene):
    card = make_card(bands=(BandInput("red"), BandInput("rededge", 717), BandInput("nir", 842)))
    with pytest.raises(
        BandError,
        match=r"needs rededge \(717 nm\) and nir \(842 nm\), and meadow.*has red.*--bands",
    ):
        check_fit(card, make_scene("red", "green"))
    with pytest.raises(BandError, match="none of its bands has a role"):
        check_fit(card, make_scene())


def test_missing_optional_bands_are_noted(make_card, make_scene):
    card = make_card(bands=(BandInput("red"), BandInput("rededge", 717, required=False)))
    notes = check_fit(card, make_scene("red"))
    assert "lacks rededge (717 nm)" in notes[0]
    with pytest.raises(BandError, match="one of red and nir"):
        check_fit(IndexBaseline().card, make_scene("swir16"))


@pytest.mark.parametrize(
    ("gsd_m", "words"),
    [
        (0.0049, r"4\.9 mm across.*1 cm to 4 cm.*--gsd 0\.01.*--ignore-gsd"),
        (0.081, r"8\.1 cm across.*index-baseline.*finer images.*--ignore-gsd"),
    ],
)
def test_gsd_far_outside_is_refused(make_card, make_scene, gsd_m, words):
    card = make_card(gsd_m=(0.01, 0.04))
    scene = make_scene(*BANDS, gsd_m=gsd_m)
    with pytest.raises(ModelError, match=words):
        check_fit(card, scene)
    assert "somewhat worse" in check_fit(card, scene, ignore_gsd=True)[0]


def test_pixels_a_little_too_small_are_told_with_a_remedy(make_card, make_scene):
    notes = check_fit(make_card(gsd_m=(0.01, 0.04)), make_scene(*BANDS, gsd_m=0.007))
    assert "somewhat worse map; --gsd 0.01 resamples to its range" in notes[0]
    notes = check_fit(make_card(gsd_m=(0.01, 0.04)), make_scene(*BANDS, gsd_m=0.06))
    assert notes[0].endswith("somewhat worse map")


@pytest.mark.parametrize(
    ("gsd_m", "noted"), [(0.0051, True), (0.01, False), (0.04, False), (0.079, True)]
)
def test_gsd_mildly_outside_is_noted(make_card, make_scene, gsd_m, noted):
    notes = check_fit(make_card(gsd_m=(0.01, 0.04)), make_scene(*BANDS, gsd_m=gsd_m))
    assert any("was made for 1 cm to 4 cm" in note for note in notes) == noted


def test_without_a_crs_the_gsd_is_unknown(make_card, make_scene):
    scene = make_scene(*BANDS)
    scene = replace(scene, geobox=replace(scene.geobox, crs=None))
    assert check_fit(make_card(), scene) == []
    (note,) = check_fit(make_card(gsd_m=(0.01, 0.01)), scene)
    assert "no CRS" in note
    assert note.endswith("was made for 1 cm")


def test_what_somebody_knows_of_the_pixel_size_counts(make_card, make_scene):
    card = make_card(gsd_m=(0.01, 0.04))
    scene = make_scene(*BANDS)
    scene = replace(scene, geobox=replace(scene.geobox, crs=None))
    assert not any("unknown" in note for note in check_fit(card, scene, gsd_m=0.02))
    with pytest.raises(ModelError, match=r"1 mm across.*1 cm to 4 cm"):
        check_fit(card, scene, gsd_m=0.001)


def test_numbers_of_unknown_scale(make_card, make_scene):
    scene = make_scene(*BANDS, level="DN")
    with pytest.raises(ModelError, match=r"a test says so.*--scale.*--sensor"):
        check_fit(make_card(), scene)
    assert len(check_fit(make_card(radiometry="any"), scene)) == 1
    notes = check_fit(make_card(), make_scene(*BANDS, level="relative"))
    assert "not calibrated" in notes[-1]


def test_other_wavelengths_are_noted(make_card, make_scene):
    notes = check_fit(make_card(), make_scene(("red", 630.0), ("nir", 860.0)))
    assert "red of meadow is at 630 nm, model 'tiny' was made for 668 nm" in notes[0]
    assert len(notes) == 2
    assert len(check_fit(make_card(), make_scene("red", "nir"))) == 1


def test_each_run_says_the_caution_of_the_card(make_card, make_scene):
    caution = "crop and weed are told apart only roughly here: fine-tune with your labels"
    assert check_fit(make_card(caution=caution), make_scene(*BANDS))[-1] == caution
    assert caution not in check_fit(make_card(), make_scene(*BANDS))
