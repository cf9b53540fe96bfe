"""Files that are there as a whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import psutil

from agriseg.errors import OutputError
from agriseg.raster.source import READ_FAULTS

__all__ = ["HOST", "WRITE_FAULTS", "replacing", "sweep_abandoned", "write_bytes"]

HOST = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "host"
"""Names the machine in temporary files: on a shared disk process numbers alone are not unique."""
# What `replacing` adds behind the name of a file and the machine: the process, and a random number.
_TOKEN = re.compile(r"(\d+)\.[0-9a-f]{8}\.part")
# GDAL through rasterio: some failures of a copy come as SystemError.
WRITE_FAULTS: tuple[type[Exception], ...] = (OSError, SystemError, *READ_FAULTS)
"""What comes of a file that cannot be written."""


@contextlib.contextmanager
def replacing(path: Path, *, resumes: bool = True, alone: bool = False) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it into place when all went well.

    Args:
        path: What is written.
        resumes: Whether the work goes on where it stopped, for the message of a failure.
        alone: Whether nothing else is written beside it, so that nothing is searched for.

    Raises:
        OutputError: It cannot be written: no room, no permission, no such folder.
    """
    token = f"{HOST}.{os.getpid()}.{secrets.token_hex(4)}"
    beside = path.with_name(f".{path.name}.{token}.part")
    try:
        yield beside
        os.replace(beside, path)
    except WRITE_FAULTS as error:
        raise OutputError(_cannot_write(path, error, resumes)) from error
    finally:
        # GDAL leaves files of its own; a search for them takes long among thousands of rows.
        written = [beside] if alone else path.parent.glob(f"{glob.escape(beside.name)}*")
        for leftover in written:
            leftover.unlink(missing_ok=True)


def sweep_abandoned(path: Path, *, own: bool = False) -> None:
    """Remove what processes of this machine that were killed left of writing `path`.

    Args:
        path: What they were writing.
        own: Also what this process left.
    """
    start = f".{path.name}.{HOST}."
    for part in path.parent.glob(f"{glob.escape(start)}*.part*"):
        match = _TOKEN.match(part.name.removeprefix(start))
        if match is None:
            continue
        pid = int(match[1])
        if (own and pid == os.getpid()) or not psutil.pid_exists(pid):
            part.unlink(missing_ok=True)


def _cannot_write(path: Path, error: Exception, resumes: bool) -> str:
    said = " ".join(str(error.__cause__ or error).split())
    if isinstance(error, OSError) and error.strerror:
        said = error.strerror
    if isinstance(error, FileNotFoundError):
        return (
            f"{path} cannot be written: its folder is gone; another run into the same folder may "
            "have taken it away: run one at a time, or give another folder with -o"
        )
    return (
        f"{path} cannot be written: {said}; free some room on the disk or give another folder "
        f"with -o, then run the same command again{': it goes on where it stopped' * resumes}"
    )


def write_bytes(path: Path, data: bytes | memoryview, *, sync: bool = True) -> None:
    """Write a small file in one go, beside its place, and rename it.

    Args:
        path: Where it goes.
        data: What is written.
        sync: Wait until it is on the disk. Else a power cut could leave the name without the bytes,
            which is for files that are looked through before they count.

    Raises:
        OutputError: It cannot be written.
    """
    with replacing(path, alone=True) as beside, open(beside, "wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
