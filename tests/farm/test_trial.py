"""Plots of a trial in long form, and weed control after Abbott."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from agriseg import field_health, trial
from agriseg.errors import InputError, OptionError
from agriseg.farm.tables import write_table
from tests.farm.made_run import Farm, make_farm


@pytest.fixture
def farm(tmp_path: Path) -> Callable[..., Farm]:
    return partial(make_farm, tmp_path)


@pytest.fixture
def plots() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "field_id": ["p1", "p2", "p3", "p4", "p5", "p6"],
            "name": [None] * 6,
            "trt": [0, 1, 2, 0, 1, 2],
            "rep": [1, 1, 1, 2, 2, 2],
            "area_ha": 0.01,
            "cover_weed_percent": [20.0, 5.0, 30.0, 0.0, 1.0, 2.0],
            "ndvi_median": [0.5, 0.6, 0.7, 0.5, math.nan, 0.8],
            "note": "",
        }
    )


def control(rows: pd.DataFrame) -> list[float]:
    return rows[rows["measure"] == "weed_control_percent"]["value"].tolist()


def test_one_row_for_each_plot_and_measure(plots: pd.DataFrame) -> None:
    rows = trial(plots, treatment="trt", replicate="rep")
    assert rows.columns.tolist() == ["field_id", "treatment", "replicate", "measure", "value"]
    assert len(rows) == 6 * 2
    wide = rows.pivot(index="field_id", columns="measure", values="value")
    assert wide["ndvi_median"].tolist() == pytest.approx(plots["ndvi_median"].tolist(), nan_ok=True)
    assert rows["treatment"].tolist()[:4] == ["0", "0", "1", "1"]


@pytest.mark.parametrize("untreated", ["trt=0", "0", 0, "trt = 0.0"])
def test_control_is_against_the_same_replicate(plots: pd.DataFrame, untreated: object) -> None:
    found = control(trial(plots, treatment="trt", replicate="rep", untreated=untreated))  # type: ignore[arg-type]
    assert found[:3] == pytest.approx([0, 75, -50])
    assert np.isnan(found[3:]).all()  # no weeds to control
    together = control(trial(plots, treatment="trt", untreated=0))
    assert together == pytest.approx([-100, 50, -200, 100, 90, 80])


def test_a_replicate_without_untreated_plots(plots: pd.DataFrame) -> None:
    some = plots[plots["field_id"] != "p1"]
    found = control(trial(some, treatment="trt", replicate="rep", untreated="trt=0"))
    assert np.isnan(found).all()


def test_several_weeds_and_text_as_treatment(plots: pd.DataFrame) -> None:
    plots["trt"] = ["none", "a", "b"] * 2
    plots["cover_grass_percent"] = 20.0
    rows = trial(plots, treatment="trt", replicate="rep", untreated="none", weed=("weed", "grass"))
    assert control(rows)[:3] == pytest.approx([0, 37.5, -25])


@pytest.mark.parametrize("name", ["t.csv", "eu.csv", "t.parquet", "t.gpkg"])
def test_files_are_read_as_they_were_written(
    plots: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name.endswith(".gpkg"):
        shapes = [shapely.box(k, 0, k + 1, 1) for k in range(6)]
        gpd.GeoDataFrame(plots, geometry=shapes, crs=32633).to_file(path, layer="fields")
    else:
        write_table(plots, path, csv_sep=";" if name == "eu.csv" else ",")
    found = trial(path, treatment="trt", replicate="rep", untreated="trt=0")
    expected = trial(plots, treatment="trt", replicate="rep", untreated="trt=0")
    pd.testing.assert_frame_equal(found, expected)


def test_a_run_is_its_table(farm: Callable[..., Farm]) -> None:
    made = farm()
    with pytest.raises(InputError, match="agriseg health"):
        trial(made.run, treatment="trt")
    parcels = made.parcels((2, 3, 20, 30), (22, 3, 45, 30), trt=[0, 1])
    table = field_health(made.run, parcels)
    rows = trial(made.run.path, treatment="trt", untreated="trt=0")
    weeds = table["cover_weed_percent"].tolist()
    assert control(rows) == pytest.approx([0, 100 * (1 - weeds[1] / weeds[0])])
    pd.testing.assert_frame_equal(rows, trial(table, treatment="trt", untreated="trt=0"))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"treatment": "treat"}, InputError, "did you mean|possible are"),
        ({"treatment": "trt", "replicate": "block"}, InputError, "--replicate block"),
        ({"treatment": "trt", "untreated": "9"}, OptionError, "it holds 0, 1, 2"),
        ({"treatment": "trt", "untreated": "dose=0"}, InputError, "no column dose"),
        ({"treatment": "trt", "untreated": "0", "weed": ("moss",)}, InputError, "--weed"),
    ],
)
def test_what_makes_no_sense(
    plots: pd.DataFrame, options: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        trial(plots, **options)


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "x.gpkg").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as a table"):
        trial(tmp_path / "x.gpkg", treatment="trt")
    with pytest.raises(InputError, match="cannot be read as a table"):
        trial(tmp_path / "absent.csv", treatment="trt")
