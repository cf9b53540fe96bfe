"""Which classes of a legend are crop, weed and bare ground."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agriseg.errors import OptionError

__all__ = ["Kinds", "kinds_of"]

_GROUND = frozenset(
    {"soil", "ground", "background", "bare", "residue", "stubble", "rock", "road", "track", "path"}
    | {"water", "shadow", "building", "boundary", "field boundary"}
)
_WEEDS = frozenset({"weed", "weeds"})


@dataclass(frozen=True)
class Kinds:
    """Class values of a map by what they are for a farm; each stands in one set at most.

    Args:
        crop: The crops; vegetation of a map that does not tell crop from weed counts as crop.
        weed: The weeds.
        ground: What does not grow: soil, residue, tracks.
    """

    crop: frozenset[int]
    weed: frozenset[int]
    ground: frozenset[int]

    @property
    def plants(self) -> frozenset[int]:
        """Everything that grows."""
        return self.crop | self.weed


def kinds_of(
    names: Mapping[int, str],
    *,
    crop: Iterable[str] = (),
    weed: Iterable[str] = (),
    ground: Iterable[str] = (),
) -> Kinds:
    """Sort the classes of a map, by what the user says and else by their names.

    Soil, background, residue, tracks and the like are ground, weed is weed, all others are crop.

    Args:
        names: Name of each class by its value.
        crop: Names of classes that are crops.
        weed: Names of classes that are weeds.
        ground: Names of classes that are bare.

    Raises:
        OptionError: A name is no class of the map, or stands in two lists.
    """
    said: dict[str, str] = {}
    for kind, some in (("crop", crop), ("weed", weed), ("ground", ground)):
        for name in some:
            if name not in names.values():
                raise OptionError(
                    f"--{kind} {name}: the map has no such class; it has "
                    f"{', '.join(names[value] for value in sorted(names))}"
                )
            if said.setdefault(name, kind) != kind:
                raise OptionError(f"{name} is given as {said[name]} and as {kind}; give it once")
    sorted_: dict[str, set[int]] = {"crop": set(), "weed": set(), "ground": set()}
    for value, name in names.items():
        sorted_[said.get(name) or _kind(name)].add(value)
    return Kinds(*(frozenset(sorted_[kind]) for kind in ("crop", "weed", "ground")))


def _kind(name: str) -> str:
    word = name.strip().lower()
    if word in _WEEDS:
        return "weed"
    return "ground" if word in _GROUND else "crop"
