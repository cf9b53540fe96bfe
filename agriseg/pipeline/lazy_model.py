"""A model as the tasks of `agriseg.predict` carry it, loaded once in each process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from agriseg.models import ModelReference, Predictor, make_ready
from agriseg.raster import Scene

__all__ = ["PREDICTING", "HeldModel", "Model", "ModelFile", "ready", "remember"]

PREDICTING = threading.RLock()
"""Held while a chip row is predicted: a predictor takes as many calls at once as its streams, which
keep all cores busy, so tasks in other threads wait."""

_MOST_MODELS = 2


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model that each process loads by itself.

    Args:
        reference: To the model.
        scene: What it adapts to, if it does.
    """

    reference: ModelReference
    scene: Scene | None = None

    @property
    def key(self) -> str:
        return repr(self)

    def load(self) -> Predictor:
        """The model, as it was where the array was made; see `ModelReference.for_scene`."""
        return self.reference.for_scene(self.scene)


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
