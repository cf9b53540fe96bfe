"""The run folder: its layout, its ledger of finished rows, and its record."""

from agriseg.runs.folder import RunFolder
from agriseg.runs.ledger import Ledger
from agriseg.runs.record import Run, open_run, read_run

__all__ = ["Ledger", "Run", "RunFolder", "open_run", "read_run"]
