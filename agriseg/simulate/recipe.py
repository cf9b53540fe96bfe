"""The recipe of a field: all that the simulator has to know, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from agriseg.errors import OptionError
from agriseg.simulate.crops import CROPS
from agriseg.simulate.grid_recipe import GRID_LIMITS, GridRecipe, Limits
from agriseg.simulate.spectra import SENSORS

__all__ = ["FieldRecipe"]

_LIMITS: Limits = {
    **GRID_LIMITS,
    "gsd_m": (0.005, 0.1, "plants are drawn leaf by leaf: give metres a pixel, as 0.02"),
    "row_spacing_m": (0.1, 5.0, "give metres between two rows, as 0.75"),
    "row_direction_deg": (-90.0, 90.0, "give degrees from the raster's columns, clockwise"),
    "plant_spacing_m": (0.02, 5.0, "give metres between two plants of a row, as 0.42"),
    "plant_radius_m": (0.03, 0.6, "give half the width of a middling plant in metres"),
    "stage": (0.0, 1.0, "give the crop's age, 0 for seedlings to 1 for full grown"),
    "gap_share": (0.0, 0.9, "give the share of places in the rows without a plant"),
    "weeds_per_m2": (0.0, 40.0, "give the mean number of weeds on a square metre"),
    "weed_kinds": (2, 4, "2 are rosettes and grasses, 3 adds creeping, 4 tall weeds"),
    "moisture": (0.0, 1.0, "give the mean wetness of the soil, 0 dry to 1 wet"),
    "sun_azimuth_deg": (0.0, 360.0, "give degrees clockwise from north"),
    "sun_elevation_deg": (20.0, 85.0, "a lower sun throws shadows over many rows"),
    "border_m": (0.0, 5.0, "give the mean width of the border without pixels in metres"),
    "blur_px": (0.0, 1.5, "give the standard deviation of the camera's blur in pixels"),
    "noise": (0.0, 0.05, "give the sensor's noise in reflectance, as 0.002"),
}


@dataclass(frozen=True)
class FieldRecipe(GridRecipe):
    """A field of a crop in rows, with weeds, under a low-flying camera.

    The grid is north-up; a field coordinate is (x, y) in metres east and south of its upper left
    corner. Everything random is a function of `seed` and of field coordinates, so two recipes
    that differ only in width, height or border show the same plants where they overlap.

    Args:
        seed: Whole number from which all that is random follows.
        width: Columns of the raster.
        height: Rows of the raster.
        gsd_m: Side of a pixel in metres.
        crs: Coordinate system in metres, as "EPSG:32633".
        left_m: Easting of the upper left corner, in metres of the CRS.
        top_m: Northing of the upper left corner, in metres of the CRS.
        row_spacing_m: Metres between two crop rows.
        row_direction_deg: Direction of the rows, degrees clockwise from the raster's columns axis.
        plant_spacing_m: Metres between two places for a plant in a row.
        plant_radius_m: Half the width of a middling crop plant, metres.
        gap_share: Share of the places that stay empty, 0..0.9, alone and in runs.
        weeds_per_m2: Mean number of weeds on a square metre; most stand in patches.
        moisture: Mean wetness of the soil, 0 (dry) to 1 (wet).
        sun_azimuth_deg: Where the sun stands, degrees clockwise from north.
        sun_elevation_deg: How high it stands, degrees above the horizon.
        border_m: Mean width of the ragged border without pixels, metres; 0 for none.
        blur_px: Standard deviation of the camera's blur, pixels.
        noise: Standard deviation of the sensor's noise, reflectance.
        sensor: The camera, a key of `spectra.SENSORS`.
        crop: The crop, a key of `crops.CROPS`. How it is sown and how large it is stands in the
            fields above; `filled` fills in what is usual.
        stage: Its age, from 0 (seedlings) to 1 (full grown): number and form of the leaves.
        weed_kinds: Kinds of weeds, 2 to 4: leafy rosettes and grasses, then creeping and tall ones.

    Raises:
        OptionError: A value makes no field; the message says which, and what to give.
    """

    kind: ClassVar[str] = "field"
    limits: ClassVar[Limits] = _LIMITS
    words: ClassVar[dict[str, tuple[str, ...]]] = {
        "sensor": tuple(SENSORS),
        "crop": tuple(CROPS),
    }

    width: int = 1360
    height: int = 1100
    gsd_m: float = 0.02
    row_spacing_m: float = 0.75
    row_direction_deg: float = 17.0
    plant_spacing_m: float = 0.42
    plant_radius_m: float = 0.25
    gap_share: float = 0.08
    weeds_per_m2: float = 3.5
    moisture: float = 0.4
    sun_azimuth_deg: float = 251.0
    sun_elevation_deg: float = 42.0
    border_m: float = 0.6
    blur_px: float = 0.7
    noise: float = 0.001
    sensor: str = "rededge"
    crop: str = "beet"
    stage: float = 0.5
    weed_kinds: int = 2

    @classmethod
    def filled(cls, **options: Any) -> Self:
        """A recipe in which rows, plant spacing and size are those of the crop where not given.

        Args:
            options: Fields of the recipe.

        Raises:
            OptionError: A value makes no field.
        """
        name, stage = options.get("crop", cls.crop), options.get("stage", cls.stage)
        crop = CROPS.get(name) if isinstance(name, str) else None
        number = isinstance(stage, int | float) and not isinstance(stage, bool)
        if crop is None or not number or not 0 <= stage <= 1:
            return cls(**options)  # which says what is wrong
        usual = {
            "row_spacing_m": crop.row_spacing_m,
            "plant_spacing_m": crop.plant_spacing_m,
            "plant_radius_m": crop.radius(stage),
        }
        return cls(**{**usual, **options})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gsd_m * 3 > self.row_spacing_m:
            raise OptionError(
                f"recipe: gsd_m is {self.gsd_m} and row_spacing_m {self.row_spacing_m}; rows are "
                "seen only where three pixels or more lie between two: give a finer gsd_m"
            )
