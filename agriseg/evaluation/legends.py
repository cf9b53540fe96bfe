"""Two legends that meet: the classes of a model, those of the data, and those that are scored."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import LabelError
from agriseg.labels import Codes
from agriseg.legend import NODATA, ClassLabel, Legend

__all__ = ["Matched", "match_legends"]


@dataclass(frozen=True)
class Matched:
    """How the classes of model and data become the classes that are scored.

    Args:
        scored: The classes that are scored, in the order of the data's.
        model: The model's classes.
        codes: The data's classes, and sets of them.
        of_model: (model classes,) scored class of each.
        of_data: (data classes,) scored class of each.
        renamed: What the user said: class of either side to scored class.
    """

    scored: Legend
    model: Legend
    codes: Codes
    of_model: tuple[int, ...]
    of_data: tuple[int, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def known_codes(self) -> int:
        """Codes of classes and sets of classes; they are 0, 1, ... below this number."""
        return len(self.codes.legend) + len(self.codes.sets)

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """(known codes, scored classes) True where a pixel with this code may be of this class."""
        table = np.zeros((self.known_codes, len(self.scored)), bool)
        of_codes = self.codes.allowed[: self.known_codes]
        for value, scored in enumerate(self.of_data):
            table[:, scored] |= of_codes[:, value]
        return table

    @cached_property
    def decided(self) -> NDArray[np.int64]:
        """(known codes,) the scored class that a code stands for; -1 where it is one of several."""
        one = self.allowed.sum(axis=1) == 1
        return np.where(one, self.allowed.argmax(axis=1), -1)

    @cached_property
    def is_single(self) -> bool:
        """Whether each class of the model is a class of its own in the scores."""
        return len(set(self.of_model)) == len(self.of_model)

    @cached_property
    def model_table(self) -> NDArray[np.uint8]:
        """(256,) scored class of each of the model's values; 255 stays 255."""
        table = np.full(256, NODATA, np.uint8)
        table[: len(self.of_model)] = self.of_model
        return table

    def code_name(self, code: int) -> str:
        """A code in words of the data's legend."""
        return self.codes.name(code)

    @property
    def unpredicted(self) -> tuple[str, ...]:
        """Scored classes that the model does not have."""
        return tuple(
            name for k, name in enumerate(self.scored.names) if k not in set(self.of_model)
        )


def match_legends(
    model: Legend,
    codes: Codes,
    renamed: Mapping[str, str] | None = None,
    others: Iterable[str] = (),
) -> Matched:
    """Bring the classes of a model and of data together: by equal names, after renaming.

    Args:
        model: The model's classes.
        codes: The data's.
        renamed: Classes of the model or of the data, by name, to the class that they are scored as;
            several may become one.
        others: Classes that `renamed` may name too, of another model that is scored beside.

    Raises:
        LabelError: A class is not there, or the model has one that the data do not.
    """
    renamed = dict(renamed or {})
    data = codes.legend
    both = [*model.names, *(name for name in data.names if name not in model.names)]
    for name in renamed:
        if name not in (*both, *others):
            raise LabelError(
                f"--map {name}={renamed[name]}: {name!r} is a class of neither the model "
                f"({', '.join(model.names)}) nor the data ({', '.join(data.names)})"
                f"{_near(name, both)}"
            )
    data_names = [renamed.get(name, name) for name in data.names]
    scored_names = list(dict.fromkeys(data_names))
    model_names = [renamed.get(name, name) for name in model.names]
    strange = [
        (name, target)
        for name, target in zip(model.names, model_names, strict=True)
        if target not in scored_names
    ]
    if strange:
        name, target = strange[0]
        here = ", ".join(scored_names)
        said = f" (as {target!r})" if target != name else ""
        raise LabelError(
            f"the model's class {name!r}{said} is not among the data's classes ({here}); say which "
            f"of them it is, such as --map {name}={scored_names[-1]}"
        )
    if len(scored_names) < 2:
        raise LabelError(
            f"all classes are mapped to {scored_names[0]!r}, so there is nothing to tell apart; "
            "leave at least two"
        )
    return Matched(
        _legend(scored_names, data, data_names, model),
        model,
        codes,
        tuple(scored_names.index(name) for name in model_names),
        tuple(scored_names.index(name) for name in data_names),
        renamed,
    )


def _legend(names: list[str], data: Legend, data_names: list[str], model: Legend) -> Legend:
    """The scored classes in colours of the data's, or the model's where one is called the same."""
    colors = {label.name: label.color for label in (*model, *data)}
    first = {name: label.color for name, label in zip(data_names[::-1], [*data][::-1], strict=True)}
    return Legend(
        tuple(ClassLabel(k, name, colors.get(name, first[name])) for k, name in enumerate(names))
    )


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
