"""Keeping the QGIS project of a run up to date with what commands add to its folder."""

from __future__ import annotations

import sys
from pathlib import Path

from agriseg.errors import AgrisegError

__all__ = ["refresh_project"]


def refresh_project(folder: Path) -> None:
    """Bring result.qgz up to date where it is there; one that was saved in QGIS stays as it is."""
    from agriseg.publish import PROJECT_FILE, write_project

    if not (folder / PROJECT_FILE).exists():
        return
    try:
        write_project(folder)
    except AgrisegError as error:
        print(f"note: {error}", file=sys.stderr)
