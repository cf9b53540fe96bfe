"""How a file's numbers become reflectance: decided once, from evidence.

The order of evidence: what the user says, the file's own scale and offset, a sensor preset, the
type and range of the values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.bands import Level, Radiometry, Sensor
from agriseg.errors import OptionError
from agriseg.raster.source import Source

__all__ = ["decide_radiometry", "suspicious_level"]

Scaling = tuple[Radiometry, tuple[float, ...], tuple[float, ...]]
"""The decision for a file, and scale and offset of each of its bands."""

# "04.00" in the metadata, "N0400" in the name of the product.
_BASELINE = re.compile(r"PROCESSING_BASELINE=N?(\d\d)\.?\d\d\b", re.IGNORECASE)


def decide_radiometry(
    source: Source,
    sample: NDArray[Any],
    *,
    scale: float | None = None,
    offset: float | None = None,
    sensor: Sensor | None = None,
) -> Scaling:
    """Decide how the numbers of a file become reflectance.

    Args:
        source: The file.
        sample: Raw values (n,) of usable pixels of its spectral bands.
        scale: What the user says; reflectance = value * scale + offset.
        offset: See `scale`.
        sensor: The preset that the user named.

    Returns:
        The decision, and scale and offset of each band.

    Raises:
        OptionError: The sensor's offset depends on something that the file does not tell.
    """

    def same(level: Level, evidence: str, a: float, b: float) -> Scaling:
        n = source.count
        return Radiometry(level, evidence), (a,) * n, (b,) * n

    whole = source.dtype.kind in "iu"
    if scale is not None:
        b = offset or 0.0
        return same("reflectance", f"you said value * {scale:g} + {b:g}", scale, b)
    if any(s != 1 for s in source.scales) or any(o != 0 for o in source.offsets):
        offsets = source.offsets if offset is None else (offset,) * source.count
        whose = "" if offset is None else "your "
        words = f"the file's own scale {_each(source.scales)} and {whose}offset {_each(offsets)}"
        return Radiometry("reflectance", words), source.scales, offsets
    if sensor is not None and sensor.scale is not None and whole:
        if offset is None:
            offset = sensor.offset if sensor.offset is not None else _sentinel_offset(source)
        words = f"{sensor.title}: value * {sensor.scale:g} + {offset:g}"
        return same("reflectance", words, sensor.scale, offset)
    if offset is not None:
        raise OptionError(f"--offset {offset:g} needs --scale beside it")
    if source.dtype == np.uint8:
        return same("relative", "8-bit values / 255, not calibrated", 1 / 255, 0.0)
    if not whole:
        if not sample.size:
            return same(
                "reflectance", "floating point, without a usable value to look at", 1.0, 0.0
            )
        high = float(np.percentile(sample, 99))
        if high <= 1.5:
            return same("reflectance", "floating point values up to about 1", 1.0, 0.0)
        return same("DN", f"floating point values up to {high:g}, scale unknown", 1.0, 0.0)
    return same("DN", f"{source.dtype} values, scale unknown", 1.0, 0.0)


def _each(values: Sequence[float]) -> str:
    """One number where all bands share it, else the range of them."""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g} (by band)"


def _sentinel_offset(source: Source) -> float:
    """Sentinel-2's offset by processing baseline: -0.1 from 04.00 on (25 January 2022)."""
    for key, value in source.tags.items():
        # Together, because GDAL takes the name "s2:processing_baseline" apart at the colon.
        match = _BASELINE.search(f"{key}={value}")
        if match:
            return -0.1 if int(match.group(1)) >= 4 else 0.0
    raise OptionError(
        f"{source.path} does not tell its processing baseline, which decides the offset of "
        "Sentinel-2 values: give --offset -0.1 (baseline 04.00 and later, not yet removed) or "
        "--offset 0 (earlier, or already removed)"
    )


def suspicious_level(level: str, high: float) -> str | None:
    """What is odd about the 99th percentile of a scene's reflectance, or None."""
    if level != "reflectance":
        return None
    if high <= 0:
        return (
            f"99 % of the reflectance lies at or under {high:.3g}, and light is never negative: "
            "name the value of missing pixels with --nodata, or give --scale and --offset"
        )
    if high < 0.01:
        return (
            f"99 % of the reflectance lies under {high:.2g}, far below what plants and soil "
            "have: a scale was lost; give --scale (WebODM's Mavic 3M exports need about 32768)"
        )
    if high > 1.5:
        return (
            f"1 % of the reflectance lies above {high:.3g}, more than any field reflects: the "
            "scale is wrong; give --scale (0.0001 for values of reflectance x 10000)"
        )
    return None
