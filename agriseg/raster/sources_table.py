"""A table of scenes: a CSV file with a row for each flight, its facts and how to read it."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agriseg.bands import split_role
from agriseg.errors import AgrisegError, InputError, OptionError, meant_by, nearest, said_by, shown
from agriseg.raster.masks import parse_class_mask
from agriseg.raster.opener import is_local
from agriseg.raster.opening import parse_bands
from agriseg.raster.roles import sensor_named
from agriseg.raster.scene import FACTS
from agriseg.raster.sources_files import as_pair
from agriseg.raster.sources_names import Found, Given, found, key_of

__all__ = ["COLUMNS", "table_sources"]

_OPTIONS = ("bands", "sensor", "scale", "offset", "nodata", "mask", "mask_grow_m", "name")
COLUMNS = ("path", *FACTS, *_OPTIONS)
"""The columns that agriseg knows; any other is a fact of its own."""

_SEPARATORS = (",", ";", "\t")
_EXAMPLE = "a first line such as path,date,field is needed"
# Excel writes, and heeds, a line before all others that names the separator.
_EXCEL_HINT = re.compile(r"\s*sep=(.)\s*\Z", re.IGNORECASE)


def table_sources(path: str) -> list[Found]:
    """The scenes of a CSV file; see `find_sources` for its columns.

    Raises:
        InputError: It is not such a table, or a row gives no scene.
        OptionError: A column is misspelt, or a cell makes no sense; the message names the row.
    """
    rows = _rows(path)
    number, header = next(rows, (0, []))
    if not header:
        raise InputError(f"{path} is empty; {_EXAMPLE}")
    columns = _columns(header, path, number)
    scenes: list[Found] = []
    seen: dict[str, list[tuple[int, str | None]]] = {}
    for number, cells in rows:
        where = f"{path} row {number}"
        row = _cells(columns, cells, where)
        if not row:
            continue
        scene = _scene(row, path, where)
        others = seen.setdefault(key_of(scene.inputs), [])
        for other, name in others:
            if scene.name is None or name is None or name == scene.name:
                raise InputError(
                    f"{where} gives the scene of row {other} again; leave one out, or give each "
                    "a name of its own in the column name"
                )
        others.append((number, scene.name))
        scenes.append(scene)
    if not scenes:
        raise InputError(f"{path} has a line of columns and no row below it; a row is one scene")
    return scenes


def _rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """Rows as a spreadsheet numbers them, from the line of columns on; none with nothing in it."""
    text = _text(path)
    first, _, rest = text.partition("\n")
    start, hint = 1, _EXCEL_HINT.match(first)
    if hint:
        text, start = rest, 2
        first = text.partition("\n")[0]
    separator = hint[1] if hint else _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = start - 1
    try:
        for number, cells in enumerate(reader, start):
            if any(cell.strip() for cell in cells):
                yield number, cells
    except csv.Error as error:
        raise InputError(
            f"{path} row {number + 1} cannot be read ({said_by(error)}); a quotation mark opens "
            "and closes a cell, and is doubled inside it"
        ) from error


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; check the path") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give a table that you may read"
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as CSV UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{path} is no text (it holds zero bytes); save it as CSV UTF-8")
    return text


def _separator(text: str) -> str:
    """The one that makes a column called path, or else the most columns, of the first line."""
    line = next((line for line in text.splitlines() if line.strip()), "")

    def fit(separator: str) -> tuple[bool, int]:
        try:
            names = next(csv.reader([line], delimiter=separator), [])
        except csv.Error:
            names = []
        return "path" in map(_plain, names), len(names)

    return max(_SEPARATORS, key=fit)


def _plain(column: str) -> str:
    """`Growth stage ` is growth_stage; what is left can be a key in any file."""
    return re.sub(r"\W+", "_", column.strip().lower()).strip("_")


def _columns(header: Sequence[str], path: str, number: int) -> list[str]:
    names = [_plain(name) for name in header]
    while names and not names[-1]:
        names.pop()
    for name, written in zip(names, header, strict=False):
        what = f"{path} row {number}: the column {shown(written.strip())}"
        if not name:
            raise InputError(f"{path} row {number}: a column has no name; name it or delete it")
        if names.count(name) > 1:
            raise InputError(f"{what} is there twice; leave one")
        meant = meant_by(name, COLUMNS)
        if meant and meant in names:
            raise OptionError(f"{what} is near to {meant}, which is there too; call it otherwise")
        if meant:
            raise OptionError(f"{what} is unknown; did you mean {meant}? If not, call it otherwise")
    if "path" not in names:
        near = nearest("path", names) if names else ""
        there = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        hint = f" ({near})" if near.startswith("did you mean") else ""
        raise InputError(f"{path} row {number} has no column path, only {there}{hint}; {_EXAMPLE}")
    return names


def _cells(columns: Sequence[str], cells: Sequence[str], where: str) -> dict[str, str]:
    """The cells of a row that are not empty, by column."""
    texts = [cell.strip() for cell in cells]
    if any(texts[len(columns) :]):
        raise InputError(
            f"{where} has {len(texts)} cells for {len(columns)} columns; put quotation marks "
            'around a text with separators in it, as "blue,green,red,nir"'
        )
    return {name: text for name, text in zip(columns, texts, strict=False) if text}


def _scene(row: Mapping[str, str], path: str, where: str) -> Found:
    folder = os.path.dirname(path)
    if "path" not in row:
        raise InputError(f"{where} has no path; give the raster of the scene, or delete the row")
    try:
        inputs = _inputs(row["path"], folder)
    except AgrisegError as error:
        raise type(error)(f"{where}, path: {error}") from error
    options: dict[str, Any] = {}
    for column, read in _READ.items():
        if column not in row:
            continue
        try:
            options[column] = read(row[column])
        except AgrisegError as error:
            raise OptionError(f"{where}, column {column}: {error}") from error
    if "mask" in options:
        mask, values = options.pop("mask")
        options["masks"] = (f"{_at(mask, folder)}:{values}",)
    about = {name: text for name, text in row.items() if name not in ("path", *_OPTIONS)}
    if about:
        options["about"] = about
    name = options.pop("name", None)
    return found(inputs, where, root=folder, options=options, name=name)


def _inputs(cell: str, folder: str) -> Given:
    """A path, or paths by role (`red=R.tif nir=N.tif`), that start at `folder`.

    Raises:
        BandError: A role is unknown.
        OptionError: A role is given twice.
    """
    if "=" not in cell or as_pair(cell, folder) is None:
        return _at(cell, folder)
    files: dict[str, str] = {}
    # A blank ends a path only before the next role: paths have blanks, too.
    for text in re.split(r"\s+(?=[A-Za-z][\w.:@-]*=)", cell):
        role, _, path = text.partition("=")
        split_role(role)
        if role in files:
            raise OptionError(f"the band {role} is given twice; one file a band")
        files[role] = _at(path.strip().strip("\"'"), folder)
    return files


def _at(path: str, folder: str) -> str:
    return os.path.join(folder, path) if is_local(path) else path


def _bands(text: str) -> str:
    said = parse_bands(text)
    for role in said:
        split_role(role)
    return text


def _sensor(text: str) -> str:
    sensor_named(text)
    return text


def _number(text: str) -> float:
    try:
        # Python reads 1_000 as a number, and nobody else.
        return float(text.replace("_", "?"))
    except ValueError as error:
        point = "; write 0.0001, with a point" if re.search(r"\d,\d", text) else ""
        raise OptionError(f"{shown(text)} is not a number{point}") from error


def _finite(text: str) -> float:
    value = _number(text)
    if not math.isfinite(value):
        raise OptionError(f"{shown(text)}: a finite number is needed")
    return value


def _scale(text: str) -> float:
    value = _finite(text)
    if value == 0:
        raise OptionError(f"{shown(text)}: a number other than 0 is needed")
    return value


def _metres(text: str) -> float:
    value = _finite(text)
    if value < 0:
        raise OptionError(f"{shown(text)}: 0 or a positive number is needed")
    return value


def _mask(text: str) -> tuple[str, str]:
    mask = parse_class_mask(text)
    return mask.path, text.removeprefix(f"{mask.path}:")


def _name(text: str) -> str:
    if text in (".", "..") or set(text) & set("/\\"):
        raise OptionError(
            f"{shown(text)} cannot be a name, which is that of a folder; leave / and \\ out"
        )
    return text


_READ: Mapping[str, Callable[[str], Any]] = {
    "bands": _bands,
    "sensor": _sensor,
    "scale": _scale,
    "offset": _finite,
    "nodata": _number,
    "mask": _mask,
    "mask_grow_m": _metres,
    "name": _name,
}
