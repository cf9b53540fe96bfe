"""How a command answers: words for a person on standard error, JSON on standard output."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer", "plain", "records"]


@dataclass(frozen=True)
class Answer:
    """Options of every command."""

    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print nothing but errors, and JSON if asked for.")
    ] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for machines on standard output.")
    ] = False
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", hidden=True)
    ] = False

    @property
    def prints(self) -> bool:
        """Whether a result that a person reads goes to standard output."""
        return not (self.quiet or self.as_json)

    def say(self, *lines: str) -> None:
        """Tell a person, unless that is not wanted."""
        if not self.quiet:
            print(*lines, sep="\n", file=sys.stderr)

    def give(self, facts: object) -> None:
        """Give a result to a machine, if that is asked for."""
        if self.as_json:
            print(json.dumps(plain(facts), indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """What JSON can hold: missing numbers are null, and what it does not know is text."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str | None) else str(value)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table of fields, without their outlines."""
    rows: list[dict[str, Any]] = table.drop(columns="geometry", errors="ignore").to_dict("records")
    return rows
