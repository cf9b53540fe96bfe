"""`agriseg export`: a model as an ONNX file, for QGIS."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agriseg.cli import options as opt
from agriseg.cli.words import size_words

if TYPE_CHECKING:
    from agriseg.models import OnnxExport

__all__ = ["export"]

_TILES, _INPUT = "Tiles", "Input"


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="Model file (.safetensors), or a name: crop-weed.",
            metavar="MODEL",
            show_default=False,
        ),
    ],
    path: Annotated[
        str,
        typer.Argument(help="File to write, .onnx.", metavar="FILE", show_default=False),
    ],
    bands: Annotated[
        str | None,
        typer.Option(
            help="Bands of the raster in its order: red,green,blue. Optional ones may be left out. "
            "Default: all of the model's.",
            metavar="ROLES",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="Reflectance = number in QGIS x SCALE + OFFSET: 0.0001 for reflectance x 10000. "
            "Default: 1/255 for red, green and blue (8-bit pictures), else 1 (reflectance).",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    offset: Annotated[
        float, typer.Option(help="See --scale.", rich_help_panel=_INPUT, show_default=False)
    ] = 0.0,
    gsd: Annotated[
        float | None,
        typer.Option(
            help="Pixel size of the raster in metres, to which Deepness resamples. Default: the "
            "middle of the model's range.",
            metavar="METRES",
            show_default=False,
            rich_help_panel=_TILES,
        ),
    ] = None,
    chip: Annotated[
        int | None,
        typer.Option(
            help="Side of a tile in pixels. Default: the model's.",
            show_default=False,
            rich_help_panel=_TILES,
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            help="Pixels that tiles share. Default: the model's.",
            show_default=False,
            rich_help_panel=_TILES,
        ),
    ] = None,
    trust_model: Annotated[
        bool,
        typer.Option(
            "--trust-model",
            help="Let a model file name Python code to import. Only for files you trust.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write a model as an ONNX file, which runs inside QGIS through the plugin Deepness.

    Classes, pixel size and how numbers become reflectance lie in the file, and the likeliest class
    of each pixel is that of `agriseg segment`, which takes the file too. It is checked in ONNX
    Runtime before it is written.

    Examples:

    - `agriseg export crop-weed rgb.onnx --bands red,green,blue --gsd 0.01`

    - `agriseg export my.safetensors my.onnx --bands blue,green,red,nir --scale 0.0001`
    """
    from agriseg.models import export_onnx

    done = export_onnx(
        model,
        path,
        gsd_m=gsd,
        chip=chip,
        overlap=overlap,
        bands=bands,
        scale=scale,
        offset=offset,
        trust=trust_model,
    )
    if not quiet:
        _tell(done, is_gsd_chosen=gsd is not None)
    if as_json:
        told = {"file": str(done.path), "bands": done.card.keys, "scale": done.scale}
        print(json.dumps({**told, "offset": done.offset, "deepness": done.metadata}))


def _tell(done: OnnxExport, *, is_gsd_chosen: bool) -> None:
    """What was written, and what to do with it."""
    card, resolution = done.card, done.metadata.get("resolution")
    megabytes = done.path.stat().st_size / 1e6
    size = "unknown: set the raster's as Resolution in Deepness"
    if resolution is not None:
        size = size_words(resolution / 100)
        if not is_gsd_chosen:
            size += ", the middle of the model's range: set the raster's with --gsd, if it is known"
    lines = {
        "bands": ", ".join(f"{number} {key}" for number, key in enumerate(card.keys, start=1)),
        "numbers": _numbers_words(done.scale, done.offset),
        "pixels": size,
        "tiles": f"{card.chip_size} x {card.chip_size} pixels, "
        f"{done.metadata['tiles_overlap']} % of it shared",
        "classes": ", ".join(f"{label.value} {label.name}" for label in card.legend),
    }
    say = [f"{done.path}  {megabytes:.1f} MB, {card.name}"]
    say += [f"  {name:<9}{words}" for name, words in lines.items()]
    if card.caution:
        say.append(f"  {'caution':<9}{card.caution}")
    say.append(
        "In QGIS, panel Deepness, for a layer whose CRS is in metres: Browse to the file, Load "
        "default parameters, compare the input channels with the bands above, Run."
    )
    print("\n".join(say), file=sys.stderr)


def _numbers_words(scale: float, offset: float) -> str:
    """What QGIS has to read from the raster."""
    if offset == 0 and abs(scale * 255 - 1) < 1e-6:
        return "8 bits, 0 to 255 (--scale says otherwise)"
    if (scale, offset) == (1, 0):
        return "reflectance, 0 to 1, after a scale that the file declares (--scale says otherwise)"
    return f"reflectance = number x {scale:g}" + (f" + {offset:g}" if offset else "")
