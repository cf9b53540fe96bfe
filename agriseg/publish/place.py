"""What is published, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agriseg.errors import OptionError
from agriseg.raster.place import check_place
from agriseg.runs import Run, read_run

__all__ = ["opened", "placed"]


def opened(run: str | Path | Run) -> Run:
    """The run, or that of a folder.

    Raises:
        InputError: There is no finished run.
    """
    return run if isinstance(run, Run) else read_run(run)


def placed(out: str | Path | None, usual: Path, endings: Sequence[str], what: str) -> Path:
    """The file to write: the one that was asked for, or the usual one.

    Args:
        out: What was asked for.
        usual: Where nothing was.
        endings: How its name may end.
        what: It, in words.

    Raises:
        OptionError: Its name ends in another way.
        OutputError: It cannot be written there.
    """
    if out is None:
        return usual
    path = Path(out)
    if path.suffix.lower() not in endings:
        raise OptionError(f"{path}: {what} is a file that ends in {endings[0]}")
    check_place(path)
    return path
