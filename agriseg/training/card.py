"""The card of a model that is being trained: all of it but the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.bands import ROLES
from agriseg.errors import OptionError
from agriseg.labels import Codes, LabelledScene
from agriseg.models import BandInput, ModelCard
from agriseg.training.config import NEED_TWO, TrainConfig
from agriseg.training.parts import ScenePart
from agriseg.training.weights import base_card

__all__ = ["draft_card", "training_facts", "with_statistics"]

_DEFAULT = ("unet", {"encoder_name": "resnet18"})
_ON_ENCODERS = ("unet", "unet++", "deeplabv3+", "fpn")
# Any encoder of the libraries halves at most five times; torchgeo's FCN not at all.
_STRIDES = {"fcn": 1}
_STRIDE = 32


def draft_card(
    config: TrainConfig, codes: Codes, scenes: Sequence[LabelledScene], start: Path = Path()
) -> ModelCard:
    """The card before anything is learned; its means are those of the model in `init`, or 0.

    Args:
        config: What is asked for.
        codes: What the numbers in labels mean.
        scenes: That are trained on.
        start: The folder that a file in `init` is relative to.

    Raises:
        OptionError: Chips do not suit the network, or a band is in no scene.
        ModelError: A value makes no card.
    """
    base = base_card(config.model.init, start)
    architecture, options = config.model.architecture, config.model.options or {}
    if base is not None and architecture in (None, base.architecture):
        architecture = base.architecture
        options = {**base.options, **options}
    architecture = architecture or _DEFAULT[0]
    if architecture in _ON_ENCODERS:
        options = {**_DEFAULT[1], **options}
    stride = _STRIDES.get(architecture, _STRIDE)
    if config.chips.size % stride:
        below = config.chips.size // stride * stride or stride
        raise OptionError(
            f"chips.size is {config.chips.size}; {architecture} needs a multiple of {stride}, such "
            f"as {below}"
        )
    values = config.chips.batch * (config.chips.size // stride) ** 2
    if config.chips.batch < 2 and (architecture in NEED_TWO or values < 2):
        raise OptionError(
            f"chips.batch is {config.chips.batch}; {architecture} normalises over the chips of a "
            "batch, 2 or more are needed"
        )
    return ModelCard(
        name=config.name,
        architecture=architecture,
        options=options,
        bands=tuple(_band(one, scenes, base) for one in config.bands),
        legend=codes.legend,
        chip_size=config.card.chip_size,
        overlap=config.card.overlap,
        stride=stride,
        gsd_m=_gsd_range(config, scenes),
        radiometry=config.model.radiometry,
        together=_together(config, codes),
        licence=config.card.licence,
        description=config.card.description,
        caution=config.card.caution,
    )


def _together(config: TrainConfig, codes: Codes) -> tuple[str, ...]:
    """Names of the classes that are decided as one, since they are learned so too."""
    if not config.learn.together:
        return ()
    values = codes.classes(config.learn.together)
    # What makes no sense is refused where it is learned.
    return tuple(codes.legend.names[k] for k in values) if len(values) < len(codes.legend) else ()


def _band(band: Any, scenes: Sequence[LabelledScene], base: ModelCard | None) -> BandInput:
    having = [s.scene for s in scenes if s.scene.has(band.role)]
    if not having:
        known = sorted({b.key for s in scenes for b in s.scene.bands if b.key})
        raise OptionError(
            f"bands: no scene has {band.role!r}; they have {', '.join(known) or 'no bands by role'}"
        )
    lacking = next((s.scene.name for s in scenes if not s.scene.has(band.role)), None)
    if band.required and lacking is not None:
        raise OptionError(
            f"bands: {lacking} lacks {band.role}; write '{band.role}?' for a band that may be "
            "missing"
        )
    told = [b.wavelength_nm for b in (s.band(band.role) for s in having) if b.wavelength_nm]
    middle = sum(ROLES[band.role.partition("@")[0]]) / 2 if not told else median(told)
    known_band = next((b for b in base.bands if b.role == band.role), None) if base else None
    return BandInput(
        band.role,
        wavelength_nm=band.wavelength_nm or round(middle, 1),
        required=band.required,
        # What a trained network knows of a band holds for its own constants.
        mean=known_band.mean if known_band else 0.0,
        std=known_band.std if known_band else 1.0,
    )


def _gsd_range(config: TrainConfig, scenes: Sequence[LabelledScene]) -> tuple[float, float] | None:
    """The sizes of pixels that the network sees, as if things had their own size."""
    low, high = config.augment.scale
    given = config.chips.gsd_range_m
    if given is None:
        known = [s.gsd_m for s in scenes if s.gsd_m is not None]
        if not known:
            return None
        given = min(known), max(known)
    # A thing that is drawn larger looks as in finer pixels.
    return float(f"{given[0] / high:.3g}"), float(f"{given[1] / low:.3g}")


def with_statistics(
    card: ModelCard,
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    count: NDArray[np.int64],
    kept: frozenset[str],
) -> ModelCard:
    """The card with constants of the training chips.

    Args:
        card: As `draft_card` made it.
        mean: (bands,) in reflectance.
        std: (bands,) in reflectance.
        count: (bands,) pixels that they are from.
        kept: Bands that keep the constants of the model that is trained further.

    Raises:
        OptionError: A band has no valid pixel.
    """
    bands = []
    for k, band in enumerate(card.bands):
        if band.role not in kept:
            if not count[k]:
                raise OptionError(f"{band.role} has no valid pixel in the training scenes")
            # Six digits say all that there is, and a card that a person can read.
            band = replace(band, mean=float(f"{mean[k]:.6g}"), std=float(f"{std[k]:.6g}"))
        bands.append(band)
    return replace(card, bands=tuple(bands))


def training_facts(
    config: TrainConfig,
    training: Sequence[ScenePart],
    validation: Sequence[ScenePart],
    codes: Codes,
) -> dict[str, Any]:
    """What the card says of how the model came to be."""
    return {
        "data": config.card.data,
        "scenes": len({part.name for part in training}),
        "validation_scenes": len({part.name for part in validation}),
        "pixels": {
            codes.name(code): int(sum(part.pixels[code] for part in training))
            for code in range(training[0].counts.shape[2])
        },
        "config": config.model_dump(mode="json", exclude={"data", "legend", "card"}),
    }
