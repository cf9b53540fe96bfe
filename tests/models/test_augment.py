"""Test-time augmentation: the mean over mirror images."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import agriseg
from agriseg.errors import OptionError
from agriseg.models import IndexBaseline, Numerics, batch_of, load_model, numerics_of
from agriseg.models.augment import TTA, augmented
from tests.support import Identity, Smooth, class_field, read_classes, write_raster


@dataclass(frozen=True)
class Corner(Identity):
    """Sees nothing of a chip but how far each pixel lies from the upper left corner."""

    as_tensor: bool = False

    def __call__(self, batch: NDArray[np.float32]) -> object:
        n, _, height, width = batch.shape
        y, x = np.mgrid[:height, :width] / np.float32(200)
        first = np.broadcast_to(y + 2 * x, (n, height, width))
        found = np.stack([first, 1 - first, 0 * first], axis=1).astype(np.float32)
        return torch.from_numpy(found) if self.as_tensor else found


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("tta", TTA)
def test_it_is_the_mean_over_the_views(tta: str, as_tensor: bool) -> None:
    predictor = augmented(Corner(as_tensor=as_tensor), tta)
    found = np.asarray(predictor(np.zeros((2, 1, 12, 20), np.float32)))
    y, x = np.mgrid[:12, :20] / 200
    if tta != "none":
        y, x = np.full_like(y, 11 / 400), np.full_like(x, 19 / 400)
    expected = 1.5 * (y + x) if tta == "turns" else y + 2 * x
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("tta", ["flips", "turns"])
def test_what_does_not_care_stays_as_it_is(tmp_path, tta: str) -> None:
    path = write_raster(tmp_path / "s.tif", class_field(37, 29), descriptions=["red"])
    plain = agriseg.segment(path, tmp_path / "plain", model=Identity())
    asked = agriseg.segment(path, tmp_path / "asked", model=augmented(Identity(), tta))
    np.testing.assert_array_equal(read_classes(plain.classes), read_classes(asked.classes))
    assert asked.record["model"]["tta"] == tta
    assert asked.record["key"] != plain.record["key"]


def test_it_speaks_for_its_predictor() -> None:
    inner = Smooth(batch=3)
    predictor = augmented(inner, "flips")
    assert batch_of(predictor) == 3
    assert predictor.card is inner.card
    assert predictor.fingerprint == inner.fingerprint
    assert json.loads(numerics_of(predictor)) == {"engine": "numpy", "tta": "flips"}
    assert augmented(inner, "none") is inner
    assert Numerics.options(numerics_of(predictor))["tta"] == "flips"
    assert augmented(lambda batch: batch, "flips").fingerprint is None
    assert isinstance(load_model("index-baseline"), IndexBaseline)
    assert "tta" in json.loads(numerics_of(load_model("index-baseline", tta="turns")))


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(OptionError, match=r"--tta twist.*none, flips, turns"):
        load_model("index-baseline", tta="twist")
