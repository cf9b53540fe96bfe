"""Networks that others published and agriseg knows the facts of; their weights are theirs.

No weights are loaded or downloaded here: `agriseg import` takes a checkpoint that the user has.
"""

from __future__ import annotations

from dataclasses import dataclass

from agriseg.legend import Legend
from agriseg.models.card import BandInput, ModelCard

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """What is known of somebody's weights.

    Args:
        card: The card, but for what the checkpoint itself tells.
        unlabelled: The head may have one more channel behind those of the legend, for pixels that
            nobody labelled: no class, and never given out.
        said: A line for the list of presets.
    """

    card: ModelCard
    unlabelled: bool
    said: str


_FTW_CLASSES = (("background", "#303030"), ("field", "#8fbf5a"), ("boundary", "#ffd23f"))
# Centre wavelengths of Sentinel-2A, bands 4, 3, 2 and 8.
_FTW_BANDS = (("red", 664.6), ("green", 559.8), ("blue", 492.4), ("nir", 832.8))
# The networks take digital numbers / 3000, and 10000 of them are a reflectance of 1; what newer
# products add to their numbers (1000) is taken off where the scene is read.
_FTW_STD = 0.3
_FTW_PAPER = "Kerner et al. 2024, Fields of The World, https://arxiv.org/abs/2409.16252"
_FTW_REPO = "https://github.com/fieldsoftheworld/ftw-baselines"
_FTW_FREE = "CC-BY-4.0"
_FTW_BOUND = "non-commercial (some countries of the training data allow no other use)"


def _ftw(name: str, weights: str, said: str, *, classes: int, encoder: str, licence: str) -> Preset:
    """A U-Net of Fields of The World, as torchgeo 0.8 describes it (`Unet_Weights`)."""
    prue = "prue" in name
    # PRUE was trained on patches of changing scale; for the others their authors double the pixels
    # of 10 m when they use them.
    gsd = (5.0, 10.0) if prue else (5.0, 5.0)
    pixels = "" if prue else ", resampled to pixels of 5 m: use --gsd 5"
    card = ModelCard(
        name=name,
        architecture="unet",
        options={"encoder_name": encoder},
        bands=tuple(
            BandInput(f"{role}@{day}", nm, mean=0.0, std=_FTW_STD)
            for day in (1, 2)
            for role, nm in _FTW_BANDS
        ),
        legend=Legend.of(*_FTW_CLASSES[:classes]),
        chip_size=1024,
        overlap=128,
        stride=32,
        gsd_m=gsd,
        licence=licence,
        description=(
            "Fields from two Sentinel-2 images (Level-2A, 10 m) of one season, @1 about planting "
            "and @2 about harvest. Its authors' training puts the later image first, their "
            "inference the earlier one: where fields come out badly, try them the other way round."
        ),
        caution=(f"{name} was made for two cloud-free Sentinel-2 images of one season{pixels}"),
        training={
            "data": "Fields of The World",
            "paper": _FTW_PAPER,
            "code": _FTW_REPO,
            "weights": f"torchgeo Unet_Weights.{weights}",
        },
    )
    # A head of three channels is that of three classes, and none of two with a spare one.
    return Preset(card, classes == 3, said)


PRESETS: dict[str, Preset] = {
    preset.card.name: preset
    for preset in (
        _ftw(
            "ftw-3class",
            "SENTINEL2_3CLASS_FTW",
            "fields and boundaries, Sentinel-2, two dates; CC-BY-4.0",
            classes=3,
            encoder="efficientnet-b3",
            licence=_FTW_FREE,
        ),
        _ftw(
            "ftw-2class",
            "SENTINEL2_2CLASS_FTW",
            "the same without boundaries; CC-BY-4.0",
            classes=2,
            encoder="efficientnet-b3",
            licence=_FTW_FREE,
        ),
        _ftw(
            "ftw-3class-nc",
            "SENTINEL2_3CLASS_NC_FTW",
            "trained on all countries; non-commercial",
            classes=3,
            encoder="efficientnet-b3",
            licence=_FTW_BOUND,
        ),
        _ftw(
            "ftw-2class-nc",
            "SENTINEL2_2CLASS_NC_FTW",
            "trained on all countries, without boundaries; non-commercial",
            classes=2,
            encoder="efficientnet-b3",
            licence=_FTW_BOUND,
        ),
        *(
            _ftw(
                f"ftw-prue-b{size}",
                f"SENTINEL2_FTW_PRUE_EFNETB{size}",
                f"a later training, with EfficientNet-B{size}; non-commercial",
                classes=3,
                encoder=f"efficientnet-b{size}",
                licence=_FTW_BOUND,
            )
            for size in (3, 5, 7)
        ),
    )
}
"""By the name that `agriseg import --preset` takes."""
