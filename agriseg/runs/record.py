"""run.json: what was run, so that it can be repeated, and found again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agriseg.errors import InputError
from agriseg.raster.writer import write_bytes
from agriseg.runs.folder import RunFolder

__all__ = ["Run", "read_outputs", "read_run", "write_record"]

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """A finished run: where its results are, and its record.

    Args:
        folder: The scene's folder.
        record: The content of run.json.
        resumed: True where everything was already there.
    """

    folder: RunFolder
    record: Mapping[str, Any] = field(repr=False)
    resumed: bool = False

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def classes(self) -> Path:
        """The class raster."""
        return self.folder.classes

    @property
    def confidence(self) -> Path:
        """The confidence raster; its band scale turns bytes into 0..1."""
        return self.folder.confidence

    @property
    def segments(self) -> Path | None:
        """The polygons, unless they were not asked for."""
        path = self.folder.segments
        return path if path.name in self.record["outputs"] else None

    @property
    def probabilities(self) -> Path | None:
        """The probability of each class, where asked for."""
        path = self.folder.probabilities
        return path if path.name in self.record["outputs"] else None


def _is_there(folder: RunFolder, name: str, size: int) -> bool:
    path = folder.path / name
    # QGIS adds statistics to sidecars.
    return path.exists() and (name.endswith(".aux.xml") or path.stat().st_size == size)


def write_record(folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Write run.json, the last file of a run."""
    text = json.dumps({"format": FORMAT, **record}, indent=2, ensure_ascii=False) + "\n"
    write_bytes(folder.record, text.encode())


def read_outputs(folder: RunFolder) -> dict[str, int]:
    """Names and sizes of what the run that is recorded in a folder left there; may be empty."""
    try:
        outputs = json.loads(folder.record.read_text(encoding="utf-8"))["outputs"]
        return {str(name): int(size) for name, size in outputs.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def read_run(path: str | Path, *, only_rasters: bool = False) -> Run:
    """Read a finished run from its folder.

    Args:
        path: The folder.
        only_rasters: Let files be missing that are made from the rasters alone.

    Raises:
        InputError: There is no finished run, or a file of it is missing.
    """
    folder = RunFolder(Path(path))
    try:
        record = json.loads(folder.record.read_text(encoding="utf-8"))
        needed = record["outputs"].items()
        if only_rasters:
            needed = [(name, size) for name, size in needed if ".tif" in name]
        missing = [name for name, size in needed if not _is_there(folder, name, size)]
    except FileNotFoundError as error:
        raise InputError(
            f"{folder.path} holds no finished run (no run.json); run agriseg segment first"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder.record} cannot be read ({error}); run agriseg segment again"
        ) from error
    if missing:
        raise InputError(
            f"{folder.path} lacks {', '.join(missing)}, or has it in another size than its "
            "run.json says; run agriseg segment again"
        )
    return Run(folder, record, resumed=True)
