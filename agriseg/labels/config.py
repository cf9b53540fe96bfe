"""The `legend:` and `data:` of a configuration: where scenes and their labels are.

    legend: {soil: "#a6784f", crop: "#2ca02c", weed: "#d62728"}
    data:
      - kind: scenes
        scenes: flights/*.tif
        labels: labels/*.gpkg       # what the stars stand for must agree
        column: class
        elsewhere: soil
      - kind: folders
        images: images/*_image.png
        labels: annotations/*_annotation.png
        values: {"#00ff00": crop, "#ff0000": weed, "#000000": soil}

Paths are relative to the file that says them.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from agriseg.bands import SENSORS
from agriseg.errors import LabelError, OptionError, nearest, shown
from agriseg.labels.values import OTHER, color_of, range_of
from agriseg.legend import Legend
from agriseg.settings import Settings

__all__ = [
    "ByIndex",
    "CocoEntry",
    "DataEntry",
    "FolderEntry",
    "LegendSetting",
    "Part",
    "SceneEntry",
    "SimulatedEntry",
    "legend_from",
]

Part = Literal["train", "validation", "test"]
"""What scenes can be for, where the user says it."""

# Colours that stay apart to most eyes, for classes without one (Okabe and Ito 2008).
_COLORS = (
    "#a6784f", "#009e73", "#d55e00", "#56b4e9", "#f0e442", "#cc79a7", "#0072b2", "#e69f00",
)  # fmt: skip


def legend_from(given: object) -> Legend:
    """A legend from `{soil: "#a6784f", ...}` or a list of names; the order gives the values.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(given, Legend):
        return given
    if isinstance(given, dict) and given:
        pairs = list(given.items())
    elif isinstance(given, list) and given:
        pairs = [(name, None) for name in given]
    else:
        raise ValueError(
            f'{shown(given)} is no legend; give names with colours, such as soil: "#a6784f"'
        )
    for name, color in pairs:
        if not isinstance(name, str):
            raise ValueError(f"the class {shown(name)} is no word; put its name in quotes")
        if color is not None and color_of(color) is None:
            raise ValueError(
                f"the colour of {name} is {shown(color)}; a colour in quotes is needed, such as "
                '"#a6784f"'
            )
    chosen = [(name, color or _COLORS[k % len(_COLORS)]) for k, (name, color) in enumerate(pairs)]
    return Legend.of(*chosen)


LegendSetting = Annotated[Legend, BeforeValidator(legend_from)]


def _listed(value: object) -> object:
    """One path, or a list of them, as a list."""
    return [value] if isinstance(value, str) else value


Paths = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
"""Files, patterns with stars, or one of them."""


def _values(given: object) -> object:
    if isinstance(given, str):
        given = {OTHER: given}
    if not isinstance(given, dict) or not given:
        raise ValueError(
            f"{shown(given)} is no mapping; list values and what they mean, such as 1: crop, or "
            "name one class for all"
        )
    for key, text in given.items():
        if key is None and text is None:
            raise ValueError('a colour needs quotes, such as "#ff0000": weed: # begins a comment')
        if isinstance(key, bool) or key is None:
            raise ValueError(f"the key {shown(key)} is no value; put words such as 'no' in quotes")
        if not isinstance(text, str):
            raise ValueError(
                f"{shown(key)} is {shown(text)}; a class is needed, or several with 'or' between, "
                "or ignore"
            )
        try:
            range_of(key)
        except LabelError as error:
            raise ValueError(str(error).removeprefix("values: ")) from error
    return given


Values = Annotated[dict[Any, str], BeforeValidator(_values)]
"""What values, ranges, colours or names mean; see `values.value_table`."""


class ByIndex(Settings):
    """Classes that a vegetation index tells apart.

    Args:
        low: What is no plant.
        high: What is one.
    """

    low: str
    high: str


