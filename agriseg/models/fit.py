"""Does a model fit a scene? Refusals in plain words before anything expensive starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agriseg.errors import BandError, ModelError
from agriseg.models.baseline import BASELINE
from agriseg.models.card import ModelCard

if TYPE_CHECKING:
    from agriseg.models.card import BandInput
    from agriseg.raster import Scene

__all__ = ["GSD_FACTOR", "check_fit"]

GSD_FACTOR = 2.0
"""How far outside the trained range the GSD may lie: plants look twice or half as large."""
_WAVELENGTH_NM = 30.0
"""Beyond this a band sees something else: the red edge rises from red to nir within 60 nm."""
_PLANT_PIXELS = 5
"""Rule of thumb: what is mapped is about five pixels across."""
_LARGEST_PLANT_M = 20.0
"""The crown of a large tree."""


def check_fit(
    card: ModelCard, scene: Scene, *, gsd_m: float | None = None, ignore_gsd: bool = False
) -> list[str]:
    """Compare a model's card with a scene.

    Args:
        card: The model's card; of a predictor that adapts to scenes, the adapted one's.
        scene: The scene, on the grid that will be segmented.
        gsd_m: Its ground sampling distance, where somebody knows it; by default that of its grid.
        ignore_gsd: Take a GSD far outside the model's range as it is.

    Returns:
        Notes for the user: what differs, and does not prevent the run; and the card's own caution.

    Raises:
        BandError: The scene lacks a band that the model needs, or has none of its bands.
        ModelError: The GSD is beyond twice or half the model's range, or the model needs
            reflectance and the scene's scale is unknown.
    """
    return [
        *_bands(card, scene),
        *_gsd(card, scene, scene.geobox.mean_gsd_m if gsd_m is None else gsd_m, ignore_gsd),
        *_radiometry(card, scene),
        *([card.caution] if card.caution else []),
    ]


def _bands(card: ModelCard, scene: Scene) -> list[str]:
    missing = [band for band in card.bands if not scene.has(band.role)]
    required = [band for band in missing if band.required]
    if required or len(missing) == len(card.bands):
        needed = " and ".join(_words(band) for band in required or missing)
        several = "one of " if not required and len(missing) > 1 else ""
        raise BandError(
            f"model {card.name!r} needs {several}{needed}, and {scene.name} lacks it: "
            f"{scene.band_summary()}; name its bands with --bands if they are there under other "
            "names, or use a model for the bands it has"
        )
    notes = []
    if missing:
        filled = ", ".join(_words(band) for band in missing)
        notes.append(
            f"{scene.name} lacks {filled}, which model {card.name!r} can do without; "
            "its mean stands in, and the map will be somewhat worse"
        )
    for band in card.bands:
        if band not in missing:
            notes += _wavelength(card, band, scene)
    return notes


def _wavelength(card: ModelCard, band: BandInput, scene: Scene) -> list[str]:
    found = scene.band(band.role).wavelength_nm
    if found is None or band.wavelength_nm is None:
        return []
    if abs(found - band.wavelength_nm) <= _WAVELENGTH_NM:
        return []
    return [
        f"{band.role} of {scene.name} is at {found:g} nm, model {card.name!r} was made for "
        f"{band.wavelength_nm:g} nm: expect a somewhat worse map"
    ]


def _gsd(card: ModelCard, scene: Scene, gsd: float | None, ignore: bool) -> list[str]:
    if gsd is None:
        if card.gsd_m is None:
            return []
        return [
            f"{scene.name} has no CRS, so the size of its pixels is unknown; model {card.name!r} "
            f"was made for {_span(card.gsd_m)}"
        ]
    notes = []
    if card.gsd_m is not None:
        low, high = card.gsd_m
        words = (
            f"the pixels of {scene.name} are {_length(gsd)} across, "
            f"model {card.name!r} was made for {_span(card.gsd_m)}"
        )
        if not low / GSD_FACTOR <= gsd <= high * GSD_FACTOR and not ignore:
            raise ModelError(f"{words}; {_gsd_fix(gsd, low)}")
        # A rounded GSD on the limit itself is within.
        if not low * 0.999 <= gsd <= high * 1.001:
            better = f"; --gsd {_finest(low)} resamples to its range" if gsd < low else ""
            notes.append(f"{words}: expect a somewhat worse map{better}")
    # In 10 m pixels nobody looks for a plant of 50 m.
    seen = _PLANT_PIXELS * gsd
    what = "plants" if seen < _LARGEST_PLANT_M else "areas"
    notes.append(f"{what} of about {_length(seen)} across, or larger, can be seen")
    return notes


def _gsd_fix(gsd: float, low: float) -> str:
    go_on = "go on all the same with --ignore-gsd"
    if gsd < low:
        return f"resample to its range with --gsd {_finest(low)}, or {go_on}"
    return (
        f"use a model for coarser pixels ({BASELINE} tells vegetation from soil at any size), or "
        f"finer images, or {go_on}"
    )


def _finest(low: float) -> str:
    """The pixels within the range in which most is left to see."""
    return f"{low:.4g}"


def _radiometry(card: ModelCard, scene: Scene) -> list[str]:
    found = scene.radiometry
    if card.radiometry == "any" or found.level == "reflectance":
        return []
    if found.level == "DN":
        raise ModelError(
            f"model {card.name!r} needs reflectance of 0 to 1, and the scale of the numbers in "
            f"{scene.name} is unknown ({found.evidence}); state it with --scale (reflectance = "
            "number x scale) or with --sensor"
        )
    return [
        f"{scene.name} is not calibrated to reflectance ({found.evidence}), which model "
        f"{card.name!r} was made for: expect a worse map where the light differs"
    ]


def _words(band: BandInput) -> str:
    nm = "" if band.wavelength_nm is None else f" ({band.wavelength_nm:g} nm)"
    return f"{band.role}{nm}"


def _span(gsd_m: tuple[float, float]) -> str:
    low, high = gsd_m
    return _length(low) if low == high else f"{_length(low)} to {_length(high)}"


def _length(metres: float) -> str:
    """Metres in the unit that a person would use."""
    if metres < 0.01:
        return f"{metres * 1000:.2g} mm"
    return f"{metres * 100:.3g} cm" if metres < 1 else f"{metres:.3g} m"
