"""Options that several commands share, each declared once: name, help, unit and completion."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agriseg.cli.complete import Proposals, among, ending, index_names, several

# Where options stand in the help of a command.
READING, PART, MODEL, RUNNING = "Reading", "Part of the scene", "Model", "Running"
CLASSES, FIELDS, ZONES = "Classes", "Fields", "Zones"
INDICES, POLYGONS, FACTS = "Indices", "Polygons", "Facts about the scene"

VECTORS = (".gpkg", ".fgb", ".parquet", ".geojson")
TABLES = (".csv", ".parquet")
MODELS = ("crop-weed", "index-baseline")


def argument(metavar: str, said: str, proposals: Proposals | None = None) -> Any:
    """A word, or words, without an option's name."""
    return typer.Argument(metavar=metavar, help=said, autocompletion=proposals)


def value(
    names: str, metavar: str, said: str, panel: str | None = None, of: Proposals | None = None
) -> Any:
    """An option with a value.

    Args:
        names: Its name, or its letter and its name: `-m --model`.
        metavar: What its value is, or the unit.
        said: What it does, and its default where that is no plain value.
        panel: Where it stands in the help.
        of: What its value may be.
    """
    return typer.Option(
        *names.split(), metavar=metavar, help=said, rich_help_panel=panel, autocompletion=of
    )


def flag(names: str, said: str, panel: str | None = None) -> Any:
    """An option without a value."""
    return typer.Option(*names.split(), help=said, rich_help_panel=panel)


def to_file(said: str, *endings: str) -> Any:
    """The option -o of a command that writes a file."""
    return value("-o --out", "FILE", said, of=ending(endings))


def to_folder(said: str) -> Any:
    """The option -o of a command that writes files into a folder."""
    return value("-o --out", "DIR", said)


def outlines(default: str = "") -> Any:
    """The option --fields of a command that reads outlines; as --parcels people bring their own."""
    said = "Outlines of fields: a vector file with polygons, in any CRS."
    return value(
        "--fields --parcels", "FILE", f"{said}{default and f' Default: {default}'}", FIELDS
    )


def index_list(more: str = "") -> Any:
    """The option -i of a command that takes several indices."""
    said = (
        "Spectral indices: NDVI,NDRE, or NDVI@1 where the scene has dates. Default: NDVI, and "
        f"NDRE with a red edge; GLI where there is visible light only.{more}"
    )
    return value("-i --indices", "NAMES", said, INDICES, several(index_names))


# Arguments.
Rasters = Annotated[
    list[str],
    argument(
        "RASTER",
        "Rasters, patterns, folders, a table (.csv), a STAC file, or one scene as red=R.tif "
        "nir=N.tif.",
    ),
]
SceneFiles = Annotated[
    list[str],
    argument("SCENE", "A raster, a folder of single-band rasters, or red=R.tif nir=N.tif."),
]
Results = Annotated[
    list[str],
    argument(
        "RUN", "Folder of a run (OUT/SCENE), of many scenes (OUT), or several folders of runs."
    ),
]
RunOrClasses = Annotated[str, argument("RUN|CLASSES", "The folder of a run, or a class raster.")]
ModelFile = Annotated[
    str, argument("MODEL", f"Model file, or a name: {' or '.join(MODELS)}.", among(*MODELS))
]

# Files that are written.
VectorOut = Annotated[str, to_file("File to write: .gpkg, .fgb, .parquet or .geojson.", *VECTORS)]
TableOut = Annotated[
    str | None, to_file("File to write: .csv or .parquet. Default: only show the table.", *TABLES)
]
CsvSep = Annotated[
    str,
    value(
        "--csv-sep",
        "CHARACTER",
        "Between columns of a .csv; with ';' numbers have a decimal comma.",
    ),
]

# How a scene, or a class map, is read.
Nodata = Annotated[
    float | None, value("--nodata", "VALUE", "Value of missing pixels, if undeclared.", READING)
]
Names = Annotated[
    str | None,
    value(
        "--names",
        "NAMES",
        "Names of the classes, where the raster has none: 0=soil,1=crop,2=weed.",
        READING,
    ),
]
Confidence = Annotated[
    str | None,
    value(
        "--confidence",
        "FILE",
        "Raster of confidence on the same grid; 'none' for none. Default: confidence.tif beside a "
        "classes.tif.",
        READING,
    ),
]
Base = Annotated[
    str | None,
    value(
        "--base",
        "DIR",
        "Folder that paths in the YAML file start from. Default: the file's own.",
        READING,
    ),
]

# What predicts.
Model = Annotated[
    str | None,
    value(
        "-m --model",
        "MODEL",
        "Model file, or a name: crop-weed, the default where it fits, or index-baseline, which "
        "tells vegetation from soil at any pixel size.",
        MODEL,
        among(*MODELS),
    ),
]
TrustModel = Annotated[
    bool,
    flag(
        "--trust-model",
        "Let a model or configuration name Python code to import. Only for files you trust.",
        MODEL,
    ),
]

# Polygons of a class map.
MinArea = Annotated[
    float | None,
    value(
        "--min-area-m2",
        "M2",
        "Smaller regions go to a neighbour. Default: those of fewer than 4 pixels; 0: none.",
        POLYGONS,
    ),
]
Simplify = Annotated[
    float | None,
    value(
        "--simplify-m",
        "METRES",
        "Default: borders move by less than half a pixel; 0: along pixel edges; larger: leave out "
        "corners whose triangle is smaller than the square of this.",
        POLYGONS,
    ),
]

# Fields.
Fields = Annotated[str, outlines()]
Parcels = Annotated[
    str | None,
    value(
        "--parcels",
        "FILE",
        "Your own outlines of fields, in place of those from the map: a vector file with polygons, "
        "in any CRS. All columns are kept.",
        FIELDS,
    ),
]
Weed = Annotated[
    str | None, value("--weed", "NAMES", "Classes that are weeds. Default: weed.", CLASSES)
]
GrowthStage = Annotated[
    str | None, value("--growth-stage", "TEXT", "Of the crop, such as BBCH 12.", FACTS)
]

# Spectral indices.
Indices = Annotated[str | None, index_list()]
Param = Annotated[
    list[str] | None,
    value("--param", "NAME=VALUE", "A constant of the formulas, as L=0.25. Repeatable.", INDICES),
]
Uncalibrated = Annotated[
    bool,
    flag(
        "--uncalibrated",
        "Compute indices that need reflectance of whatever numbers there are.",
        INDICES,
    ),
]
Pixels = Annotated[
    str | None,
    value(
        "--pixels",
        "NAME",
        "Whose index counts: crop, plants (weeds too), or all (soil too). Default: crop, or "
        "all where pixels are larger than 1 m.",
        INDICES,
        among("crop", "plants", "all"),
    ),
]
ZoneCount = Annotated[
    int, value("--zones", "N", "Zones of vigour in each field, at most: 2 to 5.", ZONES)
]
SmoothM = Annotated[
    float | None,
    value(
        "--smooth-m",
        "METRES",
        "Width of the smoothing of zones. Default: a twentieth of the field's side, at most 10 m, "
        "and at least 3 m, two row spacings and two pixels; 0: none.",
        ZONES,
    ),
]
