"""Tables of numbers in files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agriseg.errors import OptionError, OutputError
from agriseg.raster.place import check_place
from agriseg.raster.whole_file import replacing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_table", "write_table"]

_ENDINGS = (".csv", ".parquet")


def check_table(path: str | Path, csv_sep: str = ",") -> None:
    """See, before any work, that a table can be written to a file.

    Raises:
        OutputError: It cannot.
        OptionError: `csv_sep` can stand between no columns.
    """
    path = Path(path)
    if len(csv_sep) != 1 or csv_sep in '"\r\n.-+_' or csv_sep.isalnum() or csv_sep == " ":
        raise OptionError(f"--csv-sep {csv_sep!r}: one character is needed, such as ; or a tab")
    if path.suffix.lower() not in _ENDINGS:
        raise OutputError(f"{path} cannot be written: the name must end in {' or '.join(_ENDINGS)}")
    check_place(path)


def write_table(table: pd.DataFrame, path: str | Path, *, csv_sep: str = ",") -> None:
    """Write a table as .csv (UTF-8, dates as 2026-05-14) or .parquet.

    With semicolons between the columns, numbers get a decimal comma, as spreadsheets expect where
    semicolons are usual (`read.csv2` of R reads it); with any other separator a point. Numbers keep
    seven digits, as many as the pixels have. What is missing is an empty cell.

    Raises:
        OutputError: It cannot be written.
        OptionError: `csv_sep` can stand between no columns.
    """
    path = Path(path)
    check_table(path, csv_sep)
    with replacing(path) as beside:
        if path.suffix.lower() == ".csv":
            table.to_csv(
                beside,
                sep=csv_sep,
                decimal="," if csv_sep == ";" else ".",
                float_format="%.7g",
                index=False,
                date_format="%Y-%m-%d",
                lineterminator="\n",
            )
        else:
            table.to_parquet(beside, index=False)
