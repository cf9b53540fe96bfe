"""A model as the tasks of `agriseg.predict` carry it, loaded once in each process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from agriseg.errors import ModelError
from agriseg.models import (
    Numerics,
    Predictor,
    adapt,
    fingerprint_of,
    load_model,
    make_ready,
    numerics_of,
)
from agriseg.raster import Scene

__all__ = ["PREDICTING", "HeldModel", "Model", "ModelFile", "ready", "remember"]

PREDICTING = threading.RLock()
"""Held while a chip row is predicted: a predictor takes as many calls at once as its streams, which
keep all cores busy, so tasks in other threads wait."""

_MOST_MODELS = 2


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model as tasks carry it: where it is, and how to see that it is the one.

    Args:
        path: A file, or the name of a model that comes with agriseg.
        numerics: The numerics key that it must have.
        fingerprint: Of card and weights.
        threads: CPU threads, or None.
        trust: Whether its architecture may be code outside agriseg.
        scene: What it adapts to, if it does.
    """

    path: str
    numerics: str
    fingerprint: str
    threads: int | None = None
    trust: bool = False
    scene: Scene | None = None

    @property
    def key(self) -> str:
        return repr(self)

    def load(self) -> Predictor:
        """The model, as it was where the array was made.

        Raises:
            ModelError: It is another one here, or this machine computes in another way.
        """
        how = Numerics.options(self.numerics)
        predictor = load_model(self.path, **how, threads=self.threads, trust=self.trust)
        if self.scene is not None:
            predictor = adapt(predictor, self.scene)
        if fingerprint_of(predictor) != self.fingerprint:
            raise ModelError(
                f"{self.path} is not the model that agriseg.predict was given: the file was "
                "changed, or this worker has another one there; call agriseg.predict again"
            )
        if numerics_of(predictor) != self.numerics:
            raise ModelError(
                f"this worker cannot compute {self.path} as agriseg.predict was to: expected is "
                f"{self.numerics}, possible {numerics_of(predictor)}; use equal machines and "
                "libraries, or give engine, device and precision that all of them have"
            )
        return predictor


@dataclass(frozen=True, eq=False)
class HeldModel:
    """A model as an object; where it goes to another process, it is pickled."""

    predictor: Predictor

    @property
    def key(self) -> int:
        return id(self.predictor)

    def load(self) -> Predictor:
        return self.predictor


Model = ModelFile | HeldModel


@dataclass
class _Kept:
    """Kept with the predictor, whose id is the key of one that was held."""

    predictor: Predictor
    is_ready: bool = False


_loaded: OrderedDict[object, _Kept] = OrderedDict()


def remember(model: Model, predictor: Predictor) -> None:
    """Keep what was loaded already for the tasks of this process."""
    with PREDICTING:
        _loaded.setdefault(model.key, _Kept(predictor))
        _loaded.move_to_end(model.key)
        while len(_loaded) > _MOST_MODELS:
            _loaded.popitem(last=False)


def ready(model: Model) -> Predictor:
    """The model, loaded and made ready once in each process; call it under `PREDICTING`."""
    if model.key not in _loaded:
        remember(model, model.load())
    found = _loaded[model.key]
    _loaded.move_to_end(model.key)
    if not found.is_ready:
        make_ready(found.predictor)
        found.is_ready = True
    return found.predictor
