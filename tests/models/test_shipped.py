"""Models that come with agriseg: found by name wherever a model file is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agriseg.errors import ModelError, OptionError
from agriseg.models import (
    build_network,
    default_model,
    known_models,
    load_model,
    read_card,
    read_weights,
    save_model,
    shipped,
    shipped_models,
)

LARGEST_MB = 15


@pytest.fixture
def shelf(tmp_path, monkeypatch, make_card) -> Path:
    """A folder of shipped models with a tiny one in it, called crop-weed."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(shipped, "_FOLDER", folder)
    torch.manual_seed(0)
    card = make_card(name="crop-weed")
    save_model(folder / "crop-weed.safetensors", card, build_network(card).state_dict())
    return folder


def test_without_any_the_baseline_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path / "none")
    assert shipped_models() == {}
    assert known_models() == ("index-baseline",)
    assert default_model() == "index-baseline"


def test_found_by_name_in_any_folder(shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert known_models() == ("crop-weed", "index-baseline")
    assert default_model() == "crop-weed"
    card = read_card("crop-weed")
    assert card.name == "crop-weed"
    assert load_model("crop-weed", engine="torch").card == card
    assert read_weights("crop-weed", card).keys() == build_network(card).state_dict().keys()
    # A folder of the user's that happens to have the name is not meant.
    (tmp_path / "crop-weed").mkdir()
    assert read_card("crop-weed") == card


def test_another_model_alone_is_not_the_default(shelf):
    (shelf / "crop-weed.safetensors").rename(shelf / "trees.safetensors")
    assert known_models() == ("trees", "index-baseline")
    assert default_model() == "index-baseline"


@pytest.mark.parametrize(
    ("typed", "meant"), [("cropweed", "crop-weed"), ("index-baselin", "index-baseline")]
)
def test_nearly_the_name(shelf, typed, meant):
    with pytest.raises(ModelError, match=f"no model '{typed}'; did you mean '{meant}"):
        load_model(typed)


def test_all_names_are_told(shelf):
    with pytest.raises(ModelError, match=r"path of .* or 'crop-weed' or 'index-baseline'"):
        load_model("/nowhere/beans.safetensors")


def test_what_lies_there_is_small_and_complete():
    for name, path in shipped_models().items():
        card = read_card(name)
        assert path.stat().st_size < LARGEST_MB * 1e6
        assert card.name == name
        assert card.licence
        assert card.gsd_m is not None
        assert card.training
        assert card.scores
        assert all(value.dtype != torch.float32 for value in read_weights(name, card).values())


def test_it_can_be_trained_further(shelf):
    from agriseg.training.weights import base_card, start_weights

    card = read_card("crop-weed")
    assert base_card("crop-weed") == card
    network = build_network(card)
    assert "all weights of 'crop-weed'" in start_weights(network, card, "crop-weed")
    known = read_weights("crop-weed", card)
    assert all(torch.equal(value, known[key]) for key, value in network.state_dict().items())
    with pytest.raises(OptionError, match="did you mean 'crop-weed'"):
        base_card("crop_weed")
