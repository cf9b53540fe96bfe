"""Plot trials: a tidy table for statistics, and how well weeds were controlled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agriseg.errors import InputError, OptionError, nearest, said_by
from agriseg.runs import Run

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CONTROL", "trial"]

CONTROL = "weed_control_percent"
"""The measure of how many of the weeds of untreated plots are gone."""

_FIELDS = "fields.gpkg"
# Numbers about the plot itself, which no treatment changes.
_NO_MEASURES = ("area_ha", "row_direction_deg", "row_spacing_m", "row_strength")


def trial(
    table: pd.DataFrame | Run | str | os.PathLike[str],
    *,
    treatment: str,
    replicate: str | None = None,
    untreated: str | float | None = None,
    weed: Sequence[str] = ("weed",),
) -> pd.DataFrame:
    """Turn a table of plots into one row for each plot and measure, as R and others want it.

    Where untreated plots are named, `weed_control_percent` is added: weed control efficacy after
    Abbott (1925, J. Econ. Entomol. 18, 265-267), 100 * (1 - treated / untreated), of the cover of
    weeds, against the mean of the untreated plots of the same replicate. It is 0 where as much is
    left as without treatment, and negative where there is more. It is missing where the untreated
    plots have no weeds, or the replicate has no untreated plot.

    Args:
        table: What `field_health` gave; or a run, or a file (.gpkg, .parquet, .csv), with that.
        treatment: Column with the treatment of each plot.
        replicate: Column with its replicate or block; None: all plots are of one.
        untreated: The untreated control, as `"trt=0"` or just its value, `0`.
        weed: Names of the classes that are weeds.

    Returns:
        Columns field_id, treatment, replicate (where there is one), measure, value; in the order of
        the plots, and of the measures in the table.

    Raises:
        InputError: The table cannot be read, or has no such columns.
        OptionError: No plot is untreated as named.
    """
    import pandas as pd

    frame = _read(table)
    for option, column in (("--treatment", treatment), ("--replicate", replicate)):
        if column is not None and column not in frame.columns:
            raise InputError(
                f"{option} {column}: the table has no such column; "
                f"{nearest(column, [str(name) for name in frame.columns])}"
            )
    frame = frame.reset_index(drop=True)
    keys = [name for name in (treatment, replicate) if name is not None]
    measures = [name for name in frame.columns if _is_measure(frame, str(name), keys)]
    wide = frame[measures].astype(float)
    if untreated is not None:
        wide[CONTROL] = _control(frame, treatment, replicate, untreated, weed)
    parts = {
        "field_id": _ids(frame),
        "treatment": frame[treatment].map(_word),
        **({} if replicate is None else {"replicate": frame[replicate].map(_word)}),
    }
    rows = pd.DataFrame(parts).loc[frame.index.repeat(wide.shape[1])].reset_index(drop=True)
    rows["measure"] = np.tile(np.asarray(wide.columns, object), len(frame))
    rows["value"] = wide.to_numpy().ravel()
    return rows


def _read(table: pd.DataFrame | Run | str | os.PathLike[str]) -> pd.DataFrame:
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table.drop(columns=[getattr(table, "_geometry_column_name", None)], errors="ignore")
    path = table.path if isinstance(table, Run) else Path(table)
    if path.is_dir():
        path = path / _FIELDS
        if not path.is_file():
            raise InputError(
                f'{path.parent} has no {_FIELDS}; make it first: agriseg health "{path.parent}"'
            )
    try:
        if path.suffix.lower() == ".csv":
            text = path.read_text(encoding="utf-8-sig")
            # As `field_health` writes it: semicolons come with decimal commas.
            is_european = text.partition("\n")[0].count(";") > 0
            sep, decimal = (";", ",") if is_european else (",", ".")
            return pd.read_csv(path, sep=sep, decimal=decimal, encoding="utf-8-sig")
        if path.suffix.lower() == ".parquet":
            columns = pd.read_parquet(path)
        else:
            import pyogrio

            columns = pyogrio.read_dataframe(path, read_geometry=False)
    except Exception as error:  # pandas, pyarrow and pyogrio raise many kinds
        raise InputError(
            f"{path} cannot be read as a table ({said_by(error)}); give what agriseg health wrote: "
            ".gpkg, .parquet or .csv"
        ) from error
    return columns.drop(columns=["geometry", "geom", "bbox"], errors="ignore")


def _is_measure(frame: pd.DataFrame, name: str, keys: Sequence[str]) -> bool:
    import pandas as pd

    if name in keys or name in _NO_MEASURES or name in ("field_id", "name"):
        return False
    numeric: bool = pd.api.types.is_numeric_dtype(frame[name])
    return numeric and (name == "confidence" or name.rpartition("_")[2] in _MEASURED)


_MEASURED = frozenset({"percent", "mean", "median", "std", "p10", "p90"})


def _control(
    frame: pd.DataFrame,
    treatment: str,
    replicate: str | None,
    untreated: str | float,
    weed: Sequence[str],
) -> Any:
    """Weed control efficacy of each plot, percent."""
    columns = [f"cover_{name}_percent" for name in weed]
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        covers = [str(name) for name in frame.columns if str(name).startswith("cover_")]
        raise InputError(
            f"the table has no column {absent[0]}; it has {', '.join(covers) or 'no cover'}: name "
            "the classes that are weeds with --weed"
        )
    column, equals, value = str(untreated).rpartition("=")
    column = column.strip() or treatment
    if column not in frame.columns:
        raise InputError(
            f"--untreated {untreated}: the table has no column {column}; "
            f"{nearest(column, [str(name) for name in frame.columns])}"
        )
    is_control = frame[column].map(_word) == _word(value.strip() if equals else str(untreated))
    if not is_control.any():
        found = list(dict.fromkeys(frame[column].map(_word)))
        raise OptionError(
            f"--untreated {untreated}: no plot has that in column {column}; it holds "
            f"{', '.join(found[:12])}"
        )
    cover = frame[columns].sum(axis=1, skipna=False)
    blocks = cover.map(lambda _: "") if replicate is None else frame[replicate].map(_word)
    usual = cover[is_control].groupby(blocks[is_control]).mean()
    before = blocks.map(usual)
    return 100 * (1 - cover / before.where(before > 0))


def _ids(frame: pd.DataFrame) -> Any:
    if "field_id" in frame.columns:
        return frame["field_id"].map(_word)
    return [str(number) for number in range(1, len(frame) + 1)]


def _word(value: Any) -> str:
    """A value as text: 0, 0.0 and "0" are one treatment."""
    try:
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    except (TypeError, ValueError, OverflowError):
        return str(value).strip()
