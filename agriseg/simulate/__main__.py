"""Make the sample field: `python -m agriseg.simulate FOLDER`."""

from __future__ import annotations

import sys

from agriseg.errors import AgrisegError
from agriseg.simulate.sample import write_sample


def main(arguments: list[str]) -> int:
    """Write the sample into the folder named on the command line; returns the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m agriseg.simulate FOLDER", file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    try:
        image = write_sample(arguments[0])
    except AgrisegError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(image)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
