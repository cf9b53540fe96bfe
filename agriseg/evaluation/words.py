"""How good a model is, and where it fails, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from agriseg.evaluation.result import Evaluation

__all__ = ["grade", "in_words", "list_words"]

_GRADES = ((0.85, "very well"), (0.7, "well"), (0.5, "fairly"), (0.3, "roughly"), (0.0, "poorly"))
_FINE = 0.85
_NAMED = 0.15
"""A share of a class that is worth naming."""


def grade(iou: float) -> str:
    """An IoU as an adverb."""
    return next(word for limit, word in _GRADES if iou >= limit)


def list_words(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def in_words(found: Evaluation) -> str:
    """One or two sentences: each class with its grade, then the largest mistakes."""
    iou, names = found.measures["iou"].value, found.names
    there = [k for k in range(len(names)) if np.isfinite(iou[k])]
    if not there:
        return "No pixel is labelled with one class, so nothing can be said."
    by_grade: dict[str, list[str]] = {}
    for k in sorted(there, key=lambda k: -float(iou[k])):
        by_grade.setdefault(grade(float(iou[k])), []).append(f"{names[k]} (IoU {iou[k]:.2f})")
    grades = [f"{how}: {list_words(who)}" for how, who in by_grade.items()]
    sentence = f"Mapped {'; '.join(grades)}."
    if faults := _faults(found, there):
        sentence += f" {list_words(faults)}."
    absent = [name for k, name in enumerate(names) if k not in there]
    if absent:
        sentence += f" The labels have no {' or '.join(absent)} alone."
    return sentence


def _faults(found: Evaluation, there: list[int]) -> list[str]:
    """The largest mistakes of the classes that are not mapped very well."""
    table, names = found.confusion, found.names
    iou = found.measures["iou"].value
    said: list[tuple[float, str]] = []
    for k in there:
        if iou[k] >= _FINE:
            continue
        missed = table[k] / max(table[k].sum(), 1)
        missed[k] = 0
        worst = int(missed.argmax())
        if missed[worst] >= _NAMED:
            text = f"{_share(missed[worst])} of the {names[k]} is taken for {names[worst]}"
            said.append((float(missed[worst]), text))
        called = table[:, k] / max(table[:, k].sum(), 1)
        called[k] = 0
        false = int(called.argmax())
        if called[false] >= _NAMED:
            text = f"{_share(called[false])} of what is called {names[k]} is {names[false]}"
            said.append((float(called[false]), text))
    said.sort(key=lambda pair: -pair[0])
    return [text for _, text in said[:3]]


def _share(value: float) -> str:
    if value > 0.995:
        return "all"
    return f"{100 * value:.0f} %"
