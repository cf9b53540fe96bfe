"""Models that come with agriseg, by name: files beside this module. No torch is loaded."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SHIPPED", "default_model", "known_models", "shipped_models"]

SHIPPED = "crop-weed"
"""What is taken where nobody names a model, once it is there."""

_FOLDER = Path(__file__).parent / "weights"


def shipped_models() -> dict[str, Path]:
    """The file of each model by its name."""
    return {file.stem: file for file in sorted(_FOLDER.glob("*.safetensors"))}


def known_models() -> tuple[str, ...]:
    """The names of all models that need no file of the user's."""
    from agriseg.models.baseline import BASELINE

    return (*shipped_models(), BASELINE)


def default_model() -> str:
    """The model of who names none."""
    names = known_models()
    return SHIPPED if SHIPPED in names else names[-1]
