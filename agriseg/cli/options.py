"""Options that several commands share, declared once."""

from __future__ import annotations

from typing import Annotated

import typer

from agriseg.bands import SENSORS
from agriseg.errors import OptionError

Bands = Annotated[
    str | None,
    typer.Option(
        "--bands",
        help="Role of each band in the file's order (blue,green,red,rededge,nir; '-' leaves one "
        "out, 'alpha' marks usable pixels, red@1 carries a date), or numbers: red=3,nir=5.",
        metavar="ROLES",
        rich_help_panel="Reading",
    ),
]
Sensor = Annotated[
    str | None,
    typer.Option(
        "--sensor",
        help=f"Sensor preset: {', '.join(SENSORS)}.",
        metavar="NAME",
        rich_help_panel="Reading",
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        help="Folder that paths in the YAML file start from. Default: the file's own.",
        metavar="DIR",
        rich_help_panel="Reading",
        show_default=False,
    ),
]
Scale = Annotated[
    float | None,
    typer.Option(
        "--scale",
        help="Reflectance = value x SCALE + OFFSET.",
        rich_help_panel="Reading",
        show_default=False,
    ),
]
Offset = Annotated[
    float | None, typer.Option("--offset", help="See --scale.", rich_help_panel="Reading")
]
Nodata = Annotated[
    float | None,
    typer.Option(
        "--nodata", help="Value of missing pixels, if undeclared.", rich_help_panel="Reading"
    ),
]
Mask = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        help="Class raster and the values to hide, as SCL.tif:0,1,3,8,9,10,11. Repeatable.",
        metavar="FILE:VALUES",
        rich_help_panel="Reading",
    ),
]
MinArea = Annotated[
    float | None,
    typer.Option(
        "--min-area-m2",
        help="Smaller regions go to a neighbour. Default: those of fewer than 4 pixels; 0: none.",
        metavar="M2",
        show_default=False,
        rich_help_panel="Polygons",
    ),
]
Simplify = Annotated[
    float | None,
    typer.Option(
        "--simplify-m",
        help="Default: borders move by less than half a pixel; 0: along pixel edges; larger: leave "
        "out corners whose triangle is smaller than the square of this.",
        metavar="METRES",
        show_default=False,
        rich_help_panel="Polygons",
    ),
]
MaskGrow = Annotated[
    float,
    typer.Option(
        "--mask-grow-m",
        help="Hide everything within this many metres of the masked classes too.",
        metavar="METRES",
        rich_help_panel="Reading",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Model file, or a name: crop-weed, the default where it fits, or index-baseline, "
        "which tells vegetation from soil at any pixel size.",
        show_default=False,
        rich_help_panel="Model",
    ),
]
Rasters = Annotated[
    list[str],
    typer.Argument(
        help="Rasters, patterns, folders, a table (.csv), a STAC file, or one scene as red=R.tif "
        "nir=N.tif.",
        metavar="RASTER...",
        show_default=False,
    ),
]
Chip = Annotated[
    int | None, typer.Option(help="Side of a chip in pixels.", rich_help_panel="Model")
]
Overlap = Annotated[
    int | None, typer.Option(help="Pixels that chips share.", rich_help_panel="Model")
]
Engine = Annotated[
    str,
    typer.Option(
        help="auto, openvino or torch; onnxruntime computes ONNX files (and auto means it there).",
        rich_help_panel="Model",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel="Model")]
Precision = Annotated[
    str,
    typer.Option(
        help="auto, float32, bfloat16, or int8 (faster on CPUs, calibrated on the scene).",
        rich_help_panel="Model",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        help="CPU threads that predict, a chip each. Default: all cores that memory bears.",
        show_default=False,
        rich_help_panel="Model",
    ),
]
Fields = Annotated[
    str,
    typer.Option(
        "--fields",
        help="Outlines of fields: a vector file with polygons, in any CRS.",
        metavar="FILE",
        show_default=False,
    ),
]
Names = Annotated[
    str | None,
    typer.Option(
        "--names",
        help="Names of the classes, where the raster has none: 0=soil,1=crop,2=weed.",
        metavar="NAMES",
        rich_help_panel="Reading",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines on standard output.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", hidden=True)
]


def words(text: str, option: str) -> tuple[str, ...]:
    """The names in a list such as crop,weed.

    Raises:
        OptionError: There are none.
    """
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise OptionError(f"{option} {text!r}: names are needed, with commas between")
    return found


def class_names(text: str | None) -> dict[int, str] | None:
    """Read names of classes such as 0=soil,1=crop.

    Raises:
        OptionError: They are not.
    """
    if text is None:
        return None
    found: dict[int, str] = {}
    for word in words(text, "--names"):
        value, equals, name = word.partition("=")
        if not equals or not name.strip() or not value.strip().isdecimal():
            raise OptionError(f"--names {word!r}: expected a number and a name, such as 1=crop")
        found[int(value)] = name.strip()
    return found


def numbers(text: str | None, option: str, count: int) -> list[float] | None:
    """Read `count` numbers with commas between them.

    Raises:
        OptionError: They are not.
    """
    if text is None:
        return None
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise OptionError(f"{option} {text!r}: expected {count} numbers with commas between them")
    return values
