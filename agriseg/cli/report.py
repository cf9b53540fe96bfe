"""`agriseg report`: a run as a page to mail or to print."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from agriseg.cli import options as opt
from agriseg.errors import OptionError

__all__ = ["report"]


def report(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Folder of a run (OUT/SCENE), of many scenes (OUT), or several folders of runs.",
            metavar="RUN...",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            help="Page to write, for one run. Default: report.html in the folder.",
            metavar="FILE.html",
            show_default=False,
        ),
    ] = None,
    quicklook: Annotated[
        bool,
        typer.Option("--quicklook", help="Also write quicklook.png, a picture at a glance."),
    ] = False,
    stac: Annotated[
        bool, typer.Option("--stac", help="Also write item.json, a STAC item for catalogues.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write a run as one page for the people of the farm: maps, areas, fields, what to know.

    The page holds its pictures, so it can be mailed; it prints on A4, and needs no network. It
    shows what lies in the folder: the class map, the image, and of fields, zones and weeds a map
    and numbers.

    Examples:

    - `agriseg report out/field`

    - `agriseg report out/field -o "North field, May.html"`

    - `agriseg report out --quicklook --stac`
    """
    from agriseg.publish import write_item, write_quicklook, write_report
    from agriseg.publish.verb import runs_of

    runs, _ = runs_of(results[0] if len(results) == 1 else results)
    if out is not None and len(runs) > 1:
        raise OptionError(f"-o names one page, and these are {len(runs)} runs; leave it out")
    files = []
    for run in runs:
        if quicklook:
            files.append(write_quicklook(run))
        files.append(write_report(run, out))
        if stac:  # last: it tells of the others
            files.append(write_item(run))
    if not quiet:
        for path in files:
            print(path, file=sys.stderr)
    if as_json:
        print(json.dumps({"files": [str(path) for path in files]}))
