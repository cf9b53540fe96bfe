"""Plants as instances: they tile their classes, however the work is cut, and are who they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from agriseg.geobox import Window
from agriseg.simulate import FieldRecipe, plant_files, render
from agriseg.simulate.field import CLASS_OF
from agriseg.simulate.instances import Instances, Numbering, plants_of_pixels, reach_px
from agriseg.simulate.plants import Plants, Rect, field_plants, weed_plants
from agriseg.simulate.scene import _Silent, draw
from agriseg.simulate.spectra import CROP, LEAFY_WEED

RECIPES = {
    "beet": FieldRecipe(width=211, height=533, border_m=0.25, weeds_per_m2=6.0),
    "canopy": FieldRecipe.filled(
        crop="soybean", stage=0.8, width=163, height=97, gsd_m=0.03, border_m=0.0, weed_kinds=4,
        weeds_per_m2=12.0,
    ),
    "tall": FieldRecipe.filled(crop="maize", stage=1.0, width=47, height=1031, gsd_m=0.03),
    "wheat": FieldRecipe.filled(crop="wheat", stage=0.4, width=401, height=16, gsd_m=0.01,
                                border_m=0.05, sensor="rgb"),
    "tiny": FieldRecipe(width=16, height=17, border_m=0.0, row_direction_deg=-50.0),
    "bare": FieldRecipe(seed=3, width=16, height=16, gsd_m=0.005, border_m=0.0, gap_share=0.9,
                        weeds_per_m2=0.0),
}  # fmt: skip


@pytest.fixture(scope="module", params=RECIPES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Made:
    folder = tmp_path_factory.mktemp(request.param)
    draw(RECIPES[request.param], folder, _Silent(), threads=1)
    return _Made(RECIPES[request.param], folder)


class _Made:
    def __init__(self, recipe: FieldRecipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        with (
            rasterio.open(folder / "labels.tif") as labels,
            rasterio.open(folder / "instances.tif") as instances,
        ):
            self.labels, self.instances = labels.read(1), instances.read(1)
            assert (instances.dtypes, instances.nodata) == (("uint32",), 0)
            assert instances.transform == labels.transform
        self.plants = gpd.read_file(folder / "plants.gpkg", layer="plants")
        self.stems = gpd.read_file(folder / "stems.gpkg", layer="stems")
        self.transform = recipe.geobox.transform

    def burnt(self, plants: gpd.GeoDataFrame, column: str) -> np.ndarray:
        shapes = list(zip(plants.geometry, plants[column], strict=True))
        out = np.zeros(self.labels.shape, np.uint32)
        return rasterize(shapes, out=out, transform=self.transform) if shapes else out


def test_plants_tile_their_classes(made: _Made) -> None:
    is_plant = (made.labels == 1) | (made.labels == 2)
    assert np.array_equal(made.instances > 0, is_plant)
    assert np.array_equal(made.burnt(made.plants, "instance"), made.instances)
    assert np.array_equal(made.burnt(made.plants, "class_id"), np.where(is_plant, made.labels, 0))
    assert made.plants.geometry.is_valid.all()
    assert shapely.coverage_is_valid(made.plants.geometry.to_numpy())
    # No overlap: what they cover together is as much as each by itself.
    area = made.plants.geometry.area.to_numpy()
    assert area == pytest.approx(made.plants["area_m2"].to_numpy(), rel=1e-3)
    pixels = made.plants["area_m2"] / made.recipe.gsd_m**2
    assert np.array_equal(np.rint(pixels), np.bincount(made.instances.ravel())[1:])
    field = gpd.read_file(made.folder / "field.gpkg")
    for name in ("crop", "weed"):
        mine = made.plants.loc[made.plants["class_name"] == name, "area_m2"]
        assert mine.sum() == pytest.approx(field[f"{name}_m2"][0])


def test_numbers_go_by_the_first_pixel(made: _Made) -> None:
    numbers = made.plants["instance"].to_numpy()
    assert np.array_equal(numbers, np.arange(1, len(numbers) + 1))
    shown, first = np.unique(made.instances[made.instances > 0], return_index=True)
    assert np.array_equal(shown, numbers)
    assert (np.diff(first) > 0).all()


def test_no_pixel_is_farther_from_the_stem_than_leaves_reach(made: _Made) -> None:
    reach = reach_px(made.recipe) * made.recipe.gsd_m
    for bound, stem in (("minx", "stem_x"), ("miny", "stem_y")):
        assert (made.plants.bounds[bound] > made.plants[stem] - reach).all()
    for bound, stem in (("maxx", "stem_x"), ("maxy", "stem_y")):
        assert (made.plants.bounds[bound] < made.plants[stem] + reach).all()


def test_stems_and_polygons_speak_of_the_same_plants(made: _Made) -> None:
    assert np.array_equal(made.stems["visible"] == 1, made.stems["instance"] > 0)
    shown = made.stems[made.stems["instance"] > 0].set_index("instance")
    assert shown.index.is_unique
    plants = made.plants.set_index("instance").loc[shown.index]
    for column in set(shown.columns) & set(plants.columns) - {"geometry"}:
        assert np.array_equal(shown[column], plants[column]), column
    assert np.array_equal(shown.geometry.x, plants["stem_x"])
    assert np.array_equal(shown.geometry.y, plants["stem_y"])
    # The others stand outside.
    others = made.plants[~made.plants["instance"].isin(shown.index)]
    x, y = ~made.transform @ (others["stem_x"].to_numpy(), others["stem_y"].to_numpy())
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    inside = (column >= 0) & (row >= 0)
    inside &= (column < made.recipe.width) & (row < made.recipe.height)
    assert (made.labels[row[inside], column[inside]] == 255).all()
    crop = made.plants["class_name"] == "crop"
    assert (made.plants["species"][crop] == made.recipe.crop).all()
    assert made.plants["species"][~crop].isin(plant_files.WEED_NAMES).all()


def test_leaves_of_plants_that_stand_outside_are_somebodys() -> None:
    """Else the tiling would have holes along the edges."""
    recipe = RECIPES["canopy"]
    part = render(recipe, recipe.geobox.window)
    inside = field_plants(recipe, Rect(0, 0, *recipe.size_m))
    assert len(np.setdiff1d(part.instances[part.labels > 0], inside.identity)) > 10


@pytest.mark.parametrize("name", ["beet", "canopy"])
def test_narrow_bands_leave_the_same_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPES[name]
    with Numbering(recipe, tmp_path) as numbering:
        numbering.add(recipe.geobox.window, render(recipe, recipe.geobox.window).instances)
        instances = numbering.done()
    plant_files.write_plants(tmp_path / "whole.gpkg", recipe, instances)
    monkeypatch.setattr(plant_files, "_TRACED_ROWS", 37)
    monkeypatch.setattr(plant_files, "_TRACED_COLUMNS", 43)
    monkeypatch.setattr(plant_files, "_PART_COLUMNS", 61)
    plant_files.write_plants(tmp_path / "bands.gpkg", recipe, instances)
    assert (tmp_path / "whole.gpkg").read_bytes() == (tmp_path / "bands.gpkg").read_bytes()


def _numbered(recipe: FieldRecipe, ids: np.ndarray, heights: list[int], nest: Path) -> Instances:
    row = 0
    with Numbering(recipe, nest) as numbering:
        for height in heights:
            numbering.add(Window(0, row, recipe.width, height), ids[row : row + height])
            row += height
        return numbering.done()


@pytest.mark.parametrize("heights", [[61], [1] * 61, [7, 1, 30, 23], [20, 20, 20, 1]], ids=str)
def test_numbers_do_not_depend_on_the_strips(heights: list[int], tmp_path: Path) -> None:
    recipe = FieldRecipe(width=23, height=61)
    rng = np.random.default_rng(5)
    ids = rng.integers(0, 1 << 62, 40)[rng.integers(0, 40, (61, 23))] * (rng.random((61, 23)) > 0.6)
    # Each shows within a plant's reach only, some with empty strips between.
    ids[ids % 3 == 0] *= (np.arange(61) % 30 < 2)[:, None].repeat(23, 1)[ids % 3 == 0]
    found = _numbered(recipe, ids, heights, tmp_path)
    table = found.between(0, 61)[1]
    values, first = np.unique(ids[ids > 0], return_index=True)
    assert np.array_equal(table, values[np.argsort(first)])
    with rasterio.open(found.raster) as raster:
        numbers = raster.read(1)
    assert np.array_equal(np.append(0, table)[numbers], ids)
    before, some, _ = found.between(20, 99)
    assert np.array_equal(some, table[before:])
    tops = [np.flatnonzero((ids == one).any(axis=1))[0] for one in table]
    assert before == sum(top < 20 for top in tops)


def test_nothing_but_soil_is_no_plant(tmp_path: Path) -> None:
    recipe = FieldRecipe(width=16, height=16)
    found = _numbered(recipe, np.zeros((16, 16), np.int64), [16], tmp_path)
    assert len(found) == 0
    assert plant_files.write_plants(tmp_path / "plants.gpkg", recipe, found) == 0
    assert len(gpd.read_file(tmp_path / "plants.gpkg")) == 0


def _table(material: list[int], **columns: list[int]) -> Plants:
    zeros = np.zeros(len(material), dtype=np.int64)
    others = {f.name: zeros for f in dataclasses.fields(Plants)}
    given = {name: np.array(values) for name, values in columns.items()}
    return Plants(**others | {"material": np.array(material)} | given)


def test_no_two_plants_have_one_identity() -> None:
    far = [-(1 << 22) + 1, -1, 0, 1, (1 << 22) - 1]
    places = [
        (m, s, i, j) for m in (CROP, LEAFY_WEED) for s in (0, 1, 65535) for i in far for j in far
    ]
    material, stand, i, j = zip(*places, strict=True)
    identity = _table(list(material), stand=list(stand), i=list(i), j=list(j)).identity
    assert len(np.unique(identity)) == len(places)
    assert identity.min() > 0


@pytest.mark.parametrize("crop", ["beet", "wheat"])
def test_identities_are_the_same_from_any_window(crop: str) -> None:
    recipe = FieldRecipe.filled(crop=crop, weeds_per_m2=20.0)
    wide = field_plants(recipe, Rect(-4, -4, 14, 14))
    assert len(np.unique(wide.identity)) == len(wide)
    part = Rect(3.3, 1.9, 7.7, 9.1)
    some = field_plants(recipe, part)
    assert np.array_equal(some.identity, wide.identity[part.holds(wide.x, wide.y)])


def test_a_pixel_belongs_to_the_plant_that_most_of_its_samples_show() -> None:
    plants = _table([CROP, CROP, LEAFY_WEED, LEAFY_WEED], i=[10, 20, 30, 40])
    a, b, c, d = range(4)
    blocks = [
        # Samples of a pixel, its label, its plant.
        ((a, b, b, -1), 1, b),
        ((b, a, a, b), 1, b),  # a draw: who comes first
        ((c, c, a, a), 1, a),  # only those of the label's class
        ((-1, -1, d, c), 2, d),
        ((c, d, c, d), 2, c),
        ((-1, -1, -1, a), 0, None),
        ((a, a, a, a), 255, None),
    ]
    seen = np.concatenate([np.array(one).reshape(2, 2) for one, _, _ in blocks], axis=1)
    labels = np.array([[label for _, label, _ in blocks]], dtype=np.uint8)
    found = plants_of_pixels(seen.astype(np.int32), labels, plants, CLASS_OF[plants.material], 2)
    expected = [0 if who is None else plants.identity[who] for _, _, who in blocks]
    assert found.tolist() == [expected]


def test_weeds_are_as_many_as_the_recipe_says() -> None:
    for number in (2.0, 8.0):
        recipe = FieldRecipe(weeds_per_m2=number)
        found = len(weed_plants(recipe, Rect(0, 0, 60, 60))) / 3600
        assert found == pytest.approx(number, rel=0.3)


def test_instances_are_greener_than_soil() -> None:
    recipe = RECIPES["beet"]
    part = render(recipe, recipe.geobox.window)
    red, nir = part.reflectance[2], part.reflectance[4]
    ndvi = (nir - red) / (nir + red)
    soil = np.median(ndvi[part.labels == 0])
    ids, counts = np.unique(part.instances[part.instances > 0], return_counts=True)
    for one in ids[counts > 40]:
        assert np.median(ndvi[part.instances == one]) > soil + 0.2
