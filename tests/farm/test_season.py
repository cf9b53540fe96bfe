"""A season of runs as one table."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

import agriseg
from agriseg.errors import InputError, OptionError, OutputError
from agriseg.farm.season import make_season
from agriseg.legend import Legend
from tests.farm.material import make_run, write_fields

CLASSES = np.tile(np.uint8([[0, 1, 1], [2, 0, 1]]), (9, 12))
LEFT, RIGHT = (0, 0, 17, 18), (19, 0, 36, 18)


def numbers(count: int, start: float = 10.0) -> dict[str, list[float]]:
    """Columns as field_health leaves them."""
    values = [start + k for k in range(count)]
    return {
        "name": [f"field {k}" for k in range(count)],
        "area_ha": [0.1 * value for value in values],
        "valid_percent": [90.0 + k for k in range(count)],
        "cover_soil_percent": values,
        "cover_crop_percent": [100 - value for value in values],
        "ndvi_mean": [value / 100 for value in values],
    }


@pytest.fixture
def three(tmp_path: Path) -> list[agriseg.Run]:
    """Two fields, found in another order in June, one of them in two parts in July."""
    may = make_run(tmp_path, "may", CLASSES, date="2026-05-14", crop="beet")
    june = make_run(tmp_path, "june", CLASSES, date="2026-06-02", growth_stage="BBCH 31")
    july = make_run(tmp_path, "july", CLASSES, date="2026-07-20", block="west")
    write_fields(may, [LEFT, RIGHT], **numbers(2))
    write_fields(june, [(20, 0, 36, 18), (0, 1, 17, 18)], **numbers(2, 20))
    write_fields(july, [(0, 0, 6, 18), (7, 0, 17, 18), RIGHT], **numbers(3, 30))
    return [july, may, june]


def test_a_row_for_each_field_and_date(three: list[agriseg.Run], tmp_path: Path) -> None:
    table = agriseg.season(three, tmp_path / "season.parquet")
    assert table[["field_id", "run", "run_field_id"]].to_numpy().tolist() == [
        ["1", "may", "1"],
        ["1", "june", "2"],
        ["1", "july", "2"],
        ["1.1", "july", "1"],
        ["2", "may", "2"],
        ["2", "june", "1"],
        ["2", "july", "3"],
    ]
    assert [f"{day:%Y-%m-%d}" for day in table.date[:3]] == [
        "2026-05-14",
        "2026-06-02",
        "2026-07-20",
    ]
    assert table.ndvi_mean.tolist() == pytest.approx([0.10, 0.21, 0.31, 0.30, 0.11, 0.20, 0.32])
    assert table.id_overlap[1] == pytest.approx(17 / 18)
    assert table.crop.isna().tolist() == [False, True, True, True, False, True, True]
    assert table.growth_stage[1] == "BBCH 31"
    assert table.block.dropna().tolist() == ["west"] * 3
    assert set(table.level) == {"reflectance"}
    assert set(table.model) == {"identity"}
    assert table.gsd_m.tolist() == pytest.approx([0.02] * 7)
    assert list(table)[:4] == ["field_id", "name", "date", "run"]
    assert "geometry" not in table
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "season.parquet"), table)


def test_what_became_of_the_fields_is_told(three: list[agriseg.Run]) -> None:
    found = make_season(three)
    ((run, (change,)),) = found.changes
    assert (run, change.words()) == ("july", "field 1 was split into 1, 1.1")
    assert found.notes == ()


def test_csv_for_spreadsheets(three: list[agriseg.Run], tmp_path: Path) -> None:
    path = tmp_path / "season.csv"
    table = agriseg.season(three, path, csv_sep=";")
    head, first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert head.split(";") == list(table)
    assert first.startswith("1;field 0;2026-05-14;may;")
    back = pd.read_csv(path, sep=";", decimal=",", dtype={"field_id": str})
    assert back.ndvi_mean.tolist() == pytest.approx(table.ndvi_mean.tolist())
    assert b"\r" not in path.read_bytes()


def test_a_field_that_was_not_flown_comes_back(tmp_path: Path) -> None:
    boxes = {"a": [LEFT, RIGHT], "b": [RIGHT], "c": [RIGHT, LEFT]}
    runs = []
    for month, (name, some) in enumerate(boxes.items(), 5):
        run = make_run(tmp_path, name, CLASSES, date=f"2026-0{month}-01")
        write_fields(run, some)
        runs.append(run)
    found = make_season(runs)
    assert found.table.field_id.tolist() == ["1", "1", "2", "2", "2"]
    assert found.table.run_field_id.tolist() == ["1", "2", "2", "1", "1"]
    assert found.changes == ()


def test_merged_fields_come_apart_again(tmp_path: Path) -> None:
    small, large = (0, 0, 14, 18), (14, 0, 36, 18)
    one = [(0, 0, 36, 18)]
    boxes = {"a": [small, large], "b": one, "b2": one, "c": [large, small]}
    for month, (name, some) in enumerate(boxes.items(), 5):
        write_fields(make_run(tmp_path, name, CLASSES, date=f"2026-0{month}-01"), some)
    found = make_season(tmp_path)
    assert found.table.field_id.tolist() == ["1", "1", "2", "2", "2", "2"]
    # Told once, not on each date that follows.
    ((run, (change,)),) = found.changes
    assert (run, change.kind, change.before, change.after) == ("b", "merged", ("1", "2"), ("2",))


def test_given_outlines_name_the_fields(three: list[agriseg.Run], tmp_path: Path) -> None:
    outlines = gpd.read_file(three[1].path / "fields.gpkg")[["geometry"]]
    outlines["field_id"] = ["North", "South"]
    outlines.to_crs("EPSG:4326").to_file(tmp_path / "my fields.geojson")
    table = agriseg.season(three, fields=tmp_path / "my fields.geojson")
    assert table.field_id.unique().tolist() == ["North", "North.1", "South"]
    assert table.run_field_id.tolist() == ["1", "2", "2", "1", "2", "1", "3"]
    again = agriseg.season(three, fields=outlines)
    assert again.drop(columns="id_overlap").equals(table.drop(columns="id_overlap"))


def test_ids_of_the_runs_can_be_kept(three: list[agriseg.Run], tmp_path: Path) -> None:
    table = agriseg.season(three, keep_ids=True)
    assert table.field_id.tolist() == table.run_field_id.tolist()
    assert table.field_id.tolist() == ["1", "1", "1", "2", "2", "2", "3"]
    with pytest.raises(OptionError, match="--keep-ids"):
        agriseg.season(three, keep_ids=True, fields=tmp_path / "x.gpkg")


def test_one_date_in_two_runs(tmp_path: Path) -> None:
    """Parts of a farm stand beside each other; of a field seen twice the better view stays."""
    one = make_run(tmp_path, "one", CLASSES, date="2026-05-14")
    two = make_run(tmp_path, "two", CLASSES, date="2026-05-14T11:20:00")
    write_fields(one, [LEFT, RIGHT], valid_percent=[99.0, 40.0])
    write_fields(two, [RIGHT, (0, 30, 17, 48)], valid_percent=[80.0, 70.0])
    found = make_season([two, one])
    assert found.table[["field_id", "run"]].to_numpy().tolist() == [
        ["1", "one"],
        ["2", "two"],
        ["3", "two"],
    ]
    (note,) = found.notes
    assert note.startswith("field 2 is in 2 runs of 2026-05-14: that of two stays")


def test_other_legends_and_levels_are_told(tmp_path: Path) -> None:
    may = make_run(tmp_path, "may", CLASSES, date="2026-05-14")
    legend = Legend.of(("soil", "#c8a882"), ("green stuff", "#1b6e2b"), ("x", "#ffffff"))
    june = make_run(tmp_path, "june", CLASSES, date="2026-06-14", legend=legend, scale=None)
    write_fields(may, [LEFT], cover_crop_percent=[40.0], ndvi_mean=[0.4], index_pixels=["all"])
    write_fields(june, [LEFT], cover_green_stuff_percent=[60.0])
    found = make_season([may, june])
    assert found.table.cover_crop_percent.isna().tolist() == [False, True]
    assert found.table.cover_green_stuff_percent.isna().tolist() == [True, False]
    assert found.table.ndvi_mean.dtype == np.float64
    text = " ".join(found.notes)
    assert "different classes: soil, crop, weed (may); soil, green stuff, x (june)" in text
    assert "different levels of radiometry: reflectance (may); DN (june)" in text
    assert "different pixels looked at: all (may); crop (june)" in text


def test_dates_from_the_user_the_fields_and_the_run(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name, CLASSES) for name in ("a", "b", "c")]
    write_fields(runs[0], [LEFT], date=["2026-05-01"])
    write_fields(runs[1], [LEFT])
    write_fields(runs[2], [LEFT], date=["2026-04-01"])
    dates = {str(runs[1].path): "2026-06-01", str(runs[2].path): "2026-07-01"}
    table = agriseg.season(runs, dates=dates)
    assert table.run.tolist() == ["a", "b", "c"]
    assert table.date[2].date() == dt.date(2026, 7, 1)
    with pytest.raises(InputError, match=r"b does not tell its date; give it as --date .*b=2026-"):
        agriseg.season(runs)
    with pytest.raises(InputError, match=r"is '1\.6\.26', and one as 2026-05-14 is needed"):
        agriseg.season(runs, dates={str(runs[1].path): "1.6.26"})
    with pytest.raises(OptionError, match="no such run is given"):
        agriseg.season(runs, dates={"elsewhere": "2026-05-01"})


def test_a_folder_of_runs_stands_for_them(three: list[agriseg.Run], tmp_path: Path) -> None:
    table = agriseg.season(tmp_path)
    assert table.run.nunique() == 3
    # As a shell gives out/*: with files among the folders, and one run twice.
    (tmp_path / "index.gpkg").write_bytes(b"")
    given = [tmp_path / "index.gpkg", three[0].path / "run.json", *(run.path for run in three)]
    assert agriseg.season(given).equals(table)


def test_what_is_missing_is_refused_in_words(three: list[agriseg.Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run is given"):
        agriseg.season([])
    with pytest.raises(InputError, match="holds no finished run"):
        agriseg.season([tmp_path / "nothing"])
    (three[0].path / "fields.gpkg").write_bytes(b"not a GeoPackage")
    with pytest.raises(InputError, match=r"fields\.gpkg cannot be read.*make it anew"):
        agriseg.season(three)
    (three[0].path / "fields.gpkg").unlink()
    with pytest.raises(InputError, match=r"july has no fields\.gpkg.*agriseg health \"?\S+july"):
        agriseg.season(three)
    with pytest.raises(InputError, match="no such file"):
        agriseg.season(three[1:], fields=tmp_path / "gone.gpkg")


@pytest.mark.parametrize(
    ("name", "sep", "words"),
    [
        ("season.xlsx", ",", "must end in .csv or .parquet"),
        ("gone/season.csv", ",", "no folder"),
        ("season.csv", "ab", "one character is needed"),
    ],
)
def test_files_that_cannot_be_written(
    three: list[agriseg.Run], tmp_path: Path, name: str, sep: str, words: str
) -> None:
    with pytest.raises((OutputError, OptionError), match=words):
        agriseg.season(three, tmp_path / name, csv_sep=sep)


def test_outlines_are_not_replaced_by_the_table(three: list[agriseg.Run], tmp_path: Path) -> None:
    outlines = tmp_path / "fields.parquet"
    gpd.read_file(three[1].path / "fields.gpkg").to_parquet(outlines)
    before = outlines.read_bytes()
    with pytest.raises(OutputError, match="holds the outlines"):
        agriseg.season(three, outlines, fields=outlines)
    assert outlines.read_bytes() == before
    assert agriseg.season(three, tmp_path / "s.csv", fields=outlines).field_id.nunique() == 3


def test_a_later_run_changes_no_id(three: list[agriseg.Run]) -> None:
    july, may, june = three
    before = agriseg.season([may, june])
    after = agriseg.season(three)
    after = after[after.run != "july"].reset_index(drop=True)
    keys = ["field_id", "run", "run_field_id"]
    pd.testing.assert_frame_equal(after[keys], before[keys])
    assert july.path.name == "july"
