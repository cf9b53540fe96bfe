"""A season: the fields of several runs in one table, a row for each field and date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agriseg.errors import InputError, OptionError, nearest, shown
from agriseg.farm.run_fields import outlines_from, read_run_fields, spare
from agriseg.farm.tables import check_table, write_table
from agriseg.fields.dates.inherit import Change, inherit_ids, natural
from agriseg.raster.scene import FACTS
from agriseg.runs import Run, read_run
from agriseg.runs.record import run_folders

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

__all__ = ["Season", "make_season", "season"]

# In this order they open the table; the measures follow as they stand in fields.gpkg.
_KEYS = ("field_id", "name", "date", "run")
_ABOUT_RUN = ("model", "level", "gsd_m", "run_field_id", "id_overlap")

Runs = Sequence[str | Path | Run]


@dataclass(frozen=True)
class Season:
    """Several runs as one table.

    Args:
        table: A row for each field and date; see `season`.
        changes: What became of fields from one run to the next: (run, changes).
        notes: What a reader of the table has to know.
    """

    table: pd.DataFrame
    changes: tuple[tuple[str, tuple[Change, ...]], ...] = ()
    notes: tuple[str, ...] = ()


def season(
    runs: Runs | str | Path,
    out: str | Path | None = None,
    *,
    fields: str | Path | gpd.GeoDataFrame | None = None,
    dates: Mapping[str, str] | None = None,
    keep_ids: bool = False,
    csv_sep: str = ",",
) -> pd.DataFrame:
    """Put the fields of several runs into one table, a row for each field and date.

    Fields that were found anew in each run inherit their ids by overlap, see
    `agriseg.fields.dates.inherit`: the earliest run names them, or `fields`.

    Columns: field_id; name; date; run (the name of its folder); the facts about the scene (client,
    farm, field, crop, growth_stage and the user's own); model; level (of the radiometry: indices
    compare within one level only); gsd_m; run_field_id (the id in the run's own fields.gpkg);
    id_overlap (intersection over union with the outline whose id was inherited, 0..1); then all
    columns of fields.gpkg. A run that comes to the end of a season changes no id of the others;
    `fields` holds the ids fast whatever comes. What a run did not measure is empty. Rows are sorted
    by field and date. Where two runs of one date hold a field, the row of the one that saw more of
    it stays.

    Args:
        runs: Folders of runs, or of many runs, or `Run`s; each has a fields.gpkg.
        out: A .csv or .parquet file to write as well.
        fields: A vector file or GeoDataFrame with outlines and `field_id`, which names the fields.
        dates: Dates as 2026-05-14 by folder, of runs that do not tell theirs.
        keep_ids: Take the ids as they stand in each run: the runs know the fields by names of
            their own, and one id is one field on all dates.
        csv_sep: What stands between the columns of a .csv file.

    Raises:
        InputError: A run, its fields.gpkg or its date is missing.
        OptionError: An option makes no sense.
        OutputError: The table cannot be written.
    """
    if out is not None:
        check_table(out, csv_sep)
        spare(fields, Path(out))
    found = make_season(runs, fields=fields, dates=dates, keep_ids=keep_ids)
    if out is not None:
        write_table(found.table, out, csv_sep=csv_sep)
    return found.table


def make_season(
    runs: Runs | str | Path,
    *,
    fields: str | Path | gpd.GeoDataFrame | None = None,
    dates: Mapping[str, str] | None = None,
    keep_ids: bool = False,
) -> Season:
    """As `season`, with what became of the fields, and what a reader has to know."""
    if keep_ids and fields is not None:
        raise OptionError(
            "--keep-ids takes the ids of the runs, --fields gives them others; leave one out"
        )
    found = _dated(_opened(runs), dates or {})
    known = _Known() if fields is None else _Known.of(fields)
    parts, changes = [], []
    for one in found:
        frame = one.frame
        frame["run_field_id"] = [str(value) for value in frame["field_id"]]
        if keep_ids:
            frame["field_id"] = frame["run_field_id"]
        else:
            happened = known.name(frame)
            if happened:
                changes.append((one.name, happened))
        parts.append(_rows(one))
    table, notes = _joined(parts)
    return Season(table, tuple(changes), (*_apart(found), *notes))


@dataclass
class _Dated:
    """A run, its date and its fields."""

    run: Run
    name: str
    date: dt.date
    frame: gpd.GeoDataFrame = field(repr=False)


class _Known:
    """The latest outline of every field that has been seen."""

    def __init__(self) -> None:
        self._fields: gpd.GeoDataFrame | None = None
        # Ids of fields that have become part of others, which was told then.
        self._resting: set[str] = set()

    @classmethod
    def of(cls, fields: str | Path | gpd.GeoDataFrame) -> _Known:
        known = cls()
        known._fields = outlines_from(fields)[["field_id", "geometry"]]
        return known

    def name(self, frame: gpd.GeoDataFrame) -> tuple[Change, ...]:
        """Give a run's fields their ids; the first run's own ids are the fields' own."""
        import pandas as pd

        if self._fields is None:
            frame["field_id"], frame["id_overlap"] = frame["run_field_id"], 1.0
            self._fields = frame[["field_id", "geometry"]]
            return ()
        inherited = inherit_ids(self._fields, frame)
        frame["field_id"] = list(inherited.ids)
        frame["id_overlap"] = inherited.overlap
        here = frame.to_crs(self._fields.crs) if frame.crs is not None else frame
        rest = self._fields[~self._fields.field_id.isin(here.field_id)]
        self._fields = pd.concat([rest, here[["field_id", "geometry"]]], ignore_index=True)
        return tuple(self._news(inherited.changes, set(inherited.ids)))

    def _news(self, changes: Iterable[Change], here: set[str]) -> Iterator[Change]:
        """What is more than a field that was not flown, and was not told of an earlier run."""
        self._resting -= here
        for change in changes:
            if change.kind == "merged":
                before = tuple(name for name in change.before if name not in self._resting)
                self._resting.update(set(before) - here)
                if len(before) > 1:
                    yield replace(change, before=before)
            elif change.kind != "gone":
                yield change


def _opened(runs: Runs | str | Path) -> list[Run]:
    """The runs that are meant; a folder of runs stands for all of them."""
    given: Iterable[str | Path | Run] = [runs] if isinstance(runs, str | Path) else runs
    found: dict[Path, Run] = {}
    for one in given:
        for run in [one] if isinstance(one, Run) else map(read_run, run_folders(Path(one))):
            found[run.path.resolve()] = run
    if not found:
        raise InputError(
            "no run is given; a season takes the folders of runs: agriseg season out/may out/june "
            "-o season.csv"
        )
    return list(found.values())


def _dated(runs: Sequence[Run], dates: Mapping[str, str]) -> list[_Dated]:
    """The runs by date, each with its fields."""
    said = {Path(folder).resolve(): text for folder, text in dates.items()}
    unknown = set(said) - {run.path.resolve() for run in runs}
    if unknown:
        folder = next(name for name in dates if Path(name).resolve() in unknown)
        raise OptionError(
            f"--date {folder}: no such run is given; {nearest(folder, [str(r.path) for r in runs])}"
        )
    found = []
    for run in runs:
        frame = read_run_fields(run)
        day = _date_of(run, frame, said.get(run.path.resolve()))
        found.append(_Dated(run, run.path.resolve().name, day, frame))
    return sorted(found, key=lambda one: (one.date, natural(one.name), str(one.run.path)))


def _date_of(run: Run, frame: gpd.GeoDataFrame, said: str | None) -> dt.date:
    """The date that the user says, else the fields, else the run."""
    text = said
    if text is None and "date" in frame and frame["date"].nunique() == 1:
        text = str(frame["date"].dropna().iloc[0])
    if text is None:
        text = run.record.get("about", {}).get("date")
    how = (
        f"give it as --date {run.path}=2026-05-14, or, to keep it with the run, segment with "
        "--date 2026-05-14"
    )
    if text is None:
        raise InputError(f"{run.path} does not tell its date; {how}")
    try:
        return dt.datetime.fromisoformat(str(text).strip()).date()
    except ValueError as error:
        raise InputError(
            f"the date of {run.path} is {shown(text)}, and one as 2026-05-14 is needed; {how}"
        ) from error


def _rows(one: _Dated) -> pd.DataFrame:
    """A run's fields with what is known of the run beside them."""
    import pandas as pd

    record = one.run.record
    table = pd.DataFrame(one.frame.drop(columns=one.frame.geometry.name))
    about = {key: value for key, value in record.get("about", {}).items() if key != "date"}
    gsd = record.get("gsd_m")
    facts = {
        "date": pd.Timestamp(one.date),
        "run": one.name,
        # What was said when the fields were looked at is the newer word.
        **{key: value for key, value in sorted(about.items()) if key not in table},
        "model": record["model"]["name"],
        "level": record["scene"]["radiometry"]["level"],
        "gsd_m": None if gsd is None else float((gsd[0] * gsd[1]) ** 0.5),
    }
    for key, value in facts.items():
        table[key] = value
    if "name" not in table:
        table["name"] = None
    if "id_overlap" not in table:
        table["id_overlap"] = 1.0
    return table


def _joined(parts: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, list[str]]:
    """All rows under each other, sorted, one a field and date; and what was left out."""
    import pandas as pd

    columns: dict[str, None] = dict.fromkeys(_KEYS)
    about = dict.fromkeys(name for part in parts for name in part if name in FACTS)
    columns |= {name: None for name in FACTS if name in about}
    columns |= dict.fromkeys(_ABOUT_RUN)
    columns |= dict.fromkeys(str(name) for part in parts for name in part)
    # A column that is empty in one run must not decide the type of the others' numbers.
    filled = [part.dropna(axis=1, how="all") for part in parts]
    table = pd.concat(filled, ignore_index=True).reindex(columns=list(columns))
    table["date"] = table["date"].astype("datetime64[ms]")
    # Where nobody has a name the column would be one of numbers.
    if table["name"].isna().all():
        table["name"] = np.full(len(table), None, object)
    order = sorted(
        range(len(table)),
        key=lambda k: (natural(table["field_id"][k]), table["date"][k], natural(table["run"][k])),
    )
    table = table.iloc[order].reset_index(drop=True)
    notes = []
    keep = set(range(len(table)))
    for (name, date), rows in table.groupby(["field_id", "date"], sort=False).groups.items():
        if len(rows) > 1:
            seen = table["valid_percent"] if "valid_percent" in table else table["date"] * 0
            best = max(rows, key=lambda k: (_number(seen[k]), -int(k)))
            keep -= set(rows) - {best}
            others = ", ".join(str(table["run"][k]) for k in rows if k != best)
            notes.append(
                f"field {name} is in {len(rows)} runs of {date:%Y-%m-%d}: that of "
                f"{table['run'][best]} stays, of which more was seen than of {others}"
            )
    return table.loc[sorted(keep)].reset_index(drop=True), notes


def _pixels_of(frame: gpd.GeoDataFrame) -> str:
    """Where indices were looked at; tables from before that was said knew crop only."""
    if "index_pixels" not in frame or not len(frame):
        return "crop"
    return str(frame["index_pixels"].iloc[0])


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return -1.0
    return number if number == number else -1.0


def _apart(found: Sequence[_Dated]) -> list[str]:
    """What makes numbers of these runs differ that is no change of a field."""
    notes = []
    records = [one.run.record for one in found]
    facts = {
        "classes": [", ".join(c["name"] for c in r["model"]["card"]["legend"]) for r in records],
        "levels of radiometry": [r["scene"]["radiometry"]["level"] for r in records],
        "models": [r["model"]["name"] for r in records],
        "pixels looked at": [_pixels_of(one.frame) for one in found],
    }
    ends = {
        "classes": "columns of a class are empty where a run has no such class",
        "levels of radiometry": "indices compare within one level only, covers all over",
        "models": "a change between them may be one of the model",
        "pixels looked at": "indices compare where they are the same: agriseg health RUN --pixels",
    }
    for what, values in facts.items():
        by_value: dict[str, list[str]] = {}
        for one, value in zip(found, values, strict=True):
            by_value.setdefault(str(value), []).append(one.name)
        if len(by_value) > 1:
            each = "; ".join(f"{value} ({', '.join(names)})" for value, names in by_value.items())
            notes.append(f"the runs have different {what}: {each}; {ends[what]}")
    return notes
