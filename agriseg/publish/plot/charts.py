"""Pictures that are no maps: what a model takes for what, and fields over a season."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import InputError, OptionError
from agriseg.evaluation import Evaluation
from agriseg.publish.plot.given import PathLike
from agriseg.publish.plot.maps import new_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["confusion", "season"]

_INK, _MIDDLE = "#1a1a1a", "#1a1a1a"
# Okabe and Ito (2008), the dark ones first; more fields than these are lines in grey.
_LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKS = "osD^vP"
# Percent from which a cell is dark.
_DARK = 55


def confusion(
    what: Evaluation | PathLike, *, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw what each class is taken for, in percent of its labelled pixels.

    Args:
        what: What `agriseg.evaluate` gave, its evaluation.json, or the folder with that.
        title: Above it.
        ax: Axes to draw on.

    Raises:
        InputError: There is no evaluation.
    """
    labels, names, counts = _counts(what)
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = new_axes(1.6 + 1.1 * len(names), 1.4 + 0.9 * len(labels)) if ax is None else ax
    ax.imshow(share, cmap="Blues", vmin=0, vmax=110)
    for (row, col), value in np.ndenumerate(share):
        text = "<1 %" if 0 < value < 0.95 else f"{value:.0f} %"
        color = "white" if value > _DARK else _INK
        ax.text(col, row, text, ha="center", va="center", color=color)
    ax.set_xticks(range(len(names)), list(names))
    ax.set_yticks(range(len(labels)), list(labels))
    ax.set_xlabel("in the map")
    ax.set_ylabel("labelled")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title is not None:
        ax.set_title(title)
    return ax


def _counts(what: Evaluation | PathLike) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """What is labelled, the classes, and (labels, classes) pixels."""
    if isinstance(what, Evaluation):
        table, names = np.asarray(what.confusion, float), list(what.names)
        labels = names
    else:
        path = Path(os.fspath(what))
        path = path / "evaluation.json" if path.is_dir() else path
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["pixels"]["labels_and_predictions"]
            labels, names = list(rows), list(next(iter(rows.values())))
            table = np.array([[rows[one][other] for other in names] for one in labels], float)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
            raise InputError(
                f"{path} cannot be read as an evaluation ({error}); agriseg evaluate MODEL DATA "
                "-o OUT writes one"
            ) from error
    there = table.sum(axis=1) > 0
    return [one for one, ok in zip(labels, there, strict=True) if ok], names, table[there]


def season(
    what: pd.DataFrame | PathLike,
    column: str | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a number of each field over the dates of a season.

    Of more than six fields all are grey, and their median is black.

    Args:
        what: What `agriseg.season` gave, or its .csv or .parquet file.
        column: The number; by default "ndvi_median", or the first median of an index.
        title: Above it.
        ax: Axes to draw on.

    Raises:
        InputError: The table cannot be read, or is none of a season.
        OptionError: There is no such column.
    """
    import pandas as pd

    table = _season_table(what)
    column = _season_column(table, column)
    table = table.assign(date=pd.to_datetime(table["date"])).sort_values("date")
    ax = new_axes(6.5, 3.8) if ax is None else ax
    groups = [(one, rows.dropna(subset=[column])) for one, rows in table.groupby("field_id")]
    many = len(groups) > len(_LINES)
    for k, (field_id, rows) in enumerate(groups):
        if many:
            ax.plot(rows["date"], rows[column], color="#999999", linewidth=0.8, alpha=0.7)
            continue
        named = rows["name"].dropna() if "name" in rows else rows.iloc[:0, 0]
        ax.plot(
            rows["date"],
            rows[column],
            color=_LINES[k],
            marker=_MARKS[k],
            label=str(named.iloc[0]) if len(named) else f"field {field_id}",
        )
    if many:
        middle = table.groupby("date")[column].median()
        label = f"median of {len(groups)} fields"
        ax.plot(middle.index, middle, color=_MIDDLE, linewidth=2.5, marker="o", label=label)
    dates = sorted(set(table["date"]))
    if len(dates) <= 8:
        ax.set_xticks(dates, [f"{one.day} {one:%b}" for one in dates])
    ax.set_ylabel(column)
    ax.grid(axis="y", color="#e6e6e6")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    if title is not None:
        ax.set_title(title)
    return ax


def _season_table(what: pd.DataFrame | PathLike) -> pd.DataFrame:
    import pandas as pd

    table = what
    if not isinstance(table, pd.DataFrame):
        path = Path(os.fspath(table))
        try:
            table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read as a table ({error}); agriseg season RUNS -o season.csv "
                "writes one"
            ) from error
    if absent := [name for name in ("field_id", "date") if name not in table]:
        raise InputError(f"the table has no column {absent[0]}; give what agriseg.season returns")
    return table


def _season_column(table: pd.DataFrame, column: str | None) -> str:
    if column is None:
        medians = [str(name) for name in table if str(name).endswith("_median")]
        column = "ndvi_median" if "ndvi_median" in medians else next(iter(medians), "")
    if column not in table:
        numbers = ", ".join(map(str, table.select_dtypes("number").columns))
        raise OptionError(f"column {column!r}: the season has no such numbers; it has {numbers}")
    return column
