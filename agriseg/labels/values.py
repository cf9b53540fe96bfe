"""What the values, colours or names in a label file mean: a table from them to codes.

values: {0: soil, 1: crop, 128-255: weed or soil, "#ff0000": weed, other: ignore}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import LabelError, nearest, shown
from agriseg.labels.codes import IGNORE, Codes

__all__ = ["OTHER", "Colors", "Ranges", "ValueTable", "color_of", "range_of", "value_table"]

OTHER = "other"
"""The key for all that is not listed."""

_COLOR = re.compile(r"#[0-9a-fA-F]{6}\Z")
_RANGE = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(?:-|\.\.|to)\s*(-?\d+(?:\.\d+)?)\s*\Z")
_NUMBER = re.compile(r"\s*-?\d+(?:\.0*)?\s*\Z")

# Compression changes values of 8 bits by so much at most, where they are not blurred.
_NEAR = 24

Table = Mapping[Any, str]


def color_of(key: object) -> int | None:
    """A key such as "#ff0000" as the number 0xff0000; None where it is no colour."""
    return int(key[1:], 16) if isinstance(key, str) and _COLOR.match(key) else None


def range_of(key: object) -> tuple[float, float] | None:
    """A key such as 3 or "128-255" as the first and last value; None where it is neither.

    Raises:
        LabelError: Its ends are the wrong way round.
    """
    if isinstance(key, bool):
        return None
    if isinstance(key, int | float):
        return float(key), float(key)
    if not isinstance(key, str):
        return None
    if _NUMBER.match(key):
        return float(key), float(key)
    ends = _RANGE.match(key)
    if not ends:
        return None
    low, high = float(ends[1]), float(ends[2])
    if low > high:
        raise LabelError(f"values: {key!r} runs backward; the lower end comes first")
    return low, high


@dataclass(frozen=True)
class Ranges:
    """Codes by ranges of numbers, ascending, none over another.

    Args:
        parts: (first, last, code) each, both ends included.
        other: The code of all other numbers; None: there may be none.
    """

    parts: tuple[tuple[float, float, int], ...]
    other: int | None = None

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.parts))
        object.__setattr__(self, "parts", ordered)
        for (_, end, _), (start, stop, _) in pairwise(ordered):
            if start <= end:
                raise LabelError(
                    f"values: {_words(start, stop)} is listed twice; give each value once"
                )

    def lookup(self, raw: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Codes, and where a number has none."""
        if raw.dtype == np.uint8:
            codes, missing = self._small
            return codes[raw], missing[raw]
        return self._find(raw)

    def _find(self, raw: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        if not self.parts:
            rest = IGNORE if self.other is None else self.other
            return np.full(raw.shape, rest, np.uint8), np.full(raw.shape, self.other is None)
        first, last, code = (np.array(column) for column in zip(*self.parts, strict=True))
        at = np.searchsorted(first, raw, side="right") - 1
        # NaN compares as False.
        listed = (at >= 0) & (raw <= last[at])
        codes = np.where(listed, code[at], IGNORE if self.other is None else self.other)
        return codes.astype(np.uint8), ~listed & (self.other is None)

    @cached_property
    def _small(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        return self._find(np.arange(256, dtype=np.int64))

    def nearest_lookup(self, raw: NDArray[Any]) -> NDArray[np.uint8]:
        """Codes of the nearest listed range, for files whose compression changes values."""
        first = np.array([low for low, _, _ in self.parts])
        last = np.array([high for _, high, _ in self.parts])
        code = np.array([code for _, _, code in self.parts], np.uint8)
        flat = raw.astype(np.float64)[..., None]
        away = np.maximum(np.maximum(first - flat, flat - last), 0)
        if self.other is not None:
            # A range has its ends from the user; a single value stands for those around it.
            away[..., first < last] = np.where(away[..., first < last] > 0, np.inf, 0)
        found: NDArray[np.uint8] = code[away.argmin(axis=-1)]
        if self.other is not None:
            found[away.min(axis=-1) > _NEAR] = self.other
        return found


@dataclass(frozen=True)
class Colors:
    """Codes by colours.

    Args:
        parts: (colour as 0xrrggbb, code) each.
        other: The code of all other colours; None: there may be none.
    """

    parts: tuple[tuple[int, int], ...]
    other: int | None = None

    def lookup(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Codes of (3, h, w), and where a colour has none."""
        packed = pack(rgb)
        codes = np.full(packed.shape, IGNORE if self.other is None else self.other, np.uint8)
        listed = np.zeros(packed.shape, bool)
        for color, code in self.parts:
            here = packed == color
            codes[here] = code
            listed |= here
        return codes, ~listed & (self.other is None)

    def nearest_lookup(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes of the nearest listed colour, for files whose compression changes colours."""
        best = np.full(rgb.shape[1:], np.iinfo(np.int32).max, np.int32)
        codes = np.full(rgb.shape[1:], IGNORE, np.uint8)
        values = rgb.astype(np.int32)
        for color, code in self.parts:
            parts = np.array([color >> 16, color >> 8 & 255, color & 255], np.int32)
            away = ((values - parts[:, None, None]) ** 2).sum(axis=0, dtype=np.int32)
            near = away < best
            best[near], codes[near] = away[near], code
        if self.other is not None:
            codes[best > 3 * _NEAR**2] = self.other
        return codes


def pack(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(3, ...) bytes as 0xrrggbb."""
    red, green, blue = rgb.astype(np.int32)
    packed: NDArray[np.int32] = red << 16 | green << 8 | blue
    return packed


@dataclass(frozen=True)
class ValueTable:
    """What a user's `values` say, in codes.

    Args:
        numbers: By number.
        colors: By colour.
        names: By the file's own names of its classes.
        other: The code of what is not listed; None: there may be none.
    """

    numbers: tuple[tuple[float, float, int], ...] = ()
    colors: tuple[tuple[int, int], ...] = ()
    names: tuple[tuple[str, int], ...] = ()
    other: int | None = None

    @property
    def only_other(self) -> bool:
        """Whether it says one class for all."""
        return self.other is not None and not (self.numbers or self.colors or self.names)

    def ranges(self, names: Mapping[int, str], where: str) -> Ranges:
        """The table for a raster of numbers that has these names of classes.

        Raises:
            LabelError: A name is not in the file, or a number is listed twice.
        """
        by_name = {name: value for value, name in names.items()}
        parts = list(self.numbers)
        for name, code in self.names:
            if name not in by_name:
                has = "names no classes" if not names else nearest(name, by_name)
                raise LabelError(f"values: {name!r} is no class of {where}, which {has}")
            parts.append((float(by_name[name]), float(by_name[name]), code))
        return Ranges(tuple(parts), self.other)

    def by_color(self) -> Colors:
        return Colors(self.colors, self.other)


def value_table(values: Table | None, codes: Codes) -> ValueTable | None:
    """A user's `values` in codes; None where there are none.

    Raises:
        LabelError: A class is not in the legend, or a key is listed twice.
    """
    if values is None:
        return None
    numbers, colors, names = [], [], []
    other = None
    for key, text in values.items():
        code = _code(codes, key, text)
        color, ends = color_of(key), range_of(key)
        if key == OTHER:
            other = code
        elif color is not None:
            colors.append((color, code))
        elif ends is not None:
            numbers.append((*ends, code))
        else:
            names.append((str(key), code))
    Ranges(tuple(numbers))  # none over another
    if len({color for color, _ in colors}) < len(colors):
        raise LabelError("values: a colour is listed twice; give each once")
    return ValueTable(tuple(numbers), tuple(colors), tuple(names), other)


def _code(codes: Codes, key: object, text: str) -> int:
    try:
        return codes.code(text)
    except LabelError as error:
        raise LabelError(f"values: {shown(key)} is {shown(text)}, but {error}") from error


def texts_of(values: Table | None) -> Iterator[str]:
    """The classes that `values` speak of."""
    if values is not None:
        yield from values.values()


def from_names(names: Mapping[int, str], codes: Codes, where: str) -> ValueTable:
    """The table of a raster whose own names of classes are those of the legend.

    Raises:
        LabelError: One of them is not.
    """
    parts = []
    for value, name in names.items():
        if name not in codes.legend.names:
            raise LabelError(
                f"{where} calls its value {value} {name!r}, which is not in the legend; "
                f"{nearest(name, codes.legend.names)} Say what its classes are: "
                f"values: {{{name}: {codes.legend.names[0]}, ...}}"
            )
        parts.append((float(value), float(value), codes.legend.names.index(name)))
    return ValueTable(tuple(parts), other=None)


def from_legend(codes: Codes) -> ValueTable:
    """The table of a raster whose values are those of the legend, and 255 is nothing."""
    parts = [(float(k), float(k), k) for k in range(len(codes.legend))]
    return ValueTable((*parts, (float(IGNORE), float(IGNORE), IGNORE)))


def _words(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"


def unlisted(raw: NDArray[Any], missing: NDArray[np.bool_], keys: Sequence[str]) -> str:
    """What to say of values (h, w), or colours (3, h, w), that are not listed."""
    if raw.ndim == 3:
        found, counts = np.unique(pack(raw)[missing], return_counts=True)
        words = f'"#{int(found[counts.argmax()]):06x}"'
        many = f"{len(found)} colours" if len(found) > 1 else f"the colour {words}"
    else:
        found, counts = np.unique(raw[missing], return_counts=True)
        words = f"{found[counts.argmax()]:g}"
        many = f"{len(found)} values" if len(found) > 1 else f"the value {words}"
    return (
        f"{many} in {int(missing.sum())} pixels that values do not list (they list "
        f"{', '.join(keys) or 'nothing'}); add {words}: and its class, or other: ignore"
    )
