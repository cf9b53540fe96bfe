"""What the numbers in label arrays mean: one class, one of several, or nothing at all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import LabelError
from agriseg.legend import NODATA, Legend

__all__ = ["IGNORE", "Codes"]

IGNORE = NODATA
"""The code of a pixel that nobody labelled, or that has no data: it says nothing."""

_OR = " or "
_NOTHING = "ignore"


@dataclass(frozen=True)
class Codes:
    """The codes of label arrays: a code below the number of classes is that class alone.

    Codes from there on stand for several classes: a label such as "soil or weed" says only what
    the pixel is not. `IGNORE` says nothing.

    Args:
        legend: The classes.
        sets: The classes, as values, that the codes `len(legend)`, `len(legend)` + 1, ... stand
            for; each two or more and not all, in ascending order.

    Raises:
        ValueError: A set makes no sense.
    """

    legend: Legend
    sets: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sets", tuple(tuple(one) for one in self.sets))
        many = len(self.legend)
        for one in self.sets:
            if list(one) != sorted(set(one)) or not all(0 <= value < many for value in one):
                raise ValueError(f"{one} are not classes in ascending order, 0 to {many - 1}")
            if not 2 <= len(one) < many:
                raise ValueError(f"{one} says as much as one class, or as none at all")
        if len(set(self.sets)) != len(self.sets) or many + len(self.sets) > IGNORE:
            raise ValueError("sets of classes must differ, and be few")

    @classmethod
    def of(cls, legend: Legend, texts: Iterable[str] = ()) -> Codes:
        """Codes that suffice for `texts`, such as "crop", "soil or weed", or "ignore".

        Raises:
            LabelError: A text names no class of the legend.
        """
        found = {cls._values(legend, text) for text in texts}
        return cls(legend, tuple(sorted(one for one in found if 2 <= len(one) < len(legend))))

    def classes(self, text: str) -> tuple[int, ...]:
        """The classes, as values in ascending order, that a text such as "crop or weed" names.

        Raises:
            LabelError: It names none of the legend.
        """
        return self._values(self.legend, text)

    def code(self, text: str) -> int:
        """The code that a text stands for: a class, "soil or weed", or "ignore".

        Raises:
            LabelError: It names no class of the legend.
            KeyError: Its set of classes has no code.
        """
        values = self._values(self.legend, text)
        if len(values) == 1:
            return values[0]
        if len(values) in (0, len(self.legend)):
            return IGNORE
        return len(self.legend) + self._places[values]

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """(256, classes) True where a pixel with this code may be of this class."""
        table = np.ones((256, len(self.legend)), bool)
        table[: len(self.legend)] = np.eye(len(self.legend), dtype=bool)
        for place, values in enumerate(self.sets):
            table[len(self.legend) + place] = False
            table[len(self.legend) + place, list(values)] = True
        return table

    def name(self, code: int) -> str:
        """A code in words."""
        if code < len(self.legend):
            return self.legend.names[code]
        if code < len(self.legend) + len(self.sets):
            return _OR.join(self.legend.names[k] for k in self.sets[code - len(self.legend)])
        return _NOTHING

    @cached_property
    def _places(self) -> dict[tuple[int, ...], int]:
        return {values: place for place, values in enumerate(self.sets)}

    @staticmethod
    def _values(legend: Legend, text: str) -> tuple[int, ...]:
        # A class may be called "ignore", or have " or " in its name.
        if text in legend.names:
            return (legend.names.index(text),)
        if text.strip() == _NOTHING:
            return ()
        words = [word.strip() for word in text.split(_OR)]
        return tuple(sorted({_index(legend.names, word, text) for word in words}))


def _index(names: Sequence[str], word: str, text: str) -> int:
    if word in names:
        return names.index(word)
    folded = {name.casefold(): name for name in [_NOTHING, *names]}
    near = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.5)
    near_words = f"; did you mean {folded[near[0]]!r}?" if near else ""
    within = f" in {text!r}" if word != text else ""
    raise LabelError(
        f"the class {word!r}{within} is not in the legend{near_words}; expected is one of "
        f"{', '.join(names)}, several of them with 'or' between, or {_NOTHING!r}"
    )
