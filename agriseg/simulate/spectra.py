"""What things reflect, and what light reaches them, in the bands of the cameras it simulates.

Reflectance factors 0..1. The numbers of the MicaSense camera stand here; those of other cameras
come from the spectra of `spectra_table`, which agree with them, weighted with each band's response.
Where the numbers come from:

- Leaves: PROSPECT-D (Feret et al. 2017, Remote Sensing of Environment 193, 204-215). The
  structure, pigments, water and dry matter that give each leaf stand in `spectra_table`; paleness
  is less chlorophyll, from some 40 ug/cm2 down to 10, and more brown pigment.
- Soil: between the dry (0.226, 0.264, 0.320, 0.345, 0.404) and the wet (0.025 .. 0.068) soil that
  come with PROSAIL (Feret et al. 2008, Remote Sensing of Environment 112, 3030-3043), with the
  steeper rise from blue to red of a brown loam (Stoner & Baumgardner 1981, Soil Science Society of
  America Journal 45, 1161-1165). Wet soil has about half the reflectance of the same soil dry
  (Lobell & Asner 2002, Soil Science Society of America Journal 66, 722-727).
- Other soils, and leaves that are yellow, dry, red or waxy: see `spectra_special`. Each soil gets
  darker when wet as the loam does.
- Residue and stones: inside the range of weathered straw and of light limestone and grey gravel in
  the ECOSTRESS library (Meerdink et al. 2019, Remote Sensing of Environment 230, 111196).
- Sky light: share of diffuse light on level ground under a clear sky, sun 42 degrees high, from
  SPCTRL2 (Bird & Riordan 1986, J. Climate Appl. Meteorol. 25, 87-97), aerosol depth 0.12.
- Bands: centres and full widths at half maximum as their makers give them (MicaSense RedEdge-MX;
  DJI Mavic 3 Multispectral, which states half of a width, as in 560 +- 16 nm; ESA Sentinel-2A).
  The filters of a colour camera are some 80 nm wide and overlap (Jiang et al. 2013, IEEE Workshop
  on Applications of Computer Vision, 168-179); its pictures pass a colour matrix that takes the
  overlap out again, so red, green and blue are taken 50 to 60 nm wide and apart. A response is a
  Gaussian of that width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agriseg.simulate.spectra_special import SPECIAL
from agriseg.simulate.spectra_table import TABLE

__all__ = [
    "BANDS",
    "CLOD",
    "CROP",
    "CROPS_DRAWN",
    "GRASS_WEED",
    "LEAFY_WEED",
    "NEIGHBOUR_CROP",
    "RESIDUE",
    "SENSORS",
    "SOIL",
    "SOILS",
    "STONE",
    "TO_GLINT",
    "TO_RED",
    "TO_WAXY",
    "TO_YELLOW",
    "WAXY_LEAF",
    "BandInfo",
    "Palette",
    "palette",
    "plain",
    "resampled",
]

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class BandInfo:
    """A band of the simulated camera.

    Args:
        role: Its role, as in `agriseg.bands`.
        title: The name that files give it.
        wavelength_nm: Its centre.
        width_nm: Its full width at half maximum.
    """

    role: str
    title: str
    wavelength_nm: float
    width_nm: float


BANDS: Final = (
    BandInfo("blue", "Blue", 475.0, 32.0),
    BandInfo("green", "Green", 560.0, 27.0),
    BandInfo("red", "Red", 668.0, 14.0),
    BandInfo("rededge", "Red edge", 717.0, 12.0),
    BandInfo("nir", "NIR", 842.0, 57.0),
)

SENSORS: Final[dict[str, tuple[BandInfo, ...]]] = {
    "rededge": BANDS,
    "rgb": (
        BandInfo("red", "Red", 630.0, 50.0),
        BandInfo("green", "Green", 545.0, 60.0),
        BandInfo("blue", "Blue", 460.0, 50.0),
    ),
    "mavic-3m": (
        BandInfo("green", "Green", 560.0, 32.0),
        BandInfo("red", "Red", 650.0, 32.0),
        BandInfo("rededge", "Red edge", 730.0, 32.0),
        BandInfo("nir", "NIR", 860.0, 52.0),
    ),
    "sentinel-2": (
        BandInfo("blue", "Blue", 492.4, 66.0),
        BandInfo("green", "Green", 559.8, 36.0),
        BandInfo("red", "Red", 664.6, 31.0),
        BandInfo("rededge", "Red edge", 704.1, 15.0),
        BandInfo("nir", "NIR", 832.8, 106.0),
    ),
}
"""The bands of each camera that can be simulated, in the order of its files.

