"""Which indices there are: spyndex's catalogue, with what agriseg knows better.

The catalogue is Awesome Spectral Indices (Montero et al. 2023, Sci. Data 10, 197), as the package
spyndex holds it. It has one default for each constant, whatever index it stands in. Where that is
not what the index's authors say, `_CONSTANTS` has their value: the L of SAVI is 0.5 and that of EVI
is 1. Where it depends on the place, as a soil line does, there is no default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

__all__ = ["BAND_ROLES", "Entry", "entries", "without"]

BAND_ROLES = {
    "A": "coastal",
    "B": "blue",
    "G1": "green05",
    "G": "green",
    "Y": "yellow",
    "R": "red",
    "RE": "rededge",
    "RE1": "rededge071",
    "RE2": "rededge075",
    "RE3": "rededge078",
    "N": "nir",
    "N2": "nir08",
    "WV": "nir09",
    "S1": "swir16",
    "S2": "swir22",
}
"""The role of each band that formulas speak of. RE, any red edge, is agriseg's own."""

_RADAR = frozenset({"HH", "HV", "VH", "VV"})
_THERMAL = frozenset({"T", "T1", "T2"})
_KERNEL = frozenset({"kGB", "kGG", "kGR", "kNB", "kNL", "kNN", "kNR"})

# None: it has no value that would do everywhere. First for all indices, then for single ones.
_PLACE: dict[str, float | None] = dict.fromkeys(("PAR", "k", "n", "sla", "slb"))
_FOUR_BANDS: dict[str, float | None] = {"alpha": None, "beta": None}
_CONSTANTS: dict[str, dict[str, float | None]] = {
    "SAVI": {"L": 0.5},  # Huete 1988, Remote Sens. Environ. 25: between sparse and dense
    "SAVIT": {"L": 0.5},  # a SAVI
    "SARVI": {"L": 0.5},  # Kaufman and Tanre 1992, IEEE Trans. Geosci. Remote Sens. 30
    "GSAVI": {"L": 0.5},  # Sripada et al. 2006, Agron. J. 98
    "MNLI": {"L": 0.5},  # Yang et al. 2008
    "IBI": {"L": 0.5},  # Xu 2008, Int. J. Remote Sens. 29: its SAVI
    "NBUI": {"L": 0.5},  # its SAVI
    "NDPI": {"alpha": 0.74},  # Wang et al. 2017, Remote Sens. Environ. 196
    # The catalogue's remark has 1e-10, against division by zero; that is told by itself here.
    "WCI1": {"epsilon": 0.0},
    "WCI2": {"epsilon": 0.0},
    # The defaults are those of WDRVI, NDSInw and ARVI, with which these have nothing in common.
    "NDVI4RE": _FOUR_BANDS,
    "RVI4RE": _FOUR_BANDS,
    "SAVI4RE": _FOUR_BANDS,
    "sNIRvNDPI": {"alpha": None},
    "NDTI4RE": {"gamma": None},
    "SNDTI4RE": {"gamma": None},
    "STI4RE": {"gamma": None},
}


@dataclass(frozen=True)
class Entry:
    """An index as a catalogue has it, whatever the scene.

    Args:
        name: Short name, such as NDVI.
        long_name: For a person.
        formula: In the symbols of `BAND_ROLES` and the names of constants.
        reference: Where it was published.
        domain: vegetation, soil, water, burn, snow, clouds, urban, or radar.
        symbols: The bands of the formula.
        constants: The constants of the formula; None where there is no default. Wavelengths in nm
            (`lambdaN`) are the scene's.
        hurdle: Why no scene can have it, or "".
    """

    name: str
    long_name: str
    formula: str
    reference: str
    domain: str
    symbols: tuple[str, ...]
    constants: Mapping[str, float | None]
    hurdle: str = ""


_OWN = (
    Entry(
        name="NDRE",
        long_name="Normalized Difference Red Edge",
        formula="(N-RE)/(N+RE)",
        reference="Barnes et al. 2000, Proc. 5th Int. Conf. Precision Agriculture (790, 720 nm)",
        domain="vegetation",
        symbols=("N", "RE"),
        constants={},
    ),
    # With the length scale that its authors recommend: half the sum of the two bands.
    Entry(
        name="kNDVI",
        long_name="Kernel Normalized Difference Vegetation Index",
        formula="tanh(((N-R)/(N+R))**2)",
        reference="https://doi.org/10.1126/sciadv.abc7447",
        domain="vegetation",
        symbols=("N", "R"),
        constants={},
    ),
    # On chromatic coordinates, as published: the same in sun and shade, and in any units. spyndex
    # has the sums of plain bands.
    Entry(
        name="ExG",
        long_name="Excess Green Index",
        formula="(2*G-R-B)/(R+G+B)",
        reference="https://doi.org/10.13031/2013.27838",
        domain="vegetation",
        symbols=("G", "R", "B"),
        constants={},
    ),
    Entry(
        name="ExR",
        long_name="Excess Red Index",
        formula="(1.4*R-G)/(R+G+B)",
        reference="https://doi.org/10.1016/j.compag.2008.03.009",
        domain="vegetation",
        symbols=("R", "G", "B"),
        constants={},
    ),
    Entry(
        name="ExGR",
        long_name="Excess Green minus Excess Red Index",
        formula="(3*G-2.4*R-B)/(R+G+B)",
        reference="https://doi.org/10.1016/j.compag.2008.03.009",
        domain="vegetation",
        symbols=("G", "R", "B"),
        constants={},
    ),
)


@cache
def entries() -> Mapping[str, Entry]:
    """All indices by name, in alphabetical order."""
    import spyndex  # a tenth of a second, which most commands can do without

    defaults = {name: spyndex.constants[name].default for name in spyndex.constants}
    found = {name: _entry(spyndex.indices[name], defaults) for name in spyndex.indices}
    found.update((entry.name, entry) for entry in _OWN)
    return dict(sorted(found.items(), key=lambda item: (item[0].casefold(), item[0])))


def _entry(index: object, defaults: Mapping[str, float | None]) -> Entry:
    """An index of spyndex's."""
    facts = {
        key: str(getattr(index, key))
        for key in ("long_name", "formula", "reference", "application_domain")
    }
    name, names = str(getattr(index, "short_name")), tuple(getattr(index, "bands"))  # noqa: B009
    known = {**defaults, **_PLACE, **_CONSTANTS.get(name, {})}
    symbols = tuple(one for one in names if one in BAND_ROLES)
    rest = [one for one in names if one not in BAND_ROLES]
    return Entry(
        name,
        facts["long_name"],
        facts["formula"],
        facts["reference"],
        facts["application_domain"],
        symbols,
        {one: None if known.get(one) is None else float(known[one] or 0) for one in rest},
        _hurdle(frozenset(names)),
    )


def _hurdle(names: frozenset[str]) -> str:
    if names & _RADAR:
        return "needs the backscatter of a radar, which agriseg does not read"
    if names & _THERMAL:
        return "needs a temperature, and a raster does not tell in which unit it holds one"
    if names & _KERNEL:
        return "needs a kernel, for whose length there is no usual value; kNDVI has one"
    return ""


def without(constants: Mapping[str, float | None]) -> list[str]:
    """The constants that have no value."""
    return [name for name, value in constants.items() if value is None]
