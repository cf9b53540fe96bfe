"""The `agriseg` command and what all of its commands share."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Annotated, NoReturn

import typer

from agriseg._version import __version__
from agriseg.cli.bench import bench
from agriseg.cli.compare import compare
from agriseg.cli.evaluate import evaluate
from agriseg.cli.export import export
from agriseg.cli.fields import fields
from agriseg.cli.health import health
from agriseg.cli.import_ import import_
from agriseg.cli.indices import indices
from agriseg.cli.info import info
from agriseg.cli.qgis import qgis
from agriseg.cli.report import report
from agriseg.cli.season import season
from agriseg.cli.segment import segment
from agriseg.cli.simulate import simulate
from agriseg.cli.train import train
from agriseg.cli.trial import trial
from agriseg.cli.vectorize import vectorize
from agriseg.cli.weeds import weeds
from agriseg.cli.zones import zones
from agriseg.errors import AgrisegError

__all__ = ["app", "main"]

app = typer.Typer(
    name="agriseg",
    help="Maps of crop, weed and soil from drone and satellite imagery of any size.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(segment)
app.command()(health)
app.command()(zones)
app.command()(weeds)
app.command()(season)
app.command()(compare)
app.command()(trial)
app.command()(fields)
app.command()(indices)
app.command()(vectorize)
app.command()(qgis)
app.command()(report)
app.command()(info)
app.command()(bench)
app.command()(train)
app.command()(evaluate)
app.command()(export)
app.command("import")(import_)
app.command()(simulate)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"agriseg {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Maps of crop, weed and soil from drone and satellite imagery of any size."""


def main() -> NoReturn:
    """Run the command; faults that the user can mend become one line and exit code 2."""
    # GDAL's own messages reach the user through our errors, or not at all.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    # What rasterio and pyogrio would print on their own; reports say it where it matters.
    chatter = ("Dataset has no geotransform", "The given matrix is equal", "More than one layer")
    for start in chatter:
        warnings.filterwarnings("ignore", message=start)
    try:
        app(standalone_mode=True)
    except AgrisegError as error:
        _fail(str(error), error.exit_code)
    except MemoryError:
        _fail(
            "there is not enough memory; use a smaller --chip or --batch, or close other programs",
            2,
        )
    except BrokenPipeError:
        # The reader of our output went away (`agriseg info ... | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    if "--debug" in sys.argv:
        raise
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}error:{plain} {message}", file=sys.stderr)
    sys.exit(code)