Red, green and blue are linear reflectance; a camera's own pictures hold its square root, nearly.
"""

# Materials of the drawing. Soil and clods take the colour of the ground under them.
SOIL, CLOD, STONE, RESIDUE, CROP, LEAFY_WEED, GRASS_WEED, NEIGHBOUR_CROP = range(8)
CROPS_DRAWN = (CROP, NEIGHBOUR_CROP)
# The four plants once more in other colours: add this to their number.
TO_YELLOW, TO_RED, TO_WAXY, TO_GLINT = 4, 8, 12, 16
# A leaf that a crop can have (see `palette`).
WAXY_LEAF = CROP + TO_WAXY
# What the skin of a leaf mirrors at most, in all bands: a shiny leaf's glint in the sun is broad.
_GLINT = np.float32(0.35)

SOILS: Final = ("loam", "sandy", "chernozem", "clay", "red", "chalk")
"""The soils that can be simulated; the first is a brown loam, the rest columns of `SPECIAL`."""

# Rows in the order of the columns of `spectra_table.TABLE`.
_REDEDGE: Final = np.array(
    [
        [0.118, 0.166, 0.222, 0.247, 0.292],  # soil, dry
        [0.052, 0.078, 0.110, 0.126, 0.156],  # soil, wet
        [0.15, 0.18, 0.21, 0.22, 0.25],  # stone at paleness 0
        [0.33, 0.38, 0.42, 0.43, 0.46],  # stone at paleness 1, and so on
        [0.10, 0.15, 0.20, 0.24, 0.31],  # residue
        [0.21, 0.29, 0.36, 0.40, 0.47],
        [0.042, 0.123, 0.037, 0.289, 0.471],  # crop
        [0.062, 0.228, 0.098, 0.400, 0.492],
        [0.041, 0.100, 0.036, 0.258, 0.430],  # leafy weed
        [0.056, 0.212, 0.080, 0.372, 0.470],
        [0.045, 0.140, 0.045, 0.293, 0.446],  # grass
        [0.066, 0.236, 0.120, 0.385, 0.470],
        [0.267, 0.187, 0.133, 0.116, 0.089],  # share of the sky
        # A quarter of one leaf's transmittance (0.003, 0.104, 0.005, 0.283, 0.470): most rays meet
        # more than one leaf, or a stalk. It is why shadows look less deep in near infrared.
        [0.001, 0.026, 0.001, 0.071, 0.118],
    ],
    dtype=np.float32,
)


@dataclass(frozen=True)
class Palette:
    """What one camera sees of each material and of the light; arrays of float32.

    Args:
        bands: The camera's bands.
        endmembers: (materials, 2, bands): reflectance at paleness 0 and 1; paleness mixes the two.
            Yellow leaves are dry straw at paleness 1.
        soil_dry: (bands,) reflectance of dry soil.
        soil_wet: (bands,) reflectance of wet soil.
        sky_share: (bands,) share of the light on level ground that comes from the sky; the sun
            gives the rest.
        through_leaves: (bands,) share of the sun's light that still falls into a plant's shadow,
            through its leaves.
        passed_on: (bands,) light that reaches a leaf from its neighbours in a closed canopy, over
            that on open ground: near nothing in red, nearly as much again in near infrared.
        redness: (bands,) -1 at 475 nm, 1 at 842 nm: which way iron and humus turn a soil's colour.
    """

    bands: tuple[BandInfo, ...]
    endmembers: Float32
    soil_dry: Float32
    soil_wet: Float32
    sky_share: Float32
    through_leaves: Float32
    passed_on: Float32
    redness: Float32


def plain(material: NDArray[Any]) -> NDArray[Any]:
    """The materials without their colours: a yellow crop is a crop."""
    return np.where(material > CROP, (material - CROP) % TO_YELLOW + CROP, material)


@lru_cache(maxsize=64)
def palette(
    sensor: str, leaf: int = CROP, soil: str = SOILS[0], neighbour_leaf: int = CROP
) -> Palette:
    """The palette of a camera.

    Args:
        sensor: A key of `SENSORS`.
        leaf: Material whose reflectance the crop's leaves have.
        soil: One of `SOILS`.
        neighbour_leaf: As `leaf`, for the crop of neighbouring fields.
    """
    bands = SENSORS[sensor]
    rows = _REDEDGE if sensor == "rededge" else resampled(bands)
    dry, wet = rows[0], rows[1]
    special = resampled(bands, SPECIAL)
    if soil != SOILS[0]:
        own = special[SOILS.index(soil) - 1]
        dry, wet = own, np.round(own * (wet / dry), 4)
    ground = np.stack([dry, dry])
    yellow, red, waxy = (special[k : k + 2] for k in (5, 7, 9))
    endmembers = np.stack(
        [
            *(ground, ground),
            *(rows[k : k + 2] for k in range(2, 12, 2)),
            rows[6:8],
            *[yellow] * 4,
            *[red] * 4,
            *[waxy] * 4,
            *[waxy] * 4,
        ]
    )
    endmembers[[CROP, NEIGHBOUR_CROP]] = endmembers[[leaf, neighbour_leaf]]
    # From a leaf to the same with the sun in it.
    leaves = slice(CROP, CROP + TO_YELLOW)
    endmembers[CROP + TO_GLINT :] = endmembers[leaves, :1]
    endmembers[CROP + TO_GLINT :, 1] += _GLINT
    centres = [band.wavelength_nm for band in bands]
    redness = np.interp(centres, [b.wavelength_nm for b in BANDS], np.linspace(-1.0, 1.0, 5))
    sky, through = rows[12], rows[13]
    # What a leaf reflects and transmits meets another leaf every other time, and so on: a sum of
    # powers (recollision probability 0.5; Smolander & Stenberg 2005, Remote Sensing of Environment
    # 94, 355-363). `through` is a quarter of a leaf's transmittance.
    again = np.float32(0.5) * (endmembers[CROP, 0] + np.float32(4.0) * through)
    passed = again / (np.float32(1.0) - again)
    return Palette(bands, endmembers, dry, wet, sky, through, passed, redness.astype(np.float32))


def resampled(bands: tuple[BandInfo, ...], text: str = TABLE) -> Float32:
    """The spectra of a table, as `spectra_table` has it, as `bands` see them, (spectra, bands).

    Rounded to four digits, as all that comes out of the mathematical library (see `noise`).
    """
    table = np.array([line.split() for line in text.splitlines()], dtype=np.float64)
    # Every nanometre, or a band of 15 nm would be weighed with two lines of the table.
    fine = np.arange(table[0, 0], table[-1, 0] + 1)
    spectra = np.array([np.interp(fine, table[:, 0], column) for column in table[:, 1:].T])
    out = np.empty((len(spectra), len(bands)), dtype=np.float32)
    for k, band in enumerate(bands):
        # A Gaussian falls to one half at half its full width: 4 ln 2 = 2.7726.
        offset = (fine - band.wavelength_nm) / band.width_nm
        response = np.array([math.exp(-2.7726 * x * x) for x in offset])
        out[:, k] = np.round((spectra * response).sum(axis=1) / response.sum() * 1e-4, 4)
    return out
