"""Scores from counts of pixels.

All of them come from one table: how many pixels with each code (a class, or a set of classes of
which it is one) were called each class. A class counts a pixel as its own where the code is that
class alone, as not its own where the code rules it out, and leaves it out where nobody knows. With
labels of single classes these are the usual formulas:

    IoU = tp / (tp + fp + fn)   precision = tp / (tp + fp)   recall = tp / (tp + fn)
    F1 = 2 tp / (2 tp + fp + fn)

accuracy and Cohen's kappa (1960, Educ. Psychol. Meas. 20) are over pixels whose class is known, and
unknown where that is one class while others are labelled as sets. A
class that the truth has nowhere has no scores, and the means go over the classes that have some.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scores", "confusion", "ratio", "score"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Scores of one or many tables of counts; NaN where there is nothing to score.

    Args:
        tp, fp, fn: (..., classes) pixels.
        iou, precision, recall, f1: (..., classes).
        mean_iou, mean_f1, accuracy, kappa: (...).
    """

    tp: Floats
    fp: Floats
    fn: Floats
    iou: Floats
    precision: Floats
    recall: Floats
    f1: Floats
    mean_iou: Floats
    mean_f1: Floats
    accuracy: Floats
    kappa: Floats


def ratio(top: Floats, bottom: Floats) -> Floats:
    """top / bottom, NaN where the bottom is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(top, float), np.asarray(bottom, float))
    found: Floats = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return found


def confusion(counts: NDArray[np.number], decided: NDArray[np.int64]) -> Floats:
    """Pixels of each class that were called each class.

    Args:
        counts: (..., codes, classes) pixels with each code that were called each class.
        decided: (codes,) the class of each code; -1 for sets of classes, which are left out.

    Returns:
        (..., classes, classes): truth, then prediction.
    """
    classes = counts.shape[-1]
    table = np.zeros((*counts.shape[:-2], classes, classes))
    for code, value in enumerate(decided):
        if value >= 0:
            table[..., value, :] += counts[..., code, :]
    return table


def score(
    counts: NDArray[np.number], allowed: NDArray[np.bool_], decided: NDArray[np.int64]
) -> Scores:
    """Scores of tables of counts.

    Args:
        counts: (..., codes, classes) pixels with each code that were called each class.
        allowed: (codes, classes) True where a pixel with this code may be of this class.
        decided: (codes,) the class that a code stands for; -1 where it is one of several.
    """
    values = np.asarray(counts, float)
    table = confusion(values, decided)
    tp = np.einsum("...kk->...k", table)
    fn = table.sum(axis=-1) - tp
    fp = np.einsum("...jk,jk->...k", values, (~allowed).astype(float))
    there = (tp + fn) > 0
    iou = np.where(there, ratio(tp, tp + fp + fn), np.nan)
    f1 = np.where(there, ratio(2 * tp, 2 * tp + fp + fn), np.nan)
    total = table.sum(axis=(-2, -1))
    # Where the other classes are only known as sets of classes, right and wrong of the one that is
    # known alone is its recall, and says nothing of all.
    one_sided = (values[..., decided < 0, :].sum(axis=(-2, -1)) > 0) & (there.sum(axis=-1) < 2)
    agreed = np.where(one_sided, np.nan, ratio(tp.sum(axis=-1), total))
    by_chance = ratio((table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1), total**2)
    return Scores(
        tp=tp,
        fp=fp,
        fn=fn,
        iou=iou,
        # No pixel called so: nothing to be precise about.
        precision=np.where(there, ratio(tp, tp + fp), np.nan),
        recall=ratio(tp, tp + fn),
        f1=f1,
        mean_iou=mean_of(iou),
        mean_f1=mean_of(f1),
        accuracy=agreed,
        kappa=ratio(agreed - by_chance, 1 - by_chance),
    )


def mean_of(values: Floats) -> Floats:
    """The mean over the last axis of what is not NaN; NaN where nothing is left."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))
