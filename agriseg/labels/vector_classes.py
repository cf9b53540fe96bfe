"""What the entries of a class column mean: numbers and words of all kinds, as codes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import LabelError, shown
from agriseg.labels.codes import IGNORE, Codes
from agriseg.labels.values import Ranges, ValueTable

__all__ = ["class_codes", "plain"]


def plain(value: object) -> str | float | None:
    """An entry of a column as a word or a number; None where there is nothing in it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return None if math.isnan(value) else float(value)
    if isinstance(value, str):
        word = value.strip()
        # Drivers without truth values, or without empty ones, write them as words.
        return word.lower() if word in ("True", "False") else word or None
    # pandas has several kinds of nothing.
    return None if value is None or str(value) in ("<NA>", "NaT", "nan") else str(value)


def class_codes(
    entries: NDArray[Any] | None,
    count: int,
    table: ValueTable | None,
    codes: Codes,
    where: str,
) -> tuple[NDArray[np.uint8], int]:
    """The code of each polygon, and how many of them have no class.

    Args:
        entries: (count,) of the class column; None where one class stands for all.
        count: Polygons.
        table: What the entries mean; None: they are names of the legend.
        codes: The classes.
        where: The file, for messages.

    Raises:
        LabelError: An entry is not listed, or no class of the legend.
    """
    if entries is None:
        assert table is not None
        assert table.other is not None
        return np.full(count, table.other, np.uint8), 0
    if table is not None and table.colors:
        raise LabelError(f"values list colours, and {where} has none; list what its column holds")
    known: dict[object, int] = {}
    unnamed = 0
    out = np.empty(count, np.uint8)
    for place, entry in enumerate(entries):
        word = plain(entry)
        if word is None:
            unnamed += 1
            out[place] = IGNORE
            continue
        if word not in known:
            known[word] = _code(word, table, codes, where)
        out[place] = known[word]
    return out, unnamed


def _code(word: str | float, table: ValueTable | None, codes: Codes, where: str) -> int:
    if table is None:
        return _own_code(word, codes, where)
    number = _number(word)
    if number is not None:
        found, missing = Ranges(table.numbers).lookup(np.array([number]))
        if not missing[0]:
            return int(found[0])
    names = dict(table.names)
    if isinstance(word, str) and word in names:
        return names[word]
    if table.other is not None:
        return table.other
    listed = [*(f"{a:g}" if a == b else f"{a:g}-{b:g}" for a, b, _ in table.numbers), *names]
    told = f"{word:g}" if isinstance(word, float) else shown(word)
    raise LabelError(
        f"{where} has the class {told}, which values do not list (they list {', '.join(listed)}); "
        "add it, or other: ignore"
    )


def _own_code(word: str | float, codes: Codes, where: str) -> int:
    if isinstance(word, float):
        first = codes.legend.names[0]
        raise LabelError(
            f"{where} has classes as numbers, such as {word:g}; say what they mean: values: "
            f"{{{word:g}: {first}, ...}}"
        )
    try:
        return codes.code(word)
    except LabelError as error:
        raise LabelError(f"{where}: {error}; or say what it means: values: {{...}}") from error


def _number(word: str | float) -> float | None:
    if isinstance(word, float):
        return word
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
