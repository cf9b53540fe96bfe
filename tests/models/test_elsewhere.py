"""What workers say of a model, and that they agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agriseg.errors import ModelError
from agriseg.models import (
    ModelElsewhere,
    ModelReference,
    about,
    agreed,
    build_network,
    check_predictor,
    load_model,
    numerics_of,
    save_model,
    streams_of,
    tell_of,
)
from tests.support import identity_card


@pytest.fixture
def model(tmp_path: Path) -> str:
    options = {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
    card = identity_card(name="small", architecture="unet", options=options, stride=8)
    torch.manual_seed(0)
    network = build_network(card).state_dict()
    return str(save_model(tmp_path / "small.safetensors", card, network))


def test_what_is_told_is_what_the_model_is(model: str) -> None:
    there = load_model(model, engine="torch", threads=5)
    told = tell_of(model, {"engine": "torch", "threads": 5})
    check_predictor(told)
    assert told.card == there.card
    assert numerics_of(told) == numerics_of(there)
    assert streams_of(told) == 5
    assert about(told) == about(there)
    with pytest.raises(ModelError, match="computed by workers only"):
        told(np.zeros((1, 1, 16, 16), np.float32))


def test_the_model_is_there_for_the_first_task(model: str) -> None:
    told = tell_of(model, {"engine": "torch", "threads": 2})
    Path(model).unlink()
    assert ModelReference.to(model, told, threads=2).load().card == told.card


def test_workers_must_agree(model: str) -> None:
    one = tell_of(model, {"engine": "torch", "threads": 4})
    few = replace(one, streams=2)
    assert agreed([one, few, one]) == few
    assert isinstance(agreed([one]), ModelElsewhere)
    with pytest.raises(ModelError, match=r"in two ways, .*torch.* and cuda: .* --engine"):
        agreed([one, replace(one, numerics="cuda")])
    with pytest.raises(ModelError, match="two models 'small' that differ"):
        agreed([one, replace(one, fingerprint="other")])
