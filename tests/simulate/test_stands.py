"""Fields side by side, headlands, curved rows, wheel tracks: where they lie, and what is true."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely

import agriseg
from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.simulate import FieldRecipe, render
from agriseg.simulate.field import CLASS_OF
from agriseg.simulate.ground_truth import field_batch
from agriseg.simulate.parcels import inside
from agriseg.simulate.plants import Plants, Rect, field_plants, row_of
from agriseg.simulate.rows import WHEEL_HALF_WIDTH_M, Passes, Rows, passes
from agriseg.simulate.spectra import NEIGHBOUR_CROP
from agriseg.simulate.stands import layout_of

ALL: dict[str, Any] = {
    "seed": 5,
    "width": 610,
    "height": 490,
    "gsd_m": 0.05,
    "row_direction_deg": 10.0,
    "border_m": 0.3,
    "fields": 3,
    "headland_m": 3.0,
    "curve_radius_m": 60.0,
    "neighbour_crop": "maize",
    "margin_m": 2.6,
    "pass_m": 9.0,
    "weeds_per_m2": 4.0,
}
RECIPE = FieldRecipe(**ALL)
ONE = dataclasses.replace(RECIPE, fields=1, curve_radius_m=0.0)


def table(recipe: FieldRecipe) -> Plants:
    return field_plants(recipe, Rect(0.0, 0.0, *recipe.size_m))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stands")
    agriseg.simulate(RECIPE, folder)
    return folder


def read(folder: Path, name: str) -> gpd.GeoDataFrame:
    return gpd.read_file(folder / f"{name}.gpkg", layer=name)


def test_any_window_equals_the_whole() -> None:
    recipe = dataclasses.replace(RECIPE, width=360, height=300, margin_m=2.5)
    whole = render(recipe, recipe.geobox.window)
    assert set(np.unique(whole.labels)) == {0, 1, 2, 255}
    for window in (Window(37, 0, 1, 300), Window(130, 90, 97, 120), Window(359, 299, 1, 1)):
        part = render(recipe, window)
        rows, columns = window.slices
        assert part.reflectance.tobytes() == whole.reflectance[:, rows, columns].tobytes()
        assert part.labels.tobytes() == whole.labels[rows, columns].tobytes()


def test_table_of_a_part_is_the_part_of_the_table() -> None:
    plants = table(RECIPE)
    part = Rect(8.3, 5.1, 19.7, 17.9)
    again = field_plants(RECIPE, part)
    some = plants.take(part.holds(plants.x, plants.y))
    assert len(again) > 300
    for field in dataclasses.fields(again):
        assert np.array_equal(getattr(again, field.name), getattr(some, field.name)), field.name


def test_no_two_plants_share_their_numbers() -> None:
    plants = table(RECIPE)
    crop = (CLASS_OF[plants.material] == 1).astype(np.int64)
    names = np.stack([crop, plants.stand, plants.i, plants.j], axis=1)
    assert len(np.unique(names, axis=0)) == len(plants)
    assert len(np.unique(plants.key)) > 0.999 * len(plants)


def test_stands_do_not_overlap_and_no_crop_stands_in_a_margin() -> None:
    layout = layout_of(RECIPE)
    plants = table(RECIPE)
    held = np.stack([inside(stand.edges, plants.x, plants.y) for stand in layout.stands])
    assert held.sum(axis=0).max() == 1
    assert np.array_equal(layout.at(plants.x, plants.y), plants.stand)
    margin = plants.stand == layout.margin
    assert np.array_equal(margin, ~held.any(axis=0))
    crop = CLASS_OF[plants.material] == 1
    assert margin.sum() > 500
    assert not (margin & crop).any()
    assert set(np.unique(plants.stand[crop])) <= set(range(layout.margin))


@pytest.mark.parametrize("recipe", [RECIPE, ONE, FieldRecipe(curve_radius_m=40.0)])
def test_crop_plants_stand_on_their_rows(recipe: FieldRecipe) -> None:
    plants = table(recipe)
    row, off = row_of(recipe, plants)
    layout = layout_of(recipe)
    crop = CLASS_OF[plants.material] == 1
    assert np.abs(off[crop]).max() < 0.018 * 3.5
    first = layout.column("first_row", 0).astype(np.int64)
    assert np.array_equal(row[crop], plants.j[crop] + first[plants.stand[crop]])
    margin = plants.stand == layout.margin
    assert np.isnan(off[margin]).all()
    assert not row[margin].any()


def test_headland_rows_run_along_the_edge() -> None:
    layout = layout_of(ONE)
    headlands = [stand for stand in layout.stands if stand.part == "headland"]
    assert len(headlands) == 2
    plants = table(ONE)
    width, _ = ONE.size_m
    for stand in headlands:
        crop = (plants.stand == stand.number) & (CLASS_OF[plants.material] == 1)
        a, b, c = stand.edges[-1]  # where the headland ends and the field begins
        inwards = 3.0 - (c - a * plants.x[crop] - b * plants.y[crop])
        assert inwards.min() > 0
        assert inwards.max() < 3.0
        in_row = inwards / ONE.row_spacing_m - 0.5
        assert np.abs(in_row - np.rint(in_row)).max() * ONE.row_spacing_m < 0.08 + 0.065
        assert len(np.unique(np.rint(in_row))) == 4
    crop = CLASS_OF[plants.material] == 1
    assert plants.x[crop].min() > 1.2
    assert plants.x[crop].max() < width - 1.2


def test_rows_keep_their_distance_in_a_curve() -> None:
    rows = Rows(3, (0.8, 0.6), 0.75, None, origin=(20.0, 15.0), radius_m=60.0, sway_m=0.0)
    u = np.linspace(-20.0, 20.0, 41)
    lines = [np.stack(rows.to_xy(u, np.full_like(u, v)), axis=1) for v in (-6.0, -5.25, 5.0)]
    apart = np.hypot(*(lines[1] - lines[0]).T)
    assert apart == pytest.approx(0.75, abs=1e-6)
    back, v = rows.to_uv(lines[2][:, 0], lines[2][:, 1])
    assert back == pytest.approx(u, abs=1e-6)
    assert v == pytest.approx(5.0, abs=1e-6)
    steps = np.hypot(*np.diff(lines[2], axis=0).T)
    assert steps == pytest.approx(rows.stretch(np.array([5.0]))[0], rel=1e-4)
    c, s = rows.axis_at(*lines[2][30])
    ahead = lines[2][31] - lines[2][29]
    assert ahead @ np.array([c, s]) == pytest.approx(np.hypot(*ahead), rel=1e-6)


def test_plants_keep_their_distance_in_a_curve() -> None:
    recipe = FieldRecipe(
        width=600, height=600, gsd_m=0.05, curve_radius_m=43.0, gap_share=0, weeds_per_m2=0,
        pass_m=0,
    )  # fmt: skip
    plants = table(recipe)
    sown = 30 * 30 / (recipe.row_spacing_m * recipe.plant_spacing_m)
    assert len(plants) == pytest.approx(sown, rel=0.02)
    for row in (plants.j.min() + 8, plants.j.max() - 8):
        here = plants.take(plants.j == row)
        gaps = np.hypot(np.diff(here.x), np.diff(here.y))[np.diff(here.i) == 1]
        assert np.median(gaps) == pytest.approx(recipe.plant_spacing_m, rel=0.05)


@pytest.mark.parametrize("place", [(0.0, 0.0), (-55.0, 3.0), (10.0, -61.0), (5.0, -90.0)])
def test_ranges_hold_all_of_a_rectangle(place: tuple[float, float]) -> None:
    """Also one around the middle of the arcs, and one behind it."""
    rows = Rows(3, (1.0, 0.0), 0.75, None, radius_m=60.0)
    rect = Rect(place[0], place[1], place[0] + 9.0, place[1] + 7.0)
    u0, u1, v0, v1 = rows.ranges(rect)
    x, y = np.meshgrid(
        np.linspace(rect.left, rect.right, 40), np.linspace(rect.top, rect.bottom, 40)
    )
    u, v = rows.to_uv(x, y)
    sown = v > 0.1 * 60.0 - 60.0
    assert u[sown].min() >= u0 - 1e-6
    assert u[sown].max() <= u1 + 1e-6
    assert v[sown].min() >= v0
    assert v[sown].max() <= v1


def test_neighbours_differ() -> None:
    layout = layout_of(RECIPE)
    fields = [stand for stand in layout.stands if stand.part == "field"]
    assert [stand.field for stand in fields] == [1, 2, 3]
    assert [stand.crop for stand in fields] == ["beet", "maize", "beet"]
    for name in ("seed", "plant_radius_m", "gap_share", "weediness"):
        assert len({getattr(stand, name) for stand in fields}) == 3, name
    assert len({stand.rows.axis for stand in fields}) == 3
    assert fields[0].plant_radius_m == RECIPE.plant_radius_m
    plants = table(RECIPE)
    assert set(np.unique(plants.material[plants.stand == fields[1].number])) >= {NEIGHBOUR_CROP}


def test_first_field_has_the_plants_of_a_scene_of_its_own() -> None:
    alone = FieldRecipe(width=600, height=500)
    beside = dataclasses.replace(alone, fields=2)
    edges = layout_of(beside).stands[0].edges
    mine, theirs = (table(recipe) for recipe in (alone, beside))
    mine = mine.take((mine.stand == 0) & inside(edges, mine.x, mine.y))
    theirs = theirs.take(theirs.stand == 0)
    assert len(mine) > 100
    assert np.array_equal(mine.x, theirs.x)
    assert np.array_equal(mine.key, theirs.key)


def test_wide_margins_are_driven_on() -> None:
    bare = {}
    for margin_m in (2.0, 3.0, 6.0):
        recipe = FieldRecipe(width=600, height=600, gsd_m=0.05, fields=2, margin_m=margin_m)
        layout, plants = layout_of(recipe), table(recipe)
        plants = plants.take(plants.stand == layout.margin)
        bare[margin_m] = len(plants) / margin_m
        aside = layout.rut_distance(plants.x, plants.y)
        assert aside.min() > WHEEL_HALF_WIDTH_M
        assert np.isinf(aside).all() == (margin_m == 2.0)
    assert bare[3.0] < 0.85 * bare[2.0]
    assert bare[6.0] == pytest.approx(
        (1 - (1.5 + 2 * 1.2 * WHEEL_HALF_WIDTH_M) / 6) * bare[2.0], rel=0.1
    )


def test_wheels_run_where_the_passes_say() -> None:
    assert passes(18.0, 0.75) == Passes(24, 13, 2)
    assert passes(18.0, 0.15) == Passes(120, 65, 10)
    assert passes(0.0, 0.75) is None
    assert passes(5.0, 5.0) == Passes(1, 1, 1)
    without, wide, narrow = (
        len(table(FieldRecipe.filled(crop="wheat", weeds_per_m2=0, gap_share=0, pass_m=metres)))
        for metres in (0.0, 18.0, 6.0)
    )
    lost = 4 * WHEEL_HALF_WIDTH_M
    assert wide / without == pytest.approx(1 - lost / 18, abs=0.02)
    assert narrow / without == pytest.approx(1 - lost / 6, abs=0.03)


def test_rows_file_agrees_with_the_plants(scene: Path) -> None:
    rows, plants = read(scene, "rows"), read(scene, "stems")
    keys = ["field", "part", "row"]
    assert not rows.duplicated(keys).any()
    assert set(rows["part"]) == {"field", "headland"}
    assert set(rows["field"]) == {1, 2, 3}
    crop = plants[plants["class_name"] == "crop"]
    assert set(crop["species"]) == {"beet", "maize"}
    assert set(plants[plants["part"] == "margin"]["field"]) == {0}
    lines = rows.set_index(keys).geometry
    # At the mosaic's ragged edge a row can end before its last plant.
    names = list(crop[keys].itertuples(index=False, name=None))
    far = np.array(
        [
            lines[name].distance(point)
            for name, point in zip(names, crop.geometry, strict=True)
            if name in lines.index
        ]
    )
    assert len(far) > 0.99 * len(crop)
    assert np.quantile(far, 0.98) < 0.06
    assert far.max() < 0.5
    lengths = rows.geometry.length
    assert lengths.to_numpy() == pytest.approx(rows["length_m"].to_numpy(), rel=1e-6)


def test_fields_file_parts_the_pixels(scene: Path) -> None:
    fields = read(scene, "field")
    assert list(fields["field"]) == [1, 2, 3]
    assert list(fields["crop"]) == ["beet", "maize", "beet"]
    with rasterio.open(scene / "labels.tif") as labels:
        true, transform = labels.read(1), labels.transform
    burnt = rasterio.features.rasterize(
        zip(fields.geometry, fields["field"], strict=True), true.shape, transform=transform
    )
    for k, field in enumerate(fields["field"]):
        for value, name in enumerate(("soil", "crop", "weed")):
            pixels = ((burnt == field) & (true == value)).sum()
            assert fields[f"{name}_m2"][k] == pytest.approx(pixels * 0.0025, rel=0.01, abs=0.05)
        parts = sum(fields[f"{name}_m2"][k] for name in ("soil", "crop", "weed"))
        assert parts == pytest.approx(fields["area_m2"][k], rel=0.01)
    assert fields.geometry.area.to_numpy() == pytest.approx(fields["area_m2"].to_numpy())
    assert fields["row_direction_deg"].abs().max() <= 90
    # What is left are the margins: grass.
    rest = true[(burnt == 0) & (true != 255)]
    assert (rest == 2).mean() > 0.25
    assert (rest == 1).mean() < 0.1  # leaves that hang over


def test_a_field_out_of_sight_is_not_listed() -> None:
    corner = shapely.MultiPolygon([shapely.box(0, 0, 20, 20)])
    batch = field_batch(RECIPE, corner, np.zeros((4, 256), dtype=np.int64))
    assert batch.columns["field"].tolist() == [1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"curve_radius_m": 20.0}, ["curve_radius_m is 20.0", "diagonal of 35.0 m", "0 for"]),
        ({"curve_radius_m": -90.0}, ["curve_radius_m is -90.0", "0 to 20000"]),
        ({"headland_m": 13.0}, ["headland_m is 13.0", "27.2 m x 22 m", "narrower"]),
        ({"headland_m": 9.0, "fields": 6}, ["headland_m is 9.0", "fields 6"]),
        ({"margin_m": 9.5, "fields": 5}, ["margin_m 9.5", "no field is left"]),
        ({"fields": 7}, ["fields is 7", "1 to 6"]),
        ({"fields": 2.5}, ["fields is 2.5", "a whole number"]),
        ({"pass_m": 2.0}, ["pass_m is 2.0", "4 m", "0 for no tracks"]),
        ({"neighbour_crop": "tulip"}, ["'tulip' is unknown", "same, beet, maize"]),
        ({"neighbour_crop": "wheat", "fields": 2, "gsd_m": 0.06}, ["wheat", "0.15", "finer"]),
    ],
    ids=str,
)
def test_impossible_values_are_one_line(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        FieldRecipe(**options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("fields", range(1, 7))
@pytest.mark.parametrize("turn", [-90.0, -37.0, 45.0, 88.0])
def test_every_number_of_fields_finds_room(fields: int, turn: float) -> None:
    recipe = FieldRecipe(
        seed=fields, fields=fields, headland_m=3.0, row_direction_deg=turn, width=1800, height=900
    )
    layout = layout_of(recipe)
    x, y = (a.ravel() for a in np.meshgrid(np.arange(0.1, 36, 0.2), np.arange(0.1, 18, 0.2)))
    area = np.bincount(layout.at(x, y), minlength=layout.margin + 1) * 0.04
    of = layout.column("field", 0).astype(int)
    for field in range(1, fields + 1):
        assert area[of == field].sum() > 0.2 * 36 * 18 / fields
    parts = layout.column("part", "margin")
    assert area[parts == "headland"].sum() > 10
    assert 2 < area[parts == "margin"].sum() < 0.45 * 36 * 18
