"""`agriseg qgis`: a project that shows results in QGIS."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from agriseg.cli import options as opt

__all__ = ["qgis"]


def qgis(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Folder of a run (OUT/SCENE), of many scenes (OUT), or several folders of runs.",
            metavar="FOLDER...",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            help="Project file to write. Default: result.qgz in the folder.",
            metavar="FILE.qgz",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also replace a project that was saved in QGIS.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write a QGIS project: maps in their colours, with legends that speak.

    It shows what is there: the class map with the area of each class, polygons, fields, zones,
    weeds, rows, confidence, and the image below them all. The folder may be moved or sent away. All
    files also get a style, so that each opens right on its own. Of many scenes the project shows
    all maps as one, and each scene gets a project too.

    Examples:

    - `agriseg qgis out/field`

    - `agriseg qgis out`

    - `agriseg qgis out/may out/june -o season.qgz`
    """
    from agriseg.publish import write_project

    path = write_project(results[0] if len(results) == 1 else results, out, overwrite=overwrite)
    if not quiet:
        print(f"{path}: open it in QGIS", file=sys.stderr)
    if as_json:
        print(json.dumps({"file": str(path)}))
