"""Scores against scikit-learn and torchmetrics, and what they make of sets of classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCohenKappa,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassPrecision,
    MulticlassRecall,
)

from agriseg.evaluation.scores import confusion, score
from agriseg.labels import Codes
from tests.support import LEGEND

CLASSES = 3


def counted(truth: np.ndarray, guess: np.ndarray, codes: int = CLASSES) -> np.ndarray:
    table = np.zeros((codes, CLASSES), np.int64)
    np.add.at(table, (truth, guess), 1)
    return table


@pytest.fixture
def pixels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    truth = rng.choice(CLASSES, 5000, p=[0.8, 0.15, 0.05])
    guess = np.where(rng.random(5000) < 0.7, truth, rng.integers(0, CLASSES, 5000))
    return truth, guess


def test_as_scikit_learn(pixels) -> None:
    truth, guess = pixels
    plain = Codes(LEGEND)
    found = score(counted(truth, guess), plain.allowed[:CLASSES], np.arange(CLASSES))
    np.testing.assert_allclose(found.iou, sk.jaccard_score(truth, guess, average=None))
    expected = sk.precision_recall_fscore_support(truth, guess)
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(getattr(found, name), values)
    assert found.accuracy == pytest.approx(sk.accuracy_score(truth, guess))
    assert found.kappa == pytest.approx(sk.cohen_kappa_score(truth, guess))
    assert found.mean_iou == pytest.approx(sk.jaccard_score(truth, guess, average="macro"))
    table = confusion(counted(truth, guess), np.arange(CLASSES))
    np.testing.assert_array_equal(table, sk.confusion_matrix(truth, guess))


def test_as_torchmetrics(pixels) -> None:
    truth, guess = (torch.from_numpy(each) for each in pixels)
    found = score(counted(*pixels), Codes(LEGEND).allowed[:CLASSES], np.arange(CLASSES))
    for name, kind in (
        ("iou", MulticlassJaccardIndex),
        ("precision", MulticlassPrecision),
        ("recall", MulticlassRecall),
        ("f1", MulticlassF1Score),
    ):
        expected = kind(CLASSES, average="none")(guess, truth).numpy()
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-5)
    expected = MulticlassAccuracy(CLASSES, average="micro")(guess, truth)
    assert found.accuracy == pytest.approx(float(expected))
    assert found.kappa == pytest.approx(
        float(MulticlassCohenKappa(CLASSES)(guess, truth)), abs=1e-6
    )


def test_a_class_that_the_truth_lacks_has_no_scores() -> None:
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    found = score(counted(truth, guess), Codes(LEGEND).allowed[:CLASSES], np.arange(CLASSES))
    np.testing.assert_array_equal(np.isnan(found.iou), [False, False, True])
    assert np.isnan([found.precision[2], found.recall[2], found.f1[2]]).all()
    # The mean is over the two that are there; what was called weed counts against soil.
    assert found.mean_iou == pytest.approx((0.5 + 1.0) / 2)


def test_a_class_that_is_never_called_has_no_precision_but_an_iou_of_zero() -> None:
    found = score(
        counted(np.array([0, 1]), np.array([0, 0])), Codes(LEGEND).allowed[:3], np.arange(3)
    )
    assert found.iou[1] == 0
    assert found.recall[1] == 0
    assert np.isnan(found.precision[1])


def test_a_set_of_classes_counts_against_the_others_only() -> None:
    """'soil or weed' (code 3): crop there is wrong; soil and weed are neither right nor wrong."""
    codes = Codes.of(LEGEND, ["soil or weed"])
    decided = np.array([0, 1, 2, -1])
    truth = np.array([1] * 10 + [3] * 10)
    guess = np.array([1] * 8 + [0] * 2 + [1] * 3 + [0] * 4 + [2] * 3)
    found = score(counted(truth, guess, 4), codes.allowed[:4], decided)
    assert found.iou[1] == pytest.approx(8 / (8 + 2 + 3))
    assert found.precision[1] == pytest.approx(8 / 11)
    # No pixel is labelled soil or weed alone.
    assert np.isnan(found.iou[[0, 2]]).all()
    # Of the pixels labelled with one class all are crop: that is its recall, not an accuracy.
    assert np.isnan([found.accuracy, found.kappa]).all()


def test_tables_are_scored_side_by_side_and_empty_ones_are_unknown() -> None:
    one = np.array([[5, 1, 0], [2, 7, 0], [0, 0, 3]])
    many = np.stack([one, np.zeros_like(one)])
    allowed = Codes(LEGEND).allowed[:3]
    alone, both = score(one, allowed, np.arange(3)), score(many, allowed, np.arange(3))
    np.testing.assert_allclose(both.iou[0], alone.iou)
    assert np.isnan(both.mean_iou[1])
    assert np.isnan(both.kappa[1])
