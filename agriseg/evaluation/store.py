"""What an evaluation found, kept in a model file: scores, and the fitted temperature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from agriseg.errors import ModelError, OptionError
from agriseg.evaluation.measures import number
from agriseg.evaluation.result import Evaluation
from agriseg.models import ModelCard, read_card, read_weights, save_model

__all__ = ["card_scores", "save_calibrated", "save_scores"]

_OF_TRAINING = "validation"


def card_scores(found: Evaluation) -> dict[str, Any]:
    """What a card says of an evaluation: IoU by class with 95 % intervals, and of what."""
    iou, mean = found.measures["iou"], found.measures["mean_iou"]
    ends = zip(iou.low, iou.high, strict=True)
    each = [[_short(low), _short(high)] for low, high in ends]
    values = {"mean": _short(mean.value), **{k: _short(v) for k, v in found.iou.items()}}
    return {
        "iou": values,
        "iou_95": {
            "mean": [_short(mean.low), _short(mean.high)],
            **dict(zip(found.names, each, strict=True)),
        },
        "intervals_over": found.unit.words,
        "scenes": len(found.scenes),
        "pixels": found.pixels.labelled,
    }


def _short(value: Any) -> float | None:
    plain = None if value is None else number(float(value))
    return None if plain is None else round(plain, 4)


def save_scores(model: str | Path, found: Evaluation, name: str) -> Path:
    """Keep the scores of an evaluation in the card of its model file.

    Args:
        model: The model file that was evaluated.
        found: Its evaluation. Scores at other pixel sizes are kept too, as `NAME at 0.004 m`.
        name: Of the data, which the card tells the scores by; what stood there is replaced.

    Raises:
        OptionError: The name is empty, or that of the scores of training.
        ModelError: The file is no model file, or not the one that was evaluated.
    """
    if name.strip() in ("", _OF_TRAINING):
        raise OptionError(
            f"scores cannot be kept as {name!r}: give the name of their data; {_OF_TRAINING!r} is "
            "what training writes"
        )
    card = _card_of(model, found)
    added = {name: card_scores(found)}
    added |= {f"{name} at {one.gsd_m:g} m": card_scores(one) for one in found.series}
    card = replace(card, scores={**card.scores, **added})
    return save_model(model, card, read_weights(model, card))


def save_calibrated(model: str | Path, found: Evaluation, out: str | Path) -> Path:
    """Write a model file again, with the temperature that was fitted.

    Args:
        model: The model file that was evaluated, on data set apart for validation.
        found: Its evaluation.
        out: The new file; it may be the same one.

    Raises:
        OptionError: No temperature could be fitted.
        ModelError: The file is no model file, or not the one that was evaluated.
    """
    temperature = found.calibration.temperature
    if temperature is None:
        raise OptionError(
            "no temperature was fitted: the labels, or the model, do not tell how sure it may be"
        )
    card = replace(_card_of(model, found), temperature=temperature)
    return save_model(out, card, read_weights(model, card))


def _card_of(model: str | Path, found: Evaluation) -> ModelCard:
    """The card of the file that was evaluated."""
    card = read_card(model)
    if card.architecture.count(":"):
        raise ModelError(
            f"{model} names Python code as its architecture; change its card with save_model"
        )
    if card.name != found.model:
        raise ModelError(f"{model} holds {card.name!r}, and {found.model!r} was evaluated")
    return card
