"""Keeping the fitted temperature in a model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agriseg.errors import ModelError, OptionError
from agriseg.evaluation.result import Evaluation
from agriseg.models import read_card, read_weights, save_model

__all__ = ["save_calibrated"]


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
    card = read_card(model)
    if card.architecture.count(":"):
        raise ModelError(
            f"{model} names Python code as its architecture; set temperature: {temperature:.4g} in "
            "its card with save_model"
        )
    if card.name != found.model:
        raise ModelError(f"{model} holds {card.name!r}, and {found.model!r} was evaluated")
    return save_model(out, replace(card, temperature=temperature), read_weights(model, card))
