"""`agriseg qgis`: a project that shows results in QGIS."""

from __future__ import annotations

from typing import Annotated

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer

__all__ = ["qgis"]


def qgis(
    results: opt.Results,
    *,
    out: Annotated[
        str | None,
        opt.to_file("Project to write: .qgz. Default: result.qgz in the folder.", ".qgz"),
    ] = None,
    overwrite: Annotated[
        bool, opt.flag("--overwrite", "Also replace a project that was saved in QGIS.")
    ] = False,
    answer: Answer,
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

    path = write_project(said.one_or_all(results), out, overwrite=overwrite)
    answer.say(f"{path}: open it in QGIS")
    answer.give({"file": path})
