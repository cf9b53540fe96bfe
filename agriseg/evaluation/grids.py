"""Labelled scenes at another pixel size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from affine import Affine

from agriseg.errors import OptionError
from agriseg.geobox import GeoBox
from agriseg.labels import LabelledScene

__all__ = ["at_gsd"]

_SNAP = 1e-4


def at_gsd(scenes: Sequence[LabelledScene], gsd_m: float) -> tuple[LabelledScene, ...]:
    """The scenes with pixels of `gsd_m` metres; a pixel is labelled as the place of its centre.

    So scores stay those of places on the ground: coarse pixels are not excused for what they
    cannot show.

    Raises:
        OptionError: The pixel size of a scene is unknown, or `gsd_m` makes no sense.
    """
    if not (math.isfinite(gsd_m) and gsd_m > 0):
        raise OptionError(f"--gsd {gsd_m}: a positive number of metres is needed")
    return tuple(_resized(one, gsd_m) for one in scenes)


def _resized(one: LabelledScene, gsd_m: float) -> LabelledScene:
    box = one.scene.geobox
    if box.gsd_m is not None:
        return replace(one, scene=one.scene.at_gsd(gsd_m), gsd_m=gsd_m)
    if one.gsd_m is None:
        raise OptionError(
            f"--gsd {gsd_m}: the pixel size of {one.name} is unknown; say gsd_m in the data"
        )
    factor = gsd_m / one.gsd_m
    width, height = (max(math.ceil(n / factor - _SNAP), 1) for n in (box.width, box.height))
    coarse = GeoBox(box.crs, box.transform @ Affine.scale(factor), width, height)
    return replace(one, scene=replace(one.scene, geobox=coarse), gsd_m=gsd_m)
