"""What a training is: one YAML file, checked as a whole before anything starts."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from agriseg.errors import OptionError
from agriseg.labels.config import DataSettings
from agriseg.labels.division import CHIP_SIZE
from agriseg.labels.split import SplitSettings
from agriseg.settings import Settings, checked
from agriseg.training.losses import parse_losses
from agriseg.yaml_file import read_yaml

__all__ = [
    "NEED_TWO",
    "AugmentConfig",
    "BandConfig",
    "CardConfig",
    "ChipConfig",
    "LearnConfig",
    "ModelConfig",
    "TrainConfig",
    "read_config",
]

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
# What changes only how long it takes, or what the card says.
_NO_WEIGHTS: Any = {"card": True, "learn": {"checkpoint_s"}, "chips": {"threads", "memory_gb"}}
# What normalises over a batch at one pixel: their batch norm needs a second chip.
NEED_TWO = ("deeplabv3+",)


class _Strict(Settings):
    model_config = Settings.model_config | {"allow_inf_nan": False}


class BandConfig(_Strict):
    """A band that the model takes.

    Args:
        role: As `agriseg.bands` has it, such as `red` or `nir`.
        wavelength_nm: Centre; by default what the scenes say.
        required: Whether a scene must have it.
    """

    role: str
    wavelength_nm: float | None = Field(default=None, gt=0)
    required: bool = True


def _band(value: object) -> object:
    """A word stands for a required band; with a question mark, for one that may be missing."""
    if isinstance(value, str):
        return {"role": value.removesuffix("?"), "required": not value.endswith("?")}
    return value


Bands = Annotated[list[Annotated[BandConfig, BeforeValidator(_band)]], Field(min_length=1)]


class ModelConfig(_Strict):
    """Which network is trained, and from what.

    Args:
        architecture: As in a model card: unet, unet++, deeplabv3+, fpn, fcn, or a dotted path; by
            default that of the model in `init`, or unet.
        options: Of the architecture, such as `encoder_name`; what is left out is as in the model of
            `init`, or the default. `band_pairs: true` adds soil-adjusted differences of bands.
        init: "none"; "imagenet", which downloads; the name of torchgeo's weights; or the name of a
            shipped model or a file: a model of agriseg's, which is trained further, or weights of
            its encoder. A path starts where those of data do.
        keep: How much of a model in `init` stays: 1 goes on from it as it is, for fields much like
            those it knows; 0.7 mixes its weights with fresh ones, which learns better what is new
            to it.
        radiometry: "reflectance", or "any" where the scale of pixels does not matter.
    """

    architecture: str | None = None
    options: dict[str, Any] | None = None
    init: str = "none"
    keep: Share = 1.0
    radiometry: Literal["reflectance", "any"] = "reflectance"

    @model_validator(mode="after")
    def _has_something_to_keep(self) -> ModelConfig:
        if self.keep < 1 and self.init in ("none", "imagenet"):
            raise ValueError(
                f"keep is {self.keep:g}, but init is {self.init!r}; it says how much stays of a "
                "model of agriseg's, such as init: crop-weed"
            )
        return self


class ChipConfig(_Strict):
    """What the network sees at a time.

    Args:
        size: Side in pixels.
        batch: Chips in a step.
        gsd_m: Metres a pixel to which chips are resampled: one number, or two between which each
            chip draws its own; by default scenes keep theirs.
        rare: How far rare classes are drawn more often: 0 as often as they are, 1 as often as all.
        memory_gb: Pixels are kept decoded if all of them fit into this.
        threads: That read ahead of the network.
    """

    size: int = Field(default=CHIP_SIZE, ge=16, le=8192)
    batch: int = Field(default=8, ge=1, le=4096)
    gsd_m: float | tuple[float, float] | None = None
    rare: Share = 0.5
    memory_gb: float = Field(default=2.0, ge=0)
    threads: int = Field(default=2, ge=1, le=64)

    @model_validator(mode="after")
    def _check(self) -> ChipConfig:
        gsd = self.gsd_range_m
        if gsd is not None and not 0 < gsd[0] <= gsd[1]:
            raise ValueError(f"gsd_m is {self.gsd_m}; expected are metres, the smaller first")
        return self

    @property
    def gsd_range_m(self) -> tuple[float, float] | None:
        if self.gsd_m is None or isinstance(self.gsd_m, tuple):
            return self.gsd_m
        return self.gsd_m, self.gsd_m


class AugmentConfig(_Strict):
    """How batches are changed at random.

    Args:
        turns: Quarter turns and mirror images; `half` leaves quarter turns out, where rows or a
            camera's way give the direction in all images, or false.
        rotate_deg: Largest rotation besides.
        scale: Smallest and largest size of things against their own.
        brightness: Largest relative change of all bands together.
        band_brightness: Largest relative change of each band by itself.
        gamma: Largest relative change of contrast.
        shadow: Share of chips on which a shadow falls.
        noise: Largest noise, as a share of each band's standard deviation.
        blur: Share of chips that are blurred.
        ground: Share of chips in which a class that is ground, such as `{soil: 0.5}`, gets other
            colours and another grain.
        leaves: Share of chips in which those of a class, such as `{crop: 0.3}`, get other colours,
            mostly paler ones.
        gaps: Share of chips in which a class that is ground, such as `{soil: 0.3}`, lies in deep
            shade where leaves stand around it.
        gloss: Share of chips in which the leaves of a class, such as `{crop: 0.3}`, shine.
        photo: Share of chips that are turned from reflectance into a picture as cameras develop it:
            other exposure, white balance, tone curve, colour and sharpness.
        band_dropout: How often each band that may be missing is left out: one number for all, or
            one by role.
        cameras: Instead of that: cameras by their bands, such as `["red,green,blue", "red,nir"]`.
            A chip keeps the bands of one that its scene's camera could have been; what stands twice
            comes twice as often. Where none fits, it keeps all.
    """

    turns: bool | Literal["half"] = True
    rotate_deg: float = Field(default=0.0, ge=0, le=180)
    scale: tuple[float, float] = (0.8, 1.25)
    brightness: float = Field(default=0.2, ge=0, le=2)
    band_brightness: float = Field(default=0.05, ge=0, le=2)
    gamma: float = Field(default=0.1, ge=0, le=1)
    shadow: Share = 0.1
    noise: float = Field(default=0.05, ge=0, le=1)
    blur: Share = 0.1
    ground: dict[str, Share] = Field(default_factory=dict)
    leaves: dict[str, Share] = Field(default_factory=dict)
    gaps: dict[str, Share] = Field(default_factory=dict)
    gloss: dict[str, Share] = Field(default_factory=dict)
    photo: Share = 0.0
    band_dropout: Share | dict[str, Share] = 0.2
    cameras: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check(self) -> AugmentConfig:
        low, high = self.scale
        if not 0.1 <= low <= 1 <= high <= 10:
            raise ValueError(f"scale is {self.scale}; expected are 0.1 to 1 and 1 to 10")
        if self.cameras and "band_dropout" in self.model_fields_set and self.band_dropout:
            raise ValueError("cameras and band_dropout both say which bands are left out; give one")
        return self


class LearnConfig(_Strict):
    """How the network learns.

    Args:
        steps: Batches in all.
        loss: One or a sum, such as "cross-entropy + 0.5 dice".
        focal_gamma: Of the focal loss.
        tversky: Weights of false and of missed pixels in the Tversky loss.
        together: Classes that are also learned as one, such as "crop or weed": plants are then told
            from soil where crop and weed are hard to tell apart. Empty: none.
        class_weights: "none"; "balanced", the inverse square root of how many pixels there are of
            each; or a number a class.
        boundary: What pixels near a border weigh more.
        boundary_px: How near.
        rate: Largest learning rate.
        weight_decay: Of AdamW.
        warmup: Share of the steps in which the rate rises; then it falls as a cosine.
        clip: Largest norm of the gradients; 0: not limited.
        ema: How slowly the mean of the weights over steps, which is what is kept, follows; 0: no
            mean.
        validate_every: Steps between validations.
        validation_chips: At most so many chips in each.
        patience: Stop after so many validations without a better one; 0: never.
        precision: "auto", "bfloat16" or "float32".
        seed: Another one draws other weights, chips and changes.
        checkpoint_s: Seconds after which the training is stored, to go on from there.
    """

    steps: int = Field(default=2000, ge=1)
    loss: str = "cross-entropy + dice"
    focal_gamma: float = Field(default=2.0, ge=0)
    tversky: tuple[Weight, Weight] = (0.3, 0.7)
    together: str = ""
    class_weights: Literal["none", "balanced"] | dict[str, Weight] = "none"
    boundary: float = Field(default=0.0, ge=0)
    boundary_px: int = Field(default=2, ge=1, le=64)
    rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: Share = 0.05
    clip: float = Field(default=1.0, ge=0)
    ema: float = Field(default=0.99, ge=0, lt=1)
    validate_every: int = Field(default=100, ge=1)
    validation_chips: int = Field(default=64, ge=1)
    patience: int = Field(default=0, ge=0)
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**31)
    checkpoint_s: float = Field(default=60.0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> LearnConfig:
        try:
            parse_losses(self.loss)
        except OptionError as error:
            raise ValueError(str(error)) from error
        return self


class CardConfig(_Strict):
    """What the model file says besides what training knows.

    Args:
        licence: Of the weights.
        description: A sentence or two for a person.
        caution: What each run with it says, such as where it is not to be trusted.
        data: Where the data come from, and under which licence.
        chip_size: Side in pixels in use.
        overlap: Pixels that neighbouring chips share in use.
        half: Store weights in half precision.
    """

    licence: str = ""
    description: str = ""
    caution: str = ""
    data: str = ""
    chip_size: int = 1024
    overlap: int = 64
    half: bool = False


class TrainConfig(DataSettings):
    """A whole training.

    Args:
        name: Of the model, and of its file.
        bands: That it takes, in their order; with a question mark, those that may be missing.
        split: Which scenes, or which parts of them, are kept for validation and testing.
        model: Which network.
        chips: What it sees at a time.
        learn: How it learns.
        augment: How chips are changed at random.
        card: What the model file says besides.
    """

    name: str = "model"
    bands: Bands = Field(examples=['[red, green, "nir?"]'])
    split: SplitSettings = SplitSettings()
    model: ModelConfig = ModelConfig()
    chips: ChipConfig = ChipConfig()
    learn: LearnConfig = LearnConfig()
    augment: AugmentConfig = AugmentConfig()
    card: CardConfig = CardConfig()

    @field_validator("name")
    @classmethod
    def _is_file_name(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(
                f"{name!r} names a file too; letters, digits, and . _ + - between them are possible"
            )
        return name

    @model_validator(mode="after")
    def _check_batch(self) -> TrainConfig:
        if self.model.architecture in NEED_TWO and self.chips.batch < 2:
            raise ValueError(
                f"chips.batch is {self.chips.batch}; {self.model.architecture} normalises over "
                "the chips of a batch, 2 or more are needed"
            )
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of all that changes the weights."""
        plain = self.model_dump(mode="json", exclude=_NO_WEIGHTS)
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_config(path: str | Path) -> TrainConfig:
    """Read a training from a YAML file.

    Raises:
        OptionError: It is not one; the message names the file and the key at fault.
    """
    path = Path(path)
    return checked(TrainConfig, read_yaml(path, "name: beet"), str(path))
