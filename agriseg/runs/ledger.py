"""The ledger: which rows of a run are finished, as files in a shared folder.

Its folder is named after everything that the rows depend on, so a row found there is right, whoever
wrote it and whenever. For chip row r:

    row-r.tif     all pixels that are final once row r is merged with the one above it
    body-r.tif    the same without the rows shared with the row above, which was merged elsewhere
    upper-r.safetensors  then: row r's share of those rows, and which of their pixels are valid
    lower-r.safetensors  row r's share of the rows it has in common with row r + 1
    seam-r.tif    the shared rows, once both shares met
    NAME.borders  regions and borders in NAME.tif, where the run makes polygons

The shares are written before the row file that says they are there, and removed once used up.
Nothing is predicted twice: a run that goes on, or a neighbour in another process, adds the strip.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from agriseg.arrays import from_bytes, to_bytes
from agriseg.errors import OutputError
from agriseg.legend import NODATA
from agriseg.raster.whole_file import HOST, write_bytes
from agriseg.raster.writer import Piece, write_rows
from agriseg.runs.bundles import ALONE
from agriseg.threads import in_threads
from agriseg.tiling import ChipGrid, FinishedRows, SeamStrip, join_seam
from agriseg.vector.packing import pack, unpack
from agriseg.vector.parallel import threads_for
from agriseg.vector.strip import Strip, trace_band

__all__ = ["Ledger"]


@dataclass(frozen=True)
class Ledger:
    """Finished rows of one run.

    Args:
        folder: Where they are.
        grid: The chip grid of the run.
        probabilities: Whether row files carry the probability of each class.
        together: Classes that are decided as one, see `agriseg.tiling.decide`.
    """

    folder: Path
    grid: ChipGrid
    probabilities: bool = False
    together: tuple[int, ...] = ()

    def create(self) -> None:
        """Make the folder, and say that this process works in it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"owner.{HOST}.{os.getpid()}").touch()
        except OSError as error:
            raise OutputError(
                f"the folder {self.folder} cannot be made: {error.strerror}; give another folder "
                "with -o"
            ) from error

    # Questions -----------------------------------------------------------------------------

    def is_predicted(self, row: int) -> bool:
        """Whether chip row `row` needs no prediction any more.

        Its pixels must be there, and its strip for the next row, unless that one is settled.
        """
        if not self._has_pixels(row):
            return False
        if row == self.grid.rows - 1 or self.grid.overlap == 0 or _is_there(self._lower(row)):
            return True
        return _is_there(self._row(row + 1)) or _is_there(self._seam(row + 1))

    def _has_pixels(self, row: int) -> bool:
        if _is_there(self._row(row)):
            return True
        has_strip = _is_there(self._upper(row)) or _is_there(self._seam(row))
        return has_strip and (self._body_is_empty(row) or _is_there(self._body(row)))

    def missing(self, rows: Sequence[int]) -> list[int]:
        return [row for row in rows if not self.is_predicted(row)]

    def lower_strip(self, row: int) -> SeamStrip | None:
        """What chip row `row` left for the next one, or None."""
        path = self._lower(row)
        try:
            return from_bytes(path.read_bytes())["strip"]
        except FileNotFoundError:
            return None
        except (KeyError, ValueError) as error:
            raise _damaged(path) from error

    def pieces(self) -> list[Piece]:
        """All row files, from top to bottom; together they cover the raster once.

        Raises:
            RuntimeError: Rows are missing.
        """
        found: list[Piece] = []
        for row in range(self.grid.rows):
            whole, seam = self.grid.finished_by(row), self.grid.seam_above(row)
            if self._row(row).exists():
                found.append(Piece(whole, self._row(row)))
                continue
            if seam is not None:
                found.append(Piece(seam, self._seam(row)))
            body = self.grid.body(row)
            if body is not None:
                found.append(Piece(body, self._body(row)))
        lost = [piece.path.name for piece in found if not piece.path.exists()]
        if lost:
            raise RuntimeError(f"the ledger {self.folder} lacks {', '.join(lost)}")
        return found

    def borders(self) -> Iterator[Strip]:
        """Regions and borders of all rows, from top to bottom; what was not traced yet is now."""
        threads = threads_for(self.grid.size * self.grid.width)
        for _, strips in in_threads(_borders_of, self.pieces(), threads):
            yield from strips

    # Entries -------------------------------------------------------------------------------

    def store(
        self,
        row: int,
        finished: FinishedRows | None,
        valid: NDArray[np.bool_],
        upper: SeamStrip | None,
        lower: SeamStrip | None,
        unreadable: Sequence[str] = (),
    ) -> None:
        """Enter chip row `row`.

        Args:
            row: Chip row.
            finished: Its final rows; None where there is none.
            valid: (height, width) valid mask of the chip row's window.
            upper: Its share of the rows above, where the row above was not at hand.
            lower: Its share of the rows below.
            unreadable: A line for each of its chips that could not be read.
        """
        self._note_unreadable(row, unreadable)
        top = self.grid.row_window(row).row_off
        if lower is not None:
            write_bytes(self._lower(row), to_bytes({"strip": lower}))
        if upper is not None:
            packed = to_bytes({"strip": upper, "valid": valid[: self.grid.overlap]})
            write_bytes(self._upper(row), packed)
        if finished is not None:
            at = finished.window
            rows = slice(at.row_off - top, at.row_end - top)
            path = self._row(row) if upper is None else self._body(row)
            self._write(path, finished, valid[rows])
        if upper is None and row > 0:
            self._lower(row - 1).unlink(missing_ok=True)
        self.join(row)
        self.join(row + 1)

    def join(self, row: int) -> None:
        """Finish the rows that chip rows `row` - 1 and `row` share, where both shares are there."""
        window = self.grid.seam_above(row) if 0 < row < self.grid.rows else None
        if window is None or not self._upper(row).exists():
            return
        lower = self.lower_strip(row - 1)
        if lower is None:
            return
        try:
            packed = from_bytes(self._upper(row).read_bytes())
            upper, valid = packed["strip"], packed["valid"]
        except FileNotFoundError:
            return  # another process was quicker
        except (KeyError, ValueError) as error:
            raise _damaged(self._upper(row)) from error
        finished = join_seam(
            upper, lower, window, probabilities=self.probabilities, together=self.together
        )
        self._write(self._seam(row), finished, valid)
        self._upper(row).unlink(missing_ok=True)
        self._lower(row - 1).unlink(missing_ok=True)

    def trace(self, row: int) -> None:
        """Find regions and borders in what chip row `row` finished, and keep them."""
        seams = [(self.grid.seam_above(at), self._seam(at)) for at in (row, row + 1)]
        whole = (self.grid.finished_by(row), self._row(row))
        for window, path in (whole, (self.grid.body(row), self._body(row)), *seams):
            if window is not None and _is_there(path) and not _is_there(_traced(path)):
                packed = pack(_trace(Piece(window, path)))
                write_bytes(_traced(path), packed, sync=False)  # it has a checksum

    def join_all(self) -> None:
        """Finish all shared rows that a stopped run left with both shares."""
        for row in range(1, self.grid.rows):
            self.join(row)

    def _note_unreadable(self, row: int, lines: Sequence[str]) -> None:
        path = self.folder / f"unreadable-{row:06d}.json"
        if lines:
            write_bytes(path, json.dumps(list(lines)).encode())
        else:
            path.unlink(missing_ok=True)

    def drop_damaged(self) -> int:
        """Remove row files that cannot be read, so that the next run makes them anew.

        Returns:
            How many there were.
        """
        dropped = 0
        for path in self.folder.glob("*-[0-9]*.tif"):
            if not _is_there(path):
                continue  # empty counts as absent
            try:
                with rasterio.Env(**ALONE), rasterio.open(path) as dataset:
                    dataset.read()
            except (RasterioError, SystemError):
                path.unlink(missing_ok=True)
                _traced(path).unlink(missing_ok=True)
                dropped += 1
        return dropped

    def clear(self) -> None:
        """Forget all rows."""
        for path in self.folder.glob("*-[0-9]*.*"):
            path.unlink(missing_ok=True)

    def unreadable(self) -> list[str]:
        """All chips that could not be read."""
        files = sorted(self.folder.glob("unreadable-*.json"))
        return [line for file in files for line in json.loads(file.read_text())]

    def _write(self, path: Path, finished: FinishedRows, valid: NDArray[np.bool_]) -> None:
        _traced(path).unlink(missing_ok=True)
        write_rows(path, finished.blank(valid))

    def _body_is_empty(self, row: int) -> bool:
        return self.grid.body(row) is None

    def _row(self, row: int) -> Path:
        return self.folder / f"row-{row:06d}.tif"

    def _body(self, row: int) -> Path:
        return self.folder / f"body-{row:06d}.tif"

    def _seam(self, row: int) -> Path:
        return self.folder / f"seam-{row:06d}.tif"

    def _upper(self, row: int) -> Path:
        return self.folder / f"upper-{row:06d}.safetensors"

    def _lower(self, row: int) -> Path:
        return self.folder / f"lower-{row:06d}.safetensors"


def _traced(path: Path) -> Path:
    return path.with_suffix(".borders")


def _borders_of(piece: Piece) -> list[Strip]:
    """Regions and borders in a row file, as they were kept, or found now."""
    try:
        return unpack(_traced(piece.path).read_bytes())
    except (FileNotFoundError, ValueError):
        return _trace(piece)


def _trace(piece: Piece) -> list[Strip]:
    with rasterio.Env(**ALONE), rasterio.open(piece.path) as dataset:
        classes, confidence = dataset.read([1, 2])
    return trace_band(classes, classes != NODATA, piece.window.row_off, steps=confidence)


def _is_there(path: Path) -> bool:
    """Whether a file exists and is not empty, as a power cut can leave it."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _damaged(path: Path) -> OutputError:
    path.unlink(missing_ok=True)
    return OutputError(f"{path} was damaged and is removed; run the same command again")
