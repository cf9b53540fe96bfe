"""Polygons as maps: in the colour of their value, in the CRS of the map, with their areas."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import agriseg
from agriseg.errors import InputError, OptionError
from agriseg.publish.colors import GROWTH, INFESTATION
from agriseg.runs import Run
from tests.publish.runs import add_farm, make_run

plot = agriseg.plot


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = make_run(tmp_path_factory.mktemp("areas") / "out")
    add_farm(found)
    return found


def axes() -> Axes:
    return Figure(figsize=(4, 4)).add_subplot()


def drawn(ax: Axes) -> PathCollection:
    found = [one for one in ax.collections if isinstance(one, PathCollection)]
    return found[-1]


def texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [one.get_text() for one in legend.get_texts()]


def square(x: float, y: float, side: float = 10.0) -> shapely.Polygon:
    return shapely.box(x, y, x + side, y + side)


def test_fields_have_their_names(run: Run) -> None:
    ax = plot.fields(run, ax=axes())
    names = {one.get_text() for one in ax.texts}
    assert {'Großer "Acker" <b>', "f&2", "Müller & Söhne", "x"} <= names
    assert not texts(ax)


def test_a_map_beneath_stays_and_shapes_come_into_its_crs(run: Run) -> None:
    ax = plot.scene(run, ax=axes())
    limits = ax.get_xlim(), ax.get_ylim()
    frame = gpd.read_file(run.path / "fields.gpkg", layer="fields")
    plot.fields(frame.to_crs("EPSG:4326"), ax=ax)
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    box = drawn(ax).get_datalim(ax.transData)
    np.testing.assert_allclose(
        [box.x0, box.y0, box.x1, box.y1], frame.total_bounds, rtol=0, atol=1e-3
    )


def test_ranges_take_their_colours() -> None:
    frame = gpd.GeoDataFrame(
        {"ndvi_median": [0.2, 0.61, np.nan, 0.59], "area_ha": [1.0, 2.0, 4.0, 8.0]},
        geometry=[square(20 * k, 0) for k in range(4)],
        crs="EPSG:32633",
    )
    ax = plot.areas(frame, "ndvi_median", ax=axes())
    colors = [to_hex(color) for color in drawn(ax).get_facecolor()]
    assert colors[0] == GROWTH[0]
    assert colors[1] == GROWTH[-1]
    assert colors[2] == "#d9d9d9"
    assert texts(ax) == [
        "0.2 to 0.3  1 ha",
        "0.3 to 0.4  0 ha",
        "0.4 to 0.5  0 ha",
        "0.5 to 0.6  8 ha",
        "0.6 to 0.7  2 ha",
        "no value  4 ha",
    ]


def test_changes_are_pale_in_the_middle() -> None:
    frame = gpd.GeoDataFrame(
        {"ndvi_mean_change": [-0.3, 0.05, 0.12]},
        geometry=[square(20 * k, 0) for k in range(3)],
        crs="EPSG:32633",
    )
    ax = plot.areas(frame, "ndvi_mean_change", ax=axes())
    down, _, up = (np.array(color[:3]) for color in drawn(ax).get_facecolor())
    assert down[0] > down[2]  # orange
    assert up[2] > up[0]  # purple


def test_zones_from_low_to_high(run: Run) -> None:
    ax = plot.zones(run, ax=axes())
    colors = [to_hex(color) for color in drawn(ax).get_facecolor()]
    assert (colors[0], colors[-1]) == (GROWTH[0], GROWTH[-1])
    assert texts(ax) == ["low <  0.1 ha", "middle & so  0.2 ha", 'high "  0.3 ha']


def test_a_name_has_one_colour_in_all_fields() -> None:
    """The second zone is the highest in a field of two, and the middle in one of three."""
    frame = gpd.GeoDataFrame(
        {
            "field_id": ["a", "a", "b", "b", "b"],
            "zone": [1, 2, 1, 2, 3],
            "zone_name": ["low", "high", "low", "medium", "high"],
            "area_ha": [1.0, 2.0, 4.0, 8.0, 16.0],
        },
        geometry=[square(20 * k, 0) for k in range(5)],
        crs="EPSG:32633",
    )
    ax = plot.zones(frame, ax=axes())
    assert texts(ax) == ["low  5 ha", "medium  8 ha", "high  18 ha"]
    colors = [to_hex(color) for color in drawn(ax).get_facecolor()]
    assert colors == [GROWTH[0], GROWTH[-1], GROWTH[0], GROWTH[2], GROWTH[-1]]
    numbered = texts(plot.zones(frame.drop(columns="zone_name"), ax=axes()))
    assert numbered[0] == "zone 1  5 ha"


def test_weeds_on_their_fixed_scale(run: Run) -> None:
    ax = plot.weeds(run, ax=axes())
    none, few, many = drawn(ax).get_facecolor()
    assert none[3] == 0  # what is beneath shows through
    assert to_hex(many) == INFESTATION[-1]
    assert to_hex(few) not in (to_hex(many), INFESTATION[0])
    assert texts(ax)[0].startswith("no weeds")
    assert "1 to 5 %" in texts(ax)[1]


def test_holes_are_holes() -> None:
    ring = square(0, 0, 30).difference(square(10, 10, 10))
    frame = gpd.GeoDataFrame({"v": [1.0]}, geometry=[ring], crs="EPSG:32633")
    ax = plot.areas(frame, "v", ax=axes())
    ax.set_axis_off()
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())

    def at(x: float, y: float) -> tuple[int, ...]:
        col, row = ax.transData.transform((x, y))
        return tuple(picture[picture.shape[0] - 1 - int(row), int(col), :3])

    assert at(15, 15) == (255, 255, 255)
    assert at(5, 22) != (255, 255, 255)


def test_odd_tables(run: Run, tmp_path: Path) -> None:
    empty = gpd.GeoDataFrame(
        {"v": [1.0, 2.0]}, geometry=[None, shapely.Polygon()], crs="EPSG:32633"
    )
    with pytest.raises(InputError, match="no shapes"):
        plot.areas(empty, "v", ax=axes())
    with pytest.raises(OptionError, match="ndvi_median"):
        plot.areas(run, "nvdi", ax=axes())
    with pytest.raises(InputError, match="health"):
        plot.fields(make_run(tmp_path / "bare", fields=False), ax=axes())
    with pytest.raises(InputError, match="no such file"):
        plot.zones(tmp_path / "none.gpkg", ax=axes())
    some = gpd.GeoDataFrame({"v": [1.0, 2.0]}, geometry=[None, square(0, 0)], crs=None)
    assert len(drawn(plot.areas(some, "v", ax=axes())).get_paths()) == 1
