"""Where a training stands, in one file that is replaced in one step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agriseg.errors import OutputError, said_by

__all__ = ["read_checkpoint", "write_checkpoint"]

_FORMAT = 1


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values; a file that is there stays whole until this one is.

    Raises:
        OutputError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        torch.save({"format": _FORMAT, **state}, beside)
        os.replace(beside, path)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"{path}: cannot be written ({said_by(error)}); check folder and disk"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `write_checkpoint` wrote, or None where there is no such file.

    Raises:
        OutputError: It is damaged, or another version's.
    """
    if not path.exists():
        return None
    try:
        # weights_only: tensors and plain values, and no code.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what it likes at a damaged file
        raise OutputError(
            f"{path}: cannot be read ({said_by(error)}); start again with --fresh"
        ) from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise OutputError(f"{path}: another version of agriseg wrote it; start again with --fresh")
    return state
