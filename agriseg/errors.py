"""The errors that agriseg raises for faults its user can mend.

Every message says what was found, what was expected, and what to do. The command line prints that
one line and exits with code 2; a traceback means a fault of agriseg's own.

    AgrisegError
    ├── BatchError       some of many scenes could not be segmented; exit code 1
    ├── InputError       a raster, or the set of rasters, cannot be used
    │   ├── BandError    a band is missing, unnamed or named twice
    │   └── ReadError    pixels of a window could not be read
    │       └── RemoteReadError    ... of a file behind a network, even after several tries
    ├── LabelError       labels cannot be used, or do not fit the scene or the legend
    ├── ModelError       a model file or card cannot be used, or does not fit the scene
    ├── OptionError      an option, or a combination of options, makes no sense
    ├── OutputError      the results cannot be written: folder, room on the disk, permissions
    └── WorkerError      workers, or their scheduler, cannot be reached, or died
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "AgrisegError",
    "BandError",
    "BatchError",
    "InputError",
    "LabelError",
    "ModelError",
    "OptionError",
    "OutputError",
    "ReadError",
    "RemoteReadError",
    "WorkerError",
    "meant_by",
    "nearest",
    "redacted",
    "said_by",
    "shown",
]


# Of a value or a key that is repeated in a message.
_MOST_SHOWN = 60
# Between senser for sensor (0.83), and farmer for farm (0.80), which is another word.
_NEAR = 0.82

# user:password@ of an address.
_USER = re.compile(r"(?<=://)[^\s/?#@\"'<>]+@")
# The query of an address, up to where the sentence goes on.
_QUERY = re.compile(
    r"((?:\w\w+://|/vsi\w+)[^\s?\"'<>]*)\?[^\s\"'<>]*?(?=[:;,.)\]]*(?:[\s\"'<>]|$))"
)


class AgrisegError(Exception):
    """A fault that the user can mend; `str()` of it is one line for a person.

    What an address in it says to a server only (`redacted`) is left out.
    """

    exit_code = 2

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(message))


class BatchError(AgrisegError):
    """Some of many scenes could not be segmented; the others were.

    Args:
        message: For a person.
        runs: What was segmented, runs in the order of the scenes.
        failed: The error of each scene that was not, by its name.
    """

    exit_code = 1

    def __init__(
        self, message: str, runs: Sequence[Any] = (), failed: Mapping[str, Exception] | None = None
    ) -> None:
        super().__init__(message)
        self.runs, self.failed = list(runs), dict(failed or {})


class InputError(AgrisegError):
    """A raster, or a set of rasters, cannot be used as a scene."""


class BandError(InputError):
    """A band is missing, unnamed, or named twice."""


class ReadError(InputError):
    """Pixels could not be read; the message names the file and the window."""


class RemoteReadError(ReadError):
    """Pixels could not be read over a network; they may be there the next time."""


class LabelError(AgrisegError):
    """Labels cannot be used, or do not fit the scene or the legend."""


class ModelError(AgrisegError):
    """A model file cannot be used, or does not fit the scene."""


class OptionError(AgrisegError):
    """An option, or a combination of options, makes no sense."""


class OutputError(AgrisegError):
    """The results cannot be written."""


class WorkerError(AgrisegError):
    """Workers, or their scheduler, cannot be reached, or died."""


def redacted(text: str) -> str:
    """A text without the queries and passwords of the addresses in it.

    The query of a signed address (S3, Azure SAS, ...) is a key to the file for whoever reads it.
    """
    if "?" not in text and "@" not in text:
        return text
    return _QUERY.sub(r"\1", _USER.sub("", text))


def said_by(error: object) -> str:
    """What a library's error, or its text, says: on one line, and no more than fits a message."""
    return " ".join(str(error).split())[:200]


def nearest(key: object, possible: Iterable[str]) -> str:
    """What to write in place of an unknown `key`."""
    names = [str(one) for one in possible]
    folded = {one.casefold(): one for one in names}
    near = difflib.get_close_matches(str(key).casefold(), list(folded), n=1, cutoff=0.5)
    return f"did you mean {folded[near[0]]}?" if near else f"possible are {', '.join(names)}"


def meant_by(word: str, known: Collection[str]) -> str | None:
    """The known word of which `word` is a slip of the pen, as growthstage is; None if it is not.

    A word with a number (field2) or a known one in it (field_id) is one of its own, and so is one
    as far away as farmer is from farm.
    """
    letters = word.replace("_", "")
    if word in known:
        return None
    for one in known:
        plain = one.replace("_", "")
        if letters == plain:
            return one
        if any(map(str.isdigit, letters)) or one in word.split("_"):
            continue
        if abs(len(letters) - len(plain)) > 2 or letters[0] != plain[0]:
            continue
        ratio = difflib.SequenceMatcher(None, letters, plain).ratio()
        if ratio >= _NEAR or sorted(letters) == sorted(plain):
            return one
    return None


def shown(value: object) -> str:
    """A value as messages repeat it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."
