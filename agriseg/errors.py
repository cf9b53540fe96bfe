"""The errors that agriseg raises for faults its user can mend.

Every message says what was found, what was expected, and what to do. The command line prints that
one line and exits with code 2; a traceback means a fault of agriseg's own.

    AgrisegError
    ├── InputError       a raster, or the set of rasters, cannot be used
    │   ├── BandError    a band is missing, unnamed or named twice
    │   └── ReadError    pixels of a window could not be read
    │       └── RemoteReadError    ... of a file behind a network, even after several tries
    ├── LabelError       labels cannot be used, or do not fit the scene or the legend
    ├── ModelError       a model file or card cannot be used, or does not fit the scene
    ├── OptionError      an option, or a combination of options, makes no sense
    └── OutputError      the results cannot be written: folder, room on the disk, permissions
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = [
    "AgrisegError",
    "BandError",
    "InputError",
    "LabelError",
    "ModelError",
    "OptionError",
    "OutputError",
    "ReadError",
    "RemoteReadError",
    "nearest",
    "redacted",
    "said_by",
    "shown",
]


# Of a value or a key that is repeated in a message.
_MOST_SHOWN = 60

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


def shown(value: object) -> str:
    """A value as messages repeat it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."
