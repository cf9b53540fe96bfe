"""The workers of a scheduler, which know best how they compute a model."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Unpack

from agriseg.errors import AgrisegError
from agriseg.models import BASELINE, LoadOptions, Predictor, agreed, load_model, read_card
from agriseg.models.reference import name_of
from agriseg.pipeline.cluster import DaskPool, connected
from agriseg.pipeline.tasks import tell_of_model

__all__ = ["Scheduler"]


class Scheduler:
    """A scheduler, connected to when its workers are first needed.

    Args:
        address: Such as `tcp://10.0.0.5:8786`, or a scheduler file.
        stack: Closes the connection.
    """

    def __init__(self, address: str, stack: ExitStack) -> None:
        self._address, self._stack = address, stack

    @cached_property
    def pool(self) -> DaskPool:
        """Its workers.

        Raises:
            WorkerError: It cannot be reached, or no worker comes.
        """
        return self._stack.enter_context(connected(self._address))

    def load(self, name: str | Path, /, **options: Unpack[LoadOptions]) -> Predictor:
        """What workers say of a model, which they load; nothing of it is computed here.

        Raises:
            ModelError, OptionError: As `load_model`; or workers do not agree.
        """
        if str(name) == BASELINE:
            return load_model(name, **options)  # it is made for each scene, in numpy, and sent
        read_card(name)  # before anything is asked over a network
        try:
            return agreed(self.pool.ask(tell_of_model, name_of(name), options))
        except AgrisegError as error:
            raise type(error)(f"on a worker: {error}") from error
