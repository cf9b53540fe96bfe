"""`agriseg import`: a checkpoint from elsewhere becomes a model file."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from agriseg.cli import options as opt
from agriseg.models.presets import PRESETS

__all__ = ["import_"]

_LIST = "\n".join(f"- `{name}`: {preset.said}\n" for name, preset in PRESETS.items())


def import_(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="A file of weights: .pt, .pth, .ckpt or .safetensors.",
            metavar="CHECKPOINT",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            help="Model file to write: .safetensors.",
            metavar="FILE",
            show_default=False,
        ),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            help="Published weights whose facts agriseg knows: see above.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    card: Annotated[
        str | None,
        typer.Option(
            help="Else the facts, as YAML or JSON: architecture, options, bands, legend, gsd_m, "
            "licence, ...",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            help="What stands before the names of the weights, as model. Default: found.",
            metavar="TEXT",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    from agriseg.models import import_model, read_card

    path = import_model(checkpoint, out, preset=preset, card=card, prefix=prefix)
    made = read_card(path)
    if not quiet:
        classes = ", ".join(made.legend.names)
        licence = made.licence or "not stated"
        print(f"{path}: {made.name}, {made.architecture}; classes {classes}", file=sys.stderr)
        print(f"  bands    {', '.join(made.keys)}", file=sys.stderr)
        print(f"  licence  {licence}", file=sys.stderr)
        if all((band.mean, band.std) == (0, 1) for band in made.bands):
            print(
                "  note     no mean and std are given: reflectance, 0..1, is fed as it is",
                file=sys.stderr,
            )
        if made.caution:
            print(f"  note     {made.caution}", file=sys.stderr)
        # A stack of dates has names that hardly any file gives its bands.
        dated = any("@" in key for key in made.keys)
        bands = f" --bands {','.join(made.keys)}" if dated else ""
        print(f"  next     agriseg segment RASTER -m {path} -o OUT{bands}", file=sys.stderr)
    if as_json:
        print(json.dumps({"file": str(path), "card": json.loads(made.to_json())}))


import_.__doc__ = f"""Make a model file of a checkpoint from elsewhere.

The checkpoint is read as plain numbers: whatever code is in it is not run, and refused.

Presets:

{_LIST}
Examples:

- `agriseg import ftw.pth -o ftw.safetensors --preset ftw-3class`

- `agriseg import last.ckpt -o weeds.safetensors --card weeds.yaml`

where weeds.yaml holds

    architecture: unet
    options: {{encoder_name: resnet34}}
    bands:                    # mean and std of reflectance, as in its training
      - {{role: red, mean: 0.11, std: 0.06}}
      - {{role: nir, mean: 0.34, std: 0.11}}
    legend: [soil, crop, weed]
    gsd_m: [0.01, 0.03]
    licence: MIT
"""
