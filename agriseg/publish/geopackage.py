"""What a GeoPackage holds, and the style it brings along; through SQLite, without GDAL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import rasterio.crs
from rasterio.errors import CRSError

from agriseg.errors import InputError, OutputError, said_by

__all__ = ["Table", "put_style", "read_tables", "spread", "values_of"]

_STYLE_NAME = "agriseg"
# As in the rest of our GeoPackages: no time of day, so that the same run has the same bytes.
_STAMP = "2000-01-01T00:00:00.000Z"
_PATIENCE_S = 5.0
# Names and types as QGIS itself makes them.
_STYLES = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
    f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)"""
_INSERT = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,
    styleName, styleQML, styleSLD, useAsDefault, description, owner, update_time)
VALUES ('', '', ?, ?, ?, ?, '', ?, '', '', ?)"""
_REGISTER = """
INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id)
SELECT 'layer_styles', 'attributes', 'layer_styles', '', ?, 0
WHERE NOT EXISTS (SELECT 1 FROM gpkg_contents WHERE table_name = 'layer_styles')"""


@dataclass(frozen=True)
class Table:
    """A layer of a GeoPackage.

    Args:
        name: Of the table.
        geometry: The column of its shapes.
        kind: "Polygon", "Line" or "Point", as QGIS calls them.
        crs: Of the shapes; None where there is none.
        columns: Names of all columns but the number and the shapes.
        bounds: (left, bottom, right, top) as the file states them; None of an empty layer.
    """

    name: str
    geometry: str
    kind: str
    crs: rasterio.crs.CRS | None
    columns: tuple[str, ...]
    bounds: tuple[float, float, float, float] | None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        place = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(place, uri=True, timeout=_PATIENCE_S)) as base:
            yield base
    except sqlite3.Error as error:
        raise InputError(
            f"{path} cannot be read as a GeoPackage ({said_by(error)}); make it anew, or move it "
            "out of the folder"
        ) from error


def read_tables(path: Path) -> list[Table]:
    """The layers with shapes of a GeoPackage, in their order.

    Raises:
        InputError: It cannot be read.
    """
    with _reading(path) as base:
        rows = base.execute(
            "SELECT c.table_name, g.column_name, g.geometry_type_name, g.srs_id,"
            " c.min_x, c.min_y, c.max_x, c.max_y"
            " FROM gpkg_contents c JOIN gpkg_geometry_columns g ON g.table_name = c.table_name"
            " WHERE c.data_type = 'features' ORDER BY c.rowid"
        ).fetchall()
        found = []
        for name, geometry, kind, srs, *bounds in rows:
            facts = base.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
            columns = [str(row[1]) for row in facts if not row[5] and row[1] != geometry]
            known = None if None in bounds else tuple(map(float, bounds))
            found.append(
                Table(name, geometry, _kind(kind), _crs(base, srs), tuple(columns), known)  # type: ignore[arg-type]
            )
        return found


def _kind(name: str) -> str:
    kinds = {"POINT": "Point", "LINE": "Line", "POLYGON": "Polygon"}
    return next((kind for word, kind in kinds.items() if word in name.upper()), "Polygon")


def _crs(base: sqlite3.Connection, srs: int) -> rasterio.crs.CRS | None:
    row = base.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys"
        " WHERE srs_id = ?",
        (srs,),
    ).fetchone()
    # 0 and -1 stand for systems that nobody knows, and GDAL has one of its own for that.
    if row is None or srs in (0, -1) or "Undefined SRS" in row[2]:
        return None
    try:
        if str(row[0]).upper() == "EPSG":
            return rasterio.crs.CRS.from_epsg(row[1])
        return rasterio.crs.CRS.from_wkt(row[2])
    except CRSError:
        return None


def spread(path: Path, table: Table, column: str) -> tuple[float, float] | None:
    """Lowest and highest number in a column; None where there is none.

    Raises:
        InputError: The file cannot be read.
    """
    name = _quoted(column)
    with _reading(path) as base:
        low, high = base.execute(
            f"SELECT min({name}), max({name}) FROM {_quoted(table.name)}"
            f" WHERE typeof({name}) IN ('real', 'integer')"
        ).fetchone()
    return None if low is None else (float(low), float(high))


def values_of(
    path: Path, table: Table, column: str, *, name: str | None = None, total: str | None = None
) -> list[tuple[object, str | None, float | None]]:
    """Every value of a column once, in their order.

    Args:
        path: The file.
        table: The layer.
        column: Whose values.
        name: A column with a text for each.
        total: A column of numbers to be added up for each.

    Returns:
        (value, text, sum) of each.

    Raises:
        InputError: The file cannot be read.
    """
    text = "NULL" if name is None else f"min({_quoted(name)})"
    added = "NULL" if total is None else f"sum({_quoted(total)})"
    key = _quoted(column)
    with _reading(path) as base:
        return base.execute(
            f"SELECT {key}, {text}, {added} FROM {_quoted(table.name)} WHERE {key} IS NOT NULL"
            f" GROUP BY {key} ORDER BY {key}"
        ).fetchall()


def put_style(path: Path, table: Table, qml: bytes) -> bool:
    """Let QGIS draw a layer in a style wherever the file goes.

    Written in place: the file is a database that others, QGIS for one, may have open, and SQLite
    lets nobody see half of a change. A default style that somebody else has put there stays one.

    Returns:
        Whether the file has changed.

    Raises:
        OutputError: It cannot be written to.
    """
    text = qml.decode()
    try:
        with contextlib.closing(
            sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)
        ) as base:
            base.execute("BEGIN IMMEDIATE")
            base.execute(_STYLES)
            rows = base.execute(
                "SELECT id, styleName, styleQML, useAsDefault FROM layer_styles"
                " WHERE f_table_name = ?",
                (table.name,),
            ).fetchall()
            mine = [row for row in rows if row[1] == _STYLE_NAME]
            if mine and mine[0][2] == text:
                base.execute("ROLLBACK")
                return False
            if mine:
                base.execute(
                    "UPDATE layer_styles SET styleQML = ? WHERE id = ?", (text, mine[0][0])
                )
            else:
                free = not any(row[3] for row in rows)
                place = (table.name, table.geometry)
                base.execute(_INSERT, (*place, _STYLE_NAME, text, int(free), _STAMP))
            base.execute(_REGISTER, (_STAMP,))
            base.execute("COMMIT")
            return True
    except sqlite3.Error as error:
        raise OutputError(
            f"the style of {path} cannot be written into it ({said_by(error)}); close the programs "
            "that have it open, see that there is room on the disk, and try again"
        ) from error
