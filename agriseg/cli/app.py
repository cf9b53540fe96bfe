"""The `agriseg` command and what all of its commands share."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from agriseg._version import __version__
from agriseg.cli.bench import bench
from agriseg.cli.command import as_command
from agriseg.cli.compare import compare
from agriseg.cli.evaluate import evaluate
from agriseg.cli.export import export
from agriseg.cli.fields import fields
from agriseg.cli.health import health
from agriseg.cli.import_ import import_, preset_lines
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


class _WithPresets(TyperCommand):
    """A command whose help lists the presets; loading them takes longer than all other help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.help = str(self.help).replace("PRESETS", preset_lines())
        super().format_help(ctx, formatter)


app = typer.Typer(
    name="agriseg",
    help="Maps of crop, weed and soil from drone and satellite imagery of any size.",
    epilog="Exit codes: 0 done; 1 some of many scenes or runs failed; 2 a fault that you can mend, "
    "told in one line; 130 stopped by Ctrl-C.",
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: tuple[Callable[..., None], ...] = (
    *(segment, health, zones, weeds, season, compare, trial, fields, indices, vectorize),
    *(qgis, report, info, bench, train, evaluate, export, import_, simulate),
)
for _one in _COMMANDS:
    _kind = _WithPresets if _one is import_ else None
    app.command(_one.__name__.rstrip("_"), cls=_kind)(as_command(_one))

# What typer raises for words that make no command; not all of its versions have a name for it.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"agriseg {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Maps of crop, weed and soil from drone and satellite imagery of any size."""
    if context.invoked_subcommand is None:
        print(context.get_help(), end="")  # nothing is left to print where typer did it in colours
        raise typer.Exit(2)


def main() -> NoReturn:
    """Run the command; faults that the user can mend become one line and exit code 2."""
    # GDAL's own messages reach the user through our errors, or not at all.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    # What rasterio and pyogrio would print on their own; reports say it where it matters.
    chatter = ("Dataset has no geotransform", "The given matrix is equal", "More than one layer")
    for start in chatter:
        warnings.filterwarnings("ignore", message=start)
    try:
        code = app(prog_name="agriseg", standalone_mode=False)
    except AgrisegError as error:
        _fail(str(error), error.exit_code)
    except _UsageError as error:
        _misused(error)
    except MemoryError:
        _fail(
            "there is not enough memory; use a smaller --chip or --batch, or close other programs",
            2,
        )
    sys.exit(code or 0)


def _misused(error: Any) -> NoReturn:
    """Say what is wrong with the words of the command, and where the right ones stand."""
    path = error.ctx.command_path if error.ctx is not None else "agriseg"
    said = " ".join(error.format_message().split()).rstrip(".")
    _fail(f"{said[:1].lower()}{said[1:]}; {path} --help tells what there is", 2)


def _fail(message: str, code: int) -> NoReturn:
    if "--debug" in sys.argv:
        raise
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}error:{plain} {message}", file=sys.stderr)
    sys.exit(code)
