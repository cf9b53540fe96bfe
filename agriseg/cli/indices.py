"""`agriseg indices`: rasters of spectral indices, and which ones a scene can have."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agriseg.cli import options as opt
from agriseg.cli.words import number_words, time_words
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from rich.console import Console

    from agriseg.indices import Index
    from agriseg.indices.verb import IndexRaster
    from agriseg.raster import Scene

__all__ = ["indices"]

_PART, _INDICES = "Part of the scene", "Indices"
# What fields are looked at for; the others are for fires, towns, snow and clouds.
_OF_FIELDS = ("vegetation", "soil", "water")
_FILE_WIDTH = 160


def indices(
    scene: Annotated[
        list[str],
        typer.Argument(
            help="A raster, a folder of single-band rasters, or red=R.tif nir=N.tif.",
            metavar="SCENE",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o", "--out", help="File to write, .tif.", metavar="FILE", show_default=False
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            "-i",
            "--indices",
            help="Names with commas between; NDVI@1 where the scene has dates. Default: NDVI, and "
            "NDRE with a red edge; GLI where there is visible light only.",
            metavar="NAMES",
            show_default=False,
            rich_help_panel=_INDICES,
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            help="A constant of the formulas, as L=0.25. Repeatable.",
            metavar="NAME=VALUE",
            rich_help_panel=_INDICES,
        ),
    ] = None,
    uncalibrated: Annotated[
        bool,
        typer.Option(
            "--uncalibrated",
            help="Compute indices that need reflectance of whatever numbers there are.",
            rich_help_panel=_INDICES,
        ),
    ] = False,
    listed: Annotated[
        bool,
        typer.Option(
            "--list",
            "-l",
            help="Show which indices the scene can have, and write nothing.",
            rich_help_panel=_INDICES,
        ),
    ] = False,
    all_domains: Annotated[
        bool,
        typer.Option(
            "--all",
            help="List those for fires, snow, clouds and towns, too.",
            rich_help_panel=_INDICES,
        ),
    ] = False,
    bands: opt.Bands = None,
    sensor: opt.Sensor = None,
    scale: opt.Scale = None,
    offset: opt.Offset = None,
    nodata: opt.Nodata = None,
    mask: opt.Mask = None,
    mask_grow_m: opt.MaskGrow = 0.0,
    bounds: Annotated[
        str | None,
        typer.Option(
            help="left,bottom,right,top in the scene's CRS.",
            metavar="L,B,R,T",
            rich_help_panel=_PART,
        ),
    ] = None,
    cutline: Annotated[
        str | None,
        typer.Option(help="Vector file with polygons, in any CRS.", rich_help_panel=_PART),
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option("--gsd", help="Compute at this pixel size in metres.", rich_help_panel=_PART),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write spectral indices of a scene, or list those that it can have.

    The result is a Cloud Optimized GeoTIFF of float32 on the grid of the input, a band an index,
    NaN where an index has no value. Formulas and references are those of Awesome Spectral Indices.

    Examples:

    - `agriseg indices field.tif --list`

    - `agriseg indices field.tif -i NDVI,NDRE -o indices.tif`

    - `agriseg indices field.tif -i SAVI --param L=0.25 -o savi.tif`
    """
    from agriseg.raster import find_sources, narrow

    if out is None and not listed:
        raise OptionError("-o is missing: give a file to write, such as indices.tif, or --list")
    sources = find_sources(scene)
    if len(sources) != 1:
        raise OptionError(f"{len(sources)} scenes are given; indices takes one at a time")
    opened = sources[0].open(
        bands=bands,
        sensor=sensor,
        scale=scale,
        offset=offset,
        nodata=nodata,
        masks=mask or [],
        mask_grow_m=mask_grow_m,
    )
    if listed:
        _list(opened, all_domains, as_json)
        return
    assert out is not None
    opened = narrow(opened, bounds=opt.numbers(bounds, "--bounds", 4), cutline=cutline, gsd_m=gsd)
    from agriseg.indices.verb import make_indices

    started = time.monotonic()
    with _progress(quiet) as on_rows:
        made = make_indices(
            opened,
            None if names is None else opt.words(names, "-i"),
            Path(out),
            params=_params(param or []),
            uncalibrated=uncalibrated,
            inputs=() if cutline is None else (cutline,),
            on_rows=on_rows,
        )
    if not quiet:
        _tell(made, time.monotonic() - started)
    if as_json:
        print(json.dumps(_facts(made), indent=2))


