"""What the QGIS plugin Deepness reads from an ONNX file, and what it makes of a raster's numbers.

Deepness (https://github.com/PUTvision/qgis-plugin-deepness) gives a graph (number / 255 - mean) /
std of each channel, whatever the type of the numbers, which are those that QGIS reads: a band's own
scale is applied. So mean and standard deviation in its metadata also turn numbers into reflectance,
and the graph takes what every network of agriseg takes.
"""

from __future__ import annotations

import json
import math
from typing import Any

from agriseg.errors import OptionError
from agriseg.models.card import ModelCard
from agriseg.models.fit import GSD_FACTOR

__all__ = ["deepness_metadata", "to_properties", "usual_scale", "working_gsd"]

_BYTE = 255
_VISIBLE = frozenset({"red", "green", "blue"})


def usual_scale(card: ModelCard) -> float:
    """What the numbers of such bands are multiplied with, as a rule, to be reflectance.

    Pictures of red, green and blue have 8 bits; with other bands, rasters hold reflectance or say
    by a scale of their own how to come to it, which QGIS applies.
    """
    return 1 / _BYTE if _VISIBLE.issuperset(card.keys) else 1.0


def working_gsd(card: ModelCard, gsd_m: float | None) -> float | None:
    """The pixel size to work at, in metres; by default the geometric middle of the model's range.

    Raises:
        OptionError: It is beyond twice or half the model's range.
    """
    if gsd_m is not None and not (math.isfinite(gsd_m) and gsd_m > 0):
        raise OptionError(f"--gsd {gsd_m}: expected are metres above 0")
    if card.gsd_m is None:
        return gsd_m
    low, high = card.gsd_m
    if gsd_m is None:
        return math.sqrt(low * high)
    # A rounded size on the limit itself is within.
    if not low / GSD_FACTOR * 0.999 <= gsd_m <= high * GSD_FACTOR * 1.001:
        raise OptionError(
            f"--gsd {gsd_m:g}: model {card.name!r} was made for pixels of {low:g} to {high:g} m; "
            "give a size in this range, which Deepness resamples to"
        )
    return gsd_m


def deepness_metadata(
    card: ModelCard, *, scale: float, offset: float, gsd_m: float | None
) -> dict[str, Any]:
    """What Deepness 0.6.5 reads, by its keys.

    Args:
        card: Of the exported graph: its bands, classes, tiles.
        scale: Reflectance = number * scale + offset.
        offset: See scale.
        gsd_m: The pixel size that Deepness resamples to; None: it keeps its own.

    Raises:
        OptionError: The scale makes no sense.
    """
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(offset)):
        raise OptionError(
            f"--scale {scale:g} --offset {offset:g}: expected is a finite scale above 0, such that "
            "reflectance = number * scale + offset"
        )
    unit = _BYTE * scale
    found: dict[str, Any] = {
        "model_type": "Segmentor",
        "class_names": {label.value: label.name for label in card.legend},
        "standardization_mean": [(band.mean - offset) / unit for band in card.bands],
        "standardization_std": [band.std / unit for band in card.bands],
        "tile_size": card.chip_size,
        "tiles_size": card.chip_size,  # so its manual; its code reads the other
        # Whole percent; what is asked for at least.
        "tiles_overlap": math.ceil(100 * card.overlap / card.chip_size),
        # 0: the likeliest class wherever it is, and no pixel taken from it.
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    if gsd_m is not None:
        found["resolution"] = float(f"{100 * gsd_m:.6g}")
    return found


def to_properties(metadata: dict[str, Any]) -> dict[str, str]:
    """The metadata as texts: each value is JSON of its own."""
    return {key: json.dumps(value, allow_nan=False) for key, value in metadata.items()}
