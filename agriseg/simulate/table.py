"""Tables as values: frozen dataclasses whose fields are arrays of one length, a line a thing."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.noise import Ints

__all__ = ["Table"]


class Table:
    """What tables of plants and shapes share; the fields are those of the dataclass."""

    def __len__(self) -> int:
        return len(self._columns()[0])

    def take(self, which: NDArray[np.bool_] | Ints) -> Self:
        """The lines marked in `which`, in the same order; or those numbered, in that order."""
        return type(self)(*(column[which] for column in self._columns()))

    def __add__(self, other: Self) -> Self:
        pairs = zip(self._columns(), other._columns(), strict=True)
        return type(self)(*(np.concatenate(pair) for pair in pairs))

    def _columns(self) -> list[NDArray[Any]]:
        return [getattr(self, field.name) for field in fields(self)]  # type: ignore[arg-type]
