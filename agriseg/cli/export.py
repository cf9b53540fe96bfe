"""`agriseg export`: a model as an ONNX file, for QGIS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from agriseg.cli import options as opt
from agriseg.cli.answer import Answer
from agriseg.cli.complete import band_names, ending, several
from agriseg.cli.words import size_words
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from agriseg.models import OnnxExport

__all__ = ["export"]

_TILES, _INPUT = "Tiles", "Input"


def export(
    model: opt.ModelFile,
    path: Annotated[
        str | None, opt.argument("FILE", "File to write: .onnx.", ending((".onnx",)))
    ] = None,
    *,
    out: Annotated[str | None, opt.to_file("The same as FILE.", ".onnx")] = None,
    bands: Annotated[
        str | None,
        opt.value(
            "--bands",
            "ROLES",
            "Bands of the raster in its order: red,green,blue. Optional ones may be left out. "
            "Default: all of the model's.",
            _INPUT,
            several(band_names),
        ),
    ] = None,
    scale: Annotated[
        float | None,
        opt.value(
            "--scale",
            "SCALE",
            "Reflectance = number in QGIS x SCALE + OFFSET: 0.0001 for reflectance x 10000. "
            "Default: 1/255 for red, green and blue (8-bit pictures), else 1 (reflectance).",
            _INPUT,
        ),
    ] = None,
    offset: Annotated[float, opt.value("--offset", "OFFSET", "See --scale.", _INPUT)] = 0.0,
    gsd: Annotated[
        float | None,
        opt.value(
            "--gsd",
            "METRES",
            "Pixel size of the raster, to which Deepness resamples. Default: the middle of the "
            "model's range.",
            _TILES,
        ),
    ] = None,
    chip: Annotated[
        int | None, opt.value("--chip", "PIXELS", "Side of a tile. Default: the model's.", _TILES)
    ] = None,
    overlap: Annotated[
        int | None,
        opt.value("--overlap", "PIXELS", "What tiles share. Default: the model's.", _TILES),
    ] = None,
    trust_model: opt.TrustModel = False,
    answer: Answer,
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

    if (path is None) == (out is None):
        raise OptionError("give one file to write: agriseg export MODEL FILE.onnx")
    done = export_onnx(
        model,
        str(path or out),
        gsd_m=gsd,
        chip=chip,
        overlap=overlap,
        bands=bands,
        scale=scale,
        offset=offset,
        trust=trust_model,
    )
    answer.say(*_words(done, is_gsd_chosen=gsd is not None))
    told = {"file": done.path, "bands": done.card.keys, "scale": done.scale}
    answer.give({**told, "offset": done.offset, "deepness": done.metadata})


def _words(done: OnnxExport, *, is_gsd_chosen: bool) -> list[str]:
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
    return say


def _numbers_words(scale: float, offset: float) -> str:
    """What QGIS has to read from the raster."""
    if offset == 0 and abs(scale * 255 - 1) < 1e-6:
        return "8 bits, 0 to 255 (--scale says otherwise)"
    if (scale, offset) == (1, 0):
        return "reflectance, 0 to 1, after a scale that the file declares (--scale says otherwise)"
    return f"reflectance = number x {scale:g}" + (f" + {offset:g}" if offset else "")
