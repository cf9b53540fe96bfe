"""What things reflect, and what light reaches them, in the five bands of a MicaSense camera.

Reflectance factors 0..1. Where the numbers come from:

- Leaves: PROSPECT-D (Feret et al. 2017, Remote Sensing of Environment 193, 204-215), averaged over
  the camera's bands. Structure N / chlorophyll / carotenoids (ug/cm2) / water / dry matter (g/cm2):
  healthy 1.6 / 45 / 9 / 0.015 / 0.006 gives 0.042, 0.123, 0.037, 0.289, 0.471; pale
  1.7 / 22 / 7 / 0.012 / 0.005 gives 0.050, 0.200, 0.056, 0.373, 0.489; yellow with 8 of chlorophyll
  gives 0.066, 0.245, 0.141, 0.412, 0.492; a thin grass leaf 1.4 / 35 / 8 gives
  0.042, 0.132, 0.038, 0.293, 0.446. The same runs give the leaf transmittances.
- Soil: between the dry (0.226, 0.264, 0.320, 0.345, 0.404) and the wet (0.025 .. 0.068) soil that
  come with PROSAIL (Feret et al. 2008, Remote Sensing of Environment 112, 3030-3043), with the
  steeper rise from blue to red of a brown loam (Stoner & Baumgardner 1981, Soil Science Society of
  America Journal 45, 1161-1165). Wet soil has about half the reflectance of the same soil dry
  (Lobell & Asner 2002, Soil Science Society of America Journal 66, 722-727).
- Residue and stones: inside the range of weathered straw and of light limestone and grey gravel in
  the ECOSTRESS library (Meerdink et al. 2019, Remote Sensing of Environment 230, 111196).
- Sky light: share of diffuse light on level ground under a clear sky, sun 42 degrees high, from
  SPCTRL2 (Bird & Riordan 1986, J. Climate Appl. Meteorol. 25, 87-97), aerosol depth 0.12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BANDS",
    "CLOD",
    "CROP",
    "ENDMEMBERS",
    "GRASS_WEED",
    "LEAFY_WEED",
    "RESIDUE",
    "SENSORS",
    "SKY_SHARE",
    "SOIL",
    "SOIL_DRY",
    "SOIL_WET",
    "STONE",
    "THROUGH_LEAVES",
    "BandInfo",
]


@dataclass(frozen=True)
class BandInfo:
    """A band of the simulated camera: its role, the name files give it, its centre in nm."""

    role: str
    title: str
    wavelength_nm: float


BANDS: Final = (
    BandInfo("blue", "Blue", 475.0),
    BandInfo("green", "Green", 560.0),
    BandInfo("red", "Red", 668.0),
    BandInfo("rededge", "Red edge", 717.0),
    BandInfo("nir", "NIR", 842.0),
)

SENSORS: Final = {"rededge": BANDS}
"""The bands of each camera that can be simulated."""

# Materials of the drawing. Soil and clods take the colour of the ground under them.
SOIL, CLOD, STONE, RESIDUE, CROP, LEAFY_WEED, GRASS_WEED = range(7)


def _row(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


SOIL_DRY: Final = _row(0.118, 0.166, 0.222, 0.247, 0.292)
SOIL_WET: Final = _row(0.052, 0.078, 0.110, 0.126, 0.156)

ENDMEMBERS: Final = np.stack(
    [
        # at paleness 0                             at paleness 1
        [SOIL_DRY, SOIL_DRY],
        [SOIL_DRY, SOIL_DRY],
        [_row(0.15, 0.18, 0.21, 0.22, 0.25), _row(0.33, 0.38, 0.42, 0.43, 0.46)],
        [_row(0.10, 0.15, 0.20, 0.24, 0.31), _row(0.21, 0.29, 0.36, 0.40, 0.47)],
        [_row(0.042, 0.123, 0.037, 0.289, 0.471), _row(0.062, 0.228, 0.098, 0.400, 0.492)],
        [_row(0.041, 0.100, 0.036, 0.258, 0.430), _row(0.056, 0.212, 0.080, 0.372, 0.470)],
        [_row(0.045, 0.140, 0.045, 0.293, 0.446), _row(0.066, 0.236, 0.120, 0.385, 0.470)],
    ]
).astype(np.float32)
"""(materials, 2, bands): reflectance at paleness 0 and 1; paleness mixes the two."""

SKY_SHARE: Final = _row(0.267, 0.187, 0.133, 0.116, 0.089)
"""Share of the light on level ground that comes from the sky; the sun gives the rest."""

THROUGH_LEAVES: Final = _row(0.001, 0.026, 0.001, 0.071, 0.118)
"""Share of the sun's light that still falls into a plant's shadow, through its leaves.

A quarter of one leaf's transmittance (0.003, 0.104, 0.005, 0.283, 0.470): most rays meet more than
one leaf, or a stalk. It is why shadows look less deep in near infrared.
"""
