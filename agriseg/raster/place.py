"""Whether a file can be written, before any work is done for it."""

from __future__ import annotations

import os
from pathlib import Path

from agriseg.errors import OutputError

__all__ = ["check_place"]


def check_place(path: Path) -> None:
    """See, before any work, that a file can be written there.

    Raises:
        OutputError: It is a folder, or there is no such folder to write it into.
    """
    if path.is_dir():
        found = "it is a folder; give the name of a file"
    elif not path.parent.is_dir():
        found = f"there is no folder {path.parent}; make it, or give another"
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        found = f"you may not write into the folder {path.parent}; give another"
    else:
        return
    raise OutputError(f"{path} cannot be written: {found}")
