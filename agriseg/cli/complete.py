"""What a shell proposes when Tab is pressed; where this proposes nothing, it proposes files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath

__all__ = ["Proposals", "among", "band_names", "ending", "index_names", "preset_names", "several"]

Proposals = Callable[[str], list[str]]
"""From what is typed of a word to what it may become."""


def among(*names: str) -> Proposals:
    """One of these."""

    def proposed(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return proposed


def several(names: Callable[[], Iterable[str]]) -> Proposals:
    """Some of these, with commas between."""

    def proposed(incomplete: str) -> list[str]:
        said, comma, last = incomplete.rpartition(",")
        taken = said.split(",")
        return [
            f"{said}{comma}{name}"
            for name in names()
            if name not in taken and name.startswith(last)
        ]

    return proposed


def ending(endings: Sequence[str]) -> Proposals:
    """A file whose name ends in one of these, once its dot is typed."""

    def proposed(incomplete: str) -> list[str]:
        name = PurePath(incomplete).name
        stem, dot, begun = incomplete.rpartition(".")
        if "." not in name.lstrip("."):
            return []
        return [stem + one for one in endings if one.startswith(dot + begun)]

    return proposed


def band_names() -> Iterable[str]:
    """The roles that bands can have."""
    from agriseg.bands import ALPHA, IGNORED, ROLES

    return (*ROLES, ALPHA, IGNORED)


def index_names() -> Iterable[str]:
    """The indices that some scene can have."""
    from agriseg.indices.catalogue import entries

    return sorted(entry.name for entry in entries().values() if not entry.hurdle)


def preset_names(incomplete: str) -> list[str]:
    """Published weights that agriseg knows."""
    from agriseg.models.presets import PRESETS

    return among(*PRESETS)(incomplete)
