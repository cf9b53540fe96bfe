"""Confusion and season: the numbers that are drawn are those of the table."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

import agriseg
from agriseg.errors import InputError, OptionError

plot = agriseg.plot


def axes() -> Axes:
    return Figure().add_subplot()


def evaluation(folder: Path) -> Path:
    rows = {
        "soil": {"soil": 900, "crop": 100},
        "crop": {"soil": 1, "crop": 399},
        "weed": {"soil": 0, "crop": 0},
    }
    path = folder / "evaluation.json"
    path.write_text(json.dumps({"pixels": {"labels_and_predictions": rows}}))
    return path


def test_confusion_in_percent_of_the_label(tmp_path: Path) -> None:
    path = evaluation(tmp_path)
    for what in (path, tmp_path):
        ax = plot.confusion(what, ax=axes())
        assert [one.get_text() for one in ax.texts] == ["90 %", "10 %", "<1 %", "100 %"]
        assert [one.get_text() for one in ax.get_yticklabels()] == ["soil", "crop"]
    with pytest.raises(InputError, match="agriseg evaluate"):
        plot.confusion(tmp_path / "none.json", ax=axes())


def season(fields: int = 2) -> pd.DataFrame:
    rows = [
        {"field_id": str(k), "name": None, "date": f"2026-0{month}-03", "ndvi_median": k + month}
        for month in (6, 5, 7)
        for k in range(fields)
    ]
    return pd.DataFrame(rows)


def test_lines_run_in_time(tmp_path: Path) -> None:
    table = season()
    path = tmp_path / "season.csv"
    table.to_csv(path, index=False)
    for what in (table, path):
        ax = plot.season(what, ax=axes())
        assert len(ax.lines) == 2
        days = [float(day) for day in date2num(ax.lines[1].get_xdata())]
        assert days == sorted(days)
        assert list(ax.lines[1].get_ydata()) == [6, 7, 8]


def test_many_fields_have_a_median() -> None:
    ax = plot.season(season(9), ax=axes())
    assert len(ax.lines) == 10
    assert list(ax.lines[-1].get_ydata()) == [9, 10, 11]


def test_faults_say_what_to_do() -> None:
    with pytest.raises(OptionError, match="ndvi_median"):
        plot.season(season(), "ndre", ax=axes())
    with pytest.raises(InputError, match="date"):
        plot.season(season().drop(columns="date"), ax=axes())
