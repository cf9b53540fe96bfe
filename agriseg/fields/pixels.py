"""In which pixels of a field an index is looked at."""

from __future__ import annotations

from typing import Literal

from agriseg.errors import OptionError
from agriseg.geobox import GeoBox

__all__ = ["PIXELS", "PixelChoice", "choose_pixels"]

PixelChoice = Literal["crop", "plants", "all"]
PIXELS: tuple[PixelChoice, ...] = ("crop", "plants", "all")
"""Those of crops, of crops and weeds, or all."""

# Larger pixels hold plants and soil alike: those called crop are the greenest ones, and a field
# with a hundredth of them would pass for as green as a full one.
_MIXED_M = 1.0


def choose_pixels(asked: str | None, box: GeoBox) -> PixelChoice:
    """The pixels that are asked for; by default those of crop, or all where pixels mix.

    Args:
        asked: One of `PIXELS`, or None.
        box: The grid of the classes.

    Raises:
        OptionError: `asked` is none of `PIXELS`.
    """
    if asked is None:
        size = box.mean_gsd_m
        return "crop" if size is None or size <= _MIXED_M else "all"
    for known in PIXELS:
        if asked == known:
            return known
    raise OptionError(f"--pixels {asked}: possible are {', '.join(PIXELS)}")
