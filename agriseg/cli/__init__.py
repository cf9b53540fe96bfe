"""The command line: one file a command, each thin: parse, call, print."""

from agriseg.cli.app import main

__all__ = ["main"]
