"""`agriseg report`: a run as a page to mail or to print."""

from __future__ import annotations

from typing import Annotated

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer
from agriseg.errors import OptionError

__all__ = ["report"]


def report(
    results: opt.Results,
    *,
    out: Annotated[
        str | None,
        opt.to_file(
            "Page to write, for one run: .html. Default: report.html in the folder.", ".html"
        ),
    ] = None,
    quicklook: Annotated[
        bool, opt.flag("--quicklook", "Also write quicklook.png, a picture at a glance.")
    ] = False,
    stac: Annotated[
        bool, opt.flag("--stac", "Also write item.json, a STAC item for catalogues.")
    ] = False,
    answer: Answer,
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

    runs, _ = runs_of(said.one_or_all(results))
    if out is not None and len(runs) > 1:
        raise OptionError(f"-o names one page, and these are {len(runs)} runs; leave it out")
    files = []
    for run in runs:
        if quicklook:
            files.append(write_quicklook(run))
        files.append(write_report(run, out))
        if stac:  # last: it tells of the others
            files.append(write_item(run))
    answer.say(*map(str, files))
    answer.give({"files": files})
