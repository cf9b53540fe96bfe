"""Cards: round trips, and refusal of what makes no sense."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agriseg.errors import ModelError
from agriseg.legend import Legend
from agriseg.models import BandInput, ModelCard

ROLES = ["blue", "green", "red", "rededge", "nir", "red@1", "nir@2024-05-01"]
numbers = st.floats(-1e6, 1e6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@st.composite
def cards(draw):
    roles = draw(st.lists(st.sampled_from(ROLES), min_size=1, max_size=5, unique=True))
    stride = draw(st.integers(1, 64))
    size = stride * draw(st.integers(1, 20))
    low = draw(st.floats(1e-3, 10))
    return ModelCard(
        name=draw(st.text(min_size=1, max_size=9).filter(str.strip)),
        architecture=draw(st.sampled_from(["unet", "package.module:make"])),
        bands=tuple(
            BandInput(
                role,
                draw(st.none() | st.floats(300, 15000)),
                draw(st.booleans()),
                draw(numbers),
                draw(st.floats(1e-6, 1e6)),
            )
            for role in roles
        ),
        legend=Legend.of(("soil", "#000000"), ("crop", "#00ff00")),
        options=draw(st.dictionaries(st.text(max_size=5), values, max_size=3)),
        chip_size=size,
        overlap=draw(st.integers(0, size // 2)),
        stride=stride,
        gsd_m=draw(st.none() | st.just((low, low * 2))),
        radiometry=draw(st.sampled_from(["reflectance", "any"])),
        temperature=draw(st.floats(0.01, 10)),
        description=draw(st.text(max_size=20)),
        training=draw(st.dictionaries(st.text(max_size=5), values, max_size=2)),
    )


@given(cards())
def test_round_trip_is_exact(card):
    again = ModelCard.from_json(card.to_json())
    assert again == card
    assert again.to_json() == card.to_json()
    assert again.digest == card.digest
    assert hash(again) == hash(card)


def test_properties(make_card):
    card = make_card(
        bands=(BandInput("red", mean=0.1, std=0.5), BandInput("nir@1", required=False, mean=0.3))
    )
    assert card.keys == ("red", "nir@1")
    assert card.required_keys == ("red",)
    assert card.means.dtype == card.stds.dtype == np.float32
    assert card.means.tolist() == pytest.approx([0.1, 0.3])
    assert card.stds.tolist() == [0.5, 1.0]


def test_every_field_changes_the_digest(make_card):
    card = make_card()
    changed = [
        replace(card, name="other"),
        replace(card, temperature=1.5),
        replace(card, bands=card.bands[::-1]),
        replace(card, options={**card.options, "encoder_depth": 4}),
        replace(card, legend=Legend.of(("a", "#000000"), ("b", "#000001"))),
        replace(card, gsd_m=(0.01, 0.02)),
    ]
    assert len({item.digest for item in [card, *changed]}) == len(changed) + 1
    assert make_card(temperature=1).digest == make_card(temperature=1.0).digest
    assert make_card(temperature=np.float32(1)).digest == card.digest


def test_the_card_keeps_no_object_of_the_callers(make_card):
    options = {"decoder_channels": (16, 8, 8)}
    card = make_card(options=options)
    options["decoder_channels"] = (1, 1, 1)
    assert card.options == {"decoder_channels": [16, 8, 8]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": " "}, "name"),
        ({"architecture": ""}, "architecture"),
        ({"bands": ()}, "bands"),
        ({"bands": (BandInput("red"), BandInput("red"))}, "twice"),
        ({"legend": ["soil"]}, "legend"),
        ({"chip_size": 65}, "64 or 72"),
        ({"chip_size": 64.0}, "chip_size"),
        ({"overlap": 33}, "overlap"),
        ({"overlap": -1}, "overlap"),
        ({"stride": 0}, "stride"),
        ({"stride": True}, "stride"),
        ({"gsd_m": (0.05, 0.01)}, "gsd_m"),
        ({"gsd_m": (0.0, 0.01)}, "gsd_m"),
        ({"gsd_m": (0.1,)}, "gsd_m"),
        ({"radiometry": "DN"}, "radiometry"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"options": {"a": object()}}, "options"),
        ({"options": {1: 2}}, "options"),
        ({"scores": {"iou": float("nan")}}, "scores"),
    ],
)
def test_nonsense_is_refused(make_card, changes, words):
    with pytest.raises(ModelError, match=words):
        make_card(**changes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"role": "rde"}, "'rde' is unknown"),
        ({"role": "alpha"}, "network can see"),
        ({"role": " red"}, "network can see"),
        ({"role": 4}, "role is 4"),
        ({"role": "red", "std": 0}, "std is 0"),
        ({"role": "red", "std": 1e-300}, "std"),
        ({"role": "red", "mean": float("inf")}, "mean"),
        ({"role": "red", "wavelength_nm": -5}, "wavelength_nm"),
        ({"role": "red", "required": 1}, "required"),
    ],
)
def test_nonsense_bands_are_refused(arguments, words):
    with pytest.raises(ModelError, match=words):
        BandInput(**arguments)


def edited(card, **changes):
    return json.dumps(json.loads(card.to_json()) | changes)


def test_fields_of_a_newer_version_name_that_version(make_card):
    text = edited(make_card(), blending="cosine", agriseg_version="99.1")
    with pytest.raises(ModelError, match=r"blending.*agriseg 99\.1 wrote it: install"):
        ModelCard.from_json(text)
    band = {"role": "red", "gain": 2.0}
    with pytest.raises(ModelError, match=r"gain.*99\.1"):
        ModelCard.from_json(edited(make_card(), bands=[band], agriseg_version="99.1"))


def test_unknown_fields_of_an_old_version_are_a_mistake(make_card):
    with pytest.raises(ModelError, match=r"chipsize unknown.*expected are name"):
        ModelCard.from_json(edited(make_card(), chipsize=5, agriseg_version="0.0.1"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "{}",
        '{"name": NaN}',
        "[" * 100_000,
        '{"a": 1' + "0" * 5000 + "}",
    ],
)
def test_texts_that_are_no_card(text):
    with pytest.raises(ModelError):
        ModelCard.from_json(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"legend": [{"value": "0", "name": "a", "color": "#000000"}]},
        {"legend": [{"value": 0, "name": 7, "color": "#000000"}]},
        {"legend": [{"value": 0, "name": "a", "color": "red"}]},
        {"legend": [{"value": 1, "name": "a", "color": "#000000"}]},
        {"legend": {}},
        {"legend": [{"value": 0}]},
        {"bands": [{}]},
        {"bands": [7]},
        {"bands": "red"},
        {"gsd_m": "small"},
        {"gsd_m": [1, 10**400]},
        {"name": None},
        {"options": []},
        {"agriseg_version": 7, "extra": 1},
    ],
)
def test_cards_with_wrong_types(make_card, changes):
    with pytest.raises(ModelError):
        ModelCard.from_json(edited(make_card(), **changes))


def together(*names: str) -> ModelCard:
    legend = Legend.of(("soil", "#c8a882"), ("crop", "#1b6e2b"), ("weed", "#d81b9a"))
    return ModelCard("tiny", "unet", (BandInput("red"),), legend, together=names)


def test_classes_together_are_named_in_the_order_of_the_legend():
    card = together("weed", "crop")
    assert card.together == ("crop", "weed")
    assert card.together_values == (1, 2)
    assert ModelCard.from_json(card.to_json()) == card
    assert card.digest != together().digest
    assert together().together_values == ()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("crop", "weeds"), "together is .*weeds.*; expected is classes of soil, crop, weed"),
        (("crop",), "two classes or more, but not all"),
        (("soil", "crop", "weed"), "two classes or more, but not all"),
    ],
)
def test_other_groups_are_refused(names, words):
    with pytest.raises(ModelError, match=words):
        together(*names)