class _Entry(Settings):
    """What every kind of entry can say.

    Args:
        bands: Roles of the bands in their order, or numbers by role, as `open_scene` takes them.
        sensor: A preset of `agriseg.bands.SENSORS`.
        scale: Reflectance = value * scale + offset.
        offset: See `scale`.
        nodata: The value of missing pixels, where the files do not declare it.
        gsd_m: Ground sampling distance in metres, where the files do not tell it.
        group: Scenes of one group stay in one part: a regular expression that finds its name in
            the path of the image as it is written here (not in what lies above a relative path),
            such as "plot\\d+".
        weight: How often these scenes are drawn in training, against others of their area.
        part: What these scenes are for, where not the split should say it.
        by_index: Which class is meant where labels leave open two, such as "soil or weed", and a
            vegetation index is surely low or high: NDVI, or excess green.
    """

    bands: str | tuple[str, ...] | dict[str, int] | None = None
    sensor: str | None = None
    scale: float | None = Field(default=None, allow_inf_nan=False)
    offset: float | None = Field(default=None, allow_inf_nan=False)
    nodata: float | None = None
    gsd_m: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    group: str | None = None
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    part: Part | None = None
    by_index: ByIndex | None = None

    @field_validator("sensor")
    @classmethod
    def _known(cls, sensor: str | None) -> str | None:
        if sensor is not None and sensor not in SENSORS:
            raise ValueError(f"{sensor!r} is unknown; {nearest(sensor, SENSORS)}")
        return sensor

    @field_validator("group")
    @classmethod
    def _pattern(cls, group: str | None) -> str | None:
        try:
            re.compile(group or "")
        except re.error as error:
            raise ValueError(f"{group!r} is no regular expression ({error})") from error
        return group


class SceneEntry(_Entry):
    """Rasters on the ground, with labels from rasters or vector files.

    Args:
        scenes: Rasters, or folders of single-band rasters.
        labels: A label file for each of them (what the stars stand for must agree), or one for
            all.
        values: What values, colours, or entries of the column mean.
        column: Which column of a vector file holds the class.
        layer: Which layer of a vector file.
        elsewhere: What lies outside of all polygons.
        within: A vector file with the areas that were labelled; all else is ignored.
    """

    kind: Literal["scenes"]
    scenes: Paths
    labels: Paths
    values: Values | None = None
    column: str | None = None
    layer: str | None = None
    elsewhere: str = "ignore"
    within: str | None = None

    @property
    def image_paths(self) -> tuple[str, ...]:
        return self.scenes


class FolderEntry(_Entry):
    """Pictures and masks of the same size, pixel by pixel.

    Args:
        images: A folder, or a pattern with stars.
        labels: The same for masks: of a folder, files of the same stem; of a pattern, where the
            stars stand for the same.
        values: What values or colours mean.
    """

    kind: Literal["folders"]
    images: Paths
    labels: Paths
    values: Values | None = None

    @property
    def image_paths(self) -> tuple[str, ...]:
        return self.images


class CocoEntry(_Entry):
    """Pictures with a COCO file of polygons or run lengths.

    Args:
        annotations: The JSON file.
        images: The folder of its pictures; by default that of the JSON file.
        values: What its categories mean; by default their names.
        elsewhere: What lies outside of all annotations.
    """

    kind: Literal["coco"]
    annotations: str
    images: str | None = None
    values: Values | None = None
    elsewhere: str = "ignore"

    @property
    def image_paths(self) -> tuple[str, ...]:
        return (self.images or os.path.dirname(self.annotations),)


class SimulatedEntry(_Entry):
    """What `agriseg simulate` left.

    Args:
        folder: Of one scene, or of a dataset; or several.
        values: What its classes mean; by default their names.
    """

    kind: Literal["simulated"]
    folder: Paths
    values: Values | None = None

    @property
    def image_paths(self) -> tuple[str, ...]:
        return self.folder


DataEntry = Annotated[
    SceneEntry | FolderEntry | CocoEntry | SimulatedEntry, Field(discriminator="kind")
]
"""One entry of `data:`."""


class DataSettings(Settings):
    """The parts of a configuration that say what the data are.

    Args:
        legend: The classes, with colours.
        data: Where scenes and labels are.
    """

    legend: LegendSetting = Field(examples=['{soil: "#a6784f", crop: "#2ca02c"}'])
    data: tuple[DataEntry, ...] = Field(
        min_length=1, examples=["[{kind: scenes, scenes: flights/*.tif, labels: labels/*.gpkg}]"]
    )

    model_config = Settings.model_config | {"arbitrary_types_allowed": True}

    @model_validator(mode="before")
    @classmethod
    def _one(cls, given: Any) -> Any:
        """A single entry needs no list."""
        if isinstance(given, dict) and isinstance(given.get("data"), dict):
            return {**given, "data": [given["data"]]}
        return given


def options_of(entry: _Entry) -> dict[str, Any]:
    """The keywords of `open_scene` that an entry gives.

    Raises:
        OptionError: They contradict each other.
    """
    bands = list(entry.bands) if isinstance(entry.bands, tuple) else entry.bands
    if bands is not None and len(bands) == 0:
        raise OptionError("bands is empty; name the bands in order, such as red,green,blue")
    return {
        "bands": bands,
        "sensor": entry.sensor,
        "scale": entry.scale,
        "offset": entry.offset,
        "nodata": entry.nodata,
    }
