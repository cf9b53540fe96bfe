"""The classes of a map: value, name, colour."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["NODATA", "ClassLabel", "Legend"]

NODATA = 255
"""The value of a pixel without a class, in every class and confidence raster, and nothing else."""

_HEX = re.compile(r"#[0-9a-fA-F]{6}\Z")


@dataclass(frozen=True)
class ClassLabel:
    """One class: its value in the raster, its name, and its colour as `#rrggbb`."""

    value: int
    name: str
    color: str

    def __post_init__(self) -> None:
        if not 0 <= self.value < NODATA:
            raise ValueError(f"class value {self.value} is outside 0..{NODATA - 1}")
        if not self.name.strip():
            raise ValueError(f"class {self.value} has no name")
        if not _HEX.match(self.color):
            raise ValueError(f"colour {self.color!r} of class {self.name!r} is not #rrggbb")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue as 0..255."""
        r, g, b = bytes.fromhex(self.color[1:])
        return r, g, b


@dataclass(frozen=True)
class Legend:
    """The classes of a map, values 0, 1, 2, ... without a gap.

    A network's output channel k is the class of value k.
    """

    classes: tuple[ClassLabel, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        values = [label.value for label in self.classes]
        if not values or values != list(range(len(values))):
            raise ValueError(f"class values must be 0, 1, 2, ... without a gap, not {values}")
        names = [label.name for label in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"two classes have the same name: {', '.join(names)}")

    @classmethod
    def of(cls, *named: tuple[str, str]) -> Legend:
        """A legend from (name, colour) pairs, numbered from 0."""
        return cls(tuple(ClassLabel(k, name, color) for k, (name, color) in enumerate(named)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassLabel]:
        return iter(self.classes)
