"""How a raster is cut into chips, and how predictions on chips become one seamless map."""

from agriseg.tiling.accumulator import (
    CONFIDENCE_STEPS,
    Accumulator,
    FinishedRows,
    NumpyAccumulator,
    SeamStrip,
    join_seam,
)
from agriseg.tiling.grid import Chip, ChipGrid
from agriseg.tiling.plan import Plan, Swath
from agriseg.tiling.seams import SeamCounter, seam_score

__all__ = [
    "CONFIDENCE_STEPS",
    "Accumulator",
    "Chip",
    "ChipGrid",
    "FinishedRows",
    "NumpyAccumulator",
    "Plan",
    "SeamCounter",
    "SeamStrip",
    "Swath",
    "join_seam",
    "seam_score",
]
