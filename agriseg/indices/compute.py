"""The values of an index on pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import BandError, OptionError
from agriseg.indices.catalogue import entries
from agriseg.indices.choice import Index
from agriseg.indices.formula import Node, bind, degree, evaluate, parse
from agriseg.raster.scene import Pixels, Scene

__all__ = ["Values", "brightness_power", "check_params", "compute", "constants_of", "fits_units"]


@dataclass(frozen=True)
class Values:
    """An index on some pixels.

    Args:
        data: (height, width) float32; NaN where not valid.
        valid: (height, width) bool, True where the index has a value.
    """

    data: NDArray[np.float32]
    valid: NDArray[np.bool_]


def compute(
    index: Index,
    pixels: Pixels,
    keys: Sequence[str],
    params: Mapping[str, float] | None = None,
) -> Values:
    """Compute an index.

    A pixel is valid where all of `pixels` is, and the formula has a finite real value: no division
    by zero anywhere in it, no root of a negative number. A sum counts as zero where it is less than
    1e-5 of its first term, which is rounding. Values are not clipped.

    Args:
        index: From `find_index` or `available`.
        pixels: Reflectance.
        keys: What the bands of `pixels` are, in order; among them those of the index.
        params: Constants of formulas that shall have another value, such as {"L": 0.25}; those of
            other indices are passed over.

    Raises:
        BandError: A band of the index is not among `keys`.
        OptionError: A constant has no value, or one with which the formula makes no sense.
    """
    if absent := [key for key in index.keys if key not in keys]:
        raise BandError(
            f"{index.name} needs {', '.join(absent)} among the pixels, which are of "
            f"{', '.join(keys)}; read them with keys={list(index.keys)}"
        )
    planes = {
        symbol: pixels.data[list(keys).index(key)]
        for symbol, key in zip(index.symbols, index.keys, strict=True)
    }
    undefined = ~pixels.valid
    data = evaluate(_bound(index, params), planes, undefined)
    valid = np.isfinite(data)
    valid &= ~undefined
    data[~valid] = np.nan
    return Values(data, valid)


def constants_of(index: Index, params: Mapping[str, float] | None = None) -> dict[str, float]:
    """The constants of an index, with those of `params` in place of the usual ones.

    Raises:
        OptionError: One has no value, or an impossible one.
    """
    params = params or {}
    found = {}
    for name, usual in index.constants:
        value = params.get(name, usual)
        if value is None:
            what = "the wavelength of a band in nm" if name.startswith("lambda") else "a constant"
            raise OptionError(
                f"{index.name} = {index.formula} needs {name}, {what} that has no usual value; "
                f"give it with --param {name}=..."
            )
        if not math.isfinite(value):
            raise OptionError(f"--param {name}={value}: a finite number is needed")
        found[name] = float(value)
    return found


def check_params(params: Mapping[str, float], indices: Sequence[Index]) -> None:
    """Refuse constants that none of the indices has, which are slips of the pen.

    Raises:
        OptionError: There is one.
    """
    known = sorted({name for index in indices for name, _ in index.constants})
    for name in params:
        if name not in known:
            names = ", ".join(index.name for index in indices)
            have = f"their constants are {', '.join(known)}" if known else "they have no constants"
            raise OptionError(f"--param {name}: no constant of {names}; {have}")


def brightness_power(index: Index, params: Mapping[str, float] | None = None) -> float | None:
    """By which power of k the index grows where all bands are k times as bright.

    0 for ratios, such as NDVI; None where a constant is added to reflectance, as in EVI and SAVI.
    """
    return degree(_bound(index, params))


def fits_units(
    index: Index,
    scene: Scene,
    params: Mapping[str, float] | None = None,
    *,
    uncalibrated: bool = False,
) -> str | None:
    """Whether the numbers of a scene are in units that the index is made for.

    Ratios are the same in any proportional units. A constant in a formula, as the 1 of EVI, is
    meant for reflectance of 0 to 1: beside numbers of 0 to 10000 it does nothing.

    Args:
        index: Which.
        scene: Whose numbers.
        params: As for `compute`.
        uncalibrated: Take them as they are.

    Returns:
        What to beware of, in a line, or None.

    Raises:
        OptionError: A constant of the index does not go with the scene's numbers.
    """
    how = scene.radiometry
    if how.level == "reflectance":
        return None
    power = brightness_power(index, params)
    if power is None and not uncalibrated:
        raise OptionError(
            f"{index.name} = {index.formula} has a constant that is meant for reflectance of 0 to "
            f"1, and {scene.name} holds {how.level} ({how.evidence}); give --scale and --offset, "
            "choose a ratio of bands such as NDVI or GLI, or compute it of the numbers as they "
            "are with --uncalibrated"
        )
    if power is None or abs(power) > 1e-9:
        return (
            f"{index.name} is computed of {how.level} ({how.evidence}), not of reflectance: its "
            "values are comparable within the scene only"
        )
    return None


def _bound(index: Index, params: Mapping[str, float] | None) -> Node:
    unknown = set(params or {}) - _known_constants()
    if unknown:
        raise OptionError(
            f"--param {min(unknown)}: no index has such a constant; known are "
            f"{', '.join(sorted(_known_constants()))}"
        )
    constants = tuple(constants_of(index, params).items())
    try:
        return _bound_formula(index.formula, constants)
    except ValueError as error:
        given = ", ".join(f"{name}={value:g}" for name, value in constants)
        raise OptionError(
            f"{index.name} = {index.formula} has no value with {given}: {error}; give other "
            "numbers with --param"
        ) from error


@lru_cache(maxsize=512)
def _bound_formula(formula: str, constants: tuple[tuple[str, float], ...]) -> Node:
    return bind(parse(formula), dict(constants))


@lru_cache(maxsize=1)
def _known_constants() -> frozenset[str]:
    return frozenset(name for entry in entries().values() for name in entry.constants)
