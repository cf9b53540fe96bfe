"""Arrays put one after the other, on disk once they become large."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import OutputError

__all__ = ["Pile"]

# Up to here a pile stays in memory.
_SMALL = 256 << 20


class Pile:
    """Collects arrays (n, 2) of whole numbers and gives them back as one.

    The corners of a large map are its bulk, and are gone through a part at a time: on disk the
    system keeps of them in memory what there is room for. The file has no name, and is gone with
    the array.

    Args:
        folder: Where it may go; None: everything stays in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._parts: list[NDArray[np.int32]] = []
        self._bytes = 0
        self._file: IO[Any] | None = None

    def add(self, part: NDArray[np.int32]) -> None:
        """Put an array at the end.

        Raises:
            OutputError: There is no room on the disk.
        """
        self._parts.append(part)
        self._bytes += part.nbytes
        if self._folder is None or self._bytes <= _SMALL:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            for waiting in self._parts:
                self._file.write(np.ascontiguousarray(waiting, np.int32).data)
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"borders of the map cannot be kept in {self._folder}: {error.strerror}; free some "
                "room on the disk, or write to another one"
            ) from error
        self._parts.clear()

    def done(self) -> NDArray[np.int32]:
        """All of it as (n, 2)."""
        if self._file is None:
            empty = np.zeros((0, 2), np.int32)
            return np.concatenate(self._parts) if self._parts else empty
        shape = (self._bytes // 8, 2)
        return np.memmap(self._file, np.int32, mode="r", shape=shape)
