"""run.json: what was run, so that it can be repeated, and found again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agriseg.errors import InputError
from agriseg.raster.whole_file import write_bytes
from agriseg.runs.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Run", "open_run", "read_outputs", "read_run", "run_folders", "write_record"]

FORMAT = 1

# QGIS adds statistics to sidecars; fields are looked at anew, or edited by people.
_MAY_CHANGE = (".aux.xml", "fields.gpkg", "zones.gpkg")
# Another look at the fields may be one without zones.
_MAY_GO = "zones.gpkg"
# Of many runs in one folder a message names these.
_MOST_NAMED = 5


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

    def put_down(self) -> Run:
        """The same run, whose record is read from the disk whenever it is asked for."""
        return replace(self, record=_OnDisk(self.folder.record))

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
    def fields(self) -> Path | None:
        """The fields with their numbers, where there are any."""
        path = self.folder.fields
        return path if path.exists() else None

    @property
    def zones(self) -> Path | None:
        """Zones of vigour within the fields, where there are any."""
        path = self.folder.zones
        return path if path.exists() else None

    @property
    def probabilities(self) -> Path | None:
        """The probability of each class, where asked for."""
        path = self.folder.probabilities
        return path if path.name in self.record["outputs"] else None

    def summary(self) -> pd.DataFrame:
        """A row a class: its name, pixels, hectares (None without a CRS) and percent."""
        import pandas as pd

        columns = {"name": "class_name", "pixels": "pixels", "area_ha": "area_ha"}
        columns["percent"] = "percent"
        rows = [{new: row.get(old) for old, new in columns.items()} for row in self._rows]
        return pd.DataFrame(rows, columns=list(columns.values()))

    @property
    def _rows(self) -> Sequence[Mapping[str, Any]]:
        rows: Sequence[Mapping[str, Any]] = self.record.get("classes", ())
        return rows

    def _repr_html_(self) -> str:
        """What Jupyter shows."""
        from agriseg.runs.page import run_html

        return run_html(self)


class _OnDisk(Mapping[str, Any]):
    """The content of run.json, not held in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self._path} cannot be read any more ({error}); run agriseg segment again"
            ) from error
        return found

    def __getitem__(self, name: str) -> Any:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def _is_there(folder: RunFolder, name: str, size: int) -> bool:
    path = folder.path / name
    if name == _MAY_GO:
        return True
    return path.exists() and (name.endswith(_MAY_CHANGE) or path.stat().st_size == size)


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


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a finished run: to look at its results, and to work on with them.

    Args:
        path: Its folder, the run.json in it, or a folder that holds this run and no other.

    Raises:
        InputError: There is no finished run, or there are several; or a file of it is missing.
    """
    folder = Path(path)
    inside = run_folders(folder) or [folder]
    if len(inside) > 1:
        names = ", ".join(one.name for one in inside[:_MOST_NAMED])
        more = ", ..." if len(inside) > _MOST_NAMED else ""
        raise InputError(
            f"{folder} holds {len(inside)} runs: {names}{more}; open one of them: "
            f'agriseg.open_run("{inside[0]}")'
        )
    return read_run(inside[0])


def run_folders(path: Path) -> list[Path]:
    """The folders of runs that a path stands for, as people give them.

    Args:
        path: A run's folder, or the run.json in it; or a folder of such folders. Other files stand
            for none: a pattern such as out/* finds batch.json, too. What else there is, or is not,
            stands for itself.
    """
    record = RunFolder(path).record
    if path.is_file():
        return [path.parent] if path.name == record.name else []
    if record.exists():
        return [path]
    return sorted(one.parent for one in path.glob(f"*/{record.name}")) or [path]
