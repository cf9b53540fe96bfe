"""From a plain function to a command: groups of options, and an end by Ctrl-C."""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

import typer

__all__ = ["as_command", "stoppable"]


def as_command(function: Callable[..., None]) -> Callable[..., None]:
    """The function as typer takes it.

    A parameter whose type is a dataclass is a group of options that several commands share: each of
    its fields becomes an option, with its own name, help and default. Ctrl-C ends the command with
    exit code 130.
    """
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if dataclasses.is_dataclass(kind := hints[name]):
            groups[name] = kind
            parameters += _options_of(kind)
        else:
            parameters.append(_option(name, kind, parameter.default))

    def command(**given: Any) -> None:
        taken = {
            name: kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
            for name, kind in groups.items()
        }
        try:
            with stoppable(lambda: "stopped"):
                function(**given, **taken)
            sys.stdout.flush()
        except BrokenPipeError:
            # Who read our output went away (`agriseg info ... | head`), and has what they wanted.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _options_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [_option(one.name, hints[one.name], one.default) for one in dataclasses.fields(group)]


def _option(name: str, kind: Any, default: Any) -> inspect.Parameter:
    empty = inspect.Parameter.empty
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=empty if default is dataclasses.MISSING else default,
        annotation=kind,
    )


@contextmanager
def stoppable(words: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C into a line for the user and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(words(), file=sys.stderr)
        raise typer.Exit(130) from None
