"""What every recipe says: the seed, and the grid of the raster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from agriseg.errors import OptionError, shown
from agriseg.geobox import GeoBox

__all__ = ["GRID_LIMITS", "GridRecipe", "Limits"]

_CRS_BEGINS = ("EPSG:", "ESRI:", "IAU", "OGC:", "URN:", "+PROJ", "+INIT", "PROJ", "BOUND", "{")

Limits = Mapping[str, tuple[float, float, str]]
"""Least and greatest value of each number, and what to give instead of one outside."""

GRID_LIMITS: Limits = {
    "seed": (0, 2**63 - 1, "take any whole number from 0"),
    "width": (16, 200_000, "give the raster's columns in pixels"),
    "height": (16, 200_000, "give the raster's rows in pixels"),
    "left_m": (-1e8, 1e8, "give metres of the CRS"),
    "top_m": (-1e8, 1e8, "give metres of the CRS"),
}


@dataclass(frozen=True)
class GridRecipe:
    """The part that all recipes share; a kind of scene adds its own fields.

    The grid is north-up. Everything random is a function of `seed` and of coordinates in metres
    east and south of the upper left corner, so that any window can be drawn by itself.

    Args:
        seed: Whole number from which all that is random follows.
        width: Columns of the raster.
        height: Rows of the raster.
        gsd_m: Side of a pixel in metres.
        crs: Coordinate system in metres, as "EPSG:32633".
        left_m: Easting of the upper left corner, in metres of the CRS.
        top_m: Northing of the upper left corner, in metres of the CRS.

    Raises:
        OptionError: A value makes no scene; the message says which, and what to give.
    """

    kind: ClassVar[str]
    """What recipe files call this kind of scene."""
    limits: ClassVar[Limits] = GRID_LIMITS
    words: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The possible words of each field that is one, but for the CRS."""

    seed: int = 2024
    width: int = 1000
    height: int = 1000
    gsd_m: float = 1.0
    crs: str = "EPSG:32633"
    # The Marchfeld east of Vienna: level, farmed, zone 33 of UTM.
    left_m: float = 629840.0
    top_m: float = 5345220.0

    @classmethod
    def filled(cls, **options: Any) -> Self:
        """A recipe in which what is not given is what usually goes with the rest.

        Args:
            options: Fields of the recipe.

        Raises:
            OptionError: A value makes no scene.
        """
        return cls(**options)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic):
                # Numbers of numpy become those of Python, which YAML knows.
                value = value.item()
                object.__setattr__(self, field.name, value)
            self.check(field.name, value)
        crs = _crs(self.crs)
        if not crs.is_projected or crs.linear_units_factor[1] != 1.0:
            raise OptionError(
                f"recipe: crs {self.crs!r} does not count in metres; "
                "a projected system is needed, as the UTM zone 'EPSG:32633'"
            )
        if not self.geobox.is_true_to_scale:
            raise OptionError(
                f"recipe: crs {self.crs!r} stretches what lies at {self.left_m:g}, {self.top_m:g}, "
                "so its metres are none on the ground; give a system for that place, as a UTM "
                "zone, or another left_m and top_m"
            )

    @classmethod
    def check(cls, name: str, value: object) -> None:
        """Refuse what the field `name` can be in no recipe.

        Raises:
            OptionError: The value is of another kind, unknown, or outside the limits.
        """
        if name in cls.words:
            possible = cls.words[name]
            if not isinstance(value, str) or value not in possible:
                raise OptionError(
                    f"recipe: {name} {value!r} is unknown; possible are {', '.join(possible)}"
                )
        elif name == "crs":
            if not isinstance(value, str):
                raise OptionError(
                    f"recipe: crs is {value!r}; a text is needed, as 'EPSG:{value}'"
                    if isinstance(value, int)
                    else f"recipe: crs is {value!r}; a text such as 'EPSG:32633' is needed"
                )
            _crs(value)
        else:
            _check_number(name, value, cls.__dataclass_fields__[name].type == "int", cls.limits)

    @cached_property
    def geobox(self) -> GeoBox:
        """The grid of the raster."""
        transform = Affine(self.gsd_m, 0.0, self.left_m, 0.0, -self.gsd_m, self.top_m)
        return GeoBox(_crs(self.crs), transform, self.width, self.height)

    @property
    def size_m(self) -> tuple[float, float]:
        """(width, height) of the raster in metres."""
        return self.width * self.gsd_m, self.height * self.gsd_m


@lru_cache(maxsize=64)
def _crs(text: str) -> CRS:
    """A coordinate system by name, WKT or PROJ string; never by address, which GDAL would fetch."""
    named = text.strip().upper()
    try:
        if not named.startswith(_CRS_BEGINS):
            raise CRSError("neither a name nor a definition")
        return CRS.from_user_input(text)
    except (CRSError, ValueError) as error:
        raise OptionError(
            f"recipe: crs {shown(text)} is not a coordinate system; "
            "a name such as 'EPSG:32633' is needed"
        ) from error


def _check_number(name: str, value: object, whole: bool, limits: Limits) -> None:
    kind = "a whole number" if whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise OptionError(f"recipe: {name} is {value!r}; {kind} is needed")
    if isinstance(value, float) and not math.isfinite(value):
        raise OptionError(f"recipe: {name} is {value}; a finite number is needed")
    low, high, advice = limits[name]
    if not low <= value <= high:
        raise OptionError(
            f"recipe: {name} is {shown(value)}; {low:g} to {high:g} is possible: {advice}"
        )
