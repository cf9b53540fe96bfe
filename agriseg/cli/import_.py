"""`agriseg import`: a checkpoint from elsewhere becomes a model file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from agriseg.cli import options as opt
from agriseg.cli.answer import Answer
from agriseg.cli.complete import preset_names

if TYPE_CHECKING:
    from pathlib import Path

    from agriseg.models import ModelCard

__all__ = ["import_", "preset_lines"]


def import_(
    checkpoint: Annotated[
        str, opt.argument("CHECKPOINT", "A file of weights: .pt, .pth, .ckpt or .safetensors.")
    ],
    *,
    out: Annotated[str, opt.to_file("Model file to write: .safetensors.", ".safetensors")],
    preset: Annotated[
        str | None,
        opt.value(
            "--preset",
            "NAME",
            "Published weights whose facts agriseg knows: see above.",
            of=preset_names,
        ),
    ] = None,
    card: Annotated[
        str | None,
        opt.value(
            "--card",
            "FILE",
            "Else the facts, as YAML or JSON: architecture, options, bands, legend, gsd_m, "
            "licence, ...",
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        opt.value(
            "--prefix",
            "TEXT",
            "What stands before the names of the weights, as model. Default: found.",
        ),
    ] = None,
    answer: Answer,
) -> None:
    """Make a model file of a checkpoint from elsewhere.

    The checkpoint is read as plain numbers: whatever code is in it is not run, and refused.

    Presets:

    PRESETS

    Examples:

    - `agriseg import ftw.pth -o ftw.safetensors --preset ftw-3class`

    - `agriseg import last.ckpt -o weeds.safetensors --card weeds.yaml`

    where weeds.yaml holds

        architecture: unet
        options: {encoder_name: resnet34}
        bands:                    # mean and std of reflectance, as in its training
          - {role: red, mean: 0.11, std: 0.06}
          - {role: nir, mean: 0.34, std: 0.11}
        legend: [soil, crop, weed]
        gsd_m: [0.01, 0.03]
        licence: MIT
    """
    from agriseg.models import import_model, read_card

    path = import_model(checkpoint, out, preset=preset, card=card, prefix=prefix)
    made = read_card(path)
    answer.say(*_words(path, made))
    answer.give({"file": path, "card": json.loads(made.to_json())})


def preset_lines() -> str:
    """The presets as the help lists them."""
    from agriseg.models.presets import PRESETS

    return "\n\n".join(f"- `{name}`: {preset.said}" for name, preset in PRESETS.items())


def _words(path: Path, made: ModelCard) -> list[str]:
    """What was made, and what to do with it."""
    classes = ", ".join(made.legend.names)
    say = [
        f"{path}: {made.name}, {made.architecture}; classes {classes}",
        f"  bands    {', '.join(made.keys)}",
        f"  licence  {made.licence or 'not stated'}",
    ]
    if all((band.mean, band.std) == (0, 1) for band in made.bands):
        say.append("  note     no mean and std are given: reflectance, 0..1, is fed as it is")
    if made.caution:
        say.append(f"  note     {made.caution}")
    # A stack of dates has names that hardly any file gives its bands.
    dated = any("@" in key for key in made.keys)
    bands = f" --bands {','.join(made.keys)}" if dated else ""
    return [*say, f"  next     agriseg segment RASTER -m {path} -o OUT{bands}"]
