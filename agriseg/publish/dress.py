"""Styles beside and inside the files of a run, so that each opens right on its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from agriseg.errors import AgrisegError
from agriseg.publish.colors import CERTAINTY
from agriseg.publish.geopackage import put_style, read_tables
from agriseg.publish.layers import first_probability, legend_of, probability_style, segments_look
from agriseg.publish.styles import MARK, Style, color_ramp, paletted
from agriseg.publish.tables import TABLES, Looks
from agriseg.raster.whole_file import write_bytes
from agriseg.runs import Run
from agriseg.runs.record import write_record

__all__ = ["dress", "dress_tables", "put_qml"]

_LOG = logging.getLogger(__name__)


def dress(run: Run) -> None:
    """Give each raster of a run a .qml file, and each GeoPackage its style.

    Rasters keep their bytes. A GeoPackage carries its style inside, since polygons are sent around
    without the files beside them; where run.json holds its size, that is brought up to date.

    Raises:
        OutputError: A style cannot be written beside a raster.
    """
    legend = legend_of(run)
    put_qml(run.classes, paletted(legend))
    put_qml(run.confidence, color_ramp(1, CERTAINTY))
    if run.probabilities:
        put_qml(run.probabilities, probability_style(legend, first_probability(legend)))
    changed = [_styled(run.segments, segments_look(legend))] if run.segments else []
    changed += dress_tables(run.path, TABLES)
    _note_sizes(run, [path for path in changed if path is not None])


def dress_tables(folder: Path, known: Mapping[str, Looks]) -> list[Path | None]:
    """Put styles into the GeoPackages of a folder.

    Args:
        folder: Where they lie, if they do.
        known: How each is shown, by the names of the files.

    Returns:
        The files that have changed.
    """
    changed = []
    for name, looks in known.items():
        path = folder / name
        if not path.exists():
            continue
        try:
            style = looks(path, read_tables(path)[0])[-1].style
        except (AgrisegError, IndexError) as error:
            _LOG.warning("%s gets no style: %s", path, error)
            continue
        changed.append(_styled(path, style))
    return changed


def put_qml(raster: Path, style: Style) -> None:
    """Write the .qml of a raster, unless somebody has saved one there from QGIS.

    Raises:
        OutputError: It cannot be written.
    """
    path = raster.with_suffix(".qml")
    try:
        if MARK not in path.read_bytes():
            return
    except FileNotFoundError:
        pass
    except OSError as error:
        _LOG.warning("%s is left as it is: %s", path, error)
        return
    write_bytes(path, style.qml())


def _styled(path: Path, style: Style) -> Path | None:
    """The file, if its style was put into it just now; that one goes without is no fault."""
    try:
        tables = read_tables(path)
        return path if tables and put_style(path, tables[0], style.qml()) else None
    except AgrisegError as error:
        _LOG.warning("%s", error)
        return None


def _note_sizes(run: Run, changed: list[Path]) -> None:
    """Keep run.json true: a file of another size counts as damaged."""
    outputs = dict(run.record["outputs"])
    sizes = {path.name: path.stat().st_size for path in changed if path.name in outputs}
    if any(outputs[name] != size for name, size in sizes.items()):
        write_record(run.folder, {**run.record, "outputs": outputs | sizes})
