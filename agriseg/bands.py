"""Band roles, the sensors that agriseg knows, and how numbers become reflectance.

Roles are the common names of the STAC electro-optical extension (blue, green, red, rededge, nir,
...; https://github.com/stac-extensions/eo). A role may carry a date after an at sign, as in
`red@1`, where one scene stacks several dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from agriseg.errors import BandError

__all__ = [
    "ALPHA",
    "IGNORED",
    "ROLES",
    "SENSORS",
    "Band",
    "Level",
    "Radiometry",
    "Sensor",
    "SensorBand",
    "band_key",
    "find_band",
    "role_from_text",
    "role_from_wavelength",
    "split_role",
]

# STAC common names with the wavelengths (nm) that they span.
ROLES: dict[str, tuple[float, float]] = {
    "pan": (500, 700),
    "coastal": (400, 450),
    "blue": (450, 530),
    "green05": (510, 550),
    "green": (510, 600),
    "yellow": (580, 620),
    "red": (620, 690),
    "rededge": (690, 790),
    "rededge071": (690, 720),
    "rededge075": (730, 750),
    "rededge078": (770, 790),
    "nir": (760, 900),
    "nir08": (840, 880),
    "nir09": (930, 950),
    "cirrus": (1350, 1400),
    "swir16": (1550, 1750),
    "swir22": (2080, 2350),
    "lwir": (10500, 12500),
    "lwir11": (10500, 11500),
    "lwir12": (11500, 12500),
}

ALPHA = "alpha"
"""What a user calls a band that marks the usable pixels (0 = nothing there)."""
IGNORED = "-"
"""What a user calls a band that agriseg shall not look at."""

# Where a scene lacks the first, the next one of its line serves (Landsat has nir08, not nir).
_STAND_INS = {
    "nir": ("nir08",),
    "nir08": ("nir",),
    "rededge": ("rededge071", "rededge075", "rededge078"),
    "rededge071": ("rededge",),
    "green": ("green05",),
}

# How files name their bands, in the order in which the words are tried: "red edge" before "red".
_WORDS: tuple[tuple[str, str], ...] = (
    (r"red\s*edge\s*0?71|vegetation\s*red\s*edge\s*1|red\s*edge\s*1", "rededge071"),
    (r"red\s*edge\s*0?75|red\s*edge\s*2", "rededge075"),
    (r"red\s*edge\s*0?78|red\s*edge\s*3", "rededge078"),
    (r"red\s*edge|re|reg", "rededge"),
    # "Infrared" alone is near infrared; shortwave, middle and far infrared are not.
    (r"near\s*infra\s*red|nir|(?<!wave )(?<!mid )(?<!middle )(?<!far )infra\s*red|nir1", "nir"),
    (r"nir08|narrow\s*nir|nir\s*narrow", "nir08"),
    (r"nir09|water\s*vapou?r", "nir09"),
    (r"coastal\s*blue|coastal\s*aerosol|coastal|aerosol", "coastal"),
    (r"green\s*i|green05|green\s*1", "green05"),
    (r"green\s*ii|green", "green"),
    (r"blue", "blue"),
    (r"yellow", "yellow"),
    (r"(?<!infra )red", "red"),
    (r"panchromatic|panchro|pan", "pan"),
    (r"cirrus", "cirrus"),
    (r"(?:swir|short\s*wave\s*infra\s*red)\s*1|swir16", "swir16"),
    (r"(?:swir|short\s*wave\s*infra\s*red)\s*2|swir22", "swir22"),
    (r"lwir11", "lwir11"),
    (r"lwir12", "lwir12"),
    (r"lwir|thermal(?:\s*infra\s*red)?|tir", "lwir"),
    (r"alpha|alpha\s*mask", ALPHA),
)
_WORD_PATTERNS = tuple(
    (re.compile(rf"(?:(?<=[^a-z0-9])|^)(?:{words})(?=[^a-z0-9]|$)"), role) for words, role in _WORDS
)
_NANOMETRES = re.compile(r"(?<![\d.])(\d{3,5}(?:\.\d+)?)\s*(?:nm|nanomet(?:er|re)s?)\b")
_MICROMETRES = re.compile(
    r"(?<![\d.])(\d{1,2}(?:\.\d+)?)\s*(?:[u\u00b5\u03bc]m|micromet(?:er|re)s?)\b"
)
_DATED = re.compile(r"([a-z]+[0-9]*|-)(?:@([A-Za-z0-9_.:-]+))?\Z")


@dataclass(frozen=True)
class Band:
    """One band of a scene: where its pixels are and what they mean.

    Args:
        path: The file, or any path that GDAL opens.
        index: Band number in the file, from 1.
        role: Common name (`ROLES`), or None where it has none.
        date: Which date of a stack of dates, or None.
        wavelength_nm: Centre wavelength in nanometres, or None.
        scale: Reflectance = value * scale + offset.
        offset: See `scale`.
        nodata: The value that marks a missing pixel, or None; NaN is always missing.
        evidence: What the role was taken from, in a few words.
    """

    path: str
    index: int
    role: str | None = None
    date: str | None = None
    wavelength_nm: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    evidence: str = ""

    def __post_init__(self) -> None:
        if self.index < 1:
            raise ValueError(f"band index {self.index}: bands are counted from 1")
        if self.role is not None and self.role not in ROLES:
            raise BandError(f"band role {self.role!r} is unknown; known are {', '.join(ROLES)}")
        if not self.scale:
            raise BandError(f"scale 0 for band {self.index} of {self.path}: every pixel would be 0")

    @property
    def key(self) -> str | None:
        """`role` or `role@date`: how the band is asked for."""
        return None if self.role is None else band_key(self.role, self.date)


Level = Literal["reflectance", "relative", "DN"]


@dataclass(frozen=True)
class Radiometry:
    """How a scene's numbers become reflectance, decided once for the scene.

    Args:
        level: "reflectance" (0..1), "relative" (proportional to light, not calibrated), or "DN"
            (numbers whose scale nobody has stated).
        evidence: What that was taken from, in a few words.
    """

    level: Level
    evidence: str


@dataclass(frozen=True)
class SensorBand:
    """A band of a sensor: the names it goes by, its role, its centre wavelength in nm."""

    names: tuple[str, ...]
    role: str
    wavelength_nm: float | None


@dataclass(frozen=True)
class Sensor:
    """A camera or satellite product: its bands in the order in which files hold them.

    `scale` and `offset` turn integer values into reflectance. None: the sensor alone does not tell.
    Drone cameras have none, since the program that makes the orthomosaic decides (in Metashape
    32768 stands for reflectance 1, in others 10000).
    """

    title: str
    bands: tuple[SensorBand, ...]
    scale: float | None = None
    offset: float | None = None
    source: str = ""

    def band_named(self, text: str) -> SensorBand | None:
        """The band that goes by the name `text` ("B04", "Red edge"), or None."""
        plain = _plain(text).replace(" ", "")
        for band in self.bands:
            if plain in {_plain(name).replace(" ", "") for name in band.names}:
                return band
        return None


def _bands(*rows: tuple[str, str, float | None]) -> tuple[SensorBand, ...]:
    return tuple(SensorBand(tuple(names.split("|")), role, nm) for names, role, nm in rows)


_MICASENSE = (
    ("Blue", "blue", 475.0),
    ("Green", "green", 560.0),
    ("Red", "red", 668.0),
    ("NIR", "nir", 842.0),
    ("Red edge|RedEdge", "rededge", 717.0),
)

SENSORS: dict[str, Sensor] = {
    "rgb": Sensor(
        "RGB camera",
        _bands(("Red", "red", None), ("Green", "green", None), ("Blue", "blue", None)),
    ),
    "micasense-rededge": Sensor(
        "MicaSense RedEdge-M / MX",
        _bands(*_MICASENSE),
        source="MicaSense RedEdge-MX integration guide",
    ),
    "micasense-rededge-p": Sensor(
        "MicaSense RedEdge-P",
        _bands(
            ("Blue", "blue", 475.0),
            ("Green", "green", 560.0),
            ("Red", "red", 668.0),
            ("NIR", "nir", 842.0),
            ("Red edge|RedEdge", "rededge", 717.0),
            ("Panchro|Pan|Panchromatic", "pan", 634.5),
        ),
        source="MicaSense RedEdge-P user guide",
    ),
    "micasense-altum": Sensor(
        "MicaSense Altum",
        _bands(*_MICASENSE, ("LWIR|Thermal", "lwir", 11000.0)),
        source="MicaSense Altum integration guide",
    ),
    "dji-mavic-3m": Sensor(
        "DJI Mavic 3 Multispectral",
        _bands(
            ("Green|MS_G|G", "green", 560.0),
            ("Red|MS_R|R", "red", 650.0),
            ("Red edge|RedEdge|MS_RE|RE", "rededge", 730.0),
            ("NIR|MS_NIR", "nir", 860.0),
        ),
        source="DJI Mavic 3M specifications: 560, 650, 730, 860 nm",
    ),
    "parrot-sequoia": Sensor(
        "Parrot Sequoia",
        _bands(
            ("Green|GRE", "green", 550.0),
            ("Red", "red", 660.0),
            ("Red edge|RedEdge|REG", "rededge", 735.0),
            ("NIR", "nir", 790.0),
        ),
        source="Parrot Sequoia specifications: 550, 660, 735, 790 nm",
    ),
    "sentinel-2-l2a": Sensor(
        "Sentinel-2 MSI Level-2A",
        _bands(
            ("B01|B1", "coastal", 443.0),
            ("B02|B2", "blue", 492.4),
            ("B03|B3", "green", 559.8),
            ("B04|B4", "red", 664.6),
            ("B05|B5", "rededge071", 704.1),
            ("B06|B6", "rededge075", 740.5),
            ("B07|B7", "rededge078", 782.8),
            ("B08|B8", "nir", 832.8),
            ("B8A", "nir08", 864.7),
            ("B09|B9", "nir09", 945.1),
            ("B11", "swir16", 1613.7),
            ("B12", "swir22", 2202.4),
        ),
        # The offset depends on the processing baseline and is decided from the file's metadata.
        scale=1e-4,
        source="ESA Sentinel-2 MSI user guide (S2A centre wavelengths), L2A quantification 10000",
    ),
    "planetscope-8b": Sensor(
        "PlanetScope SuperDove, 8 bands",
        _bands(
            ("coastal_blue", "coastal", 443.0),
            ("blue", "blue", 490.0),
            ("green_i", "green05", 531.0),
            ("green", "green", 565.0),
            ("yellow", "yellow", 610.0),
            ("red", "red", 665.0),
            ("rededge", "rededge071", 705.0),
            ("nir", "nir", 865.0),
        ),
        scale=1e-4,
        offset=0.0,
        source="Planet: PlanetScope product specification, surface reflectance x 10000",
    ),
    "landsat-8-9": Sensor(
        "Landsat 8/9 OLI Collection 2 Level 2",
        _bands(
            ("SR_B1|B1", "coastal", 443.0),
            ("SR_B2|B2", "blue", 482.0),
            ("SR_B3|B3", "green", 561.4),
            ("SR_B4|B4", "red", 654.6),
            ("SR_B5|B5", "nir08", 864.7),
            ("SR_B6|B6", "swir16", 1608.9),
            ("SR_B7|B7", "swir22", 2200.7),
        ),
        scale=2.75e-5,
        offset=-0.2,
        source="USGS Landsat 8-9 Collection 2 Level 2 science product guide",
    ),
}


def band_key(role: str, date: str | None) -> str:
    """`role`, or `role@date` where there is a date."""
    return role if date is None else f"{role}@{date}"


def split_role(text: str) -> tuple[str, str | None]:
    """Take `red@1` apart into role and date.

    Raises:
        BandError: The role is not a known one.
    """
    match = _DATED.match(text.strip())
    role = match.group(1) if match else ""
    if match and (role in ROLES or (role in (ALPHA, IGNORED) and not match.group(2))):
        return role, match.group(2)
    guess = role_from_text(text.partition("@")[0])
    hint = f"; did you mean {guess!r}?" if guess else "."
    raise BandError(
        f"band role {text!r} is unknown{hint} Known are {', '.join(ROLES)}; "
        f"{ALPHA!r} marks the usable pixels and {IGNORED!r} a band to leave out"
    )


def find_band(bands: Iterable[Band], key: str) -> Band | None:
    """The band that serves as `key` (`role` or `role@date`), or None.

    An exact role comes first, then its stand-ins (nir08 for nir). A key without a date fits a
    dated band only where the stack has a single date of that role.
    """
    bands = tuple(bands)
    role, _, date = key.partition("@")
    for name in (role, *_STAND_INS.get(role, ())):
        fits = [band for band in bands if band.role == name and (not date or band.date == date)]
        undated = [band for band in fits if band.date is None]
        if date and fits:
            return fits[0]
        if undated:
            return undated[0]
        if len(fits) == 1:
            return fits[0]
    return None


def role_from_text(text: str) -> str | None:
    """The role that a description or file name speaks of ("Red edge", "NIR-842"), or None.

    The last word that names a role decides, because file names end with the band.
    """
    plain = _plain(text)
    found: tuple[int, int, str] | None = None
    for pattern, role in _WORD_PATTERNS:
        for match in pattern.finditer(plain):
            if (
                found is None
                or match.end() > found[1]
                or (match.end() == found[1] and match.start() < found[0])
            ):
                found = (match.start(), match.end(), role)
    if found:
        return found[2]
    nanometres = wavelength_from_text(text)
    return None if nanometres is None else role_from_wavelength(nanometres)


def wavelength_from_text(text: str) -> float | None:
    """The wavelength in nm that a description states ("560 nm", "Band 3 (0.56 micrometers)")."""
    for pattern, factor in ((_NANOMETRES, 1), (_MICROMETRES, 1000)):
        match = pattern.search(text.lower())
        if match and 350 <= float(match.group(1)) * factor <= 15000:
            # Rounded, because 0.56 * 1000 is not 560.
            return round(float(match.group(1)) * factor, 6)
    return None


def role_from_wavelength(nanometres: float) -> str | None:
    """The role of a band centred at `nanometres`, or None between the roles."""
    limits = (
        ("coastal", 400, 450),
        ("blue", 450, 520),
        ("green", 520, 590),
        ("yellow", 590, 620),
        ("red", 620, 690),
        ("rededge", 690, 760),
        ("nir", 760, 900),
        ("nir09", 930, 960),
        ("cirrus", 1350, 1400),
        ("swir16", 1550, 1750),
        ("swir22", 2080, 2350),
        ("lwir", 8000, 14000),
    )
    for role, low, high in limits:
        if low <= nanometres < high:
            return role
    return None


def _plain(text: str) -> str:
    """Lower case, camel case split (RedEdge -> red edge), separators as blanks."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return re.sub(r"[\s_\-./()]+", " ", text).strip().lower()
