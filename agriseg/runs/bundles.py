"""Tiny row files put together into larger ones: GDAL opens each file several times a raster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from agriseg.errors import OutputError
from agriseg.geobox import Window
from agriseg.raster.writer import Piece, write_rows
from agriseg.threads import in_threads

__all__ = ["ALONE", "bundled"]

# Nothing lies beside a row file that belongs to it. Among thousands of them each opening would list
# a thousand first: 1.4 ms in place of 0.3.
ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""Settings of GDAL for opening row files."""

# Pixels. To copy more than a tiny file holds takes longer than to open it four times.
_TINY, _BUNDLE = 1 << 16, 1 << 21


def bundled(pieces: Sequence[Piece], folder: Path) -> list[Piece]:
    """The same pixels in fewer files: row files of a few pixels are copied together.

    Args:
        pieces: Row files of full-width windows that lie under each other.
        folder: Where the larger files go.

    Raises:
        OutputError: A tiny file is damaged, and is removed; or a larger one cannot be written.
    """

    def one(group: list[Piece]) -> Piece:
        return group[0] if len(group) == 1 else _bundle(group, folder)

    return [piece for _, piece in in_threads(one, _groups(pieces), 2, "bundle")]


def _groups(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Tiny ones that follow each other, as many as a larger file holds; each other by itself."""
    group: list[Piece] = []
    room = 0
    for piece in pieces:
        pixels = piece.window.height * piece.window.width
        if group and (pixels > _TINY or pixels > room):
            yield group
            group = []
        if not group:
            room = _BUNDLE if pixels <= _TINY else 0
        group.append(piece)
        room -= pixels
    if group:
        yield group


def _bundle(group: Sequence[Piece], folder: Path) -> Piece:
    first, last = group[0].window, group[-1].window
    window = Window(first.col_off, first.row_off, first.width, last.row_end - first.row_off)
    # No name of a row: what a stopped run leaves of it counts for nothing.
    path = folder / f"bundle.{first.row_off}.tif"
    with rasterio.Env(**ALONE):
        planes = [_read(piece) for piece in group]
    write_rows(path, np.concatenate(planes, axis=1))
    return Piece(window, path)


def _read(piece: Piece) -> NDArray[np.uint8]:
    try:
        with rasterio.open(piece.path) as dataset:
            planes: NDArray[np.uint8] = dataset.read()
    except (RasterioError, SystemError) as error:
        piece.path.unlink(missing_ok=True)
        raise OutputError(
            f"{piece.path} was damaged and is removed; run the same command again"
        ) from error
    return planes
