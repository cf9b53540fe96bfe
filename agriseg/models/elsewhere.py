"""A model that only workers compute, known here by what they say of it.

The machine on which a command is typed may have no GPU, another processor, or other libraries than
those that do the work; so how a model is computed is theirs to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import ModelError
from agriseg.models.card import ModelCard
from agriseg.models.file import LoadOptions, load_model
from agriseg.models.predictor import about, batch_of, fingerprint_of, numerics_of, streams_of
from agriseg.models.reference import ModelReference

__all__ = ["ModelElsewhere", "agreed", "tell_of"]


@dataclass(frozen=True)
class ModelElsewhere:
    """Stands for a predictor where none is called.

    Args:
        card: Its card.
        fingerprint: Of its card and weights.
        numerics: The numerics key under which it predicts.
        batch: Chips in a batch.
        streams: Calls that go on at once in one worker.
        told: Facts for run.json.
    """

    card: ModelCard
    fingerprint: str
    numerics: str
    batch: int
    streams: int
    told: Mapping[str, Any] = field(repr=False)

    def about(self) -> dict[str, Any]:
        """Facts for run.json."""
        return dict(self.told)

    def __call__(self, batch: NDArray[np.float32], /) -> NoReturn:
        raise ModelError(
            f"model {self.card.name!r} is computed by workers only; load it with load_model to "
            "predict here"
        )


def tell_of(model: str, options: LoadOptions) -> ModelElsewhere:
    """What there is to say of a model on this machine, which keeps it for the tasks to come.

    Args:
        model: A file, or the name of a shipped model, as `name_of` gives it.
        options: Of `load_model`.

    Raises:
        ModelError, OptionError: As `load_model`.
    """
    predictor = load_model(model, **options)
    asked = {"threads": options.get("threads"), "trust": options.get("trust", False)}
    ModelReference.to(model, predictor, **asked).keep(predictor)  # type: ignore[arg-type]
    return ModelElsewhere(
        card=predictor.card,
        fingerprint=fingerprint_of(predictor),
        numerics=numerics_of(predictor),
        batch=batch_of(predictor),
        streams=streams_of(predictor),
        told=about(predictor),
    )


def agreed(answers: Sequence[ModelElsewhere]) -> ModelElsewhere:
    """What all workers say; of calls that go on at once the least.

    Raises:
        ModelError: They would not come to the same bytes.
    """
    first = answers[0]
    for other in answers:
        if other.fingerprint != first.fingerprint:
            raise ModelError(
                f"workers have two models {first.card.name!r} that differ under the same path; put "
                "the same file there on all of them, or into a folder that all of them share"
            )
        if other.numerics != first.numerics:
            raise ModelError(
                f"workers compute {first.card.name!r} in two ways, {first.numerics} and "
                f"{other.numerics}: their rows would differ; use workers of one kind, or name what "
                "all of them have with --engine, --device and --precision"
            )
    return replace(first, streams=min(one.streams for one in answers))
