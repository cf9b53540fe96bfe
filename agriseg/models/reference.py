"""A model that a worker loads by itself: its name, and what it must come to."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from agriseg.errors import ModelError
from agriseg.models.card import ModelCard
from agriseg.models.engines import Numerics
from agriseg.models.file import load_model
from agriseg.models.predictor import Predictor, fingerprint_of

__all__ = ["ModelReference"]


@dataclass(frozen=True)
class ModelReference:
    """What is sent to a worker in place of a predictor.

    Args:
        model: A file, seen from every worker under this path, or the name of a shipped model.
        card: Its card.
        fingerprint: Of its card and weights.
        numerics: The numerics key under which it is to predict.
        threads: Of the worker's processor; None: all of them.
        trust: See `load_model`.
    """

    model: str
    card: ModelCard
    fingerprint: str
    numerics: str
    threads: int | None = None
    trust: bool = False

    @classmethod
    def to(
        cls,
        model: str | Path,
        predictor: Predictor,
        numerics: str,
        *,
        threads: int | None = None,
        trust: bool = False,
    ) -> ModelReference:
        """To a model that was loaded here, so that others load it to the same end."""
        path = Path(model)
        name = str(path.absolute()) if path.exists() else str(model)
        return cls(name, predictor.card, fingerprint_of(predictor), numerics, threads, trust)

    def load(self) -> Predictor:
        """The predictor; loaded once in a process, which keeps one model at a time.

        Raises:
            ModelError: It cannot be loaded, is another one, or this machine computes otherwise.
        """
        with _LOADING:
            if self not in _LOADED:
                _LOADED.clear()
                _LOADED[self] = self._load()
            return _LOADED[self]

    def _load(self) -> Predictor:
        options = Numerics.options(self.numerics)
        predictor = load_model(self.model, **options, threads=self.threads, trust=self.trust)
        if fingerprint_of(predictor) != self.fingerprint:
            raise ModelError(
                f"{self.model} is another model here than where the run was started; put the same "
                "file under this path on every worker, or into a folder that all of them share"
            )
        return predictor


_LOADING = threading.Lock()
_LOADED: dict[ModelReference, Predictor] = {}
