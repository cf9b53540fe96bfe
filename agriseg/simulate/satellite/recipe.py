"""The recipe of a farmed landscape from a satellite: two dates, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agriseg.errors import OptionError
from agriseg.simulate.grid_recipe import GRID_LIMITS, GridRecipe, Limits
from agriseg.simulate.spectra import SENSORS

__all__ = ["SatelliteRecipe"]

_LIMITS: Limits = {
    **GRID_LIMITS,
    "gsd_m": (2.5, 30.0, "fields are drawn, not plants: give metres a pixel, as 10"),
    "field_ha": (0.2, 60.0, "give the median field's size in hectares"),
    "elongation": (1.0, 8.0, "give the length of a usual field over its width"),
    "landscape_direction_deg": (-90.0, 90.0, "give degrees from the raster's columns, clockwise"),
    "wood_share": (0.0, 0.8, "give the share of the land under trees"),
    "settlement_share": (0.0, 0.5, "give the share of the land in villages"),
    "grass_share": (0.0, 0.9, "give the share of the land under meadows"),
    "first_date": (1, 365, "give the day of the year, 1 to 365"),
    "second_date": (1, 365, "give the day of the year, 1 to 365"),
    "cloud_share": (0.0, 0.9, "give the share of each date's pixels under clouds"),
    "haze": (0.0, 0.6, "give the share of the light that haze replaces"),
    "moisture": (0.0, 1.0, "give the mean wetness of bare soil, 0 dry to 1 wet"),
    "sun_azimuth_deg": (0.0, 360.0, "give degrees clockwise from north"),
    "sun_elevation_deg": (15.0, 85.0, "satellites look where the sun stands high enough"),
    "blur_px": (0.0, 1.5, "give the standard deviation of the point spread in pixels"),
    "noise": (0.0, 0.05, "give the sensor's noise in reflectance, as 0.001"),
}

# What at most lies under woods, villages and meadows: the rest is arable land.
_MOST_NOT_ARABLE = 0.95


@dataclass(frozen=True)
class SatelliteRecipe(GridRecipe):
    """A mosaic of fields, woods and villages, seen by a satellite on two days of one year.

    Crops and their calendar are those of temperate central Europe (see `season`).

    Args:
        seed: Whole number from which all that is random follows.
        width: Columns of the raster.
        height: Rows of the raster.
        gsd_m: Side of a pixel in metres.
        crs: Coordinate system in metres, as "EPSG:32633".
        left_m: Easting of the upper left corner, in metres of the CRS.
        top_m: Northing of the upper left corner, in metres of the CRS.
        sensor: The camera, a key of `spectra.SENSORS`.
        field_ha: Size of the median field, hectares.
        elongation: Length of a usual field over its width.
        landscape_direction_deg: Main direction of lanes, degrees clockwise from the columns axis.
        wood_share: Share of the land under woods; hedges and trees at streams come on top.
        settlement_share: Share of the land in villages; farms and roads come on top.
        grass_share: Share of the land under meadows.
        first_date: Day of the year of the first image, 1..365.
        second_date: Day of the year of the second image, later than the first.
        cloud_share: Share of each image's pixels under clouds; their shadows come on top.
        haze: Share of the light that thin haze replaces, on both dates.
        moisture: Mean wetness of bare soil, 0 (dry) to 1 (wet).
        sun_azimuth_deg: Where the sun stands, degrees clockwise from north; says where the clouds'
            shadows fall.
        sun_elevation_deg: How high it stands, degrees above the horizon.
        blur_px: Standard deviation of the sensor's point spread, pixels.
        noise: Standard deviation of the sensor's noise, reflectance.

    Raises:
        OptionError: A value makes no scene; the message says which, and what to give.
    """

    kind: ClassVar[str] = "satellite"
    limits: ClassVar[Limits] = _LIMITS
    words: ClassVar[dict[str, tuple[str, ...]]] = {"sensor": tuple(SENSORS)}

    width: int = 800
    height: int = 640
    gsd_m: float = 10.0
    left_m: float = 629840.0
    top_m: float = 5345220.0
    sensor: str = "sentinel-2"
    field_ha: float = 2.2
    elongation: float = 2.2
    landscape_direction_deg: float = -14.0
    wood_share: float = 0.12
    settlement_share: float = 0.04
    grass_share: float = 0.1
    first_date: int = 135
    second_date: int = 222
    cloud_share: float = 0.05
    haze: float = 0.03
    moisture: float = 0.35
    sun_azimuth_deg: float = 158.0
    sun_elevation_deg: float = 57.0
    blur_px: float = 0.55
    noise: float = 0.0012

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first_date >= self.second_date:
            raise OptionError(
                f"recipe: first_date is {self.first_date} and second_date {self.second_date}; "
                "both are days of one year: give the earlier one first"
            )
        taken = self.wood_share + self.settlement_share + self.grass_share
        if taken > _MOST_NOT_ARABLE + 1e-9:
            raise OptionError(
                f"recipe: wood_share, settlement_share and grass_share come to {taken:.3g}; "
                f"{_MOST_NOT_ARABLE:g} is the most, the rest is fields: give smaller shares"
            )
        if self.field_ha * 1e4 < 9 * self.gsd_m**2:
            raise OptionError(
                f"recipe: field_ha is {self.field_ha} and gsd_m {self.gsd_m}; fields are seen only "
                "where they have nine pixels or more: give a finer gsd_m or larger fields"
            )

    @property
    def dates(self) -> tuple[int, int]:
        """The days of the year of both images."""
        return self.first_date, self.second_date
