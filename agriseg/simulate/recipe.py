"""The recipe of a field: all that the simulator has to know, in one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from agriseg.errors import OptionError
from agriseg.simulate.crops import CROPS
from agriseg.simulate.grid_recipe import GRID_LIMITS, GridRecipe, Limits
from agriseg.simulate.spectra import SENSORS, SOILS

__all__ = ["SAME_CROP", "FieldRecipe"]

SAME_CROP = "same"
"""What `neighbour_crop` says where all fields bear one crop."""

VERGE_M, BORDER_WIDTHS = 1.2, 1.7
"""A field that ends inside the raster leaves so many metres beside the ragged border, which is at
most about so many times as wide as its mean."""

# A narrower pass would have wheels upon wheels.
_LEAST_PASS_M = 4.0

_LIMITS: Limits = {
    **GRID_LIMITS,
    "gsd_m": (0.001, 0.1, "plants are drawn leaf by leaf: give metres a pixel, as 0.02"),
    "row_spacing_m": (0.1, 5.0, "give metres between two rows, as 0.75"),
    "row_direction_deg": (-90.0, 90.0, "give degrees from the raster's columns, clockwise"),
    "plant_spacing_m": (0.02, 5.0, "give metres between two plants of a row, as 0.42"),
    "plant_radius_m": (0.015, 0.6, "give half the width of a middling plant in metres"),
    "stage": (0.0, 1.0, "give the crop's age, 0 for seedlings to 1 for full grown"),
    "gap_share": (0.0, 0.9, "give the share of places in the rows without a plant"),
    "weeds_per_m2": (0.0, 1000.0, "give the mean number of weeds on a square metre"),
    "weed_kinds": (
        2,
        14,
        "2 to 14: rosettes, grasses, creeping, tall, fine grass, seedlings, feathery, flat grass, "
        "lobed, broad, narrow, clover, cereal, fleshy",
    ),
    "weed_size": (0.2, 1.5, "give the size of weeds over the usual one, 0.3 for seedlings"),
    "weed_mat": (0.0, 1.0, "give how far weeds close into a mat: 0 patches, 1 all over"),
    "broadcast": (0.0, 1.0, "give how far plants stray from their rows, 1 for none to be seen"),
    "moisture": (0.0, 1.0, "give the mean wetness of the soil, 0 dry to 1 wet"),
    "stones_per_m2": (0.0, 400.0, "give the mean number of stones on a square metre"),
    "straw_per_m2": (0.0, 1000.0, "give the mean number of pieces of straw on a square metre"),
    "roughness": (
        0.0,
        1.0,
        "give how cloddy the ground is: 0 rolled, 1 freshly ploughed",
    ),
    "cracks": (0.0, 1.0, "give how much the ground has cracked, 0 not at all"),
    "patchiness": (0.0, 1.0, "give how much ground and crop differ from patch to patch"),
    "crust": (0.0, 1.0, "give the share of the ground that rain has crusted"),
    "specks": (0.0, 1.0, "give how thick pale specks lie on the ground: 0 for none"),
    "moss": (0.0, 1.0, "give how green the ground is of moss, algae and the smallest seedlings"),
    "debris": (0.0, 1.0, "give how much chaff, fibres and humus lie on the ground"),
    "soil_variety": (0.0, 1.0, "give how much the soil differs from its kind, and within"),
    "diffuse": (0.0, 1.0, "give the share of the sun behind clouds: 0 clear, 1 overcast"),
    "senescence": (0.0, 1.0, "give how far the crop has dried: 0 green, 1 ripe straw"),
    "leaf_variety": (0.0, 1.0, "give how much plants differ in colour beyond their paleness"),
    "leaf_detail": (0.0, 1.0, "give how much shows on leaves: veins, teeth, holes, glints"),
    "plant_variety": (0.0, 1.0, "give how far form and colour of species lie from the usual"),
    "sun_azimuth_deg": (0.0, 360.0, "give degrees clockwise from north"),
    "sun_elevation_deg": (20.0, 85.0, "a lower sun throws shadows over many rows"),
    "border_m": (0.0, 5.0, "give the mean width of the border without pixels in metres"),
    "blur_px": (0.0, 1.5, "give the standard deviation of the camera's blur in pixels"),
    "noise": (0.0, 0.05, "give the sensor's noise in reflectance, as 0.002"),
    "pass_m": (0.0, 60.0, "give metres between two passes of a tractor, 0 for none"),
    "curve_radius_m": (0.0, 20_000.0, "give the radius of curved rows in metres, 0 for straight"),
    "headland_m": (0.0, 60.0, "give metres that are sown along the field's edge, 0 for none"),
    "fields": (1, 6, "give the number of neighbouring fields"),
    "margin_m": (0.3, 10.0, "give metres of grass between two fields, as 1.5"),
    "misregistration_px": (0.0, 2.0, "give how far bands lie from the green one, as 0.7"),
    "exposure_steps": (0.0, 0.2, "give the deviation between flight lines, as 0.05 for 5 %"),
}


@dataclass(frozen=True)
class FieldRecipe(GridRecipe):
    """A field of a crop in rows, with weeds, under a low-flying camera.

    The grid is north-up; a field coordinate is (x, y) in metres east and south of its upper left
    corner. Everything random is a function of `seed` and of field coordinates, so two recipes
    that differ only in width, height or border show the same plants where they overlap. Fields,
    headlands and curves are laid out in the raster, and move with its size.

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
        weeds_per_m2: Mean number of weeds on a square metre; most stand in patches. Where they
            are very many, most are small; beyond 400 there is room for them in a mat only.
        moisture: Mean wetness of the soil, 0 (dry) to 1 (wet).
        sun_azimuth_deg: Where the sun stands, degrees clockwise from north.
        sun_elevation_deg: How high it stands, degrees above the horizon.
        border_m: Mean width of the ragged border without pixels, metres; 0 for none.
        blur_px: Standard deviation of the camera's blur, pixels.
        noise: Standard deviation of the sensor's noise, reflectance.
        misregistration_px: Greatest distance between a band and the green one, pixels. Each band
            has an offset of its own that drifts a little over the scene; labels are in register
            with green.
        exposure_steps: Standard deviation of the brightness between flight lines, as a share of
            the brightness, with seams, and a gradient inside each line.
        sensor: The camera, a key of `spectra.SENSORS`.
        crop: The crop, a key of `crops.CROPS`. How it is sown and how large it is stands in the
            fields above; `filled` fills in what is usual.
        stage: Its age, from 0 (seedlings) to 1 (full grown): number and form of the leaves.
        weed_kinds: Kinds of weeds, 2 to 14: leafy rosettes and grasses, then creeping and tall
            ones, then fine grasses, seedlings and feathery ones, grasses that lie on the ground;
            then lobed, broad and narrow leaves, clover, volunteer cereal, fleshy leaves.
        weed_size: Size of the weeds over the usual one: 0.3 for seedlings, 1.5 for large ones.
        weed_mat: How far weeds close into a mat: at 0 most stand in patches and most are small,
            at 1 they stand evenly and most are grown.
        broadcast: How far crop plants stray from their rows, 0 to 1, where no row is seen.
        soil: Kind of soil, one of `spectra.SOILS`.
        stones_per_m2: Mean number of stones on a square metre, up to 400.
        straw_per_m2: Mean number of pieces of straw and stalk on a square metre; 900 cover an
            eighth of the ground, as after no-till.
        roughness: How cloddy the ground is: 0 a rolled seedbed, 1 freshly ploughed, with clods of
            all sizes up to 12 cm that lie upon each other.
        cracks: How much the ground has cracked, 0 to 1: how many cracks, and how wide.
        patchiness: How much moisture, colour of the soil and size of the crop differ from patch to
            patch beyond what they always do, 0 to 1.
        crust: Share of the ground that rain has slaked and dried to smooth, pale plates, 0 to 1;
            few clods stand out of them.
        specks: How many pale specks lie on the ground, 0 to 1: sand, shell, salt, in nests.
        moss: How green the ground itself is, 0 to 1: moss, algae and seedlings too small to be
            told apart. It covers less than half of any pixel, and is labelled soil.
        debris: How much fine residue lies about, 0 to 1: fibres and roots, chaff in lines along the
            rows, dark crumbs of humus.
        soil_variety: 0 to 1: how far colour and brightness of the soil are from those of its kind,
            in this field as a whole and from spot to spot; stones come in more colours and forms.
        diffuse: Share of the sun's light that comes from the whole sky instead, 0 (clear) to 1
            (overcast, without shadows).
        senescence: How far the crop has dried, from 0 (green) to 1 (straw); old leaves go first.
        leaf_variety: 0 to 1: how much species and plants differ in brightness and paleness, and
            how many are red.
        leaf_detail: 0 to 1: how much shows on leaves at millimetres a pixel: teeth and deep cuts,
            side veins, blotches, holes, dried tips, glints, shadow between leaves, stalks.
        plant_variety: 0 to 1: how far the crop and each kind of weed lie from their usual form and
            colour in this field, and plants and leaves from each other; some are blue with wax.
        pass_m: Metres between two passes of a tractor, whose wheels leave tracks; 0 for none.
        curve_radius_m: Radius of curved rows in the raster's middle, as along a contour or under a
            pivot; 0 for straight ones.
        headland_m: Width of the strips at both ends of the rows that are sown along the field's
            edge, as machines turn there; 0 for none. A single field then ends inside the raster.
        fields: Neighbouring fields in the raster. The first is the one that the other keys
            describe; its neighbours have other rows, gaps, weeds and plants of another size.
        margin_m: Width of the grass between two fields, labelled weed; from 2.4 m on a track
            runs along it, from 4 m on a bare road.
        neighbour_crop: Crop of every other field, or "same".

    Raises:
        OptionError: A value makes no field; the message says which, and what to give.
    """

    kind: ClassVar[str] = "field"
    limits: ClassVar[Limits] = _LIMITS
    words: ClassVar[dict[str, tuple[str, ...]]] = {
        "sensor": tuple(SENSORS),
        "crop": tuple(CROPS),
        "neighbour_crop": (SAME_CROP, *CROPS),
        "soil": SOILS,
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
    misregistration_px: float = 0.0
    exposure_steps: float = 0.0
    sensor: str = "rededge"
    crop: str = "beet"
    stage: float = 0.5
    weed_kinds: int = 2
    weed_size: float = 1.0
    weed_mat: float = 0.0
    broadcast: float = 0.0
    soil: str = SOILS[0]
    stones_per_m2: float = 0.6
    straw_per_m2: float = 3.5
    roughness: float = 0.0
    cracks: float = 0.0
    patchiness: float = 0.0
    crust: float = 0.0
    specks: float = 0.0
    moss: float = 0.0
    debris: float = 0.0
    soil_variety: float = 0.0
    diffuse: float = 0.0
    senescence: float = 0.0
    leaf_variety: float = 0.0
    leaf_detail: float = 0.0
    plant_variety: float = 0.0
    pass_m: float = 18.0
    curve_radius_m: float = 0.0
    headland_m: float = 0.0
    fields: int = 1
    margin_m: float = 1.5
    neighbour_crop: str = SAME_CROP

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
        name, spacing = "row_spacing_m", self.row_spacing_m
        if self.fields > 1 and self.neighbour_crop != SAME_CROP:
            other = CROPS[self.neighbour_crop].row_spacing_m
            if other < spacing:
                name, spacing = f"the rows of {self.neighbour_crop} are", other
        if self.gsd_m * 3 > spacing + 1e-9:
            raise OptionError(
                f"recipe: gsd_m is {self.gsd_m} and {name} {spacing}; rows are "
                "seen only where three pixels or more lie between two: give a finer gsd_m"
            )
        if 0 < self.pass_m < _LEAST_PASS_M:
            raise OptionError(
                f"recipe: pass_m is {self.pass_m}; a tractor takes {_LEAST_PASS_M:g} m and more: "
                "give that, or 0 for no tracks"
            )
        diagonal = math.hypot(*self.size_m)
        if 0 < self.curve_radius_m < diagonal:
            raise OptionError(
                f"recipe: curve_radius_m is {self.curve_radius_m}, less than the raster's diagonal "
                f"of {diagonal:.1f} m; give that or more, or 0 for straight rows"
            )
        self._check_room()

    def _check_room(self) -> None:
        """Refuse headlands and margins that leave nothing of a field."""
        width, height = self.size_m
        if self.fields > 1:
            # Cut in two again and again: parts lie in a grid of so many.
            room = min(width, height) / math.ceil(math.sqrt(self.fields)) - self.margin_m
            least = max(self.headland_m, 2 * self.row_spacing_m)
        elif self.headland_m:
            # The shortest way along the rows between two edges that they meet.
            turn = math.radians(self.row_direction_deg)
            met = ((math.cos(turn), width), (abs(math.sin(turn)), height))
            extent = min(side for sine, side in met if sine > 0.5)
            room = 0.9 * extent - 2 * (VERGE_M + BORDER_WIDTHS * self.border_m)
            least = 2 * self.headland_m + 2 * self.row_spacing_m
        else:
            return
        if least > room:
            raise OptionError(
                f"recipe: headland_m is {self.headland_m}, margin_m {self.margin_m} and fields "
                f"{self.fields}; in a raster of {width:.3g} m x {height:.3g} m no field is left "
                "between them: give narrower ones, fewer fields or a larger raster"
            )
