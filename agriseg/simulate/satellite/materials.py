"""What the land reflects, as a sensor's bands see it: leaves, straw, soil, and what man built.

Leaves, soil and straw come from `spectra.resampled`. The curves below are drawn through points
inside the range of man-made materials and water in the ECOSTRESS library (Meerdink et al. 2019,
Remote Sensing of Environment 230, 111196): weathered asphalt, fired clay tile, slate and concrete;
river water carries some silt. Petals of rapeseed reflect as much green and red as near infrared
next to none of blue (Sulik & Long 2016, Remote Sensing of Environment 184, 18-28).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from agriseg.simulate.noise import Floats
from agriseg.simulate.spectra import SENSORS, resampled

__all__ = ["Seen", "seen_by"]

_NM: Final = (400.0, 480.0, 560.0, 660.0, 740.0, 840.0, 1000.0)
_CURVES: Final = {
    "asphalt": (0.085, 0.105, 0.125, 0.145, 0.155, 0.170, 0.190),
    "gravel": (0.130, 0.170, 0.215, 0.265, 0.285, 0.305, 0.330),
    "water": (0.035, 0.050, 0.068, 0.045, 0.028, 0.018, 0.010),
    "red roof": (0.060, 0.080, 0.120, 0.270, 0.300, 0.330, 0.380),
    "dark roof": (0.080, 0.090, 0.105, 0.120, 0.130, 0.145, 0.170),
    "bright roof": (0.240, 0.310, 0.340, 0.350, 0.350, 0.345, 0.340),
    "stubble": (0.050, 0.085, 0.138, 0.172, 0.242, 0.330, 0.380),
    "petals": (0.050, 0.070, 0.420, 0.470, 0.510, 0.540, 0.550),
    "haze": (0.220, 0.165, 0.130, 0.105, 0.090, 0.075, 0.060),
    "cloud": (0.560, 0.570, 0.580, 0.590, 0.600, 0.600, 0.580),
}

# Extinction by upright stalks (see `canopy`).
_UPRIGHT: Final = 0.46


@dataclass(frozen=True)
class Seen:
    """What one sensor sees; float64 arrays over its bands.

    Args:
        green: Single scattering albedo of a green leaf: what it reflects and transmits.
        pale: The same of a leaf that turns pale.
        straw: The same of dead leaves and stalks.
        stubble: Reflectance of straw on the ground.
        dry: Reflectance of dry soil.
        wet: Reflectance of wet soil.
        curves: Reflectance of the rest, by name.
    """

    green: Floats
    pale: Floats
    straw: Floats
    stubble: Floats
    dry: Floats
    wet: Floats
    curves: dict[str, Floats]


@lru_cache(maxsize=8)
def seen_by(sensor: str) -> Seen:
    """The materials as a sensor of `spectra.SENSORS` sees them."""
    bands = SENSORS[sensor]
    rows = resampled(bands).astype(np.float64)
    dry, wet = rows[0], rows[1]
    green, pale, through = rows[6], rows[7], 4.0 * rows[13]
    centres = [band.wavelength_nm for band in bands]
    curves = {name: np.interp(centres, _NM, values).round(6) for name, values in _CURVES.items()}
    # Above 740 nm a leaf absorbs next to nothing, however pale.
    return Seen(
        green=np.minimum(green + 1.06 * through, 0.97),
        pale=np.minimum(pale + 1.06 * through, 0.97),
        straw=_albedo(curves["stubble"]),
        stubble=curves["stubble"],
        dry=dry,
        wet=wet,
        curves=curves,
    )


def _albedo(deep: Floats) -> Floats:
    """Single scattering albedo of what reflects this as a deep stand (see `canopy`)."""
    r = deep * (_UPRIGHT + 1.0) / (2.0 * _UPRIGHT)
    q = (1.0 - r) / (1.0 + r)
    return np.asarray(np.clip(1.0 - q * q, 0.0, 0.97))
