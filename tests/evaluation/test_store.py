"""What an evaluation found, kept in the model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import agriseg
from agriseg.errors import ModelError, OptionError
from agriseg.evaluation.mapping import map_scenes, tasks_for
from agriseg.evaluation.store import card_scores, save_calibrated, save_scores
from agriseg.labels import Codes
from agriseg.models import build_network, read_card, read_weights, save_model
from tests.evaluation.material import ArrayLabels, blobs, data, labelled
from tests.support import LEGEND, identity_card


def small_model(folder: Path) -> Path:
    import torch

    card = identity_card(
        name="small",
        architecture="unet",
        options={"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 16, 8]},
        chip_size=32,
        stride=8,
    )
    torch.manual_seed(0)
    return save_model(folder / "small.safetensors", card, build_network(card).state_dict())


def test_scores_are_kept_under_the_name_of_the_data(tmp_path: Path) -> None:
    path = small_model(tmp_path)
    card, weights = read_card(path), read_weights(path, read_card(path))
    truth = blobs(60, 60, 3, 2)
    given = data([labelled(tmp_path / "a.tif", truth, truth)], Codes(LEGEND))
    found = agriseg.evaluate(path, given, engine="torch", gsd_m=[0.1, 0.25])
    assert save_scores(path, found, "other fields") == path
    scores = read_card(path).scores
    assert list(scores) == ["other fields", "other fields at 0.1 m", "other fields at 0.25 m"]
    kept = scores["other fields"]
    assert kept == card_scores(found)
    for name in LEGEND.names:
        assert kept["iou"][name] == pytest.approx(found.iou[name], abs=5e-5)
        low, high = kept["iou_95"][name]
        assert low <= kept["iou"][name] <= high
    assert kept["pixels"] == 3600
    assert scores["other fields at 0.25 m"]["iou"] != kept["iou"]
    assert replace(read_card(path), scores=card.scores) == card, "the rest is as it was"
    for name, value in read_weights(path, card).items():
        np.testing.assert_array_equal(weights[name], value)
    for wrong in ("", " ", "validation"):
        with pytest.raises(OptionError, match="the name of their data"):
            save_scores(path, found, wrong)
    with pytest.raises(ModelError, match="was evaluated"):
        save_scores(path, replace(found, model="other"), "x")


def test_the_new_file_predicts_with_the_fitted_temperature(tmp_path: Path) -> None:
    path = small_model(tmp_path)
    card = read_card(path)
    truth = blobs(60, 60, 3, 2)
    scene = labelled(tmp_path / "a.tif", truth, truth)
    # It is right in two of three pixels: then there is a best temperature.
    model = agriseg.load_model(path, engine="torch")
    said = np.concatenate([rows.classes for rows in map_scenes(tasks_for([scene], model))])
    rng = np.random.default_rng(3)
    codes = np.where(rng.random(said.shape) < 0.66, said, rng.integers(0, 3, said.shape))
    scene = replace(scene, labels=ArrayLabels(codes.astype(np.uint8)))
    given = data([scene], Codes(LEGEND))
    found = agriseg.evaluate(path, given, engine="torch")
    calibration = found.calibration
    assert calibration.temperature == pytest.approx(calibration.factor)
    made = save_calibrated(path, found, tmp_path / "new.safetensors")
    assert read_card(made).temperature == calibration.temperature
    weights = read_weights(made, read_card(made))
    for name, value in read_weights(path, card).items():
        np.testing.assert_array_equal(weights[name], value)
    again = agriseg.evaluate(made, given, engine="torch").calibration
    assert again.factor == pytest.approx(1, abs=0.05)
    assert again.nll_before == pytest.approx(calibration.nll_after, rel=0.02)
    with pytest.raises(ModelError, match="was evaluated"):
        save_calibrated(path, replace(found, model="other"), made)
    lost = replace(found, calibration=replace(calibration, temperature=None))
    with pytest.raises(OptionError, match="no temperature"):
        save_calibrated(path, lost, made)