def _params(words: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise OptionError(f"--param {word!r}: expected a name and a number, such as L=0.25")
        if name.strip() in found:
            raise OptionError(f"--param {name.strip()} is given twice; give one value")
        found[name.strip()] = value
    return found


def _list(scene: Scene, all_domains: bool, as_json: bool) -> None:
    from agriseg.indices import available

    every = available(scene)
    shown = [index for index in every if all_domains or index.domain in _OF_FIELDS]
    if as_json:
        print(json.dumps([_index_facts(index) for index in shown], indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    if not every:
        console.print(escape(f"{scene.name} can have no index; {scene.band_summary()}"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("index", "meaning", "formula", "bands", "reference"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "index")
    for index in shown:
        table.add_row(
            index.name,
            escape(index.long_name),
            escape(index.formula + _constants(index)),
            escape(", ".join(_bands(index, scene))),
            escape(index.reference.removeprefix("https://doi.org/")),
        )
    console.print(table)
    rest = len(every) - len(shown)
    more = f"; {rest} more for fires, snow, clouds and towns: --all" if rest else ""
    console.print(f"\n{len(shown)} indices of {escape(scene.name)}{more}", style="dim")


def _constants(index: Index) -> str:
    values = [f"{name}={value:g}" for name, value in index.constants if value is not None]
    return f"; {', '.join(values)}" if values else ""


def _bands(index: Index, scene: Scene) -> Iterator[str]:
    for symbol, key in zip(index.symbols, index.keys, strict=True):
        length = scene.band(key).wavelength_nm
        yield f"{symbol} {key}" + (f" {length:.0f} nm" if length else "")


def _index_facts(index: Index) -> dict[str, Any]:
    return {
        "name": index.name,
        "long_name": index.long_name,
        "domain": index.domain,
        "formula": index.formula,
        "bands": dict(zip(index.symbols, index.keys, strict=True)),
        "constants": dict(index.constants),
        "reference": index.reference,
    }


def _tell(made: IndexRaster, seconds: float) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console: Console = Console(stderr=True, highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("index", "mean", "lowest", "highest", "valid"):
        table.add_column(heading, justify="left" if heading == "index" else "right")
    size = made.scene.geobox.width * made.scene.geobox.height
    for index, found in zip(made.indices, made.summaries, strict=True):
        table.add_row(
            index.name,
            *(number_words(value) for value in (found.mean, found.lowest, found.highest)),
            f"{100 * found.pixels / size:.3g} %",
        )
    console.print(table)
    for note in made.notes:
        console.print(f"[yellow]warning[/yellow] {escape(note)}")
    print(f"{made.path} in {time_words(seconds)}", file=sys.stderr)


def _facts(made: IndexRaster) -> dict[str, Any]:
    rows = []
    for band, (index, found) in enumerate(zip(made.indices, made.summaries, strict=True), 1):
        values = {"mean": found.mean, "lowest": found.lowest, "highest": found.highest}
        rows.append({"band": band, **_index_facts(index), "valid_pixels": found.pixels, **values})
    return {"file": str(made.path), "indices": rows, "warnings": list(made.notes)}


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[float], None] | None]:
    """Show on a terminal how much is done."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal:
        yield None
        return
    with console.status("computing indices") as status:
        yield lambda share: status.update(
            f"computing indices, {share:.0%}" if share < 1 else "writing the file"
        )
