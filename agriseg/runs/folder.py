"""Where a run keeps what."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from agriseg.errors import OutputError
from agriseg.raster.whole_file import HOST, sweep_abandoned

__all__ = ["VECTORS", "RunFolder"]


_LEDGER = re.compile(r"rows-[0-9a-f]{16}(\.trash)?\Z")
VECTORS = ("segments.gpkg", "fields.gpkg", "zones.gpkg")
"""What a run makes of its finished rasters."""
_OUTPUTS = ("classes.tif", "confidence.tif", "probabilities.tif", *VECTORS, "run.json")


def _other_owners(ledger: Path) -> list[int]:
    """Other living processes of this machine that work in a ledger."""
    owners = (path.suffix[1:] for path in ledger.glob(f"owner.{HOST}.*"))
    others = (int(pid) for pid in owners if pid.isdigit() and int(pid) != os.getpid())
    return sorted(pid for pid in others if psutil.pid_exists(pid))


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
    def segments(self) -> Path:
        return self.path / "segments.gpkg"

    @property
    def fields(self) -> Path:
        return self.path / "fields.gpkg"

    @property
    def zones(self) -> Path:
        return self.path / "zones.gpkg"

    @property
    def outputs(self) -> list[Path]:
        """Every file that a run may write here."""
        return [self.path / name for name in _OUTPUTS]

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

    def refuse_other_work(self, key: str) -> None:
        """See that nobody else makes other results here: files of both would be mixed.

        The same work may be done twice at a time: the bytes are the same.

        Raises:
            OutputError: Somebody does.
        """
        mine = self.rows(key)
        for ledger in sorted(self.path.glob("rows-*")):
            if ledger == mine or not _LEDGER.match(ledger.name):
                continue
            if owners := _other_owners(ledger):
                raise OutputError(
                    f"another run, with other options, is at work in {self.path} (process "
                    f"{owners[0]}); wait until it is done, or give another folder with -o"
                )

    def free_bytes(self) -> int:
        """Room on the disk of this folder, which need not exist yet."""
        place = self.path.absolute()
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def sweep(self, keep: str | None = None) -> None:
        """Remove what finished, abandoned or killed runs left, but not the ledger of `keep`.

        Nothing else in the folder is touched: it may be the user's own.
        """
        for path in self.outputs:
            sweep_abandoned(path, own=True)
            sweep_abandoned(path.with_name(path.name + ".aux.xml"), own=True)
        kept = None if keep is None else self.rows(keep)
        for ledger in self.path.glob("rows-*"):
            is_ours = ledger.is_dir() and _LEDGER.match(ledger.name)
            if ledger == kept or not is_ours or _other_owners(ledger):
                continue
            # Renamed first: a ledger that lost a part must not be taken for a whole one.
            trash = ledger.with_name(ledger.name.removesuffix(".trash") + ".trash")
            if trash != ledger:
                shutil.rmtree(trash, ignore_errors=True)
                ledger.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)
