"""What is sent to workers in place of a predictor: a name to load it by, or itself in bytes."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agriseg.errors import ModelError, OptionError, said_by
from agriseg.models.card import ModelCard
from agriseg.models.engines import Numerics
from agriseg.models.file import load_model
from agriseg.models.predictor import Predictor, adapt, fingerprint_of, make_ready, numerics_of
from agriseg.models.shipped import known_models

if TYPE_CHECKING:
    from agriseg.raster import Scene

__all__ = ["ModelReference", "PackedModel", "name_of"]


def name_of(model: str | Path) -> str:
    """The name by which others load a model: that of a shipped one, or an absolute path."""
    return str(model) if str(model) in known_models() else str(Path(model).absolute())


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
        *,
        threads: int | None = None,
        trust: bool = False,
    ) -> ModelReference:
        """To a model that was loaded here, so that others load it to the same end."""
        return cls(
            name_of(model),
            predictor.card,
            fingerprint_of(predictor),
            numerics_of(predictor),
            threads,
            trust,
        )

    def load(self) -> Predictor:
        """The predictor; loaded once in a process, which keeps one model at a time.

        Raises:
            ModelError: It cannot be loaded, is another one, or this machine computes otherwise.
        """
        return _kept(self, self._load)

    def keep(self, predictor: Predictor) -> None:
        """Have `load` give this one, which was loaded to the same end."""
        _kept(self, lambda: predictor)

    def for_scene(self, scene: Scene | None) -> Predictor:
        """The predictor, adapted to a scene, if it does so, and sure to come to the same bytes.

        Raises:
            ModelError: As `load`; or this machine computes otherwise.
        """
        predictor = self.load()
        if scene is not None:
            predictor = adapt(predictor, scene)
        make_ready(predictor)
        found = numerics_of(predictor)
        if found != self.numerics:
            raise ModelError(
                f"a worker computes {self.card.name!r} as {found}, and the run was planned for "
                f"{self.numerics}: its rows would differ; use workers of one kind, or name what "
                "all of them have with --engine, --device and --precision"
            )
        return predictor

    def _load(self) -> Predictor:
        options = Numerics.options(self.numerics)
        predictor = load_model(self.model, **options, threads=self.threads, trust=self.trust)
        if fingerprint_of(predictor) != self.fingerprint:
            raise ModelError(
                f"{self.model} is another model here than where the run was started; put the same "
                "file under this path on every worker, or into a folder that all of them share"
            )
        return predictor


@dataclass(frozen=True)
class PackedModel:
    """An object of anybody's, pickled, which is unpacked once a process.

    Args:
        card: Its card.
        digest: Of its bytes.
        packed: Its bytes.
    """

    card: ModelCard
    digest: str
    packed: bytes = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.packed)

    @classmethod
    def of(cls, predictor: Predictor) -> PackedModel:
        """Pack a predictor.

        Raises:
            OptionError: It cannot be pickled.
        """
        import cloudpickle  # type: ignore[import-untyped]

        try:
            packed = cloudpickle.dumps(predictor)
        except Exception as error:
            kind = type(predictor).__name__
            raise OptionError(
                f"the model, a {kind}, cannot be sent to workers ({said_by(error)}); save it as a "
                "model file with save_model, or run without workers"
            ) from error
        return cls(predictor.card, hashlib.sha256(packed).hexdigest(), packed)

    def load(self) -> Predictor:
        """The predictor, the same one for all tasks of a process.

        What is unpacked comes from the client of this worker, whose code runs here as it is.
        """
        return _kept(self, lambda: pickle.loads(self.packed))


def _kept(key: ModelReference | PackedModel, load: Callable[[], Predictor]) -> Predictor:
    """What was loaded for a key; one of each kind is kept.

    Of each kind, for scenes that a network does not fit come with a small object each.
    """
    with _LOADING:
        held = _LOADED.get(type(key))
        if held is None or held[0] != key:
            _LOADED.pop(type(key), None)  # before another one takes memory too
            held = _LOADED[type(key)] = (key, load())
        return held[1]


_LOADING = threading.Lock()
_LOADED: dict[type, tuple[ModelReference | PackedModel, Predictor]] = {}
