"""Where a run keeps what."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from agriseg.errors import OutputError

__all__ = ["RunFolder"]


def _is_running(process: str) -> bool:
    """Whether a process of that number lives on this machine, other than this one."""
    if not process.isdigit() or int(process) == os.getpid():
        return False
    return bool(psutil.pid_exists(int(process)))


@dataclass(frozen=True)
class RunFolder:
    """The folder of one scene's results."""

    path: Path

    @property
    def classes(self) -> Path:
        return self.path / "classes.tif"

    @property
    def confidence(self) -> Path:
        return self.path / "confidence.tif"

    @property
    def probabilities(self) -> Path:
        return self.path / "probabilities.tif"

    @property
    def record(self) -> Path:
        return self.path / "run.json"

    def rows(self, key: str) -> Path:
        """The ledger of rows that depend on everything `key` stands for."""
        return self.path / f"rows-{key[:16]}"

    def prepare(self) -> None:
        """Make the folder, and see that files can be written into it.

        Raises:
            OutputError: They cannot.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe.{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"the folder {self.path} cannot be written to: {error.strerror}; give another one "
                "with -o"
            ) from error

    def free_bytes(self) -> int:
        """Room on the disk of this folder, which need not exist yet."""
        place = self.path.absolute()
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def sweep(self, keep: str | None = None) -> None:
        """Remove what finished, abandoned or killed runs left, but not the ledger of `keep`."""
        for part in self.path.glob(".*.part*"):
            # Named .FILE.PID.part...: the process that is still writing it may be alive.
            if not _is_running(part.name.partition(".part")[0].rpartition(".")[2]):
                part.unlink(missing_ok=True)
        kept = None if keep is None else self.rows(keep)
        for ledger in self.path.glob("rows-*"):
            if ledger != kept and ledger.is_dir():
                shutil.rmtree(ledger, ignore_errors=True)
