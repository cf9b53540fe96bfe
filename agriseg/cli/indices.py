"""`agriseg indices`: rasters of spectral indices, and which ones a scene can have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer
from agriseg.cli.groups import Part, Reading
from agriseg.cli.screen import console, new_table
from agriseg.cli.words import number_words, time_words
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from agriseg.indices import Index
    from agriseg.indices.verb import IndexRaster
    from agriseg.raster import Scene

__all__ = ["indices"]

# What fields are looked at for; the others are for fires, towns, snow and clouds.
_OF_FIELDS = ("vegetation", "soil", "water")


def indices(
    scene: opt.SceneFiles,
    *,
    out: Annotated[
        str | None, opt.to_file("File to write: .tif. Needed but with --list.", ".tif")
    ] = None,
    names: opt.Indices = None,
    param: opt.Param = None,
    uncalibrated: opt.Uncalibrated = False,
    listed: Annotated[
        bool,
        opt.flag(
            "-l --list", "Show which indices the scene can have, and write nothing.", opt.INDICES
        ),
    ] = False,
    all_domains: Annotated[
        bool, opt.flag("--all", "List those for fires, snow, clouds and towns, too.", opt.INDICES)
    ] = False,
    reading: Reading,
    part: Part,
    answer: Answer,
) -> None:
    """Write spectral indices of a scene, or list those that it can have.

    The result is a Cloud Optimized GeoTIFF of float32 on the grid of the input, a band an index,
    NaN where an index has no value. Formulas and references are those of Awesome Spectral Indices.

    Examples:

    - `agriseg indices field.tif --list`

    - `agriseg indices field.tif -i NDVI,NDRE -o indices.tif`

    - `agriseg indices field.tif -i SAVI --param L=0.25 -o savi.tif`
    """
    if out is None and not listed:
        raise OptionError("-o is missing: give a file to write, such as indices.tif, or --list")
    opened = reading.open(scene, "indices")
    if listed:
        _list(opened, all_domains, answer)
        return
    assert out is not None
    from agriseg.indices.verb import make_indices
    from agriseg.raster import narrow

    opened = narrow(opened, **part.keywords())
    started = time.monotonic()
    with _progress(answer.quiet) as on_rows:
        made = make_indices(
            opened,
            said.words(names, "--indices") or None,
            Path(out),
            params=said.constants(param),
            uncalibrated=uncalibrated,
            inputs=() if part.cutline is None else (part.cutline,),
            on_rows=on_rows,
        )
    if not answer.quiet:
        _tell(made, time.monotonic() - started)
    answer.give(_facts(made))


def _list(scene: Scene, all_domains: bool, answer: Answer) -> None:
    from agriseg.indices import available

    every = available(scene)
    shown = [index for index in every if all_domains or index.domain in _OF_FIELDS]
    answer.give([_index_facts(index) for index in shown])
    if not answer.prints:
        return
    from rich.markup import escape

    screen = console(stderr=False, soft_wrap=False)
    if not every:
        screen.print(escape(f"{scene.name} can have no index; {scene.band_summary()}"))
        return
    headings = ("index", "meaning", "formula", "bands", "reference")
    made = new_table(*headings, left=headings)
    for column in made.columns:
        column.overflow, column.no_wrap = "fold", column.header == "index"
    for index in shown:
        made.add_row(
            index.name,
            escape(index.long_name),
            escape(index.formula + _constants(index)),
            escape(", ".join(_bands(index, scene))),
            escape(index.reference.removeprefix("https://doi.org/")),
        )
    screen.print(made)
    rest = len(every) - len(shown)
    more = f"; {rest} more for fires, snow, clouds and towns: --all" if rest else ""
    screen.print(f"\n{len(shown)} indices of {escape(scene.name)}{more}", style="dim")


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
    from rich.markup import escape

    screen = console()
    found = new_table("index", "mean", "lowest", "highest", "valid", left=("index",))
    size = made.scene.geobox.width * made.scene.geobox.height
    for index, one in zip(made.indices, made.summaries, strict=True):
        found.add_row(
            index.name,
            *(number_words(value) for value in (one.mean, one.lowest, one.highest)),
            f"{100 * one.pixels / size:.3g} %",
        )
    screen.print(found)
    for note in made.notes:
        screen.print(f"[yellow]warning[/yellow] {escape(note)}")
    screen.print(f"{made.path} in {time_words(seconds)}", markup=False)


def _facts(made: IndexRaster) -> dict[str, Any]:
    rows = []
    for band, (index, found) in enumerate(zip(made.indices, made.summaries, strict=True), 1):
        values = {"mean": found.mean, "lowest": found.lowest, "highest": found.highest}
        rows.append({"band": band, **_index_facts(index), "valid_pixels": found.pixels, **values})
    return {"file": str(made.path), "indices": rows, "warnings": list(made.notes)}


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[float], None] | None]:
    """Show on a terminal how much is done."""
    screen = console(quiet=quiet)
    if quiet or not screen.is_terminal:
        yield None
        return
    with screen.status("computing indices") as status:
        yield lambda share: status.update(
            f"computing indices, {share:.0%}" if share < 1 else "writing the file"
        )
